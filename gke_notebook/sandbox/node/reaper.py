# ruff: noqa: PTH116, PTH123, PTH208
"""A small process that outlives the node agent for a moment: it ends every pod's processes when the agent is gone.

It reads lines from standard input, a pipe whose other end only the agent holds: ``+GROUP`` when a process group is
started and ``-GROUP`` when it has ended. At the end of the input, however it came about, it sends SIGTERM and then
SIGKILL to every group that is left, and on Linux to processes that carry the sandbox's marker in their environment
though they left their group.

Standard library only, and run by its path: ``python -I -S reaper.py MARKER=VALUE GRACE``.
"""

from __future__ import annotations

import os  # and not pathlib, whose import costs more than everything else here
import signal
import sys
import time


def groups_left(lines: bytes, groups: set[int]) -> bytes:
    """Take whole lines into the set of groups.

    Args:
        lines: what was read.
        groups: the groups that live, changed in place.

    Returns:
        The rest that has no newline yet.

    Example:
        >>> known = set(); groups_left(b"+5\\n+7\\n-5\\n+", known), known
        (b'+', {7})
    """
    whole, newline, rest = lines.rpartition(b"\n")
    if newline:
        for line in whole.split(b"\n"):
            if line[1:].isdigit() and int(line[1:]) > 1:
                if line[:1] == b"+":
                    groups.add(int(line[1:]))
                elif line[:1] == b"-":
                    groups.discard(int(line[1:]))
    return rest


def marked(wanted: bytes) -> list[int]:
    """List this user's processes whose environment holds an entry that starts so; empty where there is no /proc."""
    found: list[int] = []
    try:
        entries = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found
    for pid in entries:
        if pid == os.getpid():
            continue
        try:
            if os.stat(f"/proc/{pid}").st_uid != os.getuid():
                continue
            with open(f"/proc/{pid}/environ", "rb") as file:
                if b"\0" + wanted in b"\0" + file.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def alive(groups: set[int]) -> set[int]:
    """Say which groups still have a process."""
    left = set()
    for group in groups:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            continue
        except PermissionError:
            pass
        left.add(group)
    return left


def end(groups: set[int], wanted: bytes, grace: float) -> None:
    """End every group and every marked process.

    Args:
        groups: process group ids.
        wanted: the environment entry of the sandbox's processes.
        grace: seconds between SIGTERM and SIGKILL.
    """
    _send(groups, marked(wanted), signal.SIGTERM)
    until = time.monotonic() + grace
    while time.monotonic() < until and (alive(groups) or marked(wanted)):
        time.sleep(0.02)
    for _ in range(50):  # a process may have been started while the list was read
        strays = marked(wanted)
        left = alive(groups)
        if not left and not strays:
            return
        _send(left, strays, signal.SIGKILL)
        time.sleep(0.02)


def _send(groups: set[int], processes: list[int], number: int) -> None:
    for group in groups:
        try:
            os.killpg(group, number)
        except OSError:
            continue
    for process in processes:
        try:
            os.kill(process, number)
        except OSError:
            continue


def main(arguments: list[str]) -> None:
    """Read until the end of the input, then end what is left.

    Args:
        arguments: the environment entry, and the grace in seconds.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of the agent ends it
    os.chdir("/")
    groups: set[int] = set()
    rest = b""
    while True:
        data = os.read(0, 65536)
        if not data:
            break
        rest = groups_left(rest + data, groups)
    end(groups, arguments[0].encode(), float(arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
