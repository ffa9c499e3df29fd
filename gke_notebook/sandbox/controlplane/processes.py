"""The component processes: started, started again when they die, reported by name, and ended for certain."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gke_notebook.errors import GkeNotebookError
from gke_notebook.sandbox.node import process
from gke_notebook.sandbox.node.reaper_client import Reaper

_log = logging.getLogger(__name__)
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0
_LONG_ENOUGH = 30.0  # seconds after which a component counts as having started well
_LAST_LINES = 8
_REPORTED_LINES = 2
_LONGEST_LINE = 240
_LARGEST_LOG = 16 * 2**20


class ComponentFailed(GkeNotebookError):  # noqa: N818
    """A component ended while the control plane was starting; the text has its name and its last lines."""


@dataclass
class Component:
    """One program.

    Args:
        name: what it is called in messages; its log is ``<name>.log``.
        command: the program and its arguments.
        directory: its working directory.
        grace: seconds between SIGTERM and SIGKILL at the end; 0 kills it at once.
        restarts: how often it has been started again.
        last_end: in words, how it ended last time.
    """

    name: str
    command: Sequence[str]
    directory: Path
    grace: float = 0.0
    restarts: int = 0
    last_end: str = ""
    running: asyncio.subprocess.Process | None = field(default=None, repr=False)


class Processes:
    """The components of one control plane.

    Args:
        root: the control plane's directory; processes that an earlier run has left behind are known by it.
        logs: the directory of the logs.
        reported: called with a line of text whenever a component has ended by itself.
    """

    def __init__(self, root: Path, logs: Path, reported: Callable[[str], None] | None = None) -> None:
        self._logs = logs
        self._reported = reported
        # One control plane at a time uses a directory; the rest of the marker is new at each start, since the reaper
        # of a killed one may still be at work.
        self._family = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:16]
        self._marker = f"{self._family}-{secrets.token_hex(8)}"
        self._reaper = Reaper(self._marker)
        self._keepers: list[asyncio.Task[None]] = []
        self.components: dict[str, Component] = {}
        self.starting = True

    async def open(self) -> None:
        """End what an earlier run has left, and start the reaper, which ends every component when this process dies."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._end_leftovers)
        self._reaper.start()

    def _end_leftovers(self) -> None:
        while process.kill_marked(process.MARKER, f"{self._family}-"):
            time.sleep(0.02)

    async def start(self, component: Component) -> None:
        """Start a component, and keep it running.

        Args:
            component: which.
        """
        self.components[component.name] = component
        _shorten(self.log(component.name))
        await self._launch(component)
        self._keepers.append(asyncio.create_task(self._keep(component)))

    def log(self, name: str) -> Path:
        """Where a component's output goes."""
        return self._logs / f"{name}.log"

    def check(self) -> None:
        """Raise when a component has ended while everything is still starting.

        Raises:
            ComponentFailed: which one, and its last lines.
        """
        for component in self.components.values():
            if component.restarts:
                raise ComponentFailed(self.last_words(component))

    def last_words(self, component: Component, count: int = _LAST_LINES) -> str:
        """Say how a component ended, with the last lines of its log.

        Args:
            component: which.
            count: how many lines.
        """
        log = self.log(component.name)
        return f"{component.name} {component.last_end}; its log {log} ends with:\n{last_lines(log, count)}"

    async def _launch(self, component: Component) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(self.log(component.name), flags, 0o600), "ab") as log:
            component.running = await asyncio.create_subprocess_exec(
                *component.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=component.directory,
                env={
                    "PATH": os.environ.get("PATH", ""), "HOME": str(component.directory),
                    "TMPDIR": str(component.directory), process.MARKER: self._marker,
                },
                start_new_session=True,
            )  # fmt: skip
        self._reaper.add(component.running.pid)

    async def _keep(self, component: Component) -> None:
        delay = _FIRST_DELAY
        while True:
            started = time.monotonic()
            assert component.running is not None
            code = await component.running.wait()
            self._reaper.remove(component.running.pid)
            component.last_end = how_it_ended(code)
            component.restarts += 1
            _log.error("%s", self.last_words(component))
            if self._reported is not None:
                self._reported(self.last_words(component, _REPORTED_LINES))
            if self.starting:
                return  # who starts it is told by `check`
            delay = _FIRST_DELAY if time.monotonic() - started > _LONG_ENOUGH else min(_LONGEST_DELAY, delay * 2)
            await asyncio.sleep(delay)
            await self._launch(component)

    async def close(self) -> None:
        """End every component, the last one started first."""
        for keeper in self._keepers:
            keeper.cancel()
        for keeper in self._keepers:
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        for component in reversed(list(self.components.values())):
            await self._end(component)
        await asyncio.get_running_loop().run_in_executor(None, self._reaper.stop)

    async def _end(self, component: Component) -> None:
        running = component.running
        if running is None or running.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(signal.SIGTERM if component.grace else signal.SIGKILL)
        try:
            await asyncio.wait_for(running.wait(), component.grace or 10.0)
        except (TimeoutError, asyncio.TimeoutError):
            with contextlib.suppress(ProcessLookupError):
                running.kill()
            await running.wait()
        self._reaper.remove(running.pid)


def how_it_ended(code: int) -> str:
    """Say in words what an exit status means.

    Args:
        code: as `subprocess` gives it, negative for a signal.

    Example:
        >>> how_it_ended(1), how_it_ended(-9)
        ('ended with exit code 1', 'was ended by SIGKILL')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def last_lines(log: Path, count: int = _LAST_LINES) -> str:
    """Give the end of a log.

    Args:
        log: the file.
        count: how many lines at most.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            lines = file.read().decode(errors="replace").splitlines()[-count:]
            return "\n".join(line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " ..." for line in lines)
    except OSError:
        return "(there is no log)"


def _shorten(log: Path) -> None:
    """Put a log that has grown large aside; the one before it goes."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
