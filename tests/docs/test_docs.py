"""What the documentation shows is what happens: its commands are run and its outputs compared.

In a page, a block marked `ipython` is a notebook cell (all of one page share a kernel), a `text` block right after one is what it must
print, and a `console` block holds `$ commands`, each followed by what it must print. `...` stands for anything.
A block that follows the comment `<!-- not run: reason -->` is only shown.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.home import SandboxHome, sandbox_home

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?P<skip><!-- not run: [^>]+ -->\n)?```(?P<kind>ipython|console|text)\n(?P<body>.*?)```\n", re.DOTALL)
CHECKER = doctest.OutputChecker()


@dataclass(frozen=True)
class Block:
    kind: str
    body: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found["kind"], found["body"], text[: found.start()].count("\n") + 1)
        for found in BLOCK.finditer(text)
        if not found["skip"]
    ]


PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if any(block.kind != "text" for block in blocks(path))
]


def same(wanted: str, got: str) -> bool:
    """Compare as doctest does: `...` matches anything, runs of blanks are equal, trailing blanks do not count."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return CHECKER.check_output(wanted.strip() + "\n", got.strip() + "\n", flags)


def commands(body: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block with the output that must follow."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :]).strip()


class Console:
    """Runs commands one by one; what one exports the next sees."""

    def __init__(self, home: SandboxHome, directory: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**home.environment, "PATH": path, "COLUMNS": "200"}
        self.directory = directory
        self.exports: list[str] = []

    def run(self, command: str) -> str:
        if command.startswith("make "):  # a test does not run the tests; that the target exists is what it can say
            target = command.split()[1]
            subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)
            return ""
        script = "\n".join(["set -euo pipefail", *self.exports, command])
        done = subprocess.run(
            ["bash", "-c", script], env=self.environment, cwd=self.directory, capture_output=True, text=True,
            timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        if command.startswith("export "):
            self.exports.append(command)
        return done.stdout + done.stderr


def shown(cell: nbformat.NotebookNode) -> str:
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(text.rstrip("\n") for text in texts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path) -> None:
    with sandbox_home(tmp_path) as home:
        console = Console(home, tmp_path)
        notebook = nbformat.v4.new_notebook()
        client = NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}})
        with client.setup_kernel(env={**console.environment, "JUPYTER_PLATFORM_DIRS": "1"}):
            found = blocks(page)
            for block, following in zip(found, [*found[1:], Block("", "", 0)], strict=True):
                place = f"{page.name}:{block.line}"
                if block.kind == "console":
                    for command, wanted in commands(block.body):
                        got = console.run(command)
                        assert not wanted or same(wanted, got), f"{place}: $ {command}\nwanted:\n{wanted}\ngot:\n{got}"
                elif block.kind == "ipython":
                    cell = nbformat.v4.new_code_cell(block.body.rstrip("\n"))
                    notebook.cells.append(cell)
                    client.execute_cell(cell, len(notebook.cells) - 1)
                    if following.kind == "text":
                        got = shown(cell)
                        assert same(following.body, got), f"{place}\nwanted:\n{following.body}\ngot:\n{got}"
