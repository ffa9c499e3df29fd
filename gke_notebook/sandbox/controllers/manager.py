"""Starting all controllers over one client and one watch per kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.connection import Connection
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.gc import GarbageCollector
from gke_notebook.sandbox.controllers.job_controller import JobController
from gke_notebook.sandbox.controllers.jobset_controller import JobSetController
from gke_notebook.sandbox.controllers.kueue_controller import KueueController
from gke_notebook.sandbox.controllers.namespaces import NamespaceController
from gke_notebook.sandbox.controllers.nodes import NodeController
from gke_notebook.sandbox.controllers.resource_quotas import ResourceQuotaController
from gke_notebook.sandbox.controllers.scheduler import Scheduler
from gke_notebook.sandbox.controllers.serviceaccounts import ServiceAccountController

FIELD_MANAGER = "kube-controller-manager"  # the process of most of them on a real cluster


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
    async with Client(connection, field_manager=FIELD_MANAGER) as client:
        context = Context(client, compact)
        controllers = (
            Scheduler(context),
            JobController(context),
            JobSetController(context),
            KueueController(context),
            GarbageCollector(context),
            NamespaceController(context),
            ServiceAccountController(context),
            NodeController(context),
            ResourceQuotaController(context),
        )
        tasks = [
            asyncio.create_task(context.recorder.run()),
            *(asyncio.create_task(item.run()) for item in controllers),
        ]
        if also is not None:
            tasks.append(asyncio.create_task(also(context)))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await context.informers.close()
