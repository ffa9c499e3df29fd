"""Carrying out what `job.reconcile` decides, and cleaning up after Jobs: orphaned pods and expired Jobs."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from gke_notebook.cluster.resources import JOBS, PODS
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers import job_pods
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.job import Actions, reconcile
from gke_notebook.sandbox.controllers.job_policy import Backoff
from gke_notebook.sandbox.controllers.job_status import clean, is_finished, settle, true_condition
from gke_notebook.sandbox.controllers.meta import (
    Event,
    Object,
    controller_of,
    is_deleting,
    now,
    parse_time,
    reference_to,
    uid,
)
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

LOG = logging.getLogger(__name__)
Key = tuple[str, str]

COMPONENT = "job-controller"
MANAGER = "kubernetes.io/job-controller"

# Changes of pods are gathered for so long before their Job is looked at. The real controller takes 1 s; a card under a
# notebook cell should not wait that long, and a Job of 1,000 pods still is looked at ten times a second only.
GATHER = 0.1
RETRY = (1.0, 60.0)  # after a refusal, such as a quota's, as the real controller waits


class JobController:
    """Runs Jobs.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs = context.informers.store(JOBS)
        self._pods = context.informers.store(PODS)
        self._queue: WorkQueue[Key] = WorkQueue("job", self._sync, workers=8, retry=RETRY)
        self._orphans: WorkQueue[Key] = WorkQueue("job-orphan", self._free_orphan, workers=16)
        self._expired: WorkQueue[Key] = WorkQueue("ttl-after-finished", self._expire, workers=2)
        self._backoff: dict[str, Backoff] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        await self._context.synced((JOBS, PODS))
        self._jobs.listen(self._job_changed)
        self._pods.listen(self._pod_changed)
        await asyncio.gather(self._queue.run(), self._orphans.run(), self._expired.run())

    # What changes.

    def _job_changed(self, job: Object | None, previous: Object | None) -> None:
        if job is None:
            if previous is not None:
                self._backoff.pop(uid(previous), None)
                self._check_pods(previous)
            return
        key = job["metadata"].get("namespace", ""), job["metadata"]["name"]
        if is_finished(job):
            self._backoff.pop(uid(job), None)
            self._check_pods(job)
            if job["spec"].get("ttlSecondsAfterFinished") is not None:
                self._expired.add(key)
            return
        changed = previous is None or any(
            job["metadata"].get(field) != previous["metadata"].get(field)
            for field in ("uid", "generation", "deletionTimestamp")
        )
        self._queue.add(key, 0.0 if changed else GATHER)

    def _check_pods(self, job: Object) -> None:
        for pod in self._pods.controlled_by(uid(job)):
            if job_pods.is_tracked(pod):
                self._orphans.add((pod["metadata"].get("namespace", ""), pod["metadata"]["name"]))

    def _pod_changed(self, pod: Object | None, previous: Object | None) -> None:
        seen = pod or previous
        owner = controller_of(seen) if seen is not None else None
        if seen is None or owner is None or owner.get("kind") != "Job":
            return
        namespace = seen["metadata"].get("namespace", "")
        job = self._jobs.get(namespace, owner["name"])
        if job is None or uid(job) != owner.get("uid") or is_finished(job):
            if pod is not None and job_pods.is_tracked(pod):
                # The pod may have been seen before its Job: look twice before its finalizer is taken.
                self._orphans.add((namespace, pod["metadata"]["name"]), 0.0 if job is not None else 1.0)
            return
        self._queue.add((namespace, owner["name"]), GATHER)

    # One Job.

    async def _sync(self, key: Key) -> None:
        job = self._jobs.get(*key)
        if job is None or is_finished(job) or job["spec"].get("managedBy") not in (None, "", MANAGER):
            return
        owner = uid(job)
        actions = reconcile(job, self._pods.controlled_by(owner), now(), self._backoff.get(owner))
        await self._delete(job, actions)
        missed, refusal = await self._create(job, actions)
        status = actions.status
        if missed:
            status = clean({**status, "active": status.get("active", 0) - missed})
        if status != clean(job.get("status") or {}):
            job = await self._write(job, status)
        self._record(job, actions.events)
        self._backoff[owner] = actions.backoff
        await self._release(job, status, actions)
        if actions.again is not None:
            self._queue.add(key, max(actions.again, 0.01))
        if refusal is not None:
            raise refusal

    async def _delete(self, job: Object, actions: Actions) -> None:
        async def delete(pod: Object) -> None:
            if actions.delete_releases and job_pods.is_tracked(pod):
                await self._context.remove_finalizer(PODS, pod, job_pods.FINALIZER)
            await self._context.delete(PODS, pod)
            name = pod["metadata"]["name"]
            self._record(job, [Event("Normal", "SuccessfulDelete", f"Deleted pod: {name}")])

        failures = await self._context.all(actions.delete, delete)
        for _, error in failures:
            self._record(job, [Event("Warning", "FailedDelete", f"Error deleting: {error}")])
        if failures:
            raise failures[0][1]

    async def _create(self, job: Object, actions: Actions) -> tuple[int, Exception | None]:
        """Create pods in batches that double, so that a quota that refuses one is not asked a thousand times."""

        async def create(pod: Object) -> None:
            made = await self._context.call(self._context.client.create(PODS, pod))
            self._pods.assume(made)
            self._record(job, [Event("Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")])

        waiting, size = list(actions.create), 1
        while waiting:
            batch, waiting = waiting[:size], waiting[size:]
            size *= 2
            failures = await self._context.all(batch, create)
            if not failures:
                continue
            missed = len(failures) + len(waiting)
            if all(_namespace_ends(error) for _, error in failures):
                return missed, None
            for _, error in failures:
                if not _namespace_ends(error):
                    self._record(job, [Event("Warning", "FailedCreate", f"Error creating: {error}")])
            return missed, failures[0][1]
        return 0, None

    async def _release(self, job: Object, status: Object, actions: Actions) -> None:
        tracked = set(actions.tracked)

        async def release(pod: Object) -> None:
            await self._context.remove_finalizer(PODS, pod, job_pods.FINALIZER)
            tracked.discard(uid(pod))

        failures = await self._context.all(actions.release, release)
        completions = job["spec"].get("completions")
        settled, events = settle(status, actions.finished, tracked, completions, now())
        if settled != status:
            job = await self._write(job, settled)
            self._record(job, events)
        if failures:
            raise failures[0][1]

    async def _write(self, job: Object, status: Object) -> Object:
        body = {**job, "apiVersion": "batch/v1", "kind": "Job", "status": status}
        written = await self._context.call(self._context.client.replace(JOBS, body, subresource="status"))
        self._jobs.assume(written)
        return written

    def _record(self, job: Object, events: list[Event]) -> None:
        about = reference_to(job, "batch/v1", "Job")
        for event in events:
            self._context.recorder.record(COMPONENT, about, event)

    # What Jobs leave behind.

    async def _free_orphan(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or not job_pods.is_tracked(pod):
            return
        owner = controller_of(pod)
        if owner is not None:
            job = self._jobs.get(key[0], owner["name"])
            if job is not None and uid(job) == owner.get("uid") and not is_finished(job):
                return
        await self._context.remove_finalizer(PODS, pod, job_pods.FINALIZER)

    async def _expire(self, key: Key) -> None:
        job = self._jobs.get(*key)
        wait = seconds_to_live(job) if job is not None else None
        if job is None or wait is None:
            return
        if wait > 0:
            self._expired.add(key, wait)
            return
        await self._context.delete(JOBS, job, propagation="Foreground")


def seconds_to_live(job: Object) -> float | None:
    """Say after how many seconds a finished Job is to be deleted; None when it is not.

    Args:
        job: the Job.
    """
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or is_deleting(job) or not is_finished(job):
        return None
    status = job.get("status") or {}
    finished = true_condition(status, "Complete") or true_condition(status, "Failed") or {}
    ended = parse_time(finished.get("lastTransitionTime"))
    return None if ended is None else (ended + timedelta(seconds=ttl) - now()).total_seconds()


def _namespace_ends(error: Exception) -> bool:
    if not isinstance(error, ApiError):
        return False
    causes = error.details.get("causes")
    return isinstance(causes, list) and any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
