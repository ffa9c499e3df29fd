"""`%gke_logs`: the log of a job, line by line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gke_notebook.magics.shared import current, quiet, readable_errors

if TYPE_CHECKING:
    from gke_notebook.objects import LogLine


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> None:  # noqa: ARG001 - one shape for all
    """Print the log.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    from gke_notebook.insight.text import named
    from gke_notebook.magics.options import fail

    with readable_errors():
        job = current().job(options.name, options.namespace)
        ranks = job.state.ranks
        if options.rank is not None and ranks and options.rank >= ranks:
            fail(f"%gke_logs: job {job.name!r} has {named('rank', range(ranks))}, no rank {options.rank}")
        printed = False
        try:
            for line in job.logs(rank=options.rank, tail=options.tail, follow=options.follow):
                printed = True
                print(line_text(line, alone=options.rank is not None))
        except KeyboardInterrupt as interrupt:
            quiet(interrupt, f"KeyboardInterrupt: job {job.name!r} goes on; only the log was stopped")
            raise
        if not printed:
            state = job.state
            why = " yet" if not state.ended else "" if state.phase == "succeeded" else "; a log goes with its pod"
            print(f"job {job.name!r} has no log lines{why} ({state.sentence or state.phase})")


def line_text(line: LogLine, *, alone: bool = False) -> str:
    """Give a log line as printed.

    Args:
        line: the line.
        alone: whether only one rank is shown, so that its name need not be.
    """
    attempt = f" attempt {line.attempt + 1}" if line.attempt else ""
    if alone:
        return f"{attempt.strip()} | {line.text}" if attempt else line.text
    who = f"rank {line.rank}" if line.rank is not None else f"node {line.index}"
    return f"{who}{attempt} | {line.text}"
