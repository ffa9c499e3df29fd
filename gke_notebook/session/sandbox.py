"""Finding or starting the sandbox: a process of its own, reached like any other cluster."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from gke_notebook.errors import InvalidInput, NotConnected

CONTEXT = "sandbox"
PROJECT = "sandbox"
_START_SECONDS = 60.0
_STATUS_SECONDS = 20.0


def ensure_up() -> str:
    """Bring the sandbox up when none runs, and give the path of its kubeconfig file.

    Raises:
        NotConnected: it does not come up; the text has its last words.
    """
    command = [sys.executable, "-m", "gke_notebook.cli", "sandbox", "up", "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_START_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotConnected(f"the sandbox could not be started ({error}); try `gke-notebook sandbox up`") from error
    if done.returncode != 0:
        raise NotConnected(f"the sandbox did not come up: {done.stderr.strip() or done.stdout.strip()}")
    return str(json.loads(done.stdout)["kubeconfig"])


def running() -> dict[str, str] | None:
    """Say where the sandbox of this machine is, as `gke-notebook sandbox status --json` prints it; None without one."""
    command = [sys.executable, "-m", "gke_notebook.cli", "sandbox", "status", "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_STATUS_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
        found = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return {key: value for key, value in found.items() if isinstance(value, str)} or None


def drill(words: Sequence[str]) -> str:
    """Let something go wrong in the sandbox on purpose, and give what the command says.

    Args:
        words: what follows `gke-notebook sandbox drill`.

    Raises:
        InvalidInput: the command refused it; the text is the command's.
        NotConnected: no sandbox is up, or it does not answer.
    """
    command = [sys.executable, "-m", "gke_notebook.cli", "sandbox", "drill", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_START_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotConnected(f"the sandbox cannot be asked ({error}); try `gke-notebook sandbox status`") from error
    if done.returncode == 3:
        raise NotConnected("no sandbox is up; %gke_connect sandbox starts one")
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        raise InvalidInput(re.sub(r"^gke-notebook[^:]*: (?:error: )?", "", last))
    return done.stdout.strip()
