"""The node agent: registers the nodes, watches the pods bound to them, and hands each pod to its worker."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import secrets
import shutil
from collections.abc import Collection, Mapping
from typing import Any

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.reflector import Key, Reflector
from gke_notebook.cluster.resources import PODS, SERVICES
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.instances import Notice
from gke_notebook.sandbox.node import machines, process
from gke_notebook.sandbox.node.config import NodeConfig
from gke_notebook.sandbox.node.context import Context, pod_directory_name
from gke_notebook.sandbox.node.directory import Directory
from gke_notebook.sandbox.node.events import Recorder
from gke_notebook.sandbox.node.fleet_client import FleetClient
from gke_notebook.sandbox.node.nodes import Nodes
from gke_notebook.sandbox.node.pods import PodWorker
from gke_notebook.sandbox.node.ports import PortTable
from gke_notebook.sandbox.node.reaper_client import Reaper
from gke_notebook.sandbox.node.server import KubeletServer
from gke_notebook.sandbox.node.simulated import SimulatedPod
from gke_notebook.sandbox.requests import requests

Object = dict[str, Any]
_log = logging.getLogger(__name__)
_PAGE = 2_500  # pods of a list at once
_CONNECTIONS = 64  # each takes 256 KiB here and there, and hundreds of nodes say at once that they live
SHUTDOWN_GRACE = 2.0  # seconds for pods' processes when the agent ends


class Agent:
    """The pods of all nodes; the handler of the pod reflector.

    Args:
        context: what the pods share.
        simulated: the names of the nodes that run no processes.
        directory: the cluster's names, whose ports are given back when an owner's pods are gone.
    """

    def __init__(self, context: Context, simulated: Collection[str], directory: Directory) -> None:
        self._context = context
        self._simulated = simulated
        self._directory = directory
        self.workers: dict[str, PodWorker | SimulatedPod] = {}
        self._uids: dict[Key, str] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._cleaned = False

    def replaced(self, objects: Mapping[Key, Object]) -> None:
        """Take the whole collection of pods."""
        if not self._cleaned:
            self._cleaned = True
            self._remove_stale(objects)
        for key in [key for key in self._uids if key not in objects]:
            self._gone(key)
        for key, pod in objects.items():
            self._seen(key, pod)

    def changed(self, key: Key, value: Object | None, previous: Object | None) -> None:  # noqa: ARG002 - the protocol's
        """Take one event."""
        if value is None:
            self._gone(key)
        else:
            self._seen(key, value)

    def _seen(self, key: Key, pod: Object) -> None:
        node = pod["spec"].get("nodeName")
        if node not in self._context.allocatable:
            return
        uid = pod["metadata"]["uid"]
        if self._uids.get(key, uid) != uid:  # deleted and made again between two lists
            self._gone(key)
        worker = self.workers.get(uid)
        if worker is None:
            self._uids[key] = uid
            if node in self._simulated:
                worker = SimulatedPod(self._context, pod)
            else:
                worker = PodWorker(self._context, pod, self._used)
            self._directory.add(pod)
            worker.start()
            self.workers[uid] = worker
        worker.update(pod)

    def _gone(self, key: Key) -> None:
        uid = self._uids.pop(key, "")
        worker = self.workers.pop(uid, None)
        if worker is None:
            return
        worker.vanished()
        task = asyncio.create_task(self._bury(worker))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _bury(self, worker: PodWorker | SimulatedPod) -> None:
        if worker.task is not None:
            await asyncio.wait({worker.task})
        await asyncio.get_running_loop().run_in_executor(None, worker.remove_files)
        self._directory.remove(worker.pod)

    def _used(self, node: str, uid: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for other, worker in self.workers.items():
            if other == uid or worker.ended or worker.pod["spec"].get("nodeName") != node:
                continue
            total["pods"] = total.get("pods", 0) + 1
            for name, amount in requests(worker.pod["spec"]).items():
                total[name] = total.get(name, 0) + amount
        return total

    def _remove_stale(self, objects: Mapping[Key, Object]) -> None:
        kept = {pod_directory_name(pod) for pod in objects.values()}
        for path in self._context.config.directory.iterdir():
            if path.is_dir() and not path.name.startswith(".") and path.name not in kept and path.name.count("_") == 2:
                shutil.rmtree(path, ignore_errors=True)

    def _on(self, node: str) -> list[PodWorker | SimulatedPod]:
        return [worker for worker in self.workers.values() if worker.pod["spec"].get("nodeName") == node]

    async def end_with_node(self, node: str, grace: float) -> None:
        """Fail the pods of a node that shuts down, and wait until that is reported."""
        await asyncio.gather(*(worker.end_with_node(grace) for worker in self._on(node)))

    async def left(self, node: str) -> None:
        """Wait until no pod of a node runs."""
        while any(not worker.ended for worker in self._on(node)):  # noqa: ASYNC110 - which ones they are changes
            await asyncio.sleep(0.1)

    def lost(self, node: str) -> None:
        """End the processes of a node that is gone, without a word."""
        for worker in self._on(node):
            worker.vanished()

    async def shut_down(self) -> None:
        """End every pod's processes."""
        for task in list(self._ending):
            task.cancel()
        await asyncio.gather(*(worker.shut_down(SHUTDOWN_GRACE) for worker in list(self.workers.values())))


async def run(connection: Connection, config: NodeConfig, compact: Compact | None = None) -> None:
    """Pretend the nodes and run their pods, until cancelled; then every pod's processes are ended.

    Args:
        connection: the API server.
        config: what nodes, and where.
        compact: decodes pods with what else in this process watches them.

    Raises:
        ApiError: the API server refused the nodes.
    """
    config.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory = config.directory.absolute()
    config = dataclasses.replace(config, directory=directory)  # pods have other working directories
    # One agent at a time uses a directory, so what an earlier one has left behind (its reaper killed too) is known by
    # the directory. The rest of the marker is new at each start: the reaper of a killed agent may still be at work.
    family = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    marker = f"{family}-{secrets.token_hex(8)}"
    await asyncio.get_running_loop().run_in_executor(None, process.kill_marked, process.MARKER, f"{family}-")
    ports = PortTable(directory / ".ports")
    ports.clear()
    reaper = Reaper(marker)
    reaper.start()
    try:
        async with Client(connection, concurrency=_CONNECTIONS, field_manager="kubelet") as client:
            await _run(client, config, reaper, ports, marker, compact=compact or Compact())
    finally:
        await asyncio.get_running_loop().run_in_executor(None, reaper.stop)


async def _run(
    client: Client, config: NodeConfig, reaper: Reaper, ports: PortTable, marker: str, *, compact: Compact
) -> None:
    pods: Reflector[Object] = Reflector(client, PODS, dict, compact=compact, page=_PAGE)
    services: Reflector[Object] = Reflector(client, SERVICES, dict)
    names = Directory(pods, services, ports)
    recorder = Recorder(client)
    allocatable: dict[str, Mapping[str, str]] = {}
    context = Context(
        client, config, recorder, reaper, ports, marker, names.scope, names.services_of, allocatable, compact=compact
    )
    simulated: set[str] = set()
    agent = Agent(context, simulated, names)
    server = KubeletServer(context, agent.workers)
    port = await server.start()
    async with contextlib.AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(FleetClient(config.gke, config.gke_token)) if config.gke else None
        nodes = Nodes(
            client, agent, allocatable, simulated, context.shutting_down, port=port,
            version=config.kubernetes_version, stopped=fleet.stopped if fleet else None,
        )  # fmt: skip
        background = [asyncio.create_task(recorder.run()), asyncio.create_task(services.run())]
        try:
            notice = await fleet.notice() if fleet else _notice(config)
            context.slow_pull = notice.slow_pull
            await nodes.start(notice, tidy=fleet is not None)
            # Services first: a pod's names are rewritten when it starts.
            await services.synced.wait()
            pods.handler = agent
            background.append(asyncio.create_task(pods.run()))
            await pods.synced.wait()
            if config.registered is not None:
                config.registered()
            if fleet is not None:
                background.append(asyncio.create_task(_follow(fleet, notice.revision, nodes, context)))
            await asyncio.gather(*background)
        finally:
            for task in background[1:]:
                task.cancel()
            await nodes.stop()
            await agent.shut_down()
            background[0].cancel()
            for task in background:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await server.stop()


def _notice(config: NodeConfig) -> Notice:
    return Notice(0, tuple(one for pool in config.pools for one in machines.instances_of(pool)))


async def _follow(fleet: FleetClient, revision: int, nodes: Nodes, context: Context) -> None:
    while True:
        notice = await fleet.notice(revision)
        revision = notice.revision
        context.slow_pull = notice.slow_pull
        try:
            await nodes.apply(notice)
        except ApiError as error:  # a node that is refused must not end every pod
            _log.error("nodes: %s", error)
            await asyncio.sleep(1.0)
            revision = 0  # which asks for the machines at once, to try again
