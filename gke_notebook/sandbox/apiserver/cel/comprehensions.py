"""The macros over lists and maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .nodes import Each
from .running import Run, Step, decide, field_of
from .values import CelError


def over(node: Each, range_: Step, body: Step, where: Step | None) -> Step:
    """Make a macro over a list or a map.

    Args:
        node: the macro.
        range_: gives what it is over.
        body: gives what it says of each item.
        where: gives whether an item counts; None when all do.
    """
    macro, first, second = node.macro, node.variable, node.second

    def items(run: Run) -> Iterator[dict[str, Any]]:
        """Set the variables to each item in turn, and count what a turn costs."""
        value = range_(run)
        if isinstance(value, list):
            pairs: Any = enumerate(value) if second else ((each, None) for each in value)
        elif isinstance(value, dict):
            pairs = [(key, field_of(run, value, key) if second else None) for key in value]
        else:
            raise CelError("no such overload")
        names = dict(run.values)
        for one, other in pairs:
            run.spend(3)
            names[first] = one
            if second:
                names[second] = other
            run.values = names
            if where is not None:
                wanted = where(run)
                if not isinstance(wanted, bool):
                    raise CelError("no such overload")
                if not wanted:
                    continue
            yield names

    if macro in {"all", "exists"}:
        return _quantified(items, body, decisive=macro == "exists")
    return _gathered(macro, items, body, first)


_Items = Callable[[Run], Iterator[dict[str, Any]]]


def _quantified(items: _Items, body: Step, *, decisive: bool) -> Step:
    def step(run: Run) -> Any:
        return decide((body for _ in items(run)), run, decisive=decisive)

    return _restored(step)


def _restored(inner: Step) -> Step:
    """Put the variables back at once, also when the inner step ends early or fails."""

    def step(run: Run) -> Any:
        before = run.values
        try:
            return inner(run)
        finally:
            run.values = before

    return step


def _gathered(macro: str, items: _Items, body: Step, first: str) -> Step:
    def step(run: Run) -> Any:
        found: list[Any] = []
        keyed: dict[Any, Any] = {}
        for names in items(run):
            value = body(run)
            if macro in {"filter", "exists_one"}:
                if not isinstance(value, bool):
                    raise CelError("no such overload")
                if value:
                    found.append(names[first])
            elif macro == "transformMap":
                keyed[names[first]] = value
            elif macro == "transformMapEntry":
                keyed.update(value)
            else:
                found.append(value)
                run.spend(1)
        if macro == "exists_one":
            return len(found) == 1
        return keyed if macro.startswith("transformMap") else found

    return _restored(step)
