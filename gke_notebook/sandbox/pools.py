"""The node pools of the sandbox: which machines it pretends to have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

PROJECT = "sandbox"
LOCATION = "us-central1"
ZONE = "us-central1-a"
CLUSTER = "sandbox"

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class NodePool:
    """A group of equal nodes.

    Args:
        name: the pool's name.
        machine_type: the Compute Engine machine type that is pretended.
        count: how many nodes.
        vcpus: virtual CPUs per node.
        memory_gib: memory per node, in GiB.
        accelerator: the value of the `cloud.google.com/gke-accelerator` label, empty for CPU nodes.
        accelerator_count: accelerators per node.
        spot: whether they are spot VMs.
        runs_processes: whether bound pods run as local processes; without it they only pretend to run.
        max_pods: pods per node; GKE's default is 110 (gke_facts, 2026).
    """

    name: str
    machine_type: str
    count: int
    vcpus: int
    memory_gib: int
    accelerator: str = ""
    accelerator_count: int = 0
    spot: bool = False
    runs_processes: bool = True
    max_pods: int = 110


def default_pools(simulated_nodes: int = 0) -> tuple[NodePool, ...]:
    """Give the pools a new sandbox starts with.

    Args:
        simulated_nodes: how many nodes without processes to add, for tests of scale.
    """
    pools = [
        NodePool("default-pool", "e2-standard-8", 3, 8, 32),
        NodePool("l4-pool", "g2-standard-24", 4, 24, 96, accelerator="nvidia-l4", accelerator_count=2),
        NodePool("t4-pool", "n1-standard-8", 2, 8, 30, accelerator="nvidia-tesla-t4", accelerator_count=1),
    ]
    if simulated_nodes:
        pools.append(
            NodePool("simulated-pool", "e2-standard-32", simulated_nodes, 32, 128, runs_processes=False, max_pods=110)
        )
    return tuple(pools)


def node_names(pool: NodePool) -> list[str]:
    """Give the names of a pool's nodes: the same at each start.

    Args:
        pool: the pool.

    Example:
        >>> node_names(NodePool("l4-pool", "g2-standard-24", 1, 24, 96))[0].startswith("gke-sandbox-l4-pool-")
        True
    """
    group = hashlib.sha256(f"{CLUSTER}/{pool.name}".encode()).hexdigest()[:8]
    given: dict[str, None] = {}
    attempt = 0
    while len(given) < pool.count:
        digest = hashlib.sha256(f"{pool.name}/{attempt}".encode()).digest()
        ending = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:4])
        given[f"gke-{CLUSTER}-{pool.name[:36]}-{group}-{ending}"] = None
        attempt += 1
    return list(given)
