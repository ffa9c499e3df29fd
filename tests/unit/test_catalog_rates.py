"""Rates and offers against the table row by row, hand-worked totals, and how machines can be had, shared and wired."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import pytest

import gke_notebook.catalog
from gke_notebook import catalog
from gke_notebook.catalog import committed, models, network, no_rate, offers, parse_tpu, price, rate, sharing, why_not
from gke_notebook.catalog.machines import attached, family, machine_types
from gke_notebook.catalog.prices import STALE_AFTER_DAYS
from gke_notebook.errors import InvalidInput

DATA = Path(gke_notebook.catalog.__file__).parent / "data"


def read(name):
    return list(csv.DictReader((DATA / f"{name}.csv").read_text(encoding="utf-8").splitlines()))


ROWS = read("prices")


@pytest.fixture(autouse=True)
def packaged_prices(monkeypatch, tmp_path):
    """What somebody has refreshed on this machine must not decide a test."""
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(tmp_path))


def number(text):
    return float(text) if text else None


def test_rates_answer_every_row():
    checked = 0
    for row in ROWS:
        name, place = row["machine_type"], row["zone"] or row["region"]
        if name == "n1-attached-gpu-only":
            continue
        for column, provisioning in (("price_usd_hour", "on-demand"), ("spot_price_usd_hour", "spot")):
            found = rate(name, place, provisioning)
            if row[column] and provisioning in models(name):
                assert found.usd_hour == float(row[column]), row
                assert (found.source_date, found.region) == (date.fromisoformat(row["source_date"]), row["region"])
                assert found.source
                assert no_rate(name, place, provisioning) == ""
            else:
                assert found is None, row
                assert no_rate(name, place, provisioning), row
            checked += 1
        reserved = rate(name, place, "reservation")
        listed = price(name, place)
        assert (None if reserved is None else reserved.usd_hour) == (None if listed is None else listed.usd_hour)
        assert rate(name, place, "flex-start") is None  # no source has a number
        assert no_rate(name, place, "flex-start")
    assert checked > 1200


def test_offers_have_every_row():
    by_key = {(offer.machine_type, offer.label, offer.count, offer.region): offer for offer in offers()}
    for row in ROWS:
        count = float(row["accelerator_count"])
        if not row["accelerator"] or row["machine_type"] == "n1-attached-gpu-only":
            continue
        offer = by_key[row["machine_type"], row["accelerator"], count, row["region"]]
        on_demand = number(row["price_usd_hour"]) if "on-demand" in offer.models else None
        assert (offer.on_demand, offer.spot) == (on_demand, number(row["spot_price_usd_hour"])), row
        if row["vcpus"]:  # the rows of TPUs leave it out
            assert (offer.vcpus, offer.memory_gib) == (int(row["vcpus"]), float(row["memory_gib"]))
        assert not row["zone"] or row["zone"] in offer.zones
        assert offer.flex_start is None


def test_offers_of_attached_gpus_are_machine_and_gpus():
    gpus = {
        (r["accelerator"], int(r["accelerator_count"]), r["region"]): float(r["price_usd_hour"])
        for r in ROWS
        if r["machine_type"] == "n1-attached-gpu-only"
    }
    machines = {
        (r["machine_type"], r["region"]): float(r["price_usd_hour"])
        for r in ROWS
        if r["machine_type"].startswith("n1-standard")
    }
    checked = 0
    for offer in offers(types=["t4", "p4", "p100", "v100"]):
        if offer.region:
            parts = gpus[offer.label, int(offer.count), offer.region] + machines[offer.machine_type, offer.region]
            assert offer.on_demand == pytest.approx(parts, abs=1e-5)
            checked += 1
    assert checked > 100


def test_every_kind_is_offered_even_where_no_source_has_a_price():
    names = {kind.name for kind in (*catalog.accelerators(), *catalog.tpus())}
    assert {offer.name for offer in offers()} == names
    gb200 = offers(types=["gb200"])
    assert {offer.region for offer in gb200} == {""}
    assert all(offer.cheapest is None and offer.source_date is None and not offer.stale for offer in gb200)


def test_offers_are_narrowed():
    cheap = offers(types=["l4"], location="us-central1-a", max_price=0.5, spot=True)
    assert [offer.machine_type for offer in cheap] == ["g2-standard-4", "g2-standard-8"]
    assert all(offer.accelerator_memory_gib >= 500 for offer in offers(memory_gib=500))
    assert offers(types=["h200"], location="us-central1-a") == ()  # the region has it, the zone has not
    assert offers(types=["h200"], location="us-central1-b")
    assert offers(types=["rtx-pro-6000"], location="us-central1-b")  # no source says in which zones it is
    assert offers(location="mars-north1") == ()


def test_committed_prices():
    checked = 0
    for row in read("committed"):
        for years in (1, 3):
            found = committed(row["machine_type"], row["region"], years)
            assert found.usd_hour == float(row[f"usd_hour_{years}y"])
            assert found.source_date == date.fromisoformat(row["source_date"])
            assert found.usd_hour < price(row["machine_type"], row["region"]).usd_hour
            assert f"{years}-year commitment" in found.basis
            checked += 1
    assert checked == 24
    assert committed("a2-ultragpu-8g", "us-central1", 1) is None
    assert committed(attached("n1-standard-8", "nvidia-tesla-t4", 1), "us-central1", 1) is None  # of the GPU, none


# Worked by hand: the table's price, times machines, times hours, to the cent.
T4 = attached("n1-standard-32", "nvidia-tesla-t4", 4)
TOTALS = [
    ("2 x L4 as spot", [("g2-standard-4", "us-central1-a", "spot", 2)], 10, 7.95),  # 0.39734 x 20 = 7.9468
    ("8 x A100", [("a2-ultragpu-8g", "europe-west4-a", "on-demand", 1)], 24, 1071.54),  # 44.64735 x 24 = 1071.5364
    ("4 x 8 x H100 spot", [("a3-highgpu-8g", "us-east4-a", "spot", 4)], 3, 435.85),  # 36.32084 x 12 = 435.85008
    ("v5e:4x4", [("v5e:4x4", "us-central1-a", "on-demand", 1)], 8, 153.60),  # 4 hosts x 4.8 x 8
    ("v5p-256 spot", [("v5p-256", "us-east5-a", "spot", 1)], 1.5, 249.59),  # 32 hosts x 5.19981 x 1.5 = 249.59088
    ("v6e:2x4", [("v6e:2x4", "asia-northeast1-b", "on-demand", 1)], 100, 2592.00),  # one host of 8 chips, 25.92 x 100
    ("N1 with 4 x T4", [(T4, "us-central1-a", "on-demand", 1)], 5, 14.60),  # (1.51999 + 1.4) x 5 = 14.59995
    ("two v5e slices", [("v5e:4x8", "us-central1-a", "spot", 2)], 2, 38.11),  # 16 hosts x 1.19084 x 2 = 38.10688
    ("16 x 8 x B200", [("a4-highgpu-8g", "us-central1-b", "spot", 16)], 0.5, 301.97),  # 37.7464 x 8 = 301.9712
    (
        "three zones",  # (4.00167 x 3 + 4.20595 x 2) x 6 = 122.50146
        [
            ("g2-standard-48", "us-central1-a", "on-demand", 2),
            ("g2-standard-48", "us-central1-c", "on-demand", 1),
            ("g2-standard-48", "europe-west4-a", "on-demand", 2),
        ],
        6,
        122.50,
    ),
    ("reserved H200", [("a3-ultragpu-8g", "us-central1-b", "reservation", 2)], 24, 4164.48),  # 86.75992 x 48
    ("a part of a GPU", [("g4-standard-12", "us-central1", "on-demand", 1)], 7, 7.87),  # 1.12498 x 7 = 7.87486
]


@pytest.mark.parametrize(("groups", "hours", "total"), [one[1:] for one in TOTALS], ids=[one[0] for one in TOTALS])
def test_totals_to_the_cent(groups, hours, total):
    usd = 0.0
    for what, place, provisioning, machines in groups:
        hosts, machine = 1, what
        if isinstance(what, str) and what.startswith("v"):
            _, shape = parse_tpu(what)
            hosts, machine = shape.hosts, shape.machine_type
        usd += rate(machine, place, provisioning).usd_hour * hosts * machines * hours
    assert round(usd, 2) == total


def test_how_machines_can_be_had():
    for name in ("a4-highgpu-8g", "a4x-highgpu-4g", "a3-ultragpu-8g", "a3-ultragpu-8g-nolssd", "a3-highgpu-4g"):
        assert models(name) == {"spot", "flex-start", "reservation"}
    for name in ("a3-highgpu-8g", "a3-megagpu-8g", "g2-standard-4", "ct5lp-hightpu-4t"):
        assert models(name) == {"on-demand", "spot", "flex-start", "reservation"}
    for name in ("a3-edgegpu-8g", "a3-edgegpu-8g-nolssd", "ct4p-hightpu-4t", "e2-standard-4", "n1-standard-8"):
        assert models(name) == {"on-demand", "spot", "reservation"}
    assert "flex-start" in models(T4)
    for machine in machine_types():
        assert {"spot", "reservation"} <= models(machine) <= set(catalog.PROVISIONING)


def test_why_a_machine_cannot_be_had_that_way():
    assert why_not("g2-standard-4", "spot") == ""
    assert why_not("a4-highgpu-8g", "on-demand") == (
        "a4-highgpu-8g cannot be had on demand: Google sells it only by spot, flex-start or reservation; "
        "choose one of: spot, flex-start, reservation"
    )
    assert "by flex-start: the Dynamic Workload Scheduler" in why_not("a3-edgegpu-8g", "flex-start")
    with pytest.raises(InvalidInput, match="did you mean"):
        models("g2-standard-5")


def test_why_there_is_no_rate():
    assert "up to 53 % below on demand" in no_rate("g2-standard-4", "us-central1", "flex-start")
    assert no_rate("a4x-highgpu-4g", "us-central1", "spot") == "no source has a price of a4x-highgpu-4g"
    assert "it has it in us-central1" in no_rate("ct5p-hightpu-4t", "africa-south1", "spot")
    assert "no credible on-demand price of a4-highgpu-8g" in no_rate("a4-highgpu-8g", "us-central1", "reservation")
    assert no_rate("x9-huge-1", "us-central1", "spot") == "x9-huge-1 is not in the catalog"


@pytest.mark.parametrize(
    ("machine", "place", "said"),
    [
        (catalog.machine_type("g2-standard-4"), "us-central1", ""),
        (catalog.machine_type("g2-standard-4"), "us-central1-a", ""),
        (catalog.machine_type("a4x-highgpu-4g"), "us-central1-a", ""),  # no source knows where it is
        (catalog.machine_type("g4-standard-48"), "us-central1-b", ""),  # nor in which zones this one is
        (T4, "us-central1-a", ""),
        (
            catalog.machine_type("ct5lp-hightpu-4t"),
            "us-central1-b",
            "ct5lp-hightpu-4t is not in us-central1-b; in us-central1 it is in us-central1-a: --zone us-central1-a",
        ),
        (
            catalog.machine_type("ct4p-hightpu-4t"),
            "europe-west4",
            "ct4p-hightpu-4t is not in europe-west4; it is in us-central2-b: --zone us-central2-b",
        ),
        (  # the nearest are those of the continent
            catalog.machine_type("ct6e-standard-4t"),
            "europe-north1-a",
            (
                "ct6e-standard-4t is not in europe-north1-a; it is in europe-west4-a, us-central1-a, us-central1-b, "
                "us-central1-c, us-east1-d ...: --zone europe-west4-a"
            ),
        ),
    ],
)
def test_why_a_machine_is_not_there(machine, place, said):
    assert catalog.why_not_there(machine, place) == said


def test_offers_grow_stale_with_their_prices():
    last = date(2026, 7, 30)
    fresh = offers(types=["l4"], today=date.fromordinal(last.toordinal() + STALE_AFTER_DAYS))
    old = offers(types=["l4"], today=date.fromordinal(last.toordinal() + STALE_AFTER_DAYS + 1))
    assert not any(offer.stale for offer in fresh)
    assert all(offer.stale for offer in old)


def test_local_ssds_and_disks():
    ssds = {machine.name: machine.local_ssds * 375 for machine in machine_types() if machine.local_ssds}
    assert ssds["a2-ultragpu-4g"] == 4 * 375
    assert [ssds[f"a3-highgpu-{n}g"] for n in (1, 2, 4, 8)] == [750, 1500, 3000, 6000]
    assert ssds["a3-megagpu-8g"] == 6000
    assert ssds["a3-ultragpu-8g"] == ssds["a4-highgpu-8g"] == 12000
    assert not any(name.endswith("-nolssd") for name in ssds)
    known = {machine.name: machine for machine in machine_types()}
    assert known["g2-standard-48"].optional_local_ssds == (4,)
    assert known["a2-highgpu-1g"].optional_local_ssds == (1, 2, 4, 8)
    assert known["a4-highgpu-8g"].optional_local_ssds == ()
    for machine in known.values():
        new = machine.name.startswith(("a4", "g4-", "a3-ultra", "ct6e-", "tpu7"))
        assert machine.boot_disk == ("hyperdisk-balanced" if new else "pd-balanced"), machine.name
    caps = {
        name: known[name].compact_nodes for name in ("a2-highgpu-8g", "a3-highgpu-8g", "a4-highgpu-8g", "e2-standard-2")
    }
    assert list(caps.values()) == [150, 96, 1500, None]
    assert all(machine.explicit for machine in known.values() if machine.name.endswith("-nolssd"))


def test_every_machine_has_its_own_family():
    for machine in machine_types():
        assert machine.name.startswith(family(machine.name)["prefix"])
    assert family("a4x-highgpu-4g")["prefix"] == "a4x-"
    with pytest.raises(InvalidInput, match="no machine family"):
        family("z9-standard-1")


def test_gpudirect_wiring():
    tcpx, tcpxo, rdma = (network(name) for name in ("a3-highgpu-8g", "a3-megagpu-8g", "a4-highgpu-8g"))
    assert [one.kind for one in (tcpx, tcpxo, rdma)] == ["tcpx", "tcpxo", "rdma"]
    assert network("a3-ultragpu-8g") == network("a4x-highgpu-4g") == rdma
    assert [one.networks for one in (tcpx, tcpxo, rdma)] == [4, 8, 8]
    for one in (tcpx, tcpxo, rdma):
        assert len(one.interfaces) == one.networks + 1
        annotations = dict(one.annotations)
        listed = json.loads(annotations["networking.gke.io/interfaces"])
        assert [(entry["interfaceName"], entry["network"]) for entry in listed] == list(one.interfaces)
        assert listed[0] == {"interfaceName": "eth0", "network": "default"}
        assert dict(one.env)["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64"
    assert tcpx.interfaces[-1] == ("eth4", "vpc4")
    assert rdma.interfaces[1:3] == (("eth2", "rdma-0"), ("eth3", "rdma-1"))
    assert "/dev/dmabuf_import_helper" in dict(tcpxo.annotations)["devices.gke.io/container.tcpxo-daemon"]
    assert "/dev/dmabuf_import_helper" not in dict(tcpx.annotations)["devices.gke.io/container.tcpx-daemon"]
    assert dict(tcpxo.env)["NCCL_FASTRAK_IFNAME"] == ",".join(f"eth{n}" for n in range(1, 9))
    assert rdma.daemon is None
    for name in ("a3-highgpu-4g", "g2-standard-96", "a2-ultragpu-8g", "ct5p-hightpu-4t"):
        assert network(name) is None


def test_sharing():
    a100 = sharing("a100")
    assert dict(a100.partitions)["1g.5gb"] == 7
    assert a100.schedulable(8, "1g.5gb", clients=2) == 8 * 7 * 2
    assert sharing("l4").partitions == ()
    assert sharing("l4").schedulable(4, clients=48) == 192
    with pytest.raises(InvalidInput, match=r"a100 has no MIG partition '1g.6gb'; did you mean '1g.5gb'"):
        a100.schedulable(1, "1g.6gb")
    with pytest.raises(InvalidInput, match="it cannot be partitioned"):
        sharing("t4").schedulable(1, "1g.5gb")
    with pytest.raises(InvalidInput, match=r"2 to 48 clients, not 49; the nearest is 48"):
        a100.schedulable(1, clients=49)
    assert a100.most_requested(1, "time-sharing") == 1
    assert a100.most_requested(8, "mps") == 1
    assert a100.most_requested(1, "mps") > 1
    assert a100.most_requested(1, "mps", "1g.5gb") == 1  # seven devices
    for row in read("mig"):
        assert catalog.by_label(row["accelerator"]) is not None
        memory = int(row["partition"].partition(".")[2].removesuffix("gb"))
        assert memory * int(row["per_gpu"]) <= catalog.by_label(row["accelerator"]).memory_gib * 1.02, row
