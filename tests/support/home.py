"""A sandbox of its own for a test: its own state directory, ended afterwards whatever happened."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gke_notebook.sandbox.controlplane import binaries

CLI = [sys.executable, "-m", "gke_notebook.cli", "sandbox"]


@dataclass(frozen=True)
class SandboxHome:
    """The environment of one sandbox and the commands on it."""

    directory: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        # A developer's own variable must not put every test on a real control plane.
        inherited = {key: value for key, value in os.environ.items() if key != binaries.ENVIRONMENT}
        return {**inherited, "GKE_NOTEBOOK_HOME": str(self.directory), **self.more}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*CLI, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"sandbox {' '.join(arguments)} failed: {done.stderr}{done.stdout}")
        return done

    def up(self, *options: str) -> dict[str, Any]:
        return dict(json.loads(self.run("up", "--json", *options).stdout))

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json", check=False).stdout))

    def processes(self) -> list[int]:
        """Every process that belongs to this home: by its command line or its environment."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._ours(pid)]

    def _ours(self, pid: int) -> bool:
        if pid == os.getpid():
            return False
        needle = str(self.directory).encode()
        for file in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if needle in Path(f"/proc/{pid}/{file}").read_bytes():
                    return True
        return False


@contextlib.contextmanager
def sandbox_home(directory: Path) -> Iterator[SandboxHome]:
    """Give a home and end whatever runs in it afterwards."""
    home = SandboxHome(directory / "state")
    try:
        yield home
    finally:
        home.run("down", check=False)
