"""From a cell and the notebook's names to a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gke_notebook.program.cell import parse_cell, program_text
from gke_notebook.program.flow import analyse
from gke_notebook.program.includes import read_includes
from gke_notebook.program.resolve import Resolver
from gke_notebook.specs import Program


def build(
    cell: str,
    variables: Mapping[str, object],
    *,
    include: Sequence[str] = (),
    base: Path | None = None,
    requirements: Sequence[str] = (),
    magic_line: bool = True,
) -> Program:
    """Make a cell into a program that runs anywhere: find what it uses from the notebook and have that travel.

    Nothing of the notebook is run, and nothing is pickled: what travels is source.

    Args:
        cell: the body below the magic line.
        variables: the notebook's names, IPython's `user_ns`; they are read and never changed.
        include: files, folders and patterns to ship, relative to `base`.
        base: the notebook's directory; the working directory by default.
        requirements: requirement specifiers for pip, already checked.
        magic_line: whether a magic line stands above the body, so that line numbers count it.

    Raises:
        InvalidInput: the cell has a syntax error or a magic, or uses something that cannot travel; the text names
            all of that, with the lines of the cell.

    Example:
        >>> build("print(rate)", {"rate": 0.1}).names[0].source
        'rate = 0.1\\n'
    """
    lazy = variables.get("annotations") is annotations  # the feature itself, as the first line here imports it
    text = program_text(cell, lazy_annotations=lazy, magic_line=magic_line)
    tree = parse_cell(text)
    place = Path.cwd() if base is None else Path(base)
    files = read_includes(include, place)
    resolver = Resolver(analyse(tree, lazy_annotations=lazy), variables, files, place)
    resolver.check_files(files)
    names = resolver.resolve(lazy_annotations=lazy)
    return Program(cell=text, names=names, files=files, requirements=tuple(requirements))
