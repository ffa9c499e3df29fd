"""`%gke_jobs`: the jobs of a namespace."""

from __future__ import annotations

import argparse
from typing import Any

from gke_notebook.magics.shared import current, readable_errors, show


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> None:  # noqa: ARG001 - one shape for all
    """List the jobs.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    from gke_notebook.widgets.tables import jobs_view

    with readable_errors():
        session = current()
        jobs = session.jobs(options.namespace, everyone=options.everyone)
        where = f"namespace {options.namespace or session.namespace}"
        whose = "" if options.everyone else "; --everyone also shows those of others"
        show(jobs_view([job.state for job in jobs], where=where + whose))
