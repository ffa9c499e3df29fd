"""Which node a pod goes to, and why it goes to none; pure.

Filters, their order and their texts, the score's weights and the texts of failures are those of the default profile of
kube-scheduler 1.34 (pkg/scheduler/framework/plugins). One choice differs: pods that ask for accelerators go to the node
whose accelerators are used most, not least, so that whole nodes stay free for pods that need every accelerator of one
(GKE's `optimize-utilization` profile makes the same choice); all other pods are spread, as by default.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gke_notebook.sandbox.controllers.meta import Object, canonical, is_true
from gke_notebook.sandbox.controllers.pod_requirements import (
    Port,
    Requirements,
    matches_term,
    named_nodes,
    ports_conflict,
    tolerates,
)
from gke_notebook.sandbox.requests import Amounts, amounts

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
NOT_READY_TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
BASIC = ("cpu", "memory", "ephemeral-storage")

# What a pod without requests counts for in the score (kubernetes, pkg/scheduler/util: 100m and 200 MB).
_NOMINAL = {"cpu": 100, "memory": 200 * 2**20}
_NOT_HELPFUL = "Preemption is not helpful for scheduling"
# What the scheduler's plugin of resource claims says of every pod before the one that preempts has its say.
_NO_CLAIMS = "no new claims to deallocate"
_NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True)
class Placement:
    """A pod goes to this node.

    Args:
        node: the node's name.
        victims: uids of pods of less priority that must go first; the pod waits until they have.
        message: why it waits, when there are victims.
    """

    node: str
    victims: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class Unschedulable:
    """No node takes the pod.

    Args:
        message: the text of the event and of the condition.
    """

    message: str


@dataclass(frozen=True)
class Rejection:
    """Why one node does not take a pod.

    Args:
        reasons: the texts.
        resolvable: whether removing pods from the node could help.
    """

    reasons: tuple[str, ...]
    resolvable: bool = False


@dataclass
class NodeState:
    """A node and what is used of it, kept up to date pod by pod.

    Args:
        name: the node's name.
        labels: its labels.
        taints: its taints, that of a node which is not ready included.
        unschedulable: whether it is cordoned.
        allocatable: what it has for pods.
        used: what its pods request.
        nominal: the same for the score, where a pod without requests counts too.
        pods: what each of its pods asks for, by uid.
    """

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Object]
    unschedulable: bool
    allocatable: Amounts
    used: Amounts = field(default_factory=dict)
    nominal: Amounts = field(default_factory=dict)
    pods: dict[str, Requirements] = field(default_factory=dict)
    ports: dict[str, tuple[Port, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, node: Object) -> NodeState:
        """Read a node."""
        spec, status = node.get("spec") or {}, node.get("status") or {}
        taints = list(spec.get("taints") or ())
        if not is_true(node, "Ready") and all(taint.get("key") != NOT_READY_TAINT["key"] for taint in taints):
            taints.append(NOT_READY_TAINT)  # what the API server's admission or the node controller adds a moment later
        return cls(
            node["metadata"]["name"],
            node["metadata"].get("labels") or {},
            taints,
            bool(spec.get("unschedulable")),
            amounts(status.get("allocatable") or status.get("capacity")),
        )

    def fixed(self) -> str:
        """Give a text that changes when anything but the pods does."""
        return canonical([self.labels, self.taints, self.unschedulable, self.allocatable])

    def add(self, pod: str, wanted: Requirements) -> None:
        """Count a pod."""
        self.remove(pod)
        self.pods[pod] = wanted
        if wanted.ports:
            self.ports[pod] = wanted.ports
        self._count(wanted, 1)

    def remove(self, pod: str) -> None:
        """Count a pod no more."""
        wanted = self.pods.pop(pod, None)
        if wanted is not None:
            self.ports.pop(pod, None)
            self._count(wanted, -1)

    def _count(self, wanted: Requirements, sign: int) -> None:
        for name, value in wanted.requests.items():
            self.used[name] = self.used.get(name, 0) + sign * value
        for name, value in _nominal(wanted).items():
            self.nominal[name] = self.nominal.get(name, 0) + sign * value

    def without(self, victims: Iterable[str]) -> NodeState:
        """Give the node as it would be without some pods."""
        gone = set(victims)
        copy = NodeState(self.name, self.labels, self.taints, self.unschedulable, self.allocatable)
        for pod, wanted in self.pods.items():
            if pod not in gone:
                copy.add(pod, wanted)
        return copy


def _nominal(wanted: Requirements) -> Amounts:
    return {name: wanted.requests.get(name) or least for name, least in _NOMINAL.items()}


def admits(wanted: Requirements, node: NodeState) -> Rejection | None:
    """Apply the filters that do not depend on the node's pods, in the order of the scheduler's plugins."""
    named = named_nodes(wanted.required)
    if named is not None and node.name not in named:  # left out before any plugin looks at a node
        return Rejection(("node(s) didn't satisfy plugin(s) [NodeAffinity]",))
    if node.unschedulable and not tolerates(wanted.tolerations, UNSCHEDULABLE_TAINT):
        return Rejection(("node(s) were unschedulable",))
    if wanted.node_name and wanted.node_name != node.name:
        return Rejection(("node(s) didn't match the requested node name",))
    for taint in node.taints:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(wanted.tolerations, taint):
            return Rejection(("node(s) had untolerated taint(s)",))
    selected = all(node.labels.get(key) == value for key, value in wanted.node_selector.items())
    terms = wanted.required
    if not selected or (terms is not None and not any(matches_term(term, node.labels, node.name) for term in terms)):
        return Rejection(("node(s) didn't match Pod's node affinity/selector",))
    return None


def fits(wanted: Requirements, node: NodeState) -> Rejection | None:
    """Apply the filters that depend on the node's pods: ports, then resources."""
    if wanted.ports and any(ports_conflict(wanted.ports, used) for used in node.ports.values()):
        return Rejection(("node(s) didn't have free ports for the requested pod ports",), resolvable=True)
    allocatable, used = node.allocatable, node.used
    short = [
        name
        for name, value in wanted.requests.items()
        if value > 0 and value > allocatable.get(name, 0) - used.get(name, 0)
    ]
    full = len(node.pods) + 1 > allocatable.get("pods", 0)
    if not short and not full:
        return None
    reasons = (["Too many pods"] if full else []) + [f"Insufficient {name}" for name in short]
    never = any(wanted.requests[name] > allocatable.get(name, 0) for name in short)
    return Rejection(tuple(reasons), resolvable=not never)


def score(wanted: Requirements, node: NodeState) -> float:
    """Say how well a node suits a pod that fits; the weights are those of the default profile, before normalizing.

    Args:
        wanted: the pod.
        node: the node.
    """
    accelerators = [name for name, value in wanted.requests.items() if value and "/" in name]
    allocatable = node.allocatable
    if accelerators:
        parts = [
            _share(node.used.get(name, 0) + wanted.requests[name], allocatable.get(name, 0)) for name in accelerators
        ]
        return 100.0 * sum(parts) / len(parts)
    cpu, memory = (
        _share(node.nominal.get(name, 0) + (wanted.requests.get(name) or least), allocatable.get(name, 0))
        for name, least in _NOMINAL.items()
    )
    # Least allocated, and balanced: 1 less the standard deviation of the two shares.
    return 100.0 * (1.0 - (cpu + memory) / 2) + 100.0 * (1.0 - abs(cpu - memory) / 2)


def _share(used: int, total: int) -> float:
    return min(1.0, used / total) if total else 1.0


def preference(wanted: Requirements, nodes: Sequence[NodeState]) -> list[float]:
    """Score node affinity (weight 2) and tolerated `PreferNoSchedule` taints (weight 3), normalized over the nodes."""
    affinity = [
        sum(
            item.get("weight", 0)
            for item in wanted.preferred
            if matches_term(item.get("preference") or {}, node.labels, node.name)
        )
        for node in nodes
    ]
    untolerated = [
        sum(
            1
            for taint in node.taints
            if taint.get("effect") == "PreferNoSchedule" and not tolerates(wanted.tolerations, taint)
        )
        for node in nodes
    ]
    top, worst = max(affinity, default=0), max(untolerated, default=0)
    return [
        (200.0 * liked / top if top else 0.0) + (300.0 * (1 - bad / worst) if worst else 300.0)
        for liked, bad in zip(affinity, untolerated, strict=True)
    ]


def failure(nodes: int, reasons: Iterable[str]) -> str:
    """Write the text of a failure: so many nodes for each reason, in the order of the texts.

    Args:
        nodes: how many nodes there are.
        reasons: one or more for each node.

    Example:
        >>> failure(2, ["Insufficient cpu", "Insufficient cpu"])
        '0/2 nodes are available: 2 Insufficient cpu.'
    """
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return f"0/{nodes} nodes are available: {', '.join(counted)}."


def unschedulable(
    wanted: Requirements, nodes: Mapping[str, NodeState], rejections: Mapping[str, Rejection]
) -> Placement | Unschedulable:
    """Say why no node takes a pod, or which pods of less priority must make room.

    Args:
        wanted: the pod.
        nodes: every node.
        rejections: why each does not take it; empty when the pod is refused whatever the nodes are.
    """
    count = len(nodes)
    if not count:
        return Unschedulable("no nodes available to schedule pods")
    if wanted.refused:
        text = f"0/{count} nodes are available: {wanted.refused}."
        # Where a claim is missing no plugin has looked at the nodes, and the next one misses its own notes.
        return Unschedulable(f"{text} not found" if wanted.refused.endswith("not found") else text)
    text = failure(count, (reason for item in rejections.values() for reason in item.reasons))
    if not wanted.may_preempt:
        return Unschedulable(f"{text} {_NO_CLAIMS}, preemption: not eligible due to preemptionPolicy=Never.")
    candidates = [nodes[name] for name, item in rejections.items() if item.resolvable]
    found: list[tuple[NodeState, tuple[str, ...]]] = []
    hopeless = [_NOT_HELPFUL] * (count - len(candidates))
    for node in candidates:
        victims = _victims(wanted, node)
        if isinstance(victims, Rejection):
            hopeless += victims.reasons
        else:
            found.append((node, victims))
    if found:
        best, victims = min(found, key=lambda item: _cost(item[0], item[1]))
        return Placement(best.name, victims, text)
    return Unschedulable(f"{text} {_NO_CLAIMS}, preemption: {failure(count, hopeless)}")


def _victims(wanted: Requirements, node: NodeState) -> tuple[str, ...] | Rejection:
    pods = node.pods
    lesser = sorted((pod for pod in pods if pods[pod].priority < wanted.priority), key=lambda pod: pods[pod].priority)
    if not lesser:
        return Rejection((_NO_VICTIMS,))
    rejection = fits(wanted, node.without(lesser))
    if rejection is not None:
        return rejection
    victims = list(lesser)
    for pod in reversed(lesser):  # those of most priority are spared first
        fewer = [other for other in victims if other != pod]
        if fits(wanted, node.without(fewer)) is None:
            victims = fewer
    return tuple(victims)


def _cost(node: NodeState, victims: Sequence[str]) -> tuple[int, int, int, str]:
    priorities = [node.pods[pod].priority for pod in victims]
    return max(priorities), sum(priorities), len(priorities), node.name
