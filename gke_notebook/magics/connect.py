"""`%gke_connect`: choose the cluster."""

from __future__ import annotations

import argparse
from typing import Any

from gke_notebook.magics.shared import readable_errors, show


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> None:  # noqa: ARG001 - one shape for all
    """Connect, and say to what.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    from gke_notebook.session.current import connect
    from gke_notebook.widgets.tables import connected_view

    with readable_errors():
        session = connect(options.target, namespace=options.namespace)
        show(connected_view(session.status()))
