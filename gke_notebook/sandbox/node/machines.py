"""Node objects of the pretended machines (pure)."""

from __future__ import annotations

import datetime
import hashlib
import platform
from typing import Any

from gke_notebook import names
from gke_notebook._version import __version__
from gke_notebook.sandbox.instances import RUNNING, Instance, Taint
from gke_notebook.sandbox.pools import PROJECT, ZONE, NodePool, node_names

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


def reserved_memory(memory_gib: float) -> int:
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


def is_simulated(instance: Instance) -> bool:
    """Say whether something of this node is pretended that a user could take for real."""
    return bool(instance.accelerator or instance.tpu_accelerator) or not instance.runs_processes


def instances_of(pool: NodePool) -> list[Instance]:
    """Give the machines of a pool that needs no GKE: all of them run.

    Args:
        pool: the pool.
    """
    gpu = (Taint("nvidia.com/gpu", "present", "NoSchedule"),) if pool.accelerator else ()
    return [
        Instance(
            name, pool.name, ZONE, pool.machine_type, pool.vcpus, pool.memory_gib,
            status=RUNNING, booted=True, admitted=True, accelerator=pool.accelerator,
            accelerator_count=pool.accelerator_count, devices=pool.accelerator_count,
            provisioning="spot" if pool.spot else "standard", taints=gpu, max_pods=pool.max_pods,
            labels={"cloud.google.com/gke-gpu-driver-version": "default"} if pool.accelerator else {},
            runs_processes=pool.runs_processes,
        )
        for name in node_names(pool)
    ]  # fmt: skip


def node_labels(instance: Instance) -> dict[str, str]:
    """Give a node's labels: the machine's own, and those of its pool.

    Args:
        instance: the machine.
    """
    architecture = _architecture()
    labels = {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/instance-type": instance.machine_type,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": instance.name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": instance.machine_type,
        "cloud.google.com/gce-machine-type": instance.machine_type,
        "cloud.google.com/gke-nodepool": instance.pool,
        "cloud.google.com/gke-provisioning": instance.provisioning,
        "cloud.google.com/machine-family": instance.machine_type.split("-")[0],
        "cloud.google.com/gke-max-pods-per-node": str(instance.max_pods),
        "topology.kubernetes.io/region": instance.zone.rpartition("-")[0],
        "topology.kubernetes.io/zone": instance.zone,
    }
    if instance.provisioning in ("spot", "preemptible"):
        labels[f"cloud.google.com/gke-{instance.provisioning}"] = "true"
    if instance.accelerator:
        labels["cloud.google.com/gke-accelerator"] = instance.accelerator
        labels["cloud.google.com/gke-accelerator-count"] = str(instance.accelerator_count)
    if instance.tpu_accelerator:
        labels["cloud.google.com/gke-tpu-accelerator"] = instance.tpu_accelerator
        labels["cloud.google.com/gke-tpu-topology"] = instance.tpu_topology
        labels["cloud.google.com/gke-accelerator-count"] = str(instance.accelerator_count)
    labels.update(instance.labels)
    if is_simulated(instance):
        labels[names.SIMULATED] = "true"
    return labels


def node_taints(instance: Instance) -> list[Object]:
    """Give the taints of a node's pool.

    Args:
        instance: the machine.
    """
    return [
        {"key": taint.key, "effect": taint.effect, **({"value": taint.value} if taint.value else {})}
        for taint in instance.taints
    ]


def _architecture() -> str:
    return {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def node_object(instance: Instance, *, port: int, version: str, now: str) -> Object:
    """Make the Node object of one machine, status included.

    Args:
        instance: the machine.
        port: the port of the kubelet's server.
        version: the Kubernetes version it claims.
        now: the time as RFC 3339.
    """
    capacity: dict[str, str] = {
        "cpu": str(instance.vcpus),
        "memory": f"{int(instance.memory_gib * 2**20)}Ki",
        "pods": str(instance.max_pods),
        "ephemeral-storage": f"{_BOOT_DISK_FILESYSTEM // 1024}Ki",
    }
    allocatable = {
        **capacity,
        "cpu": f"{instance.vcpus * 1000 - reserved_cpu(instance.vcpus)}m",
        "memory": f"{int(instance.memory_gib * _GIB - reserved_memory(instance.memory_gib) - 100 * _MIB) // 1024}Ki",
        "ephemeral-storage": str(allocatable_storage()),
    }
    if instance.devices:
        resource = "nvidia.com/gpu" if instance.accelerator else "google.com/tpu"
        capacity[resource] = allocatable[resource] = str(instance.devices)
    metadata: Object = {"name": instance.name, "labels": node_labels(instance)}
    if instance.termination:
        # The name is that of GKE's own autoscaler (GoogleCloudPlatform/cluster-autoscaler, 2026-08-21).
        metadata["annotations"] = {"node.gke.io/machine-termination-datetime": _rfc3339(instance.termination)}
    spec: Object = {"providerID": f"gce://{PROJECT}/{instance.zone}/{instance.name}"}
    taints = node_taints(instance)
    if taints:
        spec["taints"] = taints
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": spec,
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": instance.name},
            ],
            "allocatable": allocatable,
            "capacity": capacity,
            "conditions": node_conditions(now),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "nodeInfo": {
                "architecture": _architecture(),
                "bootID": "",
                "containerRuntimeVersion": f"process://{__version__}",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": version,
                "machineID": hashlib.sha256(instance.name.encode()).hexdigest()[:32],
                "operatingSystem": "linux",
                "osImage": f"gke-notebook sandbox on {platform.system()}",
                "systemUUID": "",
            },
        },
    }


def _rfc3339(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_conditions(now: str, *, shutting_down: bool = False) -> list[Object]:
    """Give the conditions of a healthy node, or of one that shuts down, with the kubelet's reasons and texts.

    Args:
        now: the time as RFC 3339.
        shutting_down: whether the machine has been told to stop.
    """
    healthy = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "False", "KubeletNotReady", "node is shutting down")
        if shutting_down
        else ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
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
