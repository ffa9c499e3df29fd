"""`%gke_cancel`: stop a job."""

from __future__ import annotations

import argparse
from typing import Any

from gke_notebook.magics.shared import current, readable_errors


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> None:  # noqa: ARG001 - one shape for all
    """Stop the job, unless it has ended already.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    with readable_errors():
        job = current().job(options.name, options.namespace)
        state = job.state
        if state.ended:
            print(f"job {job.name!r} has ended already: {state.sentence or state.phase}")
            return
        job.cancel()
        print(f"job {job.name!r} is being cancelled; its record stays (%gke_jobs), its pods and their logs go")
