"""What machine each node of a job is, as far as the catalog says."""

from __future__ import annotations

from gke_notebook import catalog
from gke_notebook.specs import AcceleratorRequest, TpuRequest, TrainSpec


def slice_of(spec: TrainSpec) -> catalog.Topology | None:
    """Give the shape of one TPU slice of a job, None without TPUs.

    Args:
        spec: the job.
    """
    return None if spec.tpu is None else tpu_slice(spec.tpu, spec.machine_type)


def tpu_slice(tpu: TpuRequest, machine_type: str = "") -> catalog.Topology:
    """Give the shape of one slice.

    Args:
        tpu: the slices.
        machine_type: what each host must be, empty for the machine with fewest hosts.

    Raises:
        InvalidInput: there is no such TPU or topology.
    """
    return catalog.topology(catalog.tpu(tpu.type), tpu.topology, machine_type)


def host_of(spec: TrainSpec) -> catalog.MachineType | None:
    """Give the machine that each node of a job is: the one it asks for, else the smallest that holds its pod.

    Args:
        spec: the job.

    Returns:
        The machine, None when the catalog has none that is chosen by itself.
    """
    return host(spec.accelerator, spec.tpu, spec.machine_type, spec.cpu, spec.memory_gib)


def host(
    accelerator: AcceleratorRequest | None, tpu: TpuRequest | None, machine_type: str, cpu: float, memory_gib: float
) -> catalog.MachineType | None:
    """Give the machine of a node; see `host_of`.

    Args:
        accelerator: the GPUs of each node.
        tpu: the TPU slices.
        machine_type: what it must be, empty for any.
        cpu: CPUs of one pod.
        memory_gib: memory of one pod in GiB.
    """
    if tpu is not None:
        return catalog.machine_type(tpu_slice(tpu, machine_type).machine_type)
    if machine_type:
        label, count = "", 0
        if accelerator is not None:
            label, count = catalog.accelerator(accelerator.type).label, accelerator.count
        return catalog.attached(machine_type, label, count)
    if accelerator is None:
        return catalog.machine_for(None, 0, cpu, memory_gib)
    return catalog.machine_for(accelerator.type, accelerator.count, cpu, memory_gib)
