"""`%gke_accelerators`: what exists, what it costs and how it can be had."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gke_notebook.errors import InvalidInput
from gke_notebook.magics.shared import readable_errors

if TYPE_CHECKING:
    import pandas as pd

_FEW = 2  # types whose machines are listed one by one


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> pd.DataFrame:  # noqa: ARG001 - one shape for all
    """Give the table, which is a DataFrame where it is assigned.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    with readable_errors():
        return _slices(options) if options.tpu_chips is not None else _accelerators(options)


def _accelerators(options: argparse.Namespace) -> pd.DataFrame:
    from gke_notebook.catalog import offers
    from gke_notebook.catalog.search import find, nothing, sort_key, summarise
    from gke_notebook.widgets.accelerators import COLUMNS, accelerators_view, records
    from gke_notebook.widgets.frames import framed

    types = find(options.words)
    if options.sort:
        sort_key(options.sort)  # a wrong word is said before anything else
    limits = {
        "location": options.region or "",
        "memory_gib": _memory(options),
        "max_price": options.max_price,
        "spot": options.spot,
    }
    found = offers(types=types, **limits)
    if not found:
        raise InvalidInput(nothing(types, **limits))
    rows = summarise(found, options.sort or "")
    order = [row.name for row in rows]
    listed = sorted(found, key=lambda offer: order.index(offer.name))
    machines = listed if len(rows) <= _FEW else ()
    return framed(accelerators_view(rows, machines, where=options.region or ""), COLUMNS, records(listed))


def _slices(options: argparse.Namespace) -> pd.DataFrame:
    from gke_notebook.catalog import pick_tpu, tpu_names
    from gke_notebook.catalog.search import find
    from gke_notebook.widgets.accelerators import SLICE_COLUMNS, slice_records, slices_view
    from gke_notebook.widgets.frames import framed

    types = [name for name in find(options.words) if name in tpu_names()]
    if not types:
        raise InvalidInput(f"{' '.join(options.words)} is no TPU; choose one of: {', '.join(tpu_names())}")
    memory = _memory(options)
    shapes = pick_tpu(options.tpu_chips, memory, types, options.region)
    if options.spot:
        shapes = tuple(shape for shape in shapes if shape.spot is not None)
    if options.max_price is not None:
        kept = tuple(shape for shape in shapes if (_cost(shape, options.spot) or float("inf")) <= options.max_price)
        if not kept:
            cheapest = shapes[0] if shapes else None
            said = (
                f"; the cheapest is {cheapest.option} at {_cost(cheapest, options.spot):.2f} USD/h" if cheapest else ""
            )
            raise InvalidInput(f"no slice of {options.tpu_chips} chips for {options.max_price:g} USD/h{said}")
        shapes = kept
    wanted = f"at least {options.tpu_chips} chips" + (f" and {memory:.0f} GiB" if memory else "")
    return framed(slices_view(shapes, wanted=wanted, where=options.region or ""), SLICE_COLUMNS, slice_records(shapes))


def _cost(shape: Any, spot: bool) -> float | None:
    amount: float | None = shape.spot_usd_hour if spot or shape.usd_hour is None else shape.usd_hour
    return amount


def _memory(options: argparse.Namespace) -> float | None:
    from gke_notebook.request.quantities import parse_memory

    return None if options.memory is None else parse_memory(options.memory)
