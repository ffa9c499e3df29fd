"""A Job's status: counters and conditions; pure.

Semantics and texts: kubernetes 1.34, pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from gke_notebook.sandbox.controllers.meta import Event, Object, clone, condition_in, timestamp


def condition(type_: str, reason: str, message: str, now: datetime, status: str = "True") -> Object:
    """Make a condition of a Job."""
    time = timestamp(now)
    made: Object = {
        "type": type_,
        "status": status,
        "lastProbeTime": time,
        "lastTransitionTime": time,
    }
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def true_condition(status: Object, type_: str) -> Object | None:
    """Give a condition of a Job's status when it holds."""
    found = condition_in(status.get("conditions") or (), type_)
    return found if found is not None and found.get("status") == "True" else None


def is_finished(job: Object) -> bool:
    """Say whether a Job is Complete or Failed."""
    status = job.get("status") or {}
    return true_condition(status, "Complete") is not None or true_condition(status, "Failed") is not None


def ensure(conditions: Sequence[Object], wanted: Object) -> tuple[list[Object], bool]:
    """Set a condition, and say whether that changed anything; one that is not there is not added as False.

    Args:
        conditions: the conditions as they are.
        wanted: the condition as it should be.
    """
    result = list(conditions)
    for place, present in enumerate(result):
        if present.get("type") == wanted["type"]:
            same = all(present.get(key, "") == wanted.get(key, "") for key in ("status", "reason", "message"))
            if same:
                return result, False
            result[place] = wanted
            return result, True
    if wanted["status"] == "False":
        return result, False
    return [*result, wanted], True


def clean(status: Object) -> Object:
    """Leave out what the API leaves out: counters at zero, empty texts and lists."""
    kept = {
        key: value
        for key, value in status.items()
        if value not in (None, "", []) and not (key in ("active", "succeeded", "failed") and value == 0)
    }
    uncounted = kept.get("uncountedTerminatedPods")
    if uncounted is not None:
        kept["uncountedTerminatedPods"] = {key: value for key, value in uncounted.items() if value}
    if status.get("failedIndexes") is not None:
        kept["failedIndexes"] = status["failedIndexes"]  # an empty text means that there is a limit per index
    return kept


def count_released(status: Object, tracked: Collection[str]) -> Object:
    """Move pods whose finalizer is gone from the uncounted lists into the counters.

    Args:
        status: the Job's status.
        tracked: uids of the pods that still have the finalizer.
    """
    result: Object = clone(status)
    uncounted = result.setdefault("uncountedTerminatedPods", {})
    for outcome in ("succeeded", "failed"):
        uids = uncounted.get(outcome) or []
        left = [uid for uid in uids if uid in tracked]
        result[outcome] = (result.get(outcome) or 0) + len(uids) - len(left)
        uncounted[outcome] = left
    return result


def settle(
    status: Object, finished: Object | None, tracked: Collection[str], completions: int | None, now: datetime
) -> tuple[Object, list[Event]]:
    """Give the status after finalizers were removed, and end the Job when nothing is left to wait for.

    Args:
        status: the status as last written.
        finished: the condition that ends the Job, None while it goes on.
        tracked: uids of the pods that still have the finalizer.
        completions: the Job's `spec.completions`.
        now: the time.
    """
    result = count_released(status, tracked)
    uncounted = result["uncountedTerminatedPods"]
    events: list[Event] = []
    waiting = uncounted.get("succeeded") or uncounted.get("failed") or result.get("terminating")
    if finished is not None and not waiting:
        done = {**finished, "lastProbeTime": timestamp(now), "lastTransitionTime": timestamp(now)}
        result["conditions"], _ = ensure(result.get("conditions") or [], done)
        if finished["type"] == "Complete":
            result["completionTime"] = done["lastTransitionTime"]
            if completions is not None and result.get("succeeded", 0) > completions:
                text = "Too many succeeded pods running after completion count reached"
                events.append(Event("Warning", "TooManySucceededPods", text))
            events.append(Event("Normal", "Completed", "Job completed"))
        else:
            events.append(Event("Warning", finished.get("reason", ""), finished.get("message", "")))
    return clean(result), events
