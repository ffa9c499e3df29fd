"""A plan of a 1,000-node job among 5,000 nodes and 50,000 pods, with whether it fits, against the naive way."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from benchmarks._timing import median_ms
from gke_notebook.insight.demand import Demand, amount_of, demand, why_not_on
from gke_notebook.insight.fit import fit
from gke_notebook.insight.pools import pools_of
from gke_notebook.insight.reasons import quantity
from gke_notebook.insight.world import World
from gke_notebook.objects import Node
from gke_notebook.session.planning import make_plan
from gke_notebook.session.usage import BoundPod, Usage
from gke_notebook.specs import AcceleratorRequest, Program, TrainSpec

NODES, PODS_EACH, WANTED, RUNS = 5_000, 10, 1_000, 9
LABEL, ZONE = "nvidia-l4", "us-central1-a"


def _nodes() -> list[Node]:
    found = []
    for number in range(NODES):
        gpus = number % 2 == 0
        labels = {
            "cloud.google.com/gke-nodepool": "l4" if gpus else "cpu",
            "node.kubernetes.io/instance-type": "g2-standard-8" if gpus else "e2-standard-8",
            "topology.kubernetes.io/zone": ZONE,
            "kubernetes.io/hostname": f"node-{number}",
            **({"cloud.google.com/gke-accelerator": LABEL} if gpus else {}),
        }
        allocatable = {"cpu": "7910m", "memory": "29154Mi", "pods": "110", "ephemeral-storage": "47060071478",
                       **({"nvidia.com/gpu": "1"} if gpus else {})}  # fmt: skip
        taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}] if gpus else []
        found.append({
            "metadata": {"name": f"node-{number}", "labels": labels}, "spec": {"taints": taints},
            "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
        })  # fmt: skip
    return msgspec.convert(found, list[Node])


def _pods() -> dict[tuple[str, str], BoundPod]:
    found = {}
    for number in range(NODES * PODS_EACH):
        node = number // PODS_EACH
        requests: dict[str, Any] = {"cpu": f"{50 + number % PODS_EACH}m", "memory": "64Mi"}
        if number % PODS_EACH == 0 and node % 8 == 0:
            requests = {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}  # a job is on every fourth of the GPUs
        pod = {"metadata": {"name": f"pod-{number}"},
               "spec": {"nodeName": f"node-{node}", "containers": [{"resources": {"requests": requests}}]}}  # fmt: skip
        found["default", f"pod-{number}"] = msgspec.convert(pod, BoundPod)
    return found


def _spec() -> TrainSpec:
    return TrainSpec(
        "digits", Program("print(1)"), "default", "run", "ada", nodes=WANTED,
        accelerator=AcceleratorRequest("l4", 1), image="python:3.11-slim", cpu=2.0, memory_gib=8.0, max_duration=3600,
    )  # fmt: skip


def ours(nodes: list[Node], usage: Usage, pools: Any) -> int:
    """Plan and look for room; what the pods request has been added up as they came by the watch."""
    plan = make_plan(_spec(), context="bench", nodes=nodes)
    world = World(nodes=nodes, used=usage.by_node, pools=pools_of({"nodePools": pools}, nodes))
    return fit(demand(plan.manifests), world).free


def naive(nodes: list[Node], pods: dict[tuple[str, str], BoundPod]) -> int:
    """Plan; add up every pod again, and look for a node for one pod of the job after the other."""
    plan = make_plan(_spec(), context="bench", nodes=nodes)
    wanted: Demand = demand(plan.manifests)
    free = {
        node.metadata.name: {name: quantity(value) for name, value in node.status.allocatable.items()} for node in nodes
    }
    for pod in pods.values():
        for container in pod.spec.containers:
            for name, value in container.resources.requests.items():
                free[pod.spec.node_name][name] = free[pod.spec.node_name].get(name, 0.0) - quantity(value)
    placed = 0
    for _number in range(wanted.pods):
        for node in nodes:
            left = free[node.metadata.name]
            if why_not_on(wanted, node.metadata.labels, node.spec.taints):
                continue
            if all(left.get(name, 0.0) >= number for name, number in wanted.requests.items()):
                for name, number in wanted.requests.items():
                    left[name] -= number
                placed += 1
                break
    return placed


def main() -> None:
    nodes, pods, usage = _nodes(), _pods(), Usage()
    config = {"machineType": "g2-standard-8", "accelerators": [{"acceleratorType": LABEL, "acceleratorCount": "1"}]}
    pools = [{"name": "l4", "config": config, "locations": [ZONE], "autoscaling": {}}]
    usage.replaced(pods)
    amount_of.cache_clear()
    mine, fits = median_ms(lambda: ours(nodes, usage, pools), RUNS)
    other, placed = median_ms(lambda: naive(nodes, pods), 1)
    print(f"{WANTED:,} nodes wanted, {NODES:,} nodes and {len(pods):,} pods there")
    print(f"node by node  {mine:10.1f} ms, {fits} have room")
    print(f"pod by pod    {other:10.1f} ms, {placed} have room")
    print(f"ratio         {other / mine:10.1f} times faster")
    print(json.dumps({"plan_ms": round(mine, 1), "naive_ms": round(other, 1), "ratio": round(other / mine, 1)}))


if __name__ == "__main__":
    main()
