"""What a new fleet begins with: the sandbox's node pools, two that begin empty, and two reservations."""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.gke import shapes
from gke_notebook.sandbox.gke.state import Pool, Reservation, State
from gke_notebook.sandbox.instances import RUNNING
from gke_notebook.sandbox.pools import ZONE, NodePool, default_pools, node_names

Object = dict[str, Any]

CREATED = 1767225600.0  # the first second of 2026
_UPGRADES = {"maxSurge": 1, "strategy": "SURGE"}


def new_state(simulated_nodes: int = 0) -> State:
    """Make the state of a new sandbox, whose machines run already.

    Args:
        simulated_nodes: how many nodes without processes to add.
    """
    state = State()
    for pool in default_pools(simulated_nodes):
        add(state, pool)
    for spec in (_spot(), _tpu()):
        state.pools[spec["name"]] = Pool(spec, "RUNNING", {ZONE: 0}, CREATED)
    for reservation in (
        Reservation("l4-reserved", "us-central1-b", "g2-standard-24", 2, specific=True, created=CREATED),
        Reservation("t4-open", "us-central1-c", "n1-standard-8", 2, "nvidia-tesla-t4", 1, created=CREATED),
    ):
        state.reservations[reservation.name] = reservation
    return state


def add(state: State, seed: NodePool) -> None:
    """Add a pool whose machines run already; a pool of this name is replaced.

    Args:
        state: changed in place.
        seed: the pool.
    """
    pool = Pool(_spec(seed), "RUNNING", {ZONE: seed.count}, CREATED, runs_processes=seed.runs_processes)
    for old in [name for name, one in state.instances.items() if one.pool == seed.name]:
        del state.instances[old]
    state.pools[seed.name] = pool
    for name in node_names(seed):
        instance = shapes.new_instance(pool, ZONE, name)
        instance.status, instance.booted, instance.admitted, instance.created = RUNNING, True, True, CREATED
        state.instances[name] = instance


def _config(machine_type: str, **more: Any) -> Object:
    return {
        "machineType": machine_type,
        "diskSizeGb": 100,
        "diskType": "pd-balanced",
        "imageType": "COS_CONTAINERD",
        "oauthScopes": list(shapes.SCOPES),
        "serviceAccount": "default",
        "metadata": {"disable-legacy-endpoints": "true"},
        **more,
    }


def _spec(seed: NodePool) -> Object:
    config = _config(seed.machine_type)
    if seed.spot:
        config["spot"] = True
    if seed.accelerator:
        config.update(_gpus(seed.accelerator, seed.accelerator_count))
    return {
        "name": seed.name,
        "config": config,
        "initialNodeCount": seed.count,
        "locations": [ZONE],
        "maxPodsConstraint": {"maxPodsPerNode": str(seed.max_pods)},
        "management": {"autoRepair": True, "autoUpgrade": True},
        "upgradeSettings": dict(_UPGRADES),
        "autoscaling": {},
    }


def _gpus(label: str, count: int) -> Object:
    return {
        "accelerators": [{"acceleratorCount": str(count), "acceleratorType": label}],
        "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
    }


def _empty(name: str, config: Object, **more: Any) -> Object:
    return {
        "name": name,
        "config": config,
        "initialNodeCount": 0,
        "locations": [ZONE],
        "maxPodsConstraint": {"maxPodsPerNode": "110"},
        "management": {"autoRepair": True, "autoUpgrade": True},
        "upgradeSettings": dict(_UPGRADES),
        "autoscaling": {"enabled": True, "maxNodeCount": 4, "locationPolicy": "ANY"},
        **more,
    }


def _spot() -> Object:
    return _empty("l4-spot-pool", _config("g2-standard-8", spot=True, **_gpus("nvidia-l4", 1)))


def _tpu() -> Object:
    return _empty("v5e-pool", _config("ct5lp-hightpu-4t"), placementPolicy={"type": "COMPACT", "tpuTopology": "4x4"})
