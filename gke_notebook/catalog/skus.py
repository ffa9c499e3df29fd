"""From the SKUs of the Cloud Billing Catalog to the price of a machine.

A SKU prices one part: a core, a GiB of memory, a GPU, a chip, a GiB of local SSD; nothing but its description says of
what. Descriptions as found in Cyclenerd/google-cloud-pricing-cost-calculator `build/mapping.csv` (2026-07-30),
dstackai/gpuhunt (2026-08-19) and skypilot 0.14.1 (2026-10). What would be taken for a plain price and is none is left
out: commitments, sole tenancy, custom shapes, reserved and calendar-mode capacity, extended memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gke_notebook.catalog.accelerators import accelerators
from gke_notebook.catalog.machines import MachineType, family, machine_types
from gke_notebook.catalog.price_files import ATTACHED, credible
from gke_notebook.catalog.tpus import tpus

COMPUTE_ENGINE = "6F81-5844-456A"
CLOUD_TPU = "E000-3F24-B8AA"
HOURS_IN_MONTH = 730
SSD_GIB = 375  # one local SSD

Kind = Literal["on-demand", "spot", "flex-start", "1y", "3y"]
KINDS: tuple[Kind, ...] = ("on-demand", "spot", "flex-start", "1y", "3y")

_NOT_PLAIN = (
    "sole tenancy", "reserved", "custom", "premium", "extended", "calendar mode", "capacity optimized", "suspended",
    "overcommit", "licensing",
)  # fmt: skip
_GPUS = {
    "nvidia tesla t4 gpu": "nvidia-tesla-t4",
    "nvidia tesla p4 gpu": "nvidia-tesla-p4",
    "nvidia tesla p100 gpu": "nvidia-tesla-p100",
    "nvidia tesla v100 gpu": "nvidia-tesla-v100",
    "nvidia l4 gpu": "nvidia-l4",
    "rtx 6000 96gb": "nvidia-rtx-pro-6000",
    "rtx 6000 96gb gpu": "nvidia-rtx-pro-6000",
    "nvidia tesla a100 gpu": "nvidia-tesla-a100",
    "nvidia tesla a100 80gb gpu": "nvidia-a100-80gb",
    "nvidia h100 80gb gpu": "nvidia-h100-80gb",
    "nvidia h100 80gb plus gpu": "nvidia-h100-mega-80gb",
    "nvidia h100 80gb mega gpu": "nvidia-h100-mega-80gb",
    "nvidia h100 mega 80gb gpu": "nvidia-h100-mega-80gb",
    "h200 141gb gpu": "nvidia-h200-141gb",
    "nvidia h200 141gb gpu": "nvidia-h200-141gb",
    # A share of the whole machine: there are no cores and no memory beside it.
    "a4 nvidia b200 (1 gpu slice)": "nvidia-b200",
    "nvidia b200 (1 gpu slice)": "nvidia-b200",
}
_FAMILIES = {"n1", "e2", "g2", "g4", "a2", "a3", "a3plus", "a3ultra"}
_CHIPS = {"v4": "v4", "v5e": "v5e", "v5p": "v5p", "v6e": "v6e", "7x": "tpu7x", "7": "tpu7"}
_UNITS = {"core": {"h"}, "gpu": {"h"}, "chip": {"h"}, "ram": {"GiBy.h"}, "ssd": {"GiBy.mo"}}


@dataclass(frozen=True)
class Part:
    """What one SKU prices.

    Args:
        resource: ``core``, ``ram``, ``gpu``, ``chip`` or ``ssd``.
        of: the family of machines for cores and memory, the node label for GPUs and chips, empty for SSDs.
        kind: the provisioning model, or the years of a commitment.
    """

    resource: str
    of: str
    kind: Kind


@dataclass(frozen=True)
class Refreshed:
    """The machine prices that a list of SKUs supports.

    Args:
        rows: what `price_files.write` takes.
        skus: how many SKUs were read.
        matched: how many of them price something of the catalog.
        rejected: prices that were left out because they are not below the on-demand price, in words.
    """

    rows: tuple[dict[str, object], ...]
    skus: int
    matched: int
    rejected: tuple[str, ...]


def part(sku: Mapping[str, Any]) -> Part | None:
    """Say what a SKU prices; None when it is nothing of the catalog, or not a plain price of it.

    Args:
        sku: as the Cloud Billing Catalog API gives it.
    """
    category = sku.get("category", {})
    text = str(sku.get("description", "")).lower().strip()
    usage = str(category.get("usageType", ""))
    if any(word in text for word in _NOT_PLAIN):
        return None
    body = re.sub(r" (running )?in [^()]*$", "", re.sub(r" for [13] years?$", "", text))
    kind: Kind
    if text.startswith("commitment"):
        match = re.search(r" for ([13]) years?$", text)
        if match is None or usage != f"Commit{match[1]}Yr":
            return None
        kind = "1y" if match[1] == "1" else "3y"
        body = re.sub(r"^commitment( v1)?: ", "", body)
    elif "dws defined duration" in text:
        kind = "flex-start"
        body = body.removeprefix("dws defined duration ").removesuffix(" attached to dws defined duration vms")
    elif "dws" in text.split():
        return None
    elif "preemptible" in text or usage == "Preemptible":
        # Some spot SKUs are filed as on demand: the description is right.
        kind = "spot"
        body = re.sub(r"^(spot )?preemptible ", "", body)
        body = re.sub(r" attached to (spot )?preemptible vms$", "", body)
    elif usage == "OnDemand":
        kind = "on-demand"
    else:
        return None
    found = _resource(body, kind)
    if found is None or _unit(sku) not in _UNITS[found[0]]:
        return None
    return Part(found[0], found[1], kind)


def amount(sku: Mapping[str, Any]) -> float | None:
    """Give what a SKU costs per hour in USD; None when it has no price in USD.

    Args:
        sku: as the Cloud Billing Catalog API gives it.
    """
    tiers = _expression(sku).get("tieredRates") or []
    if not tiers:
        return None
    money = tiers[0].get("unitPrice", {})
    if money.get("currencyCode", "USD") != "USD":
        return None
    usd = int(money.get("units", 0) or 0) + int(money.get("nanos", 0) or 0) / 1e9
    return usd / HOURS_IN_MONTH if _unit(sku) == "GiBy.mo" else usd


def compose(skus: Iterable[Mapping[str, Any]], day: str, wanted: Iterable[str] = ()) -> Refreshed:
    """Make machine prices out of SKUs: cores, memory, accelerators and the local SSDs that come with the machine.

    A machine gets a price only when each of its parts has one in that region.

    Args:
        skus: as the Cloud Billing Catalog API gives them.
        day: the date the prices are of, as ``2026-11-25``.
        wanted: the regions to price; all when empty.
    """
    only = set(wanted)
    parts: dict[str, dict[Part, float]] = {}
    read = matched = 0
    for sku in skus:
        read += 1
        found, usd = part(sku), amount(sku)
        if found is None or not usd:
            continue
        matched += 1
        for region in sku.get("serviceRegions", ()):
            if only and region not in only:
                continue
            # Where two SKUs price the same part, the dearer one counts: a plan must not promise too little.
            here = parts.setdefault(region, {})
            here[found] = max(usd, here.get(found, 0.0))
    rows: list[dict[str, object]] = []
    rejected: list[str] = []
    for region, here in sorted(parts.items()):
        for machine in machine_types():
            prices = {kind: _machine(machine, here, kind) for kind in KINDS}
            _add(rows, rejected, (machine.name, "", 0, region), prices, day)
        for gpu in accelerators():
            for count, _ in gpu.attach:
                each = {kind: here.get(Part("gpu", gpu.label, kind)) for kind in KINDS}
                total = {kind: None if usd is None else usd * count for kind, usd in each.items()}
                _add(rows, rejected, (ATTACHED, gpu.label, count, region), total, day)
    return Refreshed(tuple(rows), read, matched, tuple(rejected))


def _machine(machine: MachineType, here: Mapping[Part, float], kind: Kind) -> float | None:
    billing = family(machine.name)["billing"]
    share = machine.fraction if machine.fraction < 1 else machine.accelerator_count
    needs: list[tuple[float, float | None]] = []
    if billing == "chip":
        needs.append((machine.accelerator_count, here.get(Part("chip", machine.accelerator, kind))))
    elif billing == "slice":
        needs.append((share, here.get(Part("gpu", machine.accelerator, kind))))
    elif billing:
        needs.append((machine.vcpus, here.get(Part("core", billing, kind))))
        needs.append((machine.memory_gib, here.get(Part("ram", billing, kind))))
        if machine.accelerator:
            needs.append((share, here.get(Part("gpu", machine.accelerator, kind))))
        if machine.local_ssds:
            ssd = here.get(Part("ssd", "", kind))
            if ssd is None and kind == "flex-start":
                ssd = here.get(Part("ssd", "", "on-demand"))  # the discount is of cores, memory and accelerators
            needs.append((machine.local_ssds * SSD_GIB, ssd))
    if not needs or any(usd is None for _, usd in needs):
        return None
    return sum(number * usd for number, usd in needs if usd is not None)


def _add(
    rows: list[dict[str, object]],
    rejected: list[str],
    key: tuple[str, str, int, str],
    prices: Mapping[Kind, float | None],
    day: str,
) -> None:
    kept = {kind: None if usd is None else round(usd, 5) for kind, usd in prices.items()}
    for kind in KINDS[1:]:
        usd = kept[kind]
        if usd is not None and not credible(kept["on-demand"], usd):
            what = f"{key[2]} x {key[1]}" if key[1] else key[0]
            rejected.append(f"{what} in {key[3]}: {kind} {usd} is above {kept['on-demand']} on demand")
            kept[kind] = None
    if all(usd is None for usd in kept.values()):
        return
    rows.append(
        {
            "machine_type": key[0], "accelerator": key[1], "accelerator_count": key[2], "region": key[3],
            "usd_hour": kept["on-demand"], "spot_usd_hour": kept["spot"], "flex_usd_hour": kept["flex-start"],
            "usd_hour_1y": kept["1y"], "usd_hour_3y": kept["3y"], "source_date": day,
        }
    )  # fmt: skip


def _resource(body: str, kind: Kind) -> tuple[str, str] | None:
    if body in _GPUS:
        return "gpu", _GPUS[body]
    if body == "ssd backed local storage" or (kind in {"1y", "3y"} and body == "local ssd"):
        return "ssd", ""
    match = re.fullmatch(r"(?:(\S+) )??(?:(?:predefined|amd|arm) )?(?:instance )?(core|cpu|ram)", body)
    if match:
        # A commitment without a family is N1's.
        named = match[1] or ("n1" if kind in {"1y", "3y"} else "")
        return ("ram" if match[2] == "ram" else "core", named) if named in _FAMILIES else None
    chip = re.fullmatch(r"(?:tpu-?)?(v?\w+)", body)
    name = _CHIPS.get(chip[1]) if chip else None
    return ("chip", _labels()[name]) if name else None


def _labels() -> dict[str, str]:
    return {kind.name: kind.label for kind in tpus()}


def _expression(sku: Mapping[str, Any]) -> Mapping[str, Any]:
    pricing = sku.get("pricingInfo") or [{}]
    expression: Mapping[str, Any] = pricing[-1].get("pricingExpression", {})  # the newest is the last
    return expression


def _unit(sku: Mapping[str, Any]) -> str:
    return str(_expression(sku).get("usageUnit", ""))
