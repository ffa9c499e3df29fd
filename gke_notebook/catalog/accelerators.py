"""The accelerators of GKE: short names, node labels, memory, and how many one node can hold.

Facts: GKE's own autoscaler (GoogleCloudPlatform/cluster-autoscaler, 2026-08-21) and AI-Hypercomputer/xpk (2026-06-25).
A label is both the node label `cloud.google.com/gke-accelerator` and the accelerator type of a node pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from gke_notebook.catalog.tables import rows
from gke_notebook.catalog.tpus import find_tpu, normal
from gke_notebook.errors import InvalidInput, nearest


@dataclass(frozen=True)
class Accelerator:
    """One type of GPU.

    Args:
        name: the short name users write, for example ``l4``.
        label: the value of the node label, for example ``nvidia-l4``.
        title: the name shown to people.
        memory_gib: memory of one accelerator in GiB, None when no source states it.
        counts: how many one node can hold, ascending.
        machine_types: names of the machine types that carry it, smallest first.
        aliases: other spellings that are understood.
        architecture: of its nodes' CPUs, ``amd64`` or ``arm64``; images must be built for it.
        attach: for GPUs attached to N1 machines: pairs of a count and the most vCPUs allowed with it.
        generation: NVIDIA's name of the architecture, for example ``hopper``.
        resource: the name of the pod resource.
    """

    name: str
    label: str
    title: str
    memory_gib: int | None
    counts: tuple[int, ...]
    machine_types: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    architecture: str = "amd64"
    attach: tuple[tuple[int, int], ...] = ()
    generation: str = ""
    resource: str = "nvidia.com/gpu"


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """Give every GPU type of GKE, cheapest generation first."""
    return tuple(_accelerator(row) for row in rows("accelerators"))


def accelerator(name: str) -> Accelerator:
    """Find an accelerator by what a user wrote: its short name, an alias or its node label, in any case.

    Args:
        name: for example ``l4``, ``H100`` or ``nvidia-tesla-t4``.

    Raises:
        InvalidInput: there is none of this name; the text has the nearest choice.

    Example:
        >>> accelerator("A100-80GB").label
        'nvidia-a100-80gb'
    """
    word = normal(name)
    found = _by_name().get(word)
    if found is not None:
        return found
    names = [known.name for known in accelerators()]
    family = find_tpu(name)
    if family is not None:
        raise InvalidInput(
            f"{name!r} is a TPU, asked for with --tpu TYPE:TOPOLOGY, for example --tpu {family.name}:"
            f"{'2x2' if family.dimensions == 2 else '2x2x1'}; GPU types are: {', '.join(names)}"
        )
    raise InvalidInput(f"there is no accelerator {name!r}; {nearest(word, names)}")


def by_label(label: str) -> Accelerator | None:
    """Find an accelerator by the value of the node label `cloud.google.com/gke-accelerator`.

    Args:
        label: for example ``nvidia-l4``; of a label this catalog does not know, None comes back.
    """
    return next((known for known in accelerators() if known.label == label), None)


@cache
def _by_name() -> dict[str, Accelerator]:
    return {word: known for known in accelerators() for word in (*known.aliases, known.label, known.name)}


def _accelerator(row: dict[str, str]) -> Accelerator:
    label = row["label"]
    attach = tuple((int(count), int(vcpus)) for count, vcpus in (pair.split(":") for pair in row["attach"].split()))
    carriers = [machine for machine in rows("machines") if machine["accelerator"] == label]
    if attach:
        most = max(vcpus for _, vcpus in attach)
        carriers = [m for m in rows("machines") if m["note"] == "attach" and int(m["vcpus"]) <= most]
    counts = {count for count, _ in attach} or {max(1, int(float(m["accelerator_count"]))) for m in carriers}
    carriers.sort(key=lambda m: (float(m["accelerator_count"]), int(m["vcpus"])))
    return Accelerator(
        name=row["name"],
        label=label,
        title=row["title"],
        memory_gib=int(row["memory_gib"]) if row["memory_gib"] else None,
        counts=tuple(sorted(counts)),
        machine_types=tuple(machine["machine_type"] for machine in carriers),
        aliases=tuple(row["aliases"].split()),
        architecture=row["architecture"],
        attach=attach,
        generation=row["generation"],
    )
