"""The nodes as their machines come and go: registered, kept alive, relabelled, shut down, taken out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.resources import NODES
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.instances import DELETED, REPLACED, STOPPING, Instance, Notice
from gke_notebook.sandbox.node import drain, events, machines, registration
from gke_notebook.sandbox.pools import PROJECT

Object = dict[str, Any]
_log = logging.getLogger(__name__)
# Of the 30 s that Compute Engine gives a spot machine the kubelet gives 15 s to ordinary pods, later ones 15 s to the
# critical pods (GKE documentation, "Spot VMs").
PREEMPTION_GRACE = 15.0
DRAIN_SECONDS = 60.0


class Pods(Protocol):
    """What the nodes ask of the agent that runs the pods."""

    async def end_with_node(self, node: str, grace: float) -> None:
        """Fail the pods of a node that shuts down, and wait until that is reported."""

    async def left(self, node: str) -> None:
        """Wait until no pod of a node runs."""

    def lost(self, node: str) -> None:
        """End the processes of a node that is gone, without a word."""


class Nodes:
    """The nodes of one agent.

    Args:
        client: the client to write with.
        pods: the pods on them.
        allocatable: what each node has for pods; kept here.
        simulated: the names of the nodes that run no processes; kept here.
        shutting_down: the names of the nodes that take no more pods; kept here.
        port: the port of the kubelet's server.
        version: the Kubernetes version the nodes claim.
        stopped: told of each machine whose shutdown is done.
    """

    def __init__(
        self, client: Client, pods: Pods, allocatable: dict[str, Any], simulated: set[str], shutting_down: set[str],
        *, port: int, version: str, stopped: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self._pods = pods
        self._allocatable = allocatable
        self._simulated = simulated
        self._shutting_down = shutting_down
        self._port = port
        self._version = version
        self._stopped = stopped
        self._known: dict[str, Instance] = {}
        self._objects: dict[str, Object] = {}
        self._beats: dict[str, asyncio.Task[None]] = {}
        self._work: set[asyncio.Task[None]] = set()

    async def start(self, notice: Notice, *, tidy: bool) -> None:
        """Bring the first machines into the API server.

        Args:
            notice: the machines.
            tidy: take out nodes of machines that went while no agent ran.

        Raises:
            ApiError: the API server refused a node.
        """
        await self.apply(notice)
        if tidy:
            self._begin(self._remove_others(frozenset(self._known)))

    async def apply(self, notice: Notice) -> None:
        """Take note of the machines there are now.

        Args:
            notice: the machines.

        Raises:
            ApiError: the API server refused a node.
        """
        there = {one.name: one for one in notice.instances if one.booted or one.status == STOPPING}
        for name, old in list(self._known.items()):
            if name not in there or there[name].created != old.created:
                self._lose(name)
        new = [one for one in there.values() if one.booted and one.name not in self._known]
        for instance in there.values():
            old_one = self._known.get(instance.name)
            if old_one is None:
                continue
            self._known[instance.name] = instance
            if instance.status == STOPPING and old_one.status != STOPPING:
                self._begin(self._shut_down(instance))
            elif (instance.labels, instance.taints) != (old_one.labels, old_one.taints):
                self._begin(self._relabel(instance, old_one))
        if new:
            await self._add(new)

    async def _add(self, new: list[Instance]) -> None:
        moment = events.now()
        nodes = []
        for instance in new:
            node = machines.node_object(instance, port=self._port, version=self._version, now=moment)
            self._objects[instance.name] = node
            self._allocatable[instance.name] = node["status"]["allocatable"]
            if not instance.runs_processes:
                self._simulated.add(instance.name)
            nodes.append(node)
        uids = await self._register(nodes)
        for index, instance in enumerate(new):
            name = instance.name
            self._known[name] = instance
            work = registration.heartbeat(self._client, self._objects[name], uids[name], index / len(new))
            self._beats[name] = asyncio.create_task(work)
            if instance.status == STOPPING:
                self._begin(self._shut_down(instance))

    async def _register(self, nodes: list[Object]) -> dict[str, str]:
        delay = 0.05
        while True:
            try:
                return await registration.register(self._client, nodes)
            except ClusterUnreachable as error:
                _log.warning("nodes not registered yet: %s", error)
                await asyncio.sleep(delay)
                delay = min(5.0, delay * 2)

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._guarded(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (ApiError, ClusterUnreachable) as error:
            _log.warning("nodes: %s", error)

    def _lose(self, name: str) -> None:
        """Take a node out whose machine is gone, as the cloud's controller does."""
        del self._known[name]
        self._beats.pop(name).cancel()
        self._objects.pop(name, None)
        self._pods.lost(name)
        self._allocatable.pop(name, None)
        self._simulated.discard(name)
        self._shutting_down.discard(name)
        self._begin(self._delete(name))

    async def _delete(self, name: str) -> None:
        delay = 0.1
        while name not in self._known:  # it may have been made again
            try:
                await self._client.delete(NODES, name)
            except ClusterUnreachable:
                await asyncio.sleep(delay)
                delay = min(5.0, delay * 2)
            except ApiError as error:
                if error.status != 404:
                    _log.warning("node %s not deleted: %s", name, error)
                return
            else:
                return

    async def _remove_others(self, kept: frozenset[str]) -> None:
        listed = await self._client.list(NODES)
        for node in listed["items"]:
            name = node["metadata"]["name"]
            if name not in kept and str(node["spec"].get("providerID", "")).startswith(f"gce://{PROJECT}/"):
                await self._delete(name)

    async def _relabel(self, instance: Instance, old: Instance) -> None:
        was, now = machines.node_labels(old), machines.node_labels(instance)
        labels: dict[str, str | None] = {key: value for key, value in now.items() if was.get(key) != value}
        labels.update({key: None for key in was if key not in now})
        body: Object = {"metadata": {"labels": labels}}
        if instance.taints != old.taints:
            found = await self._client.get(NODES, instance.name)
            ours = {(taint.key, taint.effect) for taint in old.taints}
            others = [one for one in found["spec"].get("taints") or [] if (one["key"], one["effect"]) not in ours]
            body["spec"] = {"taints": [*others, *machines.node_taints(instance), {"$patch": "replace"}]}
        await self._client.patch(NODES, instance.name, body, content_type=STRATEGIC_PATCH)

    async def _shut_down(self, instance: Instance) -> None:
        name = instance.name
        if instance.stopping in (DELETED, REPLACED):
            # GKE drains a node before it takes its machine away.
            await drain.cordon(self._client, name)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(drain.evict_all(self._client, name, self._pods.left(name)), DRAIN_SECONDS)
        self._shutting_down.add(name)
        node = self._objects.get(name)
        if node is not None:
            node["status"]["conditions"] = machines.node_conditions(events.now(), shutting_down=True)
            with contextlib.suppress(ApiError, ClusterUnreachable):
                await registration.write_status(self._client, node)
        await self._pods.end_with_node(name, PREEMPTION_GRACE)
        if self._stopped is not None:
            await self._stopped(name)

    async def stop(self) -> None:
        """Stop saying that the nodes live."""
        tasks = [*self._beats.values(), *self._work]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
