"""Garbage collection: what has lost its owners is deleted, in the background, in the foreground, or let go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import Resource
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.discovery import Served, discover
from gke_notebook.sandbox.controllers.meta import Object, uid
from gke_notebook.sandbox.controllers.owners import FOREGROUND, ORPHAN, Entry, Graph, OwnerState, judge
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

LOG = logging.getLogger(__name__)

RESYNC = 30.0  # seconds between looks at what the server serves; kube-controller-manager does the same
SETTLE = 1.0  # seconds for the watch of an owner to catch up before the server is asked whether it exists
LISTED = 15.0  # seconds after which a kind that could not be listed is no longer waited for
IGNORED = frozenset({"events"})  # the real collector leaves events out too: they own nothing and expire


class GarbageCollector:
    """Deletes what has lost its owners.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._graph = Graph()
        self._served: Mapping[tuple[str, str], Served] = {}
        self._watched: set[Resource] = set()
        self._queue: WorkQueue[str] = WorkQueue("garbage-collector", self._look, workers=16)

    async def run(self) -> None:
        """Run until cancelled."""
        await asyncio.gather(self._watch(), self._queue.run())

    async def _watch(self) -> None:
        while True:
            try:
                self._served = await discover(self._context.client)
            except (ApiError, ClusterUnreachable) as error:
                LOG.info("discovery: %s", error)
                await asyncio.sleep(1.0)
                continue
            wanted = {
                item.resource
                for item in self._served.values()
                if {"list", "watch", "delete"} <= item.verbs and item.resource.plural not in IGNORED
            } - self._watched
            self._watched |= wanted
            # All are listed before anything is judged, else every owner of a kind not yet listed has to be asked for.
            # One that cannot be listed must not hold up the rest.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._context.synced(wanted), LISTED)
            for resource in wanted:
                self._context.informers.store(resource).listen(self._listener(resource))
            await asyncio.sleep(RESYNC)

    def _listener(self, resource: Resource) -> Callable[[Object | None, Object | None], None]:
        def changed(item: Object | None, previous: Object | None) -> None:
            if item is not None:
                for name in self._graph.put(resource, item):
                    self._queue.add(name, 0.0 if self._is_known(name) else SETTLE)
            elif previous is not None:
                for name in self._graph.remove(uid(previous)):
                    self._queue.add(name)

        return changed

    def _is_known(self, name: str) -> bool:
        entry = self._graph.entries[name]
        namespace = entry.item["metadata"].get("namespace", "")
        return all(self._graph.state(owner, namespace) is not None for owner in entry.owners)

    async def _look(self, name: str) -> None:
        entry = self._graph.entries.get(name)
        if entry is None:
            return
        if entry.orphans_dependents:
            await self._orphan(entry)
        elif entry.deletes_dependents:
            await self._delete_dependents(entry)
        elif entry.owners:
            await self._follow_owners(entry)

    async def _follow_owners(self, entry: Entry) -> None:
        namespace = entry.item["metadata"].get("namespace", "")
        states = {str(owner.get("uid")): await self._state(owner, namespace) for owner in entry.owners}
        verdict = judge(entry, states, bool(self._graph.dependents(entry.uid)))
        if verdict.drop:
            await self._drop_owners(entry, set(verdict.drop))
        if verdict.delete:
            await self._context.delete(entry.resource, entry.item, propagation=verdict.delete)

    async def _state(self, owner: Object, namespace: str) -> OwnerState:
        known = self._graph.state(owner, namespace)
        if known is not None:
            return known
        served = self._served.get((str(owner.get("apiVersion")), str(owner.get("kind"))))
        if served is None:
            return "solid"  # a kind that is not served (yet): nothing is deleted on a guess
        resource = served.resource
        try:
            live = await self._context.call(
                self._context.client.get(resource, str(owner.get("name")), namespace if resource.namespaced else None)
            )
        except ApiError as error:
            if error.status != 404:
                raise
            live = None
        if live is None or uid(live) != owner.get("uid"):
            self._graph.set_absent(str(owner.get("uid")))
            return "absent"
        return "solid"

    async def _delete_dependents(self, entry: Entry) -> None:
        blocking = self._graph.blocking(entry.uid)
        if not blocking:
            await self._context.remove_finalizer(entry.resource, entry.item, FOREGROUND)
        for dependent in self._graph.dependents(entry.uid):
            if not dependent.deletes_dependents:
                self._queue.add(dependent.uid)

    async def _orphan(self, entry: Entry) -> None:
        for dependent in self._graph.dependents(entry.uid):
            await self._drop_owners(dependent, {entry.uid})
        await self._context.remove_finalizer(entry.resource, entry.item, ORPHAN)

    async def _drop_owners(self, entry: Entry, owners: set[str]) -> None:
        left = [owner for owner in entry.owners if owner.get("uid") not in owners]
        metadata: Object = {"ownerReferences": left or None, "uid": entry.uid}
        version = entry.item["metadata"].get("resourceVersion")
        if version:
            metadata["resourceVersion"] = version  # the list is replaced as a whole: only if nobody has changed it
        await self._context.patch(entry.resource, entry.item, {"metadata": metadata}, content_type=MERGE_PATCH)
