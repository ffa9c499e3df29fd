"""The virtual machines of the sandbox as its GKE and its node agent both see them; plain data."""

from __future__ import annotations

import msgspec

PROVISIONING, STAGING, RUNNING, STOPPING = "PROVISIONING", "STAGING", "RUNNING", "STOPPING"

# Why a machine stops.
DELETED = "deleted"  # its group was made smaller, or its pool deleted
PREEMPTED = "preempted"  # Compute Engine took a spot machine back; its group tries to make it again
EXPIRED = "expired"  # its time limit (`maxRunDuration`) is over
REPLACED = "replaced"  # an upgrade makes it again with other settings


class Taint(msgspec.Struct, frozen=True):
    """A taint of a node, in Kubernetes' words (``NoSchedule``, not the API's ``NO_SCHEDULE``)."""

    key: str
    value: str
    effect: str


class Instance(msgspec.Struct, omit_defaults=True):
    """One virtual machine.

    Args:
        name: its name, which is its node's too.
        pool: its node pool.
        zone: where it is.
        machine_type: its machine type.
        vcpus: virtual CPUs.
        memory_gib: memory in GiB.
        status: PROVISIONING, STAGING, RUNNING or STOPPING, as Compute Engine has them.
        booted: whether its kubelet runs, so that it is (or is to be) a Node.
        accelerator: the GPU type, empty without one.
        accelerator_count: GPUs, or chips of a TPU.
        devices: what a pod can request of them: more than there are where GPUs are shared or partitioned.
        tpu_accelerator: the value of the label `cloud.google.com/gke-tpu-accelerator`, empty without a TPU.
        tpu_topology: the topology of its slice.
        provisioning: ``standard``, ``spot``, ``preemptible`` or ``flex-start``.
        reservation: the reservation it uses, empty for none.
        labels: the Kubernetes labels that its pool asks for, and those GKE adds beside the machine's own.
        taints: the taints that its pool asks for, and those GKE adds.
        max_pods: the most pods of its node.
        runs_processes: whether its pods run as local processes; without it they only pretend to.
        stopping: why it stops, empty while it does not.
        termination: when its time limit ends, in seconds since 1970; 0 without one.
        created: when it was asked for, in seconds since 1970.
        error: code and text of the last failure to make it, as its instance group shows them.
        admitted: whether it holds quota and capacity: a machine that could not be had does not.
        generation: which settings of its pool it was made with.
        due: when its next step comes, on the fleet's own clock; None when none is waited for.
    """

    name: str
    pool: str
    zone: str
    machine_type: str
    vcpus: int
    memory_gib: float
    status: str = PROVISIONING
    booted: bool = False
    accelerator: str = ""
    accelerator_count: int = 0
    devices: int = 0
    tpu_accelerator: str = ""
    tpu_topology: str = ""
    provisioning: str = "standard"
    reservation: str = ""
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    max_pods: int = 110
    runs_processes: bool = True
    stopping: str = ""
    termination: float = 0.0
    created: float = 0.0
    error: tuple[str, str] = ("", "")
    admitted: bool = False
    generation: int = 0
    due: float | None = None

    @property
    def spot(self) -> bool:
        """Whether it can be taken back at any time."""
        return self.provisioning in ("spot", "preemptible")


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sandbox's GKE tells the node agent: the answer of ``/sandbox/v1/instances``.

    Args:
        revision: the number to ask with next time.
        instances: every machine there is.
        slow_pull: pairs of an image pattern (as of a shell) and the seconds that its pull takes.
    """

    revision: int
    instances: tuple[Instance, ...]
    slow_pull: tuple[tuple[str, float], ...] = ()
