"""The catalog against its own table, row by row, and the facts that code depends on."""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gke_notebook.catalog
from gke_notebook.catalog import (
    accelerator,
    accelerators,
    allocatable,
    by_label,
    machine_for,
    machine_type,
    machine_types,
    price,
    regions,
    tpu_by_label,
    tpu_names,
    zones,
)
from gke_notebook.catalog.machines import MachineType, attached
from gke_notebook.catalog.prices import region_of
from gke_notebook.errors import InvalidInput

TABLE = Path(gke_notebook.catalog.__file__).parent / "data" / "prices.csv"
ROWS = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))
GPU_ROWS = [row for row in ROWS if row["accelerator"].startswith("nvidia")]


@pytest.fixture(autouse=True)
def packaged_prices(monkeypatch, tmp_path):
    """What somebody has refreshed on this machine must not decide a test."""
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(tmp_path))


def test_the_table_is_whole():
    assert len(ROWS) == 792
    assert {row["source_date"] for row in ROWS} == {"2026-07-16", "2026-07-30"}


def test_no_spot_price_is_above_its_list_price():
    assert not [r for r in ROWS if r["price_usd_hour"] and float(r["spot_price_usd_hour"]) > float(r["price_usd_hour"])]


def test_every_row_is_found_again():
    checked = 0
    for row in ROWS:
        for column, spot in (("price_usd_hour", False), ("spot_price_usd_hour", True)):
            if row["machine_type"] == "n1-attached-gpu-only":
                continue
            found = price(row["machine_type"], row["zone"] or row["region"], spot=spot)
            if not row[column]:
                assert found is None, row
            else:
                assert found is not None, row
                assert found.usd_hour == float(row[column]), row
                assert found.source_date == date.fromisoformat(row["source_date"])
                assert found.region == row["region"]
                assert row["region"] in found.basis
            checked += 1
    assert checked == 2 * sum(row["machine_type"] != "n1-attached-gpu-only" for row in ROWS)


def test_an_n1_machine_with_gpus_costs_machine_and_gpus():
    machines = {(r["machine_type"], r["region"]): r for r in ROWS if r["machine_type"].startswith("n1-standard")}
    composed = 0
    for row in ROWS:
        if row["machine_type"] != "n1-attached-gpu-only":
            continue
        for (name, region), base in machines.items():
            if region != row["region"]:
                continue
            machine = attached(name, row["accelerator"], int(row["accelerator_count"]))
            for column, spot in (("price_usd_hour", False), ("spot_price_usd_hour", True)):
                found = price(machine, region, spot=spot)
                assert found is not None
                assert found.usd_hour == pytest.approx(float(row[column]) + float(base[column]), abs=1e-5)
                assert found.source_date == date(2026, 7, 16)
                assert row["accelerator"] in found.basis
            composed += 1
    assert composed > 100


def test_an_n1_machine_with_gpus_has_no_price_where_the_table_lacks_a_part():
    here = {r["region"] for r in ROWS if r["accelerator"] == "nvidia-tesla-t4"}
    n1 = {r["region"] for r in ROWS if r["machine_type"] == "n1-standard-8"}
    machine = attached("n1-standard-8", "nvidia-tesla-t4", 1)
    for region in here ^ n1:
        assert price(machine, region) is None
    assert here ^ n1


def test_machines_agree_with_every_gpu_row():
    for row in GPU_ROWS:
        if row["machine_type"] == "n1-attached-gpu-only":
            assert by_label(row["accelerator"]) is not None
            assert int(row["accelerator_count"]) in by_label(row["accelerator"]).counts
            continue
        machine = machine_type(row["machine_type"])
        assert machine.accelerator == row["accelerator"]
        count = float(row["accelerator_count"])
        assert machine.fraction == (min(1, count))
        assert machine.accelerator_count == max(1, int(count))
        assert (machine.vcpus, machine.memory_gib) == (int(row["vcpus"]), float(row["memory_gib"]))


def test_every_gpu_machine_belongs_to_an_accelerator():
    for machine in machine_types():
        if machine.accelerator:
            kind = by_label(machine.accelerator) or tpu_by_label(machine.accelerator)
            assert machine.name in kind.machine_types


def test_names_are_unique():
    words = [word for known in accelerators() for word in {known.name, known.label, *known.aliases}]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("t4", "nvidia-tesla-t4"),
        ("L4", "nvidia-l4"),
        ("a100", "nvidia-tesla-a100"),
        ("A100_80GB", "nvidia-a100-80gb"),
        ("h100", "nvidia-h100-80gb"),
        ("h100-mega", "nvidia-h100-mega-80gb"),
        ("nvidia-h200-141gb", "nvidia-h200-141gb"),
        ("RTX PRO 6000", "nvidia-rtx-pro-6000"),
        ("gb200", "nvidia-gb200"),
    ],
)
def test_accelerators_by_name(word, label):
    assert accelerator(word).label == label


def test_a_typing_error_gets_the_nearest_choice():
    with pytest.raises(InvalidInput, match=r"'h10'.*did you mean 'h100'"):
        accelerator("h10")


@pytest.mark.parametrize("word", [*tpu_names(), "v5litepod-16", "v5e:2x4", "ct6e-standard-4t", "Trillium"])
def test_a_tpu_is_told_from_a_typing_error(word):
    with pytest.raises(
        InvalidInput, match=r"is a TPU, asked for with --tpu TYPE:TOPOLOGY, for example --tpu (v|tpu)\w+:2x2"
    ):
        accelerator(word)


@pytest.mark.parametrize(
    ("name", "count", "cpu", "memory", "machine"),
    [
        ("l4", 1, 1, 1, "g2-standard-4"),
        ("l4", 1, 3.9, 12, "g2-standard-4"),
        ("l4", 1, 4, 12, "g2-standard-8"),  # GKE keeps a part of the four CPUs
        ("l4", 1, 1, 16, "g2-standard-8"),
        ("l4", 2, 1, 1, "g2-standard-24"),
        ("l4", 1, 30, 100, "g2-standard-32"),
        ("t4", 1, 1, 1, "n1-standard-4"),
        ("t4", 4, 60, 100, "n1-standard-64"),
        ("a100", 16, 1, 1, "a2-megagpu-16g"),
        ("h100", 8, 1, 1, "a3-highgpu-8g"),
        ("rtx-pro-6000", 1, 1, 1, "g4-standard-48"),  # never a part of a GPU unless named
        (None, 0, 1, 2, "e2-standard-2"),
        (None, 0, 7, 20, "n1-standard-8"),
    ],
)
def test_the_smallest_machine_that_holds_it(name, count, cpu, memory, machine):
    found = machine_for(name, count, cpu, memory)
    assert found is not None
    assert found.name == machine
    assert found.accelerator_count == count


def test_no_machine_holds_it():
    assert machine_for("l4", 1, 64, 1) is None  # more CPUs come only with more GPUs
    assert machine_for("t4", 1, 60, 1) is None  # one T4 may be attached to 48 vCPUs at most
    assert machine_for(None, 0, 500, 1) is None


def test_an_impossible_count_names_the_possible_ones():
    with pytest.raises(
        InvalidInput, match=r"no machine has 3 x NVIDIA L4; a node can have: 1, 2, 4, 8; the nearest is --gpu l4:4"
    ):
        machine_for("l4", 3)


@given(
    st.sampled_from(accelerators()).flatmap(lambda a: st.tuples(st.just(a), st.sampled_from(a.counts))),
    st.floats(0, 300),
    st.floats(0, 4000),
)
def test_a_found_machine_really_holds_it(wanted, cpu, memory):
    kind, count = wanted
    found = machine_for(kind, count, cpu, memory)
    if found is not None:
        cpus, gib = allocatable(found)
        assert cpus >= cpu
        assert gib >= memory
        assert (found.accelerator, found.accelerator_count) == (kind.label, count)
        assert found.name in kind.machine_types


def test_what_gke_keeps_for_itself():
    cpus, memory = allocatable(MachineType("x", 4, 16.0))
    assert cpus == pytest.approx(3.92)
    assert memory == pytest.approx(16 - 1 - 0.8 - 0.8 - 100 / 1024)


def test_a_price_grows_stale():
    assert not price("g2-standard-4", "us-central1", today=date(2027, 1, 26)).stale
    assert price("g2-standard-4", "us-central1", today=date(2027, 1, 27)).stale


def test_a_price_without_its_local_ssds_says_so():
    assert "local SSD not included" in price("a3-ultragpu-8g", "us-central1").basis
    assert "SSD" not in price("a3-highgpu-8g", "us-central1").basis
    assert "SSD" not in price(attached("n1-standard-8", "nvidia-tesla-t4", 1), "us-central1").basis


def test_no_price_is_made_up():
    assert price("g2-standard-4", "mars-north1") is None
    assert price("a4-highgpu-8g", "us-central1") is None
    assert price("a4-highgpu-8g", "us-central1", spot=True) is not None
    assert price("a4x-highgpu-4g", "us-central1") is None
    assert price("e2-standard-8", "us-central1") is None


def test_regions_and_zones():
    assert "us-central1" in regions("g2-standard-4")
    assert set(zones("g2-standard-4", "us-central1")) == {
        r["zone"] for r in ROWS if r["machine_type"] == "g2-standard-4" and r["region"] == "us-central1"
    }
    assert zones(attached("n1-standard-4", "nvidia-tesla-t4", 1), "us-central1")
    assert zones("g4-standard-48", "us-central1") == ()


@pytest.mark.parametrize(
    ("location", "region"),
    [
        ("us-central1-a", "us-central1"),
        ("us-central1", "us-central1"),
        ("northamerica-northeast2-b", "northamerica-northeast2"),
    ],
)
def test_the_region_of_a_location(location, region):
    assert region_of(location) == region


def test_importing_the_catalog_reads_no_file():
    code = (
        "import sys, gke_notebook.catalog; from gke_notebook.catalog.tables import rows;"
        "assert rows.cache_info().currsize == 0; assert not {'msgspec', 'kubernetes'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
