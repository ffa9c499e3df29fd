"""A JobSet and its Jobs as one Job, so that everything that is said of a Job is said of it; pure.

The nodes of its slices are numbered through: node 1 of slice 2 with four nodes each is node 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from msgspec.structs import replace

from gke_notebook import names
from gke_notebook.insight.failures import indexes
from gke_notebook.objects import Condition, Event, Job, JobSet, JobSpec, JobStatus, Pod

_LAST = datetime.max.replace(tzinfo=timezone.utc)


def jobs_of(jobset: JobSet, jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Give the Jobs that a JobSet has made, slice by slice.

    Args:
        jobset: the JobSet.
        jobs: any Jobs.
    """
    uid = jobset.metadata.uid
    own = [job for job in jobs if job.metadata.labels.get(names.JOBSET_UID) == uid]
    return tuple(sorted(own, key=_slice))


def as_job(
    jobset: JobSet, jobs: Sequence[Job], pods: Iterable[Pod], events: Iterable[Event]
) -> tuple[Job, tuple[Pod, ...], tuple[Event, ...]]:
    """Give a JobSet as one Job, with its pods and events as those of that Job; `observe` takes them.

    Args:
        jobset: the JobSet; its Jobs are equal.
        jobs: those it has made, see `jobs_of`.
        pods: the pods of the job; pods of an earlier JobSet of the same name are passed over.
        events: events about them.
    """
    meta = jobset.metadata
    replicated = jobset.spec.replicated_jobs[0] if jobset.spec.replicated_jobs else None
    template = replicated.template.spec if replicated is not None else JobSpec()
    size = template.completions or template.parallelism or 1
    slices = replicated.replicas if replicated is not None else 1
    failed = sorted(_slice(job) * size + index for job in jobs for index in indexes(job.status.failed_indexes))
    whole = Job(
        metadata=meta,
        spec=replace(template, completions=size * slices, parallelism=size * slices, suspend=jobset.spec.suspend),
        status=JobStatus(
            active=sum(job.status.active for job in jobs),
            ready=sum(job.status.ready for job in jobs),
            succeeded=sum(job.status.succeeded for job in jobs),
            failed=sum(job.status.failed for job in jobs),
            start_time=min((job.status.start_time for job in jobs if job.status.start_time), default=None),
            failed_indexes=",".join(map(str, failed)),
            conditions=_conditions(jobset, jobs),
        ),
    )
    # Which Job owns a pod no longer matters, and a pod without an owner counts as the Job's own.
    own = tuple(
        replace(pod, metadata=replace(pod.metadata, owner_references=()))
        for pod in pods
        if pod.metadata.labels.get(names.JOBSET_UID) == meta.uid
    )
    known = {job.metadata.name for job in jobs}
    about = tuple(
        replace(event, involved_object=replace(event.involved_object, name=meta.name, uid=""))
        if event.involved_object.kind == "Job" and event.involved_object.name in known
        else event
        for event in events
    )
    return whole, own, about


def _conditions(jobset: JobSet, jobs: Sequence[Job]) -> tuple[Condition, ...]:
    found = []
    for condition in jobset.status.conditions:
        if condition.type == "Completed":
            found.append(replace(condition, type="Complete"))
        elif condition.type == "Failed":
            # The JobSet only says which Job failed; that Job says why.
            cause = _first_failed(jobs)
            found.append(condition if cause is None else replace(condition, reason=cause.reason, message=cause.message))
    return tuple(found)


def _first_failed(jobs: Sequence[Job]) -> Condition | None:
    failed = [
        condition
        for job in jobs
        for condition in job.status.conditions
        if condition.type == "Failed" and condition.status == "True"
    ]
    return min(failed, key=lambda condition: condition.last_transition_time or _LAST, default=None)


def _slice(job: Job) -> int:
    text = job.metadata.labels.get(names.JOBSET_JOB_INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else 0
