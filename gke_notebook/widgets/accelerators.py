"""The tables of `%gke_accelerators`: types at a glance, the machines of a few types, the slices of the TPU picker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from gke_notebook.catalog import Offer, TpuShape
from gke_notebook.catalog.search import Summary
from gke_notebook.insight.text import count
from gke_notebook.widgets.view import Markup, View, card, table, tag, text_table

COLUMNS = (
    "name", "title", "kind", "count", "machine_type", "vcpus", "memory_gib", "accelerator_memory_gib", "region",
    "zones", "on_demand_usd_hour", "spot_usd_hour", "flex_start_usd_hour", "commit_1y_usd_hour", "commit_3y_usd_hour",
    "models", "source", "source_date", "stale",
)  # fmt: skip
SLICE_COLUMNS = (
    "name", "topology", "chips", "hosts", "machine_type", "chips_per_host", "hbm_gib", "region", "zones",
    "on_demand_usd_hour", "spot_usd_hour", "source_date", "option",
)  # fmt: skip
_HEADER = (
    "name", "memory", "per node", "machine types", "on demand", "spot", "each from", "where", "how it can be had",
)  # fmt: skip
_MACHINES = ("machine type", "has", "vCPU", "memory", "on demand", "spot", "where")
_SLICES = ("write", "chips", "hosts", "each host", "memory", "on demand", "spot", "where")
_WORDS = {"on-demand": "on demand", "flex-start": "flex", "reservation": "reserved"}
_REMARK = "List prices of whole machines in USD per hour; spot prices change every few weeks;"


def accelerators_view(rows: Sequence[Summary], machines: Sequence[Offer] = (), *, where: str = "") -> View:
    """Give the table of accelerators, with the machines of a few types below it.

    Args:
        rows: the types.
        machines: what is listed machine by machine.
        where: the region or zone that was asked for, empty for everywhere.
    """
    head = _head("ACCELERATORS", f"{count(len(rows), 'type')}{f' in {where}' if where else ''}")
    cells = [_row(row, where) for row in rows]
    parts_text, parts_html = (
        [head[0], text_table(_HEADER, cells)],
        [head[1], table(_HEADER, _marked(cells), cls="gke-tall")],
    )
    if machines:
        listed = list(_machine_rows(machines, where))
        parts_text += ["", text_table(_MACHINES, listed)]
        parts_html.append(table(_MACHINES, _marked(listed), cls="gke-tall"))
    remark = _remark(rows)
    stale = any(row.stale for row in rows)
    parts_text.append(remark)
    parts_html.append(tag("div", remark, cls=f"gke-line {'gke-wait' if stale else 'gke-muted'}"))
    return View("\n".join(parts_text), card(*parts_html))


def slices_view(shapes: Sequence[TpuShape], *, wanted: str, where: str = "") -> View:
    """Give the table of the TPU picker.

    Args:
        shapes: the slices, cheapest first.
        wanted: what was asked for, in words.
        where: the region or zone that was asked for, empty for everywhere.
    """
    head = _head("TPU SLICES", f"{wanted}{f' in {where}' if where else ''}")
    cells = [_slice(shape) for shape in shapes]
    dates = [one.source_date for shape in shapes for one in (shape.on_demand, shape.spot) if one is not None]
    stale = any(one.stale for shape in shapes for one in (shape.on_demand, shape.spot) if one is not None)
    remark = f"List prices of all hosts together in USD per hour, {_dated(min(dates, default=None), stale)}."
    text = "\n".join([head[0], text_table(_SLICES, cells), remark])
    line = tag("div", remark, cls=f"gke-line {'gke-wait' if stale else 'gke-muted'}")
    return View(text, card(head[1], table(_SLICES, _marked(cells), cls="gke-tall"), line))


def records(offers: Iterable[Offer]) -> Iterable[dict[str, object]]:
    """Give the rows of the DataFrame of offers.

    Args:
        offers: what is offered.
    """
    for offer in offers:
        yield {
            "name": offer.name, "title": offer.title, "kind": offer.kind, "count": offer.count,
            "machine_type": offer.machine_type, "vcpus": offer.vcpus, "memory_gib": offer.memory_gib,
            "accelerator_memory_gib": _number(offer.accelerator_memory_gib), "region": offer.region,
            "zones": ", ".join(offer.zones), "on_demand_usd_hour": _number(offer.on_demand),
            "spot_usd_hour": _number(offer.spot), "flex_start_usd_hour": _number(offer.flex_start),
            "commit_1y_usd_hour": _number(offer.commit_1y), "commit_3y_usd_hour": _number(offer.commit_3y),
            "models": ", ".join(sorted(offer.models)), "source": offer.source, "source_date": offer.source_date,
            "stale": offer.stale,
        }  # fmt: skip


def slice_records(shapes: Iterable[TpuShape]) -> Iterable[dict[str, object]]:
    """Give the rows of the DataFrame of slices.

    Args:
        shapes: the slices.
    """
    for shape in shapes:
        found = shape.topology
        yield {
            "name": shape.tpu.name, "topology": found.text, "chips": found.chips, "hosts": found.hosts,
            "machine_type": found.machine_type, "chips_per_host": found.chips_per_host, "hbm_gib": shape.hbm_gib,
            "region": shape.region, "zones": ", ".join(shape.zones), "on_demand_usd_hour": _number(shape.usd_hour),
            "spot_usd_hour": _number(shape.spot_usd_hour),
            "source_date": shape.on_demand.source_date if shape.on_demand else None, "option": shape.option,
        }  # fmt: skip


def _head(kind: str, said: str) -> tuple[str, Markup]:
    html = tag("div", tag("span", kind, cls="gke-kind"), Markup(" "), tag("span", said, cls="gke-name"), cls="gke-head")
    return f"{kind}  {said}", html


def _row(row: Summary, where: str) -> tuple[str, ...]:
    memory = f"{row.memory_gib:g} GiB" if row.memory_gib else "-"
    how = ", ".join(_WORDS.get(model, model) for model in row.models)
    machines = _shortened(row.machine_types)
    return (
        row.name, memory, _numbers(row.counts), machines, _span(row.on_demand), _span(row.spot), _usd(row.each),
        _places(row.regions, row.zones, where), how,
    )  # fmt: skip


def _machine_rows(machines: Sequence[Offer], where: str) -> Iterable[tuple[str, ...]]:
    groups: dict[tuple[str, str, float], list[Offer]] = {}
    for offer in machines:
        groups.setdefault((offer.machine_type, offer.name, offer.count), []).append(offer)
    for (machine, name, number), group in groups.items():
        first = group[0]
        regions = tuple(dict.fromkeys(offer.region for offer in group if offer.region))
        zones = tuple(zone for offer in group for zone in offer.zones)
        yield (
            machine, f"{_numbers((number,))} x {name}", str(first.vcpus), f"{first.memory_gib:g} GiB",
            _span(_range(offer.on_demand for offer in group)), _span(_range(offer.spot for offer in group)),
            _places(regions, zones, where),
        )  # fmt: skip


def _slice(shape: TpuShape) -> tuple[str, ...]:
    found = shape.topology
    memory = f"{shape.hbm_gib:g} GiB" if shape.hbm_gib else "-"
    each = f"{found.machine_type}, {count(found.chips_per_host, 'chip')}"
    place = _zones(shape.zones) or shape.region or "not in the price list"
    prices = (_usd(shape.usd_hour), _usd(shape.spot_usd_hour))
    return (shape.option, str(found.chips), str(found.hosts), each, memory, *prices, place)


def _places(regions: Sequence[str], zones: Sequence[str], where: str) -> str:
    if not regions:
        return "not in the price list"
    if where:
        return _zones(zones) or f"{', '.join(regions)} (zones not known)"
    return ", ".join(regions) if len(regions) <= 1 else f"{regions[0]} + {len(regions) - 1}"


def _zones(zones: Sequence[str]) -> str:
    """Name zones of one region after the first by their letter only.

    Args:
        zones: for example ``us-central1-a`` and ``us-central1-b``.
    """
    shown: list[str] = []
    last = ""
    for zone in dict.fromkeys(zones):
        region, _, letter = zone.rpartition("-")
        shown.append(f"-{letter}" if region == last else zone)
        last = region
    return ", ".join(shown)


def _numbers(counts: Iterable[float]) -> str:
    said = [f"1/{round(1 / number)}" if number < 1 else f"{number:g}" for number in counts]
    return ", ".join(said) if len(said) <= 5 else f"{said[0]}, {said[1]} ... {said[-1]}"


def _shortened(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    first, last = names[0].split("-"), names[-1].split("-")
    # Of the last name, only what differs: g2-standard-4 ... 96.
    while first and last and first[0] == last[0]:
        first, last = first[1:], last[1:]
    return f"{names[0]} ... {'-'.join(last)} ({len(names)})"


def _span(found: tuple[float, float] | None) -> str:
    if found is None:
        return "-"
    low, high = (_usd(amount) for amount in found)
    return low if low == high else f"{low} - {high}"


def _number(amount: float | None) -> float:
    return float("nan") if amount is None else amount  # so that the column is one of numbers


def _usd(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:,.2f}"


def _range(amounts: Iterable[float | None]) -> tuple[float, float] | None:
    known = [amount for amount in amounts if amount is not None]
    return (min(known), max(known)) if known else None


def _remark(rows: Sequence[Summary]) -> str:
    dates = [row.source_date for row in rows if row.source_date]
    return f"{_REMARK} {_dated(min(dates, default=None), any(row.stale for row in rows))}."


def _dated(day: date | None, stale: bool) -> str:
    if day is None:
        return "no source has a price of these"
    said = f"from {day.isoformat()} or later"
    return f"{said}: STALE, older than 180 days, run `gke-notebook prices refresh`" if stale else said


def _marked(rows: Iterable[Sequence[str]]) -> Iterable[Sequence[str]]:
    return [[Markup(tag("strong", row[0])), *row[1:]] for row in rows]
