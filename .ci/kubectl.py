"""Find a current kubectl, or build one from the pinned upstream module into a cache folder outside the checkout.

Prints its path. Tests marked `kubectl` find it the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_MINOR = 30  # the oldest client whose requests the tests expect
MODULE = Path(__file__).parent / "kubectl" / "go.mod"


def minor_version(kubectl: str) -> int:
    """Give the minor version of a kubectl, 0 when it cannot be run."""
    try:
        answer = subprocess.run(
            [kubectl, "version", "--client", "-o", "json"], capture_output=True, check=True, timeout=60
        )
        return int(json.loads(answer.stdout)["clientVersion"]["minor"].rstrip("+"))
    except (OSError, subprocess.SubprocessError, KeyError, ValueError):
        return 0


def find() -> str | None:
    """Give the kubectl to test with, None when there is none."""
    for candidate in (os.environ.get("KUBECTL"), shutil.which("kubectl"), str(cached())):
        if candidate and minor_version(candidate) >= OLDEST_MINOR:
            return candidate
    return None


def cached() -> Path:
    """Give where a built kubectl lies: keyed by the content of go.mod, shared by every checkout of this machine."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gke-notebook"
    return root / f"kubectl-{hashlib.sha256(MODULE.read_bytes()).hexdigest()[:12]}" / "kubectl"


def build() -> Path | None:
    """Build kubectl with Go, None where Go is missing."""
    if shutil.which("go") is None:
        return None
    target = cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    source = target.parent / "source"
    source.mkdir(exist_ok=True)
    shutil.copy(MODULE, source / "go.mod")
    print("building kubectl (once, some minutes) ...", file=sys.stderr)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "mod", "tidy"], cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
    version = "k8s.io/component-base/version"
    flags = f"-s -w -X {version}.gitVersion=v1.34.4 -X {version}.gitMajor=1 -X {version}.gitMinor=34"
    command = ["go", "build", "-trimpath", "-ldflags", flags, "-o", str(target), "k8s.io/kubernetes/cmd/kubectl"]
    subprocess.run(command, cwd=source, env=environment, check=True)
    return target


if __name__ == "__main__":
    found = find() or build()
    print(f"kubectl: {found}" if found else "no kubectl and no Go to build it: the tests that need it are skipped")
