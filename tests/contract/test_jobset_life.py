"""JobSets from their creation to their end: our controllers beside the real ones.

There are no kubelets and no nodes: the test itself says what the pods do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gke_notebook.cluster.client import MERGE_PATCH, STRATEGIC_PATCH, Client
from gke_notebook.cluster.resources import EVENTS, JOBS, PODS, SERVICES
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers.jobset_controller import JOBSETS
from tests.contract.both import Both, Side

Object = dict[str, Any]
PATIENCE = 60.0  # seconds: never a measure, only an end for a test that hangs
STILL = 0.6  # seconds without a change, after which a state is compared: what should not happen has its chance
COUNTS = ("ready", "succeeded", "failed", "active", "suspended")


class World:
    """A namespace with a JobSet, and what is seen of it.

    Args:
        client: a client of the server.
        namespace: the namespace.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.seen: list[Any] = []

    async def create(self, **spec: Any) -> None:
        """Create the JobSet, and write down what is stored or why it is refused."""
        body = {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": "js", **spec.pop("metadata", {})},
            "spec": spec,
        }
        try:
            found = await self.client.create(JOBSETS, body, self.namespace)
            self.seen.append(found["spec"])
        except ApiError as error:
            self.seen.append([error.status, error.reason, error.message])

    async def change(self, **spec: Any) -> None:
        """Change the JobSet's spec."""
        try:
            await self.client.patch(JOBSETS, "js", {"spec": spec}, self.namespace, content_type=MERGE_PATCH)
        except ApiError as error:
            self.seen.append([error.status, error.reason, error.message])

    async def jobs(self) -> list[Object]:
        found = (await self.client.list(JOBS, self.namespace))["items"]
        there = [job for job in found if not job["metadata"].get("deletionTimestamp")]
        return sorted(there, key=lambda job: job["metadata"]["name"])

    async def pods(self, name: str = "") -> list[Object]:
        """Give the pods that have not ended and stay, of one job or of all."""
        selector = f"batch.kubernetes.io/job-name=js-{name}" if name else ""
        found = (await self.client.list(PODS, self.namespace, label_selector=selector))["items"]
        there = [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]
        going = [pod for pod in there if pod["status"].get("phase") in (None, "Pending", "Running")]
        return sorted(going, key=lambda pod: pod["metadata"].get("generateName", ""))

    async def end(self, name: str, *, code: int = 0) -> None:
        """End the pods of a job with an exit code."""
        state = {"terminated": {"exitCode": code, "finishedAt": "2026-01-01T00:00:00Z"}}
        await self._report(name, "Failed" if code else "Succeeded", state, ready=False)

    async def ready(self, name: str) -> None:
        """Have a job's pods run."""
        await self._report(name, "Running", {"running": {}}, ready=True)

    async def _report(self, name: str, phase: str, state: Object, *, ready: bool) -> None:
        container = {"name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": state}
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        body = {"status": {"phase": phase, "conditions": conditions, "containerStatuses": [container]}}
        found = await self._until(lambda: self.pods(name), f"pods of {name}")
        for pod in found:
            await self.client.patch(
                PODS, pod["metadata"]["name"], body, self.namespace, subresource="status", content_type=STRATEGIC_PATCH
            )

    async def _until(self, look: Callable[[], Awaitable[Any]], what: str) -> Any:
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            found = await look()
            if found:
                return found
            assert asyncio.get_running_loop().time() < end, f"never came: {what}; {await self.picture()}"
            await asyncio.sleep(0.05)

    async def settled(self, step: str, *, jobs: str | None = None, **wanted: Any) -> None:
        """Wait for a state that stays, and write it down.

        Args:
            step: what to call it.
            jobs: the names of the jobs that are there and stay, without the JobSet's, separated by blanks.
            wanted: fields of the status; ``condition`` is the type of one that is true, ``gone`` that it is deleted.
        """
        gone, condition = wanted.pop("gone", False), wanted.pop("condition", None)

        async def there() -> bool:
            found = await self._jobset()
            names = " ".join(job["metadata"]["name"].removeprefix("js-") for job in await self.jobs())
            if gone or found is None:
                return bool(gone) and found is None and not names
            status = found.get("status") or {}
            true = {each["type"] for each in status.get("conditions") or () if each["status"] == "True"}
            right = all(status.get(key) == value for key, value in wanted.items())
            return right and (jobs is None or names == jobs) and (condition is None or condition in true)

        end = asyncio.get_running_loop().time() + PATIENCE
        before: Any = None
        while True:
            await self._until(there, f"{step}: {jobs} {condition} {wanted}")
            picture = await self.picture()
            if picture == before and await there():
                break
            assert asyncio.get_running_loop().time() < end, f"{step}: nothing stays; {picture}"
            before = picture
            await asyncio.sleep(STILL)
        self.seen.append({"step": step, **before})

    async def _jobset(self) -> Object | None:
        with contextlib.suppress(ApiError):
            return await self.client.get(JOBSETS, "js", self.namespace)
        return None

    async def picture(self) -> Object:
        """Give what there is."""
        jobs = [_plain(job) for job in await self.jobs()]
        services = [_plain(each) for each in (await self.client.list(SERVICES, self.namespace))["items"]]
        pods = [_plain_pod(pod) for pod in await self.pods()]
        found = await self._jobset()
        status = (found or {}).get("status") or {}
        for each in status.get("conditions") or ():
            each.pop("lastTransitionTime")
        return {"status": status, "jobs": jobs, "services": services, "pods": pods, "events": await self._events()}

    async def _events(self) -> list[Any]:
        """Give what was told of the JobSet, in order; what is told at once has none."""
        events = (await self.client.list(EVENTS, self.namespace))["items"]
        mine = [each for each in events if each["involvedObject"]["kind"] == "JobSet"]
        return sorted(
            [each["type"], each["reason"], each["message"], (each.get("source") or {}).get("component")]
            for each in mine
        )


def _plain(item: Object) -> Object:
    meta = {key: item["metadata"].get(key) for key in ("name", "labels", "annotations", "ownerReferences")}
    spec = {key: value for key, value in item["spec"].items() if key not in {"clusterIP", "clusterIPs"}}
    return {"metadata": meta, "spec": spec}


def _plain_pod(pod: Object) -> Object:
    """Give what a JobSet and its jobs make of a pod."""
    meta = {key: pod["metadata"].get(key) for key in ("generateName", "labels", "annotations", "ownerReferences")}
    wanted = ("hostname", "subdomain", "nodeSelector", "affinity", "schedulingGates", "restartPolicy", "containers")
    spec = {key: pod["spec"].get(key) for key in wanted}
    for container in spec["containers"]:
        for mount in container.get("volumeMounts") or ():
            mount.pop("name")  # generated
    return {"metadata": meta, "spec": spec}


Life = Callable[[World], Awaitable[None]]


def replicated(
    name: str,
    replicas: int = 1,
    *,
    job: Object | None = None,
    restart: str = "",
    meta: Object | None = None,
    **more: Any,
) -> Object:
    """A replicated job."""
    pod: Object = {"metadata": meta or {}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    if restart:
        pod["spec"]["restartPolicy"] = restart
    spec = {"parallelism": 1, "completions": 1, "backoffLimit": 0, **(job or {})}
    return {"name": name, "replicas": replicas, "template": {"spec": {**spec, "template": pod}}, **more}


PAIR = (("leader", 1), ("workers", 2))
TWO = [replicated(name, count) for name, count in PAIR]


async def completes(w: World) -> None:
    await w.create(replicatedJobs=TWO)
    await w.settled("created", jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())
    await w.ready("leader-0")
    await w.settled("one ready", replicatedJobsStatus=_counts(leader={"ready": 1, "active": 1}))
    await w.end("leader-0")
    await w.settled("one done", replicatedJobsStatus=_counts(leader={"succeeded": 1}))
    await w.end("workers-0")
    await w.end("workers-1")
    await w.settled("all done", condition="Completed")


def _counts(**changed: dict[str, int]) -> list[Object]:
    found = {"leader": {"active": 1}, "workers": {"active": 2}, **changed}
    return [{"name": name, **dict.fromkeys(COUNTS, 0), **found[name]} for name in ("workers", "leader")]


async def any_success(w: World) -> None:
    await w.create(replicatedJobs=TWO, successPolicy={"operator": "Any", "targetReplicatedJobs": ["leader"]})
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-0")
    await w.settled("not yet", replicatedJobsStatus=_counts(workers={"succeeded": 1, "active": 1}))
    await w.end("leader-0")
    await w.settled("leader done", condition="Completed", jobs="leader-0 workers-0")


async def fails(w: World) -> None:
    await w.create(replicatedJobs=TWO)
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-1", code=1)
    await w.settled("failed", condition="Failed", jobs="workers-1")


async def restarts(w: World) -> None:
    await w.create(replicatedJobs=TWO, failurePolicy={"maxRestarts": 1})
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-1", code=1)
    await w.settled("started anew", restarts=1, jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())
    await w.end("leader-0", code=1)
    await w.settled("no more", condition="Failed", jobs="leader-0")


async def rules(w: World) -> None:
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3, 5]}}]}
    jobs = [replicated(name, count, restart="Never", job={"podFailurePolicy": policy}) for name, count in PAIR]
    found = [
        {"action": "FailJobSet", "targetReplicatedJobs": ["leader"], "onJobFailureReasons": ["PodFailurePolicy"]},
        {"action": "RestartJobSetAndIgnoreMaxRestarts", "onJobFailureMessagePatterns": ["exit code 5 "]},
    ]
    await w.create(replicatedJobs=jobs, failurePolicy={"maxRestarts": 0, "rules": found})
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-0", code=5)
    await w.settled("started anew", restarts=1, jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())
    await w.end("leader-0", code=3)
    await w.settled("failed", condition="Failed", jobs="leader-0")


async def restart_strategy(w: World) -> None:
    """With Recreate of all, blocking: the old jobs are gone before new ones come."""
    await w.create(replicatedJobs=TWO, failurePolicy={"maxRestarts": 2, "restartStrategy": "BlockingRecreate"})
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    for restart in (1, 2):
        await w.end("workers-0", code=1)
        await w.settled(f"restart {restart}", restarts=restart, jobs="leader-0 workers-0 workers-1",
                        replicatedJobsStatus=_counts())  # fmt: skip


async def several_pods(w: World) -> None:
    """Jobs of several pods, whose names follow from job and index."""
    shape = {"parallelism": 2, "completions": 2, "backoffLimit": 1}
    own = {"labels": {"team": "x"}, "annotations": {"note": "y"}}
    jobs = [replicated("leader", job=shape, meta=own), replicated("workers", 2, job=shape, restart="Never")]
    await w.create(replicatedJobs=jobs, metadata={"labels": {"of": "me"}, "annotations": {"says": "that"}})
    await w.settled("created", jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())
    await w.ready("workers-1")
    await w.settled("one ready", replicatedJobsStatus=_counts(workers={"active": 2, "ready": 1}))
    for name in ("leader-0", "workers-0", "workers-1"):
        await w.end(name)
    await w.settled("all done", condition="Completed")


async def in_order(w: World) -> None:
    await w.create(replicatedJobs=TWO, startupPolicy={"startupPolicyOrder": "InOrder"})
    await w.settled("leader first", jobs="leader-0", condition="StartupPolicyInProgress")
    await w.ready("leader-0")
    await w.settled("then workers", jobs="leader-0 workers-0 workers-1")
    await w.ready("workers-0")
    await w.ready("workers-1")
    await w.settled("all there", condition="StartupPolicyCompleted")


async def depends_on(w: World) -> None:
    jobs = [
        replicated("leader"),
        replicated("workers", 2, dependsOn=[{"name": "leader", "status": "Complete"}]),
    ]
    await w.create(replicatedJobs=jobs)
    await w.settled("leader first", jobs="leader-0", replicatedJobsStatus=_counts(workers={}))
    await w.ready("leader-0")
    await w.settled("not yet", replicatedJobsStatus=_counts(leader={"ready": 1, "active": 1}, workers={}))
    await w.end("leader-0")
    await w.settled("then workers", jobs="leader-0 workers-0 workers-1")


async def suspended(w: World) -> None:
    await w.create(replicatedJobs=TWO, suspend=True)
    held = _counts(leader={"suspended": 1}, workers={"suspended": 2})
    await w.settled("held", condition="Suspended", replicatedJobsStatus=held)
    await w.change(suspend=False)
    await w.settled("runs", replicatedJobsStatus=_counts())
    await w.change(suspend=True)
    await w.settled("held again", condition="Suspended", replicatedJobsStatus=held)


async def coordinated(w: World) -> None:
    jobs = [replicated("leader", groupName="control"), replicated("workers", 2)]
    coordinator = {"replicatedJob": "workers", "jobIndex": 1, "podIndex": 0}
    await w.create(replicatedJobs=jobs, coordinator=coordinator, network={"subdomain": "net"})
    await w.settled("created", jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())


async def without_names(w: World) -> None:
    await w.create(replicatedJobs=TWO, network={"enableDNSHostnames": False})
    await w.settled("created", jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())


async def expires(w: World) -> None:
    await w.create(replicatedJobs=[replicated("leader")], ttlSecondsAfterFinished=1)
    await w.settled("created", jobs="leader-0")
    await w.end("leader-0")
    await w.settled("gone", gone=True)


async def refused(w: World) -> None:
    wrong = [{"name": "leader", "status": "Ready"}]
    await w.create(replicatedJobs=[replicated("leader", dependsOn=wrong)])
    await w.create(replicatedJobs=[replicated("a"), replicated("b", dependsOn=[{"name": "c", "status": "Ready"}])])
    await w.create(replicatedJobs=TWO, successPolicy={"operator": "All", "targetReplicatedJobs": ["nobody"]})
    await w.create(replicatedJobs=TWO, coordinator={"replicatedJob": "nobody"})
    await w.create(replicatedJobs=TWO, coordinator={"replicatedJob": "leader", "jobIndex": 3})
    await w.create(replicatedJobs=TWO, failurePolicy={"rules": [{"name": "1", "action": "FailJobSet"}]})
    await w.create(replicatedJobs=[replicated("x" * 62)])
    await w.create(replicatedJobs=TWO, network={"subdomain": "1x"})
    await w.create(replicatedJobs=TWO, suspend=True)
    await w.change(suspend=False, managedBy="example.com/other")


LIVES: dict[str, Life] = {
    "completes; ready, active, succeeded": completes,
    "success policy": any_success,
    "fails": fails,
    "failure policy: restarts": restarts,
    "failure policy: rules": rules,
    "failure policy: blocking restarts": restart_strategy,
    "labels, annotations, names of several pods": several_pods,
    "startup in order": in_order,
    "dependsOn": depends_on,
    "suspend and resume": suspended,
    "coordinator, groups, subdomain": coordinated,
    "without host names": without_names,
    "time to live": expires,
    "refused": refused,
}


@pytest.mark.parametrize("feature", LIVES)
async def test_a_jobset_lives_as_on_a_cluster(feature: str, both_queues: Both):
    async def scenario(side: Side) -> Any:
        world = World(side.client, side.namespace)
        await LIVES[feature](world)
        return world.seen

    await both_queues.compare(scenario, kind="JobSet", feature=feature)


async def test_the_table_of_kubectl(both_queues: Both):
    async def scenario(side: Side) -> Any:
        world = World(side.client, side.namespace)
        await world.create(replicatedJobs=TWO)
        await world.settled("created", replicatedJobsStatus=_counts())
        found = [await side.kubectl.run("get", "jobset"), await side.kubectl.run("get", "jobsets", "--no-headers")]
        for name in ("leader-0", "workers-0", "workers-1"):
            await world.end(name)
        await world.settled("done", condition="Completed")
        found += [await side.kubectl.run("get", "jobset", "js"), await side.kubectl.run("get", "jobset", "-o", "name")]
        return [[each.code, each.out, each.err] for each in found]

    age = [(r"\b(\d+[smh])+\b", "<age>"), (r" {2,}", "  ")]
    await both_queues.compare(scenario, kind="JobSet", feature="kubectl get", rules=age)
