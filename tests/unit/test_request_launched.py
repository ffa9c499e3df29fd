"""A request as a real pod runs it: the notebook's names, its files and the cell's own line numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gke_notebook import request
from tests.support.pods import run_pod

NOTEBOOK = """
import json
from dataclasses import dataclass
from enum import Enum
import mine

class Mode(Enum):
    FAST = 1

@dataclass
class Settings:
    mode: Mode
    sizes: tuple = (1, 2)

def total(settings, *, scale=mine.scale):
    return sum(settings.sizes) * scale

settings = Settings(Mode.FAST)
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    (tmp_path / "mine.py").write_text("scale = 10\ndef show(x): return f'<{x}>'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    main = sys.modules["__main__"]
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    shell.run_cell(NOTEBOOK, store_history=True).raise_error()
    yield shell
    sys.modules["__main__"] = main
    sys.modules.pop("mine")


def test_everything_is_there(shell: InteractiveShell, tmp_path: Path) -> None:
    cell = (
        "import asyncio, os, pickle\n"
        "await asyncio.sleep(0)\n"
        "again = pickle.loads(pickle.dumps(settings))\n"
        "display(mine.show(again.mode is Mode.FAST))\n"
        "result = {'total': total(again), 'seed': os.environ['SEED'], 'file': open('data/a.txt').read()}\n"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("ä")
    spec = request.build_spec(
        "digits", cell, variables=shell.user_ns, env={"SEED": "$(HOME) 7"}, include=["mine.py", "data"], base=tmp_path
    )
    ended = run_pod(tmp_path / "pod", spec)
    assert ended.code == 0, ended.log
    assert "<True>" in ended.lines
    assert ended.outcome.result is not None
    assert ended.collector().result() == {"total": 30, "seed": "$(HOME) 7", "file": "ä"}


def test_a_failure_names_the_cells_line(shell: InteractiveShell, tmp_path: Path) -> None:
    spec = request.build_spec("digits", "\nx = 1\n1 / 0\n", variables=shell.user_ns, base=tmp_path)
    ended = run_pod(tmp_path / "pod", spec)
    assert ended.code == 1
    assert "Cell, line 4" in ended.outcome.traceback


def test_importing_costs_nothing_heavy() -> None:
    code = "import sys, json, gke_notebook.program, gke_notebook.request; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"IPython", "aiohttp", "ipywidgets", "kubernetes", "matplotlib", "msgspec", "numpy", "packaging", "pandas"}
    assert not heavy & set(json.loads(done.stdout))
