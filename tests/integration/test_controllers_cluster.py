"""Scheduling, garbage collection, namespaces and nodes on the running server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from gke_notebook.cluster.resources import (
    CONFIG_MAPS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Resource,
)
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers import nodes as node_controller
from tests.support.controlled_cluster import Cluster, Object, has_condition, pod_spec, running_cluster

PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as running:
        yield running


async def test_a_deleted_job_takes_its_pods_along(cluster: Cluster) -> None:
    await cluster.job()
    await cluster.status(active=2, ready=2)
    await cluster.client.delete(JOBS, "digits")
    await cluster.gone(JOBS, "digits")

    async def none() -> bool:
        return not await cluster.pods()

    await cluster.until(none)


async def test_foreground_deletion_keeps_the_job_until_its_pods_are_gone(cluster: Cluster) -> None:
    await cluster.job()
    await cluster.status(active=2, ready=2)
    cluster.kubelet.silent = True
    await cluster.client.delete(JOBS, "digits", propagation="Foreground")

    async def all_deleting() -> bool:
        pods = await cluster.pods()
        free = [p for p in pods if p["metadata"].get("deletionTimestamp") and not p["metadata"].get("finalizers")]
        return len(free) == 2

    await cluster.until(all_deleting)
    job = await cluster.client.get(JOBS, "digits")
    assert job["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert len(await cluster.pods()) == 2
    cluster.kubelet.silent = False
    cluster.kubelet.replaced(cluster.kubelet.reflector.objects)
    await cluster.gone(JOBS, "digits")
    assert not await cluster.pods()


async def test_orphaned_pods_stay(cluster: Cluster) -> None:
    await cluster.job()
    await cluster.status(active=2, ready=2)
    await cluster.client.delete(JOBS, "digits", propagation="Orphan")
    await cluster.gone(JOBS, "digits")

    async def free() -> bool:
        return not any(pod["metadata"].get("finalizers") for pod in await cluster.pods())

    await cluster.until(free)
    pods = await cluster.pods()
    assert len(pods) == 2
    assert not any(pod["metadata"].get("ownerReferences") or pod["metadata"].get("deletionTimestamp") for pod in pods)


async def test_what_has_lost_its_owners_goes_and_what_keeps_one_stays(cluster: Cluster) -> None:
    def config(name: str, *owners: Object) -> Object:
        references = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]}
            for o in owners
        ]
        metadata = {"name": name, "namespace": "default", "ownerReferences": references}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    owner, other = [await cluster.client.create(CONFIG_MAPS, config(name)) for name in ("owner", "other")]
    never = {"metadata": {"name": "owner", "uid": "never-existed"}}
    await cluster.client.create(CONFIG_MAPS, config("one", owner))
    await cluster.client.create(CONFIG_MAPS, config("both", owner, other))
    await cluster.client.create(CONFIG_MAPS, config("dangling", never))
    await cluster.gone(CONFIG_MAPS, "dangling")
    await cluster.client.delete(CONFIG_MAPS, "owner")
    await cluster.gone(CONFIG_MAPS, "one")

    async def dropped() -> bool:
        both = await cluster.client.get(CONFIG_MAPS, "both")
        return [item["name"] for item in both["metadata"]["ownerReferences"]] == ["other"]

    await cluster.until(dropped)


async def test_a_finished_job_is_deleted_after_its_time(cluster: Cluster) -> None:
    cluster.kubelet.ending = {"0": 0, "1": 0}
    await cluster.job(ttlSecondsAfterFinished=0)
    await cluster.gone(JOBS, "digits")

    async def none() -> bool:
        return not await cluster.pods()

    await cluster.until(none)


async def test_a_pod_that_fits_nowhere_says_why_until_a_node_comes(cluster: Cluster) -> None:
    pod = await cluster.pod("wide", **pod_spec(cpu="16"))
    text = (
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )

    async def said() -> Object | None:
        return has_condition(await cluster.client.get(PODS, "wide"), "PodScheduled", "False")

    condition = await cluster.until(said)
    assert (condition["reason"], condition["message"]) == ("Unschedulable", text)
    event = await cluster.event("FailedScheduling")
    assert (event["message"], event["type"]) == (text, "Warning")
    assert event["reportingComponent"] == "default-scheduler"
    assert event["involvedObject"]["uid"] == pod["metadata"]["uid"]
    await cluster.node("large", cpu="32")

    async def bound() -> bool:
        return (await cluster.client.get(PODS, "wide"))["spec"].get("nodeName") == "large"

    await cluster.until(bound)


async def test_a_gated_pod_waits_for_its_gate(cluster: Cluster) -> None:
    await cluster.pod("gated", schedulingGates=[{"name": "example.com/wait"}])

    async def said() -> Object | None:
        return has_condition(await cluster.client.get(PODS, "gated"), "PodScheduled", "False")

    assert (await cluster.until(said))["reason"] == "SchedulingGated"
    await cluster.client.patch(PODS, "gated", {"spec": {"schedulingGates": []}})

    async def bound() -> bool:
        return bool((await cluster.client.get(PODS, "gated"))["spec"].get("nodeName"))

    await cluster.until(bound)


async def test_room_is_used_again(cluster: Cluster) -> None:
    await cluster.node("gpu", **{"nvidia.com/gpu": "1"})
    spec = pod_spec(**{"nvidia.com/gpu": "1"})
    spec["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    await cluster.pod("first", **spec)

    async def node_of(name: str) -> str | None:
        found: str | None = (await cluster.client.get(PODS, name))["spec"].get("nodeName")
        return found

    await cluster.until(lambda: node_of("first"))
    await cluster.pod("second", **spec)
    assert "1 Insufficient nvidia.com/gpu" not in (await cluster.event("FailedScheduling"))["message"].split("pree")[1]
    await cluster.client.delete(PODS, "first")
    assert await cluster.until(lambda: node_of("second")) == "gpu"


async def test_a_pod_of_more_priority_takes_the_place_of_one_of_less(cluster: Cluster) -> None:
    for name, value in (("low", 10), ("high", 1000)):
        body = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
        }
        await cluster.client.create(PRIORITY_CLASSES, body)
    spec = {**pod_spec(cpu="6"), "terminationGracePeriodSeconds": 1}
    for name in ("first", "second"):
        await cluster.pod(name, **spec, priorityClassName="low")

    async def running() -> bool:
        return sum(pod["status"].get("phase") == "Running" for pod in await cluster.pods()) == 2

    await cluster.until(running)
    urgent = await cluster.pod("urgent", **spec, priorityClassName="high")

    async def bound() -> bool:
        return bool((await cluster.client.get(PODS, "urgent"))["spec"].get("nodeName"))

    await cluster.until(bound)
    assert len(await cluster.pods()) == 2
    placed = await cluster.client.get(PODS, "urgent")
    node = placed["spec"]["nodeName"]
    assert placed["status"]["nominatedNodeName"] == node
    event = await cluster.event("Preempted")
    assert event["message"] == f"Preempted by pod {urgent['metadata']['uid']} on node {node}"
    (waited,) = await cluster.events("FailedScheduling")
    assert waited["message"] == "0/2 nodes are available: 2 Insufficient cpu."


async def test_every_namespace_has_its_account_and_authority(cluster: Cluster) -> None:
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.until(lambda: cluster.find(SERVICE_ACCOUNTS, "default", "team"))
    await cluster.until(lambda: cluster.find(CONFIG_MAPS, "kube-root-ca.crt", "team"))
    first = await cluster.client.get(SERVICE_ACCOUNTS, "default", "team")
    await cluster.client.delete(SERVICE_ACCOUNTS, "default", "team")

    async def made_anew() -> bool:
        account = await cluster.find(SERVICE_ACCOUNTS, "default", "team")
        return account is not None and account["metadata"]["uid"] != first["metadata"]["uid"]

    await cluster.until(made_anew)


async def test_a_namespace_ends_with_all_that_is_in_it(cluster: Cluster) -> None:
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.until(lambda: cluster.find(SERVICE_ACCOUNTS, "default", "team"))
    await cluster.job(namespace="team")
    held = {"name": "held", "namespace": "team", "finalizers": ["example.com/hold"]}
    await cluster.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})

    async def running() -> bool:
        return sum(pod["status"].get("phase") == "Running" for pod in await cluster.pods("team")) == 2

    await cluster.until(running)
    await cluster.client.delete(NAMESPACES, "team")

    async def only_held() -> Object | None:
        if await cluster.pods("team"):
            return None
        return has_condition(await cluster.client.get(NAMESPACES, "team"), "NamespaceFinalizersRemaining")

    condition = await cluster.until(only_held)
    assert "example.com/hold in 1 resource instances" in condition["message"]
    await cluster.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "team")
    await cluster.gone(NAMESPACES, "team", None)


async def test_a_pod_leaves_a_tainted_node_and_the_policy_is_heard(cluster: Cluster) -> None:
    rule = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}
    await cluster.job(backoffLimit=0, podFailurePolicy=rule)
    await cluster.status(active=2, ready=2)
    await cluster.client.patch(NODES, "a", {"spec": {"taints": [{"key": "maintenance", "effect": "NoExecute"}]}})

    await cluster.event("TaintManagerEviction")

    async def disrupted() -> Object | None:
        pods = [pod for pod in await cluster.pods() if pod["spec"].get("nodeName") == "a"]
        return has_condition(pods[0], "DisruptionTarget") if pods and pods[0]["status"]["phase"] == "Failed" else None

    assert (await cluster.until(disrupted))["reason"] == "DeletionByTaintManager"
    status = await cluster.status(active=1, ready=1)
    assert not has_condition({"status": status}, "FailureTarget"), "a disruption is ignored, as the policy says"
    assert "failed" not in status


async def test_pods_of_a_vanished_node_fail_and_go(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_controller, "QUARANTINE", 0.05)
    await cluster.pod("stranded", nodeSelector=None)

    async def running() -> str | None:
        pod = await cluster.client.get(PODS, "stranded")
        return pod["spec"].get("nodeName") if pod["status"].get("phase") == "Running" else None

    node = await cluster.until(running)
    cluster.kubelet.silent = True
    await cluster.client.delete(NODES, node)
    await cluster.gone(PODS, "stranded")


async def test_a_silent_node_is_marked_and_taken_out_of_use(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_controller, "GRACE", 0.3)
    monkeypatch.setattr(node_controller, "PERIOD", 0.02)
    await cluster.stop()
    cluster.start()
    lease = {"metadata": {"name": "a", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "a"}}
    with contextlib.suppress(ApiError):
        await cluster.client.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-node-lease"}}
        )
    await cluster.client.create(LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease})
    beats = 0

    async def silent() -> Object | None:
        nonlocal beats
        beats += 1
        renewed = {"spec": {"renewTime": f"2026-11-24T12:00:00.{beats:06}Z"}}
        await cluster.client.patch(LEASES, "a", renewed, "kube-node-lease")
        node = await cluster.client.get(NODES, "b")
        taints = {(taint["key"], taint["effect"]) for taint in node["spec"].get("taints") or ()}
        wanted = {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")}
        return has_condition(node, "Ready", "Unknown") if wanted <= taints else None

    condition = await cluster.until(silent)
    assert condition["reason"] == "NodeStatusUnknown"
    assert (await cluster.event("NodeNotReady"))["message"] == "Node b status is now: NodeNotReady"
    assert has_condition(await cluster.client.get(NODES, "a"), "Ready")
