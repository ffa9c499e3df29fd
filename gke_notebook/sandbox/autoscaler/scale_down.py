"""Which nodes are not needed, and why the others stay; pure.

Rules: kubernetes/autoscaler, simulator/drainability and core/scaledown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.sandbox.autoscaler.fitting import Room, place
from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.controllers.meta import TERMINAL, controller_of, is_deleting, phase
from gke_notebook.sandbox.controllers.pod_requirements import Requirements
from gke_notebook.sandbox.controllers.scheduling import NodeState

Object = dict[str, Any]

TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
CANDIDATE = "DeletionCandidateOfClusterAutoscaler"
DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"
SAFE_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
MIRROR = "kubernetes.io/config.mirror"

THRESHOLD = 0.5  # of what the pods request; what is used less may go
IDLE_SECONDS = 600.0

# Why a node stays, as the visibility log names it, after "no.scale.down.node.".
MINIMUM = "node.group.min.size.reached"
NO_PLACE = "no.place.to.move.pods"
ANNOTATION = "scale.down.disabled.annotation"
BARE = "pod.not.backed.by.controller"
LOCAL = "pod.has.local.storage"
UNSAFE = "pod.not.safe.to.evict.annotation"
SYSTEM = "pod.kube.system.unmovable"


@dataclass(frozen=True)
class Candidate:
    """A node that could go.

    Args:
        node: the node with what is used of it.
        group: its group.
        pods: the pods on it.
        disabled: whether its annotation says that it stays.
        busy: whether pods that wait would go there.
    """

    node: NodeState
    group: Group
    pods: tuple[Object, ...] = ()
    disabled: bool = False
    busy: bool = False


@dataclass
class Unneeded:
    """What was found.

    Args:
        nodes: names of the nodes that are not needed, with the pods that would have to move.
        kept: names of little used nodes that stay, with the reason.
    """

    nodes: dict[str, tuple[Object, ...]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def blocking(pod: Object) -> str:
    """Say why a pod keeps its node; empty when it may be moved, or need not be.

    Args:
        pod: the pod.

    Example:
        >>> blocking({"metadata": {"name": "alone"}, "spec": {}})
        'pod.not.backed.by.controller'
    """
    metadata, spec = pod["metadata"], pod["spec"]
    annotations = metadata.get("annotations") or {}
    if not moves(pod):
        return ""
    if annotations.get(SAFE) == "true":
        return ""
    if annotations.get(SAFE) == "false":
        return UNSAFE
    if controller_of(pod) is None:
        return BARE
    if metadata.get("namespace") == "kube-system":
        return SYSTEM
    safe = {name.strip() for name in annotations.get(SAFE_VOLUMES, "").split(",")}
    for volume in spec.get("volumes") or ():
        empty = volume.get("emptyDir")
        local = "hostPath" in volume or (empty is not None and (empty or {}).get("medium") != "Memory")
        if local and volume.get("name") not in safe:
            return LOCAL
    return ""


def moves(pod: Object) -> bool:
    """Say whether a pod would have to go somewhere else if its node went.

    Args:
        pod: the pod.
    """
    if phase(pod) in TERMINAL or is_deleting(pod) or MIRROR in (pod["metadata"].get("annotations") or {}):
        return False
    owner = controller_of(pod)
    return owner is None or owner.get("kind") != "DaemonSet"


def utilization(candidate: Candidate) -> float:
    """Say how much of a node its pods request: of its accelerators where it has any, else of CPU or memory.

    Args:
        candidate: the node.
    """
    node = candidate.node
    devices = [name for name, value in node.allocatable.items() if "/" in name and value]
    shares = [
        node.used.get(name, 0) / node.allocatable[name]
        for name in devices or ("cpu", "memory")
        if node.allocatable.get(name)
    ]
    return max(shares, default=0.0)


def find(
    candidates: Sequence[Candidate],
    others: Callable[[], Iterable[NodeState]],
    sizes: Mapping[str, int],
    totals: Mapping[str, int],
) -> Unneeded:
    """Find the nodes that are not needed.

    Args:
        candidates: the ready nodes of autoscaled groups.
        others: gives every ready node that pods could move to, the candidates included; asked only when needed.
        sizes: how many machines each group is to have, by the group's name.
        totals: the same by the pool's name.
    """
    found = Unneeded()
    sizes, totals = dict(sizes), dict(totals)
    rooms: dict[str, Room] | None = None
    taken: set[str] = set()  # nodes to which pods of others would go
    slices = _slices(candidates)
    for candidate in sorted(candidates, key=lambda one: (utilization(one), one.node.name)):
        name, group = candidate.node.name, candidate.group
        moving = tuple(pod for pod in candidate.pods if moves(pod))
        if candidate.busy or name in taken or utilization(candidate) >= THRESHOLD:
            continue
        if group.hosts:
            members = slices[group.name]
            if any(one.busy or any(moves(pod) for pod in one.pods) for one in members):
                continue  # a slice goes as a whole, and only when nothing is on it
        reason = _reason(candidate, moving, sizes, totals)
        if not reason and moving:
            if rooms is None:
                rooms = {node.name: Room(node) for node in others() if not node.unschedulable}
            reason, used = _move(moving, [one for other, one in rooms.items() if other not in (name, *found.nodes)])
            taken |= used
        if reason:
            found.kept[name] = reason
            continue
        if rooms is not None:
            rooms.pop(name, None)
        found.nodes[name] = moving
        if not group.hosts:
            sizes[group.name] = sizes.get(group.name, 0) - 1
            totals[group.pool] = totals.get(group.pool, 0) - 1
    return found


def _slices(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(candidate.group.name, []).append(candidate)
    return found


def _reason(candidate: Candidate, moving: Sequence[Object], sizes: Mapping[str, int], totals: Mapping[str, int]) -> str:
    group = candidate.group
    if candidate.disabled:
        return ANNOTATION
    if group.hosts:
        at_minimum = group.low > 0 or group.total_low > 0
    else:
        at_minimum = sizes.get(group.name, 0) <= group.low or totals.get(group.pool, 0) <= group.total_low
    if at_minimum:
        return MINIMUM
    return next((reason for pod in moving if (reason := blocking(pod))), "")


def _move(pods: Sequence[Object], rooms: list[Room]) -> tuple[str, set[str]]:
    """Move pods to other nodes, all or none.

    Returns:
        Why it cannot be, empty when it can; and the nodes to which they go.
    """
    moved: list[tuple[Room, Requirements]] = []
    for pod in pods:
        wanted = Requirements.of(pod)
        for room in rooms:
            if not place([(wanted, 1)], [room])[0]:
                moved.append((room, wanted))
                break
        else:
            for room, one in moved:
                room.take(one, -1)
            return NO_PLACE, set()
    return "", {room.node.name for room, _ in moved}
