"""The scheduler's view of the nodes, kept up to date change by change so that a pod costs one look at each node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gke_notebook.sandbox.controllers.meta import TERMINAL, Object, phase, uid
from gke_notebook.sandbox.controllers.pod_requirements import Requirements
from gke_notebook.sandbox.controllers.scheduling import (
    NodeState,
    Placement,
    Rejection,
    Unschedulable,
    admits,
    fits,
    preference,
    score,
    unschedulable,
)

_SHARED = 4_096  # descriptions that are remembered to be shared


class Snapshot:
    """Nodes with the pods on them.

    What does not depend on the pods of a node (selectors, taints) is judged once per kind of pod, and a failure is
    remembered until something changes, so that a thousand equal pods cost a thousand comparisons of resources.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, NodeState] = {}
        self._where: dict[str, str] = {}
        self._shared: dict[str, Requirements] = {}
        self._unplaced: dict[str, tuple[str, Requirements]] = {}
        self._admitted: dict[str, tuple[list[NodeState], list[float], dict[str, Rejection]]] = {}
        self._failures: dict[str, Unschedulable] = {}
        self._nominated: dict[str, tuple[str, Requirements]] = {}

    def set_node(self, node: Object) -> bool:
        """Take a new or changed node; say whether anything about it matters to the scheduler.

        Args:
            node: the node.
        """
        state = NodeState.of(node)
        present = self.nodes.get(state.name)
        if present is not None:
            if present.fixed() == state.fixed():
                return False
            for pod, wanted in present.pods.items():
                state.add(pod, wanted)
        else:
            for pod, (name, wanted) in list(self._unplaced.items()):
                if name == state.name:  # its pods may have been seen before it
                    state.add(pod, wanted)
                    del self._unplaced[pod]
        self.nodes[state.name] = state
        self._admitted.clear()
        self._failures.clear()
        return True

    def remove_node(self, name: str) -> None:
        """Take a node away; its pods are remembered, in case it comes back."""
        gone = self.nodes.pop(name, None)
        if gone is not None:
            self._unplaced.update({pod: (name, wanted) for pod, wanted in gone.pods.items()})
        self._admitted.clear()
        self._failures.clear()

    def add_pod(self, node: str, pod: str, wanted: Requirements) -> None:
        """Count a pod on a node.

        Args:
            node: the node's name.
            pod: the pod's uid.
            wanted: what it asks for.
        """
        if self._where.get(pod) == node:
            return
        self.remove_pod(pod)
        self._where[pod] = node
        # Pods that ask for the same share one description of it.
        if len(self._shared) > _SHARED:
            self._shared.clear()
        known = self._shared.setdefault(wanted.signature, wanted)
        wanted = known if known == wanted else wanted
        if node in self.nodes:
            self.nodes[node].add(pod, wanted)
        else:
            self._unplaced[pod] = (node, wanted)
        self._failures.clear()

    def remove_pod(self, pod: str) -> bool:
        """Count a pod no more; say whether that frees anything.

        Args:
            pod: the pod's uid.
        """
        node = self._where.pop(pod, None)
        self._unplaced.pop(pod, None)
        if node is None:
            return False
        if node in self.nodes:
            self.nodes[node].remove(pod)
        self._failures.clear()
        return True

    def node_of(self, pod: str) -> str | None:
        """Say on which node a pod is counted."""
        return self._where.get(pod)

    def nominate(self, pod: str, node: str | None, wanted: Requirements | None = None) -> None:
        """Keep the room on a node that others were made to leave for a pod from pods of less priority.

        Args:
            pod: the pod's uid.
            node: the node's name, None when the pod needs it no more.
            wanted: what it asks for.
        """
        if self._nominated.pop(pod, None) is not None or node is not None:
            self._failures.clear()
        if node is not None and wanted is not None:
            self._nominated[pod] = (node, wanted)

    def takes(self, wanted: Requirements, pod: str = "") -> bool:
        """Say whether there is a node for a pod as things are."""
        result = self.place(wanted, pod)
        return isinstance(result, Placement) and not result.victims

    def place(self, wanted: Requirements, pod: str = "") -> Placement | Unschedulable:
        """Choose a node; nothing is counted yet.

        Args:
            wanted: what the pod asks for.
            pod: the pod's uid, for the room that is kept for it.
        """
        own = pod in self._nominated  # others that ask for the same have no room kept
        remembered = None if own else self._failures.get(wanted.signature)
        if remembered is not None:
            return remembered
        hopeless = wanted.refused or not self.nodes
        result = unschedulable(wanted, self.nodes, {}) if hopeless else self._place(wanted, pod)
        if isinstance(result, Unschedulable) and not own:
            self._failures[wanted.signature] = result
        return result

    def _place(self, wanted: Requirements, pod: str) -> Placement | Unschedulable:
        kept = self._kept(wanted, pod)
        admitted, preferences, rejections = self._admit(wanted)
        best: tuple[float, int, str] | None = None
        full: dict[str, Rejection] = self._taken(wanted, admitted)
        for node, preferred in zip(admitted, preferences, strict=True):
            if node.name in full:
                continue
            rejection = fits(wanted, node)
            if rejection is None and node.name in kept:
                rejection = fits(wanted, kept[node.name])
            if rejection is not None:
                full[node.name] = rejection
                continue
            rank = (-(score(wanted, node) + preferred), len(node.pods), node.name)
            if best is None or rank < best:
                best = rank
        if best is not None:
            return Placement(best[2])
        return unschedulable(wanted, {**self.nodes, **kept}, {**rejections, **full})

    def _taken(self, wanted: Requirements, nodes: Iterable[NodeState]) -> dict[str, Rejection]:
        """Say which nodes another Job has to itself, or are not where the pod's own Job is (see `exclusive_domain`)."""
        if not wanted.exclusive:
            return {}
        label, job = wanted.exclusive
        jobs: dict[str, set[str]] = {}
        for node in self.nodes.values():
            pairs = [other.exclusive for other in node.pods.values() if other.exclusive]
            found = {key for domain, key in pairs if domain == label}
            jobs.setdefault(node.labels.get(label, ""), set()).update(found)
        own = {domain for domain, keys in jobs.items() if job in keys}
        rejections = {}
        for node in nodes:
            domain = node.labels.get(label, "")
            if not domain or (own and domain not in own):
                rejections[node.name] = Rejection(("node(s) didn't match pod affinity rules",))
            elif jobs[domain] - {job}:
                rejections[node.name] = Rejection(("node(s) didn't match pod anti-affinity rules",))
        return rejections

    def _kept(self, wanted: Requirements, pod: str) -> dict[str, NodeState]:
        """Give the nodes where room is kept from a pod, as if those it is kept for were there."""
        found: dict[str, NodeState] = {}
        for other, (name, needs) in self._nominated.items():
            if other == pod or needs.priority < wanted.priority or name not in self.nodes:
                continue
            if name not in found:
                found[name] = self.nodes[name].without(())
            found[name].add(other, needs)
        return found

    def _admit(self, wanted: Requirements) -> tuple[list[NodeState], list[float], dict[str, Rejection]]:
        known = self._admitted.get(wanted.signature)
        if known is None:
            verdicts = {name: admits(wanted, node) for name, node in self.nodes.items()}
            admitted = [self.nodes[name] for name, verdict in verdicts.items() if verdict is None]
            rejections = {name: verdict for name, verdict in verdicts.items() if verdict is not None}
            known = self._admitted[wanted.signature] = (admitted, preference(wanted, admitted), rejections)
        return known


def schedule(
    pod: Object, nodes: Iterable[Object], pods_by_node: Mapping[str, Iterable[Object]]
) -> Placement | Unschedulable:
    """Choose a node for one pod.

    Args:
        pod: the pod.
        nodes: every node.
        pods_by_node: the pods on each node, by its name.

    Example:
        >>> schedule({"metadata": {"name": "p"}, "spec": {"containers": []}}, [], {})
        Unschedulable(message='no nodes available to schedule pods')
    """
    snapshot = Snapshot()
    for node in nodes:
        snapshot.set_node(node)
    for name, bound in pods_by_node.items():
        for other in bound:
            if phase(other) not in TERMINAL:
                snapshot.add_pod(name, uid(other) or other["metadata"]["name"], Requirements.of(other))
    return snapshot.place(Requirements.of(pod))
