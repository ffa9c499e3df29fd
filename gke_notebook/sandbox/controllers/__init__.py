"""The controllers of the sandbox: Jobs, scheduling, garbage collection, namespaces, service accounts, node lifecycle.

Each is an ordinary client of the API server, so a real controller manager can take its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gke_notebook.cluster.compact import Compact
    from gke_notebook.cluster.connection import Connection
    from gke_notebook.sandbox.controllers.context import Context


async def run(
    connection: Connection,
    compact: Compact | None = None,
    also: Callable[[Context], Coroutine[None, None, None]] | None = None,
) -> None:
    """Run every controller until cancelled.

    Args:
        connection: the API server, with rights over all that it serves.
        compact: decodes pods with what else in this process watches them.
        also: work of others that shares the watches.
    """
    from gke_notebook.sandbox.controllers.manager import run as run_all

    await run_all(connection, compact, also)
