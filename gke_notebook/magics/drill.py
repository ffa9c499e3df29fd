"""`%gke_drill`: let something go wrong in the sandbox on purpose; the words are the command's."""

from __future__ import annotations

import argparse
from typing import Any

from gke_notebook.errors import nearest
from gke_notebook.magics.options import fail
from gke_notebook.magics.shared import readable_errors

DRILLS = ("stockout", "quota", "preempt", "slow-pull", "api-errors", "list", "stop")
_FLAGS = ("spot", "on_demand")
_VALUES = ("accelerator", "zone", "machine_type", "limit", "seconds", "image", "status", "rate", "count", "api")


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> None:  # noqa: ARG001 - one shape for all
    """Run `gke-notebook sandbox drill` and print what it says.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.
    """
    from gke_notebook.session.sandbox import drill

    if options.drill not in DRILLS:
        fail(f"%gke_drill: there is no drill {options.drill!r}; {nearest(options.drill, DRILLS)}")
    with readable_errors():
        print(drill(words(options)))


def words(options: argparse.Namespace) -> list[str]:
    """Give the command's words for what was written.

    Args:
        options: what was written.

    Example:
        >>> words(argparse.Namespace(drill="slow-pull", name=None, seconds="60", spot=False))
        ['slow-pull', '--seconds=60']
    """
    written = vars(options)
    found = [options.drill]
    found += [f"--{name.replace('_', '-')}" for name in _FLAGS if written.get(name)]
    found += [f"--{name.replace('_', '-')}={written[name]}" for name in _VALUES if written.get(name) is not None]
    return [*found, "--", options.name] if options.name is not None else found
