"""What becomes of a Workload, beside its admission: evictions, stopped queues, why it cannot be queued; pure.

Source of rules and texts: sigs.k8s.io/kueue v0.15.0 (`pkg/controller/core/workload_controller.go`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gke_notebook.sandbox.controllers.kueue_cache import Cache, ClusterQueue, LocalQueue, queue_of
from gke_notebook.sandbox.controllers.kueue_status import (
    ADMITTED,
    DEACTIVATION,
    EVICTED,
    FINISHED,
    PAST_SECONDS,
    REQUEUED,
    RESERVED,
    Draft,
    holds,
    is_active,
)
from gke_notebook.sandbox.controllers.meta import Event, Object, find_condition, is_deleting, is_true, parse_time

INADMISSIBLE = "Inadmissible"


@dataclass
class Plan:
    """What to do for a Workload.

    Args:
        status: its status from now on, None to leave it.
        deactivate: make it inactive.
        release: take the finalizer off: it is deleted and no job is behind it.
        events: what to record about it, once that is written.
        again: seconds after which to look again.
    """

    status: Object | None = None
    deactivate: bool = False
    release: bool = False
    events: list[Event] = field(default_factory=list)
    again: float | None = None


def reconcile(workload: Object, cache: Cache, at: datetime) -> Plan:
    """Decide what a Workload needs.

    Args:
        workload: the Workload; it is left as it is.
        cache: all queues.
        at: the time.
    """
    if is_deleting(workload) and not workload["metadata"].get("ownerReferences"):
        return Plan(release=True)
    if holds(workload, FINISHED):
        return Plan()
    draft, plan = Draft(workload, at), Plan()
    if is_active(workload):
        if holds(workload, DEACTIVATION):
            return Plan(deactivate=True)
        if _not_requeued(workload, "Deactivated"):
            draft.requeue("Reactivated", "The workload was reactivated", ready=True)
            return Plan(draft.status)
    elif not holds(workload, EVICTED):
        _deactivate(draft, plan)
        return plan
    _queue(draft, plan, cache)
    if draft.changed:
        plan.status = draft.status
    elif plan.status is None:
        _run_out(draft, plan, at)
    return plan


def _not_requeued(workload: Object, reason: str) -> bool:
    found = find_condition(workload, REQUEUED) or {}
    return found.get("status") == "False" and found.get("reason") == reason


def _deactivate(draft: Draft, plan: Plan) -> None:
    target = find_condition(draft.workload, DEACTIVATION)
    message, cause = "The workload is deactivated", ""
    if target is not None:
        message, cause = f"{message} due to {target['message']}", target["reason"]
        draft.drop(DEACTIVATION)
    _evict(draft, plan, "Deactivated", message, cause)


def _evict(draft: Draft, plan: Plan, reason: str, message: str, cause: str = "") -> None:
    admitted = "admission" in draft.status
    draft.evict(reason, message, cause)
    plan.status = draft.status
    if admitted:
        plan.events.append(Event("Normal", f"EvictedDueTo{reason}" + (f"DueTo{cause}" if cause else ""), message))


def _queue(draft: Draft, plan: Plan, cache: Cache) -> None:
    """Follow the state of the Workload's queues."""
    workload = draft.workload
    queue = cache.locals.get(queue_of(workload))
    if queue is not None and not queue.stopped and _not_requeued(workload, "LocalQueueStopped"):
        text = "The LocalQueue was restarted after being stopped"
        draft.requeue("LocalQueueRestarted", text, ready=True)
        return
    # The queues of a stopped LocalQueue are those of none.
    cluster = cache.cluster_queue_of(workload) if queue is not None and not queue.stopped else None
    stopped = cluster is not None and cluster.spec.get("stopPolicy", "None") != "None"
    if cluster is not None and not stopped and _not_requeued(workload, "ClusterQueueStopped"):
        text = "The ClusterQueue was restarted after being stopped"
        draft.requeue("ClusterQueueRestarted", text, ready=True)
        return
    if not holds(workload, ADMITTED):
        draft.sync_admitted()
        if draft.changed:
            if any(each["type"] == ADMITTED and each["status"] == "True" for each in draft.status["conditions"]):
                name = draft.status["admission"]["clusterQueue"]
                text = f"Admitted by ClusterQueue {name}, wait time since reservation was 0s"
                plan.events.append(Event("Normal", "Admitted", text))
            return
    if holds(workload, RESERVED):
        name = (workload["status"].get("admission") or {}).get("clusterQueue", "")
        _follow_local(draft, plan, queue)
        if plan.status is None and not draft.changed:
            _follow_cluster(draft, plan, cache.clusters.get(name), name)
        return
    _explain(draft, queue, cluster)


def _follow_local(draft: Draft, plan: Plan, queue: LocalQueue | None) -> None:
    workload = draft.workload
    name = workload["spec"].get("queueName", "")
    policy = ((queue.item.get("spec") or {}) if queue is not None else {}).get("stopPolicy", "None")
    if holds(workload, ADMITTED):
        if policy == "HoldAndDrain" and not holds(workload, EVICTED):
            _evict(draft, plan, "LocalQueueStopped", "The LocalQueue is stopped")
    elif queue is None or is_deleting(queue.item):
        draft.release(INADMISSIBLE, f"LocalQueue {name} is terminating or missing")
    elif policy != "None":
        draft.release(INADMISSIBLE, f"LocalQueue {name} is stopped")


def _follow_cluster(draft: Draft, plan: Plan, cluster: ClusterQueue | None, name: str) -> None:
    workload = draft.workload
    policy = (cluster.spec if cluster is not None else {}).get("stopPolicy", "None")
    if holds(workload, ADMITTED):
        if policy == "HoldAndDrain" and not holds(workload, EVICTED):
            _evict(draft, plan, "ClusterQueueStopped", "The ClusterQueue is stopped")
    elif cluster is None or is_deleting(cluster.item):
        draft.release(INADMISSIBLE, f"ClusterQueue {name} is terminating or missing")
    elif policy != "None":
        draft.release(INADMISSIBLE, f"ClusterQueue {name} is stopped")


def _explain(draft: Draft, queue: LocalQueue | None, cluster: ClusterQueue | None) -> None:
    """Say of a Workload without quota why it is not even tried."""
    name = draft.workload["spec"].get("queueName", "")
    if queue is None:
        draft.release(INADMISSIBLE, f"LocalQueue {name} doesn't exist")
    elif queue.stopped:
        draft.release(INADMISSIBLE, f"LocalQueue {name} is inactive")
    elif cluster is None:
        draft.release(INADMISSIBLE, f"ClusterQueue {queue.cluster_queue} doesn't exist")
    elif not cluster.active:
        draft.release(INADMISSIBLE, f"ClusterQueue {queue.cluster_queue} is inactive")


def _run_out(draft: Draft, plan: Plan, at: datetime) -> None:
    """Make a Workload inactive whose pods have run for too long."""
    workload = draft.workload
    limit = workload["spec"].get("maximumExecutionTimeSeconds")
    admitted = find_condition(workload, ADMITTED) or {}
    since = parse_time(admitted.get("lastTransitionTime"))
    if limit is None or admitted.get("status") != "True" or since is None or holds(workload, DEACTIVATION):
        return
    left = limit - workload["status"].get(PAST_SECONDS, 0) - (at - since).total_seconds()
    if left > 0:
        plan.again = left
        return
    reason = "MaximumExecutionTimeExceeded"
    draft.set(DEACTIVATION, "True", reason, "exceeding the maximum execution time")
    draft.status.pop(PAST_SECONDS, None)
    plan.status = draft.status
    plan.events.append(Event("Warning", reason, f"The maximum execution time ({limit}s) exceeded"))


def local_status(queue: LocalQueue, cache: Cache, at: datetime) -> Object:
    """Give the status of a LocalQueue.

    Args:
        queue: the LocalQueue.
        cache: all queues.
        at: the time.
    """
    meta = queue.item["metadata"]
    cluster = cache.clusters.get(queue.cluster_queue)
    draft = Draft(queue.item, at)
    refused = "Can't submit new workloads to clusterQueue"
    if queue.stopped:
        draft.set("Active", "False", "Stopped", "LocalQueue is stopped")
    elif cluster is None:
        draft.set("Active", "False", "ClusterQueueDoesNotExist", refused)
    elif not is_true(cluster.item, "Active"):  # as it is written: one that is being deleted is written no more
        draft.set("Active", "False", "ClusterQueueIsInactive", refused)
    else:
        draft.set("Active", "True", "Ready", "Can submit new workloads to localQueue")
    waiting = 0 if queue.stopped else cache.waiting_in((meta.get("namespace", ""), meta["name"]))
    taken = queue.taken
    counts: Object = {
        "pendingWorkloads": waiting,
        "reservingWorkloads": len(taken.reserving),
        "admittedWorkloads": len(taken.admitted),
    }
    quotas = cluster.quotas if cluster is not None else None
    # v1beta1's names: the reservation is "flavorsReservation", the usage "flavorUsage".
    for key, used in (("flavorsReservation", taken.reserved), ("flavorUsage", taken.used)):
        written = quotas.usage(used, borrowed=False) if quotas is not None else []
        if written:
            counts[key] = written
        else:
            draft.status.pop(key, None)
    return {**draft.status, **counts}


def cluster_status(cluster: ClusterQueue, at: datetime) -> Object:
    """Give the status of a ClusterQueue.

    Args:
        cluster: the ClusterQueue.
        at: the time.
    """
    draft, taken = Draft(cluster.item, at), cluster.taken
    status, reason, message = cluster.readiness
    draft.set("Active", status, reason, message)
    draft.status.update(
        flavorsReservation=cluster.quotas.usage(taken.reserved, borrowed=True),
        flavorsUsage=cluster.quotas.usage(taken.used, borrowed=True),
        pendingWorkloads=len(cluster.pending),
        reservingWorkloads=len(taken.reserving),
        admittedWorkloads=len(taken.admitted),
    )
    return draft.status
