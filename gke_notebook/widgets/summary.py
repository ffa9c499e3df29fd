"""A short text of any value, for a card; never raises and never takes long."""

from __future__ import annotations

import reprlib

from gke_notebook.insight.text import one_line

LIMIT = 400  # characters


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 12
        self.maxlevel = 4
        self.maxstring = self.maxother = 160
        self.maxlong = 60

    def repr_str(self, x: str, level: int) -> str:
        # The built-in one makes the repr of the whole string first.
        return super().repr_str(x if len(x) <= self.maxstring else x[: self.maxstring] + "…", level)


def summarise(value: object) -> str:
    """Give a short text of a value on one line.

    Args:
        value: anything, for example the result of a job.

    Example:
        >>> summarise({"accuracy": 0.97, "losses": list(range(100))})
        "{'accuracy': 0.97, 'losses': [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...]}"
    """
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None and shape:
        return f"{type(value).__name__} of shape {shape}, {dtype}"
    try:
        return one_line(_Short().repr(value), LIMIT)
    except Exception as error:  # the repr is the user's own code and may raise anything
        return f"<{type(value).__name__}: its repr failed with {type(error).__name__}>"
