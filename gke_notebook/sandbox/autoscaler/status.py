"""What the ConfigMap kube-system/cluster-autoscaler-status says; pure.

Form: kubernetes/autoscaler, clusterstate/api/types.go (since 1.30 YAML).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gke_notebook.sandbox.autoscaler import texts
from gke_notebook.sandbox.autoscaler.backoff import Failure
from gke_notebook.sandbox.autoscaler.groups import Group

Object = dict[str, Any]
Since = tuple[Object, str]

NAME, NAMESPACE = "cluster-autoscaler-status", "kube-system"
UPDATED = "cluster-autoscaler.kubernetes.io/last-updated"


@dataclass(frozen=True)
class Counts:
    """The nodes of a group, or of all.

    Args:
        total: nodes in the API server.
        ready: those that are ready.
        deleting: those that are about to be removed.
        coming: machines that are no nodes yet.
        late: those of them whose time is over.
        candidates: nodes that are not needed.
    """

    total: int = 0
    ready: int = 0
    deleting: int = 0
    coming: int = 0
    late: int = 0
    candidates: int = 0


def summary(groups: Sequence[tuple[Group, Counts, Failure | None]], everything: Counts) -> Object:
    """Give the status without its times, which `document` adds.

    Args:
        groups: each group with its nodes and the failure because of which it is left alone.
        everything: the nodes of the cluster.
    """
    up = "InProgress" if any(counts.coming for _, counts, _ in groups) else "NoActivity"
    return {
        "autoscalerStatus": "Running",
        "clusterWide": {
            "health": {"status": "Healthy", "nodeCounts": _counts(everything)},
            "scaleUp": {"status": up},
            "scaleDown": _down(everything),
        },
        "nodeGroups": [_group(*one) for one in groups],
    }


def _group(group: Group, counts: Counts, failure: Failure | None) -> Object:
    up: Object = {"status": "InProgress" if counts.coming else "NoActivity"}
    if failure is not None:
        up = {
            "status": "Backoff",
            "backoffInfo": {"errorCode": texts.status_code(failure.code), "errorMessage": failure.message},
        }
    return {
        "name": group.url,
        "health": {
            "status": "Healthy", "nodeCounts": _counts(counts), "cloudProviderTarget": group.target,
            "minSize": group.low, "maxSize": group.high,
        },
        "scaleUp": up,
        "scaleDown": _down(counts),
    }  # fmt: skip


def _counts(counts: Counts) -> Object:
    return {
        "registered": {
            "total": counts.total, "ready": counts.ready, "notStarted": 0, "beingDeleted": counts.deleting,
            "unready": {"total": counts.total - counts.ready, "resourceUnready": 0},
        },
        "longUnregistered": counts.late,
        "unregistered": counts.coming,
    }  # fmt: skip


def _down(counts: Counts) -> Object:
    if not counts.candidates:
        return {"status": "NoCandidates"}
    return {"status": "CandidatesPresent", "candidates": counts.candidates}


def document(new: Object, at: str, since: Mapping[str, Since]) -> tuple[Object, dict[str, Since]]:
    """Add the times: when each part was looked at, and since when it is as it is.

    Args:
        new: from `summary`.
        at: the time, as Kubernetes writes it.
        since: what the call before has given back.

    Returns:
        The status, and what the next call needs.
    """
    known: dict[str, Since] = {}

    def timed(path: str, part: Object) -> Object:
        before = since.get(path)
        status = {"status": part["status"]}
        known[path] = before if before is not None and before[0] == status else (status, at)
        return {**part, "lastProbeTime": at, "lastTransitionTime": known[path][1]}

    def parts(path: str, whole: Object) -> Object:
        return {name: timed(f"{path}/{name}", part) if isinstance(part, dict) else part for name, part in whole.items()}

    shown = {
        "time": at,
        **new,
        "clusterWide": parts("", new["clusterWide"]),
        "nodeGroups": [parts(one["name"], one) for one in new["nodeGroups"]],
    }
    return shown, known
