"""The machine types of Compute Engine that GKE nodes are made of, and what is left on them for pods.

Facts: Cyclenerd/google-cloud-pricing-cost-calculator (2026-07-30) for vCPUs and memory, GKE's own autoscaler
(GoogleCloudPlatform/cluster-autoscaler, 2026-08-21) for which shapes are chosen only by name; E2 shapes: Compute Engine
documentation, "General-purpose machine family". Local SSDs, boot disks and compact placement: the same autoscaler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from gke_notebook.catalog.accelerators import Accelerator, accelerator, accelerators
from gke_notebook.catalog.tables import rows
from gke_notebook.errors import InvalidInput, nearest


@dataclass(frozen=True)
class MachineType:
    """One machine type, with what is attached to it.

    Args:
        name: for example ``g2-standard-8``.
        vcpus: virtual CPUs.
        memory_gib: memory in GiB.
        accelerator: the node label's value, empty for a machine without accelerators.
        accelerator_count: accelerators on it, as a pod's resource counts them.
        fraction: the part of one GPU it has; 1 except for the smallest G4 shapes, which share one GPU's memory.
        explicit: whether it is chosen only when it is named.
        local_ssds: local SSDs that always come with it, of 375 GB each.
        optional_local_ssds: how many local SSDs may be added, empty for none.
        boot_disk: the type of boot disk to ask for.
        compact_nodes: how many can stand in one compact placement, None where that is not offered.
    """

    name: str
    vcpus: int
    memory_gib: float
    accelerator: str = ""
    accelerator_count: int = 0
    fraction: float = 1.0
    explicit: bool = False
    local_ssds: int = 0
    optional_local_ssds: tuple[int, ...] = ()
    boot_disk: str = "pd-balanced"
    compact_nodes: int | None = None


@cache
def machine_types() -> tuple[MachineType, ...]:
    """Give every known machine type, as it is without GPUs attached by hand, smallest first within its family."""
    return tuple(_machine(row) for row in rows("machines"))


def machine_type(name: str) -> MachineType:
    """Find a machine type by its name.

    Args:
        name: for example ``g2-standard-8``.

    Raises:
        InvalidInput: it is not known; the text has the nearest choice.
    """
    known = _by_name()
    if name not in known:
        raise InvalidInput(f"there is no machine type {name!r} in the catalog; {nearest(name, known)}")
    return known[name]


@cache
def _by_name() -> dict[str, MachineType]:
    return {machine.name: machine for machine in machine_types()}


def machine_for(
    accelerator_type: str | Accelerator | None, count: int = 0, cpu: float = 0.0, memory_gib: float = 0.0
) -> MachineType | None:
    """Find the smallest machine type that holds one pod.

    A machine has exactly as many accelerators as asked for; a larger one would bill for idle accelerators. What GKE
    keeps for itself on every node is taken off first.

    Args:
        accelerator_type: a name for `accelerator`, or the Accelerator, None for a CPU machine.
        count: accelerators per node; 0 only without an accelerator.
        cpu: CPUs requested by the pod.
        memory_gib: memory requested by the pod in GiB.

    Returns:
        The machine, or None when no machine type holds it.

    Raises:
        InvalidInput: the accelerator does not exist, or no machine carries `count` of it.

    Example:
        >>> machine_for("l4", 1, cpu=6, memory_gib=20).name
        'g2-standard-8'
    """
    if accelerator_type is None:
        choices = [machine for machine in machine_types() if not machine.accelerator and not machine.explicit]
    else:
        found = accelerator(accelerator_type) if isinstance(accelerator_type, str) else accelerator_type
        if count not in found.counts:
            counts = ", ".join(map(str, found.counts))
            near = min(found.counts, key=lambda number: (abs(number - count), -number))
            raise InvalidInput(
                f"no machine has {count} x {found.title}; a node can have: {counts}; "
                f"the nearest is --gpu {found.name}:{near}"
            )
        choices = [
            machine for machine in _carriers(found) if machine.accelerator_count == count and not machine.explicit
        ]
    fitting = [machine for machine in choices if _holds(machine, cpu, memory_gib)]
    return min(fitting, key=lambda machine: (machine.vcpus, machine.memory_gib), default=None)


def allocatable(machine: MachineType) -> tuple[float, float]:
    """Say what GKE leaves for pods on a machine: CPUs and GiB of memory.

    Source: GKE documentation, "Plan GKE Standard node sizes": of memory 25 % of the first 4 GiB, 20 % of the next 4,
    10 % of the next 8, 6 % of the next 112 and 2 % of the rest are kept, and 100 MiB for eviction; of CPUs 6 % of the
    first, 1 % of the second, 0.5 % of the next two and 0.25 % of the rest.

    Args:
        machine: the machine type.
    """
    memory = (
        _kept(machine.memory_gib, ((4, 0.25), (4, 0.20), (8, 0.10), (112, 0.06), (float("inf"), 0.02))) + 100 / 1024
    )
    cpus = _kept(machine.vcpus, ((1, 0.06), (1, 0.01), (2, 0.005), (float("inf"), 0.0025)))
    return machine.vcpus - cpus, machine.memory_gib - memory


def _kept(amount: float, steps: tuple[tuple[float, float], ...]) -> float:
    kept = 0.0
    for size, share in steps:
        kept += min(amount, size) * share
        amount = max(0.0, amount - size)
    return kept


def _holds(machine: MachineType, cpu: float, memory_gib: float) -> bool:
    cpus, memory = allocatable(machine)
    return cpu <= cpus and memory_gib <= memory


def _carriers(wanted: Accelerator) -> list[MachineType]:
    if not wanted.attach:
        return [machine for machine in machine_types() if machine.accelerator == wanted.label]
    return [
        replace(machine, accelerator=wanted.label, accelerator_count=count)
        for machine in machine_types()
        if machine.name.startswith("n1-")
        for count, most in wanted.attach
        if machine.vcpus <= most
    ]


@cache
def family(machine: str) -> dict[str, str]:
    """Give what all machines of a family share, as `data/families.csv` has it: of the longest prefix that fits.

    Args:
        machine: the machine type's name.

    Raises:
        InvalidInput: the family is not known.
    """
    fitting = [row for row in rows("families") if machine.startswith(row["prefix"])]
    if not fitting:
        known = [row["prefix"].rstrip("-") for row in rows("families")]
        raise InvalidInput(f"there is no machine family of {machine!r} in the catalog; {nearest(machine, known)}")
    return max(fitting, key=lambda row: len(row["prefix"]))


def _machine(row: dict[str, str]) -> MachineType:
    count = float(row["accelerator_count"])
    return MachineType(
        name=row["machine_type"],
        vcpus=int(row["vcpus"]),
        memory_gib=float(row["memory_gib"]),
        accelerator=row["accelerator"],
        accelerator_count=max(1, int(count)) if row["accelerator"] else 0,
        fraction=count if 0 < count < 1 else 1.0,
        explicit=row["note"] == "explicit",
        local_ssds=int(row["ssd_disks"]),
        optional_local_ssds=tuple(int(number) for number in row["optional_ssd_disks"].split()),
        boot_disk=family(row["machine_type"])["boot_disk"],
        compact_nodes=int(family(row["machine_type"])["compact_nodes"] or 0) or None,
    )


def attached(machine: str, accelerator_label: str, count: int) -> MachineType:
    """Give an N1 machine with GPUs attached, as a node's labels describe it.

    Args:
        machine: for example ``n1-standard-8``.
        accelerator_label: for example ``nvidia-tesla-t4``; empty for none.
        count: how many.

    Raises:
        InvalidInput: the machine type is not known.
    """
    plain = machine_type(machine)
    known = {one.label for one in accelerators() if one.attach}
    if plain.accelerator or accelerator_label not in known:
        return plain
    return replace(plain, accelerator=accelerator_label, accelerator_count=count)
