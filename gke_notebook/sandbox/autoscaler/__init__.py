"""The sandbox's cluster autoscaler: pending pods make node pools grow, idle nodes make them shrink.

It is a client of Kubernetes and of Compute Engine's managed instance groups, as GKE's is, so it works with the real
control plane too. What it decides is pure (`scale_up`, `scale_down`, `backoff`, `compute_class`); `controller` does it.
Rules and texts: kubernetes/autoscaler, GoogleCloudPlatform/cluster-autoscaler (2026-08-21).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gke_notebook.cluster.compact import Compact
    from gke_notebook.cluster.connection import Connection
    from gke_notebook.sandbox.controllers.context import Context


async def work(context: Context, gke: str, token: str) -> None:
    """Run the autoscaler with the watches of others, until cancelled.

    Args:
        context: what all controllers share.
        gke: the address of the sandbox's GKE.
        token: its bearer token.
    """
    from gke_notebook.sandbox.autoscaler.controller import Autoscaler

    await Autoscaler(context, gke, token).run()


async def run(connection: Connection, gke: str, token: str, compact: Compact | None = None) -> None:
    """Run the autoscaler with watches of its own, until cancelled.

    Args:
        connection: the API server, with rights over nodes, pods and events.
        gke: the address of the sandbox's GKE.
        token: its bearer token.
        compact: decodes pods with what else in this process watches them.
    """
    import asyncio

    from gke_notebook.cluster.client import Client
    from gke_notebook.sandbox.controllers.context import Context

    async with Client(connection, field_manager="cluster-autoscaler") as client:
        context = Context(client, compact)
        recorder = asyncio.create_task(context.recorder.run())
        try:
            await work(context, gke, token)
        finally:
            recorder.cancel()
            await asyncio.gather(recorder, return_exceptions=True)
            await context.informers.close()
