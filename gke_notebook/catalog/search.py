"""Finding accelerators by words, and summing up what was found: one row for each type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from gke_notebook.catalog.accelerators import Accelerator, accelerators
from gke_notebook.catalog.offers import Offer, offers
from gke_notebook.catalog.prices import region_of
from gke_notebook.catalog.provisioning import PROVISIONING
from gke_notebook.catalog.tpus import Tpu, find_tpu, normal, tpus
from gke_notebook.errors import InvalidInput, nearest


@dataclass(frozen=True)
class Summary:
    """What is offered of one type of accelerator.

    Args:
        name: its short name.
        title: the name shown to people.
        kind: ``gpu`` or ``tpu``.
        memory_gib: memory of one, None when no source states it.
        counts: how many one machine has, ascending; a part of one for the smallest G4 shapes.
        machine_types: the machines, fewest accelerators first.
        on_demand: the lowest and the highest price of a machine in USD per hour, None without any; so too the others.
        spot: as spot.
        each: the lowest price of one accelerator with its part of the machine, on demand or as spot, in USD per hour.
        regions: where, empty when no source says.
        zones: the zones there.
        models: the provisioning models, of any of its machines.
        source_date: from when the oldest price is.
        stale: whether it is older than 180 days.
    """

    name: str
    title: str
    kind: str
    memory_gib: float | None
    counts: tuple[float, ...]
    machine_types: tuple[str, ...]
    on_demand: tuple[float, float] | None
    spot: tuple[float, float] | None
    each: float | None
    regions: tuple[str, ...]
    zones: tuple[str, ...]
    models: tuple[str, ...]
    source_date: date | None
    stale: bool


SORTS: dict[str, Callable[[Summary], float | str]] = {
    "name": lambda one: one.name,
    "memory": lambda one: one.memory_gib or 0.0,
    "price": lambda one: one.on_demand[0] if one.on_demand else float("inf"),
    "spot": lambda one: one.spot[0] if one.spot else float("inf"),
    "each": lambda one: one.each if one.each is not None else float("inf"),
}


def find(words: Iterable[str]) -> tuple[str, ...]:
    """Find types of accelerators by words: names, aliases, families, machine types, ``gpu`` or ``tpu``.

    Args:
        words: any of them; a type matches when one word does. Without words, all types match.

    Returns:
        Short names, in the order of the catalog.

    Raises:
        InvalidInput: a word matches nothing; the text has the nearest one.

    Example:
        >>> find(["h100"]), find(["trillium"])
        (('h100', 'h100-mega'), ('v6e',))
    """
    kinds: tuple[Accelerator | Tpu, ...] = (*accelerators(), *tpus())
    wanted = [normal(word) for word in words]
    if not wanted:
        return tuple(kind.name for kind in kinds)
    found: set[str] = set()
    for word in wanted:
        matching = {kind.name for kind in kinds if _matches(kind, word)}
        sized = find_tpu(word)
        if not matching and sized is not None:
            matching = {sized.name}
        if not matching:
            known = sorted({text for kind in kinds for text in _texts(kind)} - {""})
            raise InvalidInput(f"no accelerator matches {word!r}; {_nearest(word, known, kinds)}")
        found |= matching
    return tuple(kind.name for kind in kinds if kind.name in found)


def summarise(found: Iterable[Offer], sort: str = "") -> tuple[Summary, ...]:
    """Sum up offers, one row for each type of accelerator.

    Args:
        found: the offers.
        sort: one of `SORTS`, with a dash before it for the opposite order; the catalog's order when empty.

    Raises:
        InvalidInput: there is no such order; the text has those there are.
    """
    by_name: dict[str, list[Offer]] = {}
    for offer in found:
        by_name.setdefault(offer.name, []).append(offer)
    rows = [_summary(group) for group in by_name.values()]
    if sort:
        rows.sort(key=sort_key(sort), reverse=sort.startswith("-"))
    return tuple(rows)


def sort_key(sort: str) -> Callable[[Summary], float | str]:
    """Give the key of an order.

    Args:
        sort: one of `SORTS`, with or without a dash before it.

    Raises:
        InvalidInput: there is no such order; the text has those there are.
    """
    name = sort.removeprefix("-")
    if name not in SORTS:
        raise InvalidInput(f"there is no column {name!r} to sort by; {nearest(name, SORTS)}")
    return SORTS[name]


def nothing(
    types: Sequence[str], *, location: str, memory_gib: float | None, max_price: float | None, spot: bool
) -> str:
    """Say what comes nearest where nothing is offered.

    Args:
        types: the types that were wanted.
        location: where.
        memory_gib: the least memory that was wanted.
        max_price: the highest price.
        spot: whether as spot.
    """
    names = ", ".join(types) if len(types) <= 4 else "these accelerators"
    somewhere = offers(types=types)
    if location:
        known = sorted({offer.region for offer in offers()} - {""})
        if region_of(location) not in known:
            return f"the price list has no accelerators in {location!r}; {nearest(region_of(location), known)}"
        here = offers(types=types, location=location)
        if not here:
            places = sorted({zone for offer in somewhere for zone in (offer.zones or (offer.region,))} - {""})
            said = f"it is in {', '.join(places[:6])}{' ...' if len(places) > 6 else ''}"
            return f"there is no {names} in {location}; {said if places else 'no source says where it is'}"
    fitting = offers(types=types, location=location, memory_gib=memory_gib)
    if not fitting:
        largest = max(offers(types=types, location=location), key=lambda offer: offer.accelerator_memory_gib or 0)
        return (
            f"no machine with {names} has {memory_gib:.0f} GiB of accelerator memory; the largest is "
            f"{largest.machine_type} with {largest.accelerator_memory_gib:g} GiB"
        )
    priced = [offer for offer in fitting if (offer.spot if spot else offer.cheapest) is not None]
    if not priced:
        what = "a spot price" if spot else "a price"
        return f"no source has {what} of {names}{f' in {location}' if location else ''}"
    cheapest = min(priced, key=lambda offer: (offer.spot if spot else offer.cheapest) or 0.0)
    usd = cheapest.spot if spot else cheapest.cheapest
    kind = "on demand" if usd == cheapest.on_demand else "as spot" if usd == cheapest.spot else "as flex-start"
    return (
        f"nothing for {max_price:g} USD/h; the cheapest is {cheapest.machine_type} with {_share(cheapest.count)} x "
        f"{cheapest.name} at {usd:.2f} USD/h {kind} in {cheapest.region}"
    )


def _share(count: float) -> str:
    return f"1/{round(1 / count)}" if 0 < count < 1 else f"{count:g}"


def _summary(group: Sequence[Offer]) -> Summary:
    first = group[0]
    each = [amount / offer.count for offer in group for amount in (offer.on_demand, offer.spot) if amount is not None]
    models = {model for offer in group for model in offer.models}
    # Where some machines have a price, those without one would only be in the way.
    ordered = sorted(group, key=lambda offer: (not offer.region, offer.count, offer.vcpus))
    listed = [offer for offer in ordered if offer.region] or ordered
    return Summary(
        name=first.name,
        title=first.title,
        kind=first.kind,
        memory_gib=None if first.accelerator_memory_gib is None else first.accelerator_memory_gib / first.count,
        counts=tuple(sorted({offer.count for offer in group})),
        machine_types=tuple(dict.fromkeys(offer.machine_type for offer in listed)),
        on_demand=_range(offer.on_demand for offer in group),
        spot=_range(offer.spot for offer in group),
        each=min(each, default=None),
        regions=tuple(dict.fromkeys(offer.region for offer in group if offer.region)),
        zones=tuple(dict.fromkeys(zone for offer in group for zone in offer.zones)),
        models=tuple(model for model in PROVISIONING if model in models),
        source_date=min((offer.source_date for offer in group if offer.source_date), default=None),
        stale=any(offer.stale for offer in group),
    )


def _range(amounts: Iterable[float | None]) -> tuple[float, float] | None:
    known = [amount for amount in amounts if amount is not None]
    return (min(known), max(known)) if known else None


def _matches(kind: Accelerator | Tpu, word: str) -> bool:
    # A word matches from the start of a part, so that b200 is not gb200 and a100 is both memories of it.
    return any(text == word or text.startswith(f"{word}-") for text in _texts(kind)) or any(
        text.startswith(word) for text in (kind.name, *kind.machine_types)
    )


def _texts(kind: Accelerator | Tpu) -> tuple[str, ...]:
    families = ("tpu", "google") if isinstance(kind, Tpu) else ("gpu", "nvidia", kind.generation)
    title = tuple(re.findall(r"[a-z0-9]+", kind.title.lower()))
    return (kind.name, kind.label, *kind.aliases, *families, *(word for word in title if len(word) > 3))


def _nearest(word: str, known: Sequence[str], kinds: Iterable[Accelerator | Tpu]) -> str:
    said = nearest(word, known)
    return said if said.startswith("did you") else f"choose one of: {', '.join(kind.name for kind in kinds)}"
