"""Carrying out what `jobset.reconcile` decides, while the JobSet kind is served."""

from __future__ import annotations

import asyncio

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import JOBS, SERVICES, Resource
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.jobset import Plan, reconcile
from gke_notebook.sandbox.controllers.jobset_jobs import API_VERSION, subdomain
from gke_notebook.sandbox.controllers.meta import (
    Event,
    Object,
    controller_of,
    is_deleting,
    is_true,
    now,
    reference_to,
    uid,
)
from gke_notebook.sandbox.controllers.workqueue import WorkQueue
from gke_notebook.sandbox.jobsets import CONTROLLER, GROUP, KIND, PLURAL, VERSION

Key = tuple[str, str]

JOBSETS = Resource(GROUP, VERSION, PLURAL, KIND)
DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
COMPONENT = "jobset"
GATHER = 0.05  # seconds: changes of several jobs are looked at together


class JobSetController:
    """Runs JobSets.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._served = asyncio.Event()
        self._queue: WorkQueue[Key] = WorkQueue("jobset", self._sync, workers=4)

    async def run(self) -> None:
        """Run until cancelled; nothing is watched before the kind is served."""
        self._context.informers.store(DEFINITIONS).listen(self._definition_changed)
        await self._served.wait()
        await self._context.synced((JOBSETS, JOBS, SERVICES))
        self._jobsets = self._context.informers.store(JOBSETS)
        self._jobs = self._context.informers.store(JOBS)
        self._services = self._context.informers.store(SERVICES)
        self._jobsets.listen(self._jobset_changed)
        self._jobs.listen(self._child_changed)
        self._services.listen(self._child_changed)
        await self._queue.run()

    def _definition_changed(self, item: Object | None, previous: Object | None) -> None:
        del previous
        if item is not None and item["metadata"]["name"] == f"{PLURAL}.{GROUP}" and is_true(item, "Established"):
            self._served.set()

    def _jobset_changed(self, item: Object | None, previous: Object | None) -> None:
        del previous
        if item is not None:
            self._queue.add((item["metadata"].get("namespace", ""), item["metadata"]["name"]))

    def _child_changed(self, item: Object | None, previous: Object | None) -> None:
        seen = item or previous
        owner = controller_of(seen) if seen is not None else None
        if seen is not None and owner is not None and owner.get("kind") == KIND:
            self._queue.add((seen["metadata"].get("namespace", ""), owner["name"]), GATHER)

    async def _sync(self, key: Key) -> None:
        jobset = self._jobsets.get(*key)
        if jobset is None or is_deleting(jobset) or jobset["spec"].get("managedBy") not in (None, "", CONTROLLER):
            return
        jobs = self._jobs.controlled_by(uid(jobset))
        has_service = self._services.get(key[0], subdomain(jobset)) is not None
        plan = reconcile(jobset, jobs, has_service=has_service, at=now())
        await self._carry_out(jobset, plan)
        if plan.again is not None:
            self._queue.add(key, plan.again)

    async def _carry_out(self, jobset: Object, plan: Plan) -> None:
        context = self._context
        for job in plan.delete:
            await context.delete(JOBS, job, propagation="Foreground")
        if plan.service is not None:
            await self._create_service(jobset, plan.service)
        refused = await context.all(plan.create, self._create_job)
        if refused:
            text = "\n".join(
                f'job "{job["metadata"]["name"]}" creation failed with error: {error}' for job, error in refused
            )
            about = reference_to(jobset, API_VERSION, KIND)
            context.recorder.record(COMPONENT, about, Event("Warning", "JobCreationFailed", text))
            raise refused[0][1]
        for job in plan.suspend:
            await context.patch(JOBS, job, {"spec": {"suspend": True}})
        for job in plan.resume:
            await self._resume(job)
        if plan.status != {"restarts": 0, **(jobset.get("status") or {})} or "status" not in jobset:
            jobset = await self._write(jobset, plan.status)
        about = reference_to(jobset, API_VERSION, KIND)
        for event in plan.events:
            context.recorder.record(COMPONENT, about, event)
        if plan.remove:
            await context.delete(JOBSETS, jobset, propagation="Foreground")

    async def _create_job(self, job: Object) -> None:
        self._jobs.assume(
            await self._context.call(self._context.client.create(JOBS, job, job["metadata"]["namespace"]))
        )

    async def _create_service(self, jobset: Object, body: Object) -> None:
        namespace = body["metadata"]["namespace"]
        try:
            self._services.assume(await self._context.call(self._context.client.create(SERVICES, body, namespace)))
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return
            about = reference_to(jobset, API_VERSION, KIND)
            event = Event("Warning", "HeadlessServiceCreationFailed", str(error))
            self._context.recorder.record(COMPONENT, about, event)
            raise

    async def _resume(self, job: Object) -> None:
        # The template of a job that has run cannot be changed; the API allows it once the start is taken back.
        if (job.get("status") or {}).get("startTime"):
            job = {**job, "status": {key: value for key, value in job["status"].items() if key != "startTime"}}
            found = await self._context.call(self._context.client.replace(JOBS, job, subresource="status"))
            job["metadata"] = {**job["metadata"], "resourceVersion": found["metadata"]["resourceVersion"]}
        self._jobs.assume(await self._context.call(self._context.client.replace(JOBS, job)))

    async def _write(self, jobset: Object, status: Object) -> Object:
        body = {"metadata": {"resourceVersion": jobset["metadata"]["resourceVersion"]}, "status": status}
        meta = jobset["metadata"]
        found = await self._context.call(
            self._context.client.patch(
                JOBSETS, meta["name"], body, meta["namespace"], subresource="status", content_type=MERGE_PATCH
            )
        )
        self._jobsets.assume(found)
        return found
