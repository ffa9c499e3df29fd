"""What can be had, as rows: an accelerator on a machine type in a region, with what it costs there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from gke_notebook.catalog.accelerators import Accelerator, accelerators
from gke_notebook.catalog.machines import MachineType, machine_type
from gke_notebook.catalog.prices import committed, price, rate, region_of, regions, zones
from gke_notebook.catalog.provisioning import models
from gke_notebook.catalog.tpus import Tpu, tpus


@dataclass(frozen=True)
class Offer:
    """One machine with accelerators in one region.

    Args:
        name: the accelerator's short name, for example ``l4`` or ``v5e``.
        title: the name shown to people.
        kind: ``gpu`` or ``tpu``.
        label: the value of the accelerator's node label.
        machine_type: the machine.
        count: accelerators on it; a part of one for the smallest G4 shapes.
        vcpus: its virtual CPUs.
        memory_gib: its memory in GiB.
        accelerator_memory_gib: memory of its accelerators together in GiB, None when no source states it.
        region: where, empty when no source says.
        zones: the zones of the region that have it, empty when no source says.
        on_demand: USD per hour for the machine, None where no source has a credible figure; so too the others.
        spot: as spot.
        flex_start: as flex-start.
        commit_1y: with a commitment of one year.
        commit_3y: with a commitment of three years.
        models: the provisioning models it can be had by.
        source_date: from when the prices are, None without any.
        stale: whether they are older than 180 days.
        basis: what the prices are made of.
        source: who published them.
    """

    name: str
    title: str
    kind: str
    label: str
    machine_type: str
    count: float
    vcpus: int
    memory_gib: float
    accelerator_memory_gib: float | None
    region: str
    zones: tuple[str, ...]
    on_demand: float | None
    spot: float | None
    flex_start: float | None
    commit_1y: float | None
    commit_3y: float | None
    models: frozenset[str]
    source_date: date | None
    stale: bool
    basis: str
    source: str

    @property
    def cheapest(self) -> float | None:
        """The lowest of its prices that need no commitment, in USD per hour."""
        known = [amount for amount in (self.on_demand, self.spot, self.flex_start) if amount is not None]
        return min(known, default=None)


def offers(
    *,
    types: Iterable[str] = (),
    location: str = "",
    memory_gib: float | None = None,
    max_price: float | None = None,
    spot: bool = False,
    today: date | None = None,
) -> tuple[Offer, ...]:
    """Give what can be had, cheapest generation first.

    Args:
        types: short names of accelerators; all when empty.
        location: a region or a zone; everywhere when empty.
        memory_gib: the least memory of a machine's accelerators together, in GiB.
        max_price: the most that a machine may cost, in USD per hour: as spot with `spot`, else by the cheapest way.
        spot: whether only what has a spot price counts.
        today: the day against which the age of prices is measured, for tests.
    """
    wanted = set(types)
    found = []
    kinds: tuple[Accelerator | Tpu, ...] = (*accelerators(), *tpus())
    for kind in kinds:
        if wanted and kind.name not in wanted:
            continue
        for machine, count in carriers(kind):
            for region in _regions(machine, location):
                offer = _offer(kind, machine, count, region, today)
                if location != offer.region and location and offer.zones and location not in offer.zones:
                    continue
                if _matches(offer, memory_gib, max_price, spot):
                    found.append(offer)
    return tuple(found)


def carriers(kind: Accelerator | Tpu) -> Iterator[tuple[MachineType, float]]:
    """Give the machines that carry an accelerator and how many each has; a part of one for the smallest G4 shapes.

    Args:
        kind: the GPU or TPU.
    """
    for name in kind.machine_types:
        machine = machine_type(name)
        attach = kind.attach if isinstance(kind, Accelerator) else ()
        for count, most in attach:
            if machine.vcpus <= most:
                yield replace(machine, accelerator=kind.label, accelerator_count=count), float(count)
        if not attach:
            yield machine, machine.fraction if machine.fraction < 1 else float(machine.accelerator_count)


def why_not_there(machine: MachineType, location: str, *, option: str = "--zone") -> str:
    """Say why a machine cannot be had in a region or a zone, with the nearest one that has it; empty when it can.

    Where the price list does not know the machine, or not its zones, nothing is said: it may be there.

    Args:
        machine: the machine, with the GPUs attached to it.
        location: a region or a zone.
        option: the option that names a place, for the suggestion.

    Example:
        >>> why_not_there(machine_type("ct5p-hightpu-4t"), "us-central1-f")
        'ct5p-hightpu-4t is not in us-central1-f; in us-central1 it is in us-central1-a: --zone us-central1-a'
    """
    region, known = region_of(location), regions(machine)
    here = zones(machine, region)
    if not known or (region in known and (location == region or not here or location in here)):
        return ""
    name = f"{machine.name} with {machine.accelerator}" if machine.name.startswith("n1-") else machine.name
    if region in known:
        return f"{name} is not in {location}; in {region} it is in {', '.join(here)}: {option} {here[0]}"
    near = sorted(known, key=lambda one: (one.split("-")[0] != region.split("-")[0], known.index(one)))
    places = [zone for one in near for zone in (zones(machine, one) or (one,))]
    more = " ..." if len(places) > 5 else ""
    return f"{name} is not in {location}; it is in {', '.join(places[:5])}{more}: {option} {places[0]}"


def _regions(machine: MachineType, location: str) -> tuple[str, ...]:
    known = regions(machine)
    if not location:
        return known or ("",)
    return tuple(region for region in known if region == region_of(location))


def _offer(kind: Accelerator | Tpu, machine: MachineType, count: float, region: str, today: date | None) -> Offer:
    each = kind.hbm_gib if isinstance(kind, Tpu) else kind.memory_gib
    offered = models(machine)
    listed = price(machine, region, today=today)
    by_kind = {word: rate(machine, region, word, today=today) for word in ("on-demand", "spot", "flex-start")}
    commitments = [committed(machine, region, years, today=today) for years in (1, 3)]
    known = [one for one in (*by_kind.values(), *commitments, listed) if one is not None]
    on_demand, spot, flex = (None if one is None else one.usd_hour for one in by_kind.values())
    one_year, three_years = (None if one is None else one.usd_hour for one in commitments)
    return Offer(
        name=kind.name,
        title=kind.title,
        kind="tpu" if isinstance(kind, Tpu) else "gpu",
        label=kind.label,
        machine_type=machine.name,
        count=count,
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        accelerator_memory_gib=None if each is None else each * count,
        region=region,
        zones=zones(machine, region),
        on_demand=on_demand,
        spot=spot,
        flex_start=flex,
        commit_1y=one_year,
        commit_3y=three_years,
        models=offered,
        source_date=min((one.source_date for one in known), default=None),
        stale=any(one.stale for one in known),
        basis=known[0].basis if known else "",
        source=known[0].source if known else "",
    )


def _matches(offer: Offer, memory_gib: float | None, max_price: float | None, spot: bool) -> bool:
    if memory_gib is not None and (offer.accelerator_memory_gib or 0) < memory_gib:
        return False
    if spot and offer.spot is None:
        return False
    if max_price is None:
        return True
    amount = offer.spot if spot else offer.cheapest
    return amount is not None and amount <= max_price
