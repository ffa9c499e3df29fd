"""What the documentation shows is what happens: its commands are run and outputs compared (the form: pages.py)."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from gke_notebook.sandbox.controlplane import build
from tests.docs.pages import GENERATED, KINDS, OUTPUTS, ROOT, Block, commands, pages, read_blocks
from tests.support.control_plane import find_control_plane
from tests.support.home import SandboxHome, sandbox_home
from tests.support.kubectl import find_kubectl

CHECKER = doctest.OutputChecker()
RUN = [page for page in pages() if any(block.kind in ("ipython", "console") for block in read_blocks(page.read_text()))]


def same(wanted: str, got: str) -> bool:
    """Compare as doctest does: `...` matches anything, runs of blanks are equal, trailing blanks do not count."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return CHECKER.check_output(wanted.strip() + "\n", got.strip() + "\n", flags)


class Console:
    """Runs commands one by one; what one exports the next sees."""

    def __init__(self, home: SandboxHome, directory: Path) -> None:
        tools = directory / "tools"
        tools.mkdir()
        if (kubectl := find_kubectl()) is not None:
            (tools / "kubectl").symlink_to(kubectl)
        if (built := find_control_plane()) is not None:
            (tools / "kube-apiserver").symlink_to(built.programs["kube-apiserver"])
            cached = directory / "cache" / "gke-notebook" / build.folder().name
            cached.parent.mkdir(parents=True)
            cached.symlink_to(built.folder)  # the cache is the test's own, and nothing is built in it
        self.environment = {
            **home.environment,
            "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "COLUMNS": "200",
            "NO_PROXY": "127.0.0.1",
            # Nothing is left in the caches of whoever runs the tests.
            "XDG_CACHE_HOME": str(directory / "cache"),
            "KUBECACHEDIR": str(directory / "cache" / "kubectl"),
        }
        self.directory = directory

    def lacks(self, block: Block) -> str:
        """Give the program that a block needs and that is not installed, empty for none."""
        if block.needs and shutil.which(block.needs, path=self.environment["PATH"]) is None:
            return block.needs
        wants_kubectl = block.kind == "console" and any(
            re.search(r"\bkubectl\b|\bKUBECONFIG\b", command) for command, _ in commands(block.body)
        )
        return "kubectl" if wants_kubectl and find_kubectl() is None else ""

    def check(self, place: str, block: Block) -> None:
        found = list(commands(block.body))
        assert found, f"{place}: a console block without a `$ command`"
        for command, wanted in found:
            got = self.run(command)
            assert same(wanted, got), f"{place}: $ {command}\nwanted:\n{wanted}\ngot:\n{got}"

    def run(self, command: str) -> str:
        if command.startswith("make "):  # a test does not run the tests; that the target exists is what it can say
            subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, check=True, capture_output=True)
            return ""
        if command.startswith("pip install -e"):  # nor does it install; that is what it was installed by
            assert (ROOT / "pyproject.toml").is_file()
            return ""
        kept = self.directory / "environment"
        keep = ['env --null > "$KEPT"'] if command.startswith("export ") else []
        script = "\n".join(["set -euo pipefail", command, *keep])
        done = subprocess.run(
            ["bash", "-c", script], env={**self.environment, "KEPT": str(kept)}, cwd=self.directory,
            capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        if keep:
            self.environment = dict(line.split("=", 1) for line in kept.read_text().split("\0") if line)
            kept.unlink()
        return done.stdout + done.stderr


class Cells:
    """Runs the cells of one page in one kernel, until a new one is asked for."""

    def __init__(self, console: Console) -> None:
        self.environment = {**console.environment, "JUPYTER_PLATFORM_DIRS": "1"}
        self.directory = console.directory
        self.client: NotebookClient | None = None

    def start(self) -> NotebookClient:
        self.stop()
        notebook = nbformat.v4.new_notebook()
        self.client = NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(self.directory)}})
        self.client.km = self.client.create_kernel_manager()
        self.client.start_new_kernel(env=self.environment)
        self.client.start_new_kernel_client()
        return self.client

    def stop(self) -> None:
        if self.client is not None:
            self.client._cleanup_kernel()  # which nbclient calls itself at the end of execute()
            self.client = None

    def run(self, block: Block) -> tuple[str, str]:
        """Run a cell; give what it shows, and the name of the error that it raises."""
        client = self.client if self.client is not None and not block.new_kernel else self.start()
        cell = nbformat.v4.new_code_cell(block.body.rstrip("\n"))
        client.nb.cells.append(cell)
        try:
            client.execute_cell(cell, len(client.nb.cells) - 1)
        except CellExecutionError as error:
            return shown(cell), error.ename
        return shown(cell), ""


def shown(cell: nbformat.NotebookNode) -> str:
    """Give the text of a cell's outputs, as a terminal without colours would show it."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "error":
            text = "\n".join(output.traceback)
        else:
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
        texts.append(re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip("\n"))
    return "\n".join(text for text in texts if text)


def check_cell(cells: Cells, place: str, block: Block, wanted: str | None) -> None:
    got, raised = cells.run(block)
    if raised:
        assert wanted is not None, f"{place}: raises {raised}, and the page does not show it:\n{got}"
        assert raised in wanted, f"{place}: raises {raised}, which the page does not name:\n{got}"
    assert wanted is None or same(wanted, got), f"{place}\nwanted:\n{wanted}\ngot:\n{got}"


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path) -> None:
    found = list(read_blocks(page.read_text()))
    outputs = {block.follows.line: block.body for block in found if block.follows and block.kind in OUTPUTS}
    left_out = []
    with sandbox_home(tmp_path) as home:
        console = Console(home, tmp_path)
        cells = Cells(console)
        try:
            for block in found:
                place = f"{page.name}:{block.line}"
                if block.only_shown:
                    continue
                if lacking := console.lacks(block):
                    left_out.append(f"line {block.line} needs {lacking}")
                elif block.kind == "console":
                    console.check(place, block)
                elif block.kind == "ipython":
                    check_cell(cells, place, block, outputs.get(block.line))
        finally:
            cells.stop()
    if left_out:
        pytest.skip(f"{page.name} was run except for blocks that could not be: {', '.join(left_out)}")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_is_run_or_said_not_to_be(page: Path) -> None:
    for block in read_blocks(page.read_text()):
        place = f"{page.name}:{block.line}"
        if block.only_shown or page.name in GENERATED:
            continue
        assert block.kind in KINDS, f"{place}: a block of kind {block.kind!r} is not run"
        if block.kind in OUTPUTS:
            before = block.follows
            assert before is not None, f"{place}: an output without a cell before it"
            assert before.kind == "ipython", f"{place}: an output without a cell before it"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for target in targets:
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        file = page if not path else page.parent / path
        assert file.exists(), f"{page.name}: {target} does not exist"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{page.name}: {target} has no such heading"


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
