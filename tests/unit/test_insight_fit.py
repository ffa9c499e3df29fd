"""Whether a job fits: tables of clusters, quotas and requests, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.catalog.quota_metrics import QuotaMetric, quota_metrics
from gke_notebook.insight.demand import Demand, demand, room
from gke_notebook.insight.fit import fit, here
from gke_notebook.insight.pools import pools_of
from gke_notebook.insight.quota import CloudQuota
from gke_notebook.insight.world import World
from gke_notebook.objects import Condition, Metadata, Node, NodeSpec, NodeStatus, Taint

L4 = "nvidia-l4"
GIB = 2.0**30


def node(name: str, pool: str = "l4-pool", *, gpus: int = 2, zone: str = "us-central1-a", **more: Any) -> Node:
    labels = {
        "cloud.google.com/gke-nodepool": pool,
        "topology.kubernetes.io/zone": zone,
        "node.kubernetes.io/instance-type": "g2-standard-24" if gpus else "e2-standard-8",
    }
    taints: tuple[Taint, ...] = ()
    allocatable: dict[str, str | int] = {"cpu": "23500m", "memory": "80Gi", "pods": "110"}
    if gpus:
        labels["cloud.google.com/gke-accelerator"] = L4
        allocatable["nvidia.com/gpu"] = str(gpus)
        taints = (Taint("nvidia.com/gpu", "present", "NoSchedule"),)
    labels.update(more.get("labels", {}))
    return Node(
        Metadata(name=name, labels=labels),
        NodeStatus(allocatable, allocatable, (Condition("Ready", "True" if more.get("ready", True) else "False"),)),
        NodeSpec((*taints, *more.get("taints", ())), more.get("cordoned", False)),
    )


def wants(pods: int = 1, gpus: int = 1, **more: Any) -> Demand:
    selector = {"cloud.google.com/gke-accelerator": L4} if gpus else {}
    requests = {"cpu": 2.0, "memory": 8 * GIB, **({"nvidia.com/gpu": float(gpus)} if gpus else {})}
    given_: dict[str, Any] = {
        "requests": requests,
        "limits": {key: value for key, value in requests.items() if key != "cpu"},
        "selector": {**selector, **more.pop("selector", {})},
        "tolerations": ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
        "namespace": "research",
        "objects": {"count/jobs.batch": 1, "configmaps": 1, "count/configmaps": 1},
        **more,
    }
    return Demand(pods, **given_)


def pool(name: str = "l4-spot-pool", *, spot: bool = False, most: int | None = 4, **more: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "machineType": "g2-standard-8",
        "accelerators": [{"acceleratorCount": "1", "acceleratorType": L4}],
        **more.pop("config", {}),
    }
    if spot:
        config["spot"] = True
    scaling = {} if most is None else {"enabled": True, "maxNodeCount": most}
    return {"name": name, "config": config, "autoscaling": scaling, "locations": ["us-central1-a"],
            "status": "RUNNING", **more}  # fmt: skip


def world(*nodes: Node, pools: tuple[dict[str, Any], ...] | None = (), **more: Any) -> World:
    made = None if pools is None else pools_of({"nodePools": list(pools)}, nodes)
    return World(nodes=nodes, pools=made, region="us-central1", project="p", **more)


FIXED = pool("l4-pool", most=None, config={"machineType": "g2-standard-24",
             "accelerators": [{"acceleratorCount": "2", "acceleratorType": L4}]})  # fmt: skip


def test_room_is_counted_node_by_node() -> None:
    nodes = [node("a"), node("b")]
    busy = {"a": {"nvidia.com/gpu": 1.0}, "b": {"nvidia.com/gpu": 1.0}}
    assert fit(wants(2), world(*nodes, pools=(FIXED,), used=busy)).verdict == "fits"
    # Two GPUs are free, but not on one node.
    found = fit(wants(1, 2), world(*nodes, pools=(FIXED,), used=busy))
    assert found.verdict == "cannot fit"
    assert "l4-pool" in found.sentence
    assert found.request == "%gke_nodepool resize l4-pool --nodes 3"


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"ready": False}, False),
        ({"cordoned": True}, False),
        ({"taints": (Taint("team", "a", "NoSchedule"),)}, False),
        ({"taints": (Taint("team", "a", "PreferNoSchedule"),)}, True),
        ({"labels": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}}, False),
    ],
)
def test_which_nodes_count(change: dict[str, Any], fits: bool) -> None:
    assert (fit(wants(), world(node("a", **change), pools=(FIXED,))).verdict == "fits") is fits


def test_affinity() -> None:
    term = [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-central1-b"]}]
    assert fit(wants(terms=(term,)), world(node("a"), pools=(FIXED,))).verdict == "cannot fit"
    assert fit(wants(terms=(term,)), world(node("a", zone="us-central1-b"), pools=(FIXED,))).verdict == "fits"


def test_a_pool_that_grows() -> None:
    found = fit(wants(3), world(pools=(pool(spot=True),)))
    assert (found.verdict, found.growth[0].nodes, found.growth[0].provisioning) == ("fits after scale-up", 3, "spot")
    assert found.sentence == "l4-spot-pool grows from 0 to 3 nodes in us-central1-a"
    over = fit(wants(5), world(pools=(pool(spot=True),)))
    assert (over.verdict, over.binding) == ("cannot fit", "the maximum of node pool l4-spot-pool")
    assert over.request == "%gke_nodepool resize l4-spot-pool --max 5"


def test_zones_have_their_own_maximum() -> None:
    two = pool(locations=["us-central1-a", "us-central1-b"], most=2)
    found = fit(wants(4), world(pools=(two,)))
    assert [(one.zone, one.nodes) for one in found.growth] == [("us-central1-a", 2), ("us-central1-b", 2)]
    assert fit(wants(5), world(pools=(two,))).verdict == "cannot fit"
    zoned = wants(3, selector={"topology.kubernetes.io/zone": "us-central1-b"})
    assert fit(zoned, world(pools=(two,))).verdict == "cannot fit"
    total = {**two, "autoscaling": {"enabled": True, "totalMaxNodeCount": 3}}
    assert fit(zoned, world(pools=(total,))).verdict == "fits after scale-up"
    assert fit(wants(4), world(pools=(total,))).verdict == "cannot fit"


@pytest.mark.parametrize(
    ("spot", "metric"), [(True, "PREEMPTIBLE_NVIDIA_L4_GPUS"), (False, "NVIDIA_L4_GPUS"), (False, "GPUS_ALL_REGIONS")]
)
def test_the_project_s_quota_binds(spot: bool, metric: str) -> None:
    region = "" if metric == "GPUS_ALL_REGIONS" else "us-central1"
    quotas = (CloudQuota(QuotaMetric(metric), region, 20, 18, "THE-ID"),)
    assert fit(wants(2), world(pools=(pool(spot=spot),), quotas=quotas)).verdict == "fits after scale-up"
    found = fit(wants(3), world(pools=(pool(spot=spot),), quotas=quotas))
    assert found.verdict == "cannot fit"
    assert found.binding.startswith(f"quota {metric}")
    assert "20 allowed" in found.sentence or "allows 20" in found.sentence
    assert "--quota-id=THE-ID --preferred-value=21" in found.request
    assert "roles/cloudquotas.admin" in found.ask


def test_usage_that_no_api_tells_is_at_least_the_cluster_s_own() -> None:
    labels = {"cloud.google.com/gke-accelerator": "nvidia-h200-141gb"}
    nodes = (node("a", "h200", gpus=8, labels=labels),)
    assert here(nodes) == {"GPUS_PER_GPU_FAMILY (NVIDIA_H200)": 8.0, "GPUS_ALL_REGIONS": 8.0}
    quotas = (CloudQuota(QuotaMetric("GPUS_PER_GPU_FAMILY", "NVIDIA_H200"), "us-central1", 8),)
    config = {"machineType": "a3-ultragpu-8g",
              "accelerators": [{"acceleratorCount": "8", "acceleratorType": "nvidia-h200-141gb"}]}  # fmt: skip
    found = fit(
        wants(1, 8, selector=labels),
        world(*nodes, pools=(pool("h200", config=config),), quotas=quotas, used={"a": {"nvidia.com/gpu": 1.0}}),
    )
    assert found.verdict == "cannot fit"
    assert "GPUS_PER_GPU_FAMILY (NVIDIA_H200)" in found.binding


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "team", "namespace": "research"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


@pytest.mark.parametrize(
    ("resource", "limit", "used", "verdict"),
    [
        ("requests.nvidia.com/gpu", "4", "2", "fits"),
        ("requests.nvidia.com/gpu", "4", "3", "cannot fit"),
        ("requests.cpu", "4", "0", "fits"),
        ("cpu", "3999m", "0", "cannot fit"),
        ("limits.memory", "16Gi", "0", "fits"),
        ("limits.memory", "20Gi", "8Gi", "cannot fit"),
        ("pods", "2", "1", "cannot fit"),
        ("count/jobs.batch", "1", "1", "cannot fit"),
        ("count/configmaps", "5", "4", "fits"),
        ("count/configmaps", "5", "5", "cannot fit"),
        ("requests.google.com/tpu", "0", "0", "fits"),
    ],
)
def test_the_namespace_s_quota(resource: str, limit: str, used: str, verdict: str) -> None:
    found = fit(
        wants(2),
        world(node("a"), node("b"), pools=(FIXED,), resource_quotas=[quota({resource: limit}, {resource: used})]),
    )
    assert found.verdict == verdict
    if verdict == "cannot fit":
        assert found.binding == f"ResourceQuota team: {resource}"
        assert found.request.startswith("kubectl patch resourcequota team --namespace research")


@pytest.mark.parametrize(
    ("scopes", "counts"),
    [
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotBestEffort"]}, True),
        ({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}, False),
        ({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}, True),
    ],
)  # fmt: skip
def test_scopes_of_a_quota(scopes: dict[str, Any], counts: bool) -> None:
    none = [quota({"requests.cpu": "1"}, {}, **scopes)]
    found = fit(wants(), world(node("a"), pools=(FIXED,), resource_quotas=none))
    assert (found.verdict == "cannot fit") is counts


def test_limit_ranges() -> None:
    most = {"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "4Gi"}}]}}
    found = fit(wants(), world(node("a"), pools=(FIXED,), limit_ranges=[most]))
    assert (found.verdict, found.binding) == ("cannot fit", "LimitRange small")
    enough = {"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "8Gi"}}]}}
    assert fit(wants(), world(node("a"), pools=(FIXED,), limit_ranges=[enough])).verdict == "fits"


def queues(nominal: str, used: str) -> dict[str, Any]:
    flavor = {"name": "l4", "resources": [{"name": "nvidia.com/gpu", "nominalQuota": nominal}]}
    usage = [{"name": "l4", "resources": [{"name": "nvidia.com/gpu", "total": used}]}]
    return {
        "local_queues": [{"metadata": {"name": "team"}, "spec": {"clusterQueue": "all"}}],
        "cluster_queues": [{
            "metadata": {"name": "all"},
            "spec": {"resourceGroups": [{"coveredResources": ["nvidia.com/gpu"], "flavors": [flavor]}]},
            "status": {"flavorsUsage": usage},
        }],
    }  # fmt: skip


def test_a_queue() -> None:
    nodes = (node("a"), node("b"))
    assert not fit(wants(2, queue="team"), world(*nodes, pools=(FIXED,), **queues("4", "2"))).queued
    waiting = fit(wants(2, queue="team"), world(*nodes, pools=(FIXED,), **queues("4", "3")))
    assert waiting.verdict == "fits"
    assert "team: nvidia.com/gpu has 1 of 4 left" in waiting.queued
    never = fit(wants(2, queue="team"), world(*nodes, pools=(FIXED,), **queues("1", "0")))
    assert (never.verdict, never.binding) == ("cannot fit", "team: nvidia.com/gpu")


def test_what_may_not_be_seen_is_unknown() -> None:
    assert fit(wants(), World()).verdict == "unknown"
    assert fit(wants(), world(node("a", gpus=0), pools=None)).verdict == "unknown"
    assert fit(wants(), world(node("a"), pools=None)).verdict == "fits"


def test_autopilot_makes_what_is_asked_for() -> None:
    found = fit(wants(2), world(node("a", gpus=0), autopilot=True))
    assert (found.verdict, found.sentence) == ("fits after scale-up", "Autopilot adds 2 nodes")
    quotas = (CloudQuota(QuotaMetric("NVIDIA_L4_GPUS"), "us-central1", 1, 0),)
    assert fit(wants(2), world(node("a", gpus=0), autopilot=True, quotas=quotas)).verdict == "cannot fit"


def test_auto_provisioning_needs_a_limit_of_the_accelerator() -> None:
    assert fit(wants(2), world(provisions={L4: 2.0})).verdict == "fits after scale-up"
    assert fit(wants(3), world(provisions={L4: 2.0})).verdict == "cannot fit"
    assert fit(wants(1), world(provisions={"cpu": 100.0})).verdict == "cannot fit"


def test_a_tpu_slice_stands_in_one_pool() -> None:
    api = {"name": "v5e", "config": {"machineType": "ct5lp-hightpu-4t"}, "locations": ["us-central1-a"],
           "placementPolicy": {"type": "COMPACT", "tpuTopology": "4x4"},
           "autoscaling": {"enabled": True, "maxNodeCount": 4}}  # fmt: skip
    slice_ = Demand(
        4, group=4, requests={"google.com/tpu": 4.0}, namespace="research",
        selector={"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
                  "cloud.google.com/gke-tpu-topology": "4x4"},
        tolerations=({"key": "google.com/tpu", "operator": "Exists"},),
    )  # fmt: skip
    assert fit(slice_, world(pools=(api,))).verdict == "fits after scale-up"
    short = {**api, "autoscaling": {"enabled": True, "maxNodeCount": 2}}
    assert fit(slice_, world(pools=(short, {**short, "name": "other"}))).verdict == "cannot fit"
    two = Demand(8, **{key: getattr(slice_, key) for key in ("requests", "selector", "tolerations")}, group=4,
                 exclusive=True)  # fmt: skip
    found = fit(two, world(pools=(api,)))
    assert found.verdict == "cannot fit"
    assert "node pool v5e is one slice of 4 hosts" in found.sentence
    assert found.request == "%gke_nodepool create v5e-2 --tpu v5e:4x4"
    assert fit(two, world(pools=(api, {**api, "name": "other"}))).verdict == "fits after scale-up"


def test_no_pool_is_near() -> None:
    found = fit(wants(selector={"cloud.google.com/gke-spot": "true"}), world(node("a"), pools=(FIXED,)))
    assert found.verdict == "cannot fit"
    assert found.sentence == "no node pool fits; the nearest is l4-pool: it is not spot"
    assert found.request == "%gke_nodepool create l4 --gpu l4:1 --spot --max 1"


def test_a_pod_larger_than_a_node() -> None:
    found = fit(wants(1, 4), world(node("a"), pools=(FIXED,)))
    assert (found.verdict, found.sentence) == (
        "cannot fit", "one pod asks for 4 GPUs, the largest such node has 2 GPUs",
    )  # fmt: skip


def test_demand_of_a_job() -> None:
    container = {"resources": {"requests": {"cpu": "500m"}, "limits": {"nvidia.com/gpu": "2", "memory": "1Gi"}}}
    spec = {"nodeSelector": {"a": "b"}, "containers": [container, container], "activeDeadlineSeconds": 5}
    job = {"kind": "Job", "metadata": {"namespace": "n", "labels": {"kueue.x-k8s.io/queue-name": "q"}},
           "spec": {"completions": 3, "template": {"spec": spec}}}  # fmt: skip
    found = demand([{"kind": "ConfigMap", "metadata": {}}, job])
    assert found.requests == {"cpu": 1.0, "nvidia.com/gpu": 4.0, "memory": 2 * GIB}
    assert (found.pods, found.queue, found.terminating, found.group) == (3, "q", True, 0)
    assert found.objects == {"count/configmaps": 1, "configmaps": 1, "count/jobs.batch": 1}
    many = {"kind": "JobSet", "metadata": {"namespace": "n"}, "spec": {"replicatedJobs": [
        {"replicas": 2, "template": {"spec": job["spec"]}}]}}  # fmt: skip
    assert (demand([many]).pods, demand([many]).group) == (6, 3)


def test_quota_metrics() -> None:
    assert [str(one) for one in quota_metrics("nvidia-h100-80gb", "spot")] == [
        "PREEMPTIBLE_NVIDIA_H100_GPUS",
        "GPUS_ALL_REGIONS",
    ]
    assert [str(one) for one in quota_metrics("tpu-v6e-slice", "flex-start")] == [
        "PREEMPTIBLE_TPUS_PER_TPU_FAMILY (CT6E)"
    ]
    assert quota_metrics("nvidia-l4", "reservation") == ()


@given(
    free=st.lists(st.integers(0, 8), max_size=6),
    each=st.integers(1, 4),
    pods=st.integers(1, 20),
    most=st.integers(0, 6),
    limit=st.integers(0, 30),
)
def test_what_fits_can_be_packed(free: list[int], each: int, pods: int, most: int, limit: int) -> None:
    """The verdict agrees with packing pod by pod, and growth keeps within the pool's maximum and the quota."""
    nodes = [node(f"n{number}", gpus=8) for number in range(len(free))]
    used = {f"n{number}": {"nvidia.com/gpu": 8.0 - number_free} for number, number_free in enumerate(free)}
    quotas = (CloudQuota(QuotaMetric("NVIDIA_L4_GPUS"), "us-central1", limit, 0),)
    grows = pool("more", most=most, config={"machineType": "g2-standard-48",
                 "accelerators": [{"acceleratorCount": "4", "acceleratorType": L4}]})  # fmt: skip
    found = fit(wants(pods, each), world(*nodes, pools=(FIXED, grows), used=used, quotas=quotas))
    now = sum(number // each for number in free)
    new_nodes = min(most, limit // 4)
    assert sum(one.nodes for one in found.growth) <= new_nodes
    assert found.free == min(now, pods)
    expected = (
        "fits" if now >= pods else "fits after scale-up" if now + new_nodes * (4 // each) >= pods else "cannot fit"
    )
    assert found.verdict == expected, found
    if expected == "cannot fit":
        assert found.binding


@given(st.integers(1, 100), st.floats(0, 1000), st.floats(0.01, 100))
def test_room(pods: int, free: float, each: float) -> None:
    number = room(Demand(pods, requests={"cpu": each}), {"cpu": free})
    assert 0 <= number <= pods
    assert number * each <= free + 2e-6 * max(1, number)
