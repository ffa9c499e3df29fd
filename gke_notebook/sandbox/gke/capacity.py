"""Which accelerators the sandbox's zones have, and how many: the seeds of its capacity (docs/sandbox.md shows them).

Where a type exists is the catalog's knowledge (`catalog.zones`); how many there are is made up, small enough that a
notebook can meet a stockout. Machines without accelerators never run out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from gke_notebook.catalog import MachineType, machine_types, zones
from gke_notebook.catalog.tables import rows
from gke_notebook.sandbox.pools import LOCATION

_DEFAULT = 8
# Accelerators (GPUs or TPU chips) per zone that has the type at all, on demand and spot together.
SEEDS: dict[str, int] = {
    "nvidia-tesla-t4": 8,
    "nvidia-l4": 16,
    "nvidia-tesla-v100": 8,
    "nvidia-tesla-a100": 16,
    "nvidia-a100-80gb": 8,
    "nvidia-h100-80gb": 16,
    "nvidia-h100-mega-80gb": 16,
    "nvidia-h200-141gb": 8,
    "nvidia-b200": 8,
    "nvidia-rtx-pro-6000": 8,
    "tpu-v5-lite-podslice": 64,
    "tpu-v5p-slice": 64,
    "tpu-v6e-slice": 64,
}
_LETTERS = {LOCATION: "abcf"}
# The price table does not say in which zones these are: the sandbox has them here.
_UNLISTED = {"nvidia-rtx-pro-6000": (f"{LOCATION}-b",)}
_ATTACHED = "n1-attached-gpu-only"


@cache
def regions() -> tuple[str, ...]:
    """Name the regions: those of the price table."""
    return tuple(sorted({row["region"] for row in rows("prices") if row["region"]}))


@cache
def zones_of(region: str) -> tuple[str, ...]:
    """Name the zones of a region.

    Args:
        region: for example ``us-central1``.
    """
    seen = {row["zone"] for row in rows("prices") if row["region"] == region and row["zone"]}
    seen.update(f"{region}-{letter}" for letter in _LETTERS.get(region, "" if seen else "abc"))
    return tuple(sorted(seen))


@cache
def region_of(zone: str) -> str:
    """Give a zone's region, empty when there is no such zone.

    Args:
        zone: for example ``us-central1-a``.
    """
    region = zone.rpartition("-")[0]
    return region if region in regions() and zone in zones_of(region) else ""


@cache
def accelerators_in(zone: str) -> tuple[str, ...]:
    """Name the accelerators that a zone has: GPU types and TPU label values.

    Args:
        zone: for example ``us-central1-a``.
    """
    listed = {row["accelerator"] for row in rows("prices") if row["zone"] == zone and row["accelerator"]}
    return tuple(sorted(listed | {label for label, where in _UNLISTED.items() if zone in where}))


@cache
def machine_types_in(zone: str) -> tuple[MachineType, ...]:
    """Give the machine types that a zone has.

    Args:
        zone: for example ``us-central1-a``.
    """
    return tuple(_in(zone))


def _in(zone: str) -> Iterator[MachineType]:
    region = region_of(zone)
    for machine in machine_types():
        if not machine.accelerator:
            yield machine
        elif machine.accelerator in _UNLISTED:
            if zone in _UNLISTED[machine.accelerator]:
                yield machine
        else:
            listed = zones(machine.name.removesuffix("-nolssd"), region)
            if zone in listed:
                yield machine


def amount(accelerator: str, zone: str) -> int:
    """Say how many accelerators of a type a zone has.

    Args:
        accelerator: the GPU type or the TPU label value.
        zone: for example ``us-central1-a``.
    """
    return SEEDS.get(accelerator, _DEFAULT) if accelerator in accelerators_in(zone) else 0
