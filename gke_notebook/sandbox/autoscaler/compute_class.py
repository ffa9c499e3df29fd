"""Which pools the priorities of a ComputeClass mean, and which pools are made for them; pure.

Fields and rules: the definition of `cloud.google.com/v1` ComputeClass (GoogleCloudPlatform/cluster-autoscaler,
2026-08-21). GKE creates pools for a rule where `nodePoolAutoCreation` is enabled; their names begin with `nap-`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from gke_notebook import catalog
from gke_notebook.catalog import MachineType
from gke_notebook.errors import InvalidInput
from gke_notebook.sandbox.autoscaler.fitting import Kind, admitted
from gke_notebook.sandbox.autoscaler.groups import Group, of_pool, template
from gke_notebook.sandbox.controllers.meta import canonical
from gke_notebook.sandbox.gke import capacity, pool_rules, shapes
from gke_notebook.sandbox.gke.failures import ApiFailure
from gke_notebook.sandbox.pools import LOCATION

Object = dict[str, Any]

LABEL = "cloud.google.com/compute-class"
_MOST_NODES = 1000
_EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
_GENERAL_SIZES = (2, 4, 8, 16, 32, 48, 64, 80, 96)


def named(kind: Kind) -> str:
    """Give the compute class that pods name in their node selector, empty when they name none.

    Args:
        kind: the pods.
    """
    return str(kind.wanted.node_selector.get(LABEL, ""))


def priorities(spec: Object) -> list[Object]:
    """Give the rules of a class in the order in which they are tried: by score where they have one.

    Args:
        spec: the class's spec.
    """
    rules = list(spec.get("priorities") or ())
    return sorted(rules, key=lambda rule: -int(rule.get("priorityScore") or 0))


def matches(rule: Object, pool: Object) -> bool:
    """Say whether a node pool is what a rule asks for.

    Args:
        rule: one of the class's priorities.
        pool: the ``NodePool``.

    Example:
        >>> matches({"machineType": "e2-standard-4", "spot": True}, {"config": {"machineType": "e2-standard-4"}})
        False
    """
    if "nodepools" in rule:
        return pool.get("name") in rule["nodepools"]
    config = pool["config"]
    name = str(config["machineType"])
    kind = shapes.machine(name)
    label, count = shapes.accelerator_of(config)
    family = _family(name)
    if rule.get("machineType", name) != name or rule.get("machineFamily", family) != family:
        return False
    if kind is None or not _large_enough(rule, kind):
        return False
    if bool(rule.get("spot")) != bool(config.get("spot")):
        return False
    if bool((rule.get("flexStart") or {}).get("enabled")) != bool(config.get("flexStart")):
        return False
    for part in ("gpu", "tpu"):
        wanted = rule.get(part)
        if wanted and (wanted.get("type", label), int(wanted.get("count") or count)) != (label, count):
            return False
    topology = (rule.get("tpu") or {}).get("topology")
    if topology and (pool.get("placementPolicy") or {}).get("tpuTopology", topology) != topology:
        return False
    return _reservation(rule) == _reservation_of(config)


def _family(machine: str) -> str:
    return machine.partition("-")[0]


def _large_enough(rule: Object, machine: MachineType) -> bool:
    least, memory = int(rule.get("minCores") or 0), int(rule.get("minMemoryGb") or 0)
    return machine.vcpus >= least and machine.memory_gib >= memory


def _reservation(rule: Object) -> str:
    wanted = rule.get("reservations") or {}
    if wanted.get("affinity") == "Specific":
        return ",".join(sorted(str(one.get("name")) for one in wanted.get("specific") or ()))
    return {"AnyBestEffort": "ANY_RESERVATION", "AnyThenFail": "ANY_RESERVATION_THEN_FAIL"}.get(
        wanted.get("affinity", ""), ""
    )


def _reservation_of(config: Object) -> str:
    affinity = config.get("reservationAffinity") or {}
    kind = affinity.get("consumeReservationType", "NO_RESERVATION")
    if kind == "SPECIFIC_RESERVATION":
        return ",".join(sorted(str(name).rpartition("/")[2] for name in affinity.get("values") or ()))
    return kind if kind.startswith("ANY_RESERVATION") else ""


def ladder(name: str, spec: Object, kind: Kind, groups: Sequence[Group], pools: Sequence[Object]) -> list[list[Group]]:
    """Give the groups that pods of a class may use, rule by rule; a pool that would be made is a group to create.

    Args:
        name: the class.
        spec: its spec.
        kind: the pods.
        groups: every autoscaled group.
        pools: the node pools.
    """
    by_name = {str(pool["name"]): pool for pool in pools}
    own = [group for group in groups if group.template.labels.get(LABEL) == name and group.pool in by_name]
    create = bool((spec.get("nodePoolAutoCreation") or {}).get("enabled"))
    tiers: list[list[Group]] = []
    used: set[str] = set()
    rules = priorities(spec)
    if spec.get("whenUnsatisfiable") == "ScaleUpAnyway" and not any("/" in key for key in kind.wanted.requests):
        rules.append({"machineFamily": "e2"})
    for rule in rules:
        zones = (rule.get("location") or (spec.get("priorityDefaults") or {}).get("location") or {}).get("zones")
        tier = [
            group for group in own
            if group.name not in used and (not zones or group.zone in zones) and matches(rule, by_name[group.pool])
        ]  # fmt: skip
        if create and "nodepools" not in rule and "podFamily" not in rule:
            there = {group.pool for group in tier}
            tier += [one for one in _new(name, spec, rule, kind, zones or []) if not there.intersection([one.pool])]
            if len(tier) > 1:  # what is there goes first: a pool is made only where none of them can grow
                made = [group for group in tier if group.create is not None and group.pool not in by_name]
                present = [group for group in tier if group.create is None]
                tiers += [tier for tier in (present, made) if tier]
                used.update(group.name for group in tier)
                continue
        used.update(group.name for group in tier)
        if tier:
            tiers.append(tier)
    return tiers


def _new(name: str, spec: Object, rule: Object, kind: Kind, zones: Sequence[str]) -> list[Group]:
    """Give the groups of the pool that would be made for a rule, none when no pool can be what it asks for."""
    for machine in _machines(rule):
        there = [zone for zone in zones or capacity.zones_of(LOCATION) if _is_in(machine, rule, zone)]
        if not there:
            continue
        pool = _pool(name, spec, rule, machine, there)
        if pool is None or admitted(kind.wanted, template(pool, there[0])):
            continue
        found = of_pool({**pool, "status": "RUNNING"}, dict.fromkeys(pool["locations"], 0))
        # Creation is one request; the new pool's groups grow when it is there.
        return [replace(found[0], create=pool)]
    return []


def _machines(rule: Object) -> Iterator[MachineType]:
    """Give the machine types that a rule allows, the smallest first."""
    if rule.get("machineType"):
        found = shapes.machine(str(rule["machineType"]))
        if found is not None:
            yield found
        return
    family = str(rule.get("machineFamily") or "")
    gpu, tpu = rule.get("gpu") or {}, rule.get("tpu") or {}
    if gpu.get("type"):
        kind = catalog.by_label(str(gpu["type"]))
        count = int(gpu.get("count") or 1)
        choices = [
            one for one in catalog.machine_types() if one.accelerator == gpu["type"] and one.accelerator_count == count
        ]
        if kind is not None and kind.attach:
            most = dict(kind.attach).get(count, 0)
            choices = [one for one in catalog.machine_types() if one.name.startswith("n1-") and one.vcpus <= most]
    elif tpu.get("type"):
        choices = [one for one in catalog.machine_types() if one.accelerator == tpu["type"]]
        count = int(tpu.get("count") or 0)
        choices = [one for one in choices if not count or one.accelerator_count == count]
    else:
        names = [f"{family or 'e2'}-standard-{size}" for size in _GENERAL_SIZES]
        choices = [found for found in map(shapes.machine, names) if found is not None]
        choices += [one for one in catalog.machine_types() if not one.accelerator and _family(one.name) == family]
    for one in sorted(choices, key=lambda one: (one.vcpus, one.memory_gib)):
        if family in ("", _family(one.name)) and not one.explicit and _large_enough(rule, one):
            yield one


def _is_in(machine: MachineType, rule: Object, zone: str) -> bool:
    wanted = str((rule.get("gpu") or {}).get("type") or "")
    if wanted and wanted not in capacity.accelerators_in(zone):
        return False
    return not machine.accelerator or any(one.name == machine.name for one in capacity.machine_types_in(zone))


def _pool(name: str, spec: Object, rule: Object, machine: MachineType, zones: list[str]) -> Object | None:
    """Make the ``NodePool`` for a rule; None when the API would refuse it."""
    settings = spec.get("nodePoolConfig") or {}
    config: Object = {"machineType": machine.name}
    gpu, tpu = rule.get("gpu") or {}, rule.get("tpu") or {}
    if gpu.get("type"):
        version = {"latest": "LATEST"}.get(str(gpu.get("driverVersion")), "DEFAULT")
        config["accelerators"] = [{
            "acceleratorType": gpu["type"], "acceleratorCount": str(gpu.get("count") or 1),
            "gpuDriverInstallationConfig": {"gpuDriverVersion": version},
        }]  # fmt: skip
    elif machine.accelerator and not shapes.is_tpu(machine.accelerator):
        config["accelerators"] = [
            {"acceleratorType": machine.accelerator, "acceleratorCount": str(machine.accelerator_count)}
        ]
    if rule.get("spot"):
        config["spot"] = True
    if (rule.get("flexStart") or {}).get("enabled"):
        config["flexStart"] = True
    if rule.get("maxRunDurationSeconds"):
        config["maxRunDuration"] = f"{int(rule['maxRunDurationSeconds'])}s"
    reservation = _reservation(rule)
    if reservation:
        config["reservationAffinity"] = (
            {"consumeReservationType": reservation}
            if reservation.startswith("ANY_RESERVATION")
            else {
                "consumeReservationType": "SPECIFIC_RESERVATION",
                "key": "compute.googleapis.com/reservation-name", "values": [reservation],
            }
        )  # fmt: skip
    wait = rule.get("capacityCheckWaitTimeSeconds")
    labels = {**(settings.get("nodeLabels") or {}), **(rule.get("nodeLabels") or {}), LABEL: name}
    if wait:
        labels["cloud.google.com/gke-capacity-check-wait-time-seconds"] = str(wait)
    config["labels"] = labels
    taints = [*(settings.get("taints") or ()), *(rule.get("taints") or ())]
    config["taints"] = [
        {"key": one["key"], "value": str(one.get("value") or ""), "effect": _EFFECTS.get(one["effect"], one["effect"])}
        for one in [*taints, {"key": LABEL, "value": name, "effect": "NoSchedule"}]
    ]
    topology = str(tpu.get("topology") or "")
    made: Object = {
        "config": config,
        "initialNodeCount": 0,
        "locations": zones,
        "autoscaling": {
            "enabled": True, "maxNodeCount": _MOST_NODES, "autoprovisioned": True,
            "locationPolicy": (rule.get("location") or {}).get("locationPolicy", "ANY"),
        },
        "management": {"autoRepair": not config.get("flexStart"), "autoUpgrade": True},
    }  # fmt: skip
    if topology:
        hosts = _hosts(machine, topology)
        if hosts is None:
            return None
        if hosts > 1:
            made["placementPolicy"] = {"type": "COMPACT", "tpuTopology": topology}
            made["locations"] = zones[:1]
            made["autoscaling"]["maxNodeCount"] = hosts
    digest = hashlib.sha256(canonical([name, rule, made]).encode()).hexdigest()[:8]
    made["name"] = f"nap-{machine.name[:26].rstrip('-')}-{digest}"
    try:
        spec = pool_rules.completed(made)
        pool_rules.check(spec)
    except (ApiFailure, InvalidInput):
        return None
    return spec


def _hosts(machine: MachineType, topology: str) -> int | None:
    return pool_rules.hosts_of(topology, machine)
