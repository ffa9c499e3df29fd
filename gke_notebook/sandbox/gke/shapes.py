"""From a node pool's settings to the machines it is made of; pure."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from gke_notebook.catalog import MachineType, by_label, machine_types, sharing, topologies, tpu_by_label
from gke_notebook.sandbox.gke.state import Pool
from gke_notebook.sandbox.instances import Instance, Taint
from gke_notebook.sandbox.pools import CLUSTER

Object = dict[str, Any]

DEFAULT_MACHINE = "e2-medium"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# GiB of memory per vCPU of general-purpose machines (Compute Engine documentation, "General-purpose machine family").
_GENERAL = re.compile(r"(?P<family>e2|n2|n2d|n1)-(?P<form>standard|highmem|highcpu)-(?P<vcpus>\d+)")
_PER_VCPU = {
    "e2": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "n2": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "n2d": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "n1": {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9},
}
_SIZES = {
    "e2": (2, 4, 8, 16, 32), "n2": (2, 4, 8, 16, 32, 48, 64, 80), "n2d": (2, 4, 8, 16, 32, 48, 64, 80, 96),
    "n1": (1, 2, 4, 8, 16, 32, 64, 96),
}  # fmt: skip
_SHARED = {"e2-micro": (2, 1.0), "e2-small": (2, 2.0), "e2-medium": (2, 4.0)}
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}


def machine(name: str) -> MachineType | None:
    """Find a machine type, None when there is none of this name.

    Args:
        name: for example ``g2-standard-8``.
    """
    for known in machine_types():
        if known.name == name:
            return known
    if name in _SHARED:
        return MachineType(name, *_SHARED[name])
    found = _GENERAL.fullmatch(name)
    if found and int(found["vcpus"]) in _SIZES[found["family"]]:
        vcpus = int(found["vcpus"])
        return MachineType(name, vcpus, vcpus * _PER_VCPU[found["family"]][found["form"]])
    return None


def is_tpu(label: str) -> bool:
    """Say whether an accelerator of a machine type is a TPU.

    Args:
        label: the GPU type or the TPU label value.
    """
    return label.startswith("tpu")


def group_name(pool: str, zone: str) -> str:
    """Name the instance group of a pool in a zone, the same at each start.

    Args:
        pool: the pool's name.
        zone: the zone.

    Example:
        >>> group_name("l4-pool", "us-central1-a").startswith("gke-sandbox-l4-pool-")
        True
    """
    return f"gke-{CLUSTER}-{pool[:32]}-{_digest(pool, zone)}-grp"


def instance_name(pool: str, zone: str) -> str:
    """Make up the name of a new machine.

    Args:
        pool: the pool's name.
        zone: the zone.
    """
    ending = "".join(secrets.choice(_LETTERS) for _ in range(4))
    return f"gke-{CLUSTER}-{pool[:32]}-{_digest(pool, zone)}-{ending}"


def _digest(pool: str, zone: str) -> str:
    return hashlib.sha256(f"{CLUSTER}/{pool}/{zone}".encode()).hexdigest()[:8]


def accelerator_of(config: Object) -> tuple[str, int]:
    """Give the accelerator of a pool's machines and how many each has.

    Args:
        config: the ``NodeConfig``.
    """
    for entry in config.get("accelerators") or []:
        return str(entry["acceleratorType"]), int(entry.get("acceleratorCount") or 0)
    found = machine(str(config.get("machineType") or DEFAULT_MACHINE))
    return (found.accelerator, found.accelerator_count) if found else ("", 0)


def provisioning_of(config: Object) -> str:
    """Give the provisioning model as the node label has it.

    Args:
        config: the ``NodeConfig``.
    """
    if config.get("flexStart"):
        return "flex-start"
    if config.get("spot"):
        return "spot"
    return "preemptible" if config.get("preemptible") else "standard"


def devices(config: Object) -> int:
    """Give how many devices a node offers to pods: GPUs times partitions times clients that share them, or TPU chips.

    Args:
        config: the ``NodeConfig``; its partition and clients exist.
    """
    label, count = accelerator_of(config)
    for entry in config.get("accelerators") or []:
        shared = entry.get("gpuSharingConfig") or {}
        clients = int(shared.get("maxSharedClientsPerGpu") or 2) if shared.get("gpuSharingStrategy") else 1
        kind = by_label(label)
        if kind is not None:
            return sharing(kind).schedulable(count, str(entry.get("gpuPartitionSize") or ""), clients)
    return count


def new_instance(pool: Pool, zone: str, name: str) -> Instance:
    """Make the record of a machine that is to be made.

    Args:
        pool: its pool.
        zone: where.
        name: its name.
    """
    config = pool.config
    kind = machine(str(config["machineType"]))
    assert kind is not None  # a pool with an unknown machine type is refused
    label, count = accelerator_of(config)
    tpu = label if is_tpu(label) else ""
    return Instance(
        name=name,
        pool=pool.name,
        zone=zone,
        machine_type=kind.name,
        vcpus=kind.vcpus,
        memory_gib=kind.memory_gib,
        accelerator="" if tpu else label,
        accelerator_count=count,
        devices=devices(config),
        tpu_accelerator=tpu,
        tpu_topology=_topology(pool, label, kind.name) if tpu else "",
        provisioning=provisioning_of(config),
        labels=labels(pool),
        taints=taints(pool),
        max_pods=int((pool.spec.get("maxPodsConstraint") or {}).get("maxPodsPerNode") or 110),
        runs_processes=pool.runs_processes,
        generation=pool.generation,
    )


def _topology(pool: Pool, label: str, machine_type: str) -> str:
    given = (pool.spec.get("placementPolicy") or {}).get("tpuTopology")
    if given:
        return str(given)
    family = tpu_by_label(label)
    shapes = topologies(family) if family else ()
    alone = (one.text for one in shapes if one.machine_type == machine_type and one.hosts == 1)
    return next(alone, "")


def labels(pool: Pool) -> dict[str, str]:
    """Give the node labels that follow from a pool's settings, beside those of the machine itself.

    Args:
        pool: the pool.
    """
    config = pool.config
    made: dict[str, str] = {}
    for entry in config.get("accelerators") or []:
        driver = (entry.get("gpuDriverInstallationConfig") or {}).get("gpuDriverVersion", "DEFAULT")
        made["cloud.google.com/gke-gpu-driver-version"] = {
            "LATEST": "latest", "INSTALLATION_DISABLED": "autoinstall-disabled",
        }.get(driver, "default")  # fmt: skip
        if entry.get("gpuPartitionSize"):
            made["cloud.google.com/gke-gpu-partition-size"] = str(entry["gpuPartitionSize"])
        sharing = entry.get("gpuSharingConfig") or {}
        if sharing.get("gpuSharingStrategy"):
            made["cloud.google.com/gke-gpu-sharing-strategy"] = sharing["gpuSharingStrategy"].lower().replace("_", "-")
            made["cloud.google.com/gke-max-shared-clients-per-gpu"] = str(sharing.get("maxSharedClientsPerGpu") or 2)
    affinity = config.get("reservationAffinity") or {}
    if affinity.get("consumeReservationType") == "SPECIFIC_RESERVATION":
        made["cloud.google.com/reservation-name"] = str((affinity.get("values") or [""])[0])
    if config.get("maxRunDuration"):
        made["cloud.google.com/gke-max-run-duration-seconds"] = str(int(duration(config["maxRunDuration"])))
    if config.get("flexStart"):
        made["cloud.google.com/gke-flex-start"] = "true"
    made.update({str(key): str(value) for key, value in (config.get("labels") or {}).items()})
    return made


def taints(pool: Pool) -> tuple[Taint, ...]:
    """Give the taints of a pool's nodes: those asked for, and those that GKE adds.

    Args:
        pool: the pool.
    """
    label, _ = accelerator_of(pool.config)
    made = {
        (entry["key"], entry["effect"]): Taint(entry["key"], str(entry.get("value") or ""), _EFFECTS[entry["effect"]])
        for entry in pool.config.get("taints") or []
        if entry.get("effect") in _EFFECTS
    }
    if label:
        key = "google.com/tpu" if is_tpu(label) else "nvidia.com/gpu"
        made.setdefault((key, "NO_SCHEDULE"), Taint(key, "present", "NoSchedule"))
    if (pool.spec.get("queuedProvisioning") or {}).get("enabled"):
        key = "cloud.google.com/gke-queued"
        made.setdefault((key, "NO_SCHEDULE"), Taint(key, "true", "NoSchedule"))
    return tuple(made.values())


def duration(text: str) -> float:
    """Read a duration of protobuf's JSON form.

    Args:
        text: for example ``3600s``.
    """
    return float(str(text).removesuffix("s"))
