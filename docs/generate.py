"""Write the reference pages that are made from the code: docs/magics.md and docs/cli.md.

python docs/generate.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from gke_notebook.cli import build_parser
from gke_notebook.magics.reference import reference_markdown

DOCS = Path(__file__).parent

CLI_INTRODUCTION = """# The command

This page is made from the code (`make docs`). `gke-notebook --help`, and `--help` after each word below, show the same.

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage, 3 no sandbox is up.
"""


def pages() -> dict[Path, str]:
    """Give each generated page and what it must hold."""
    return {DOCS / "magics.md": reference_markdown(), DOCS / "cli.md": cli_markdown(build_parser())}


def cli_markdown(parser: argparse.ArgumentParser) -> str:
    """Give the reference of a command as Markdown.

    Args:
        parser: its parser, with subcommands.
    """
    return "\n".join([CLI_INTRODUCTION, *_sections(parser, "")])


def _sections(parser: argparse.ArgumentParser, said: str) -> Iterator[str]:
    # argparse has no public list of its arguments.
    actions = parser._actions  # noqa: SLF001
    below = [action for action in actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    if not below:
        yield _section(parser, said)
    for action in below:
        helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
        for name, inner in action.choices.items():
            yield from _sections(inner, helps.get(name, ""))


def _section(parser: argparse.ArgumentParser, said: str) -> str:
    lines = [f"## `{parser.prog}`", "", _sentence(said), ""]
    rows = [_row(action) for action in parser._actions if "--help" not in action.option_strings]  # noqa: SLF001
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    words = ", ".join(action.option_strings) or metavar
    word = words if action.nargs == 0 or not action.option_strings else f"{words} {metavar}"
    return f"| `{_escaped(word)}` | {_escaped(action.help or '')} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("%%", "%")


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    # What is typed into a shell is set as code.
    head, colon, command = text.partition(": export ")
    return f"{head}: `export {command}`" if colon else f"{text}."


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(path.relative_to(DOCS.parent))
