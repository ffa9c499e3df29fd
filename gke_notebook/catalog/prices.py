"""List prices by region, from a dated table; never constant, so every price says from when it is.

Source of `data/prices.csv`, in USD per hour: Cyclenerd/google-cloud-pricing-cost-calculator (rows of 2026-07-30, whole
machines) and skypilot-org/skypilot-catalog v9 (rows of 2026-07-16, without the local SSDs that some shapes include). A
blank price means that the source had none that could be believed. Spot prices move every few weeks. Committed prices
(`data/committed.csv`) are the first source's monthly ones divided by 730.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from functools import cache

from gke_notebook.catalog.machines import MachineType, machine_type
from gke_notebook.catalog.price_files import ATTACHED, Row, table
from gke_notebook.catalog.provisioning import models, why_not
from gke_notebook.catalog.tables import rows
from gke_notebook.errors import InvalidInput

STALE_AFTER_DAYS = 180
_ZONE = re.compile(r"(?P<region>[a-z]+-[a-z]+\d+)-[a-z]")
_KIND = {"on-demand": "on demand", "spot": "spot", "flex-start": "flex-start", "1y": "1-year commitment",
         "3y": "3-year commitment"}  # fmt: skip
_NO_FLEX = (
    "no list price of flex-start is known for it; Google says up to 53 % below on demand (2026-06-09). "
    "`gke-notebook prices refresh` reads it where the Cloud Billing Catalog has it"
)


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
        source: who published the figures.
    """

    usd_hour: float
    source_date: date
    region: str
    basis: str
    spot: bool = False
    stale: bool = False
    source: str = ""


def price(machine: MachineType | str, location: str, *, spot: bool = False, today: date | None = None) -> Price | None:
    """Look up what one machine costs by the list.

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
    return _price(machine, location, "spot" if spot else "on-demand", today)


def rate(machine: MachineType | str, location: str, provisioning: str, *, today: date | None = None) -> Price | None:
    """Look up what one machine costs by the way it is had; `no_rate` says why there is no answer.

    A reserved machine is billed at the on-demand price, less what was committed to, whether it is used or not.

    Args:
        machine: the machine, as `machine_for` gives it.
        location: a region or a zone.
        provisioning: ``on-demand``, ``spot``, ``flex-start`` or ``reservation``.
        today: the day against which the age is measured, for tests.

    Returns:
        The price, or None when the machine cannot be had that way or no price is known.

    Example:
        >>> rate("g2-standard-4", "us-central1", "spot").usd_hour
        0.39734
    """
    name = machine if isinstance(machine, str) else machine.name
    if not _is_known(name) or provisioning not in models(machine):
        return None
    if provisioning != "reservation":
        return _price(machine, location, provisioning, today)
    found = _price(machine, location, "on-demand", today)
    if found is None:
        return None
    basis = found.basis.replace(", on demand,", ", reserved at the on-demand price,")
    return replace(found, basis=basis)


def committed(machine: MachineType | str, location: str, years: int, *, today: date | None = None) -> Price | None:
    """Look up what one machine costs per hour with a commitment to pay for it all the time.

    Args:
        machine: the machine.
        location: a region or a zone.
        years: 1 or 3.
        today: the day against which the age is measured, for tests.

    Returns:
        The price, or None where no source has one.
    """
    return _price(machine, location, f"{years}y", today)


def no_rate(machine: MachineType | str, location: str, provisioning: str) -> str:
    """Say in words why `rate` has no answer; empty when it has one.

    Args:
        machine: the machine.
        location: a region or a zone.
        provisioning: ``on-demand``, ``spot``, ``flex-start`` or ``reservation``.
    """
    name = machine if isinstance(machine, str) else machine.name
    if rate(machine, location, provisioning) is not None:
        return ""
    if not _is_known(name):
        return f"{name} is not in the catalog"
    reason = why_not(machine, provisioning)
    if reason:
        return reason
    region = region_of(location)
    if provisioning == "flex-start":
        return _NO_FLEX
    known = regions(machine)
    if not known:
        return f"no source has a price of {name}"
    if region not in known:
        return f"the price list does not have {name} in {region}; it has it in {', '.join(known[:4])}"
    return f"no credible {_KIND.get(provisioning, 'on-demand')} price of {name} in {region} is known"


def regions(machine: MachineType | str) -> tuple[str, ...]:
    """Name the regions for which the table has a machine type, with what is attached to it.

    Args:
        machine: the machine or its name.
    """
    parts = _parts(machine)
    found = [[key[3] for key in table() if key[:3] == part] for part in parts]
    return tuple(dict.fromkeys(region for region in found[-1] if all(region in others for others in found)))


def zones(machine: MachineType | str, region: str) -> tuple[str, ...]:
    """Name the zones of a region where the table saw a machine type or its attached GPU; empty when it does not say.

    Args:
        machine: the machine or its name.
        region: for example ``us-central1``.
    """
    name, label, _ = _parts(machine)[-1]
    return _zones().get((name, label, region), ())


def region_of(location: str) -> str:
    """Give the region of a zone; a region is its own.

    Example:
        >>> region_of("europe-west4-b")
        'europe-west4'
    """
    match = _ZONE.fullmatch(location)
    return match["region"] if match else location


def _price(machine: MachineType | str, location: str, kind: str, today: date | None) -> Price | None:
    region = region_of(location)
    found = [(part, table().get((*part, region))) for part in _parts(machine)]
    total, dates, words = 0.0, [], []
    for (name, label, count), row in found:
        amount, when = _amount(name, region, row, kind)
        if row is None or amount is None or when is None:
            return None
        total += amount
        dates.append(when)
        words.append(f"{count} x {label}" if label else name)
    oldest = min(dates)
    ssd = ", local SSD not included" if any(row is not None and row.without_ssd for _, row in found) else ""
    return Price(
        usd_hour=round(total, 5),
        source_date=oldest,
        region=region,
        basis=f"{' + '.join(words)}, {_KIND[kind]}, {region}, list price of {oldest.isoformat()}{ssd}",
        spot=kind == "spot",
        stale=((today or date.today()) - oldest).days > STALE_AFTER_DAYS,
        source=" and ".join(dict.fromkeys(row.source for _, row in found if row is not None)),
    )


def _amount(name: str, region: str, row: Row | None, kind: str) -> tuple[float | None, date | None]:
    if row is None:
        return None, None
    if kind in {"1y", "3y"}:
        refreshed = row.commit_1y if kind == "1y" else row.commit_3y
        return (refreshed, row.source_date) if refreshed else _committed().get((name, region, kind), (None, None))
    amounts = {"on-demand": row.on_demand, "spot": row.spot, "flex-start": row.flex}
    return amounts[kind], row.source_date


def _parts(machine: MachineType | str) -> list[tuple[str, str, int]]:
    name = machine if isinstance(machine, str) else machine.name
    parts = [(name, "", 0)]
    if isinstance(machine, MachineType) and machine.accelerator and name.startswith("n1-"):
        parts.append((ATTACHED, machine.accelerator, machine.accelerator_count))
    return parts


def _is_known(name: str) -> bool:
    try:
        machine_type(name)
    except InvalidInput:
        return False
    return True


@cache
def _zones() -> dict[tuple[str, str, str], tuple[str, ...]]:
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for row in rows("prices"):
        label = row["accelerator"] if row["machine_type"] == ATTACHED else ""
        key = (row["machine_type"], label, row["region"])
        if row["zone"] and row["zone"] not in found.get(key, ()):
            found[key] = (*found.get(key, ()), row["zone"])
    return found


@cache
def _committed() -> dict[tuple[str, str, str], tuple[float, date]]:
    return {
        (row["machine_type"], row["region"], years): (
            float(row[f"usd_hour_{years}"]),
            date.fromisoformat(row["source_date"]),
        )
        for row in rows("committed")
        for years in ("1y", "3y")
    }
