"""Jobs and JobSets that name a LocalQueue: held until their Workload is admitted, stopped when it is evicted.

Source of rules and texts: sigs.k8s.io/kueue v0.15.0 (`pkg/controller/jobframework/reconciler.go`).
"""

from __future__ import annotations

from collections.abc import Callable

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import JOBS, Resource
from gke_notebook.sandbox import jobsets, kueue
from gke_notebook.sandbox.controllers import kueue_jobs as jobs
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.jobset_controller import DEFINITIONS, JOBSETS
from gke_notebook.sandbox.controllers.kueue_pending import Key
from gke_notebook.sandbox.controllers.kueue_status import ADMITTED, EVICTED, FINISHED, RESERVED, Draft, holds
from gke_notebook.sandbox.controllers.meta import (
    Event,
    Object,
    controller_of,
    find_condition,
    is_deleting,
    is_true,
    now,
    reference_to,
    uid,
)
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

JobKey = tuple[str, str, str]
"""Kind, namespace, name."""
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
_SOURCES = {
    "WorkloadPriorityClass": "kueue.x-k8s.io/workloadpriorityclass",
    "PriorityClass": "scheduling.k8s.io/priorityclass",
}


class QueuedJobs:
    """Keeps Jobs and JobSets in step with their Workloads.

    Args:
        context: what all controllers share.
        look_at: has a Workload looked at whose job has gone.
    """

    def __init__(self, context: Context, look_at: Callable[[Key], None]) -> None:
        self._context = context
        self._look_at = look_at
        self._queue: WorkQueue[JobKey] = WorkQueue("kueue job", self._sync, workers=4)
        self._stores = {"Job": context.informers.store(JOBS)}

    async def begin(self) -> None:
        """Begin to listen; JobSets are looked at from when their kind is served."""
        context = self._context
        await context.synced((JOBS, PRIORITY_CLASSES, kueue.WORKLOADS, kueue.WORKLOAD_PRIORITY_CLASSES))
        self._workloads = context.informers.store(kueue.WORKLOADS)
        self._stores["Job"].listen(self._listener("Job"))
        context.informers.store(DEFINITIONS).listen(self._definition_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _definition_changed(self, item: Object | None, previous: Object | None) -> None:
        del previous
        name = f"{jobsets.PLURAL}.{jobsets.GROUP}"
        served = item is not None and item["metadata"]["name"] == name and is_true(item, "Established")
        if served and "JobSet" not in self._stores:
            self._stores["JobSet"] = self._context.informers.store(JOBSETS)
            self._stores["JobSet"].listen(self._listener("JobSet"))

    def _listener(self, kind: str) -> Callable[[Object | None, Object | None], None]:
        def changed(item: Object | None, previous: Object | None) -> None:
            seen = item or previous
            if seen is None or not kueue.queue_name(seen):
                return
            meta = seen["metadata"]
            if item is None:
                for workload in self._workloads.controlled_by(uid(seen)):
                    self._look_at((meta["namespace"], workload["metadata"]["name"]))
            else:
                self._queue.add((kind, meta["namespace"], meta["name"]))

        return changed

    def workload_changed(self, workload: Object) -> None:
        """Have the job of a Workload looked at.

        Args:
            workload: the Workload, as it is or was.
        """
        owner = controller_of(workload)
        if owner is not None and owner["kind"] in self._stores:
            self._queue.add((owner["kind"], workload["metadata"]["namespace"], owner["name"]))

    def _job(self, kind: str, namespace: str, name: str) -> Object | None:
        store = self._stores.get(kind)
        found = store.get(namespace, name) if store is not None else None
        resource = JOBSETS if kind == "JobSet" else JOBS
        # A list's items do not say what they are.
        return None if found is None else {**found, "apiVersion": resource.api_version, "kind": kind}

    def is_orphan(self, workload: Object) -> bool:
        """Say whether the job of a Workload has gone.

        Args:
            workload: the Workload.
        """
        owner = controller_of(workload)
        if owner is None or owner["kind"] not in self._stores:
            return False
        job = self._job(owner["kind"], workload["metadata"]["namespace"], owner["name"])
        return job is None or uid(job) != owner["uid"]

    def _record(self, job: Object, reason: str, message: str) -> None:
        about = reference_to(job, job["apiVersion"], job["kind"])
        self._context.recorder.record(jobs.component(job), about, Event("Normal", reason, message))

    async def _replace(self, job: Object) -> Object:
        resource = jobs.resource_of(job)
        found = await self._context.call(self._context.client.replace(resource, job))
        self._context.informers.store(resource).assume(found)
        return {**job, **found}

    async def _write(self, workload: Object, draft: Draft) -> None:
        body = {**workload, "apiVersion": kueue.API_VERSION, "kind": "Workload", "status": draft.status}
        self._workloads.assume(
            await self._context.call(self._context.client.replace(kueue.WORKLOADS, body, subresource="status"))
        )

    async def _sync(self, key: JobKey) -> None:
        job = self._job(*key)
        if job is None or not kueue.queue_name(job) or self._is_child(job):
            return
        if is_deleting(job):
            for each in self._workloads.controlled_by(uid(job)):
                await self._context.remove_finalizer(kueue.WORKLOADS, each, kueue.FINALIZER)
            return
        settled, workload = await self._one_workload(job)
        if not settled:
            return
        ending = jobs.finished(job)
        if workload is not None and holds(workload, FINISHED):
            self._finished(job, workload)
            await self._context.remove_finalizer(kueue.WORKLOADS, workload, kueue.FINALIZER)
        elif workload is not None and is_deleting(workload):
            await self._stop(job, workload, "Workload is deleted")
            await self._context.remove_finalizer(kueue.WORKLOADS, workload, kueue.FINALIZER)
        elif ending is not None:
            if workload is not None:
                draft = Draft(workload, now())
                draft.finish("Succeeded" if ending.success else "Failed", ending.message)
                await self._write(workload, draft)
                self._finished(job, workload)
        elif workload is None:
            if not jobs.is_running(job):
                await self._create(job)
        elif (pods := jobs.reclaimable(job)) != (workload.get("status") or {}).get("reclaimablePods", []):
            draft = Draft(workload, now())
            draft.status["reclaimablePods"] = pods
            await self._write(workload, draft)
        elif holds(workload, EVICTED):
            await self._evicted(job, workload)
        else:
            await self._follow(job, workload)

    def _is_child(self, job: Object) -> bool:
        owner = controller_of(job)
        if owner is None or owner["kind"] not in self._stores:
            return False
        parent = self._job(owner["kind"], job["metadata"]["namespace"], owner["name"])
        return parent is not None and bool(kueue.queue_name(parent))

    def _finished(self, job: Object, workload: Object) -> None:
        name = f"{workload['metadata']['namespace']}/{workload['metadata']['name']}"
        self._record(job, "FinishedWorkload", f"Workload '{name}' is declared finished")

    async def _one_workload(self, job: Object) -> tuple[bool, Object | None]:
        """Find the Workload of a job, and do away with those that do not fit it; says whether it is settled."""
        others = sorted(self._workloads.controlled_by(uid(job)), key=lambda each: str(each["metadata"]["name"]))
        match = next((each for each in others if jobs.equivalent(job, each)), None)
        others = [each for each in others if each is not match]
        if match is not None and not others:
            return await self._same_priority(job, match), match
        update = None
        if match is None and others and jobs.is_suspended(job) and not holds(others[0], RESERVED):
            update, others = others[0], others[1:]
        if match is None and not jobs.is_suspended(job) and jobs.finished(job) is None:
            known = others[0] if len(others) == 1 else None
            text = "No matching Workload; restoring pod templates according to existent Workload"
            await self._stop(job, known, text if known else "Missing Workload; unable to restore pod templates")
        for each in others:
            await self._context.remove_finalizer(kueue.WORKLOADS, each, kueue.FINALIZER)
            await self._context.delete(kueue.WORKLOADS, each)
            name = f"{each['metadata']['namespace']}/{each['metadata']['name']}"
            self._record(job, "DeletedWorkload", f"Deleted not matching Workload: {name}")
        if update is not None:
            await self._update(job, update, "Updated not matching Workload for suspended job")
        settled = not others and update is None
        return settled, match

    async def _update(self, job: Object, workload: Object, text: str) -> None:
        changed = {
            **workload, "apiVersion": kueue.API_VERSION, "kind": "Workload",
            "spec": jobs.new_workload(job, self._priority(job))["spec"],
        }  # fmt: skip
        self._workloads.assume(await self._context.call(self._context.client.replace(kueue.WORKLOADS, changed)))
        name = f"{workload['metadata']['namespace']}/{workload['metadata']['name']}"
        self._record(job, "UpdatedWorkload", f"{text}: {name}")

    async def _same_priority(self, job: Object, workload: Object) -> bool:
        spec, wanted = workload["spec"], (job["metadata"].get("labels") or {}).get(kueue.PRIORITY_LABEL, "")
        if spec.get("priorityClassSource") != _SOURCES["WorkloadPriorityClass"]:
            return True
        if spec.get("priorityClassName") == wanted:
            return True
        number, name, source = self._priority(job)
        spec = {**spec, "priority": number, "priorityClassName": name, "priorityClassSource": source}
        changed = {**workload, "apiVersion": kueue.API_VERSION, "kind": "Workload", "spec": spec}
        self._workloads.assume(await self._context.call(self._context.client.replace(kueue.WORKLOADS, changed)))
        meta = workload["metadata"]
        self._record(job, "UpdatedWorkload", f"Updated workload priority class: {meta['namespace']}/{meta['name']}")
        return False

    def _priority(self, job: Object) -> tuple[int, str, str]:
        wanted = (job["metadata"].get("labels") or {}).get(kueue.PRIORITY_LABEL)
        resource, name = kueue.WORKLOAD_PRIORITY_CLASSES, str(wanted or "")
        if not name:
            resource, name = PRIORITY_CLASSES, jobs.priority_class(jobs.pod_sets(job))
        store = self._context.informers.store(resource)
        if name:
            found = store.get("", name)
            if found is None:
                raise LookupError(f"{resource.kind} {name!r} not found")  # tried again, as Kueue does
        else:
            defaults = [each for each in store.objects.values() if each.get("globalDefault")]
            found = min(defaults, key=lambda each: int(each["value"]), default=None)
        if found is None:
            return 0, "", ""
        return int(found["value"]), found["metadata"]["name"], _SOURCES[resource.kind]

    async def _create(self, job: Object) -> None:
        workload = jobs.new_workload(job, self._priority(job))
        found = await self._context.call(self._context.client.create(kueue.WORKLOADS, workload))
        name = f"{found['metadata']['namespace']}/{found['metadata']['name']}"
        self._record(job, "CreatedWorkload", f"Created Workload: {name}")
        self._workloads.assume(found)

    async def _evicted(self, job: Object, workload: Object) -> None:
        condition = find_condition(workload, EVICTED) or {}
        await self._stop(job, workload, condition["message"])
        if holds(workload, RESERVED) and not jobs.is_running(self._job_now(job)):
            draft = Draft(workload, now())
            draft.requeue(condition["reason"], condition["message"], ready=False)
            draft.release("Pending", condition["message"])
            await self._write(workload, draft)

    def _job_now(self, job: Object) -> Object:
        return self._job(job["kind"], job["metadata"]["namespace"], job["metadata"]["name"]) or job

    async def _follow(self, job: Object, workload: Object) -> None:
        admitted = holds(workload, ADMITTED)
        if not jobs.is_suspended(job):
            if not admitted:
                await self._stop(job, workload, "Not admitted by cluster queue")
            return
        if admitted:
            await self._start(job, workload)
        elif workload["spec"].get("queueName", "") != kueue.queue_name(job):
            spec = {**workload["spec"], "queueName": kueue.queue_name(job)}
            changed = {**workload, "apiVersion": kueue.API_VERSION, "kind": "Workload", "spec": spec}
            self._workloads.assume(await self._context.call(self._context.client.replace(kueue.WORKLOADS, changed)))

    async def _start(self, job: Object, workload: Object) -> None:
        found = self._context.informers.store(kueue.RESOURCE_FLAVORS).objects
        flavors = {name: item for (_, name), item in found.items()}
        try:
            changed = jobs.started(job, jobs.placements(workload, flavors))
        except jobs.StartError as error:
            draft = Draft(workload, now())
            draft.finish("FailedToStart", str(error))
            await self._write(workload, draft)
            return
        await self._replace(changed)
        cluster_queue = workload["status"]["admission"]["clusterQueue"]
        self._record(job, "Started", f"Admitted by clusterQueue {cluster_queue}")

    async def _stop(self, job: Object, workload: Object | None, message: str) -> None:
        """Hold a job and give it back the pod templates it came with."""
        sets = workload["spec"]["podSets"] if workload is not None else []
        stopped = not jobs.is_suspended(job)
        if job["kind"] == "JobSet":
            if not stopped:
                return
            changed = jobs.restored(job, sets)
            await self._replace({**changed, "spec": {**changed["spec"], "suspend": True}})
        else:
            job = await self._stop_job(job, sets, stopped=stopped)
        if stopped:
            self._record(job, "Stopped", message)

    async def _stop_job(self, job: Object, sets: list[Object], *, stopped: bool) -> Object:
        meta = job["metadata"]
        if stopped:
            marks = {**(meta.get("annotations") or {}), kueue.STOPPING_ANNOTATION: "true"}
            job = await self._replace(
                {**job, "metadata": {**meta, "annotations": marks}, "spec": {**job["spec"], "suspend": True}}
            )
        # The template of a job that has run cannot be changed; the API allows it once the start is taken back.
        if (job.get("status") or {}).get("startTime"):
            found = await self._context.call(
                self._context.client.patch(
                    JOBS, meta["name"], {"metadata": {"resourceVersion": job["metadata"]["resourceVersion"]},
                    "status": {"startTime": None}}, meta["namespace"], subresource="status", content_type=MERGE_PATCH,
                )
            )  # fmt: skip
            self._stores["Job"].assume(found)
            job = {**job, **found}
        changed = jobs.restored(job, sets)
        return job if changed == job else await self._replace(changed)
