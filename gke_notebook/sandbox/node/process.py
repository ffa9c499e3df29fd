"""One local process group that stands for a container: started, read, waited for, ended."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from gke_notebook.sandbox.node import reaper
from gke_notebook.sandbox.node.logs import LogWriter

MARKER = "GKE_NOTEBOOK_SANDBOX"  # in the environment of every process of a sandbox: its id
CONTAINER_MARKER = "GKE_NOTEBOOK_SANDBOX_CONTAINER"  # the id of the container
_READ = 256 * 2**10
_PIPE_SIZE = 256 * 2**10
_DRAIN_SECONDS = 2.0


class StartError(Exception):
    """A program cannot be started; the text is a container runtime's."""


class Process:
    """A running container.

    Args:
        popen: the group's leader.
        log: where its output goes.
        pipes: the reading ends for standard output and standard error.
    """

    def __init__(self, popen: subprocess.Popen[bytes], log: LogWriter, pipes: tuple[int, int], marker: str) -> None:
        self.popen = popen
        self.group = popen.pid
        self.log = log
        self._marker = marker
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._drained = asyncio.Event()
        self._open = dict(zip(pipes, (b"stdout", b"stderr"), strict=True))
        for pipe in pipes:
            self._loop.add_reader(pipe, self._readable, pipe)
        self._watch()

    def _readable(self, pipe: int) -> None:
        try:
            data = os.read(pipe, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.log.write(self._open[pipe], data)
        else:
            self._close(pipe)

    def _close(self, pipe: int) -> None:
        self._loop.remove_reader(pipe)
        os.close(pipe)
        del self._open[pipe]
        if not self._open:
            self._drained.set()

    def _watch(self) -> None:
        try:
            descriptor = os.pidfd_open(self.group)
        except (AttributeError, OSError):  # macOS, or an old kernel: a thread waits
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
            return
        self._loop.add_reader(descriptor, self._pidfd_ready, descriptor)

    def _pidfd_ready(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._finish()

    def _wait_in_thread(self) -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.group, os.WEXITED | os.WNOWAIT)
        else:
            self.popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        # The leader is not reaped yet, so its group's number cannot belong to anybody else. Whatever it has left behind
        # ends with it, as in a container whose first process has ended.
        self.kill()
        code = self.popen.wait()
        if not self._ended.done():
            self._ended.set_result(code if code >= 0 else 128 - code)

    @property
    def running(self) -> bool:
        """Whether its leader has not ended yet."""
        return not self._ended.done()

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        self.signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end, until all output is in the log; give the exit code, 128 and the number after a signal."""
        code = await asyncio.shield(self._ended)
        if not self._drained.is_set():
            # The output is there already when nobody else holds the pipe; a process that left the group may.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._drained.wait(), 0.05)
        if not self._drained.is_set():
            await self._loop.run_in_executor(None, kill_marked, CONTAINER_MARKER, self._marker)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._drained.wait(), _DRAIN_SECONDS)
        for pipe in list(self._open):  # held by a process that could not be ended: take what is there
            with contextlib.suppress(OSError):
                while data := os.read(pipe, _READ):
                    self.log.write(self._open[pipe], data)
            self._close(pipe)
        self.log.close()
        return code

    async def sweep(self) -> None:
        """End processes of this container that have left its group."""
        await self._loop.run_in_executor(None, kill_marked, CONTAINER_MARKER, self._marker)


def start(
    arguments: Sequence[str], environment: Mapping[str, str], directory: Path, log: LogWriter, marker: str
) -> Process:
    """Start a program in a session of its own.

    Args:
        arguments: the program and its arguments.
        environment: its whole environment.
        directory: its working directory.
        log: where its output goes.
        marker: the container's id, which `environment` holds under `CONTAINER_MARKER`.

    Raises:
        StartError: there is no such program, or it may not be executed.
    """
    program = _find(arguments[0], environment, directory)
    out, err = os.pipe(), os.pipe()
    try:
        popen = subprocess.Popen(
            list(arguments),
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=out[1],
            stderr=err[1],
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        for descriptor in (out[0], err[0]):
            os.close(descriptor)
        reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        raise StartError(_text(f"exec: {_quote(arguments[0])}: {reason}")) from error
    finally:
        os.close(out[1])
        os.close(err[1])
    for descriptor in (out[0], err[0]):
        os.set_blocking(descriptor, False)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return Process(popen, log, (out[0], err[0]), marker)


def _find(name: str, environment: Mapping[str, str], directory: Path) -> str:
    import shutil

    if "/" in name:
        path = directory / name
        if not path.exists():
            raise StartError(_text(f"exec: {_quote(name)}: stat {name}: no such file or directory"))
        if path.is_dir() or not os.access(path, os.X_OK):
            raise StartError(_text(f"exec: {_quote(name)}: permission denied"))
        return str(path)
    found = shutil.which(name, path=environment.get("PATH", ""))
    if found is None:
        raise StartError(_text(f"exec: {_quote(name)}: executable file not found in $PATH"))
    return found


def _text(reason: str) -> str:
    return (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        f"unable to start container process: error during container init: {reason}: unknown"
    )


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def kill_marked(name: str, value: str) -> int:
    """Send SIGKILL to every process of this user whose environment holds a variable whose value starts so; Linux only.

    Args:
        name: the variable.
        value: the beginning of its value.

    Returns:
        How many were found.
    """
    found = 0
    wanted = f"{name}={value}".encode()
    for pid in reaper.marked(wanted):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            found += 1
    return found
