"""The data files of the catalog, read once and on first use."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """Read one data file.

    Args:
        name: its name without the extension, for example ``prices``.

    Returns:
        A dict of column to text for every line.
    """
    text = (files("gke_notebook.catalog") / "data" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
