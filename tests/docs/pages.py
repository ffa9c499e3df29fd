"""The pages of the documentation as blocks that can be run.

A block is a fenced one. `ipython` is a notebook cell; `console` holds `$ commands`, each followed by what it must
print; a `text` or `yaml` block right after a cell is what that cell must show. In an output, `...` stands for anything.
A comment on the line before a block changes how it is taken:

    <!-- not run: reason -->    it is only shown
    <!-- needs: PROGRAM -->     it is run where PROGRAM is installed; the page's test is reported as skipped elsewhere
    <!-- new kernel -->         the cell runs in a kernel that has just been started
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTPUTS = ("text", "yaml")
KINDS = ("ipython", "console", *OUTPUTS)
GENERATED = ("magics.md", "cli.md")  # their examples are checked by test_generated.py

_FENCE = re.compile(r"^```(?P<kind>\S*)[^\n]*\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!-- (?P<text>[^>]+) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        kind: what stands after the fence.
        body: its lines.
        line: where it begins, from 1.
        remark: the comment on the line before it, empty for none.
        follows: the block right before it, with nothing but blank lines between.
    """

    kind: str
    body: str
    line: int
    remark: str = ""
    follows: Block | None = field(default=None, repr=False)

    @property
    def only_shown(self) -> bool:
        return self.remark.startswith("not run: ")

    @property
    def needs(self) -> str:
        return self.remark.removeprefix("needs: ") if self.remark.startswith("needs: ") else ""

    @property
    def new_kernel(self) -> bool:
        return self.remark == "new kernel"


def pages() -> list[Path]:
    """Give every page that a reader may open."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read_blocks(text: str) -> Iterator[Block]:
    """Give the fenced blocks of a page in order.

    Args:
        text: the page.
    """
    last, end = None, 0
    for found in _FENCE.finditer(text):
        between = text[end : found.start()]
        comment = _COMMENT.search(between)
        line = text[: found.start()].count("\n") + 1
        before = last if not between.strip() else None
        last = Block(found["kind"], found["body"], line, comment["text"] if comment else "", before)
        end = found.end()
        yield last


def commands(body: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block with the output that must follow.

    Args:
        body: the block's lines.
    """
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :]).strip()
