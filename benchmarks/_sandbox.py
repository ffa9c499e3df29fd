"""A sandbox of its own for one benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

CLI = [sys.executable, "-m", "gke_notebook.cli", "sandbox"]


@contextlib.contextmanager
def sandbox(*options: str) -> Iterator[dict[str, Any]]:
    """Bring a sandbox up in a temporary home and give its status; it is ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="gke-notebook-bench-") as directory:
        environment = {**os.environ, "GKE_NOTEBOOK_HOME": f"{directory}/state"}
        up = subprocess.run([*CLI, "up", "--json", *options], env=environment, check=True, capture_output=True)
        try:
            yield json.loads(up.stdout)
        finally:
            subprocess.run([*CLI, "down"], env=environment, check=True, capture_output=True)
