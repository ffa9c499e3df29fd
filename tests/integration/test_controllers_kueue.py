"""Queueing with every controller: across a restart, and with many Jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from gke_notebook.cluster.client import MERGE_PATCH, Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import JOBS, PODS
from gke_notebook.sandbox import controllers, kueue
from gke_notebook.sandbox.agents import define_kinds
from tests.support.apiserver import running_server
from tests.support.controlled_cluster import pod_spec


@contextlib.asynccontextmanager
async def running(connection: Connection) -> AsyncIterator[None]:
    """Run the controllers, as each start of the sandbox does."""
    await define_kinds(connection)
    task = asyncio.create_task(controllers.run(connection))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def queues(client: Client, cpus: int) -> None:
    """A LocalQueue `lq` with quota for some CPUs."""
    quota = [{"name": "cpu", "nominalQuota": cpus}]
    groups = [{"coveredResources": ["cpu"], "flavors": [{"name": "f", "resources": quota}]}]
    for resource, name, spec in (
        (kueue.RESOURCE_FLAVORS, "f", {}),
        (kueue.CLUSTER_QUEUES, "cq", {"namespaceSelector": {}, "resourceGroups": groups}),
        (kueue.LOCAL_QUEUES, "lq", {"clusterQueue": "cq"}),
    ):
        meta = {"name": name, **({"namespace": "default"} if resource.namespaced else {})}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": spec}
        await client.create(resource, body)


async def submit(client: Client, name: str, cpu: str = "1") -> None:
    spec = pod_spec()
    spec["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    meta = {"name": name, "namespace": "default", "labels": {kueue.QUEUE_LABEL: "lq"}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": {"spec": spec}}}
    await client.create(JOBS, body)


async def until(client: Client, wanted: Callable[[list[Any]], bool]) -> list[Any]:
    """Wait for a state of the Jobs."""
    for _ in range(1200):
        found = (await client.list(JOBS, "default"))["items"]
        if wanted(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError([(each["metadata"]["name"], each["spec"], each.get("status")) for each in found])


async def end_pods(client: Client) -> None:
    """Have every pod that is there succeed."""
    for pod in (await client.list(PODS, "default"))["items"]:
        if (pod.get("status") or {}).get("phase") == "Pending":
            await client.patch(
                PODS, pod["metadata"]["name"], {"status": {"phase": "Succeeded"}}, "default", subresource="status",
                content_type=MERGE_PATCH,
            )  # fmt: skip


def started(jobs: list[Any]) -> set[str]:
    return {each["metadata"]["name"] for each in jobs if not each["spec"]["suspend"]}


async def test_queues_go_on_after_a_restart():
    async with running_server() as connection, Client(connection) as client:
        async with running(connection):
            await queues(client, 2)
            await submit(client, "a", "2")
            await until(client, lambda jobs: started(jobs) == {"a"})
            await submit(client, "b", "2")
        await submit(client, "c")  # nobody is there to see it
        async with running(connection):

            async def counts() -> tuple[int, int]:
                status = (await client.get(kueue.CLUSTER_QUEUES, "cq")).get("status") or {}
                return status.get("pendingWorkloads", -1), status.get("admittedWorkloads", -1)

            await _until(counts, (2, 1))
            assert started((await client.list(JOBS, "default"))["items"]) == {"a"}
            await end_pods(client)
            await until(client, lambda jobs: started(jobs) == {"a", "b"})
            await _until(counts, (1, 1))


async def _until(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    for _ in range(1200):
        found = await ask()
        if found == wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def test_many_jobs_never_take_more_than_the_quota():
    async with running_server() as connection, Client(connection) as client, running(connection):
        await queues(client, 3)
        names = {f"j{index}" for index in range(12)}
        await asyncio.gather(*(submit(client, name) for name in sorted(names)))
        done: set[str] = set()
        while done != names:
            jobs = (await client.list(JOBS, "default"))["items"]
            ended = {
                each["metadata"]["name"] for each in jobs
                if any(c["type"] == "Complete" for c in (each.get("status") or {}).get("conditions") or ())
            }  # fmt: skip
            assert len(started(jobs) - ended) <= 3
            done |= ended
            await end_pods(client)
            await asyncio.sleep(0.02)
