"""Taking nodes away: marked, emptied, and their machines deleted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import NODES, PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.autoscaler import texts
from gke_notebook.sandbox.autoscaler.cloud import Cloud, CloudError
from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.autoscaler.scale_down import CANDIDATE, TO_BE_DELETED
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.meta import Event, Object, reference_to, uid

LOG = logging.getLogger(__name__)

COMPONENT = "cluster-autoscaler"
RETRY_SECONDS = 1.0
EVICTION_SECONDS = 120.0  # real seconds for which a refused eviction is tried again (`--max-pod-eviction-time`)
GRACEFUL_SECONDS = 600.0  # real seconds for pods to end (`--max-graceful-termination-sec`)


class Remover:
    """Removes nodes in the background.

    Args:
        context: the client and the stores.
        cloud: the instance groups.
        done: told of each end: the group, the names, and whether they went.
    """

    def __init__(self, context: Context, cloud: Cloud, done: Callable[[Group, Sequence[str], bool], None]) -> None:
        self._context = context
        self._cloud = cloud
        self._done = done
        self._nodes = context.informers.store(NODES)
        self._pods = context.informers.store(PODS)
        self._tasks: set[asyncio.Task[None]] = set()
        self.busy: set[str] = set()

    def begin(self, group: Group, nodes: Sequence[str], pods: Sequence[Object]) -> None:
        """Begin to remove nodes of a group together.

        Args:
            group: their group.
            nodes: their names.
            pods: the pods on them that have to move.
        """
        self.busy.update(nodes)
        task = asyncio.create_task(self._remove(group, list(nodes), list(pods)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop; nodes that are marked are unmarked at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _remove(self, group: Group, nodes: list[str], pods: list[Object]) -> None:
        gone = False
        try:
            for name in nodes:
                await self.mark(name, TO_BE_DELETED, "NoSchedule")
                self.record(name, texts.MARKED)
            if await self._empty(pods):
                await self._cloud.delete(group.zone, group.name, nodes)
                gone = True
        except (ApiError, ClusterUnreachable, CloudError) as error:
            LOG.info("removing %s: %s", ", ".join(nodes), error)
        finally:
            self.busy.difference_update(nodes)
        if not gone:
            for name in nodes:
                self.record(name, texts.NOT_REMOVED)
                await self._quietly(self.unmark(name, TO_BE_DELETED))
        self._done(group, nodes, gone)

    async def _quietly(self, work: Any) -> None:
        try:
            await work
        except (ApiError, ClusterUnreachable) as error:
            LOG.info("unmarking a node: %s", error)

    async def _empty(self, pods: list[Object]) -> bool:
        """Evict pods and wait until they are gone; say whether they are."""
        if not all(await asyncio.gather(*(self._evict(pod) for pod in pods))):
            return False
        end = time.monotonic() + GRACEFUL_SECONDS
        while any(self._present(pod) for pod in pods):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.2)
        return True

    def _present(self, pod: Object) -> bool:
        metadata = pod["metadata"]
        found = self._pods.get(metadata.get("namespace", ""), metadata["name"])
        return found is not None and uid(found) == uid(pod)

    async def _evict(self, pod: Object) -> bool:
        metadata = pod["metadata"]
        self._context.recorder.record(COMPONENT, reference_to(pod, "v1", "Pod"), texts.MOVED)
        named = {"name": metadata["name"], "namespace": metadata["namespace"]}
        options = {"preconditions": {"uid": uid(pod)}}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named, "deleteOptions": options}
        path = f"{PODS.path(metadata['namespace'], metadata['name'])}/eviction"
        end = time.monotonic() + EVICTION_SECONDS
        while True:
            try:
                await self._context.call(self._context.client.request("POST", path, body=body))
            except ApiError as error:
                if error.status in (404, 409):
                    return True  # gone, or another pod has its name by now
                if error.status != 429 or time.monotonic() > end:  # 429: a disruption budget does not allow it yet
                    LOG.info("evicting %s: %s", metadata["name"], error)
                    return False
            except ClusterUnreachable:
                if time.monotonic() > end:
                    return False
            else:
                return True
            await asyncio.sleep(RETRY_SECONDS)

    def record(self, node: str, event: Event) -> None:
        """Record an event about a node.

        Args:
            node: its name.
            event: the event.
        """
        found = self._nodes.get("", node)
        if found is not None:
            self._context.recorder.record(COMPONENT, reference_to(found, "v1", "Node"), event)

    async def mark(self, node: str, key: str, effect: str) -> None:
        """Put a taint on a node, whose value is the time.

        Args:
            node: its name.
            key: the taint's key.
            effect: its effect.

        Raises:
            ApiError: refused.
            ClusterUnreachable: no answer.
        """
        await self._taint(node, key, {"key": key, "value": str(int(time.time())), "effect": effect})

    async def unmark(self, node: str, key: str) -> None:
        """Take a taint off a node; one that is gone is no error.

        Args:
            node: its name.
            key: the taint's key.

        Raises:
            ApiError: refused.
            ClusterUnreachable: no answer.
        """
        await self._taint(node, key, None)

    async def _taint(self, name: str, key: str, taint: Object | None) -> None:
        for attempt in range(5):
            node = self._nodes.get("", name)
            if node is None:
                return
            present = list((node.get("spec") or {}).get("taints") or ())
            if (taint is not None) == any(one.get("key") == key for one in present):
                return
            wanted = [one for one in present if one.get("key") != key] + ([taint] if taint else [])
            version = {"resourceVersion": node["metadata"].get("resourceVersion")}
            body = {"metadata": version, "spec": {"taints": wanted or None}}
            try:
                await self._context.patch(NODES, node, body, content_type=MERGE_PATCH)
            except ApiError as error:
                if error.status != 409 or attempt == 4:
                    raise
                await asyncio.sleep(0.05 * 2**attempt)  # the watch brings the newer node
            else:
                return

    async def tidy(self) -> None:
        """Take off the marks that an earlier run has left on nodes."""
        for _, name in list(self._nodes.objects):
            for key in (TO_BE_DELETED, CANDIDATE):
                await self._quietly(self.unmark(name, key))
