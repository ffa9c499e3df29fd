"""Which taints a node's conditions ask for, and when a pod has to leave a tainted node; pure.

Rules: kubernetes 1.34, pkg/controller/nodelifecycle and pkg/controller/tainteviction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gke_notebook.sandbox.controllers.meta import Object, condition_in, parse_time, timestamp
from gke_notebook.sandbox.controllers.pod_requirements import toleration_matches

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
_BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_OURS = frozenset({*_BY_CONDITION.values(), _UNSCHEDULABLE})
_EVICTING = frozenset({NOT_READY, UNREACHABLE})


def wanted_taints(node: Object, at: datetime, *, evict: bool = True) -> list[Object]:
    """Give all taints a node should have: those of others as they are, and those its conditions ask for.

    Args:
        node: the node.
        at: the time.
        evict: whether a node that is not ready drives its pods away; not when no node at all is ready.
    """
    present = (node.get("spec") or {}).get("taints") or []
    conditions = (node.get("status") or {}).get("conditions") or ()
    keys = {
        key
        for (type_, status), key in _BY_CONDITION.items()
        if (condition_in(conditions, type_) or {}).get("status") == status
    }
    wanted = {(key, "NoSchedule") for key in keys}
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.add((_UNSCHEDULABLE, "NoSchedule"))
    if evict:
        wanted |= {(key, "NoExecute") for key in keys & _EVICTING}
    kept = [taint for taint in present if not _is_ours(taint) or (taint.get("key"), taint.get("effect")) in wanted]
    there = {(taint.get("key"), taint.get("effect")) for taint in kept}
    added = [{"key": key, "effect": effect, "timeAdded": timestamp(at)} for key, effect in sorted(wanted - there)]
    return [*kept, *added]


def _is_ours(taint: Object) -> bool:
    key, effect = taint.get("key"), taint.get("effect")
    return key in _OURS and (effect == "NoSchedule" or (effect == "NoExecute" and key in _EVICTING))


def eviction_time(tolerations: Sequence[Object], taints: Sequence[Object], at: datetime) -> datetime | None:
    """Say when a pod has to leave its node; None when it may stay.

    Args:
        tolerations: the pod's.
        taints: the node's.
        at: the time.
    """
    times: list[datetime] = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        matching = next((item for item in tolerations if toleration_matches(item, taint)), None)
        if matching is None:
            return at
        seconds = matching.get("tolerationSeconds")
        if seconds is not None:
            since = parse_time(taint.get("timeAdded")) or at
            times.append(since + timedelta(seconds=max(0, seconds)))
    return min(times, default=None)


def unknown_conditions(node: Object, at: datetime) -> list[Object]:
    """Give the conditions of a node whose agent has fallen silent.

    Args:
        node: the node.
        at: the time.
    """
    status = node.get("status") or {}
    present = status.get("conditions") or []
    found = []
    for type_ in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
        old = condition_in(present, type_)
        if old is not None and old.get("status") == "Unknown":
            continue
        never = old is None
        found.append(
            {
                "type": type_,
                "status": "Unknown",
                "reason": "NodeStatusNeverUpdated" if never else "NodeStatusUnknown",
                "message": "Kubelet never posted node status." if never else "Kubelet stopped posting node status.",
                "lastHeartbeatTime": (old or {}).get("lastHeartbeatTime") or node["metadata"].get("creationTimestamp"),
                "lastTransitionTime": timestamp(at),
            }
        )
    return found
