"""Which flavors a Workload gets, and the words for why it gets none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.controllers.kueue_flavors import Needs, Quotas, assign, needs, quantities, quantity, reserved

FLAVORS: dict[str, Any] = {
    "spot": {"spec": {"nodeLabels": {"pool": "spot"}}},
    "demand": {"spec": {"nodeLabels": {"pool": "demand"}}},
    "tainted": {"spec": {"nodeTaints": [{"key": "spot", "effect": "NoSchedule"}]}},
}


def quotas(*flavors: tuple[str, str]) -> Quotas:
    """CPU of some flavors, in one group."""
    each = [{"name": name, "resources": [{"name": "cpu", "nominalQuota": cpu}]} for name, cpu in flavors]
    return Quotas({"resourceGroups": [{"coveredResources": ["cpu"], "flavors": each}]})


def wants(cpu: int, name: str = "main", **spec: Any) -> Needs:
    return Needs(name, 1, {"cpu": cpu}, spec)


def test_the_first_flavor_with_room_is_taken():
    found = assign([wants(1000)], quotas(("spot", "1"), ("demand", "1")), {("spot", "cpu"): 500}, FLAVORS)
    assert found.fits
    assert found.pod_sets[0].flavors == {"cpu": "demand"}
    assert found.considered == (
        "main: spot(Preempt;insufficient unused quota for cpu in flavor spot, 500m more needed)"
    )
    assert found.message == ""


def test_more_than_there_is():
    found = assign([wants(1500)], quotas(("spot", "1")), {}, FLAVORS)
    assert not found.fits
    assert found.message == (
        "couldn't assign flavors to pod set main: insufficient quota for cpu in flavor spot, previously considered "
        "podsets requests (0) + current podset request (1500m) > maximum capacity (1)"
    )


def test_pod_sets_of_one_workload_share_the_quota():
    found = assign([wants(600), wants(600, "second")], quotas(("spot", "1")), {}, FLAVORS)
    assert found.pod_sets[0].flavors == {"cpu": "spot"}
    assert not found.fits
    assert "previously considered podsets requests (600m) + current podset request (600m)" in found.message


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, "untolerated taint {spot  NoSchedule <nil>} in flavor tainted"),
        ({"nodeSelector": {"pool": "spot"}}, "flavor demand doesn't match node affinity"),
    ],
)
def test_taints_and_selectors(spec: dict[str, Any], text: str):
    found = assign([wants(1, **spec)], quotas(("tainted", "1"), ("demand", "0")), {}, FLAVORS)
    assert not found.fits
    assert text in found.message


def test_selectors_that_no_flavor_knows_do_not_matter():
    found = assign([wants(1, nodeSelector={"zone": "a"})], quotas(("spot", "1")), {}, FLAVORS)
    assert found.fits


def test_a_required_affinity_chooses_the_flavor():
    term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["demand"]}]}
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    found = assign([wants(1, affinity={"nodeAffinity": rule})], quotas(("spot", "1"), ("demand", "1")), {}, FLAVORS)
    assert found.pod_sets[0].flavors == {"cpu": "demand"}


def test_a_resource_without_quota():
    found = assign([Needs("main", 1, {"cpu": 1, "memory": 1}, {})], quotas(("spot", "1")), {}, FLAVORS)
    assert found.message == "couldn't assign flavors to pod set main: resource memory unavailable in ClusterQueue"
    assert found.pod_sets[0].flavors == {}


def test_a_missing_flavor():
    assert "flavor gone not found" in assign([wants(1)], quotas(("gone", "1")), {}, FLAVORS).message


def test_pods_are_counted_where_they_have_a_quota():
    flavors = [{"name": "spot", "resources": [{"name": "pods", "nominalQuota": 3}]}]
    found = Quotas({"resourceGroups": [{"coveredResources": ["pods"], "flavors": flavors}]})
    assert assign([Needs("main", 3, {}, {})], found, {}, FLAVORS).fits
    assert not assign([Needs("main", 4, {}, {})], found, {}, FLAVORS).fits


def test_what_was_tried_is_not_tried_again_until_something_is_given_back():
    both = quotas(("spot", "1"), ("demand", "2"))
    first = assign([wants(1000), wants(2000, "second"), wants(2000, "third")], both, {}, FLAVORS)
    assert not first.fits
    assert first.flavors_left
    second = assign([wants(1000), wants(2000, "second")], both, {}, FLAVORS, first.last)
    assert second.pod_sets[0].flavors == {"cpu": "demand"}


def test_what_a_workload_asks_for_and_takes():
    pod = {"containers": [{"resources": {"requests": {"cpu": "1500m"}, "limits": {"nvidia.com/gpu": 1}}}]}
    workload = {
        "spec": {"podSets": [{"name": "main", "count": 4, "template": {"spec": pod}}]},
        "status": {"reclaimablePods": [{"name": "main", "count": 1}]},
    }
    (found,) = needs(workload)
    assert (found.count, found.requests) == (3, {"cpu": 4500, "nvidia.com/gpu": 3})
    usage = {"cpu": "6", "nvidia.com/gpu": "4"}
    flavors = {"cpu": "x", "nvidia.com/gpu": "y"}
    assignment = {"name": "main", "count": 4, "resourceUsage": usage, "flavors": flavors}
    workload["status"]["admission"] = {"clusterQueue": "cq", "podSetAssignments": [assignment]}
    assert reserved(workload) == {("x", "cpu"): 4500, ("y", "nvidia.com/gpu"): 3}


def test_amounts_are_written_as_quantities():
    found = {"cpu": 2000, "memory": 3 * 2**20, "ephemeral-storage": 1500, "hugepages-2Mi": 2**21, "pods": 2000}
    assert quantities(found) == {
        "cpu": "2", "memory": "3Mi", "ephemeral-storage": "1500", "hugepages-2Mi": "2Mi", "pods": "2k",
    }  # fmt: skip
    assert quantity("memory", 0) == "0"


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=4), st.integers(0, 8), st.integers(0, 8))
def test_what_fits_stays_within_the_quota(requests: list[int], first: int, second: int):
    wanted = [wants(cpu, f"s{index}") for index, cpu in enumerate(requests)]
    found = assign(wanted, quotas(("spot", str(first)), ("demand", str(second))), {}, FLAVORS)
    if found.fits:
        total = {"spot": 0, "demand": 0}
        for each in found.pod_sets:
            total[each.flavors["cpu"]] += each.needs.requests["cpu"]
        assert total["spot"] <= first * 1000
        assert total["demand"] <= second * 1000
        assert not found.message
    else:
        assert found.message
