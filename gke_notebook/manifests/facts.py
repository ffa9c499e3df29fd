"""What the manifests of a job need to know of its cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassRule:
    """What one priority of a ComputeClass offers, as far as jobs are matched with it.

    Args:
        gpu: the GPU's label, empty for none.
        gpu_count: GPUs on each node, 0 when it does not say.
        tpu: the TPU's label, empty for none.
        topology: the TPU's topology, empty when it does not say.
        machine_type: the machine type, empty when it does not say.
        spot: whether its machines are spot VMs.
    """

    gpu: str = ""
    gpu_count: int = 0
    tpu: str = ""
    topology: str = ""
    machine_type: str = ""
    spot: bool = False


@dataclass(frozen=True)
class ComputeClass:
    """A ComputeClass of the cluster.

    Args:
        name: its name.
        rules: its priorities in order.
    """

    name: str
    rules: tuple[ClassRule, ...] = ()


@dataclass(frozen=True)
class ClusterFacts:
    """What a cluster is and serves.

    Args:
        autopilot: whether it is an Autopilot cluster, where pods ask and GKE makes the nodes.
        version: major and minor version of Kubernetes, (0, 0) when unknown.
        jobsets: whether it serves JobSets.
        networks: the Network objects of `networking.gke.io` besides the default one, by name.
        compute_classes: its ComputeClasses, None when it has none or we may not see them.
    """

    autopilot: bool = False
    version: tuple[int, int] = (0, 0)
    jobsets: bool = False
    networks: tuple[str, ...] = ()
    compute_classes: tuple[ComputeClass, ...] | None = None


NOTHING_KNOWN = ClusterFacts()
