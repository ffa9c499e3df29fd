"""Small questions about Kubernetes objects held as plain dicts: times, conditions, owners, phases of pods."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

Object = dict[str, Any]

TERMINAL = ("Succeeded", "Failed")
DEFAULT_SCHEDULER = "default-scheduler"


@dataclass(frozen=True)
class Event:
    """Something to record about an object.

    Args:
        type: ``Normal`` or ``Warning``.
        reason: a word in camel case.
        message: the text.
        action: what was tried, for example ``Binding``; only the scheduler says so.
    """

    type: str
    reason: str
    message: str
    action: str = ""


def now() -> datetime:
    """Give the time, with its zone."""
    return datetime.now(timezone.utc)


def timestamp(value: datetime) -> str:
    """Write a time as Kubernetes' `Time` does: UTC, whole seconds.

    Args:
        value: a time with its zone.

    Example:
        >>> timestamp(datetime(2026, 11, 24, tzinfo=timezone.utc))
        '2026-11-24T00:00:00Z'
    """
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(value: datetime) -> str:
    """Write a time as Kubernetes' `MicroTime` does: UTC, microseconds."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def observed(pod: Object) -> Object:
    """Give what a condition of a pod says of the generation it was judged by, as since kubernetes 1.34."""
    generation = pod["metadata"].get("generation")
    return {"observedGeneration": generation} if generation else {}


def condition_patch(pod: Object, condition: Object) -> Object:
    """Make the strategic merge patch of a pod's status that sets one condition and leaves them in their order.

    Args:
        pod: the pod as last seen.
        condition: the condition, which comes last when it is new.
    """
    present = [item.get("type") for item in (pod.get("status") or {}).get("conditions") or ()]
    order = present if condition["type"] in present else [*present, condition["type"]]
    return {"$setElementOrder/conditions": [{"type": type_} for type_ in order], "conditions": [condition]}


def parse_time(text: str | None) -> datetime | None:
    """Read a time as the API server writes it; None for nothing or nonsense."""
    if not text:
        return None
    try:
        value = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)


def clone(value: Any) -> Any:
    """Copy plain JSON data deeply."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def canonical(value: Any) -> str:
    """Write JSON data so that equal data gives equal text, to be used as a key."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def version(item: Object) -> int:
    """Give an object's resourceVersion as a number; resource versions are ordered (KEP-5504, 2025)."""
    try:
        return int(item["metadata"].get("resourceVersion") or 0)
    except ValueError:
        return 0


def uid(item: Object) -> str:
    """Give an object's uid."""
    return str(item["metadata"].get("uid", ""))


def controller_of(item: Object) -> Object | None:
    """Give the owner reference that is marked as the controller, if there is one."""
    for reference in item["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            owner: Object = reference
            return owner
    return None


def find_condition(item: Object, type_: str) -> Object | None:
    """Give a condition out of an object's status."""
    return condition_in((item.get("status") or {}).get("conditions") or (), type_)


def condition_in(conditions: Iterable[Object], type_: str) -> Object | None:
    """Give the condition of one type."""
    for condition in conditions:
        if condition.get("type") == type_:
            return condition
    return None


def is_true(item: Object, type_: str) -> bool:
    """Say whether a condition holds."""
    condition = find_condition(item, type_)
    return condition is not None and condition.get("status") == "True"


def phase(pod: Object) -> str:
    """Give a pod's phase; a pod without one is pending."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_deleting(item: Object) -> bool:
    """Say whether deletion has begun."""
    return bool(item["metadata"].get("deletionTimestamp"))


def is_active(pod: Object) -> bool:
    """Say whether a pod has neither ended nor been asked to."""
    return phase(pod) not in TERMINAL and not is_deleting(pod)


def is_terminating(pod: Object) -> bool:
    """Say whether a pod has been asked to end and has not yet."""
    return phase(pod) not in TERMINAL and is_deleting(pod)


def reference_to(item: Object, api_version: str, kind: str) -> Object:
    """Make the object reference that an event carries."""
    metadata = item["metadata"]
    reference = {
        "apiVersion": api_version,
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    if metadata.get("namespace"):
        reference["namespace"] = metadata["namespace"]
    return reference


def finished_time(pod: Object) -> datetime:
    """Say when a pod ended, as the Job controller reckons it for its back-off.

    The latest end of its containers and sidecars when all have ended; else when it stopped being ready; else when its
    deletion was asked for; else when it was created (kubernetes 1.34, pkg/controller/job/backoff_utils.go).
    """
    status = pod.get("status") or {}
    sidecars = {
        container["name"]
        for container in (pod.get("spec") or {}).get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    statuses = list(status.get("containerStatuses") or ())
    statuses += [item for item in status.get("initContainerStatuses") or () if item.get("name") in sidecars]
    ends = [parse_time(((item.get("state") or {}).get("terminated") or {}).get("finishedAt")) for item in statuses]
    known = [end for end in ends if end is not None]
    if ends and len(known) == len(ends):
        return max(known)
    ready = find_condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False":
        changed = parse_time(ready.get("lastTransitionTime"))
        if changed is not None:
            return changed
    metadata = pod["metadata"]
    deleted = parse_time(metadata.get("deletionTimestamp"))
    if deleted is not None:
        return deleted - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return parse_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, timezone.utc)
