"""The reference pages say what the code says, and every example in them can be written as it stands."""

from __future__ import annotations

import argparse
import importlib.util
import re

import pytest

from gke_notebook.magics.options import parse
from gke_notebook.magics.table import MAGICS
from tests.docs.pages import GENERATED, ROOT, read_blocks

_SPEC = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
assert _SPEC is not None
assert _SPEC.loader is not None
generate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generate)

VARIABLES = {"nodes": 2}  # what the examples take from the notebook
PARSERS = {magic.name: magic.parser for magic in MAGICS}


def examples() -> list[str]:
    """Give each magic line that the reference shows, without the explanation beside it."""
    page = (ROOT / "docs" / "magics.md").read_text()
    lines = [line for block in read_blocks(page) for line in block.body.splitlines()]
    return [re.split(r" {3,}", line)[0] for line in lines]


def test_the_pages_are_not_stale() -> None:
    made = generate.pages()
    assert {path.name for path in made} == set(GENERATED)
    for path, text in made.items():
        assert path.read_text() == text, f"docs/{path.name} is stale: run `make docs`"


@pytest.mark.parametrize("line", examples())
def test_an_example_is_accepted(line: str) -> None:
    magic, _, rest = line.partition(" ")
    parse(PARSERS[magic.lstrip("%")](), rest, VARIABLES)


def test_every_magic_has_an_example() -> None:
    assert {line.split()[0].lstrip("%") for line in examples()} == set(PARSERS)


def test_every_command_and_option_is_in_the_reference_of_the_command() -> None:
    parser = argparse.ArgumentParser(prog="tool")
    verbs = parser.add_subparsers()
    verb = verbs.add_parser("up", help="start it")
    verb.add_argument("--size", metavar="A|B", help="how large, 50 %% or more")
    page = generate.cli_markdown(parser)
    assert "## `tool up`" in page
    assert "Start it." in page
    assert r"| `--size A\|B` | how large, 50 % or more |" in page
