"""List prices by region, from a dated table; never constant, so every price says from when it is.

Source of `data/prices.csv`, in USD per hour: Cyclenerd/google-cloud-pricing-cost-calculator (rows of 2026-07-30, whole
machines) and skypilot-org/skypilot-catalog v9 (rows of 2026-07-16, without the local SSDs that some shapes include). A
blank price means that the source had none that could be believed. Spot prices move every few weeks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache

from gke_notebook.catalog.machines import MachineType
from gke_notebook.catalog.tables import rows

STALE_AFTER_DAYS = 180
_ATTACHED = "n1-attached-gpu-only"
_WITHOUT_SSD = date(2026, 7, 16)  # the rows of this source leave bundled local SSDs out
_SSD_FAMILIES = ("a3-", "a4-", "a4x-")
_ZONE = re.compile(r"(?P<region>[a-z]+-[a-z]+\d+)-[a-z]")


@dataclass(frozen=True)
class Price:
    """The list price of one machine.

    Args:
        usd_hour: in USD per hour.
        source_date: from when the oldest part of the figure is.
        region: for which it holds.
        basis: what it is made of, in words for people.
        spot: whether it is a spot price.
        stale: whether the source is older than 180 days.
    """

    usd_hour: float
    source_date: date
    region: str
    basis: str
    spot: bool = False
    stale: bool = False


@dataclass(frozen=True)
class _Row:
    on_demand: float | None
    spot: float | None
    source_date: date


def price(machine: MachineType | str, location: str, *, spot: bool = False, today: date | None = None) -> Price | None:
    """Look up what one machine costs.

    Args:
        machine: the machine, as `machine_for` gives it; of a bare name, GPUs attached to an N1 machine are not known.
        location: a region or a zone, for example ``us-central1`` or ``us-central1-a``.
        spot: whether it is a spot VM.
        today: the day against which the age is measured, for tests.

    Returns:
        The price, or None when the table does not support one.

    Example:
        >>> price("g2-standard-4", "us-central1-a").usd_hour
        0.70683
    """
    name = machine if isinstance(machine, str) else machine.name
    region = region_of(location)
    parts = [_Part(name, _table().get((name, "", 0, region)))]
    if isinstance(machine, MachineType) and machine.accelerator and name.startswith("n1-"):
        count = machine.accelerator_count
        attached = _table().get((_ATTACHED, machine.accelerator, count, region))
        parts.append(_Part(f"{count} x {machine.accelerator}", attached))
    total, dates = 0.0, []
    for part in parts:
        amount = None if part.row is None else part.row.spot if spot else part.row.on_demand
        if part.row is None or amount is None:
            return None
        total += amount
        dates.append(part.row.source_date)
    oldest = min(dates)
    what = " + ".join(part.name for part in parts)
    kind = "spot" if spot else "on demand"
    ssd = ", local SSD not included" if oldest == _WITHOUT_SSD and name.startswith(_SSD_FAMILIES) else ""
    return Price(
        usd_hour=round(total, 5),
        source_date=oldest,
        region=region,
        basis=f"{what}, {kind}, {region}, list price of {oldest.isoformat()}{ssd}",
        spot=spot,
        stale=((today or date.today()) - oldest).days > STALE_AFTER_DAYS,
    )


def regions(machine: str) -> tuple[str, ...]:
    """Name the regions for which the table has a machine type.

    Args:
        machine: its name.
    """
    return tuple(dict.fromkeys(row["region"] for row in rows("prices") if row["machine_type"] == machine))


def zones(machine: MachineType | str, region: str) -> tuple[str, ...]:
    """Name the zones of a region where the table saw a machine type or its attached GPU; empty when it does not say.

    Args:
        machine: the machine or its name.
        region: for example ``us-central1``.
    """
    name = machine if isinstance(machine, str) else machine.name
    label = "" if isinstance(machine, str) else machine.accelerator
    if label and name.startswith("n1-"):
        name = _ATTACHED
    found = (
        row["zone"]
        for row in rows("prices")
        if row["machine_type"] == name and row["region"] == region and row["zone"]
        if not label or row["accelerator"] == label
    )
    return tuple(dict.fromkeys(found))


def region_of(location: str) -> str:
    """Give the region of a zone; a region is its own.

    Example:
        >>> region_of("europe-west4-b")
        'europe-west4'
    """
    match = _ZONE.fullmatch(location)
    return match["region"] if match else location


@dataclass(frozen=True)
class _Part:
    name: str
    row: _Row | None


@cache
def _table() -> dict[tuple[str, str, int, str], _Row]:
    # Prices are the same in every zone of a region. Where two sources have a shape, the later whole-machine price wins.
    table: dict[tuple[str, str, int, str], _Row] = {}
    for row in rows("prices"):
        attached = row["machine_type"] == _ATTACHED
        label = row["accelerator"] if attached else ""
        count = int(row["accelerator_count"]) if attached else 0
        key = (row["machine_type"], label, count, row["region"])
        entry = _Row(
            _amount(row["price_usd_hour"]), _amount(row["spot_price_usd_hour"]), date.fromisoformat(row["source_date"])
        )
        if key not in table or entry.source_date > table[key].source_date:
            table[key] = entry
    return table


def _amount(text: str) -> float | None:
    return float(text) if text else None
