"""Quotas of a project over REST: against the sandbox's Google Cloud, and where rights or entries are missing."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.cloud.quotas import _of_info, read
from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.session.usage import BoundPod, Usage
from tests.support.google import google
from tests.support.pool_session import target


async def test_quotas_of_the_sandbox() -> None:
    async with google(factor=2000.0) as cloud:
        found, troubles = await asyncio.to_thread(lambda: read(target(cloud.url), "us-central1"))
    by_name = {(str(one.metric), one.region): one for one in found}
    assert troubles == ()
    spot = by_name["PREEMPTIBLE_NVIDIA_L4_GPUS", "us-central1"]
    assert (spot.limit, spot.usage, spot.quota_id) == (20.0, 0.0, "PREEMPTIBLE-NVIDIA-L4-GPUS-per-project-region")
    assert by_name["GPUS_ALL_REGIONS", ""].limit == 64.0
    h200 = by_name["GPUS_PER_GPU_FAMILY (NVIDIA_H200)", "us-central1"]
    assert (h200.limit, h200.usage) == (8.0, None), "no API says what is used of it"
    assert ("TPUS_PER_TPU_FAMILY (CT6E)", "us-central1") in by_name
    assert not any(str(one.metric).startswith("CPUS") for one in found)


async def test_what_may_not_be_read_is_said_and_the_rest_is_read() -> None:
    async with google(factor=2000.0) as cloud:
        other = target(cloud.url)
        elsewhere = type(other)("other", other.location, other.cluster, other.address, other.signed_in)
        found, troubles = await asyncio.to_thread(lambda: read(elsewhere, "us-central1"))
    assert found == ()
    assert len(troubles) == 2
    assert "roles/compute.viewer" in troubles[0]
    assert "roles/cloudquotas.viewer" in troubles[1]


async def test_a_service_that_is_busy_is_asked_again() -> None:
    async with google(factor=2000.0) as cloud:
        cloud.fleet.add_fault(Fault("api-errors", code=503, count=2))
        found, _ = await asyncio.to_thread(lambda: read(target(cloud.url), "us-central1"))
    assert found


def test_the_most_specific_entry_counts() -> None:
    def entry(value: int, **dimensions: str) -> dict[str, Any]:
        return {"dimensions": dimensions, "details": {"value": str(value)}, "applicableLocations": ["us-central1"]}

    info = {"quotaId": "THE-ID", "dimensionsInfos": [
        entry(8, region="us-central1", gpu_family="NVIDIA_H100"),
        entry(4, region="europe-west4", gpu_family="NVIDIA_H100"),
        entry(1, gpu_family="NVIDIA_H100"), entry(2, gpu_family="NVIDIA_B200"), entry(0),
    ]}  # fmt: skip
    found = list(_of_info(info, "GPUS_PER_GPU_FAMILY", "gpu_family", "us-central1"))
    assert [(one.metric.family, one.limit, one.quota_id) for one in found] == [
        ("NVIDIA_H100", 8.0, "THE-ID"), ("NVIDIA_B200", 2.0, "THE-ID"),
    ]  # fmt: skip


def pod(name: str, node: str, cpu: int) -> BoundPod:
    container = {"resources": {"requests": {"cpu": str(cpu)}, "limits": {"nvidia.com/gpu": "1"}}}
    return msgspec.convert(
        {"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [container]}}, BoundPod
    )


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["", "a", "b"]), st.integers(0, 3), st.booleans())))
def test_sums_kept_by_changes_are_those_of_a_new_list(changes: list[tuple[int, str, int, bool]]) -> None:
    usage, there = Usage(), {}
    for number, node, cpu, stays in changes:
        key = ("default", f"pod-{number}")
        previous = there.pop(key, None)
        if stays:
            there[key] = pod(key[1], node, cpu)
        if stays or previous is not None:
            usage.changed(key, there.get(key), previous)
    fresh = Usage()
    fresh.replaced(there)
    kept = {node: {name: number for name, number in sums.items() if number} for node, sums in usage.by_node.items()}
    assert {node: sums for node, sums in kept.items() if sums} == {
        node: {name: number for name, number in sums.items() if number} for node, sums in fresh.by_node.items()
    }
