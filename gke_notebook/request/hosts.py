"""The nodes of a job: how many, what each holds, how and where they are had; one checked whole out of many options."""

from __future__ import annotations

from dataclasses import dataclass

from gke_notebook.errors import InvalidInput
from gke_notebook.manifests import hosts
from gke_notebook.request import defaults, parse, quantities, shape
from gke_notebook.specs import AcceleratorRequest, TpuRequest


@dataclass(frozen=True)
class Hosts:
    """The nodes of a job.

    Args:
        nodes: how many.
        procs_per_node: ranks on each.
        accelerator: the GPUs of each.
        tpu: the TPU slices that they make up.
        cpu: CPUs of each pod.
        memory_gib: memory of each pod in GiB.
        provision: how they are had.
        zone: where, empty for anywhere.
        machine_type: what they must be, empty for anything that fits.
        compute_class: the ComputeClass that decides, empty for none.
    """

    nodes: int
    procs_per_node: int
    accelerator: AcceleratorRequest | None
    tpu: TpuRequest | None
    cpu: float
    memory_gib: float
    provision: shape.Provision
    zone: str
    machine_type: str
    compute_class: str


def read_hosts(
    name: str,
    *,
    gpu: object,
    tpu: object,
    nodes: object,
    procs_per_node: object,
    framework: str,
    cpu: object,
    memory: object,
    provision: shape.Provision,
    zone: object,
    machine_type: object,
    compute_class: object,
) -> Hosts:
    """Read the options that say which nodes a job has; each as `build_spec` has it.

    Args:
        name: the job's name.
        gpu: GPUs of each node.
        tpu: TPU slices.
        nodes: how many nodes.
        procs_per_node: ranks on each node.
        framework: whose rendezvous is wired, checked.
        cpu: CPUs of each node.
        memory: memory of each node.
        provision: how they are had, checked.
        zone: where.
        machine_type: what they must be.
        compute_class: the ComputeClass that decides.

    Raises:
        InvalidInput: one cannot be read, two contradict each other, or no machine is like that.
    """
    accelerator, found = parse.parse_accelerator(gpu), shape.parse_tpu(tpu)
    if accelerator is not None and found is not None:
        raise InvalidInput("--gpu and --tpu exclude each other: a node has one kind of accelerator; keep one of them")
    slices = None if found is None else found[0]
    machine = shape.parse_machine_type(machine_type, accelerator, slices)
    if found is None:
        count = parse.parse_count(1 if nodes is None else nodes, "--nodes", 1, parse.MAX_NODES)
    else:
        if not machine and found[1] != hosts.tpu_slice(found[0]):
            machine = found[1].machine_type  # written as the type of the TPU
        topology = hosts.tpu_slice(found[0], machine)
        count = shape.tpu_nodes(found[0], topology, nodes)
        shape.check_slices_name(name, found[0].slices, topology.hosts)
    procs = _ranks(procs_per_node, accelerator, slices, framework)
    cpus, memory_gib = defaults.default_resources(accelerator, procs, slices, machine)
    cpus = cpus if cpu is None else quantities.parse_cpu(cpu)
    memory_gib = memory_gib if memory is None else quantities.parse_memory(memory)
    if cpu is not None or memory is not None:
        if accelerator is not None and not machine:
            defaults.check_fits(accelerator, cpus, memory_gib)
        elif machine or slices is not None:
            defaults.check_holds(hosts.host(accelerator, slices, machine, cpus, memory_gib), cpus, memory_gib)
    place, class_name = shape.parse_zone(zone), shape.parse_compute_class(compute_class)
    shape.check_class(class_name, provision, machine)
    shape.check_how(hosts.host(accelerator, slices, machine, cpus, memory_gib), provision, place)
    return Hosts(count, procs, accelerator, slices, cpus, memory_gib, provision, place, machine, class_name)


def _ranks(value: object, accelerator: AcceleratorRequest | None, tpu: TpuRequest | None, framework: str) -> int:
    if value is None:
        return accelerator.count if accelerator is not None and framework != "none" else 1
    procs = parse.parse_count(value, "--procs-per-node", 1, parse.MAX_PROCS_PER_NODE)
    if tpu is not None and procs != 1:
        raise InvalidInput(
            f"--procs-per-node {procs} with --tpu: the chips of a TPU host belong to one process; leave it out"
        )
    return procs
