"""From a spec to the request of the Container API, field by field as it is sent; pure.

Fields: google.container.v1 (google-cloud-container 2.67.0); values that tools set: AI-Hypercomputer/xpk and
GoogleCloudPlatform/cluster-toolkit (2026-06-25).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from gke_notebook import catalog, names
from gke_notebook.specs import NodePoolSpec

Object = dict[str, Any]

_RESERVATION_KEY = "compute.googleapis.com/reservation-name"
_EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
_DRIVERS = {"latest": "LATEST", "default": "DEFAULT", "disabled": "INSTALLATION_DISABLED"}
_LEASES = {names.LEASE, names.RESOURCE_LEASE, names.RESOURCE_DIGEST}


def create_request(spec: NodePoolSpec) -> Object:
    """Give the body of `CreateNodePool`, with the digest of what is asked for among its labels.

    Args:
        spec: the pool.

    Example:
        >>> from gke_notebook.specs import NodePoolSpec
        >>> create_request(NodePoolSpec("cpu", "e2-standard-8", "ada", 0))["nodePool"]["config"]["machineType"]
        'e2-standard-8'
    """
    pool = _node_pool(spec)
    pool["config"]["resourceLabels"][names.RESOURCE_DIGEST] = digest(pool)
    return {"nodePool": pool}


def digest(pool: Object) -> str:
    """Give the digest of a pool as it is asked for; a longer lease does not change it.

    Args:
        pool: the ``NodePool`` of a request.
    """
    config = dict(pool["config"])
    for field in ("labels", "resourceLabels"):
        config[field] = {key: value for key, value in config[field].items() if key not in _LEASES}
    text = json.dumps({**pool, "config": config}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def workload_policy(spec: NodePoolSpec) -> Object | None:
    """Give the resource policy that must exist before the pool: of slices that a workload policy places.

    Args:
        spec: the pool.

    Returns:
        The body of Compute Engine's `resourcePolicies.insert`, None where there is none to make.
    """
    if not spec.workload_policy or spec.tpu is None:
        return None
    return {
        "name": spec.workload_policy,
        "description": f"places the TPU slice of the node pool {spec.name}",
        "workloadPolicy": {"type": "HIGH_THROUGHPUT", "acceleratorTopology": spec.tpu.topology},
    }


def lease_labels(until: int) -> tuple[dict[str, str], dict[str, str]]:
    """Give the labels of a lease: those of the nodes, and those of Compute Engine.

    Args:
        until: when it is over, in seconds since 1970.
    """
    return {names.LEASE: str(until)}, {names.RESOURCE_LEASE: str(until)}


def resource_value(text: str) -> str:
    """Make any text a label value of Compute Engine: lower-case letters, digits, dashes and underscores, at most 63.

    Args:
        text: the text.

    Example:
        >>> resource_value("Ada.Lovelace@example.org")
        'ada-lovelace-example-org'
    """
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower())[:63].strip("-_")


def _node_pool(spec: NodePoolSpec) -> Object:
    pool: Object = {
        "name": spec.name,
        "initialNodeCount": spec.nodes // (len(spec.zones) or 1),
        "config": _config(spec),
        "management": {"autoRepair": spec.provisioning != "flex-start", "autoUpgrade": True},
    }
    if spec.zones:
        pool["locations"] = list(spec.zones)
    if spec.autoscaling:
        pool["autoscaling"] = _autoscaling(spec)
    placement = _placement(spec)
    if placement:
        pool["placementPolicy"] = placement
    if spec.queued:
        pool["queuedProvisioning"] = {"enabled": True}
    return pool


def _autoscaling(spec: NodePoolSpec) -> Object:
    # For TPUs by flex-start, limits in total are refused at times (GoogleCloudPlatform/cluster-toolkit, 2026-06-25).
    per_zone = spec.per_zone or (spec.tpu is not None and spec.provisioning == "flex-start")
    low, high = ("minNodeCount", "maxNodeCount") if per_zone else ("totalMinNodeCount", "totalMaxNodeCount")
    any_zone = spec.provisioning in ("spot", "flex-start") or spec.queued
    return {
        "enabled": True,
        low: spec.min_nodes,
        high: spec.max_nodes,
        "locationPolicy": "ANY" if any_zone else "BALANCED",
    }


def _placement(spec: NodePoolSpec) -> Object:
    if spec.workload_policy:
        return {"policyName": spec.workload_policy}
    if not spec.compact:
        return {}
    return {"type": "COMPACT", **({"tpuTopology": spec.tpu.topology} if spec.tpu and spec.hosts else {})}


def _config(spec: NodePoolSpec) -> Object:
    labels, resources = lease_labels(spec.lease_until)
    config: Object = {
        "machineType": spec.machine_type,
        "diskType": spec.disk_type,
        "diskSizeGb": spec.disk_gb,
        "labels": {**dict(spec.labels), names.MANAGED_BY: names.MANAGER, names.OWNER: spec.owner, **labels},
        "resourceLabels": {
            names.RESOURCE_MANAGED_BY: names.MANAGER,
            names.RESOURCE_OWNER: resource_value(spec.owner),
            **resources,
        },
        "shieldedInstanceConfig": {"enableSecureBoot": spec.secure_boot, "enableIntegrityMonitoring": True},
        "workloadMetadataConfig": {"mode": "GKE_METADATA" if spec.workload_metadata == "gke" else "GCE_METADATA"},
        "gvnic": {"enabled": spec.gvnic},
        "gcfsConfig": {"enabled": spec.image_streaming},
        **_provisioned(spec),
    }
    taints = [{"key": one.key, "value": one.value, "effect": _EFFECTS[one.effect]} for one in spec.taints]
    if spec.gpu is not None:
        config["accelerators"] = [_accelerator(spec)]
    if spec.gpu is not None or spec.tpu is not None:
        key = catalog.TPU_RESOURCE if spec.tpu is not None else "nvidia.com/gpu"
        taints.append({"key": key, "value": "present", "effect": "NO_SCHEDULE"})
    if taints:
        config["taints"] = taints
    if spec.local_ssds:
        config["ephemeralStorageLocalSsdConfig"] = {"localSsdCount": spec.local_ssds}
    return config


def _provisioned(spec: NodePoolSpec) -> Object:
    # On demand, GKE's own default stays: machines of an open reservation that fits are taken first.
    made: Object = (
        {} if spec.provisioning == "on-demand" and not spec.queued else {"reservationAffinity": _affinity(spec)}
    )
    if spec.provisioning == "spot":
        made["spot"] = True
    if spec.provisioning == "flex-start":
        made["flexStart"] = True
    if spec.max_run_seconds is not None:
        made["maxRunDuration"] = f"{spec.max_run_seconds}s"
    return made


def _affinity(spec: NodePoolSpec) -> Object:
    if spec.provisioning != "reservation":
        return {"consumeReservationType": "NO_RESERVATION"}
    if spec.reservation == "any":
        return {"consumeReservationType": "ANY_RESERVATION"}
    name = spec.reservation
    if spec.reservation_project:
        name = f"projects/{spec.reservation_project}/reservations/{name}"
    return {"consumeReservationType": "SPECIFIC_RESERVATION", "key": _RESERVATION_KEY, "values": [name]}


def _accelerator(spec: NodePoolSpec) -> Object:
    assert spec.gpu is not None
    made: Object = {
        # 64-bit numbers are texts in the API's JSON.
        "acceleratorCount": str(spec.gpu.count),
        "acceleratorType": catalog.accelerator(spec.gpu.type).label,
        "gpuDriverInstallationConfig": {"gpuDriverVersion": _DRIVERS[spec.driver or "latest"]},
    }
    if spec.partition:
        made["gpuPartitionSize"] = spec.partition
    if spec.sharing:
        made["gpuSharingConfig"] = {
            "gpuSharingStrategy": spec.sharing.upper().replace("-", "_"),
            "maxSharedClientsPerGpu": str(spec.clients),
        }
    return made
