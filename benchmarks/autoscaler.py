"""What the sandbox's autoscaler decides for 5,000 pods that wait, in ms, against simulating pod by pod."""

from __future__ import annotations

import json
from typing import Any

from benchmarks._timing import median_ms
from gke_notebook.sandbox.autoscaler.fitting import Kind, Room, admitted, by_size, place
from gke_notebook.sandbox.autoscaler.groups import Group, of_pool
from gke_notebook.sandbox.autoscaler.scale_up import decide
from gke_notebook.sandbox.controllers.pod_requirements import Requirements
from gke_notebook.sandbox.controllers.scheduling import NodeState
from gke_notebook.sandbox.gke import pool_rules

PODS, KINDS, POOLS, NODES = 5_000, 10, 12, 300
RUNS = 5
ZONES = ["us-central1-a", "us-central1-b", "us-central1-c"]


def _pods() -> list[dict[str, Any]]:
    pods = []
    for number in range(PODS):
        cpu = f"{500 + 250 * (number % KINDS)}m"
        container = {"name": "main", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}
        status = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
        name = {"name": f"pod-{number}", "uid": f"uid-{number}", "namespace": "default"}
        pods.append({"metadata": name, "spec": {"containers": [container]}, "status": status})
    return pods


def _groups() -> list[Group]:
    found: list[Group] = []
    for number in range(POOLS):
        machine = f"e2-standard-{(4, 8, 16, 32)[number % 4]}"
        scaling = {"enabled": True, "maxNodeCount": 1000, "locationPolicy": ("ANY", "BALANCED")[number % 2]}
        spec = {
            "name": f"pool-{number}",
            "config": {"machineType": machine},
            "locations": ZONES,
            "autoscaling": scaling,
        }
        found += of_pool(pool_rules.completed(spec), dict.fromkeys(ZONES, 0))
    return found


def _nodes(groups: list[Group]) -> list[NodeState]:
    """Give nodes that are full."""
    template = groups[0].template
    full = {name: (0 if name == "cpu" else value) for name, value in template.allocatable.items()}
    return [NodeState(f"node-{number}", template.labels, (), False, full) for number in range(NODES)]


def ours(pods: list[dict[str, Any]], groups: list[Group], nodes: list[NodeState]) -> int:
    """Give how many nodes are asked for; pods that ask for the same are looked at once."""
    kinds: dict[str, Kind] = {}
    for pod in pods:
        wanted = Requirements.of(pod)
        kinds.setdefault(wanted.signature, Kind(wanted)).pods.append(pod)
    ordered = by_size(kinds.values())
    place([(kind.wanted, len(kind.pods)) for kind in ordered], [Room(node) for node in nodes])
    decision = decide(ordered, groups)
    return sum(target - group.target for increase in decision.increases for group, target in increase.groups)


def naive(pods: list[dict[str, Any]], groups: list[Group], nodes: list[NodeState]) -> int:
    """Give how many nodes are asked for; every pod is tried on every node and every group."""
    rooms = [Room(node) for node in nodes]
    asked = 0
    for pod in pods:
        wanted = Requirements.of(pod)
        if place([(wanted, 1)], rooms) == [0]:
            continue
        options = [group for group in groups if not admitted(wanted, group.template)]
        chosen = min(options, key=lambda group: (group.price or 0.0, group.name))
        rooms.append(Room(chosen.template))
        place([(wanted, 1)], rooms[-1:])
        asked += 1
    return asked


def main() -> None:
    pods, groups = _pods(), _groups()
    nodes = _nodes(groups)
    mine, asked = median_ms(lambda: ours(pods, groups, nodes), RUNS)
    other, others = median_ms(lambda: naive(pods, groups, nodes), 1)
    print(f"{PODS:,} pods of {KINDS} kinds, {len(groups)} groups, {NODES} full nodes")
    print(f"by kind       {mine:10.1f} ms, {asked} nodes")
    print(f"pod by pod    {other:10.1f} ms, {others} nodes")
    print(f"ratio         {other / mine:10.1f} times faster")
    print(json.dumps({"by_kind_ms": round(mine, 1), "by_pod_ms": round(other, 1), "ratio": round(other / mine, 1)}))


if __name__ == "__main__":
    main()
