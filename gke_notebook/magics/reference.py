"""The reference of the magics as Markdown, made from their parsers: `python -m gke_notebook.magics.reference`."""

from __future__ import annotations

import argparse
import re

from gke_notebook.magics.options import Magic
from gke_notebook.magics.table import MAGICS

_INTRODUCTION = """# Magics

This page is made from the code (`python -m gke_notebook.magics.reference`). In a notebook, `%gke_train?` or
`%gke_train --help` shows the same manual.

Values may come from Python variables: `$name`, `$name.attribute` or `${name}`, as a whole word or within one; `$$` is a
dollar sign. A word with spaces is quoted as in a POSIX shell. Option words are exact: there are no abbreviations.
"""


# What is typed in a notebook: magics with their words, options, variables.
_TYPED = re.compile(r"%%?gke_\w+(?: NAME)?(?: --file PATH)?|--[a-z-]+(?: \$\w+)?|\$\$|\$\{\w+\}|\$\w+(?:\.\w+)*")


def reference_markdown() -> str:
    """Give the reference of every magic as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(magic) for magic in MAGICS)])


def _section(magic: Magic) -> str:
    parser = magic.parser()
    word = f"%%{magic.name}" if magic.kind == "line_cell" else f"%{magic.name}"
    rows = [_row(action) for action in _actions(parser)]
    lines = [f"## `{word}`", "", _TYPED.sub(r"`\g<0>`", (parser.description or "").strip()), ""]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    title, _, examples = (parser.epilog or "").partition("\n")
    if examples:
        lines += [title, "", "```text", *(line.removeprefix("  ") for line in examples.split("\n")), "```", ""]
    return "\n".join(lines)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse has no public list of its arguments.
    actions = [action for action in parser._actions if "--help" not in action.option_strings]  # noqa: SLF001
    return sorted(actions, key=lambda action: bool(action.option_strings))


def _row(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        word = f"[{metavar}]" if action.nargs == "?" else metavar
    elif action.nargs == 0:
        word = action.option_strings[0]
    else:
        word = f"{action.option_strings[0]} {metavar}"
    escaped = word.replace("|", "\\|")
    meaning = (action.help or "").replace("|", "\\|").replace("%%", "%")
    return f"| `{escaped}` | {meaning} |"


if __name__ == "__main__":
    print(reference_markdown(), end="")
