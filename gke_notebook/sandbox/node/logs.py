"""Container logs on disk, in the format of the container runtime interface, written and rotated by the agent.

A line is ``<RFC 3339 time with nanoseconds> <stdout or stderr> <F or P> <text>``; P marks a part of a line that
goes on. A file is rotated at 10 MiB and five files are kept, the kubelet's defaults (KubeletConfiguration
`containerLogMaxSize`, `containerLogMaxFiles`; Kubernetes documentation, "Logging Architecture", 2026).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

MAX_SIZE = 10 * 2**20
MAX_FILES = 5
MAX_LINE = 16 * 2**10  # a longer line is cut into parts, as containerd does


def timestamp(nanoseconds: int) -> bytes:
    """Format a time as RFC 3339 in UTC with nine digits, so that times compare as text.

    Args:
        nanoseconds: since the epoch.

    Example:
        >>> timestamp(1_500_000_000)
        b'1970-01-01T00:00:01.500000000Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z".encode()


def encode(data: bytes, stream: bytes, when: bytes) -> tuple[bytes, bytes]:
    """Put output into the format of the runtime interface.

    Args:
        data: what was read, with the rest of the last call before it.
        stream: ``stdout`` or ``stderr``.
        when: the time that all its lines get.

    Returns:
        The lines, and the rest that has no newline yet (less than 16 KiB).

    Example:
        >>> encode(b"a\\nb", b"stdout", b"T")
        (b'T stdout F a\\n', b'b')
    """
    end = data.rfind(b"\n") + 1
    whole, rest = data[:end], data[end:]
    head = when + b" " + stream + b" "
    full, part = head + b"F ", head + b"P "
    lines = b""
    if whole:
        if _has_long_line(whole):
            lines = b"".join(_cut(line, full, part) for line in whole[:-1].split(b"\n"))
        else:
            lines = full + whole[:-1].replace(b"\n", b"\n" + full) + b"\n"
    if len(rest) >= MAX_LINE:
        cut = len(rest) - len(rest) % MAX_LINE
        lines += b"".join(part + rest[at : at + MAX_LINE] + b"\n" for at in range(0, cut, MAX_LINE))
        rest = rest[cut:]
    return lines, rest


def _has_long_line(whole: bytes) -> bool:
    at = 0
    while len(whole) - at > MAX_LINE + 1:
        end = whole.rfind(b"\n", at, at + MAX_LINE + 1)
        if end < 0:
            return True
        at = end + 1
    return False


def _cut(line: bytes, full: bytes, part: bytes) -> bytes:
    pieces = [line[at : at + MAX_LINE] for at in range(0, len(line), MAX_LINE)] or [b""]
    return b"".join(part + piece + b"\n" for piece in pieces[:-1]) + full + pieces[-1] + b"\n"


class LogWriter:
    """The log of one container instance while it runs.

    Args:
        path: its newest file; older ones get ``.1``, ``.2`` and so on, the highest being the newest of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self.first, self.rotated = 1, 0  # numbers of the rotated files: the oldest kept, the newest
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._size = 0
        self._rest = {b"stdout": b"", b"stderr": b""}
        self._waiting: list[asyncio.Future[None]] = []

    def write(self, stream: bytes, data: bytes) -> None:
        """Add what a container has written.

        Args:
            stream: ``stdout`` or ``stderr``.
            data: the bytes as they were read.
        """
        rest = self._rest[stream]
        lines, self._rest[stream] = encode(rest + data if rest else data, stream, timestamp(time.time_ns()))
        if lines:
            self._append(lines)

    def _append(self, lines: bytes) -> None:
        view = memoryview(lines)
        while view:
            view = view[os.write(self._file, view) :]
        self._size += len(lines)
        if self._size >= MAX_SIZE:
            self._rotate()
        self._wake()

    def _rotate(self) -> None:
        os.close(self._file)
        self.rotated += 1
        self.path.rename(rotated_path(self.path, self.rotated))
        while self.rotated - self.first + 2 > MAX_FILES:
            rotated_path(self.path, self.first).unlink(missing_ok=True)
            self.first += 1
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._size = 0

    def close(self) -> None:
        """Write what has no newline and end the log; readers that follow it end too."""
        if self.closed:
            return
        for stream, rest in self._rest.items():
            if rest:
                self._append(timestamp(time.time_ns()) + b" " + stream + b" F " + rest + b"\n")
        self._rest = {b"stdout": b"", b"stderr": b""}
        self.closed = True
        os.close(self._file)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Wait until something is added or the log ends; what was added before the call does not count."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(future)


def rotated_path(path: Path, number: int) -> Path:
    """Give the path of a rotated file.

    Args:
        path: the newest file.
        number: the file's number, from 1.
    """
    return path.with_name(f"{path.name}.{number}")


def kept_files(path: Path) -> list[Path]:
    """List the files of a log, oldest first.

    Args:
        path: the newest file.
    """
    numbers = []
    for other in path.parent.glob(f"{path.name}.*"):
        ending = other.name[len(path.name) + 1 :]
        if ending.isdigit():
            numbers.append(int(ending))
    return [*(rotated_path(path, number) for number in sorted(numbers)), path]
