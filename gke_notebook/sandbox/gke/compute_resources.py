"""Zones, machine types, accelerator types and instances as the Compute Engine API v1 shows them; pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from gke_notebook import catalog
from gke_notebook.catalog import MachineType
from gke_notebook.sandbox.gke import capacity, shapes
from gke_notebook.sandbox.gke.clock import timestamp
from gke_notebook.sandbox.instances import Instance
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

if TYPE_CHECKING:
    from gke_notebook.sandbox.gke.fleet import Fleet

Object = dict[str, Any]

ROOT = "https://www.googleapis.com/compute/v1"
_MODELS = {"standard": "STANDARD", "spot": "SPOT", "preemptible": "STANDARD", "flex-start": "FLEX_START"}
# The value of the label that GKE puts on instances by the node's provisioning (seen in billing exports of 2026).
_LABELS = {"standard": "on-demand", "spot": "spot", "preemptible": "preemptible", "flex-start": "flex-start"}


def number(name: str) -> str:
    """Give a resource's id: a number of its own that stays the same.

    Args:
        name: its name.
    """
    return str(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"))


def zone_url(name: str) -> str:
    """Give a zone's link.

    Args:
        name: the zone.
    """
    return f"{ROOT}/projects/{PROJECT}/zones/{name}"


def zone(name: str) -> Object:
    """Give a ``Zone``.

    Args:
        name: the zone.
    """
    return {
        "kind": "compute#zone",
        "id": number(name),
        "name": name,
        "description": name,
        "status": "UP",
        "region": f"{ROOT}/projects/{PROJECT}/regions/{capacity.region_of(name)}",
        "selfLink": zone_url(name),
    }


def machine_type(machine: MachineType, where: str) -> Object:
    """Give a ``MachineType``.

    Args:
        machine: the machine type.
        where: its zone.
    """
    shown: Object = {
        "kind": "compute#machineType",
        "id": number(machine.name),
        "name": machine.name,
        "description": f"{machine.vcpus} vCPUs, {machine.memory_gib:g} GB RAM",
        "guestCpus": machine.vcpus,
        "memoryMb": int(machine.memory_gib * 1024),
        "isSharedCpu": machine.name in ("e2-micro", "e2-small", "e2-medium"),
        "zone": where,
        "selfLink": f"{zone_url(where)}/machineTypes/{machine.name}",
    }
    if machine.accelerator:
        shown["accelerators"] = [
            {"guestAcceleratorType": _accelerator_name(machine.accelerator, machine.name),
             "guestAcceleratorCount": machine.accelerator_count}
        ]  # fmt: skip
    return shown


def named_machine_type(name: str, where: str) -> Object | None:
    """Give a ``MachineType`` that is not listed because every zone has it.

    Args:
        name: its name.
        where: its zone.
    """
    found = shapes.machine(name)
    return machine_type(found, where) if found is not None and not found.accelerator else None


def _accelerator_name(label: str, machine: str = "") -> str:
    """Give Compute Engine's name of an accelerator: that of a TPU is its machine family."""
    if not shapes.is_tpu(label):
        return label
    machine = machine or next((one.name for one in catalog.machine_types() if one.accelerator == label), label)
    return machine.partition("-")[0]


def accelerator_type(label: str, where: str) -> Object:
    """Give an ``AcceleratorType``.

    Args:
        label: the GPU type or the TPU label value.
        where: its zone.
    """
    gpu = catalog.by_label(label)
    tpu = catalog.tpu_by_label(label)
    name = _accelerator_name(label)
    carriers = [one.accelerator_count for one in catalog.machine_types() if one.accelerator == label]
    return {
        "kind": "compute#acceleratorType",
        "id": number(name),
        "name": name,
        "description": gpu.title if gpu else tpu.title if tpu else label,
        "maximumCardsPerInstance": max(gpu.counts if gpu else carriers, default=1),
        "zone": zone_url(where),
        "selfLink": f"{zone_url(where)}/acceleratorTypes/{name}",
    }


def instance(fleet: Fleet, one: Instance) -> Object:
    """Give an ``Instance``.

    Args:
        fleet: what there is.
        one: the machine.
    """
    url = zone_url(one.zone)
    scheduling: Object = {
        "onHostMaintenance": "TERMINATE" if one.accelerator_count or one.spot else "MIGRATE",
        "automaticRestart": not one.spot,
        "preemptible": one.spot,
        "provisioningModel": _MODELS[one.provisioning],
    }
    if one.provisioning == "spot":
        scheduling["instanceTerminationAction"] = "DELETE"
    shown: Object = {
        "kind": "compute#instance",
        "id": number(f"{one.name}/{one.created}"),
        "name": one.name,
        "zone": url,
        "machineType": f"{url}/machineTypes/{one.machine_type}",
        "status": one.status,
        "creationTimestamp": timestamp(one.created),
        "scheduling": scheduling,
        "labels": {
            "goog-gke-node": "",
            "goog-k8s-cluster-name": CLUSTER,
            "goog-k8s-cluster-location": LOCATION,
            "goog-k8s-node-pool-name": one.pool,
            "goog-gke-node-pool-provisioning-model": _LABELS[one.provisioning],
        },
        "selfLink": f"{url}/instances/{one.name}",
    }
    if one.accelerator:
        shown["guestAccelerators"] = [
            {"acceleratorType": f"{url}/acceleratorTypes/{one.accelerator}", "acceleratorCount": one.accelerator_count}
        ]
    if one.termination:
        shown["resourceStatus"] = {"scheduling": {"terminationTimestamp": timestamp(one.termination)}}
    pool = fleet.state.pools.get(one.pool)
    extra = (pool.config.get("resourceLabels") or {}) if pool else {}
    shown["labels"].update(extra)
    return shown
