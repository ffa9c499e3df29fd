"""The TPU generations of GKE: short names, node labels, memory, machine types, and how their names count.

Facts: AI-Hypercomputer/xpk (2026-06-25) for names and topologies; GKE's own autoscaler
(GoogleCloudPlatform/cluster-autoscaler, 2026-08-21) for labels and machine types; dstackai/gpuhunt (2026-08-19) for
HBM.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from gke_notebook.catalog.tables import rows
from gke_notebook.errors import InvalidInput, nearest

TPU_LABEL = "cloud.google.com/gke-tpu-accelerator"
TOPOLOGY_LABEL = "cloud.google.com/gke-tpu-topology"
TPU_RESOURCE = "google.com/tpu"


@dataclass(frozen=True)
class Tpu:
    """One generation of TPUs.

    Args:
        name: the short name users write, for example ``v5e``.
        label: the value of the node label `cloud.google.com/gke-tpu-accelerator`, for example ``tpu-v5-lite-podslice``.
        title: the name shown to people.
        hbm_gib: memory of one chip in GiB, None when no source states it.
        cores_per_chip: TensorCores on one chip.
        dimensions: how many sides a topology has, 2 or 3.
        machine_types: names of the machine types that carry it, fewest chips first.
        slice_machine: the machine type that slices of several hosts are made of.
        max_cubes: for 3D topologies, the largest slice in cubes of 4x4x4 chips; None for 2D.
        any_order: whether the sides of a 3D topology may come in any order; otherwise they do not decrease.
        counts: what the number in a name like ``v5p-8`` counts, ``cores`` or ``chips``.
        workload_policy: whether slices of several hosts are placed by a workload policy, not by compact placement.
        other_labels: further values of the node label that mean this generation.
        aliases: other spellings that are understood.
        resource: the name of the pod resource.
    """

    name: str
    label: str
    title: str
    hbm_gib: int | None
    cores_per_chip: int
    dimensions: int
    machine_types: tuple[str, ...]
    slice_machine: str
    max_cubes: int | None = None
    any_order: bool = False
    counts: str = "chips"
    workload_policy: bool = False
    other_labels: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    resource: str = TPU_RESOURCE


@cache
def tpus() -> tuple[Tpu, ...]:
    """Give every TPU generation of GKE, oldest first."""
    return tuple(_tpu(row) for row in rows("tpus"))


def tpu(name: str) -> Tpu:
    """Find a TPU generation by what a user wrote, in any case.

    It is a short name, an alias, the node label, a machine type, or a name with a size such as ``v5litepod-16`` or
    ``v5e:4x4``, whose size is left aside: `parse_tpu` reads it.

    Args:
        name: for example ``v5e``, ``Trillium``, ``v5litepod-16`` or ``ct5lp-hightpu-4t``.

    Raises:
        InvalidInput: there is none of this name; the text has the nearest choice.

    Example:
        >>> tpu("v5litepod-16").label
        'tpu-v5-lite-podslice'
    """
    found = find_tpu(name)
    if found is None:
        raise InvalidInput(f"there is no TPU {name!r}; {nearest(normal(name), [known.name for known in tpus()])}")
    return found


def find_tpu(name: str) -> Tpu | None:
    """Find a TPU generation as `tpu` does; None when there is none.

    Args:
        name: what a user wrote.
    """
    word = normal(name)
    known = _by_name()
    if word in known:
        return known[word]
    head = word.split(":")[0]
    if head in known:
        return known[head]
    match = re.fullmatch(r"(.+?)-(?:\d+|\d+x[\dx]*)", head)
    return known.get(match[1]) if match else None


def tpu_by_label(label: str) -> Tpu | None:
    """Find a TPU generation by the value of the node label `cloud.google.com/gke-tpu-accelerator`.

    Args:
        label: for example ``tpu-v5-lite-podslice``; of a label this catalog does not know, None comes back.
    """
    return next((known for known in tpus() if label == known.label or label in known.other_labels), None)


def tpu_names() -> tuple[str, ...]:
    """Give the short names of the TPU generations."""
    return tuple(known.name for known in tpus())


def normal(name: str) -> str:
    """Give a name as the catalog compares it: small letters, dashes for blanks and underscores.

    Args:
        name: what a user wrote.
    """
    return name.strip().lower().replace("_", "-").replace(" ", "-")


@cache
def _by_name() -> dict[str, Tpu]:
    return {
        word: known
        for known in tpus()
        for word in (*known.machine_types, *known.aliases, *known.other_labels, known.label, known.name)
    }


def _tpu(row: dict[str, str]) -> Tpu:
    carriers = [machine for machine in rows("machines") if machine["accelerator"] == row["label"]]
    carriers.sort(key=lambda machine: (int(machine["accelerator_count"]), machine["note"], machine["machine_type"]))
    return Tpu(
        name=row["name"],
        label=row["label"],
        title=row["title"],
        hbm_gib=int(row["hbm_gib"]) if row["hbm_gib"] else None,
        cores_per_chip=int(row["cores"]),
        dimensions=int(row["dimensions"]),
        machine_types=tuple(machine["machine_type"] for machine in carriers),
        slice_machine=row["slice_machine"],
        max_cubes=int(row["cubes"]) if row["cubes"] else None,
        any_order=row["any_order"] == "yes",
        counts=row["counts"],
        workload_policy=row["workload_policy"] == "yes",
        other_labels=tuple(row["other_labels"].split()),
        aliases=tuple(row["aliases"].split()),
    )
