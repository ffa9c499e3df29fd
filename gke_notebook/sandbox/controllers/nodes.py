"""The life of nodes: silent ones are marked, tainted ones are emptied, pods of vanished ones are removed."""

from __future__ import annotations

import asyncio
import logging

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import LEASES, NODES, PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.meta import (
    TERMINAL,
    Event,
    Object,
    find_condition,
    is_deleting,
    is_true,
    now,
    phase,
    reference_to,
    timestamp,
)
from gke_notebook.sandbox.controllers.node_health import eviction_time, unknown_conditions, wanted_taints
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

LOG = logging.getLogger(__name__)
Key = tuple[str, str]

COMPONENT = "node-controller"
LEASE_NAMESPACE = "kube-node-lease"
PERIOD = 5.0  # seconds between looks at the nodes
GRACE = 40.0  # seconds of silence before a node counts as unreachable
STARTUP_GRACE = 60.0  # the same for a node never heard of
# The real collector waits 40 s and looks every 20 s; nobody should watch a vanished spot node that long on a laptop.
QUARANTINE = 10.0


class NodeController:
    """Watches over nodes and the pods on them.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.informers.store(NODES)
        self._pods = context.informers.store(PODS)
        self._leases = context.informers.store(LEASES)
        self._heard: dict[str, tuple[object, float]] = {}
        self._by_node: dict[str, set[Key]] = {}
        self._taints: WorkQueue[str] = WorkQueue("node-taints", self._taint, workers=4)
        self._evictions: WorkQueue[Key] = WorkQueue("taint-eviction", self._evict, workers=8)
        self._orphans: WorkQueue[Key] = WorkQueue("pod-gc", self._collect, workers=8)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._context.synced((NODES, PODS, LEASES))
        self._nodes.listen(self._node_changed)
        self._pods.listen(self._pod_changed)
        await asyncio.gather(self._monitor(), self._taints.run(), self._evictions.run(), self._orphans.run())

    # What changes.

    def _node_changed(self, node: Object | None, previous: Object | None) -> None:
        name = (node or previous or {"metadata": {"name": ""}})["metadata"]["name"]
        if node is None:
            self._heard.pop(name, None)
            for key in self._by_node.get(name, ()):
                self._orphans.add(key, QUARANTINE)
            return
        self._taints.add(name)
        if previous is None or is_true(node, "Ready") != is_true(previous, "Ready"):
            for _, other in self._nodes.objects:  # whether any node is ready decides for all
                self._taints.add(other)
        if previous is None or _taints(node) != _taints(previous):
            for key in self._by_node.get(name, ()):
                self._evictions.add(key)

    def _pod_changed(self, pod: Object | None, previous: Object | None) -> None:
        seen = pod or previous
        if seen is None:
            return
        key = seen["metadata"].get("namespace", ""), seen["metadata"]["name"]
        name = seen["spec"].get("nodeName") or ""
        if pod is None:
            on_node = self._by_node.get(name)
            if on_node is not None:
                on_node.discard(key)
            return
        if not name:
            if is_deleting(pod):
                self._orphans.add(key, QUARANTINE)
            return
        new = key not in self._by_node.setdefault(name, set())
        self._by_node[name].add(key)
        node = self._nodes.get("", name)
        if node is None:
            self._orphans.add(key, QUARANTINE)
        elif new and _taints(node):
            self._evictions.add(key)

    # Silent nodes.

    async def _monitor(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for (_, name), node in list(self._nodes.objects.items()):
                sign = self._sign_of_life(name, node)
                known = self._heard.get(name)
                if known is None or known[0] != sign:
                    self._heard[name] = sign, loop.time()
                    continue
                grace = GRACE if find_condition(node, "Ready") is not None else STARTUP_GRACE
                if loop.time() - known[1] > grace:
                    try:
                        await self._lost(node)
                    except (ApiError, ClusterUnreachable) as error:
                        LOG.info("marking node %s: %s", name, error)
            await asyncio.sleep(PERIOD)

    def _sign_of_life(self, name: str, node: Object) -> object:
        lease = self._leases.get(LEASE_NAMESPACE, name) or {}
        ready = find_condition(node, "Ready") or {}
        return (lease.get("spec") or {}).get("renewTime"), ready.get("lastHeartbeatTime"), ready.get("status")

    async def _lost(self, node: Object) -> None:
        conditions = unknown_conditions(node, now())
        if not conditions:
            return
        was_ready = is_true(node, "Ready")
        name = node["metadata"]["name"]
        await self._context.patch(NODES, node, {"status": {"conditions": conditions}}, subresource="status")
        if not was_ready:
            return
        about = {"kind": "Node", "name": name, "uid": node["metadata"].get("uid", ""), "apiVersion": "v1"}
        text = f"Node {name} status is now: NodeNotReady"
        self._context.recorder.record(COMPONENT, about, Event("Normal", "NodeNotReady", text))
        pods = [pod for key in self._by_node.get(name, ()) if (pod := self._pods.get(*key)) is not None]
        await self._context.all(pods, self._mark_not_ready)

    async def _mark_not_ready(self, pod: Object) -> None:
        if not is_true(pod, "Ready"):
            return
        condition = {**(find_condition(pod, "Ready") or {}), "status": "False", "lastTransitionTime": timestamp(now())}
        await self._context.patch(PODS, pod, {"status": {"conditions": [condition]}}, subresource="status")
        about = reference_to(pod, "v1", "Pod")
        self._context.recorder.record(COMPONENT, about, Event("Warning", "NodeNotReady", "Node is not ready"))

    async def _taint(self, name: str) -> None:
        node = self._nodes.get("", name)
        if node is None:
            return
        # When no node is ready the fault is more likely the network's or ours: pods are left where they are.
        evict = any(is_true(other, "Ready") for other in self._nodes.objects.values())
        taints = wanted_taints(node, now(), evict=evict)
        if taints == _taints(node):
            return
        metadata = {"resourceVersion": node["metadata"].get("resourceVersion")}
        body = {"metadata": metadata, "spec": {"taints": taints or None}}
        await self._context.patch(NODES, node, body, content_type=MERGE_PATCH)

    # Pods that have to go.

    async def _evict(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or is_deleting(pod) or phase(pod) in TERMINAL:
            return
        node = self._nodes.get("", pod["spec"].get("nodeName") or "")
        if node is None:
            return
        at = now()
        due = eviction_time(pod["spec"].get("tolerations") or (), _taints(node), at)
        if due is None:
            return
        wait = (due - at).total_seconds()
        if wait > 0:
            self._evictions.add(key, wait)
            return
        about = {"apiVersion": "v1", "kind": "Pod", "name": key[1], "namespace": key[0], "uid": ""}
        text = f"Marking for deletion Pod {key[0]}/{key[1]}"
        event = Event("Normal", "TaintManagerEviction", text)
        self._context.recorder.record("taint-eviction-controller", about, event)
        reason, message = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
        await self._context.disrupt(pod, reason, message, at=timestamp(at))
        await self._context.delete(PODS, pod)

    async def _collect(self, key: Key) -> None:
        """Remove a pod whose node is no more, or that was deleted before it had one."""
        pod = self._pods.get(*key)
        if pod is None:
            return
        name = pod["spec"].get("nodeName") or ""
        if not name:
            if is_deleting(pod):
                await self._context.delete(PODS, pod, grace_period=0)
            return
        if self._nodes.get("", name) is not None or await self._exists(name):
            return
        if phase(pod) not in TERMINAL:
            reason, message = "DeletionByPodGC", "PodGC: node no longer exists"
            await self._context.disrupt(pod, reason, message, phase="Failed", at=timestamp(now()))
        await self._context.delete(PODS, pod, grace_period=0)

    async def _exists(self, name: str) -> bool:
        try:
            await self._context.call(self._context.client.get(NODES, name))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True


def _taints(node: Object) -> list[Object]:
    return list((node.get("spec") or {}).get("taints") or ())
