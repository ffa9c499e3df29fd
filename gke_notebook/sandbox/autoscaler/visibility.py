"""Entries of the log `container.googleapis.com/cluster-autoscaler-visibility`; pure.

Form: GoogleCloudPlatform/cluster-autoscaler, visibility, events.proto (2026-08-21), in protobuf's JSON form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gke_notebook.sandbox.autoscaler import texts
from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.autoscaler.scale_up import Increase, Unhelped
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

Object = dict[str, Any]

LOG = f"projects/{PROJECT}/logs/container.googleapis.com%2Fcluster-autoscaler-visibility"
_MOST_PODS = 50  # of an entry


def entry(payload: Object, at: float) -> Object:
    """Make a ``LogEntry``; who keeps it gives it its insert id and time.

    Args:
        payload: its ``jsonPayload``.
        at: seconds since 1970.
    """
    for part in payload.values():
        for key in ("decideTime", "reportTime", "measureTime"):
            if key in part:
                part[key] = str(int(at))
    labels = {"project_id": PROJECT, "location": LOCATION, "cluster_name": CLUSTER}
    return {"logName": LOG, "resource": {"type": "k8s_cluster", "labels": labels}, "jsonPayload": payload}


def _mig(group: Group) -> Object:
    return {"name": group.name, "nodepool": group.pool, "zone": group.zone}


def _pod(pod: Object) -> Object:
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or ()
    shown: Object = {"name": metadata["name"], "namespace": metadata.get("namespace", "default")}
    for owner in owners:
        if owner.get("controller"):
            shown["controller"] = {
                "apiVersion": owner.get("apiVersion", ""), "kind": owner.get("kind", ""), "name": owner.get("name", ""),
            }  # fmt: skip
    return shown


def scale_up(event: str, increase: Increase) -> Object:
    """Say that groups grow.

    Args:
        event: an id that its result is told by.
        increase: what was decided.
    """
    migs = [{"mig": _mig(group), "requestedNodes": target - group.target} for group, target in increase.groups]
    pods = [_pod(pod) for pod in increase.pods[:_MOST_PODS]]
    decision: Object = {"increasedMigs": migs, "triggeringPods": pods, "triggeringPodsTotalCount": len(increase.pods)}
    return {"decision": {"eventId": event, "decideTime": "", "scaleUp": decision}}


def scale_down(event: str, nodes: Iterable[tuple[Group, str, float, Sequence[Object]]]) -> Object:
    """Say that nodes go.

    Args:
        event: an id that its result is told by.
        nodes: group, name, used share and pods to move of each.
    """
    removed = [
        {
            "node": {"name": name, "mig": _mig(group), "cpuRatio": round(100 * used)},
            "evictedPods": [_pod(pod) for pod in pods[:_MOST_PODS]],
            "evictedPodsTotalCount": len(pods),
        }
        for group, name, used, pods in nodes
    ]
    return {"decision": {"eventId": event, "decideTime": "", "scaleDown": {"nodesToBeRemoved": removed}}}


def pool_created(event: str, group: Group, trigger: str) -> Object:
    """Say that a node pool is made.

    Args:
        event: an id that its result is told by.
        group: one of its groups.
        trigger: the event of the scale-up that needs it.
    """
    pools = [{"name": group.pool, "migs": [_mig(group)]}]
    created = {"nodePools": pools, "triggeringScaleUpId": trigger}
    return {"decision": {"eventId": event, "decideTime": "", "nodePoolCreated": created}}


def result(event: str, code: str = "", parameters: Sequence[str] = ()) -> Object:
    """Say what became of a decision.

    Args:
        event: its id.
        code: Compute Engine's code when it failed, empty when it was done.
        parameters: what the error is about.
    """
    shown: Object = {"eventId": event}
    if code:
        shown["errorMsg"] = {"messageId": texts.error_id(code), "parameters": list(parameters)}
    return {"resultInfo": {"measureTime": "", "results": [shown]}}


def no_scale_up(unhelped: Sequence[Unhelped], groups: Mapping[str, Group]) -> Object:
    """Say why nothing grows.

    Args:
        unhelped: the pods for which nothing does.
        groups: the groups by their URL.
    """
    pod_groups = []
    skipped: dict[str, str] = {}
    for one in unhelped:
        skipped.update(one.skipped)
        rejected = [
            {
                "mig": _mig(groups[url]),
                "reason": {"messageId": "no.scale.up.mig.failing.predicate", "parameters": list(reasons)},
            }
            for url, reasons in one.rejected.items()
            if url in groups
        ]
        sample: Object = {"totalPodCount": len(one.pods)}
        if one.pods:
            sample["samplePod"] = _pod(one.pods[0])
        pod_groups.append({"podGroup": sample, "rejectedMigs": rejected})
    migs = [
        {"mig": _mig(groups[url]), "reason": {"messageId": texts.skip_id(text)}}
        for url, text in skipped.items()
        if url in groups
    ]
    status: Object = {"unhandledPodGroups": pod_groups, "unhandledPodGroupsTotalCount": len(pod_groups)}
    if migs:
        status["skippedMigs"] = migs
    return {"noDecisionStatus": {"measureTime": "", "noScaleUp": status}}


def no_scale_down(kept: Mapping[str, tuple[Group, str]]) -> Object:
    """Say why little used nodes stay.

    Args:
        kept: group and reason by the node's name.
    """
    nodes = [
        {"node": {"name": name, "mig": _mig(group)}, "reason": {"messageId": f"no.scale.down.node.{reason}"}}
        for name, (group, reason) in sorted(kept.items())
    ]
    return {"noDecisionStatus": {"measureTime": "", "noScaleDown": {"nodes": nodes, "nodesTotalCount": len(nodes)}}}
