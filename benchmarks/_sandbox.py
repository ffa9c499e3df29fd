"""A sandbox of its own for one benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLI = [sys.executable, "-m", "gke_notebook.cli", "sandbox"]
_ASSETS = "KUBEBUILDER_ASSETS"
_SERVING = {"etcd", "server", "kube-apiserver"}  # of a real control plane
_ACTING = {"kube-controller-manager", "kube-scheduler"}


@contextlib.contextmanager
def sandbox(*options: str) -> Iterator[dict[str, Any]]:
    """Bring a sandbox up in a temporary home and give its status; it is ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="gke-notebook-bench-") as directory:
        environment = {**os.environ, "GKE_NOTEBOOK_HOME": f"{directory}/state"}
        environment.pop(_ASSETS, None)  # which control plane it is, the options say
        up = subprocess.run([*CLI, "up", "--json", *options], env=environment, check=False, capture_output=True)
        if up.returncode:
            raise SystemExit(up.stderr.decode())
        try:
            yield json.loads(up.stdout)
        finally:
            subprocess.run([*CLI, "down"], env=environment, check=True, capture_output=True)


def servers() -> dict[str, tuple[str, ...]]:
    """Give the options of the sandboxes to compare, by name: ours, and the real control plane where it is built."""
    from gke_notebook.errors import InvalidInput
    from gke_notebook.sandbox.controlplane import binaries, build

    found: dict[str, tuple[str, ...]] = {"embedded": ()}
    for folder in filter(None, (os.environ.get(_ASSETS), build.folder())):
        with contextlib.suppress(InvalidInput):
            found["real"] = ("--control-plane", str(binaries.find(Path(folder)).folder))
            return found
    print(f"no real control plane is built (`make control-plane`, or {_ASSETS}): only the embedded one is measured")
    return found


def resident(status: dict[str, Any]) -> dict[str, int]:
    """Give the bytes of memory in use by part: what stores and serves, what acts on it, and all there is."""
    found = {"serving": 0, "acting": 0, "all": 0}
    for pid in descendants(int(status["pid"])):
        size = int(_field(pid, "VmRSS").split()[0]) * 1024
        name, arguments = _command(pid)
        found["all"] += size
        if name in _SERVING or (pid == status["pid"] and not status.get("components")):
            found["serving"] += size
        elif name in _ACTING or "gke_notebook.sandbox.agents" in arguments:
            found["acting"] += size
    return found


def descendants(root: int) -> list[int]:
    """Give a process and all that descend from it."""
    parents = {}
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        with contextlib.suppress(OSError):
            parents[pid] = int(_field(pid, "PPid"))
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _command(pid: int) -> tuple[str, list[str]]:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "", []
    return Path(arguments[0]).name, arguments


def _field(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name + ":")), "0 kB")
