"""`%gke_status`: where we are connected, what is free, what we may do."""

from __future__ import annotations

import argparse
from typing import Any

from gke_notebook.magics.shared import current, readable_errors, show


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> None:  # noqa: ARG001 - one shape for all
    """Show the connection.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    from gke_notebook.widgets.tables import status_view

    with readable_errors():
        show(status_view(current().status()))
