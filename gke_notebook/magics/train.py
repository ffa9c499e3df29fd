"""`%%gke_train`: a cell becomes a training job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gke_notebook.errors import InvalidInput
from gke_notebook.magics.options import fail
from gke_notebook.magics.shared import attach, bind, current, readable_errors, show

if TYPE_CHECKING:
    import pandas as pd

    from gke_notebook.session.what_if import Choice

# Options that are passed on as they are, when they are given; the session knows the defaults.
_PASSED = (
    "gpu",
    "tpu",
    "nodes",
    "procs_per_node",
    "framework",
    "requirements",
    "image",
    "namespace",
    "cpu",
    "memory",
    "max_duration",
    "max_retries",
    "spot",
    "flex",
    "reservation",
    "zone",
    "machine_type",
    "compute_class",
    "fallback",
)


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> pd.DataFrame | None:
    """Show the plan, create the job, wait for it; or give the table of what else it could run on.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: the cell below, None for the line form.
    """
    from gke_notebook.widgets.plan_card import plan_view

    with readable_errors():
        source, variables = _source(shell, options, cell)
        session = current()
        wanted = {name: value for name in _PASSED if (value := getattr(options, name)) is not None}
        wanted |= {"env": environment(options.env), "include": tuple(options.include)}
        wanted |= {"variables": variables, "magic_line": cell is not None}
        if options.what_if:
            return _what_if(options.name, session.what_if(options.name, source, **wanted))
        plan = session.plan(options.name, source, **wanted)
        if options.dry_run:
            session.check(plan, replace=options.replace)
        show(plan_view(plan, dry_run=options.dry_run))
        if options.dry_run:
            return None
        job = session.apply(plan, replace=options.replace, queue_anyway=options.queue_anyway)
        # Before anything can interrupt the wait: the job exists, so the variable must.
        variable = bind(shell, job)
        attach(shell, job, variable, wait=options.wait)
    return None


def _what_if(name: str, choices: Sequence[Choice]) -> pd.DataFrame:
    from gke_notebook.widgets.frames import framed
    from gke_notebook.widgets.what_if import COLUMNS, records, what_if_view

    return framed(what_if_view(name, choices), COLUMNS, records(choices))


def _source(shell: Any, options: argparse.Namespace, cell: str | None) -> tuple[str, dict[str, Any]]:
    if cell is not None:
        if options.file is not None:
            fail("%%gke_train: --file is for the line form; a cell is its own program")
        return cell, notebook_variables(shell)
    if options.file is None:
        fail("%gke_train: without a cell it needs --file PATH; to run a cell, write %%gke_train above it")
    path = Path(options.file).expanduser()
    try:
        return path.read_text(encoding="utf-8"), {}
    except FileNotFoundError:
        near = sorted(found.name for found in path.parent.glob("*.py")) if path.parent.is_dir() else []
        hint = f"; {path.parent} has {', '.join(near[:5])}" if near else ""
        fail(f"%gke_train: no file {options.file!r}{hint}")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"%gke_train: {options.file!r} cannot be read as text: {error}")


def notebook_variables(shell: Any) -> dict[str, Any]:
    """Give the variables of the notebook, without what IPython itself has put among them (``In``, its own ``open``).

    Args:
        shell: the interactive shell.
    """
    hidden = shell.user_ns_hidden
    found = {name: value for name, value in shell.user_ns.items() if name not in hidden or hidden[name] is not value}
    # The cells that have run: a class without methods has its source nowhere else.
    return {**found, "_ih": shell.user_ns["_ih"]} if "_ih" in shell.user_ns else found


def environment(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Make the environment out of repeated options.

    Args:
        pairs: the names and values in the order in which they were written.

    Raises:
        InvalidInput: a name is given twice with different values.
    """
    found: dict[str, str] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            raise InvalidInput(f"--env {key} is given twice, with different values")
    return found
