"""One namespace of a cluster as a test sees it: what is in it, in words that two servers can agree on.

Uids, times and generated names differ from server to server. Here a pod of a Job is called by its index and its turn
(`digits-0#1`), or by its turn alone (`digits#1`); times are left out, and events are told once for each text.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.reflector import Reflector
from gke_notebook.cluster.resources import EVENTS, JOBS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS, Resource
from gke_notebook.errors import ApiError

Object = dict[str, Any]
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
PATIENCE = 60.0  # seconds for one step; only a step that never comes takes so long

_TIMES = frozenset(
    {"creationTimestamp", "lastProbeTime", "lastTransitionTime", "startTime", "completionTime", "deletionTimestamp",
     "finishedAt", "startedAt"}
)  # fmt: skip
_DROPPED = frozenset({"uid", "resourceVersion", "managedFields", "selfLink"})


class Watched:
    """The objects of one kind, and the order in which they came."""

    def __init__(self, client: Client, resource: Resource, namespace: str) -> None:
        self.reflector: Reflector[Object] = Reflector(client, resource, dict, namespace, handler=self)
        self.seen: dict[str, Object] = {}  # by uid, as last seen, those that are gone included

    def replaced(self, objects: Mapping[Any, Object]) -> None:
        for item in sorted(objects.values(), key=lambda item: int(item["metadata"]["resourceVersion"])):
            self.seen[item["metadata"]["uid"]] = item

    def changed(self, key: Any, value: Object | None, previous: Object | None) -> None:
        if value is not None:
            self.seen[value["metadata"]["uid"]] = value

    @property
    def objects(self) -> list[Object]:
        present = {item["metadata"]["uid"] for item in self.reflector.objects.values()}
        return [item for uid, item in self.seen.items() if uid in present]


class World:
    """A namespace, its Jobs, pods and events, and the kubelet of its pods.

    Args:
        client: a client of the server.
        namespace: the namespace.
        runs: whether bound pods run; a test of the scheduler has no kubelet.
    """

    def __init__(self, client: Client, namespace: str, *, runs: bool = True) -> None:
        self.client, self.namespace, self.runs = client, namespace, runs
        self.run = namespace.rpartition("-")[2]
        self.silent = False  # whether the kubelet does nothing by itself
        self.pods = Watched(client, PODS, namespace)
        self.jobs = Watched(client, JOBS, namespace)
        self.events = Watched(client, EVENTS, namespace)
        self.meet: Callable[[World, str], Any] | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> Any:
        """Make the namespace, watch it, and run the kubelet."""
        await self.client.create(NAMESPACES, {"metadata": {"name": self.namespace}})
        tasks = [asyncio.create_task(item.reflector.run()) for item in (self.pods, self.jobs, self.events)]
        if self.runs:
            tasks.append(asyncio.create_task(self._kubelet()))
        try:
            await self._until_account()
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.client.delete(NAMESPACES, self.namespace)
            for (
                pod
            ) in self.pods.objects:  # a pod whose kubelet is gone would stay, and count on the next node of its name
                with contextlib.suppress(ApiError):
                    await self.client.delete(PODS, pod["metadata"]["name"], self.namespace, grace_period=0)

    async def _until_account(self) -> None:
        while True:  # pods are refused before the namespace has its service account
            with contextlib.suppress(ApiError):
                await self.client.get(SERVICE_ACCOUNTS, "default", self.namespace)
                return
            await asyncio.sleep(0.05)

    # What a test does.

    async def job(self, name: str = "j", *, metadata: Object | None = None, **spec: Any) -> Object:
        """Create a Job of one small container; `spec` is added to its spec."""
        template = {"spec": {**pod_spec(), **spec.pop("pod", {})}, "metadata": spec.pop("pod_metadata", {})}
        body = {
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **(metadata or {})},
            "spec": {"template": template, **spec},
        }  # fmt: skip
        return await self.client.create(JOBS, body, self.namespace)

    async def indexed(self, count: int, name: str = "j", **spec: Any) -> Object:
        """Create an Indexed Job that runs all its indexes at once."""
        return await self.job(name, **{"completionMode": "Indexed", "completions": count, "parallelism": count, **spec})

    async def change(self, name: str = "j", **spec: Any) -> None:
        """Change a Job's spec."""
        await self.client.patch(JOBS, name, {"spec": spec}, self.namespace)

    async def pod(self, name: str, *, metadata: Object | None = None, **spec: Any) -> Object:
        """Create a pod of one small container."""
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})}}
        return await self.client.create(PODS, {**body, "spec": {**pod_spec(), **spec}}, self.namespace)

    async def end(self, alias: str, code: int = 0, **status: Any) -> None:
        """Let a pod's container end, as its kubelet would say so."""
        pod = await self.find(alias)
        await self.report(pod, "Failed" if code else "Succeeded", code, **status)

    async def remove_pod(self, alias: str) -> None:
        """Delete a pod as a user does."""
        pod = await self.find(alias)
        await self.client.delete(PODS, pod["metadata"]["name"], self.namespace)

    async def node(self, name: str, **fields: Any) -> None:
        """Add a node; see `add_node`."""
        await add_node(self.client, name, **fields)

    async def priority(self, name: str, value: int, **fields: Any) -> None:
        """Add a priority class, whose name ends with the name of this run."""
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": value, **fields}
        await self.client.create(PRIORITY_CLASSES, {**body, "metadata": {"name": f"{name}-{self.run}"}})

    async def patch_pod(self, name: str, change: Object, subresource: str | None = None) -> None:
        """Change a pod by a merge patch."""
        await self.client.patch(PODS, name, change, self.namespace, subresource=subresource)

    async def bound(self, name: str) -> None:
        """Wait until a pod has a node and this has been told."""
        await self.until(lambda: self._told(name, "Scheduled"), f"{name} is bound")

    async def unschedulable(self, name: str) -> None:
        """Wait until a pod has been told that it has no node, in an event and in a condition."""

        def told() -> bool:
            pods = [pod for pod in self.pods.objects if pod["metadata"]["name"] == name]
            conditions = pods[0]["status"].get("conditions") or () if pods else ()
            refused = any(item["type"] == "PodScheduled" and item["status"] == "False" for item in conditions)
            return refused and self._told(name, "FailedScheduling")

        await self.until(told, f"{name} is unschedulable")

    def _told(self, name: str, reason: str) -> bool:
        events = self.events.seen.values()
        return any(event["reason"] == reason and event["involvedObject"]["name"] == name for event in events)

    async def absent(self, resource: Resource, name: str) -> None:
        """Wait until an object is gone."""
        for _ in range(int(PATIENCE * 10)):
            present = (await self.client.list(resource, self.namespace))["items"]
            if all(item["metadata"]["name"] != name for item in present):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{resource.plural}/{name} stays")

    async def find(self, alias: str) -> Object:
        """Wait until a pod of this alias is there and bound, and give it."""

        def there() -> Object | None:
            for pod in self.pods.objects:
                if self.alias(pod) == alias and (pod["spec"].get("nodeName") or not self.runs):
                    return pod
            return None

        found: Object = await self.until(there, f"pod {alias}")
        return found

    async def until(self, holds: Callable[[], Any], what: str) -> Any:
        """Wait until something is true of what is seen."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            answer = holds()
            if answer:
                return answer
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{self.namespace}: never came: {what}; there is {self.snapshot()}")
            await asyncio.sleep(0.05)

    async def settled(self, what: str, name: str = "j", **wanted: Any) -> None:
        """Wait until a Job's status says so (None: says nothing), then compare with the other server.

        Args:
            what: the name of this point of the scenario.
            name: the Job.
            wanted: fields of its status; `condition` is the type of a condition that must be true.
        """
        condition = wanted.pop("condition", None)

        def holds() -> bool:
            found = [item for item in self.jobs.objects if item["metadata"]["name"] == name]
            status = found[0].get("status") or {} if found else {}
            true = {item["type"] for item in status.get("conditions") or () if item["status"] == "True"}
            return all(status.get(key) == value for key, value in wanted.items()) and condition in (None, *true)

        if wanted or condition:
            await self.until(holds, f"{what}: {wanted} {condition or ''}")
        await self.compare(what)

    async def gone(self, what: str, name: str = "j") -> None:
        """Wait until a Job is gone, then compare."""
        await self.until(lambda: all(item["metadata"]["name"] != name for item in self.jobs.objects), f"{what}: gone")
        await self.compare(what)

    async def compare(self, what: str) -> None:
        """Meet the other server's world, when there is one."""
        if self.meet is not None:
            await self.meet(self, what)

    # What there is.

    def alias(self, item: Object) -> str:
        """Give a pod the name by which both servers know it."""
        metadata = item["metadata"]
        prefix = metadata.get("generateName")
        if not prefix:
            return str(metadata["name"])
        turn = 0
        for other in self.pods.seen.values():
            turn += other["metadata"].get("generateName") == prefix
            if other["metadata"]["uid"] == metadata["uid"]:
                break
        return f"{prefix.removesuffix('-')}#{turn}"

    def snapshot(self) -> Object:
        """Tell what is there, in words that do not differ from server to server."""
        words = {self.namespace: "<namespace>"}
        words |= {item["metadata"]["name"]: self.alias(item) for item in self.pods.seen.values()}
        for kind, watched in (("job", self.jobs), ("pod", self.pods)):
            for item in watched.seen.values():
                words[item["metadata"]["uid"]] = (
                    f"<uid of {kind} {words.get(item['metadata']['name'], item['metadata']['name'])}>"
                )
        names = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or "$^")
        hosts = re.compile(r"(default-scheduler)-.*")
        tokens = re.compile(r"^(kube-api-access)-[a-z0-9]{5}$")

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {
                    plain(key): "<time>" if key in _TIMES and item is not None else plain(item)
                    for key, item in sorted(value.items())
                    if key not in _DROPPED
                }
            if isinstance(value, list):
                return [plain(item) for item in value]
            if isinstance(value, str):
                value = tokens.sub(r"\1-RANDOM", value)
                return hosts.sub(r"\1-HOST", names.sub(lambda found: words[found.group()], value))
            return value

        pods = {self.alias(pod): plain(_bare(pod)) for pod in self.pods.objects}
        return {
            "jobs": {job["metadata"]["name"]: plain(_bare(job)) for job in self.jobs.objects},
            "pods": dict(sorted(pods.items())),
            "events": _events([plain(event) for event in self.events.seen.values()]),
        }

    # The kubelet.

    async def _kubelet(self) -> None:
        while True:
            for pod in self.pods.objects if not self.silent else ():
                if pod["spec"].get("nodeName"):
                    with contextlib.suppress(ApiError):  # gone, or changed meanwhile: the watch says so
                        await self._attend(pod)
            await asyncio.sleep(0.1)

    async def _attend(self, pod: Object) -> None:
        phase = (pod.get("status") or {}).get("phase", "Pending")
        if pod["metadata"].get("deletionTimestamp"):
            if phase in ("Running", "Pending"):
                await self.report(pod, "Failed", 143)
            if len(self._held(pod)) == 0 or phase in ("Succeeded", "Failed"):
                await self.client.delete(PODS, pod["metadata"]["name"], self.namespace, grace_period=0)
        elif phase == "Pending":
            await self.report(pod, "Running", None)

    def _held(self, pod: Object) -> list[str]:
        return list(pod["metadata"].get("finalizers") or ())

    async def report(self, pod: Object, phase: str, code: int | None, **status: Any) -> None:
        state: Object = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        container = {
            "name": "main", "image": "x", "imageID": "", "ready": code is None, "restartCount": 0, "state": state,
        }  # fmt: skip
        conditions = [{"type": "Ready", "status": "True" if phase == "Running" else "False"}]
        body = {"phase": phase, "conditions": conditions, "containerStatuses": [container], **status}
        await self.client.patch(
            PODS, pod["metadata"]["name"], {"status": body}, self.namespace,
            subresource="status", content_type=STRATEGIC_PATCH,
        )  # fmt: skip


def _bare(item: Object) -> Object:
    """Leave out what a watch tells and the items of a list do not."""
    return {key: value for key, value in item.items() if key not in ("apiVersion", "kind")}


def _events(events: list[Object]) -> Object:
    """Tell the events of each object: all of them, and in which order their reasons first came."""
    told: dict[str, Counter[tuple[str, ...]]] = {}
    order: dict[str, list[str]] = {}
    for event in events:
        about = event["involvedObject"]
        subject = f"{about['kind']} {about['name']} ({about['apiVersion']}, {about.get('fieldPath', '')})"
        words = (
            event["type"], event["reason"], event.get("message", ""), event.get("action", ""),
            (event.get("source") or {}).get("component", ""), event.get("reportingComponent", ""),
            event.get("reportingInstance", ""),
        )  # fmt: skip
        told.setdefault(subject, Counter())[words] = event.get("count") or 0
        if event["reason"] not in order.setdefault(subject, []):
            order[subject].append(event["reason"])
    listed = {
        subject: sorted((*words, str(count)) for words, count in texts.items()) for subject, texts in told.items()
    }
    return {"order": dict(sorted(order.items())), "all": dict(sorted(listed.items()))}


def pod_spec(**requests: str) -> Object:
    """The spec of a pod of one small container."""
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": "10m", **requests}}}
    return {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 30,
        "containers": [container],
    }  # fmt: skip


def requests(limits: Mapping[str, str] | None = None, **amounts: str) -> list[Object]:
    """One container that asks for so much."""
    return [{"name": "main", "image": "x", "resources": {"requests": amounts, "limits": dict(limits or {})}}]


async def add_node(client: Client, name: str, **fields: Any) -> None:
    """Add a ready node by hand.

    Args:
        client: a client of the server.
        name: the node's name.
        fields: `labels`, `taints`, `unschedulable`, `ready`, and what it has (`cpu`, `memory`, `pods`, `resources`).
    """
    spec = {key: fields[key] for key in ("taints", "unschedulable") if key in fields}
    labels = {"kubernetes.io/hostname": name, **fields.get("labels", {})}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}
    await client.create(NODES, body)
    has = {key: fields.get(key, value) for key, value in (("cpu", "8"), ("memory", "32Gi"), ("pods", "110"))}
    has.update({"ephemeral-storage": "100Gi", **fields.get("resources", {})})
    ready = fields.get("ready", True)
    await heartbeat(client, name, {"allocatable": has, "capacity": has}, ready=ready)
    for _ in range(300):  # a new node carries a taint until the node controller has seen it ready
        taints = (await client.get(NODES, name))["spec"].get("taints") or []
        if not ready or all(taint["key"] != "node.kubernetes.io/not-ready" for taint in taints):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"node {name} keeps its taint")


async def heartbeat(client: Client, name: str, status: Object, *, ready: bool = True) -> None:
    """Say that a node is alive."""
    time = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    state = "True" if ready else "False"
    condition = {"type": "Ready", "status": state, "reason": "Kubelet", "message": "", "lastHeartbeatTime": time}
    body = {**status, "conditions": [{**condition, "lastTransitionTime": time}]}
    await client.patch(NODES, name, {"status": body}, subresource="status", content_type=STRATEGIC_PATCH)
