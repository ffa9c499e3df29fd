"""Every example notebook runs from top to bottom on a sandbox of its own; its assertions are the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.support.control_plane import HOW, find_control_plane
from tests.support.home import SandboxHome, sandbox_home

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEM_PYTHON = "/usr/bin/python3"


def can_import(interpreter: str, module: str) -> bool:
    try:
        return subprocess.run([interpreter, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SandboxHome]:
    with sandbox_home(tmp_path) as found:
        yield found


def run(home: SandboxHome, notebook: str, output: Path) -> tuple[str, nbformat.NotebookNode]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "run.py"), str(EXAMPLES / notebook), "--output", str(output), "--keep"],
        env=home.environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    executed = nbformat.read(output / notebook, as_version=4)
    assert (output / notebook).with_suffix(".html").stat().st_size > 10_000
    return done.stdout, executed


def options(control_plane: str) -> tuple[str, ...]:
    """Give the options of `sandbox up` for the embedded control plane or the real one."""
    if control_plane == "embedded":
        return ()
    found = find_control_plane()
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(HOW)
    return ("--control-plane", str(found.folder))


def outputs(notebook: nbformat.NotebookNode) -> str:
    """Every text output of a notebook."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in found)


@pytest.mark.parametrize("control_plane", ["embedded", "real"])
def test_quickstart(home: SandboxHome, tmp_path: Path, control_plane: str) -> None:
    home.up(*options(control_plane))
    printed, executed = run(home, "quickstart.ipynb", tmp_path)
    text = outputs(executed)
    assert "PLAN digits" in printed
    assert "JOB digits" in printed
    assert "step 200 loss" in text
    assert "difference" in text


@pytest.mark.skipif(not can_import(SYSTEM_PYTHON, "torch"), reason="PyTorch is not there for the system's Python")
@pytest.mark.parametrize("control_plane", ["embedded", "real"])
def test_pytorch_ddp(home: SandboxHome, tmp_path: Path, control_plane: str) -> None:
    home.up("--runtime", f"pytorch/*={SYSTEM_PYTHON}", *options(control_plane))
    _, executed = run(home, "pytorch_ddp.ipynb", tmp_path)
    assert "loss differs from one process by" in outputs(executed)
