"""JobSets from their creation to their end: our controller beside the real one.

The test itself is the Job controller and the garbage collector of both, so that nothing but JobSet is compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import yaml

from gke_notebook.cluster.client import MERGE_PATCH, Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import EVENTS, JOBS, NAMESPACES, SERVICES
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.jobset_controller import DEFINITIONS, JOBSETS, JobSetController
from tests.contract.normal import Normal, differences
from tests.contract.test_crd_upstream import upstream
from tests.support.apiserver import running_server
from tests.support.control_plane import HOW, Details, control_plane, find_control_plane

Object = dict[str, Any]
PREFIX = "jobset.sigs.k8s.io/"
PATIENCE = 30.0
TIME = "2026-01-01T00:00:00Z"


class World:
    """A namespace with JobSets, and what is seen of it.

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
        return sorted((await self.client.list(JOBS, self.namespace))["items"], key=lambda job: job["metadata"]["name"])

    async def end(self, name: str, *, failed: str = "", message: str = "told") -> None:
        """End a job as the Job controller would."""
        first, last = ("FailureTarget", "Failed") if failed else ("SuccessCriteriaMet", "Complete")
        conditions = [
            {"type": type_, "status": "True", "reason": failed or "CompletionsReached", "message": message,
             "lastTransitionTime": TIME, "lastProbeTime": TIME}
            for type_ in (first, last)
        ]  # fmt: skip
        job = await self.client.get(JOBS, f"js-{name}", self.namespace)
        count = {"failed": 1} if failed else {"succeeded": job["spec"].get("completions", 1)}
        status = {"startTime": TIME, "conditions": conditions, "active": 0, "ready": 0, "terminating": 0, **count}
        if not failed:
            status["completionTime"] = TIME
        await self.put(name, status)

    async def ready(self, name: str) -> None:
        """Have a job's pods run."""
        job = await self.client.get(JOBS, f"js-{name}", self.namespace)
        pods = job["spec"].get("parallelism", 1)
        await self.put(name, {"startTime": TIME, "active": pods, "ready": pods, "terminating": 0})

    async def put(self, name: str, status: Object) -> None:
        body = {"status": {"uncountedTerminatedPods": {}, **status}}
        await self.client.patch(
            JOBS, f"js-{name}", body, self.namespace, subresource="status", content_type=MERGE_PATCH
        )

    async def collect(self) -> None:
        """Let go of what is deleted, as the garbage collector does once nothing depends on it any more."""
        for job in await self.jobs():
            if job["metadata"].get("deletionTimestamp"):
                body = {"metadata": {"finalizers": None}}
                with contextlib.suppress(ApiError):
                    await self.client.patch(
                        JOBS, job["metadata"]["name"], body, self.namespace, content_type=MERGE_PATCH
                    )

    async def settled(self, step: str, *, jobs: str | None = None, **wanted: Any) -> None:
        """Wait for a state and write it down.

        Args:
            step: what to call it.
            jobs: the names of the jobs that are there and stay, without the JobSet's, separated by blanks.
            wanted: fields of the status; ``condition`` is the type of one that is true, ``gone`` that it is deleted.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        gone, condition = wanted.pop("gone", False), wanted.pop("condition", None)
        while True:
            await self.collect()
            found = await self._jobset()
            there = [job for job in await self.jobs() if not job["metadata"].get("deletionTimestamp")]
            names = " ".join(job["metadata"]["name"].removeprefix("js-") for job in there)
            status = (found or {}).get("status") or {}
            true = {each["type"] for each in status.get("conditions") or () if each["status"] == "True"}
            ending = found is None or bool(found["metadata"].get("deletionTimestamp"))
            right = ending if gone else all(status.get(key) == value for key, value in wanted.items())
            if right and (jobs is None or names == jobs) and (condition is None or condition in true):
                break
            assert loop.time() < end, f"{step}: {names}; {status}"
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.4)  # what should not happen has its chance
        self.seen.append({"step": step, **await self.picture()})

    async def _jobset(self) -> Object | None:
        with contextlib.suppress(ApiError):
            return await self.client.get(JOBSETS, "js", self.namespace)
        return None

    async def picture(self) -> Object:
        """Give what there is, without what the two servers cannot agree on."""
        jobs = [_plain(job) for job in await self.jobs() if not job["metadata"].get("deletionTimestamp")]
        services = [_plain(each) for each in (await self.client.list(SERVICES, self.namespace))["items"]]
        found = await self._jobset()
        status = (found or {}).get("status") or {}
        for each in status.get("conditions") or ():
            each.pop("lastTransitionTime")
        return {"status": status, "jobs": jobs, "services": services, "events": await self._events()}

    async def _events(self) -> list[Any]:
        events = (await self.client.list(EVENTS, self.namespace))["items"]
        mine = [each for each in events if each["involvedObject"]["kind"] == "JobSet"]
        return sorted({(each["type"], each["reason"], each["message"]) for each in mine})


def _plain(item: Object) -> Object:
    meta = {key: item["metadata"].get(key) for key in ("name", "labels", "annotations", "ownerReferences")}
    spec = {key: value for key, value in item["spec"].items() if key not in {"clusterIP", "clusterIPs", "selector"}}
    template = spec.get("template")
    if template is not None:
        # These two name the job's uid, which stands in the selector too.
        for key in ("controller-uid", "batch.kubernetes.io/controller-uid"):
            template["metadata"]["labels"].pop(key, None)
    return {"metadata": meta, "spec": spec}


Life = Callable[[World], Awaitable[None]]


def replicated(name: str, replicas: int = 1, *, job: Object | None = None, **more: Any) -> Object:
    """A replicated job."""
    pod = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"parallelism": 1, "completions": 1, "backoffLimit": 0, **(job or {})}
    return {"name": name, "replicas": replicas, "template": {"spec": {**spec, "template": pod}}, **more}


TWO = [replicated("leader"), replicated("workers", 2)]


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
    empty = dict.fromkeys(("ready", "succeeded", "failed", "active", "suspended"), 0)
    return [{"name": name, **empty, **changed.get(name, {})} for name in ("workers", "leader")]


async def any_success(w: World) -> None:
    await w.create(replicatedJobs=TWO, successPolicy={"operator": "Any", "targetReplicatedJobs": ["leader"]})
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-0")
    await w.settled("not yet", replicatedJobsStatus=_counts(workers={"succeeded": 1}))
    await w.end("leader-0")
    await w.settled("leader done", condition="Completed", jobs="leader-0 workers-0")


async def fails(w: World) -> None:
    await w.create(replicatedJobs=TWO)
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-1", failed="BackoffLimitExceeded")
    await w.settled("failed", condition="Failed", jobs="workers-1")


async def restarts(w: World) -> None:
    await w.create(replicatedJobs=TWO, failurePolicy={"maxRestarts": 1})
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-1", failed="BackoffLimitExceeded")
    await w.settled("started anew", restarts=1, jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())
    await w.end("leader-0", failed="BackoffLimitExceeded")
    await w.settled("no more", condition="Failed", jobs="leader-0")


async def rules(w: World) -> None:
    found = [
        {"action": "FailJobSet", "targetReplicatedJobs": ["leader"], "onJobFailureReasons": ["PodFailurePolicy"]},
        {"action": "RestartJobSetAndIgnoreMaxRestarts", "onJobFailureMessagePatterns": ["^maint"]},
    ]
    await w.create(replicatedJobs=TWO, failurePolicy={"maxRestarts": 0, "rules": found})
    await w.settled("created", jobs="leader-0 workers-0 workers-1")
    await w.end("workers-0", failed="BackoffLimitExceeded", message="maintenance")
    await w.settled("started anew", restarts=1, jobs="leader-0 workers-0 workers-1", replicatedJobsStatus=_counts())
    await w.end("leader-0", failed="PodFailurePolicy")
    await w.settled("failed", condition="Failed", jobs="leader-0")


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
    await w.settled("leader first", jobs="leader-0", replicatedJobsStatus=_counts())
    await w.ready("leader-0")
    await w.settled("not yet", replicatedJobsStatus=_counts(leader={"ready": 1, "active": 1}))
    await w.end("leader-0")
    await w.settled("then workers", jobs="leader-0 workers-0 workers-1")


async def suspended(w: World) -> None:
    await w.create(replicatedJobs=TWO, suspend=True)
    each = {"suspended": 1}
    held = _counts(leader=each, workers={"suspended": 2})
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


LIVES: list[Life] = [
    completes, any_success, fails, restarts, rules, in_order, depends_on, suspended, coordinated, without_names,
    expires, refused,
]  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Details | None]:
    """A control plane with JobSet and nothing else that acts, None where there is none."""
    found = find_control_plane()
    if found is None or "jobset" not in found.programs:
        yield None
        return
    with control_plane(tmp_path_factory.mktemp("jobset"), jobset=True, controllers=False) as details:
        yield details


@contextlib.asynccontextmanager
async def embedded() -> AsyncIterator[Connection]:
    """The embedded server with JobSet's own definition and our controller."""
    async with running_server() as connection, Client(connection, field_manager="test") as client:
        body = yaml.safe_load(upstream()["jobset.x-k8s.io_jobsets"].read_text())
        body["spec"].pop("conversion", None)
        await client.create(DEFINITIONS, body)
        context = Context(client)
        tasks = [asyncio.create_task(JobSetController(context).run()), asyncio.create_task(context.recorder.run())]
        try:
            yield connection
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await context.informers.close()


async def _live(connection: Connection, life: Life, namespace: str) -> Any:
    async with Client(connection) as client:
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        world = World(client, namespace)
        await life(world)
        return Normal([(r"\b[0-9a-f]{40}\b", "<hash>")])(world.seen)


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
async def test_a_jobset_lives_as_on_a_cluster(life: Life, real: Details | None):
    if "jobset.x-k8s.io_jobsets" not in upstream():
        pytest.skip("the module of JobSet is not in the Go module cache: `make control-plane` brings it")
    namespace = f"t-{secrets.token_hex(4)}"
    async with embedded() as connection:
        ours = await _live(connection, life, namespace)
    if real is None:
        if os.environ.get("CI"):
            pytest.fail(HOW)
        pytest.skip(HOW)
    theirs = await _live(real.connection, life, namespace)
    found = differences(ours, theirs)
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:40])
