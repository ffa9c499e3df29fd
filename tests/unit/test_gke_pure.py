"""The pure parts of the sandbox's Google Cloud: clock, requests, shapes, quotas, what a node is made of."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook import catalog
from gke_notebook.sandbox.gke import capacity, operations, pool_rules, quotas, seeds, shapes, wire
from gke_notebook.sandbox.gke.clock import Clock, timestamp
from gke_notebook.sandbox.gke.container import quota_text
from gke_notebook.sandbox.gke.failures import ApiFailure
from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.sandbox.gke.state import Operation, Pool
from gke_notebook.sandbox.instances import Instance
from gke_notebook.sandbox.node import images, machines, status

ROOT = Path(__file__).parents[2]


def test_the_clock_goes_on_at_another_pace() -> None:
    wall = 100.0
    clock = Clock(20.0, start=5.0, wall=lambda: wall)
    assert clock.now() == 5.0
    wall = 101.0
    assert (clock.now(), clock.until(65.0), clock.real(2)) == (25.0, 2.0, 40.0)
    clock.set_factor(1.0)
    wall = 103.0
    assert (clock.now(), clock.until(27.0)) == (27.0, 0.0)
    wall = 50.0  # set back
    assert clock.now() == 25.0
    for bad in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(ValueError, match="must be between"):
            clock.set_factor(bad)
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"


def test_the_fields_are_those_of_the_installed_api() -> None:
    found = importlib.util.spec_from_file_location("generate_gke", ROOT / ".ci" / "schema" / "generate_gke.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert module.TARGET.read_text() == module.text()


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["nodePool", "config", "name", "node_pool", "spot", "accelerators", "labels", "x", "diskSizeGb",
                         "autoscaling", "taints", "effect", "maxRunDuration", "acceleratorCount", "locationPolicy"]),
        inner, max_size=4,
    ),
    max_leaves=20,
))  # fmt: skip
def test_any_request_is_read_or_refused(value: Any) -> None:
    raw = json.dumps(value).encode()
    try:
        read = wire.parse("CreateNodePoolRequest", raw)
    except ApiFailure as failure:
        assert failure.code == 400  # noqa: PT017 - either outcome is right
        return
    assert wire.parse("CreateNodePoolRequest", json.dumps(read).encode()) == read
    spec = pool_rules.completed(read.get("nodePool") or {})
    with pytest.raises(ApiFailure) if not read.get("nodePool", {}).get("name") else _either():
        pool_rules.check(spec)


class _either:
    """Takes a refusal or none."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, ApiFailure)


def test_every_spelling_is_one() -> None:
    camel = {"nodePool": {"name": "a", "initialNodeCount": 2, "config": {
        "accelerators": [{"acceleratorCount": "1", "acceleratorType": "nvidia-l4"}],
        "taints": [{"key": "k", "effect": "NO_SCHEDULE"}], "maxRunDuration": "60s",
    }}}  # fmt: skip
    snake = {"node_pool": {"name": "a", "initial_node_count": "2", "config": {
        "accelerators": {"accelerator_count": 1, "accelerator_type": "nvidia-l4"},
        "taints": [{"key": "k", "effect": 1}], "max_run_duration": "60s", "labels": None,
    }}}  # fmt: skip
    read = [wire.parse("CreateNodePoolRequest", json.dumps(one).encode()) for one in (camel, snake)]
    assert read[0] == read[1] == camel


def test_capacity_is_where_the_catalog_says() -> None:
    for zone in capacity.zones_of("us-central1"):
        for label in capacity.accelerators_in(zone):
            assert capacity.amount(label, zone) > 0
            assert catalog.by_label(label) or catalog.tpu_by_label(label)
    assert capacity.amount("nvidia-l4", "us-central1-f") == 0
    assert (capacity.region_of("us-central1-a"), capacity.region_of("us-central1-z")) == ("us-central1", "")


@pytest.mark.parametrize(
    ("accelerator", "provisioning", "metric"),
    [
        ("nvidia-l4", "standard", "NVIDIA_L4_GPUS"), ("nvidia-l4", "spot", "PREEMPTIBLE_NVIDIA_L4_GPUS"),
        ("nvidia-l4", "flex-start", "PREEMPTIBLE_NVIDIA_L4_GPUS"),
        ("nvidia-h100-80gb", "standard", "GPUS_PER_GPU_FAMILY:NVIDIA_H100"),
        ("nvidia-h100-80gb", "spot", "PREEMPTIBLE_NVIDIA_H100_GPUS"),
        ("tpu-v6e-slice", "standard", "TPUS_PER_TPU_FAMILY:CT6E"), ("", "spot", ""),
    ],
)  # fmt: skip
def test_which_quota_is_taken(accelerator: str, provisioning: str, metric: str) -> None:
    assert quotas.metric_of(accelerator, provisioning) == metric
    if metric:
        assert metric in quotas.metrics()
        assert quotas.limit(metric, "us-central1") > 0
        assert quotas.limit(metric, "us-central1", [Fault("quota", metric=metric, limit=1)]) == 1


def test_the_words_of_a_quota() -> None:
    assert quota_text("NVIDIA_L4_GPUS", 4, 8, 6).startswith(
        "Insufficient regional quota to satisfy request: resource \"NVIDIA_L4_GPUS\": request requires '4.0' and is "
        "short '2.0'. project has a quota of '8.0' with '2.0' available."
    )


def made(machine: str, *, zone: str = "us-central1-a", pods: int = 110, **more: Any) -> Instance:
    spec = {"name": "p", "config": {"machineType": machine, **more.pop("config", {})}, "locations": [zone], **more}
    spec["maxPodsConstraint"] = {"maxPodsPerNode": str(pods)}
    return shapes.new_instance(Pool(pool_rules.completed(spec)), zone, "n")


def node(instance: Instance) -> dict[str, Any]:
    return machines.node_object(instance, port=1, version="v1.34.4", now="2026-01-01T00:00:00Z")


def test_a_host_of_a_tpu_slice() -> None:
    placement = {"type": "COMPACT", "tpuTopology": "4x4"}
    found = node(made("ct5lp-hightpu-4t", placementPolicy=placement, pods=15))
    labels = found["metadata"]["labels"]
    assert labels["cloud.google.com/gke-tpu-accelerator"] == "tpu-v5-lite-podslice"
    assert labels["cloud.google.com/gke-tpu-topology"] == "4x4"
    assert labels["cloud.google.com/gke-accelerator-count"] == "4"
    assert labels["gke-notebook.dev/simulated"] == "true"
    assert "cloud.google.com/gke-accelerator" not in labels
    assert found["status"]["allocatable"]["google.com/tpu"] == "4"
    assert found["status"]["capacity"]["pods"] == "15"
    assert found["spec"]["taints"] == [{"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}]
    alone = node(made("ct5lp-hightpu-8t"))
    assert alone["metadata"]["labels"]["cloud.google.com/gke-tpu-topology"] == "2x4"


def test_labels_of_provisioning_and_place() -> None:
    spot = node(made("g2-standard-8", zone="us-central1-b", config={"spot": True, "labels": {"team": "vision"}}))
    labels = spot["metadata"]["labels"]
    assert (labels["cloud.google.com/gke-spot"], labels["cloud.google.com/gke-provisioning"]) == ("true", "spot")
    assert (labels["topology.kubernetes.io/zone"], labels["topology.kubernetes.io/region"]) == (
        "us-central1-b", "us-central1",
    )  # fmt: skip
    assert labels["team"] == "vision"
    assert spot["spec"]["providerID"] == "gce://sandbox/us-central1-b/n"
    flex = made("g2-standard-8", config={"flexStart": True})
    flex.termination = 1_800_000_000.0
    found = node(flex)
    labels = found["metadata"]["labels"]
    assert labels["cloud.google.com/gke-provisioning"] == "flex-start"
    assert labels["cloud.google.com/gke-flex-start"] == "true"
    assert labels["cloud.google.com/gke-max-run-duration-seconds"] == "604800"
    assert found["metadata"]["annotations"] == {"node.gke.io/machine-termination-datetime": "2027-01-15T08:00:00Z"}


def test_shared_and_partitioned_gpus_are_more_devices() -> None:
    def gpus(machine: str, **entry: Any) -> dict[str, Any]:
        return node(made(machine, config={"accelerators": [{"acceleratorCount": "1", **entry}]}))

    sharing = {"gpuSharingStrategy": "TIME_SHARING", "maxSharedClientsPerGpu": "3"}
    shared = gpus("g2-standard-8", acceleratorType="nvidia-l4", gpuSharingConfig=sharing)
    assert shared["status"]["allocatable"]["nvidia.com/gpu"] == "3"
    labels = shared["metadata"]["labels"]
    assert labels["cloud.google.com/gke-gpu-sharing-strategy"] == "time-sharing"
    assert labels["cloud.google.com/gke-max-shared-clients-per-gpu"] == "3"
    parted = gpus("a2-highgpu-1g", acceleratorType="nvidia-tesla-a100", gpuPartitionSize="1g.5gb")
    assert parted["status"]["allocatable"]["nvidia.com/gpu"] == "7"
    assert parted["metadata"]["labels"]["cloud.google.com/gke-gpu-partition-size"] == "1g.5gb"


def test_seeds_can_be() -> None:
    state = seeds.new_state(3)
    for pool in state.pools.values():
        if pool.runs_processes:
            pool_rules.check({**pool.spec, "initialNodeCount": 0})
    for (metric, region), used in quotas.used(state.instances.values(), state.reservations.values()).items():
        assert used <= quotas.limit(metric, region), metric


def test_old_operations_are_forgotten() -> None:
    known = {str(index): Operation(str(index), "CREATE_NODE_POOL", "p", "DONE") for index in range(100)}
    known["50"].status = "RUNNING"
    operations.forget_old(known)
    assert len(known) == operations.KEPT + 1
    assert {"50", "99"} <= set(known)


def test_the_slowest_pull_counts() -> None:
    slow = (("pytorch/*", 30.0), ("*", 5.0))
    assert [images.pull_seconds(image, slow) for image in ("pytorch/pytorch:2", "python")] == [30.0, 5.0]
    assert images.pull_seconds("python", ()) == 0.0


def test_a_pod_that_ends_with_its_node() -> None:
    record = status.ContainerRecord("main", state={"running": {}})
    found = status.pod_status(
        [record], previous={}, started="", now="2026-01-01T00:00:00Z", terminal=True, failed=status.NODE_SHUTDOWN
    )
    assert (found["phase"], found["reason"]) == ("Failed", "Terminated")
    assert found["message"] == "Pod was terminated in response to imminent node shutdown."
    conditions = {one["type"]: (one["status"], one.get("reason")) for one in found["conditions"]}
    assert conditions["DisruptionTarget"] == ("True", "TerminationByKubelet")
