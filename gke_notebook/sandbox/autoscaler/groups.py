"""What can grow and shrink: the instance groups of autoscaled node pools, one per zone; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gke_notebook.catalog import rate
from gke_notebook.sandbox.controllers.scheduling import NodeState
from gke_notebook.sandbox.gke import pool_rules, shapes
from gke_notebook.sandbox.gke.state import Pool
from gke_notebook.sandbox.node import machines
from gke_notebook.sandbox.pools import PROJECT

Object = dict[str, Any]

# Seconds of a capacity shortage, on the fleet's clock, before it counts as a failure, and seconds until a machine that
# was had must be a node (GoogleCloudPlatform/cluster-autoscaler, gke_cloud_provider_impl.go, 2026-08-21).
AT_ONCE, FLEX_WAIT, TPU_WAIT, QUEUED_WAIT = 0.0, 900.0, 36_000.0, 365 * 86_400.0
REGISTER_SECONDS = 900.0
_PROVISIONING = {"standard": "on-demand", "preemptible": "spot"}


@dataclass(frozen=True)
class Group:
    """One managed instance group of an autoscaled pool.

    Args:
        name: the instance group manager's name.
        pool: its node pool.
        zone: its zone.
        target: how many machines it should have.
        low: the least in this zone.
        high: the most in this zone.
        total_low: the least of the pool in all zones together.
        total_high: the most of the pool in all zones together.
        template: a node of it as it would be when new.
        hosts: how many machines its TPU slice has, 0 for ordinary pools.
        balanced: whether its pool keeps its zones equal (location policy BALANCED).
        patience: seconds of a capacity shortage before it is a failure.
        running: whether its pool is there for work; one that an operation works on is not.
        price: USD per hour of one machine, None when no price is known.
        create: the ``NodePool`` to create first, for a pool that is not there yet.
    """

    name: str
    pool: str
    zone: str
    target: int
    low: int
    high: int
    total_low: int
    total_high: int
    template: NodeState
    hosts: int = 0
    balanced: bool = False
    patience: float = AT_ONCE
    running: bool = True
    price: float | None = None
    create: Object | None = None

    @property
    def url(self) -> str:
        """Its name as events and the status show it."""
        return f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{self.zone}/instanceGroups/{self.name}"

    def sized(self, target: int) -> Group:
        """Give the group with another target.

        Args:
            target: how many machines it should have.
        """
        return replace(self, target=target)


def of_pool(spec: Object, targets: Mapping[str, int]) -> list[Group]:
    """Give the groups of a node pool, none when it is not autoscaled.

    Args:
        spec: the ``NodePool`` as the Container API gives it.
        targets: the target size of each zone's group.
    """
    scaling = spec.get("autoscaling") or {}
    if not scaling.get("enabled"):
        return []
    zones = list(targets)
    if "totalMaxNodeCount" in scaling or "totalMinNodeCount" in scaling:
        low, high = 0, int(scaling.get("totalMaxNodeCount") or 0)
        total_low, total_high = int(scaling.get("totalMinNodeCount") or 0), high
    else:
        low, high = int(scaling.get("minNodeCount") or 0), int(scaling.get("maxNodeCount") or 0)
        total_low, total_high = low * len(zones), high * len(zones)
    hosts = pool_rules.hosts(spec)
    config = spec["config"]
    balanced = scaling.get("locationPolicy", "BALANCED") == "BALANCED" and not config.get("spot")
    if "locationPolicy" in scaling:
        balanced = scaling["locationPolicy"] == "BALANCED"
    return [
        Group(
            name=shapes.group_name(str(spec["name"]), zone), pool=str(spec["name"]), zone=zone, target=targets[zone],
            low=low, high=high, total_low=total_low, total_high=total_high, template=template(spec, zone),
            hosts=hosts, balanced=balanced, patience=patience(spec),
            running=spec.get("status", "RUNNING") in ("RUNNING", "RUNNING_WITH_ERROR"),
            price=price(spec, zone),
        )
        for zone in zones
    ]  # fmt: skip


def template(spec: Object, zone: str) -> NodeState:
    """Give a node of a pool as it would be when new.

    Args:
        spec: the ``NodePool``.
        zone: where.
    """
    name = f"template-node-for-{spec['name']}-{zone}"
    instance = shapes.new_instance(Pool(spec), zone, name)
    return NodeState.of(machines.node_object(instance, port=0, version="", now="1970-01-01T00:00:00Z"))


def patience(spec: Object) -> float:
    """Say for how long a pool waits for capacity before that counts as a failure, in seconds.

    Args:
        spec: the ``NodePool``.
    """
    config = spec["config"]
    if (spec.get("queuedProvisioning") or {}).get("enabled"):
        return QUEUED_WAIT
    label, _ = shapes.accelerator_of(config)
    if shapes.is_tpu(label):
        return TPU_WAIT
    if config.get("flexStart"):
        asked = (config.get("labels") or {}).get("cloud.google.com/gke-capacity-check-wait-time-seconds", "")
        return float(asked) if asked.isdigit() else FLEX_WAIT
    return AT_ONCE


def price(spec: Object, zone: str) -> float | None:
    """Give the list price of one machine of a pool in USD per hour, None when none is known.

    Args:
        spec: the ``NodePool``.
        zone: where.
    """
    kind = str(spec["config"]["machineType"])
    way = shapes.provisioning_of(spec["config"])
    found = rate(kind, zone, _PROVISIONING.get(way, way))
    return found.usd_hour if found else None


def room(group: Group, siblings: Iterable[Group]) -> int:
    """Say by how many machines a group can still grow.

    Args:
        group: the group.
        siblings: the groups of its pool, itself included.
    """
    total = group.total_high - sum(one.target for one in siblings)
    free = max(0, min(group.high - group.target, total))
    if group.hosts:
        return group.hosts if group.target == 0 and free >= group.hosts else 0
    return free
