"""`%gke_quota`: what there may be, what is used, and what a job would take."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gke_notebook.errors import InvalidInput
from gke_notebook.magics.shared import current, readable_errors

if TYPE_CHECKING:
    import pandas as pd

_SHAPE = ("gpu", "tpu", "nodes", "cpu", "memory", "spot", "flex", "reservation", "zone")


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> pd.DataFrame:  # noqa: ARG001 - one shape for all
    """Give the table, which is a DataFrame where it is assigned.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    from gke_notebook.widgets.frames import framed
    from gke_notebook.widgets.quota import COLUMNS, quota_view, records

    with readable_errors():
        shape = {name: value for name in _SHAPE if (value := getattr(options, name))}
        if options.nodes is not None:
            shape["nodes"] = options.nodes
        if options.name and shape:
            words = ", ".join(f"--{name}" for name in shape)
            raise InvalidInput(f"%gke_quota {options.name}: the job says what it takes; leave {words} out, or the name")
        if options.namespace:
            shape["namespace"] = options.namespace
        found = current().quota(options.name or "", **shape)
        return framed(quota_view(found), COLUMNS, records(found))
