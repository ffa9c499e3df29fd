"""A running API server with every controller; a few lines stand in for the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.reflector import Reflector
from gke_notebook.cluster.resources import EVENTS, JOBS, NODES, PODS, Resource
from gke_notebook.errors import ApiError
from gke_notebook.sandbox import controllers
from tests.support.apiserver import running_server

Object = dict[str, Any]
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
        if ready:  # the server keeps pods off a new node; no test wants to wait for the controller that lets them on
            await self.client.patch(NODES, name, {"spec": {"taints": None}})

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


@contextlib.asynccontextmanager
async def running_cluster() -> AsyncIterator[Cluster]:
    """Run all of it with the two nodes `a` and `b` of 8 CPUs each."""
    async with running_server(controllers=True) as connection, Client(connection) as client:
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
