"""From so many chips, or so much memory, to the TPU slices that have them, with their price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gke_notebook.catalog.prices import Price, price, regions, zones
from gke_notebook.catalog.topologies import Topology, topologies
from gke_notebook.catalog.tpus import Tpu, tpu, tpus
from gke_notebook.errors import InvalidInput


@dataclass(frozen=True)
class TpuShape:
    """One TPU slice that fits, at a place.

    Args:
        tpu: the generation.
        topology: the slice.
        region: where the price holds, empty when no source has one.
        zones: the zones of the region that have the machine, empty when no source says.
        on_demand: the list price of one host, None when unknown.
        spot: the spot price of one host, None when unknown.
    """

    tpu: Tpu
    topology: Topology
    region: str
    zones: tuple[str, ...]
    on_demand: Price | None
    spot: Price | None

    @property
    def usd_hour(self) -> float | None:
        """What the whole slice costs on demand, in USD per hour."""
        return None if self.on_demand is None else round(self.on_demand.usd_hour * self.topology.hosts, 5)

    @property
    def spot_usd_hour(self) -> float | None:
        """What the whole slice costs as spot, in USD per hour."""
        return None if self.spot is None else round(self.spot.usd_hour * self.topology.hosts, 5)

    @property
    def hbm_gib(self) -> int | None:
        """Memory of its chips together, in GiB."""
        return None if self.tpu.hbm_gib is None else self.tpu.hbm_gib * self.topology.chips

    @property
    def option(self) -> str:
        """What to write for it."""
        return f"--tpu {self.tpu.name}:{self.topology.text}"


def pick_tpu(
    chips: int | None = None, memory_gib: float | None = None, types: Iterable[str] = (), location: str | None = None
) -> tuple[TpuShape, ...]:
    """Give the smallest slices of each TPU generation with at least so many chips and so much memory, cheapest first.

    Args:
        chips: the least number of chips.
        memory_gib: the least memory of all chips together in GiB; generations of unknown memory are left out.
        types: names for `tpu`; all generations when empty.
        location: a region or a zone; without it each slice is priced where it is cheapest on demand.

    Raises:
        InvalidInput: neither is asked for, a type does not exist, or nothing is large enough or offered there.

    Example:
        >>> [shape.topology.text for shape in pick_tpu(chips=16, types=["v5e"])]
        ['4x4']
    """
    if chips is None and memory_gib is None:
        raise InvalidInput("say how many chips or how much memory is wanted, for example 16 chips")
    if (chips is not None and chips < 1) or (memory_gib is not None and memory_gib <= 0):
        raise InvalidInput(f"{chips if chips is not None else memory_gib} is too few; 1 is the least")
    kinds = tuple(dict.fromkeys(tpu(name) for name in types)) or tpus()
    found = []
    for kind in kinds:
        fitting = [shape for shape in topologies(kind) if _enough(kind, shape, chips, memory_gib)]
        if not fitting:
            continue
        least = fitting[0].chips
        found += [_shape(kind, shape, location or "") for shape in fitting if shape.chips == least]
    there = [shape for shape in found if not location or _is_offered(shape, location)]
    if not there:
        raise InvalidInput(_nothing(kinds, found, chips, memory_gib, location or ""))
    return tuple(sorted(there, key=lambda shape: (shape.usd_hour is None, shape.usd_hour or 0.0, shape.topology.chips)))


def _enough(kind: Tpu, shape: Topology, chips: int | None, memory_gib: float | None) -> bool:
    if chips is not None and shape.chips < chips:
        return False
    return memory_gib is None or (kind.hbm_gib or 0) * shape.chips >= memory_gib


def _shape(kind: Tpu, shape: Topology, location: str) -> TpuShape:
    machine = shape.machine_type
    region = location or _cheapest_region(machine)
    on_demand, spot = price(machine, region), price(machine, region, spot=True)
    known = on_demand or spot
    region = known.region if known else ""
    return TpuShape(kind, shape, region, zones(machine, region), on_demand, spot)


def _cheapest_region(machine: str) -> str:
    known = [found for region in regions(machine) if (found := price(machine, region)) is not None]
    return min(known, key=lambda found: found.usd_hour).region if known else ""


def _is_offered(shape: TpuShape, location: str) -> bool:
    return bool(shape.region) and (location == shape.region or not shape.zones or location in shape.zones)


def _nothing(
    kinds: tuple[Tpu, ...], found: list[TpuShape], chips: int | None, memory_gib: float | None, location: str
) -> str:
    what = f"{chips} chips" if chips is not None else f"{memory_gib:g} GiB"
    names = ", ".join(kind.name for kind in kinds)
    if not found:
        largest, name = max(((topologies(kind)[-1], kind.name) for kind in kinds), key=lambda pair: pair[0].chips)
        return (
            f"no slice of {names} has {what}; the largest is {largest.chips} chips: --tpu {name}:{largest.text}; "
            "more comes as several slices"
        )
    machines = dict.fromkeys(shape.topology.machine_type for shape in found)
    where = sorted({zone for machine in machines for region in regions(machine) for zone in zones(machine, region)})
    said = f"it has them in {', '.join(where)}" if where else "no source says where they are"
    return f"the price list has no slice of {names} with {what} in {location}; {said}"
