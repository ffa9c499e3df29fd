"""Bringing the sandbox up and down from outside; light, because a notebook waits for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gke_notebook.errors import GkeNotebookError, InvalidInput
from gke_notebook.sandbox.controlplane import binaries
from gke_notebook.sandbox.home import Home
from gke_notebook.sandbox.options import Options, Running

_START_SECONDS = 90.0  # a fraction of a second as a rule, seconds with 50,000 objects, more on a busy machine
_START_SECONDS_REAL = 180.0  # a real control plane takes some seconds, and much longer on a busy machine
_STOP_SECONDS = 20.0
_REMOVE_SECONDS = 10.0
_REMOVING = ".removing-"
# A pod's process that ends a moment later may still have written something: so it is tried for a while.
_REMOVER = """
import os, shutil, sys, time
for _ in range(100):
    for path in sys.argv[2:]:
        shutil.rmtree(path, ignore_errors=True)
    if not any(map(os.path.exists, sys.argv[2:])):
        break
    time.sleep(0.1)
try:
    os.rmdir(sys.argv[1])
except OSError:
    pass
"""


class SandboxFailed(GkeNotebookError):  # noqa: N818
    """The sandbox did not come up or go down; the text has its last words."""


def status(home: Home) -> Running | None:
    """Say what runs, or None.

    Args:
        home: where the sandbox keeps its state.
    """
    if not home.running():
        return None
    try:
        return msgspec.json.decode(home.run_file.read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None  # it is just starting or stopping


def up(home: Home, options: Options) -> tuple[Running, bool]:
    """Bring the sandbox up, or find the one that is up.

    Args:
        home: where it keeps its state.
        options: how it should be.

    Returns:
        What runs, and whether it was started by this call.

    Raises:
        InvalidInput: one is up already with other options, or the control plane asked for is not whole.
        SandboxFailed: it did not come up.
    """
    home.create()
    with _command_lock(home):
        found = status(home)
        if found is not None and found.ready:
            # Whoever names no control plane takes the one that runs.
            as_asked = (
                found.options if options.control_plane else msgspec.structs.replace(found.options, control_plane="")
            )
            if options not in (Options(), as_asked):
                raise InvalidInput(
                    "a sandbox is up already with other options; `gke-notebook sandbox down --keep`, then up again"
                )
            return found, False
        if not home.running():
            home.run_file.unlink(missing_ok=True)
            options = _wanted(options)
            if options.control_plane:
                _check_control_plane(options.control_plane)
            _start(home, options)
        return _wait_ready(home, _START_SECONDS_REAL if options.control_plane else _START_SECONDS), True


def _wanted(options: Options) -> Options:
    """Give the options with the control plane that the environment names, where none is named by an option."""
    folder = os.environ.get(binaries.ENVIRONMENT, "")
    if options.control_plane or not folder:
        return options
    return msgspec.structs.replace(options, control_plane=str(Path(folder).expanduser().absolute()))


def _check_control_plane(folder: str) -> None:
    named = os.environ.get(binaries.ENVIRONMENT, "")
    same = named and str(Path(named).expanduser().absolute()) == folder
    binaries.find(Path(folder), f"{binaries.ENVIRONMENT}" if same else "--control-plane")


def _start(home: Home, options: Options) -> None:
    log = os.fdopen(os.open(home.logs / "sandbox.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    with log:
        subprocess.Popen(
            [
                sys.executable, "-m", "gke_notebook.sandbox.main",
                "--home", str(home.root), "--options", msgspec.json.encode(options).decode(),
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home.root,
        )  # fmt: skip


def _wait_ready(home: Home, seconds: float = _START_SECONDS) -> Running:
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        found = status(home)
        if found is not None and found.ready:
            return found
        if time.monotonic() - begun > 2.0 and not home.running():
            break  # it has ended again
        time.sleep(0.01)  # the start takes a fraction of a second, and this process has nothing else to do
    raise SandboxFailed(
        f"the sandbox did not come up; its log {home.logs / 'sandbox.log'} ends with:\n{_last_words(home)}"
    )


def down(home: Home, *, keep: bool = False) -> bool:
    """End the sandbox and every process it started, and remove its files.

    Args:
        home: where it keeps its state.
        keep: keep the objects, so that the next `up` finds them again.

    Returns:
        Whether one was up.

    Raises:
        SandboxFailed: it does not end.
    """
    if not home.root.is_dir():
        return False
    with _command_lock(home):
        was_up = home.running()
        if was_up:
            _stop(home)
        if keep:
            _remove(home, home.pods)
            home.run_file.unlink(missing_ok=True)
        else:
            _remove(home, home.root)
            with contextlib.suppress(OSError):
                home.root.parent.rmdir()  # only when nothing else is in it
        return was_up


def _remove(home: Home, directory: Path) -> None:
    """Take a directory away at once, and remove what is in it: pods may have installed environments of many files.

    What is not removed within a few seconds, a process of its own goes on to remove.
    """
    beside = home.root.parent
    left = []
    try:
        directory.rename(beside / f"{_REMOVING}{secrets.token_hex(8)}")
    except FileNotFoundError:
        pass
    except OSError:  # it is a file system of its own
        left.append(str(directory))
    left += [str(path) for path in beside.glob(f"{_REMOVING}*")]  # of an earlier removal that was cut off, too
    remover = threading.Thread(target=_remove_trees, args=(left,), daemon=True)
    remover.start()
    remover.join(_REMOVE_SECONDS)
    if remover.is_alive() or any(map(os.path.exists, left)):
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _REMOVER, str(beside), *left],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def _remove_trees(paths: list[str]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def clock(running: Running, factor: float | None = None) -> float:
    """Say, or set, how many times faster than real ones the delays of a sandbox's GKE are.

    Args:
        running: the sandbox, from `status`.
        factor: the new factor; None to ask only.

    Raises:
        InvalidInput: the factor is out of bounds.
        SandboxFailed: the sandbox does not answer.
    """
    method, body = ("GET", None) if factor is None else ("PUT", {"factor": factor})
    return float(own_api(running, method, "clock", body)["factor"])


def own_api(running: Running, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Ask what only a sandbox has: its machines, faults and clock (`gke_notebook.sandbox.gke` has the contract).

    Args:
        running: the sandbox, from `status`.
        method: the HTTP method.
        path: below ``/sandbox/v1/``.
        body: what is sent as JSON.

    Raises:
        InvalidInput: it was refused; the text is the sandbox's.
        SandboxFailed: the sandbox does not answer.
    """
    import urllib.error
    import urllib.request

    request = urllib.request.Request(  # noqa: S310 - the address is the sandbox's own
        f"{running.gke}/sandbox/v1/{path}",
        data=None if body is None else msgspec.json.encode(body),
        method=method,
        headers={"Authorization": f"Bearer {Path(running.token_file).read_text().strip()}"},
    )
    # A proxy of the environment has no business with loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_START_SECONDS) as response:
            return dict(msgspec.json.decode(response.read()))
    except urllib.error.HTTPError as error:
        try:
            text = str(msgspec.json.decode(error.read())["error"]["message"])
        except (msgspec.DecodeError, KeyError, TypeError):
            text = f"HTTP status {error.code}"
        raise InvalidInput(text) from None
    except OSError as error:
        raise SandboxFailed(f"the sandbox's GKE at {running.gke} does not answer: {error}") from None


def _stop(home: Home) -> None:
    found = status(home)
    if found is None:  # it is starting: its process id comes with the run file
        found = _wait_ready(home)
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGTERM)
    begun = time.monotonic()
    killed = False
    while home.running():
        waited = time.monotonic() - begun
        if waited > _STOP_SECONDS and not killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
            killed = True
        if waited > _STOP_SECONDS + 5:
            raise SandboxFailed(f"the sandbox (process {found.pid}) does not end")
        time.sleep(0.02)


@contextlib.contextmanager
def _command_lock(home: Home) -> Iterator[None]:
    begun = time.monotonic()
    while (lock := home.lock("command")) is None:
        if time.monotonic() - begun > _START_SECONDS_REAL:
            raise SandboxFailed("another `gke-notebook sandbox` command has been at work for long; try again")
        time.sleep(0.05)
    with lock:
        yield


def _last_words(home: Home, lines: int = 16) -> str:
    path: Path = home.logs / "sandbox.log"
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(there is no log)"
