"""The SKUs of the sandbox's Cloud Billing Catalog: the catalog's own price table, taken apart again.

Descriptions, units and the traps among them are as the real catalog has them: `build/mapping.csv` of
Cyclenerd/google-cloud-pricing-cost-calculator (2026-07-30), dstackai/gpuhunt (2026-08-19). What a core, a GiB and a GPU
cost is chosen so that the machines cost what the table says; how a price divides among them is not Google's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from gke_notebook.catalog import MachineType, machine_type, tpu_by_label
from gke_notebook.catalog.machines import family
from gke_notebook.catalog.price_files import ATTACHED, Row, packaged
from gke_notebook.catalog.skus import CLOUD_TPU, COMPUTE_ENGINE, HOURS_IN_MONTH, SSD_GIB
from gke_notebook.catalog.tables import rows

Object = dict[str, Any]
EFFECTIVE = "2026-07-30T07:00:00Z"
SSD_MONTH = {"on-demand": 0.08, "spot": 0.032}  # USD for a GiB and month
_RAM_SHARE = 0.125  # what a GiB of memory costs of a core
_GPU_SHARE = 0.8  # of a machine, where its parts cannot be told apart
_FLEX = 0.6  # of the on-demand price, for the families in _FLEX_FAMILIES
_FLEX_FAMILIES = {"g2", "a2"}
_FLEX_CHIPS = {"TpuV5e": "V5e", "TpuV6e": "V6e"}
_GPUS = {
    "nvidia-tesla-t4": "Nvidia Tesla T4 GPU", "nvidia-tesla-p4": "Nvidia Tesla P4 GPU",
    "nvidia-tesla-p100": "Nvidia Tesla P100 GPU", "nvidia-tesla-v100": "Nvidia Tesla V100 GPU",
    "nvidia-l4": "Nvidia L4 GPU", "nvidia-rtx-pro-6000": "RTX 6000 96GB", "nvidia-tesla-a100": "Nvidia Tesla A100 GPU",
    "nvidia-a100-80gb": "Nvidia Tesla A100 80GB GPU", "nvidia-h100-80gb": "Nvidia H100 80GB GPU",
    "nvidia-h100-mega-80gb": "Nvidia H100 80GB Plus GPU", "nvidia-h200-141gb": "H200 141GB GPU",
    "nvidia-b200": "A4 Nvidia B200 (1 gpu slice)",
}  # fmt: skip
_FAMILIES = {
    "n1": "N1 Predefined", "g2": "G2", "g4": "G4", "a2": "A2", "a3": "A3", "a3plus": "A3Plus", "a3ultra": "A3Ultra",
}  # fmt: skip
_CHIPS = {"v4": "TpuV4", "v5e": "TpuV5e", "v5p": "TpuV5p", "v6e": "TpuV6e"}
_PLACES = {"us": "Americas", "northamerica": "Canada", "southamerica": "Sao Paulo", "europe": "EMEA", "asia": "APAC",
           "australia": "Sydney", "me": "Middle East", "africa": "Johannesburg"}  # fmt: skip


@cache
def skus(service: str) -> tuple[Object, ...]:
    """Give the SKUs of a service.

    Args:
        service: its id, that of Compute Engine or of Cloud TPU.
    """
    return tuple(found for found in _all() if found["name"].startswith(f"services/{service}/"))


@cache
def _all() -> tuple[Object, ...]:
    found: list[Object] = []
    regions = sorted({key[3] for key in packaged()})
    for region in regions:
        for kind in ("on-demand", "spot"):
            found += _region(region, kind)
        found += _traps(region)
    return tuple(found)


def _region(region: str, kind: str) -> Iterator[Object]:
    hosts = _hosts(region, kind)
    for name, core in hosts.items():
        group = "N1Standard" if name == "n1" else None
        yield _sku(f"{_FAMILIES[name]} Instance Core", group or "CPU", kind, region, core)
        yield _sku(f"{_FAMILIES[name]} Instance Ram", group or "RAM", kind, region, core * _RAM_SHARE, unit="GiBy.h")
    gpus = _gpus(region, kind, hosts)
    for label, usd in gpus.items():
        yield _sku(_GPUS[label], "GPU", kind, region, usd)
    for label, usd in _chips(region, kind).items():
        known = tpu_by_label(label)
        if known is not None:
            service = CLOUD_TPU if known.name == "v4" else COMPUTE_ENGINE
            yield _sku(_CHIPS[known.name], "TPU", kind, region, usd, service=service)
    yield _sku("SSD backed Local Storage", "LocalSSD", kind, region, SSD_MONTH[kind], unit="GiBy.mo")
    if kind == "on-demand":
        yield from _flex(region, hosts, gpus)
        yield from _commitments(region, hosts, gpus)


def _flex(region: str, hosts: dict[str, float], gpus: dict[str, float]) -> Iterator[Object]:
    for name in sorted(_FLEX_FAMILIES & hosts.keys()):
        core = hosts[name] * _FLEX
        yield _plain(f"DWS Defined Duration {_FAMILIES[name]} Core", "CPU", "OnDemand", region, core)
        yield _plain(
            f"DWS Defined Duration {_FAMILIES[name]} Ram", "RAM", "OnDemand", region, core * _RAM_SHARE, unit="GiBy.h"
        )
    for label in ("nvidia-l4", "nvidia-tesla-a100", "nvidia-a100-80gb"):
        if label in gpus:
            text = f"{_GPUS[label]} attached to DWS Defined Duration VMs"
            yield _plain(text, "GPU", "OnDemand", region, gpus[label] * _FLEX)
    for label, usd in _chips(region, "on-demand").items():
        known = tpu_by_label(label)
        short = _FLEX_CHIPS.get(_CHIPS[known.name]) if known else None
        if short:
            yield _plain(f"DWS Defined Duration {short}", "TPU", "OnDemand", region, usd * _FLEX)


def _commitments(region: str, hosts: dict[str, float], gpus: dict[str, float]) -> Iterator[Object]:
    for name, label in (("g2", "nvidia-l4"), ("a2", "nvidia-tesla-a100")):
        if name not in hosts or label not in gpus:
            continue
        for years, part in _discounts(name).items():
            for what, usd, unit in (("Cpu", hosts[name], "h"), ("Ram", hosts[name] * _RAM_SHARE, "GiBy.h")):
                yield _commitment(f"{_FAMILIES[name]} {what} in", what.upper(), years, region, usd * part, unit=unit)
            yield _commitment(f"{_GPUS[label]} running in", "GPU", years, region, gpus[label] * part, unit="h")


def _traps(region: str) -> Iterator[Object]:
    """Give what stands beside the plain prices and is none: the matching must leave it out."""
    hosts = _hosts(region, "on-demand")
    gpus = _gpus(region, "on-demand", hosts)
    for name, core in hosts.items():
        word = _FAMILIES[name].removesuffix(" Predefined")
        yield _plain(f"{word} Sole Tenancy Instance Core", "CPU", "OnDemand", region, core * 1.1)
        yield _plain(f"Reserved {word} Instance Core", "CPU", "OnDemand", region, 0.0)
        if name == "n1":
            yield _plain("Custom Instance Core", "CPU", "OnDemand", region, core * 1.05)
            yield _plain("N1 Predefined Instance Core", "N1Standard", "OnDemand", region, core * 20, unit="mo")
    for label, usd in gpus.items():
        yield _plain(f"{_GPUS[label]} attached to DWS Calendar Mode VMs", "GPU", "OnDemand", region, usd * 0.4)
        yield _plain(f"Reserved {_GPUS[label]}", "GPU", "OnDemand", region, 0.0)
    if "nvidia-h100-mega-80gb" in gpus:
        text = "Nvidia H100 Mega 80GB GPU attached to DWS Defined Duration VMs"
        yield _plain(text, "GPU", "OnDemand", region, 0.0)
    for label, usd in _chips(region, "on-demand").items():
        known = tpu_by_label(label)
        if known is not None:
            yield _plain(f"Capacity Optimized {_CHIPS[known.name]}", "TPU", "OnDemand", region, usd * 0.9)
            yield _plain(f"Reserved {_CHIPS[known.name].removeprefix('Tpu')}", "TPU", "OnDemand", region, usd * 0.7)
    yield _plain("Network Inter Zone Egress", "InterzoneEgress", "OnDemand", region, 0.01, unit="GiBy")


def _hosts(region: str, kind: str) -> dict[str, float]:
    """Give what a core costs, by family; a GiB of memory costs a fixed share of it."""
    found: dict[str, float] = {}
    for name in _FAMILIES:
        machines = [(machine, usd) for machine, usd in _priced(region, kind) if _billing(machine) == name]
        if not machines:
            continue
        label = machines[0][0].accelerator
        known = [(_host(machine), _share(machine), usd) for machine, usd in machines if machine.accelerator == label]
        if not label:
            found[name] = known[0][2] / known[0][0]
            continue
        low = min(known, key=lambda one: one[0] / one[1])
        high = max(known, key=lambda one: one[0] / one[1])
        apart = high[0] / high[1] > 1.1 * low[0] / low[1]
        core = _solve(low, high) if apart else 0.0
        found[name] = core if core > 0 else (1 - _GPU_SHARE) * low[2] / low[0]
    return found


def _solve(one: tuple[float, float, float], two: tuple[float, float, float]) -> float:
    # hosts x core + share x GPU = price, for two machines.
    return (one[2] * two[1] - two[2] * one[1]) / (one[0] * two[1] - two[0] * one[1])


def _gpus(region: str, kind: str, hosts: dict[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for machine, usd in _priced(region, kind):
        billing = _billing(machine)
        if machine.accelerator and billing in {*hosts, "slice"} and machine.accelerator not in found:
            rest = usd - _host(machine) * hosts.get(billing, 0.0)
            found[machine.accelerator] = rest / _share(machine)
    for (name, label, count, where), row in packaged().items():
        if (name, where, count) == (ATTACHED, region, 1):
            usd_each = _of(row, kind)
            if usd_each is not None:
                found[label] = usd_each
    return found


def _chips(region: str, kind: str) -> dict[str, float]:
    return {
        machine.accelerator: usd / machine.accelerator_count
        for machine, usd in _priced(region, kind)
        if _billing(machine) == "chip"
    }


@cache
def _priced(region: str, kind: str) -> tuple[tuple[MachineType, float], ...]:
    """Give the machines with a price, without what their local SSDs cost; the largest of a part of a GPU last."""
    found = []
    for (name, _, _, where), row in packaged().items():
        usd = _of(row, kind)
        if where != region or name == ATTACHED or usd is None:
            continue
        machine = machine_type(name)
        ssd = 0.0 if row.without_ssd else machine.local_ssds * SSD_GIB * SSD_MONTH[kind] / HOURS_IN_MONTH
        found.append((machine, usd - ssd))
    return tuple(sorted(found, key=lambda pair: (-pair[0].fraction, pair[0].accelerator_count, pair[0].vcpus)))


def _of(row: Row, kind: str) -> float | None:
    return row.spot if kind == "spot" else row.on_demand


def _billing(machine: MachineType) -> str:
    return family(machine.name)["billing"]


def _host(machine: MachineType) -> float:
    return 0.0 if _billing(machine) in {"slice", "chip"} else machine.vcpus + _RAM_SHARE * machine.memory_gib


def _share(machine: MachineType) -> float:
    return machine.fraction if machine.fraction < 1 else float(machine.accelerator_count)


@cache
def _discounts(name: str) -> dict[int, float]:
    for row in rows("committed"):
        if family(row["machine_type"])["billing"] == name:
            listed = packaged()[row["machine_type"], "", 0, row["region"]].on_demand
            if listed:
                return {1: float(row["usd_hour_1y"]) / listed, 3: float(row["usd_hour_3y"]) / listed}
    return {}


def _sku(
    what: str, group: str, kind: str, region: str, usd: float, *, unit: str = "h", service: str = COMPUTE_ENGINE
) -> Object:
    if kind == "on-demand":
        return _plain(what, group, "OnDemand", region, usd, unit=unit, service=service)
    if what.endswith(("Core", "Ram")):
        return _plain(f"Spot Preemptible {what}", group, "Preemptible", region, usd, unit=unit, service=service)
    if "gpu slice" in what:
        # As in the real catalog, this one is filed as on demand.
        return _plain(f"Spot Preemptible {what}", group, "OnDemand", region, usd, unit=unit, service=service)
    text = f"{what} attached to Spot Preemptible VMs"
    return _plain(text, group, "Preemptible", region, usd, unit=unit, service=service)


def _commitment(text: str, group: str, years: int, region: str, usd: float, *, unit: str) -> Object:
    description = f"Commitment v1: {text} {_place(region)} for {years} Year{'s' if years > 1 else ''}"
    return _made(description, group, f"Commit{years}Yr", region, usd, unit=unit, service=COMPUTE_ENGINE)


def _plain(
    what: str, group: str, usage: str, region: str, usd: float, *, unit: str = "h", service: str = COMPUTE_ENGINE
) -> Object:
    return _made(f"{what} running in {_place(region)}", group, usage, region, usd, unit=unit, service=service)


def _made(description: str, group: str, usage: str, region: str, usd: float, *, unit: str, service: str) -> Object:
    digest = hashlib.sha256(f"{description} {usage} {region} {unit}".encode()).hexdigest().upper()[:12]
    sku = "-".join(digest[start : start + 4] for start in (0, 4, 8))
    nanos = round(usd * 1e9)
    price = {"currencyCode": "USD", "units": str(nanos // 10**9), "nanos": nanos % 10**9}
    return {
        "name": f"services/{service}/skus/{sku}",
        "skuId": sku,
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine" if service == COMPUTE_ENGINE else "Cloud TPU",
            "resourceFamily": "Storage" if group == "LocalSSD" else "Compute",
            "resourceGroup": group,
            "usageType": usage,
        },
        "serviceRegions": [region],
        "pricingInfo": [
            {
                "summary": "",
                "pricingExpression": {
                    "usageUnit": unit,
                    "displayQuantity": 1,
                    "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}],
                },
                "currencyConversionRate": 1,
                "effectiveTime": EFFECTIVE,
            }
        ],
        "serviceProviderName": "Google",
        "geoTaxonomy": {"type": "REGIONAL", "regions": [region]},
    }


def _place(region: str) -> str:
    return _PLACES.get(region.split("-", maxsplit=1)[0], region)
