"""Fit, quota and ladders on a real sandbox: what is said comes true, and looking changes nothing."""

from __future__ import annotations

import dataclasses
import gc
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gke_notebook.cluster import kubeconfig
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import static_token
from gke_notebook.cluster.resources import JOBS, SERVICE_ACCOUNTS, Resource
from gke_notebook.errors import InvalidInput
from gke_notebook.session.capacity import LIMIT_RANGES, RESOURCE_QUOTAS
from gke_notebook.session.job import Job
from gke_notebook.session.session import Session
from gke_notebook.widgets.job_card import job_view
from tests.support.home import SandboxHome, sandbox_home

# A session ends its event loop before TLS connections have said goodbye; a kernel never notices.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHome]:
    with sandbox_home(tmp_path_factory.mktemp("fit")) as found:
        found.up("--clock", "60")
        yield found


@pytest.fixture
def session(home: SandboxHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(home.directory))
    with opened(home) as found:
        yield found
        del found


class opened:
    """A session on the sandbox, closed afterwards."""

    def __init__(self, home: SandboxHome) -> None:
        self.session = Session(kubeconfig.load("sandbox", str(home.status()["kubeconfig"])))

    def __enter__(self) -> Session:
        self.session.open()
        return self.session

    def __exit__(self, *_: object) -> None:
        self.session.close()
        del self.session
        gc.collect()  # while the warnings of it are expected


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def made(session: Session, resource: Resource, body: dict[str, Any]) -> None:
    async def create(client: Client) -> None:
        await client.create(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **body}, "default")

    session.call(create)


def removed(session: Session, resource: Resource, name: str) -> None:
    async def delete(client: Client) -> None:
        await client.delete(resource, name, "default")

    session.call(delete)


def versions(session: Session) -> dict[str, str]:
    """Every object of the namespace with its resourceVersion."""

    async def read(client: Client) -> dict[str, str]:
        found = {}
        for plural in ("pods", "configmaps", "services", "resourcequotas", "limitranges", "events"):
            listed = await client.list(Resource("", "v1", plural, ""), "default")
            found.update({f"{plural}/{one['metadata']['uid']}": one["metadata"]["resourceVersion"]
                          for one in listed["items"]})  # fmt: skip
        listed = await client.list(JOBS, "default")
        return found | {f"jobs/{one['metadata']['uid']}": one["metadata"]["resourceVersion"] for one in listed["items"]}

    return session.call(read)


def verdict(session: Session, **options: Any) -> str:
    found = session.plan("shape", "print(1)", **options).fit
    assert found is not None
    return found.verdict


def test_verdicts_and_no_writes(session: Session) -> None:
    before = versions(session)
    assert verdict(session) == "fits"
    assert verdict(session, gpu="l4:2", nodes=4) == "fits"
    assert verdict(session, gpu="l4:2", nodes=5) == "cannot fit"
    assert verdict(session, gpu="l4", nodes=4, spot=True) == "fits after scale-up"
    assert verdict(session, gpu="l4", nodes=5, spot=True) == "cannot fit"
    assert verdict(session, tpu="v5e:4x4") == "fits after scale-up"
    assert verdict(session, gpu="h100:8") == "cannot fit"
    plan = session.plan("shape", "print(1)", fallback="spot:h100:8, h100:8")
    assert plan.fit is not None
    assert plan.fit.verdict == "cannot fit"
    assert session.quota(gpu="l4", nodes=2, spot=True).fit is not None
    assert versions(session) == before


def test_what_cannot_fit_is_not_created_silently(session: Session) -> None:
    plan = session.plan("too-many", "print(1)", gpu="t4", nodes=3)
    with pytest.raises(InvalidInput, match="t4-pool") as caught:
        session.apply(plan)
    assert "--queue-anyway" in str(caught.value)
    assert "too-many" not in [job.name for job in session.jobs()]
    job = session.apply(plan, queue_anyway=True)
    until(lambda: any(node.reason == "Unschedulable" for node in job.state.nodes))
    takes = session.quota("too-many")
    assert takes.fit is not None
    assert takes.fit.verdict == "cannot fit", "its own pods hold what is there"
    job.cancel()
    until(lambda: job.state.ended)


def test_a_quota_of_the_namespace(session: Session) -> None:
    made(session, RESOURCE_QUOTAS, {"metadata": {"name": "team"}, "spec": {"hard": {"requests.nvidia.com/gpu": "3"}}})
    try:
        until(lambda: session.quota().limits[0].limit == 3.0)
        assert verdict(session, gpu="l4", nodes=3) == "fits"
        found = session.plan("shape", "print(1)", gpu="l4:2", nodes=2).fit
        assert found is not None
        assert (found.verdict, found.binding) == ("cannot fit", "ResourceQuota team: requests.nvidia.com/gpu")
        row = session.quota(gpu="l4:2", nodes=2).limits[0]
        assert (row.name, row.takes, row.short) == ("team: requests.nvidia.com/gpu", 4.0, True)
    finally:
        removed(session, RESOURCE_QUOTAS, "team")


def test_a_limit_range(session: Session) -> None:
    limits = [{"type": "Container", "max": {"memory": "2Gi"}}]
    made(session, LIMIT_RANGES, {"metadata": {"name": "small"}, "spec": {"limits": limits}})
    try:
        found = session.plan("shape", "print(1)", memory="4Gi").fit
        assert found is not None
        assert (found.verdict, found.binding) == ("cannot fit", "LimitRange small")
        assert verdict(session, memory="2Gi") == "fits"
    finally:
        removed(session, LIMIT_RANGES, "small")


def test_quota_of_the_project(session: Session, home: SandboxHome) -> None:
    home.run("drill", "quota", "--accelerator", "l4", "--spot", "--limit", "1")
    try:
        session.capacity.forget()
        found = session.plan("shape", "print(1)", gpu="l4", nodes=2, spot=True).fit
        assert found is not None
        assert found.verdict == "cannot fit"
        assert found.binding == "quota PREEMPTIBLE_NVIDIA_L4_GPUS in us-central1"
        assert "--preferred-value=2 --dimensions=region=us-central1" in found.request
        assert verdict(session, gpu="l4", nodes=1, spot=True) == "fits after scale-up"
    finally:
        home.run("drill", "stop")
        session.capacity.forget()


@pytest.fixture
def stockout(home: SandboxHome) -> Iterator[None]:
    home.run("drill", "stockout", "--accelerator", "l4", "--zone", "us-central1-a", "--spot")
    yield
    home.run("drill", "stop")


@pytest.mark.usefixtures("stockout")
def test_a_ladder_moves(session: Session) -> None:
    plan = session.plan("ladder", "result = 6 * 7", fallback="spot:l4@10m, l4, t4")
    assert [rung.words for rung in plan.ladder.rungs] == ["spot:l4", "l4", "t4"] if plan.ladder else False
    most = plan.max_cost()
    assert most is not None
    assert plan.price is not None
    assert most > plan.price.usd_hour, "the cap is of the dearest rung"
    job = session.apply(plan)
    job.wait(60)
    assert job.result == 42
    ladder = job.state.ladder
    assert ladder is not None
    assert (ladder.at, ladder.settled) == (1, True)
    assert ladder.tried == (("spot:l4", "GCE out of resources in us-central1-a"),)
    live = job.manifests()[-1]
    assert "cloud.google.com/gke-spot" not in live["spec"]["template"]["spec"]["nodeSelector"]


@pytest.mark.usefixtures("stockout")
def test_another_kernel_goes_on(session: Session, home: SandboxHome) -> None:
    plan = session.plan("handed-on", "result = 1", fallback="spot:l4@10m, l4")
    first = opened(home)
    with first as gone:
        job = gone.apply(plan)
    # Nobody looks after it now, so that it stays where it is.
    with opened(home) as other:
        found = other.job("handed-on")
        found.wait(60)
        assert found.state.ladder is not None
        assert found.state.ladder.at == 1
    assert job.name == found.name


def test_every_rung_in_turn(session: Session) -> None:
    """The first has no node pool, the second too few machines; what the autoscaler says of each stands in the card."""
    plan = session.plan("in-turn", "result = 1", fallback="spot:t4, flex:t4@1s, t4", nodes=2)
    job: Job = session.apply(plan)
    job.wait(60)
    ladder = job.state.ladder
    assert ladder is not None
    assert [words for words, _ in ladder.tried] == ["spot:t4", "flex:t4"]
    assert all(why for _, why in ladder.tried)
    assert job_view(job.state).text.count("ladder: ") == 3


def test_a_job_that_somebody_else_has_suspended_stays_so(session: Session) -> None:
    plan = session.plan("held", "print(1)", fallback="l4, t4")
    plan.manifests[-1]["spec"]["suspend"] = True
    job = session.apply(plan)

    async def live(client: Client) -> dict[str, Any]:
        return await client.get(JOBS, "held", "default")

    until(lambda: (session.call(live).get("status") or {}).get("conditions"))
    session.apply(session.plan("passes", "result = 1", fallback="l4, t4")).wait(60)  # the driver has looked meanwhile
    assert session.call(live)["spec"]["suspend"] is True
    job.cancel()


@pytest.mark.usefixtures("stockout")
def test_without_the_right_to_move(session: Session) -> None:
    """A user whose Role has jobs but not jobs/status is told so in the plan, and in the card of a job that stays."""

    async def grant(client: Client) -> str:
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "ada"}}, "default")
        every = ["configmaps", "services", "pods", "events", "pods/log"]
        rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]},
                 {"apiGroups": [""], "resources": every, "verbs": ["*"]}]  # fmt: skip
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trainer"}
        subject = {"kind": "ServiceAccount", "name": "ada", "namespace": "default"}
        group = "rbac.authorization.k8s.io"
        await client.create(Resource(group, "v1", "roles", "Role"), {"metadata": {"name": "trainer"}, "rules": rules},
                            "default")  # fmt: skip
        binding = {"metadata": {"name": "trainer"}, "roleRef": role, "subjects": [subject]}
        await client.create(Resource(group, "v1", "rolebindings", "RoleBinding"), binding, "default")
        path = "/api/v1/namespaces/default/serviceaccounts/ada/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(json.loads(await client.request("POST", path, body=asked))["status"]["token"])

    connection = dataclasses.replace(session.connection, token=static_token(session.call(grant)))
    ada = Session(connection)
    try:
        ada.open()
        plan = ada.plan("stays", "print(1)", fallback="spot:l4@1s, l4")
        assert any("jobs/status" in note for note in plan.notes)
        job = ada.apply(plan)
        until(lambda: "jobs/status" in job_view(job.state).text)
        assert job.state.ladder is not None
        assert job.state.ladder.at == 0
        job.cancel()
    finally:
        ada.close()
    assert not any("jobs/status" in note for note in session.plan("may", "print(1)", fallback="spot:l4, l4").notes)
