"""The reference made from the parsers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gke_notebook.magics.reference import reference_markdown
from gke_notebook.magics.table import MAGICS


def test_every_magic_and_option_is_in_it() -> None:
    page = reference_markdown()
    for magic in MAGICS:
        parser = magic.parser()
        assert f"%{magic.name}`" in page
        for word in parser.words():
            if word not in {"--help", "-h"}:
                assert f"`{word}" in page
    assert "`--gpu TYPE[:COUNT]`" in page
    assert "`--requirements FILE\\|LIST`" in page


def test_it_is_printed_by_the_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gke_notebook.magics.reference"], capture_output=True, text=True, check=True
    )
    assert done.stdout == reference_markdown()


@pytest.mark.parametrize("magic", MAGICS, ids=lambda magic: magic.name)
def test_each_manual_has_an_example_that_parses(magic: object) -> None:
    from gke_notebook.magics.options import parse

    parser = magic.parser()  # type: ignore[attr-defined]
    examples = [line.strip() for line in (parser.epilog or "").split("\n")[1:]]
    assert examples
    for example in examples:
        line = example.split("   ")[0].partition(" ")[2]  # what follows three spaces is a remark
        parse(parser, line, {"nodes": 2})


def test_help_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = MAGICS[2].parser().format_help()
    monkeypatch.setenv("COLUMNS", "40")
    assert MAGICS[2].parser().format_help() == wide
