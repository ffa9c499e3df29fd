"""Queues, Jobs and what is seen of them, on one side of a comparison. The test itself is the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import EVENTS, JOBS, PODS, Resource
from gke_notebook.errors import ApiError
from gke_notebook.sandbox import kueue
from gke_notebook.sandbox.controllers.jobset_controller import JOBSETS
from tests.contract.both import Object, Side
from tests.contract.normal import Rule

PATIENCE = 30.0
FLAVOR, CLUSTER, LOCAL = kueue.RESOURCE_FLAVORS, kueue.CLUSTER_QUEUES, kueue.LOCAL_QUEUES
RULES: list[Rule] = [
    (r"\b((?:job|jobset)-[a-z0-9-]+?)-[0-9a-f]{5}\b", r"\1-<hash>"),
]
_ENDS = ("Complete", "Completed", "Failed")


class World:
    """A namespace with queues, and what is seen of it.

    Args:
        side: the side.
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.client, self.namespace = side.client, side.namespace
        self.seen: list[Any] = []
        self.workloads = kueue.WORKLOADS
        self._made: list[tuple[Resource, str]] = []

    def name(self, short: str) -> str:
        """Give the name of a cluster-wide object: the same on both sides, and nobody else's."""
        return f"{self.namespace}-{short}"

    async def make(self, resource: Resource, short: str, body: Object) -> None:
        """Create an object and write down what is stored, or why it is refused."""
        name = short if resource.namespaced else self.name(short)
        meta = {"name": name, **body.pop("metadata", {})}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **body}
        try:
            found = await self.client.create(resource, body, self.namespace if resource.namespaced else None)
        except ApiError as error:
            self.seen.append([error.status, error.reason, error.message])
            return
        if not resource.namespaced:
            self._made.append((resource, name))
        self.seen.append(plain(found))

    async def flavor(self, short: str, **spec: Any) -> None:
        await self.make(FLAVOR, short, {"spec": spec})

    async def cluster_queue(self, short: str = "cq", *flavors: tuple[str, int], **spec: Any) -> None:
        """Create a ClusterQueue of CPUs of some flavors."""
        quotas = [
            {"name": self.name(name), "resources": [{"name": "cpu", "nominalQuota": number}]}
            for name, number in flavors
        ]
        groups = {"resourceGroups": [{"coveredResources": ["cpu"], "flavors": quotas}]} if quotas else {}
        await self.make(CLUSTER, short, {"spec": {"namespaceSelector": {}, **groups, **spec}})

    async def local_queue(self, short: str = "lq", cluster: str = "cq", **spec: Any) -> None:
        await self.make(LOCAL, short, {"spec": {"clusterQueue": self.name(cluster), **spec}})

    async def queues(self, *flavors: tuple[str, int], **spec: Any) -> None:
        """Create flavors without labels, a ClusterQueue of them, and a LocalQueue."""
        for name, _ in flavors:
            await self.flavor(name)
        await self.cluster_queue("cq", *flavors, **spec)
        await self.local_queue()
        await self.count()

    async def job(self, name: str, pods: int = 1, *, cpu: str = "1", queue: str = "lq", **more: Any) -> None:
        """Create a Job whose pods ask for some CPU each."""
        pod = {"restartPolicy": "Never", "containers": [container(cpu)], **more.pop("pod", {})}
        labels = {kueue.QUEUE_LABEL: queue, **more.pop("labels", {})}
        spec = {"parallelism": pods, "completions": pods, "backoffLimit": 0, "template": {"spec": pod}, **more}
        await self.make(JOBS, name, {"metadata": {"labels": labels}, "spec": spec})

    async def change(self, resource: Resource, name: str, body: Object) -> None:
        """Change an object, and write down a refusal."""
        try:
            namespace = self.namespace if resource.namespaced else None
            await self.client.patch(resource, name, body, namespace, content_type=MERGE_PATCH)
        except ApiError as error:
            self.seen.append([error.status, error.reason, error.message])

    async def change_workload(self, owner: str, body: Object) -> None:
        """Change the Workload of a Job or JobSet."""
        await self.change(kueue.WORKLOADS, (await self._workloads())[owner]["metadata"]["name"], body)

    async def end(self, name: str, phase: str = "Succeeded") -> None:
        """Have the pods of a Job or JobSet end."""
        for selector in (f"batch.kubernetes.io/job-name={name}", f"jobset.sigs.k8s.io/jobset-name={name}"):
            for pod in (await self.client.list(PODS, self.namespace, label_selector=selector))["items"]:
                body = {"status": {"phase": phase}}
                await self.client.patch(
                    PODS, pod["metadata"]["name"], body, self.namespace, subresource="status", content_type=MERGE_PATCH
                )

    async def running(self, name: str, pods: int) -> None:
        """Wait for the pods of a Job or JobSet."""

        async def there() -> str:
            found = 0
            for selector in (f"batch.kubernetes.io/job-name={name}", f"jobset.sigs.k8s.io/jobset-name={name}"):
                found += len((await self.client.list(PODS, self.namespace, label_selector=selector))["items"])
            return "" if found == pods else f"{found} pods"

        await self._until(there)

    async def delete(self, resource: Resource, name: str) -> None:
        await self.client.delete(resource, name, self.namespace if resource.namespaced else None)

    async def count(self, **wanted: int) -> None:
        """Wait until the queues say how many Workloads they have."""

        async def counted() -> str:
            for resource, name in ((LOCAL, "lq"), (CLUSTER, self.name("cq"))):
                with contextlib.suppress(ApiError):
                    namespace = self.namespace if resource.namespaced else None
                    status = (await self.client.get(resource, name, namespace)).get("status") or {}
                    for key in ("pendingWorkloads", "reservingWorkloads", "admittedWorkloads"):
                        if status.get(key) != wanted.get(key.removesuffix("Workloads"), 0):
                            return f"{resource.kind}: {status}"
            return ""

        await self._until(counted)

    async def settled(self, step: str, /, *, waiting: int | None = None, counted: bool = True, **states: str) -> None:
        """Wait until the Workloads are in their states, and the queues know it, and write all down.

        Args:
            step: what to call it.
            waiting: how many wait in the queues, where that is not the number of those whose reason is Pending.
            counted: whether the queues' numbers are waited for; there may be no queues.
            states: by the names of Jobs: ``admitted``, ``finished``, ``evicted``, ``gone``, or the reason of waiting.
        """

        async def reached() -> str:
            found = {name: state(each) for name, each in (await self._workloads()).items()}
            wanted = {name: each for name, each in states.items() if each != "gone"}
            return "" if found == wanted else f"{found}"

        await self._until(reached)
        if counted:
            admitted = sum(each == "admitted" for each in states.values())
            pending = sum(each == "Pending" for each in states.values()) if waiting is None else waiting
            await self.count(pending=pending, reserving=admitted, admitted=admitted)
        await asyncio.sleep(0.3)  # what should not happen has its chance
        await self._until(reached)
        self.seen.append({"step": step, **await self.picture()})

    async def _until(self, wrong: Callable[[], Awaitable[str]]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while text := await wrong():
            assert loop.time() < end, f"{self.side.name}: {text}; last seen: {self.seen[-1:]}"
            await asyncio.sleep(0.05)

    async def _workloads(self) -> dict[str, Object]:
        found = (await self.client.list(self.workloads, self.namespace))["items"]
        named = {(each["metadata"].get("ownerReferences") or [{"name": each["metadata"]["name"]}])[0]["name"]: each
                 for each in found}  # fmt: skip
        return dict(sorted(named.items()))

    async def picture(self) -> Object:
        """Give what there is, without what two servers cannot agree on."""
        found: Object = {"workloads": [plain(each) for each in (await self._workloads()).values()]}
        for resource, namespace in (
            (JOBS, self.namespace),
            (JOBSETS, self.namespace),
            (LOCAL, self.namespace),
        ):
            items = (await self.client.list(resource, namespace))["items"]
            found[resource.plural] = sorted(map(plain, items), key=lambda each: str(each["metadata"]["name"]))
        for resource, name in self._made:
            with contextlib.suppress(ApiError):
                found[f"{resource.plural} {name}"] = plain(await self.client.get(resource, name))
        return {**found, "events": await self._events()}

    async def _events(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        events = (await self.client.list(EVENTS, self.namespace))["items"]
        for each in sorted(events, key=lambda event: str(event["metadata"]["name"].rpartition(".")[2])):
            if "kueue" in (each.get("source") or {}).get("component", ""):
                about = f"{each['involvedObject']['kind']} {each['involvedObject']['name']}"
                # The same words again are only counted, and these seconds make them differ or not.
                text = re.sub(r"since queued was \d+s", "since queued was <seconds>", each["message"])
                told = [each["source"]["component"], each["type"], each["reason"], text]
                if told not in found.setdefault(about, []):
                    found[about].append(told)
        return {name: found[name] for name in sorted(found)}

    async def clean(self) -> None:
        """Delete what is outside the namespace; the Jobs first, so that nothing is in use."""
        for resource in (JOBS, JOBSETS):
            for each in (await self.client.list(resource, self.namespace))["items"]:
                with contextlib.suppress(ApiError):
                    await self.client.delete(resource, each["metadata"]["name"], self.namespace)
        for resource, name in reversed(self._made):
            with contextlib.suppress(ApiError):
                await self.client.delete(resource, name)


def state(workload: Object) -> str:
    """Say in one word what has become of a Workload."""
    conditions = {each["type"]: each for each in (workload.get("status") or {}).get("conditions") or ()}
    for type_ in ("Finished", "Evicted", "Admitted"):
        if conditions.get(type_, {}).get("status") == "True":
            if type_ == "Evicted" and conditions["QuotaReserved"]["status"] == "True":
                return "leaving"
            return type_.lower()
    return str(conditions.get("QuotaReserved", {}).get("reason", "new"))


def container(cpu: str = "1") -> Object:
    """A container that asks for CPU."""
    return {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}


def plain(item: Object) -> Object:
    """Give an object without what two servers cannot agree on."""
    kept = ("name", "labels", "annotations", "finalizers", "ownerReferences", "generation")
    meta = {key: item["metadata"][key] for key in kept if item["metadata"].get(key)}
    if item["metadata"].get("deletionTimestamp"):
        meta["deleted"] = True
    spec, status = dict(item.get("spec") or {}), dict(item.get("status") or {})
    if (past := "accumulatedPastExexcutionTimeSeconds") in status:  # spelled so
        status[past] = "seconds"
    if item.get("kind") != "Job" and state(item) == "finished":
        status.pop("reclaimablePods", None)  # pods end one after the other, and Kueue sees some of it or nothing
    if "conditions" in status:
        found = (
            {key: each[key] for key in each if key not in ("lastTransitionTime", "lastProbeTime")}
            for each in status["conditions"]
        )
        status["conditions"] = sorted(found, key=lambda each: str(each["type"]))
    if "template" in spec or "replicatedJobs" in spec:
        # Whether the job's own controller has seen it held before it was let go is a matter of chance.
        ends = [each for each in status.get("conditions") or () if each["type"] in _ENDS]
        status = {"conditions": ends} if ends else {}
    spec.pop("selector", None)
    return {"metadata": meta, "spec": spec, "status": status}


Life = Callable[[World], Awaitable[None]]


@contextlib.asynccontextmanager
async def world(side: Side) -> AsyncIterator[World]:
    """Give a world that leaves nothing behind."""
    found = World(side)
    try:
        yield found
    finally:
        await found.clean()
