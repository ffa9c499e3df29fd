"""A table that is a view where it is shown and a pandas DataFrame where it is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from gke_notebook.widgets.view import View

if TYPE_CHECKING:
    import pandas as pd


def framed(view: View, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Give a DataFrame that shows as a view while it is as it was made: `df = %gke_accelerators`.

    What is computed from it is a plain DataFrame, and so is it itself as soon as something in it is changed.

    Args:
        view: how it is shown.
        columns: the names of the columns, also for a table without rows.
        rows: values by column.
    """
    import pandas as pd

    made = pd.DataFrame(list(rows), columns=list(columns))
    frame = _class()(made)
    object.__setattr__(frame, "_view", view)
    object.__setattr__(frame, "_made", made)
    found: pd.DataFrame = frame
    return found


@cache
def _class() -> Any:
    import pandas as pd

    class Table(pd.DataFrame):
        """A DataFrame with a view."""

        # pandas warns of attributes that it does not know.
        _internal_names = [*pd.DataFrame._internal_names, "_view", "_made"]  # type: ignore[attr-defined]  # noqa: RUF012, SLF001
        _internal_names_set = set(_internal_names)  # noqa: RUF012

        @property
        def _constructor(self) -> Any:
            return pd.DataFrame

        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
            view = self.__dict__.get("_view")
            if view is not None and self.equals(self.__dict__["_made"]):
                bundle: dict[str, str] = view._repr_mimebundle_(include, exclude)
                return bundle
            forms = {"text/plain": repr(self), "text/html": self._repr_html_() or ""}  # type: ignore[operator]
            return {kind: form for kind, form in forms.items() if form and kind not in set(exclude or ())}

    return Table
