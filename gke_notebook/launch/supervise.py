"""Runs the ranks of one pod: starts them, prefixes their lines, passes signals on, ends them together.

The ranks stay in the launcher's process group, so that whoever ends that group ends everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import FrameType
from typing import Any

from . import contract

# A pod gets 25 s to end (manifests) and a spot VM perhaps 15 s, so ranks that are told to stop get less.
STOP_GRACE = 12.0
# After the first failure: enough to print a traceback, not so long as to pay for a rank that waits for a dead one.
FAILURE_GRACE = 8.0
_DRAIN = 2.0  # seconds for output that processes a rank has left behind may still hold open
_LONGEST_LINE = 4 * 2**20  # bytes; a longer line is broken, so that a rank cannot fill the memory


@dataclass
class Rank:
    """One rank while it runs and after.

    Args:
        rank: the global rank.
        process: the process.
        record: the read end of the pipe on which it tells how it went.
        output: its stdout and stderr, None when it writes to the launcher's own.
        prefix: what goes before each of its lines.
        returncode: as `subprocess` gives it, None while it runs.
        told: what it has told.
        ended_at: when its end was noticed.
        stopped: whether it was told to end before it had failed.
    """

    rank: int
    process: subprocess.Popen[bytes]
    record: int
    output: int | None = None
    prefix: bytes = b""
    returncode: int | None = None
    told: dict[str, Any] = field(default_factory=dict)
    ended_at: datetime | None = None
    stopped: bool = False
    pending: bytearray = field(default_factory=bytearray)
    heard: bytearray = field(default_factory=bytearray)

    @property
    def failed_at(self) -> datetime | None:
        """When it failed by itself, None when it has not."""
        if self.told.get("exit_code"):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                return datetime.fromisoformat(self.told["failed_at"])
        if self.returncode and not self.stopped:
            return self.ended_at
        return None

    @property
    def exit_code(self) -> int:
        """Its exit code: its own where it has told one, 128 + n after signal n."""
        told = self.told.get("exit_code")
        if isinstance(told, int) and told:
            return told
        code = self.returncode or 0
        return 128 - code if code < 0 else code

    @property
    def signal(self) -> int:
        """The signal that ended it by itself, 0 for none."""
        return -self.returncode if self.returncode is not None and self.returncode < 0 and not self.told else 0


def supervise(
    command: list[str], environments: list[dict[str, str]], ranks: list[int], directory: str, *, prefixed: bool
) -> tuple[list[Rank], datetime | None]:
    """Run one process per rank until all have ended.

    When one fails, the others get SIGTERM, and SIGKILL after a grace. SIGTERM or SIGINT to the launcher is passed on.

    Args:
        command: what each rank runs.
        environments: the whole environment of each.
        ranks: their global ranks.
        directory: where they run.
        prefixed: whether each line gets the rank before it; otherwise the ranks write to the launcher's own stdout.

    Returns:
        The ranks as they ended, and when the launcher was told to stop, None when it was not.

    Raises:
        OSError: a process cannot be started; those that were are ended.
    """
    return _Supervisor(prefixed=prefixed).run(command, environments, ranks, directory)


class _Supervisor:
    def __init__(self, *, prefixed: bool) -> None:
        self.prefixed = prefixed
        self.ranks: list[Rank] = []
        self.stopped_at: datetime | None = None
        self.kill_at: float | None = None
        self.selector = selectors.DefaultSelector()
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(self.wake_write, False)

    def run(
        self, command: list[str], environments: list[dict[str, str]], ranks: list[int], directory: str
    ) -> tuple[list[Rank], datetime | None]:
        handlers = {number: signal.signal(number, self._on_stop) for number in (signal.SIGTERM, signal.SIGINT)}
        handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _ignore)
        wakeup = signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        self.selector.register(self.wake_read, selectors.EVENT_READ, None)
        try:
            try:
                for position, rank in enumerate(ranks):
                    self._start(command, environments[position], rank, directory)
            except OSError:
                self._signal(signal.SIGKILL)
                raise
            self._loop()
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self.selector.close()
            os.close(self.wake_read)
            os.close(self.wake_write)
        return self.ranks, self.stopped_at

    def _start(self, command: list[str], environment: dict[str, str], rank: int, directory: str) -> None:
        record_read, record_write = os.pipe()
        output_read = output_write = None
        if self.prefixed:
            output_read, output_write = os.pipe()
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env={**environment, contract.ENV_RECORD: str(record_write)},
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=subprocess.STDOUT if self.prefixed else None,
                pass_fds=(record_write,),
            )
        finally:
            os.close(record_write)
            if output_write is not None:
                os.close(output_write)
        prefix = contract.RANK_PREFIX.format(rank=rank).encode() if self.prefixed else b""
        started = Rank(rank, process, record_read, output_read, prefix)
        self.ranks.append(started)
        for descriptor in (record_read, output_read):
            if descriptor is not None:
                os.set_blocking(descriptor, False)
                self.selector.register(descriptor, selectors.EVENT_READ, started)

    def _loop(self) -> None:
        while any(rank.returncode is None for rank in self.ranks):
            timeout = None if self.kill_at is None else max(0.0, self.kill_at - time.monotonic())
            self._turn(timeout)
            self._reap()
            if self.stopped_at and self.kill_at is None:
                self._end_others(STOP_GRACE)
            elif self.kill_at is None and any(rank.failed_at for rank in self.ranks):
                self._end_others(FAILURE_GRACE)
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                self._signal(signal.SIGKILL)
                self.kill_at = time.monotonic() + 1.0
        drained = time.monotonic() + _DRAIN
        while any(rank.output is not None for rank in self.ranks) and time.monotonic() < drained:
            self._turn(max(0.0, drained - time.monotonic()))
            self._reap()
        for rank in self.ranks:
            while self._read_record(rank):
                pass
            if rank.record >= 0:
                self._close(rank, rank.record)
            if rank.output is not None:
                self._close(rank, rank.output)

    def _turn(self, timeout: float | None) -> None:
        for key, _ in self.selector.select(timeout):
            rank = key.data
            if rank is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.wake_read, 4096)
            elif key.fd == rank.record:
                self._read_record(rank)
            else:
                self._read_output(rank)

    def _read_record(self, rank: Rank) -> bool:
        if rank.record < 0:
            return False
        try:
            data = os.read(rank.record, 2**16)
        except BlockingIOError:
            return False
        if not data:
            self._close(rank, rank.record)
            return False
        rank.heard += data
        if rank.heard.endswith(b"\n"):
            with contextlib.suppress(ValueError):
                told = json.loads(bytes(rank.heard))
                if isinstance(told, dict):
                    rank.told = told
            rank.heard.clear()
        return True

    def _read_output(self, rank: Rank) -> None:
        assert rank.output is not None
        try:
            data = os.read(rank.output, 2**18)
        except BlockingIOError:
            return
        if not data:
            self._close(rank, rank.output)
            return
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(rank.pending) + lines[0]
            rank.pending.clear()
        rank.pending += rest
        if len(rank.pending) > _LONGEST_LINE:
            lines.append(bytes(rank.pending))
            rank.pending.clear()
        write(b"".join(rank.prefix + line + b"\n" for line in lines))

    def _close(self, rank: Rank, descriptor: int) -> None:
        self.selector.unregister(descriptor)
        os.close(descriptor)
        if descriptor == rank.record:
            rank.record = -1
            return
        rank.output = None
        if rank.pending:
            write(rank.prefix + bytes(rank.pending) + b"\n")
            rank.pending.clear()

    def _reap(self) -> None:
        # The launcher may be process 1 of its container, so it reaps what others have left behind, too.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for rank in self.ranks:
                if rank.process.pid == pid:
                    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                    rank.process.returncode = rank.returncode = code
                    rank.ended_at = datetime.now(timezone.utc)
                    while self._read_record(rank):
                        pass

    def _end_others(self, grace: float) -> None:
        self.kill_at = time.monotonic() + grace
        for rank in self.ranks:
            if rank.returncode is None and rank.failed_at is None:
                rank.stopped = True
                self._send(rank, signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for rank in self.ranks:
            if rank.returncode is None:
                self._send(rank, number)

    @staticmethod
    def _send(rank: Rank, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rank.process.pid, number)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopped_at = self.stopped_at or datetime.now(timezone.utc)


def write(data: bytes) -> None:
    """Write bytes to the launcher's stdout; a reader that has gone away is no reason to stop training.

    Args:
        data: whole lines.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except OSError:
            return


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
