"""Queueing as Kueue does it, while its kinds are served: what happens to queues, flavors and Workloads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gke_notebook.cluster.resources import NAMESPACES, Resource
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox import kueue
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.jobset_controller import DEFINITIONS
from gke_notebook.sandbox.controllers.kueue_cache import Cache, ClusterQueue, Touched
from gke_notebook.sandbox.controllers.kueue_flavors import Assignment, assign, quantities
from gke_notebook.sandbox.controllers.kueue_job_controller import QueuedJobs
from gke_notebook.sandbox.controllers.kueue_pending import Entry, Key
from gke_notebook.sandbox.controllers.kueue_status import REQUEUED, Draft
from gke_notebook.sandbox.controllers.kueue_workload import cluster_status, local_status, reconcile
from gke_notebook.sandbox.controllers.meta import (
    Event,
    Object,
    find_condition,
    is_deleting,
    is_true,
    now,
    parse_time,
    reference_to,
)
from gke_notebook.sandbox.controllers.pod_requirements import matches_expression
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

ADMISSION, WORKLOAD_CONTROLLER = "kueue-admission", "kueue-workload-controller"
GATHER = 0.1  # seconds: changes of several Workloads are counted together, as in Kueue, which waits for one second
_NAMES = frozenset(f"{kind.plural}.{kueue.GROUP}" for kind in kueue.KINDS)


class KueueController:
    """Queues Jobs and JobSets that name a LocalQueue.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._established: set[str] = set()
        self._served = asyncio.Event()
        self._wake = asyncio.Event()
        self._cache = Cache(self._touched)
        self._workload_queue: WorkQueue[Key] = WorkQueue("kueue workload", self._sync_workload, workers=4)
        self._status_queue: WorkQueue[Touched] = WorkQueue("kueue queue", self._sync_queue, workers=2)
        self._flavor_queue: WorkQueue[str] = WorkQueue("kueue flavor", self._sync_flavor, workers=1)
        self._jobs = QueuedJobs(context, self._workload_queue.add)

    async def run(self) -> None:
        """Run until cancelled; nothing is watched before the kinds are served."""
        informers = self._context.informers
        informers.store(DEFINITIONS).listen(self._definition_changed)
        await self._served.wait()
        await self._context.synced((*kueue.KINDS, NAMESPACES))
        await self._jobs.begin()
        for resource, listener in (
            (kueue.RESOURCE_FLAVORS, self._flavor_changed),
            (kueue.CLUSTER_QUEUES, self._cluster_queue_changed),
            (kueue.LOCAL_QUEUES, self._local_queue_changed),
            (kueue.WORKLOADS, self._workload_changed),
        ):
            informers.store(resource).listen(listener)
        self._workloads = informers.store(kueue.WORKLOADS)
        self._namespaces = informers.store(NAMESPACES)
        queues = (self._workload_queue, self._status_queue, self._flavor_queue, self._jobs)
        tasks = [asyncio.create_task(each.run()) for each in queues]
        tasks.append(asyncio.create_task(self._schedule()))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # What is told by the watches.

    def _definition_changed(self, item: Object | None, previous: Object | None) -> None:
        del previous
        if item is not None and is_true(item, "Established"):
            self._established.add(item["metadata"]["name"])
            if self._established >= _NAMES:
                self._served.set()

    def _touched(self, key: Touched) -> None:
        self._status_queue.add(key, GATHER)
        self._wake.set()

    def _flavor_changed(self, item: Object | None, previous: Object | None) -> None:
        seen = item or previous
        if seen is not None:
            self._cache.flavor(seen["metadata"]["name"], item)
            self._flavor_queue.add(seen["metadata"]["name"])

    def _cluster_queue_changed(self, item: Object | None, previous: Object | None) -> None:
        seen = item or previous
        if seen is None:
            return
        name = seen["metadata"]["name"]
        self._cache.cluster_queue(name, item)
        if _opens_or_closes(item, previous):
            for queue in self._cache.leading_to(name):
                self._look_at(queue)
        for each in (item, previous):
            groups = ((each or {}).get("spec") or {}).get("resourceGroups") or ()
            for flavor in {each["name"] for group in groups for each in group["flavors"]}:
                if not self._cache.users(flavor):
                    self._flavor_queue.add(flavor)

    def _local_queue_changed(self, item: Object | None, previous: Object | None) -> None:
        seen = item or previous
        if seen is None:
            return
        key = seen["metadata"].get("namespace", ""), seen["metadata"]["name"]
        before = self._cache.members(key)
        self._cache.local_queue(key, item)
        if _opens_or_closes(item, previous):
            self._look_at(key, before)

    def _look_at(self, queue: Key, more: set[Key] | None = None) -> None:
        for key in self._cache.members(queue) | (more or set()):
            self._workload_queue.add(key)

    def _workload_changed(self, item: Object | None, previous: Object | None) -> None:
        seen = item or previous
        if seen is not None:
            key = seen["metadata"].get("namespace", ""), seen["metadata"]["name"]
            self._cache.workload(key, item)
            self._workload_queue.add(key)
            self._jobs.workload_changed(seen)

    # What is written.

    async def _sync_workload(self, key: Key) -> None:
        workload = self._workloads.get(*key)
        if workload is None:
            return
        if self._jobs.is_orphan(workload):
            await self._context.remove_finalizer(kueue.WORKLOADS, workload, kueue.FINALIZER)
            return
        plan = reconcile(workload, self._cache, now())
        if plan.release:
            await self._context.remove_finalizer(kueue.WORKLOADS, workload, kueue.FINALIZER)
        elif plan.deactivate:
            changed = {**workload, "spec": {**workload["spec"], "active": False}}
            self._workloads.assume(await self._context.call(self._context.client.replace(kueue.WORKLOADS, changed)))
        elif plan.status is not None:
            await self._write(workload, plan.status)
            for event in plan.events:
                self._record(WORKLOAD_CONTROLLER, workload, event)
        if plan.again is not None:
            self._workload_queue.add(key, plan.again)

    async def _sync_queue(self, key: Touched) -> None:
        cluster = self._cache.clusters.get(key) if isinstance(key, str) else None
        queue = self._cache.locals.get(key) if isinstance(key, tuple) else None
        if cluster is not None:
            item = cluster.item
            if is_deleting(item):
                if not cluster.taken.reserving:
                    await self._context.remove_finalizer(kueue.CLUSTER_QUEUES, item, kueue.FINALIZER)
                return
            await self._write_queue(kueue.CLUSTER_QUEUES, item, cluster_status(cluster, now()))
        elif queue is not None:
            await self._write_queue(kueue.LOCAL_QUEUES, queue.item, local_status(queue, self._cache, now()))

    async def _write_queue(self, resource: Resource, item: Object, status: Object) -> None:
        if status == item.get("status"):
            return
        body = {**item, "apiVersion": kueue.API_VERSION, "kind": resource.kind, "status": status}
        found = await self._context.call(self._context.client.replace(resource, body, subresource="status"))
        self._context.informers.store(resource).assume(found)

    async def _sync_flavor(self, name: str) -> None:
        item = self._cache.flavors.get(name)
        if item is not None and is_deleting(item) and not self._cache.users(name):
            await self._context.remove_finalizer(kueue.RESOURCE_FLAVORS, item, kueue.FINALIZER)

    async def _write(self, workload: Object, status: Object) -> Object:
        body = {**workload, "apiVersion": kueue.API_VERSION, "kind": "Workload", "status": status}
        found = await self._context.call(self._context.client.replace(kueue.WORKLOADS, body, subresource="status"))
        self._workloads.assume(found)
        return found

    def _record(self, component: str, workload: Object, event: Event) -> None:
        about = reference_to(workload, kueue.API_VERSION, "Workload")
        self._context.recorder.record(component, about, event)

    # Admission.

    async def _schedule(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while heads := self._cache.heads():
                await asyncio.gather(*(self._try(cluster, entry) for cluster, entry in heads))

    async def _try(self, cluster: ClusterQueue, entry: Entry) -> None:
        """Admit a Workload, or say why not."""
        workload = self._workloads.get(*entry.key)
        if workload is None:
            cluster.pending.delete(entry.key)
            return
        name, at = cluster.item["metadata"]["name"], now()
        draft = Draft(workload, at)
        found = self._assignment(cluster, entry)
        if found is not None and found.fits:
            draft.reserve(name, found.written())
            try:
                await self._write(workload, draft.status)
            except (ApiError, ClusterUnreachable):
                cluster.pending.requeue(entry, again=True)  # it has changed since, and the watch brings how
                await asyncio.sleep(GATHER)
                return
            cluster.pending.admitted(entry)
            waited = f"Quota reserved in ClusterQueue {name}, wait time since queued was {_waited(workload):.0f}s"
            considered = f"; Flavors considered: {found.considered}" if found.considered else ""
            self._record(ADMISSION, workload, Event("Normal", "QuotaReserved", (waited + considered)[:1024]))
            text = f"Admitted by ClusterQueue {name}, wait time since reservation was 0s"
            self._record(ADMISSION, workload, Event("Normal", "Admitted", text))
            return
        message = "Workload namespace doesn't match ClusterQueue selector" if found is None else found.message
        if found is not None:
            entry.last = cluster.generation, found.last
        cluster.pending.requeue(entry, again=found is not None and found.flavors_left)
        draft.release("Pending", message)
        draft.status["resourceRequests"] = [
            {"name": each.name, "resources": quantities(dict(sorted(each.requests.items())))} for each in entry.needs
        ]
        self._record(ADMISSION, workload, Event("Warning", "Pending", message[:1024]))
        if draft.changed:
            try:
                await self._write(workload, draft.status)
            except (ApiError, ClusterUnreachable):
                self._workload_queue.add(entry.key)  # only words are lost, until it is tried again

    def _assignment(self, cluster: ClusterQueue, entry: Entry) -> Assignment | None:
        namespace = self._namespaces.get("", entry.key[0]) or {"metadata": {}}
        if not _selects(cluster.spec.get("namespaceSelector"), namespace["metadata"].get("labels") or {}):
            return None
        generation, last = entry.last
        tried = last if generation == cluster.generation else ()
        return assign(entry.needs, cluster.quotas, cluster.taken.reserved, self._cache.flavors, tried)


def _opens_or_closes(item: Object | None, previous: Object | None) -> bool:
    if item is None or previous is None:
        return True
    before, after = (((each.get("spec") or {}).get("stopPolicy", "None")) for each in (previous, item))
    return bool(before != after) or is_deleting(item)


def _waited(workload: Object) -> float:
    requeued = find_condition(workload, REQUEUED)
    since = parse_time(requeued["lastTransitionTime"] if requeued else workload["metadata"].get("creationTimestamp"))
    return (now() - since).total_seconds() if since is not None else 0.0


def _selects(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Apply a label selector; none at all selects nothing, an empty one everything."""
    if selector is None:
        return False
    exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return exact and all(matches_expression(each, labels) for each in selector.get("matchExpressions") or ())
