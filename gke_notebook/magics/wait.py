"""`%gke_wait`: attach to a job again."""

from __future__ import annotations

import argparse
from typing import Any

from gke_notebook.magics.shared import attach, bind, current, readable_errors


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> None:  # noqa: ARG001 - one shape for all
    """Show the job's card and wait for its end.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    with readable_errors():
        job = current().job(options.name, options.namespace)
        attach(shell, job, bind(shell, job), timeout=options.timeout)
