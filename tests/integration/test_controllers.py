"""All controllers together on a running API server; a few lines stand in for the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.reflector import Reflector
from gke_notebook.cluster.resources import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Resource,
)
from gke_notebook.errors import ApiError
from gke_notebook.sandbox import controllers
from gke_notebook.sandbox.controllers import nodes as node_controller
from tests.support.apiserver import running_server

Object = dict[str, Any]
TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"


class Kubelet:
    """Runs bound pods, ends deleted ones, and ends those it is told to."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ending: dict[str, int] = {}  # completion index to exit code
        self.silent = False
        self.reflector: Reflector[Object] = Reflector(client, PODS, dict, handler=self)
        self.waiting: asyncio.Queue[Object] = asyncio.Queue()

    def replaced(self, objects: Any) -> None:
        for item in objects.values():
            self.waiting.put_nowait(item)

    def changed(self, key: Any, value: Object | None, previous: Object | None) -> None:
        if value is not None:
            self.waiting.put_nowait(value)

    def end(self, index: int, code: int = 0) -> None:
        self.ending[str(index)] = code
        self.replaced(self.reflector.objects)

    async def run(self) -> None:
        watch = asyncio.create_task(self.reflector.run())
        try:
            while True:
                pod = await self.waiting.get()
                with contextlib.suppress(ApiError):  # a pod that is gone
                    await self.handle(pod)
        finally:
            watch.cancel()

    async def handle(self, pod: Object) -> None:
        metadata, status = pod["metadata"], pod.get("status") or {}
        if self.silent or not pod["spec"].get("nodeName"):
            return
        ended = status.get("phase") in ("Succeeded", "Failed")
        if metadata.get("deletionTimestamp"):
            if not ended:
                await self.patch(pod, "Failed", 143)
            await self.client.delete(PODS, metadata["name"], metadata["namespace"], grace_period=0)
            return
        code = self.ending.get(metadata.get("annotations", {}).get(INDEX, ""))
        if not ended and code is not None:
            await self.patch(pod, "Failed" if code else "Succeeded", code)
        elif status.get("phase", "Pending") == "Pending":
            await self.patch(pod, "Running", None)

    async def patch(self, pod: Object, phase: str, code: int | None) -> None:
        state: Object = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        container = pod["spec"]["containers"][0]
        status = {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if phase == "Running" else "False"}],
            "containerStatuses": [
                {"name": container["name"], "image": container["image"], "imageID": "", "ready": code is None,
                 "restartCount": 0, "state": state}
            ],
        }  # fmt: skip
        metadata = pod["metadata"]
        await self.client.patch(
            PODS, metadata["name"], {"status": status}, metadata["namespace"],
            subresource="status", content_type=STRATEGIC_PATCH,
        )  # fmt: skip


class Cluster:
    """A server with controllers and a kubelet, and short words for what tests do."""

    def __init__(self, connection: Connection, client: Client) -> None:
        self.connection, self.client, self.kubelet = connection, client, Kubelet(client)
        self.controllers: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.controllers = asyncio.create_task(controllers.run(self.connection))

    async def stop(self) -> None:
        assert self.controllers is not None
        self.controllers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.controllers

    async def node(self, name: str, *, ready: bool = True, **allocatable: str) -> None:
        await self.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        resources = {"cpu": "8", "memory": "32Gi", "pods": "110", **allocatable}
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        status = {"allocatable": resources, "capacity": resources, "conditions": conditions}
        await self.client.patch(NODES, name, {"status": status}, subresource="status")

    async def job(self, name: str = "digits", count: int = 2, namespace: str = "default", **spec: Any) -> Object:
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "completionMode": "Indexed",
                "completions": count,
                "parallelism": count,
                "template": {"spec": pod_spec()},
                **spec,
            },
        }
        return await self.client.create(JOBS, body)

    async def pod(self, name: str, namespace: str = "default", metadata: Object | None = None, **spec: Any) -> Object:
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, **(metadata or {})},
            "spec": {**pod_spec(), **spec},
        }
        return await self.client.create(PODS, body)

    async def find(self, resource: Resource, name: str, namespace: str | None = "default") -> Object | None:
        try:
            return await self.client.get(resource, name, namespace)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def pods(self, namespace: str = "default") -> list[Object]:
        return list((await self.client.list(PODS, namespace))["items"])

    async def events(self, reason: str, namespace: str = "default") -> list[Object]:
        items = (await self.client.list(EVENTS, namespace))["items"]
        return [item for item in items if item["reason"] == reason]

    async def until(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask again until the answer is true, and give it."""
        for _ in range(1500):
            answer = await ask()
            if answer:
                return answer
            assert self.controllers is not None
            if self.controllers.done():
                self.controllers.result()
            await asyncio.sleep(0.02)
        names = [(p["metadata"]["name"], p["spec"].get("nodeName"), p.get("status")) for p in await self.pods()]
        jobs = [job.get("status") for job in (await self.client.list(JOBS))["items"]]
        raise AssertionError(f"never came true; jobs {jobs}, pods {names}")

    async def condition(self, type_: str, name: str = "digits") -> Object:
        async def ask() -> Object | None:
            job = await self.find(JOBS, name)
            return has_condition(job, type_) if job else None

        found: Object = await self.until(ask)
        return found

    async def status(self, **wanted: Any) -> Object:
        """Wait for a Job's status to say so."""

        async def ask() -> Object | None:
            status = (await self.client.get(JOBS, "digits"))["status"]
            return status if all(status.get(key) == value for key, value in wanted.items()) else None

        found: Object = await self.until(ask)
        return found

    async def event(self, reason: str) -> Object:
        return (await self.until(lambda: self.events(reason)))[0]  # type: ignore[no-any-return]

    async def gone(self, resource: Resource, name: str, namespace: str | None = "default") -> None:
        async def ask() -> bool:
            return await self.find(resource, name, namespace) is None

        await self.until(ask)


def pod_spec(**requests: str) -> Object:
    resources = {"requests": {"cpu": "100m", **requests}}
    container = {"name": "main", "image": "x", "resources": resources}
    return {"restartPolicy": "Never", "terminationGracePeriodSeconds": 30, "containers": [container]}


def has_condition(item: Object, type_: str, status: str = "True") -> Object | None:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == type_ and c["status"] == status), None)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_server() as connection, Client(connection) as client:
        cluster = Cluster(connection, client)
        kubelet = asyncio.create_task(cluster.kubelet.run())
        await cluster.node("a")
        await cluster.node("b")
        cluster.start()
        try:
            yield cluster
        finally:
            await cluster.stop()
            kubelet.cancel()
            await asyncio.gather(kubelet, return_exceptions=True)


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
        "0/2 nodes are available: 2 Insufficient cpu. preemption: "
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
    classes = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
    for name, value in (("low", 10), ("high", 1000)):
        body = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
        }
        await cluster.client.create(classes, body)
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


async def test_a_refused_pod_is_said_and_tried_again(cluster: Cluster) -> None:
    spec = pod_spec()
    spec["priorityClassName"] = "later"
    await cluster.job(count=1, template={"spec": spec})
    event = await cluster.event("FailedCreate")
    assert event["type"] == "Warning"
    assert event["message"].startswith("Error creating: ")
    assert "later" in event["message"]
    classes = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "later"}, "value": 1}
    await cluster.client.create(classes, body)
    await cluster.status(active=1, ready=1)


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
