"""What docs/architecture.md says of the house is so; the arrows between the rooms are the import linter's."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gke_notebook"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_is_on_the_page_and_every_room_on_the_page_is_there() -> None:
    rooms = {
        path.name + ("/" if path.is_dir() else "")
        for path in PACKAGE.iterdir()
        if not path.name.startswith(("_", "py.typed")) and (path.is_dir() or path.suffix == ".py")
    }
    table = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([a-z]+(?:/|\.py))`", table)) == rooms


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_two_ideas(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 400


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", sorted((PACKAGE / "launch").rglob("*.py")), ids=lambda path: path.name)
def test_what_runs_in_the_pod_needs_the_standard_library_only(path: Path) -> None:
    assert set(imports(path)) - set(sys.stdlib_module_names) <= {"jax", "torch", "numpy", "pip"}


def test_every_import_is_a_declared_dependency() -> None:
    declarations = metadata.requires("gke-notebook") or []
    names = {re.split(r"[\[<>=!; ]", text)[0].lower() for text in declarations if "extra ==" not in text}
    provided = {
        "pyyaml": "yaml", "google-auth": "google", "google-cloud-container": "google", "ipython": "IPython",
    }  # fmt: skip
    declared = {provided.get(name, name) for name in names}
    ours = [path for path in MODULES if not {"launch", "shim"} & set(path.parts)]
    used = {name for path in ours for name in imports(path)}
    # Brought by what is declared: traitlets by IPython, requests and proto by Google, jsonpointer by jsonpatch;
    # packaging is used only where it happens to be.
    brought = {"traitlets", "proto", "requests", "packaging", "jsonpointer"}
    assert used - set(sys.stdlib_module_names) - {"gke_notebook"} <= declared | brought


def test_the_versions_are_one() -> None:
    import gke_notebook

    found = re.search(r'__version__ = "([^"]+)"', (PACKAGE / "_version.py").read_text())
    assert found is not None
    assert gke_notebook.__version__ == found[1]
