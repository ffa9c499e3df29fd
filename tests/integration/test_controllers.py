"""Jobs on the running server: their pods, their status, their events."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from gke_notebook.cluster.resources import JOBS, Resource
from tests.support.controlled_cluster import INDEX, Cluster, has_condition, pod_spec, running_cluster

TRACKING = "batch.kubernetes.io/job-tracking"
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as running:
        yield running


async def test_a_job_runs_to_completion(cluster: Cluster) -> None:
    await cluster.job()
    await cluster.status(active=2, ready=2)
    pods = await cluster.pods()
    assert Counter(pod["spec"]["nodeName"] for pod in pods) == {"a": 1, "b": 1}
    assert sorted(pod["spec"]["hostname"] for pod in pods) == ["digits-0", "digits-1"]
    assert all(pod["metadata"]["name"].startswith(pod["spec"]["hostname"] + "-") for pod in pods)
    assert all(TRACKING in pod["metadata"]["finalizers"] for pod in pods)
    cluster.kubelet.end(0)
    await cluster.status(completedIndexes="0", active=1)
    cluster.kubelet.end(1)
    await cluster.condition("Complete")
    status = (await cluster.client.get(JOBS, "digits"))["status"]
    assert (status["succeeded"], status["completedIndexes"], status["uncountedTerminatedPods"]) == (2, "0,1", {})
    assert status["completionTime"]
    assert "active" not in status
    assert not any(pod["metadata"].get("finalizers") for pod in await cluster.pods())
    completed = await cluster.event("Completed")
    assert completed["message"] == "Job completed"
    assert completed["source"]["component"] == completed["reportingComponent"] == "job-controller"
    assert completed["involvedObject"]["name"] == "digits"
    created = {event["message"] for event in await cluster.events("SuccessfulCreate")}
    assert created == {f"Created pod: {pod['metadata']['name']}" for pod in pods}
    scheduled = {event["message"] for event in await cluster.events("Scheduled")}
    assert scheduled == {
        f"Successfully assigned default/{pod['metadata']['name']} to {pod['spec']['nodeName']}" for pod in pods
    }


async def test_a_failing_job_fails_and_stops_the_rest(cluster: Cluster) -> None:
    await cluster.job(backoffLimit=0)
    await cluster.status(active=2, ready=2)
    cluster.kubelet.end(1, code=3)
    failed = await cluster.condition("Failed")
    assert (failed["reason"], failed["message"]) == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert (await cluster.event("BackoffLimitExceeded"))["type"] == "Warning"
    assert (await cluster.event("SuccessfulDelete"))["message"].startswith("Deleted pod: digits-0-")
    (left,) = await cluster.pods()
    assert (left["metadata"]["annotations"][INDEX], left["status"]["phase"]) == ("1", "Failed")
    assert not left["metadata"].get("finalizers")


async def test_suspend_and_resume(cluster: Cluster) -> None:
    await cluster.job()
    await cluster.status(active=2, ready=2)
    await cluster.client.patch(JOBS, "digits", {"spec": {"suspend": True}})
    await cluster.condition("Suspended")
    assert (await cluster.event("Suspended"))["message"] == "Job suspended"

    async def none() -> bool:
        return not await cluster.pods()

    await cluster.until(none)
    status = await cluster.status(terminating=0)
    assert "failed" not in status
    await cluster.client.patch(JOBS, "digits", {"spec": {"suspend": False}})
    status = await cluster.status(active=2, ready=2)
    assert has_condition({"status": status}, "Suspended", "False")
    assert (await cluster.event("Resumed"))["message"] == "Job resumed"


async def test_elastic_parallelism(cluster: Cluster) -> None:
    await cluster.job(count=4, parallelism=2)
    await cluster.status(active=2, ready=2)
    await cluster.client.patch(JOBS, "digits", {"spec": {"parallelism": 4}})
    await cluster.status(active=4, ready=4)
    await cluster.client.patch(JOBS, "digits", {"spec": {"parallelism": 1}})
    status = await cluster.status(active=1, ready=1, terminating=0)
    assert "failed" not in status


async def test_three_hundred_pods_have_each_index_once(cluster: Cluster) -> None:
    for number in range(4):
        await cluster.node(f"more-{number}", cpu="64")
    await cluster.job(count=300)
    await cluster.status(active=300, ready=300)
    pods = await cluster.pods()
    assert sorted(int(pod["metadata"]["annotations"][INDEX]) for pod in pods) == list(range(300))
    load = Counter(pod["spec"]["nodeName"] for pod in pods)
    assert max(load["a"], load["b"]) <= 80, "no node takes more CPUs than it has"
    for index in range(300):
        cluster.kubelet.ending[str(index)] = 0
    cluster.kubelet.replaced(cluster.kubelet.reflector.objects)
    await cluster.condition("Complete")
    assert (await cluster.status(succeeded=300))["completedIndexes"] == "0-299"
    await cluster.event("Completed")


async def test_controllers_that_start_again_lose_nothing(cluster: Cluster) -> None:
    await cluster.job(count=3)
    await cluster.status(active=3, ready=3)
    await cluster.stop()
    for index in (0, 2):
        cluster.kubelet.end(index)

    async def ended() -> bool:
        return sum(pod["status"]["phase"] == "Succeeded" for pod in await cluster.pods()) == 2

    cluster.controllers = asyncio.create_task(asyncio.sleep(60))
    await cluster.until(ended)
    await cluster.stop()
    cluster.start()
    await cluster.status(completedIndexes="0,2", active=1)
    cluster.kubelet.end(1)
    await cluster.condition("Complete")
    assert len(await cluster.pods()) == 3


async def test_a_refused_pod_is_said_and_tried_again(cluster: Cluster) -> None:
    spec = pod_spec()
    spec["priorityClassName"] = "later"
    await cluster.job(count=1, template={"spec": spec})
    event = await cluster.event("FailedCreate")
    assert event["type"] == "Warning"
    assert event["message"].startswith("Error creating: ")
    assert "later" in event["message"]
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "later"}, "value": 1}
    await cluster.client.create(PRIORITY_CLASSES, body)
    await cluster.status(active=1, ready=1)
