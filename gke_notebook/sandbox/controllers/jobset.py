"""What a JobSet needs next, decided over plain objects: jobs to create, delete, suspend and resume, and its status.

Source of rules, names and texts: sigs.k8s.io/jobset v0.10.1 (`pkg/controllers`, `pkg/constants`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gke_notebook.sandbox.controllers.jobset_jobs import PREFIX, child, resumed, service
from gke_notebook.sandbox.controllers.jobset_policy import apply_failure_policy, succeeded
from gke_notebook.sandbox.controllers.meta import Event, Object, clone, is_true, parse_time, timestamp
from gke_notebook.sandbox.jobsets import job_name, set_defaults

_EXCLUSIVE_OF = {
    "StartupPolicyInProgress": "StartupPolicyCompleted",
    "StartupPolicyCompleted": "StartupPolicyInProgress",
}


@dataclass
class Plan:
    """What is to be done for a JobSet.

    Args:
        status: its status from now on.
        events: what to record once the status is written.
        create: jobs to create.
        delete: jobs to delete, with what they own.
        suspend: jobs to suspend.
        resume: jobs to resume, with their pod templates brought up to date.
        service: the headless service to create, None when there is one or none is wanted.
        remove: whether the JobSet itself is to be deleted.
        again: seconds after which to look again, None for only when something changes.
    """

    status: Object
    events: list[Event] = field(default_factory=list)
    create: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    suspend: list[Object] = field(default_factory=list)
    resume: list[Object] = field(default_factory=list)
    service: Object | None = None
    remove: bool = False
    again: float | None = None


@dataclass
class Owned:
    """The jobs of a JobSet, by what has become of them; `previous` are those of an earlier attempt."""

    active: list[Object] = field(default_factory=list)
    successful: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    previous: list[Object] = field(default_factory=list)

    def names(self) -> set[str]:
        """Give the names that are taken."""
        found = (*self.active, *self.successful, *self.failed, *self.previous)
        return {job["metadata"]["name"] for job in found}


def reconcile(jobset: Object, jobs: Sequence[Object], *, has_service: bool, at: datetime) -> Plan:
    """Decide what a JobSet needs.

    Args:
        jobset: the JobSet; it is left as it was.
        jobs: the jobs it controls.
        has_service: whether a service of the name of its subdomain is there.
        at: the time.
    """
    jobset = clone(jobset)
    set_defaults(jobset)
    spec = jobset["spec"]
    status: Object = {"restarts": 0, **(jobset.get("status") or {})}
    jobset["status"] = status
    plan = Plan(status)
    owned = sort(jobs, status["restarts"])
    counts = count(spec, owned)
    if counts:
        status["replicatedJobsStatus"] = counts
    if is_true(jobset, "Completed") or is_true(jobset, "Failed"):
        plan.delete = [job for job in owned.active if not job["metadata"].get("deletionTimestamp")]
        _expire(jobset, plan, at)
        return plan
    plan.delete = [job for job in owned.previous if not job["metadata"].get("deletionTimestamp")]
    if owned.failed:
        outcome = apply_failure_policy(jobset, owned.failed)
        plan.events += outcome.events
        if outcome.failed is not None:
            _set(plan, "Failed", Event("Warning", *outcome.failed), at)
            status["terminalState"] = "Failed"
        else:
            status["restarts"] += 1
            if outcome.counts:
                status["restartsCountTowardsMax"] = status.get("restartsCountTowardsMax", 0) + 1
        return plan
    if owned.successful and succeeded(spec, owned.successful):
        _set(plan, "Completed", Event("Normal", "AllJobsCompleted", "jobset completed successfully"), at)
        status["terminalState"] = "Completed"
        return plan
    if spec["network"].get("enableDNSHostnames") and not has_service:
        plan.service = service(jobset)
    _replicate(jobset, owned, counts, plan, at)
    if spec.get("suspend"):
        plan.suspend = [job for job in owned.active if not job["spec"].get("suspend")]
        _set(plan, "Suspended", Event("Normal", "SuspendedJobs", "jobset is suspended"), at)
    else:
        _resume(jobset, owned, counts, plan, at)
    return plan


def sort(jobs: Sequence[Object], restarts: int) -> Owned:
    """Sort jobs by what has become of them.

    Args:
        jobs: the jobs of a JobSet.
        restarts: how often it was started anew.
    """
    owned = Owned()
    for job in sorted(jobs, key=lambda each: str(each["metadata"]["name"])):
        attempt = (job["metadata"].get("labels") or {}).get(PREFIX + "restart-attempt", "")
        if not attempt.isdigit() or int(attempt) < restarts:
            owned.previous.append(job)
        elif is_true(job, "Failed"):
            owned.failed.append(job)
        elif is_true(job, "Complete"):
            owned.successful.append(job)
        else:
            owned.active.append(job)
    return owned


def count(spec: Object, owned: Owned) -> list[Object]:
    """Give the state of each replicated job, ordered as the real controller orders it: by name, backwards.

    Args:
        spec: the JobSet's spec.
        owned: its jobs.
    """
    words = ("ready", "succeeded", "failed", "active", "suspended")
    found = {each["name"]: dict.fromkeys(words, 0) for each in spec.get("replicatedJobs") or ()}
    for job in owned.active:
        counts, state, wanted = found.get(_replicated_name(job)), job.get("status") or {}, job["spec"]
        if counts is None:
            continue
        pods = wanted.get("parallelism", 1)
        if wanted.get("completions") is not None:
            pods = min(pods, wanted["completions"])
        counts["ready"] += state.get("succeeded", 0) + state.get("ready", 0) >= pods
        counts["active"] += state.get("active", 0) > 0
        counts["suspended"] += bool(wanted.get("suspend"))
    for word, jobs in (("succeeded", owned.successful), ("failed", owned.failed)):
        for job in jobs:
            if _replicated_name(job) in found:
                found[_replicated_name(job)][word] += 1
    return [{"name": name, **found[name]} for name in sorted(found, reverse=True)]


def _replicated_name(job: Object) -> str:
    return str((job["metadata"].get("labels") or {}).get(PREFIX + "replicatedjob-name", ""))


def _replicate(jobset: Object, owned: Owned, counts: list[Object], plan: Plan, at: datetime) -> None:
    spec = jobset["spec"]
    in_order = spec["startupPolicy"].get("startupPolicyOrder") == "InOrder"
    waits = (spec.get("failurePolicy") or {}).get("restartStrategy") == "BlockingRecreate" and bool(owned.previous)
    taken = owned.names()
    for replicated in spec.get("replicatedJobs") or ():
        if not _dependencies_met(replicated, spec, counts):
            continue
        started = _started(replicated, counts)
        if not spec.get("suspend") and in_order and started:
            continue
        for index in range(0 if waits else replicated.get("replicas", 1)):
            if job_name(jobset["metadata"]["name"], replicated["name"], index) not in taken:
                plan.create.append(child(jobset, replicated, index))
        if not spec.get("suspend") and in_order:
            _progress(plan, at)
            return
    if not spec.get("suspend") and in_order:
        text = "in order startup policy has completed"
        _set(plan, "StartupPolicyCompleted", Event("Normal", "InOrderStartupPolicyCompleted", text), at)


def _resume(jobset: Object, owned: Owned, counts: list[Object], plan: Plan, at: datetime) -> None:
    spec = jobset["spec"]
    in_order = spec["startupPolicy"].get("startupPolicyOrder") == "InOrder"
    for replicated in spec.get("replicatedJobs") or ():
        if not _dependencies_met(replicated, spec, counts) or (in_order and _started(replicated, counts)):
            continue
        for job in owned.active:
            if _replicated_name(job) == replicated["name"] and job["spec"].get("suspend"):
                plan.resume.append(resumed(job, replicated))
        if in_order:
            _progress(plan, at)
            return
    _set(plan, "Suspended", Event("Normal", "ResumeJobs", "jobset is resumed"), at, value="False")


def _progress(plan: Plan, at: datetime) -> None:
    text = "in order startup policy is in progress"
    _set(plan, "StartupPolicyInProgress", Event("Normal", "InOrderStartupPolicyInProgress", text), at)


def _started(replicated: Object, counts: list[Object]) -> bool:
    mine = next((each for each in counts if each["name"] == replicated["name"]), None)
    return mine is not None and replicated.get("replicas", 1) == mine["failed"] + mine["ready"] + mine["succeeded"]


def _dependencies_met(replicated: Object, spec: Object, counts: list[Object]) -> bool:
    replicas = {each["name"]: each.get("replicas", 1) for each in spec["replicatedJobs"]}
    states = {each["name"]: each for each in counts}
    for wanted in replicated.get("dependsOn") or ():
        state = states.get(wanted["name"])
        if state is None:
            return False
        reached = state["succeeded"] if wanted["status"] == "Complete" else sum(
            state[word] for word in ("failed", "ready", "succeeded")
        )  # fmt: skip
        if reached != replicas[wanted["name"]]:
            return False
    return True


def _expire(jobset: Object, plan: Plan, at: datetime) -> None:
    seconds = jobset["spec"].get("ttlSecondsAfterFinished")
    ends = [each for each in plan.status.get("conditions") or () if each["type"] in {"Completed", "Failed"}]
    finished = parse_time(next((each["lastTransitionTime"] for each in ends if each["status"] == "True"), None))
    if seconds is None or finished is None:
        return
    left = (finished + timedelta(seconds=seconds) - at).total_seconds()
    plan.remove, plan.again = left <= 0, left if left > 0 else None


def _set(plan: Plan, type_: str, event: Event, at: datetime, *, value: str = "True") -> None:
    """Set a condition of the status, in the event's words, and have that recorded when it changes anything."""
    conditions: list[Object] = list(plan.status.get("conditions") or ())
    new = {
        "type": type_, "status": value, "reason": event.reason, "message": event.message,
        "lastTransitionTime": timestamp(at),
    }  # fmt: skip
    changed = False
    for index, each in enumerate(conditions):
        if each["type"] == type_:
            if each["status"] != value:
                conditions[index], changed = new, True
        elif each["type"] == _EXCLUSIVE_OF.get(type_) and each["status"] == value == "True":
            conditions[index], changed = {**each, "status": "False"}, True
    if all(each["type"] != type_ for each in conditions) and value == "True":
        conditions.append(new)
        changed = True
    if changed:
        plan.status["conditions"] = conditions
        plan.events.append(event)
