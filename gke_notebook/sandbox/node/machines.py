"""Node objects of the pretended machines (pure)."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

from gke_notebook import names
from gke_notebook._version import __version__
from gke_notebook.sandbox.pools import LOCATION, PROJECT, ZONE, NodePool

Object = dict[str, Any]

_GIB = 2**30
_MIB = 2**20
BOOT_DISK_GIB = 100  # GKE's default boot disk (GKE documentation, "Boot disks", 2026)
_BOOT_DISK_FILESYSTEM = 98868448 * 1024  # bytes of the filesystem on such a disk, as GKE nodes of that size report


def reserved_cpu(vcpus: int) -> int:
    """Give the CPU that GKE keeps for its node software, in thousandths of a core.

    6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest
    (GKE documentation, "Plan GKE Standard node sizes", 2026).

    Args:
        vcpus: the machine's virtual CPUs.

    Example:
        >>> reserved_cpu(8)
        90
    """
    return int(60 * min(vcpus, 1) + 10 * min(max(vcpus - 1, 0), 1) + 5 * min(max(vcpus - 2, 0), 2)) + int(
        2.5 * max(vcpus - 4, 0)
    )


def reserved_memory(memory_gib: int) -> int:
    """Give the memory that GKE keeps for its node software, in bytes, without the eviction threshold.

    25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of the next 112, 2 % of the rest
    (GKE documentation, "Plan GKE Standard node sizes", 2026).

    Args:
        memory_gib: the machine's memory in GiB.
    """
    total, rest = 0.0, float(memory_gib)
    for size, share in ((4, 0.25), (4, 0.2), (8, 0.1), (112, 0.06), (float("inf"), 0.02)):
        part = min(rest, size)
        total += part * share
        rest -= part
    return int(total * _GIB)


def allocatable_storage() -> int:
    """Give the ephemeral storage for pods on the default boot disk, in bytes.

    GKE keeps the least of half the disk, 6 GiB + 35 % and 100 GiB, and the kubelet evicts at 10 % free
    (GKE documentation, "Plan GKE Standard node sizes", 2026).
    """
    system = min(BOOT_DISK_GIB * 0.5, 6 + BOOT_DISK_GIB * 0.35, 100.0) * _GIB
    return int(_BOOT_DISK_FILESYSTEM * 0.9 - system)


def is_simulated(pool: NodePool) -> bool:
    """Say whether something of these nodes is pretended that a user could take for real."""
    return bool(pool.accelerator) or not pool.runs_processes


def node_object(pool: NodePool, name: str, *, port: int, version: str, now: str) -> Object:
    """Make the Node object of one machine, status included.

    Args:
        pool: its pool.
        name: its name.
        port: the port of the kubelet's server.
        version: the Kubernetes version it claims.
        now: the time as RFC 3339.
    """
    architecture = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    labels = {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/instance-type": pool.machine_type,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": pool.machine_type,
        "cloud.google.com/gce-machine-type": pool.machine_type,
        "cloud.google.com/gke-nodepool": pool.name,
        "cloud.google.com/gke-provisioning": "spot" if pool.spot else "standard",
        "cloud.google.com/machine-family": pool.machine_type.split("-")[0],
        "cloud.google.com/gke-max-pods-per-node": str(pool.max_pods),
        "topology.kubernetes.io/region": LOCATION,
        "topology.kubernetes.io/zone": ZONE,
    }
    taints: list[Object] = []
    capacity: dict[str, str] = {
        "cpu": str(pool.vcpus),
        "memory": f"{pool.memory_gib * 2**20}Ki",
        "pods": str(pool.max_pods),
        "ephemeral-storage": f"{_BOOT_DISK_FILESYSTEM // 1024}Ki",
    }
    allocatable = {
        **capacity,
        "cpu": f"{pool.vcpus * 1000 - reserved_cpu(pool.vcpus)}m",
        "memory": f"{(pool.memory_gib * _GIB - reserved_memory(pool.memory_gib) - 100 * _MIB) // 1024}Ki",
        "ephemeral-storage": str(allocatable_storage()),
    }
    if pool.spot:
        labels["cloud.google.com/gke-spot"] = "true"
    if pool.accelerator:
        labels["cloud.google.com/gke-accelerator"] = pool.accelerator
        labels["cloud.google.com/gke-accelerator-count"] = str(pool.accelerator_count)
        labels["cloud.google.com/gke-gpu-driver-version"] = "default"
        taints.append({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"})
        capacity["nvidia.com/gpu"] = allocatable["nvidia.com/gpu"] = str(pool.accelerator_count)
    if is_simulated(pool):
        labels[names.SIMULATED] = "true"
    spec: Object = {"providerID": f"gce://{PROJECT}/{ZONE}/{name}"}
    if taints:
        spec["taints"] = taints
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "allocatable": allocatable,
            "capacity": capacity,
            "conditions": node_conditions(now),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "nodeInfo": {
                "architecture": architecture,
                "bootID": "",
                "containerRuntimeVersion": f"process://{__version__}",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": version,
                "machineID": hashlib.sha256(name.encode()).hexdigest()[:32],
                "operatingSystem": "linux",
                "osImage": f"gke-notebook sandbox on {platform.system()}",
                "systemUUID": "",
            },
        },
    }


def node_conditions(now: str) -> list[Object]:
    """Give the conditions of a healthy node, with the kubelet's reasons and texts.

    Args:
        now: the time as RFC 3339.
    """
    healthy = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    return [
        {
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }
        for kind, status, reason, message in healthy
    ]  # fmt: skip


def lease_object(name: str, now: str, owner_uid: str = "") -> Object:
    """Make the Lease by which a node says that it lives.

    Args:
        name: the node's name.
        now: the time as RFC 3339 with microseconds.
        owner_uid: the uid of the Node object.
    """
    lease: Object = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
    }
    if owner_uid:
        lease["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": owner_uid}]
    return lease
