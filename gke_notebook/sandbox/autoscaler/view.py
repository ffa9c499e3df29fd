"""The autoscaled groups with their nodes and machines as they are now; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.sandbox.autoscaler.groups import Group, of_pool
from gke_notebook.sandbox.autoscaler.scale_down import TO_BE_DELETED, Candidate
from gke_notebook.sandbox.autoscaler.status import Counts
from gke_notebook.sandbox.controllers.meta import TERMINAL, find_condition, is_deleting, is_true, phase
from gke_notebook.sandbox.controllers.pod_requirements import Requirements
from gke_notebook.sandbox.controllers.scheduling import NOT_READY_TAINT, NodeState
from gke_notebook.sandbox.gke import shapes

Object = dict[str, Any]

POOL, ZONE = "cloud.google.com/gke-nodepool", "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Machine:
    """A machine that is no ready node yet.

    Args:
        name: its name.
        code: Compute Engine's code for the failure of the last attempt at it, empty without one.
        message: its text.
        registered: whether it is a node, though one that is not ready.
    """

    name: str
    code: str = ""
    message: str = ""
    registered: bool = False


@dataclass
class View:
    """What there is.

    Args:
        groups: the autoscaled groups by their names.
        nodes: the nodes of each group, by the group's name.
        coming: the machines of each group that are no ready nodes yet.
    """

    groups: dict[str, Group] = field(default_factory=dict)
    nodes: dict[str, list[Object]] = field(default_factory=dict)
    coming: dict[str, list[Machine]] = field(default_factory=dict)

    def ready(self, group: str) -> list[Object]:
        """Give the ready nodes of a group that are to stay.

        Args:
            group: its name.
        """
        return [node for node in self.nodes.get(group, ()) if started(node) and not leaving(node)]

    def counts(self, group: str, candidates: Iterable[str], late: int) -> Counts:
        """Count the nodes of a group.

        Args:
            group: its name.
            candidates: names of nodes that are not needed.
            late: how many machines have not become nodes in time.
        """
        nodes = self.nodes.get(group, ())
        names = {node["metadata"]["name"] for node in nodes}
        return Counts(
            total=len(nodes),
            ready=sum(is_true(node, "Ready") for node in nodes),
            deleting=sum(leaving(node) for node in nodes),
            coming=sum(not one.registered for one in self.coming.get(group, ())),
            late=late,
            candidates=len(names.intersection(candidates)),
        )


def leaving(node: Object) -> bool:
    """Say whether a node is about to be removed.

    Args:
        node: the node.
    """
    taints = (node.get("spec") or {}).get("taints") or ()
    return is_deleting(node) or any(taint.get("key") == TO_BE_DELETED for taint in taints)


def started(node: Object) -> bool:
    """Say whether a node is ready and takes pods: its first taint goes some seconds after it has become ready.

    Args:
        node: the node.
    """
    taints = (node.get("spec") or {}).get("taints") or ()
    return is_true(node, "Ready") and all(taint.get("key") != NOT_READY_TAINT["key"] for taint in taints)


def of_specs(specs: Iterable[Object], managers: Mapping[str, Object], nodes: Iterable[Object]) -> View:
    """Give the groups with their nodes.

    Args:
        specs: the node pools.
        managers: the instance group managers of all zones by their names.
        nodes: every node.
    """
    view = View()
    names: dict[tuple[str, str], str] = {}
    for spec in specs:
        if spec.get("status") == "STOPPING" or not (spec.get("autoscaling") or {}).get("enabled"):
            continue
        targets = {}
        for zone in spec.get("locations") or ():
            manager = managers.get(shapes.group_name(str(spec["name"]), zone))
            if manager is not None:
                targets[zone] = int(manager["targetSize"])
        for group in of_pool(spec, targets):
            view.groups[group.name] = group
            names[group.pool, group.zone] = group.name
    for node in nodes:
        labels = node["metadata"].get("labels") or {}
        name = names.get((labels.get(POOL, ""), labels.get(ZONE, "")))
        if name is not None:
            view.nodes.setdefault(name, []).append(node)
    return view


def machines(listed: Iterable[Object], nodes: Iterable[Object]) -> list[Machine]:
    """Give the machines of a group that are to be nodes and are not yet.

    Args:
        listed: the group's managed instances.
        nodes: the group's nodes.
    """
    there = {node["metadata"]["name"]: started(node) for node in nodes}
    found = []
    for one in listed:
        name = one["name"]
        if one.get("currentAction") == "DELETING" or there.get(name):
            continue
        errors = ((one.get("lastAttempt") or {}).get("errors") or {}).get("errors") or ()
        error = errors[0] if errors else {}
        found.append(Machine(name, error.get("code", ""), error.get("message", ""), name in there))
    return found


def is_unschedulable(pod: Object) -> bool:
    """Say whether the scheduler has found no node for a pod, and none is kept for it.

    Args:
        pod: the pod.
    """
    spec, status = pod["spec"], pod.get("status") or {}
    if spec.get("nodeName") or is_deleting(pod) or phase(pod) in TERMINAL or status.get("nominatedNodeName"):
        return False
    found = find_condition(pod, "PodScheduled")
    return found is not None and found.get("status") == "False" and found.get("reason") == "Unschedulable"


def states(nodes: Iterable[Object], pods: Iterable[Object]) -> tuple[dict[str, NodeState], dict[str, list[Object]]]:
    """Give nodes with what is used of them, and the pods on each.

    Args:
        nodes: the nodes.
        pods: pods; those on other nodes are passed over.
    """
    found = {state.name: state for state in map(NodeState.of, nodes)}
    on: dict[str, list[Object]] = {name: [] for name in found}
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if name in found:
            on[name].append(pod)
            if phase(pod) not in TERMINAL:
                found[name].add(pod["metadata"].get("uid", pod["metadata"]["name"]), Requirements.of(pod))
    return found, on


def candidates(
    view: View, found: Mapping[str, NodeState], on: Mapping[str, Sequence[Object]], busy: Iterable[str], disabled: str
) -> list[Candidate]:
    """Give the nodes that could go.

    Args:
        view: the groups.
        found: the nodes with what is used of them.
        on: the pods on each.
        busy: names of nodes to which pods that wait would go.
        disabled: the annotation by which a node stays.
    """
    wanted = set(busy)
    made = []
    for name, group in view.groups.items():
        if not group.running:
            continue
        for node in view.ready(name):
            metadata = node["metadata"]
            stays = (metadata.get("annotations") or {}).get(disabled) == "true"
            state = found.get(metadata["name"])
            if state is not None:
                pods = tuple(on.get(state.name, ()))
                made.append(Candidate(state, group, pods, stays, state.name in wanted))
    return made
