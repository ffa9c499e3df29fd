"""From SKUs of the Cloud Billing Catalog to machine prices: what matches, what must not, and that sums are right."""

from __future__ import annotations

import pytest

from gke_notebook.catalog import machine_type
from gke_notebook.catalog.price_files import packaged
from gke_notebook.catalog.skus import CLOUD_TPU, COMPUTE_ENGINE, Part, amount, compose, part
from gke_notebook.sandbox.gke import billing
from gke_notebook.sandbox.gke.skus import SSD_MONTH, skus

DAY = "2026-11-25"


def sku(description, usd=1.0, usage="OnDemand", unit="h", regions=("us-central1",)):
    units, nanos = divmod(round(usd * 1e9), 10**9)
    price = {"currencyCode": "USD", "units": str(units), "nanos": nanos}
    expression = {"usageUnit": unit, "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}]}
    return {
        "description": description,
        "category": {"usageType": usage},
        "serviceRegions": list(regions),
        "pricingInfo": [{"pricingExpression": expression}],
    }


@pytest.mark.parametrize(
    ("description", "usage", "unit", "wanted"),
    [
        ("G2 Instance Core running in Americas", "OnDemand", "h", ("core", "g2", "on-demand")),
        ("G2 Instance Ram running in Americas", "OnDemand", "GiBy.h", ("ram", "g2", "on-demand")),
        ("N1 Predefined Instance Core running in Americas", "OnDemand", "h", ("core", "n1", "on-demand")),
        ("A3Plus Instance Core running in Iowa", "OnDemand", "h", ("core", "a3plus", "on-demand")),
        ("Spot Preemptible A3Ultra Instance Ram running in Iowa", "Preemptible", "GiBy.h", ("ram", "a3ultra", "spot")),
        ("DWS Defined Duration A2 Core running in Americas", "OnDemand", "h", ("core", "a2", "flex-start")),
        ("Nvidia L4 GPU running in Americas", "OnDemand", "h", ("gpu", "nvidia-l4", "on-demand")),
        ("Nvidia Tesla A100 80GB GPU running in Americas", "OnDemand", "h", ("gpu", "nvidia-a100-80gb", "on-demand")),
        ("Nvidia Tesla A100 GPU running in Americas", "OnDemand", "h", ("gpu", "nvidia-tesla-a100", "on-demand")),
        ("Nvidia H100 80GB Plus GPU running in Iowa", "OnDemand", "h", ("gpu", "nvidia-h100-mega-80gb", "on-demand")),
        ("Nvidia H100 80GB GPU running in Americas", "OnDemand", "h", ("gpu", "nvidia-h100-80gb", "on-demand")),
        ("RTX 6000 96GB running in Americas", "OnDemand", "h", ("gpu", "nvidia-rtx-pro-6000", "on-demand")),
        (
            "Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", "Preemptible", "h",
            ("gpu", "nvidia-l4", "spot"),
        ),
        (  # filed as on demand, and none
            "Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Americas", "OnDemand", "h",
            ("gpu", "nvidia-b200", "spot"),
        ),
        (
            "Nvidia Tesla A100 GPU attached to DWS Defined Duration VMs running in Americas", "OnDemand", "h",
            ("gpu", "nvidia-tesla-a100", "flex-start"),
        ),
        ("TpuV6e running in Columbus", "OnDemand", "h", ("chip", "tpu-v6e-slice", "on-demand")),
        ("TPU7x running in Iowa", "OnDemand", "h", ("chip", "tpu7x", "on-demand")),
        ("DWS Defined Duration V6e running in Columbus", "OnDemand", "h", ("chip", "tpu-v6e-slice", "flex-start")),
        (
            "TpuV5e attached to Spot Preemptible VMs running in Columbus", "Preemptible", "h",
            ("chip", "tpu-v5-lite-podslice", "spot"),
        ),
        ("SSD backed Local Storage running in Americas", "OnDemand", "GiBy.mo", ("ssd", "", "on-demand")),
        (
            "SSD backed Local Storage attached to Spot Preemptible VMs running in Americas", "Preemptible", "GiBy.mo",
            ("ssd", "", "spot"),
        ),
        ("Commitment v1: G2 Cpu in Americas for 1 Year", "Commit1Yr", "h", ("core", "g2", "1y")),
        ("Commitment v1: Cpu in Americas for 3 Years", "Commit3Yr", "h", ("core", "n1", "3y")),
        ("Commitment v1: Nvidia L4 GPU running in Americas for 3 Years", "Commit3Yr", "h", ("gpu", "nvidia-l4", "3y")),
        ("Commitment v1: Local SSD in Americas for 1 Year", "Commit1Yr", "GiBy.mo", ("ssd", "", "1y")),
    ],
)  # fmt: skip
def test_what_a_sku_prices(description, usage, unit, wanted):
    assert part(sku(description, usage=usage, unit=unit)) == Part(*wanted)


@pytest.mark.parametrize(
    "description",
    [
        "A2 Sole Tenancy Instance Core running in Americas",
        "Reserved A3 Instance Core running in Americas",
        "Reserved Nvidia H100 80GB GPU running in Americas",
        "Custom Instance Core running in Americas",
        "N1 Extended Instance Core running in Americas",
        "Memory Optimized Upgrade Premium for Memory-optimized Instance Core running in Americas",
        "Nvidia H100 80GB GPU attached to DWS Calendar Mode VMs running in Americas",
        "DWS Calendar Mode A3 Core running in Americas",
        "Capacity Optimized TpuV6e running in Columbus",
        "Commitment v1: G2 Cpu in Americas for 1 Year",  # not filed as a commitment
        "C4A Arm Instance Core running in Americas",
        "Nvidia GB300 GPU running in Americas",
        "Network Inter Zone Egress",
        "TpuV2 running in Columbus",
        "",
    ],
)
def test_what_is_no_plain_price(description):
    assert part(sku(description)) is None


def test_a_price_in_another_unit_is_not_taken_for_one_by_the_hour():
    assert part(sku("G2 Instance Core running in Americas", unit="mo")) is None
    assert part(sku("G2 Instance Ram running in Americas", unit="h")) is None


def test_an_amount_is_units_and_nanos_by_the_hour():
    assert amount(sku("x", 9.796550001)) == pytest.approx(9.796550001)
    assert amount(sku("SSD backed Local Storage", 0.073, unit="GiBy.mo")) == pytest.approx(0.0001)
    assert amount({"pricingInfo": []}) is None
    euro = sku("x")
    euro["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["currencyCode"] = "EUR"
    assert amount(euro) is None


def parts_of_a3(**other):
    return [
        sku("A3 Instance Core running in Americas", 0.03),
        sku("A3 Instance Ram running in Americas", 0.002, unit="GiBy.h"),
        sku("Nvidia H100 80GB GPU running in Americas", 9.8),
        sku("SSD backed Local Storage running in Americas", 0.073, unit="GiBy.mo"),
        *(sku(text, usd, "Preemptible", "GiBy.h" if "Ram" in text else "h") for text, usd in other.items()),
    ]


def rows_of(found):
    return {(row["machine_type"], row["region"]): row for row in found.rows}


def test_a_machine_is_cores_memory_gpus_and_its_local_ssds():
    row = rows_of(compose(parts_of_a3(), DAY))["a3-highgpu-8g", "us-central1"]
    assert row["usd_hour"] == pytest.approx(208 * 0.03 + 1872 * 0.002 + 8 * 9.8 + 16 * 375 * 0.0001)
    assert row["source_date"] == DAY
    bare = rows_of(compose(parts_of_a3(), DAY))["a3-highgpu-8g-nolssd", "us-central1"]
    assert row["usd_hour"] - bare["usd_hour"] == pytest.approx(0.6)


def test_a_machine_without_one_of_its_parts_has_no_price():
    for left_out in range(4):
        parts = parts_of_a3()
        del parts[left_out]
        assert ("a3-highgpu-8g", "us-central1") not in rows_of(compose(parts, DAY))


def test_a_spot_price_above_the_list_price_is_left_out_and_said():
    skus_ = [sku("TpuV5p running in Iowa", 4.2), sku("TpuV5p attached to Spot Preemptible VMs", 5.0, "Preemptible")]
    found = compose(skus_, DAY)
    row = rows_of(found)["ct5p-hightpu-4t", "us-central1"]
    assert (row["usd_hour"], row["spot_usd_hour"]) == (16.8, None)
    assert found.rejected == ("ct5p-hightpu-4t in us-central1: spot 20.0 is above 16.8 on demand",)


def test_of_two_prices_for_the_same_part_the_dearer_counts():
    prices = [sku("TpuV5p running in Iowa", 4.2), sku("TpuV5p running in Iowa", 2.1)]
    for order in (prices, prices[::-1]):
        assert rows_of(compose(order, DAY))["ct5p-hightpu-4t", "us-central1"]["usd_hour"] == 16.8


def test_only_the_regions_that_are_wanted():
    found = compose([sku("TpuV5p running in Iowa", 4.2, regions=["us-central1", "us-east5"])], DAY, ["us-east5"])
    assert {row["region"] for row in found.rows} == {"us-east5"}


def test_attached_gpus_are_priced_by_their_count():
    found = compose([sku("Nvidia Tesla T4 GPU running in Americas", 0.35)], DAY)
    assert [(row["accelerator"], row["accelerator_count"], row["usd_hour"]) for row in found.rows] == [
        ("nvidia-tesla-t4", 1, 0.35), ("nvidia-tesla-t4", 2, 0.7), ("nvidia-tesla-t4", 4, 1.4),
    ]  # fmt: skip


def pages_of(service, size):
    token, found = "", []
    for _ in range(1000):
        status, body = billing.answer("GET", f"/v1/services/{service}/skus", {"pageSize": size, "pageToken": token})
        assert status == 200
        found += body["skus"]
        token = body["nextPageToken"]
        if not token:
            return found
    raise AssertionError("the pages do not end")


def test_the_sandbox_lists_its_skus_page_by_page():
    whole = pages_of(COMPUTE_ENGINE, "5000")
    assert whole == list(skus(COMPUTE_ENGINE)) == pages_of(COMPUTE_ENGINE, "97")
    ids = [one["skuId"] for one in (*whole, *pages_of(CLOUD_TPU, "10"))]
    assert len(ids) == len(set(ids))
    status, body = billing.answer("GET", "/v1/services", {})
    assert status == 200
    assert [one["serviceId"] for one in body["services"]] == [COMPUTE_ENGINE, CLOUD_TPU]


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/v1/services/0000-0000-0000/skus", {}, 404),
        ("POST", "/v1/services", {}, 404),
        ("GET", "/v1/services/x/y", {}, 404),
        ("GET", f"/v1/services/{COMPUTE_ENGINE}/skus", {"pageSize": "-1"}, 400),
        ("GET", f"/v1/services/{COMPUTE_ENGINE}/skus", {"pageToken": "../x"}, 400),
        ("GET", f"/v1/services/{COMPUTE_ENGINE}/skus", {"currencyCode": "EUR"}, 400),
    ],
)
def test_the_sandbox_refuses_as_the_api_does(method, path, query, status):
    code, body = billing.answer(method, path, query)
    assert (code, body["error"]["code"]) == (status, status)


def test_the_sandbox_s_skus_add_up_to_the_table_again_and_its_traps_are_left_out():
    found = compose([*skus(COMPUTE_ENGINE), *skus(CLOUD_TPU)], DAY)
    assert found.matched < found.skus
    assert not found.rejected
    got = {(r["machine_type"], r["accelerator"], r["accelerator_count"], r["region"]): r for r in found.rows}
    checked = 0
    for key, row in packaged().items():
        for kind, column, listed in (("on-demand", "usd_hour", row.on_demand), ("spot", "spot_usd_hour", row.spot)):
            composed = got[key][column]
            if listed is None:
                assert composed is None, key
                continue
            # These rows of the table leave the local SSDs out, which the SKUs bring in; a B200 is priced as a whole.
            disks = machine_type(key[0]).local_ssds if row.without_ssd and not key[0].startswith("a4-") else 0
            assert composed == pytest.approx(listed + disks * 375 * SSD_MONTH[kind] / 730, abs=0.005), key
            checked += 1
    assert checked > 850


def test_flex_start_and_commitments_come_from_the_skus_too():
    found = compose(skus(COMPUTE_ENGINE), DAY)
    row = rows_of(found)["g2-standard-48", "us-central1"]
    assert row["usd_hour_1y"] == pytest.approx(2.5210, abs=0.005)
    assert row["usd_hour_3y"] == pytest.approx(1.8007, abs=0.005)
    assert 0 < row["flex_usd_hour"] < row["usd_hour"]
    # The zero that stands beside it is no price.
    assert rows_of(found)["a3-megagpu-8g", "us-central1"]["flex_usd_hour"] is None
