"""How many equal pods fit where: the scheduler's filters, applied to whole kinds of pods at a time; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.sandbox.controllers.pod_requirements import Port, Requirements, ports_conflict
from gke_notebook.sandbox.controllers.scheduling import NodeState, admits, fits
from gke_notebook.sandbox.requests import Amounts

Object = dict[str, Any]


@dataclass
class Kind:
    """Pods that ask for the same.

    Args:
        wanted: what each asks for.
        pods: the pods.
    """

    wanted: Requirements
    pods: list[Object] = field(default_factory=list)


class Room:
    """A node and what is left of it.

    Args:
        node: the node; its own counts of pods are taken as used.
    """

    __slots__ = ("free", "node", "pods", "ports")

    def __init__(self, node: NodeState) -> None:
        self.node = node
        self.free: Amounts = {name: value - node.used.get(name, 0) for name, value in node.allocatable.items()}
        self.pods = node.allocatable.get("pods", 0) - len(node.pods)
        self.ports: list[Port] = [port for used in node.ports.values() for port in used]

    def copy(self) -> Room:
        """Give the same node, to be filled differently."""
        made = Room.__new__(Room)
        made.node, made.free, made.pods, made.ports = self.node, dict(self.free), self.pods, list(self.ports)
        return made

    def most(self, wanted: Requirements) -> int:
        """Say how many such pods still fit, not asking whether the node admits them.

        Args:
            wanted: what each asks for.
        """
        count = max(0, self.pods)
        for name, value in wanted.requests.items():
            if value > 0:
                count = min(count, max(0, self.free.get(name, 0)) // value)
        if wanted.ports and count:
            return 0 if ports_conflict(wanted.ports, self.ports) else 1
        return count

    def take(self, wanted: Requirements, count: int) -> None:
        """Put pods on the node.

        Args:
            wanted: what each asks for.
            count: how many; below 0 to take them off again.
        """
        if not count:
            return
        self.pods -= count
        if count > 0:
            self.ports += wanted.ports
        else:
            self.ports = [port for port in self.ports if port not in wanted.ports]
        for name, value in wanted.requests.items():
            self.free[name] = self.free.get(name, 0) - count * value


def admitted(wanted: Requirements, node: NodeState) -> tuple[str, ...]:
    """Say why an empty node does not take a pod; nothing when it does.

    Args:
        wanted: what the pod asks for.
        node: the node, with no pods on it.
    """
    if wanted.refused:
        return (wanted.refused,)
    found = admits(wanted, node) or fits(wanted, node)
    return found.reasons if found else ()


def place(kinds: Sequence[tuple[Requirements, int]], rooms: Iterable[Room]) -> list[int]:
    """Put pods where there is room.

    Args:
        kinds: what pods ask for, and how many of them there are.
        rooms: the nodes, changed in place.

    Returns:
        How many of each kind found no place.
    """
    nodes = list(rooms)
    left = []
    for wanted, count in kinds:
        waiting = count
        if not wanted.refused:
            for node in nodes:
                if not waiting:
                    break
                taken = min(waiting, node.most(wanted))
                if taken and admits(wanted, node.node) is None:
                    node.take(wanted, taken)
                    waiting -= taken
        left.append(waiting)
    return left


def estimate(kinds: Sequence[tuple[Requirements, int]], template: NodeState, limit: int) -> tuple[int, list[int]]:
    """Say how many new nodes pods need, filling one after the other.

    Args:
        kinds: what pods ask for, and how many of them there are; the largest first.
        template: a new node.
        limit: how many nodes there can be at most.

    Returns:
        The number of nodes, and how many pods of each kind they hold.
    """
    runs: list[tuple[Room, int]] = []  # nodes that are filled alike, and how many of them there are
    nodes = 0
    helped = []
    for wanted, count in kinds:
        if not count or admitted(wanted, template):
            helped.append(0)
            continue
        runs, left = _fill(runs, wanted, count)
        if left and nodes < limit:
            fresh = Room(template)
            more = min(limit - nodes, -(-left // fresh.most(wanted)))
            added, left = _fill([(fresh, more)], wanted, left)
            runs += added
            nodes += more
        helped.append(count - left)
    return nodes, helped


def _fill(runs: list[tuple[Room, int]], wanted: Requirements, count: int) -> tuple[list[tuple[Room, int]], int]:
    """Put pods on nodes, one after the other; give the nodes as they are then, and how many pods are left."""
    made: list[tuple[Room, int]] = []
    for room, number in runs:
        each = room.most(wanted)
        if not each or not count:
            made.append((room, number))
            continue
        full = min(number, count // each)
        rest = min(count - full * each, each) if full < number else 0
        parts = [(each, full), (rest, 1 if rest else 0), (0, number - full - (1 if rest else 0))]
        for taken, nodes in parts:
            if nodes:
                copy = room.copy()
                copy.take(wanted, taken)
                made.append((copy, nodes))
        count -= full * each + rest
    return made, count


def waste(kinds: Sequence[tuple[Requirements, int]], template: NodeState, nodes: int) -> float:
    """Say which share of new nodes would stay unused, of CPU and memory together (expander "least-waste").

    Args:
        kinds: what goes on the nodes, and how many of each.
        template: a new node.
        nodes: how many.

    Example:
        >>> waste([], NodeState("n", {}, [], False, {"cpu": 1000, "memory": 1}), 2)
        2.0
    """
    shares = 0.0
    for name in ("cpu", "memory"):
        there = template.allocatable.get(name, 0) * nodes
        used = sum(wanted.requests.get(name, 0) * count for wanted, count in kinds)
        shares += 1.0 - used / there if there else 0.0
    return shares


def by_size(kinds: Iterable[Kind]) -> list[Kind]:
    """Order kinds of pods: those of most priority, then the largest first.

    Args:
        kinds: the kinds.
    """

    def size(kind: Kind) -> tuple[int, int, int, int, str]:
        wanted = kind.wanted.requests
        devices = sum(value for name, value in wanted.items() if "/" in name)
        return -kind.wanted.priority, -devices, -wanted.get("cpu", 0), -wanted.get("memory", 0), kind.wanted.signature

    return sorted(kinds, key=size)
