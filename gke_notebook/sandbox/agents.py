"""The sandbox's second process: node agent, controllers and scheduler, ordinary clients of the API server.

It reads its settings from standard input and keeps reading: the end of that input means that the main process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.connection import Connection, static_token
from gke_notebook.errors import ApiError
from gke_notebook.sandbox import autoscaler, controllers, jobset_definition, kueue_definitions, node
from gke_notebook.sandbox.controllers.jobset_controller import DEFINITIONS
from gke_notebook.sandbox.options import AgentSettings

if TYPE_CHECKING:
    from gke_notebook.sandbox.controllers.context import Context

_log = logging.getLogger("gke_notebook.sandbox.agents")


async def run(settings: AgentSettings, stop: asyncio.Event) -> None:
    """Run every agent until one of them fails or `stop` is set.

    Args:
        settings: how to reach the API server, and what the node agent needs.
        stop: set from outside to end.
    """
    connection = Connection(
        server=settings.server,
        context="sandbox",
        tls=ssl.create_default_context(cafile=settings.authority),
        token=static_token(settings.token),
    )
    ready = asyncio.Event()

    def registered() -> None:
        _announce()
        ready.set()

    config = node.NodeConfig(
        pools=(),
        directory=Path(settings.directory),
        runtimes=settings.options.runtimes,
        kubelet_token=settings.kubelet_token,
        tls_certificate=Path(settings.certificate),
        tls_key=Path(settings.key),
        registered=registered,
        client_authority=Path(settings.client_authority) if settings.client_authority else None,
        gke=settings.gke,
        gke_token=settings.token,
    )
    if settings.controllers:
        await define_kinds(connection)
    compact = Compact()  # a pod that both watch is there once
    tasks = [asyncio.create_task(node.run(connection, config, compact), name="node agent")]

    async def autoscale(context: Context | None = None) -> None:
        await ready.wait()  # what it needs takes a while to load, and nobody waits for it
        if context is not None:
            await autoscaler.work(context, settings.gke, settings.token)
        else:
            await autoscaler.run(connection, settings.gke, settings.token, compact)

    if settings.controllers:
        work = controllers.run(connection, compact, autoscale if settings.gke else None)
        tasks.insert(0, asyncio.create_task(work, name="controllers"))
    elif settings.gke:
        tasks.append(asyncio.create_task(autoscale(), name="autoscaler"))
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    # Controllers first, so that none of them replaces a pod that the node agent is about to end.
    for task in [stopping, *tasks]:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for task in done - {stopping}:
        raise RuntimeError(f"the {task.get_name()} ended by itself")


async def define_kinds(connection: Connection) -> None:
    """Have the API server serve JobSets and Kueue's queues; a definition that is there already, perhaps the user's
    own, stays.

    Args:
        connection: the embedded API server.
    """
    async with Client(connection, field_manager="gke-notebook") as client:
        bodies = [jobset_definition.definition(), *kueue_definitions.definitions()]
        await asyncio.gather(*(_define(client, body) for body in bodies))


async def _define(client: Client, body: dict[str, Any]) -> None:
    try:
        await client.create(DEFINITIONS, body)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


def _announce() -> None:
    """Tell the main process that the nodes are there."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings = msgspec.json.decode(await reader.readline(), type=AgentSettings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def orphaned() -> None:
        await reader.read()
        _log.error("the main process is gone; ending every pod")
        # Nothing can be reported any more. The reaper ends the pods as soon as we are gone.
        os._exit(1)

    watcher = asyncio.create_task(orphaned())
    try:
        await run(settings, stop)
    finally:
        watcher.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_main())
