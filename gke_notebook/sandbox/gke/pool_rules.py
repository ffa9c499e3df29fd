"""What the API refuses in a node pool, in its words where they are known; pure.

Rules: GoogleCloudPlatform/cluster-toolkit (2026-06-25) and the descriptions of the API's fields (google-cloud-container
2.67.0).
"""

from __future__ import annotations

import re
from typing import Any

from gke_notebook import catalog
from gke_notebook.catalog import MachineType
from gke_notebook.errors import InvalidInput
from gke_notebook.sandbox.gke import capacity, shapes
from gke_notebook.sandbox.gke.failures import invalid
from gke_notebook.sandbox.pools import LOCATION

Object = dict[str, Any]

_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?")
_MOST_RUN_SECONDS = 604_800.0  # 7 days
_ONLY_SERVER = (
    "selfLink", "status", "statusMessage", "instanceGroupUrls", "conditions", "podIpv4CidrSize", "updateInfo", "etag",
)  # fmt: skip
_COMPACT_FLEX_GPUS = ("a3-ultragpu-", "a4-", "h4d-")


def completed(spec: Object) -> Object:
    """Fill in what GKE fills in, and leave out what only the server says.

    Args:
        spec: the ``NodePool`` of a request.
    """
    made = {key: value for key, value in spec.items() if key not in _ONLY_SERVER}
    config = dict(made.get("config") or {})
    config.setdefault("machineType", shapes.DEFAULT_MACHINE)
    config.setdefault("diskSizeGb", 100)
    config.setdefault("diskType", "pd-balanced")
    config.setdefault("imageType", "COS_CONTAINERD")
    config.setdefault("oauthScopes", list(shapes.SCOPES))
    config.setdefault("serviceAccount", "default")
    config["metadata"] = {"disable-legacy-endpoints": "true", **(config.get("metadata") or {})}
    config["imageType"] = str(config["imageType"]).upper()
    label, _ = shapes.accelerator_of(config)
    if label:
        key = "google.com/tpu" if shapes.is_tpu(label) else "nvidia.com/gpu"
        taints = list(config.get("taints") or [])
        if not any(taint.get("key") == key for taint in taints):
            taints.append({"key": key, "value": "present", "effect": "NO_SCHEDULE"})
        config["taints"] = taints
    if config.get("flexStart") and not config.get("maxRunDuration"):
        config["maxRunDuration"] = f"{_MOST_RUN_SECONDS:.0f}s"
    made["config"] = config
    made["locations"] = list(made.get("locations") or [f"{LOCATION}-a"])
    made.setdefault("initialNodeCount", 0)
    made.setdefault("autoscaling", {})
    made.setdefault("management", {"autoRepair": True, "autoUpgrade": True})
    made.setdefault("upgradeSettings", {"maxSurge": 1, "strategy": "SURGE"})
    made.setdefault("maxPodsConstraint", {"maxPodsPerNode": "110"})
    return made


def check(spec: Object) -> None:
    """Refuse a node pool that cannot be.

    Args:
        spec: the ``NodePool``, completed.

    Raises:
        ApiFailure: 400, the first thing that is wrong.
    """
    name = spec.get("name") or ""
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Invalid value for field \"node_pool.name\": '{name[:80]}'. "
            "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?)'."
        )
    locations = spec["locations"]
    for zone in locations:
        if capacity.region_of(zone) != LOCATION:
            known = ", ".join(capacity.zones_of(LOCATION))
            raise invalid(f'Location "{zone}" is not a zone of region "{LOCATION}"; its zones are: {known}.')
    if len(set(locations)) != len(locations):
        raise invalid("node_pool.locations must not name a zone twice.")
    if int(spec.get("initialNodeCount") or 0) < 0:
        raise invalid("node_pool.initial_node_count must not be negative.")
    _check_machine(spec["config"], locations)
    _check_config(spec)
    check_autoscaling(spec)
    _check_placement(spec)
    upgrades = spec.get("upgradeSettings") or {}
    if upgrades.get("strategy", "SURGE") == "SURGE" and not (
        int(upgrades.get("maxSurge") or 0) > 0 or int(upgrades.get("maxUnavailable") or 0) > 0
    ):
        raise invalid("upgrade_settings: max_surge and max_unavailable must not both be 0.")
    pods = int((spec.get("maxPodsConstraint") or {}).get("maxPodsPerNode") or 110)
    if not 8 <= pods <= 256:
        raise invalid(f"max_pods_per_node must be between 8 and 256, not {pods}.")


def _check_machine(config: Object, locations: list[str]) -> None:
    name = str(config["machineType"])
    kind = shapes.machine(name)
    for zone in locations:
        there = kind is not None and (
            not kind.accelerator or any(known.name == name for known in capacity.machine_types_in(zone))
        )
        if not there:
            raise invalid(f'Machine type with name "{name}" does not exist in zone "{zone}".')
    assert kind is not None
    accelerators = config.get("accelerators") or []
    if len(accelerators) > 1:
        raise invalid("node_pool.config.accelerators: only one type of accelerator can be attached.")
    for entry in accelerators:
        _check_accelerator(kind, entry, locations)


def _check_accelerator(kind: MachineType, entry: Object, locations: list[str]) -> None:
    label, count = str(entry.get("acceleratorType") or ""), int(entry.get("acceleratorCount") or 0)
    if shapes.is_tpu(kind.accelerator):
        raise invalid(f'Machine type "{kind.name}" has TPUs; accelerators must not be set for it.')
    for zone in locations:
        if label not in capacity.accelerators_in(zone):
            raise invalid(f'Accelerator type "{label}" does not exist in zone {zone}.')
    if kind.accelerator:
        if label != kind.accelerator or count != kind.accelerator_count:
            raise invalid(
                f'Machine type "{kind.name}" has {kind.accelerator_count} x "{kind.accelerator}"; '
                f'{count} x "{label}" cannot be attached to it.'
            )
    else:
        found = catalog.by_label(label)
        allowed = dict(found.attach) if found else {}
        if not kind.name.startswith("n1-") or not allowed:
            raise invalid(f'Accelerator type "{label}" cannot be attached to machine type "{kind.name}".')
        if count not in allowed:
            counts = ", ".join(map(str, allowed))
            raise invalid(f'Number of accelerators of type "{label}" must be one of: {counts}, not {count}.')
        if kind.vcpus > allowed[count]:
            raise invalid(
                f'Machine type "{kind.name}" is too large for {count} x "{label}": at most {allowed[count]} vCPUs.'
            )
    sharing = entry.get("gpuSharingConfig") or {}
    clients = int(sharing.get("maxSharedClientsPerGpu") or 2)
    if sharing and not 2 <= clients <= 48:
        raise invalid(f"max_shared_clients_per_gpu must be between 2 and 48, not {clients}.")
    partition = str(entry.get("gpuPartitionSize") or "")
    found = catalog.by_label(label)
    if partition and (found is None or partition not in dict(catalog.sharing(found).partitions)):
        raise invalid(f'GPU partition size "{partition}" does not exist for accelerator type "{label}".')


def _check_config(spec: Object) -> None:
    config = spec["config"]
    affinity = (config.get("reservationAffinity") or {}).get("consumeReservationType", "NO_RESERVATION")
    queued = bool((spec.get("queuedProvisioning") or {}).get("enabled"))
    flex = bool(config.get("flexStart"))
    if config.get("spot") and config.get("preemptible"):
        raise invalid("spot and preemptible must not both be set.")
    if config.get("spot") or config.get("preemptible"):
        if flex or queued:
            raise invalid("Spot VMs cannot be used with flex_start or queued_provisioning.")
        if affinity != "NO_RESERVATION":
            raise invalid("Spot VMs cannot consume reservations; reservation_affinity must be NO_RESERVATION.")
    if flex or queued:
        what = "flex_start" if flex else "queued_provisioning"
        if affinity != "NO_RESERVATION":
            raise invalid(f"{what} requires reservation_affinity NO_RESERVATION.")
        if not (spec.get("autoscaling") or {}).get("enabled"):
            raise invalid(f"{what} requires autoscaling to be enabled.")
    if flex and (spec.get("management") or {}).get("autoRepair"):
        raise invalid("flex_start requires node auto-repair to be disabled.")
    if flex and int(spec.get("initialNodeCount") or 0):
        raise invalid("flex_start requires initial_node_count 0.")
    if config.get("maxRunDuration"):
        seconds = shapes.duration(config["maxRunDuration"])
        if not 0 < seconds <= _MOST_RUN_SECONDS:
            raise invalid(f"max_run_duration must be at most {_MOST_RUN_SECONDS:.0f}s (7 days), not {seconds:g}s.")
    if affinity == "SPECIFIC_RESERVATION":
        given = config["reservationAffinity"]
        if given.get("key") != "compute.googleapis.com/reservation-name" or len(given.get("values") or []) != 1:
            raise invalid(
                "SPECIFIC_RESERVATION requires the key compute.googleapis.com/reservation-name and exactly one value."
            )
    ephemeral = int((config.get("ephemeralStorageLocalSsdConfig") or {}).get("localSsdCount") or 0)
    block = int((config.get("localNvmeSsdBlockConfig") or {}).get("localSsdCount") or 0)
    if ephemeral and block:
        raise invalid(
            "Only one of ephemeral_storage_local_ssd_config and local_nvme_ssd_block_config may have local SSDs."
        )
    if int(config["diskSizeGb"]) < 10:
        raise invalid(f"disk_size_gb must be at least 10, not {config['diskSizeGb']}.")
    if config["imageType"] not in ("COS_CONTAINERD", "UBUNTU_CONTAINERD"):
        raise invalid(f'Invalid image type "{config["imageType"]}"; must be COS_CONTAINERD or UBUNTU_CONTAINERD.')
    network = spec.get("networkConfig") or {}
    if network.get("acceleratorNetworkProfile") and network.get("additionalNodeNetworkConfigs"):
        raise invalid("accelerator_network_profile excludes additional_node_network_configs.")


def check_autoscaling(spec: Object) -> None:
    """Refuse limits that contradict each other.

    Args:
        spec: the ``NodePool``, completed.

    Raises:
        ApiFailure: 400.
    """
    scaling = spec.get("autoscaling") or {}
    low, high = int(scaling.get("minNodeCount") or 0), int(scaling.get("maxNodeCount") or 0)
    total_low, total_high = int(scaling.get("totalMinNodeCount") or 0), int(scaling.get("totalMaxNodeCount") or 0)
    if min(low, high, total_low, total_high) < 0:
        raise invalid("Node pool autoscaling limits must not be negative.")
    if not scaling.get("enabled"):
        return
    if (low or high) and (total_low or total_high):
        raise invalid("min_node_count and max_node_count exclude total_min_node_count and total_max_node_count.")
    if low > high or total_low > total_high:
        raise invalid(
            f"Node pool minimum size ({max(low, total_low)}) must not be greater than its maximum size "
            f"({high if low > high else total_high})."
        )
    if not high and not total_high:
        raise invalid("Node pool autoscaling requires max_node_count or total_max_node_count to be greater than 0.")
    initial = int(spec.get("initialNodeCount") or 0)
    zones = len(spec["locations"])
    if (high and initial and not low <= initial <= high) or (
        total_high and initial and not total_low <= initial * zones <= total_high
    ):
        raise invalid(f"initial_node_count {initial} is not within the limits of the autoscaling.")


def _check_placement(spec: Object) -> None:
    placement = spec.get("placementPolicy") or {}
    config = spec["config"]
    kind = shapes.machine(str(config["machineType"]))
    tpu = kind is not None and shapes.is_tpu(kind.accelerator)
    if placement.get("type") == "COMPACT":
        if len(spec["locations"]) != 1:
            raise invalid("Compact placement requires exactly one zone.")
        if (spec.get("upgradeSettings") or {}).get("strategy") == "BLUE_GREEN":
            raise invalid("Compact placement cannot be used with BLUE_GREEN upgrades.")
        if (spec.get("queuedProvisioning") or {}).get("enabled") and not tpu:
            raise invalid("Compact placement cannot be used with queued provisioning, except for TPUs.")
        if config.get("flexStart") and not tpu and not str(config["machineType"]).startswith(_COMPACT_FLEX_GPUS):
            raise invalid(
                f'Compact placement cannot be used with flex_start and machine type "{config["machineType"]}".'
            )
    topology = placement.get("tpuTopology")
    if not topology:
        return
    if not tpu or kind is None:
        raise invalid(f'tpu_topology cannot be used with machine type "{config["machineType"]}".')
    if placement.get("type") != "COMPACT":
        raise invalid("tpu_topology requires the placement policy type COMPACT.")
    whole = hosts_of(topology, kind)
    if whole is None:
        raise invalid(f'Topology "{topology}" is invalid for machine type "{kind.name}".')
    initial = int(spec.get("initialNodeCount") or 0)
    if initial not in (0, whole):
        raise invalid(f'A TPU slice of topology "{topology}" on "{kind.name}" has {whole} nodes, not {initial}.')


def hosts_of(topology: str, kind: MachineType) -> int | None:
    """Say how many machines a TPU slice has, None when there is no such slice.

    Args:
        topology: for example ``4x4``.
        kind: the machine type.
    """
    family = catalog.tpu_by_label(kind.accelerator)
    if family is None:
        return None
    try:
        return catalog.topology(family, topology, kind.name).hosts
    except InvalidInput:
        return None


def hosts(spec: Object) -> int:
    """Say how many machines a pool that is one TPU slice has, 0 for any other pool.

    Args:
        spec: the ``NodePool``, checked.
    """
    topology = (spec.get("placementPolicy") or {}).get("tpuTopology")
    kind = shapes.machine(str(spec["config"]["machineType"]))
    return (hosts_of(str(topology), kind) or 0) if topology and kind is not None else 0
