"""The agent's end of the reaper: starts it and tells it which process groups live."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gke_notebook.sandbox.node import process, reaper

GRACE_SECONDS = 2.0


class Reaper:
    """A running reaper; a new one is started when it is found dead.

    Args:
        marker: the sandbox's id, which every pod's processes carry in their environment.
    """

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self._groups: set[int] = set()
        self._popen: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def start(self) -> None:
        """Start the process."""
        read, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._popen = subprocess.Popen(
                [
                    sys.executable, "-I", "-S", str(Path(reaper.__file__)),
                    f"{process.MARKER}={self.marker}", str(GRACE_SECONDS),
                ],
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(read)
        if self._groups:
            self._send("".join(f"+{group}\n" for group in self._groups))

    def add(self, group: int) -> None:
        """Say that a process group has been started."""
        self._groups.add(group)
        self._send(f"+{group}\n")

    def remove(self, group: int) -> None:
        """Say that a process group has ended."""
        self._groups.discard(group)
        self._send(f"-{group}\n")

    def _send(self, lines: str) -> None:
        if self._popen is None:
            return
        try:
            os.write(self._pipe, lines.encode())
        except BrokenPipeError:
            self.stop(wait=False)
            self.start()  # which tells the new one of every group
        except BlockingIOError:  # it is stopped or starved; the marker still finds every process
            return

    def stop(self, *, wait: bool = True) -> None:
        """Close the pipe, so that the reaper ends what is left and itself.

        Args:
            wait: whether to wait until it has ended.
        """
        popen, self._popen = self._popen, None
        if popen is None:
            return
        os.close(self._pipe)
        if wait:
            popen.wait(GRACE_SECONDS + 5)
        else:
            popen.poll()
