"""The real programs that tests run: where they are found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache

from gke_notebook.sandbox.controlplane import build

OLDEST_MINOR = 30  # the oldest kubectl whose requests the tests expect


def minor_version(kubectl: str) -> int:
    """Give the minor version of a kubectl, 0 when it cannot be run."""
    try:
        answer = subprocess.run(
            [kubectl, "version", "--client", "-o", "json"], capture_output=True, check=True, timeout=60
        )
        return int(json.loads(answer.stdout)["clientVersion"]["minor"].rstrip("+"))
    except (OSError, subprocess.SubprocessError, KeyError, ValueError):
        return 0


@cache
def find_kubectl() -> str | None:
    """Give a kubectl that is new enough, None when there is none: $KUBECTL, that on PATH, the built one."""
    for candidate in (os.environ.get("KUBECTL"), shutil.which("kubectl"), str(build.folder() / "kubectl")):
        if candidate and minor_version(candidate) >= OLDEST_MINOR:
            return candidate
    return None
