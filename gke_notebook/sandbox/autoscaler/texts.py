"""The autoscaler's words: events on pods and nodes, and the ids of its visibility log; pure.

Texts: kubernetes/autoscaler (events) and GoogleCloudPlatform/cluster-autoscaler, visibility (2026-08-21).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.controllers.meta import Event

_LIMIT = 250  # GKE cuts the text of FailedScaleUp there
_ERRORS = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": ("GCE out of resources", "out.of.resources"),
    "RESOURCE_POOL_EXHAUSTED": ("GCE out of resources", "out.of.resources"),
    "QUOTA_EXCEEDED": ("GCE quota exceeded", "quota.exceeded"),
    "RESERVATION_NOT_FOUND": ("Reservation not found or incorrectly shared", "reservation.not.found"),
    "RESERVATION_NOT_READY": ("Reservation not ready", "reservation.not.ready"),
    "RESERVATION_CAPACITY_EXCEEDED": ("Reservation capacity exceeded", "reservation.capacity.exceeded"),
    "RESERVATION_INCOMPATIBLE": ("Reservation incompatible with node group", "reservation.incompatible"),
    "AUTOMATIC_RESERVATIONS_NO_CAPACITY": (
        "Any affinity reservations no capacity: All any affinity reservations are fully consumed",
        "any.affinity.reservations.no.capacity",
    ),
}
TIMEOUT = "TIMEOUT"
SHORTAGES = ("ZONE_RESOURCE_POOL_EXHAUSTED", "RESOURCE_POOL_EXHAUSTED")
_SKIPPED = {
    "in backoff after failed scale-up": "no.scale.up.in.backoff",
    "max node group size reached": "no.scale.up.mig.skipped",
    "not ready for scale-up": "no.scale.up.mig.skipped",
}


def reason(code: str, group: str) -> str:
    """Give the words for an error of Compute Engine in the event FailedScaleUp.

    Args:
        code: Compute Engine's code, or `TIMEOUT`.
        group: the instance group's name.

    Example:
        >>> reason("ZONE_RESOURCE_POOL_EXHAUSTED", "g")
        'GCE out of resources'
    """
    if code == TIMEOUT:
        return f'Some nodes in node group "{group}" failed to appear in time'
    return _ERRORS.get(code, ("Internal error", ""))[0]


def error_id(code: str) -> str:
    """Give the visibility log's id for an error of Compute Engine.

    Args:
        code: its code, or `TIMEOUT`.

    Example:
        >>> error_id("QUOTA_EXCEEDED")
        'scale.up.error.quota.exceeded'
    """
    known = "waiting.for.instances.timeout" if code == TIMEOUT else _ERRORS.get(code, ("", "other"))[1]
    return f"scale.up.error.{known}"


def status_code(code: str) -> str:
    """Give the error code of the status ConfigMap (kubernetes/autoscaler, gce `GetErrorInfo`).

    Args:
        code: Compute Engine's code, or `TIMEOUT`.
    """
    if code in SHORTAGES:
        return "RESOURCE_POOL_EXHAUSTED"
    return "timeout" if code == TIMEOUT else code


def skip_id(text: str) -> str:
    """Give the visibility log's id for a group that was not tried.

    Args:
        text: the reason as events have it.
    """
    return _SKIPPED.get(text, "no.scale.up.mig.unknown.reason")


def triggered(groups: Iterable[tuple[Group, int]]) -> Event:
    """Make the event of a pod for which groups grow.

    Args:
        groups: each group as it was, with its new target.
    """
    shown = " ".join(f"{{{one.url} {one.target}->{target} (max: {one.high})}}" for one, target in groups)
    return Event("Normal", "TriggeredScaleUp", f"pod triggered scale-up: [{shown}]")


def not_triggered(reasons: str) -> Event:
    """Make the event of a pod for which nothing grows.

    Args:
        reasons: how many groups for each reason.
    """
    return Event("Normal", "NotTriggerScaleUp", f"pod didn't trigger scale-up: {reasons}")


def failed(zones: Sequence[str], reasons: Sequence[str]) -> Event:
    """Make the event of a pod for which a group could not get machines.

    Args:
        zones: where.
        reasons: why, from `reason`.
    """
    where, why = ", ".join(zones), ", ".join(reasons)
    text = f"Node scale up in zones {where} associated with this pod failed: {why}."
    return Event("Warning", "FailedScaleUp", f"{text} Pod is at risk of not being scheduled."[:_LIMIT])


MARKED = Event("Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable")
MOVED = Event("Normal", "ScaleDown", "deleting pod for node scale down")
NOT_REMOVED = Event("Warning", "ScaleDownFailed", "failed to drain the node, aborting ScaleDown")
