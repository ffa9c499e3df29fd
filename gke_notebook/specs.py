"""What a user asks for, as plain frozen data; no I/O and nothing of Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Framework = Literal["none", "torch", "jax", "tensorflow"]
FRAMEWORKS: tuple[str, ...] = get_args(Framework)
Provisioning = Literal["", "on-demand", "spot", "flex-start", "reservation"]
PROVISIONING: tuple[str, ...] = tuple(filter(None, get_args(Provisioning)))


@dataclass(frozen=True)
class AcceleratorRequest:
    """So many accelerators of one type on each node.

    Args:
        type: the short name in the catalog, for example ``l4``.
        count: accelerators per node.
    """

    type: str
    count: int = 1


@dataclass(frozen=True)
class TpuRequest:
    """TPU slices; each host of each slice is one node of the job.

    Args:
        type: the short name in the catalog, for example ``v5e``.
        topology: the shape of one slice, for example ``4x4``.
        slices: how many slices.
    """

    type: str
    topology: str
    slices: int = 1


@dataclass(frozen=True)
class ShippedName:
    """One name of the notebook that travels with the cell.

    Args:
        name: the name as the cell uses it.
        kind: what it is.
        source: the Python source that defines it in the job.
        size: bytes of that source.
    """

    name: str
    kind: Literal["import", "function", "class", "value"]
    source: str

    @property
    def size(self) -> int:
        """How many bytes travel for it."""
        return len(self.source.encode())


@dataclass(frozen=True)
class ShippedFile:
    """One file that travels with the cell.

    Args:
        path: where it will lie, relative to the job's working directory, with forward slashes.
        content: its bytes.
        mode: its permission bits.
    """

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True)
class Program:
    """A cell made into a program: everything that is shipped.

    Args:
        cell: the cell's source. Its first line stands for the magic line, so that line numbers are those of the cell.
        names: what travels from the notebook, in the order in which it must be defined.
        files: included files.
        requirements: requirement specifiers for pip.
    """

    cell: str
    names: tuple[ShippedName, ...] = ()
    files: tuple[ShippedFile, ...] = ()
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainSpec:
    """A training job as the user asked for it, checked and complete.

    Args:
        name: the job's name, a DNS label of RFC 1035.
        program: what runs in every rank.
        namespace: where it runs.
        run: the id of this run, unique per submission.
        owner: who submitted it, as a label value.
        nodes: how many nodes (pods).
        procs_per_node: processes (ranks) on each node.
        framework: whose rendezvous is wired.
        accelerator: what each node holds, None for CPU only.
        image: the container image.
        env: environment variables for every rank.
        cpu: CPUs requested per node, in cores.
        memory_gib: memory requested per node, in GiB.
        max_duration: seconds after which the job is stopped, None for no limit.
        max_retries: how often each node may be started again after a failure.
        price_usd_hour: the planned price of the whole job in USD/hour, None when unknown.
        tpu: the TPU slices it runs on; `nodes` are their hosts. Never together with `accelerator`.
        provisioning: how its machines are had: one of `PROVISIONING`, empty for any way.
        reservation: the name of the reservation they come from, empty for none.
        zone: the zone they must be in, empty for any.
        machine_type: the machine type they must be, empty for any that fits.
        compute_class: the ComputeClass that decides how they are had, empty for none.
    """

    name: str
    program: Program
    namespace: str
    run: str
    owner: str
    nodes: int = 1
    procs_per_node: int = 1
    framework: Framework = "none"
    accelerator: AcceleratorRequest | None = None
    image: str = ""
    env: tuple[tuple[str, str], ...] = ()
    cpu: float = 1.0
    memory_gib: float = 2.0
    max_duration: int | None = None
    max_retries: int = 0
    price_usd_hour: float | None = None
    tpu: TpuRequest | None = None
    provisioning: Provisioning = ""
    reservation: str = ""
    zone: str = ""
    machine_type: str = ""
    compute_class: str = ""

    @property
    def ranks(self) -> int:
        """How many processes run in all."""
        return self.nodes * self.procs_per_node

    @property
    def slices(self) -> int:
        """How many TPU slices; 1 without TPUs."""
        return self.tpu.slices if self.tpu is not None else 1

    @property
    def attempts(self) -> int:
        """How often the whole job may run, each time as long as `max_duration`; a Job's nodes share one limit."""
        return self.max_retries + 1 if self.slices > 1 else 1

    @property
    def nodes_per_slice(self) -> int:
        """How many nodes each slice has."""
        return self.nodes // self.slices


@dataclass(frozen=True)
class NodeTaint:
    """What keeps pods without the toleration off the nodes of a pool.

    Args:
        key: its name.
        value: its value, may be empty.
        effect: ``NoSchedule``, ``PreferNoSchedule`` or ``NoExecute``.
    """

    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class NodePoolSpec:
    """A node pool as the user asked for it, checked and complete.

    Args:
        name: the pool's name.
        machine_type: the Compute Engine machine type.
        owner: who made it, as a label value.
        lease_until: when its lease is over, in seconds since 1970.
        gpu: the GPUs of each node, None without.
        tpu: the TPU slice that the pool is, or the generation of its single hosts; None without.
        hosts: for a TPU slice of several hosts, how many nodes it has; 0 for any other pool.
        provisioning: ``on-demand``, ``spot``, ``flex-start`` or ``reservation``.
        reservation: the reservation's name, or ``any``; empty without one.
        reservation_project: the project of a shared reservation, empty for the cluster's own.
        zones: where its nodes may be; empty leaves it to the cluster.
        nodes: how many nodes it has from the start, in all zones together.
        autoscaling: whether its size follows the pods that wait.
        min_nodes: the fewest nodes of an autoscaled pool, in total or per zone.
        max_nodes: the most nodes of an autoscaled pool, in total or per zone.
        per_zone: whether the limits hold for each zone.
        compact: whether its nodes stand close together.
        workload_policy: the name of the resource policy that places a slice of this generation, empty for none.
        driver: the GPU driver: ``latest``, ``default`` or ``disabled``; empty without GPUs.
        sharing: ``time-sharing``, ``mps`` or empty.
        clients: how many share one GPU; 1 when it is not shared.
        partition: the MIG partition, empty for whole GPUs.
        secure_boot: whether nodes start only signed software.
        workload_metadata: ``gke`` or ``gce``.
        labels: labels of its nodes.
        taints: taints of its nodes.
        disk_type: the boot disk's type.
        disk_gb: the boot disk's size in GB.
        local_ssds: local SSDs for the pods' temporary files, 0 for those that the machine brings.
        image_streaming: whether containers start before their image is there as a whole.
        gvnic: whether nodes have Google's virtual network card.
        max_run_seconds: how long a machine may run, None for no limit.
        queued: whether nodes come only for a ProvisioningRequest.
    """

    name: str
    machine_type: str
    owner: str
    lease_until: int
    gpu: AcceleratorRequest | None = None
    tpu: TpuRequest | None = None
    hosts: int = 0
    provisioning: Provisioning = "on-demand"
    reservation: str = ""
    reservation_project: str = ""
    zones: tuple[str, ...] = ()
    nodes: int = 0
    autoscaling: bool = True
    min_nodes: int = 0
    max_nodes: int = 1
    per_zone: bool = False
    compact: bool = False
    workload_policy: str = ""
    driver: str = ""
    sharing: str = ""
    clients: int = 1
    partition: str = ""
    secure_boot: bool = True
    workload_metadata: str = "gke"
    labels: tuple[tuple[str, str], ...] = ()
    taints: tuple[NodeTaint, ...] = ()
    disk_type: str = "pd-balanced"
    disk_gb: int = 100
    local_ssds: int = 0
    image_streaming: bool = True
    gvnic: bool = True
    max_run_seconds: int | None = None
    queued: bool = False
