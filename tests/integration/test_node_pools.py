"""Node pools of a session against the sandbox's GKE: created once whatever happens, waited for, explained."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from gke_notebook.cloud.node_pools import ClusterBusy
from gke_notebook.cloud.rest import CloudError
from gke_notebook.errors import ClusterUnreachable, InvalidInput, NotConnected, StillRunning
from gke_notebook.objects import Container, Metadata, Node, Pod, PodSpec, PodStatus
from gke_notebook.sandbox.gke import container, wire
from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.session import operation as operations
from gke_notebook.session import pool_changes, pool_story
from gke_notebook.session.operation import NodePoolFailed
from tests.support.google import Google, google
from tests.support.pool_session import node_pools

L4 = {"gpu": "l4:1", "zones": "us-central1-a", "nodes": 2}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as the fast clock of the sandbox goes."""
    for module in (operations, pool_changes):
        monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)
        monkeypatch.setattr(module, "_LONGEST_WAIT", 0.05)
    monkeypatch.setattr("gke_notebook.cloud.node_pools._FIRST_WAIT", 0.01)


async def with_cloud(work: Callable[[str], Any], *faults: Fault, factor: float = 2000.0) -> tuple[Any, Google]:
    """Do something that blocks against a new Google Cloud."""
    async with google(factor=factor) as cloud:
        for fault in faults:
            cloud.fleet.add_fault(fault)
        return await asyncio.to_thread(work, cloud.url), cloud


def pools_made(cloud: Google) -> list[str]:
    return [one.pool for one in cloud.fleet.state.operations.values() if one.type == "CREATE_NODE_POOL"]


async def test_the_life_of_a_pool() -> None:
    def work(url: str) -> Any:
        pools, seen = node_pools(url), []
        operation = pools.create("mine", **L4, lease="2h")
        operation.wait(30, lambda state: seen.append((state.detail, round(state.fraction, 2), state.nodes_done)))
        made = pools.get("mine")
        until = pools.extend("mine", "5h")
        extended = pools.refresh().get("mine")
        assert pools.extend("mine", "1h") == until, "a longer lease stays"
        pools.resize("mine", 3).wait(30)
        same = pools.resize("mine", 3)
        larger = pools.refresh().get("mine")
        pools.resize("mine", min_nodes=1, max_nodes=5).wait(30)
        scaled = pools.refresh().get("mine")
        pools.delete("mine").wait(30)
        gone = [pool.name for pool in pools]
        return seen, made, until, extended, larger, same, scaled, gone

    (seen, made, until, extended, larger, same, scaled, gone), _ = await with_cloud(work)
    assert [share for _, share, _ in seen] == sorted(share for _, share, _ in seen)
    assert seen[-1][1:] == (1.0, 2)
    assert (made.size, made.status, made.accelerator, made.owner) == (2, "running", "1 x l4", "ada")
    assert made.usd_hour == pytest.approx(2 * 0.70683)
    assert 7100 < made.lease_left(time.time()) <= 7200
    assert extended.lease_until == until
    assert 17900 < until - time.time() <= 18000
    assert larger.size == 3
    assert (same.name, same.note) == ("", "it has 3 nodes already")
    assert (scaled.autoscaling, scaled.least, scaled.most) == (True, 1, 5)
    assert "mine" not in gone


async def test_what_a_dry_run_shows_is_exactly_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    make = container.create
    monkeypatch.setattr(container, "create", lambda fleet, body: (sent.append(body), make(fleet, body))[1])

    def work(url: str) -> Any:
        pools = node_pools(url)
        plans = [
            pools.plan("a", gpu="l4:1", spot=True, sharing="mps:2", labels={"team": "vision"}, taints="a=b:NoExecute"),
            pools.plan("b", tpu="v5e:4x4", lease="1h", secure_boot=False),
            pools.plan("c", gpu="h200:8", flex=True, max_run_duration="2h"),
        ]
        for plan in plans:
            pools.apply(plan).wait(30)
        return plans

    plans, _ = await with_cloud(work)
    name = "CreateNodePoolRequest"
    shown = [wire.checked(name, plan.request)["nodePool"] for plan in plans]
    assert [without_defaults(wire.parse(name, body)["nodePool"]) for body in sent] == list(map(without_defaults, shown))


def without_defaults(value: Any) -> Any:
    """Leave out what the client leaves out: fields that have the value they have by default."""
    if isinstance(value, dict):
        return {key: kept for key, one in value.items() if (kept := without_defaults(one)) not in (0, False, "", "0")}
    return [without_defaults(one) for one in value] if isinstance(value, list) else value


async def test_asking_twice_makes_one() -> None:
    def work(url: str) -> Any:
        pools = node_pools(url)
        first = pools.create("mine", **L4)
        second = node_pools(url).create("mine", **L4, lease="1h")  # another kernel
        first.wait(30)
        third = pools.create("mine", **L4)
        with pytest.raises(InvalidInput) as refused:
            pools.create("mine", gpu="l4:1", spot=True)
        return first, second, third, str(refused.value)

    (first, second, third, refused), cloud = await with_cloud(work)
    assert second.name == first.name != ""
    assert "asked for before" in second.note
    assert third.done
    assert "there already" in third.note
    assert "config.spot: asked for true, there is nothing" in refused
    assert "%gke_nodepool delete mine" in refused
    assert pools_made(cloud) == ["mine"]


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_an_api_that_fails_a_while_is_asked_again_and_nothing_is_doubled(code: int) -> None:
    said: list[str] = []

    def work(url: str) -> Any:
        pools = node_pools(url, said)
        pools.create("mine", **L4).wait(30)
        return pools.refresh().get("mine")

    faults = [Fault("api-errors", code=code, count=2, api="container", method=method) for method in ("POST", "GET")]
    made, cloud = await with_cloud(work, *faults)
    assert made.size == 2
    assert pools_made(cloud) == ["mine"]
    assert any(str(code) in text for text in said)


async def test_an_answer_that_is_lost_after_the_pool_was_begun_makes_no_second_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []

    def work(url: str) -> Any:
        pools = node_pools(url, said)
        ask = pools._api.create
        lost = []

        def lossy(body: Any) -> Any:
            found = ask(body)
            if not lost:
                lost.append(found)
                raise ClusterUnreachable("the connection broke")
            return found

        monkeypatch.setattr(pools._api, "create", lossy)
        operation = pools.create("mine", **L4)
        return operation, lost[0]["name"], operation.wait(30)

    (operation, name, state), cloud = await with_cloud(work, factor=200.0)
    assert operation.name in ("", name)  # of a pool that was ready meanwhile, there is nothing left to follow
    assert state.done
    assert operation.note
    assert pools_made(cloud) == ["mine"]
    assert "looking whether it has begun" in said[0]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refusal_is_explained_and_not_asked_again(method: str) -> None:
    def work(url: str) -> str:
        with pytest.raises(CloudError) as refused:
            node_pools(url).create("mine", **L4)
        return str(refused.value)

    text, cloud = await with_cloud(work, Fault("api-errors", code=403, api="container", method=method))
    assert "you may not" in text
    assert "roles/container.cluster" in text
    assert "127.0.0.1" not in text
    assert pools_made(cloud) == []


async def test_an_api_that_never_comes_back_is_given_up() -> None:
    def work(url: str) -> int:
        with pytest.raises(CloudError) as refused:
            node_pools(url).create("mine", **L4)
        return refused.value.status

    status, cloud = await with_cloud(work, Fault("api-errors", code=503, api="container", method="POST"))
    assert status == 503
    assert pools_made(cloud) == []


async def test_quota_that_does_not_suffice_is_said_by_its_name() -> None:
    def work(url: str) -> str:
        with pytest.raises(CloudError) as refused:
            node_pools(url).create("mine", **L4)
        return str(refused.value)

    text, _ = await with_cloud(work, Fault("quota", metric="NVIDIA_L4_GPUS", limit=9))
    assert 'resource "NVIDIA_L4_GPUS"' in text


async def test_a_busy_cluster_is_waited_for_and_named() -> None:
    said: list[str] = []

    def work(url: str) -> Any:
        pools = node_pools(url, said)
        first = pools.create("first", **L4)
        with pytest.raises(ClusterBusy) as busy:
            pools._api.delete("t4-pool")
        assert busy.value.operation == first.name
        second = pools.create("second", gpu="t4:1", nodes=1, zones="us-central1-a")
        second.wait(30)
        return first.wait(30)

    state, cloud = await with_cloud(work, factor=200.0)
    assert state.done
    assert said[0].startswith("the cluster does one thing at a time, now creating node pool first: ")
    assert said[0].endswith("after that: create node pool second")
    assert pools_made(cloud) == ["first", "second"]


async def test_a_stockout_ends_the_operation_with_its_reason_and_what_may_help() -> None:
    def work(url: str) -> Any:
        pools = node_pools(url)
        operation = pools.create("mine", **L4)
        with pytest.raises(NodePoolFailed) as failed:
            operation.wait(30)
        with pytest.raises(InvalidInput) as again:
            pools.create("mine", **L4)
        return str(failed.value), pools.refresh().get("mine"), str(again.value)

    fault = Fault("stockout", accelerator="nvidia-l4", zone="us-central1-a")
    (text, pool, again), _ = await with_cloud(work, fault, factor=20000.0)
    assert "GCE_STOCKOUT" in text
    assert "other zones" in text
    assert pool.status == "in error"
    assert pool.conditions[0].startswith("no capacity: ")
    assert "%gke_nodepool delete mine" in again


async def test_a_wait_that_is_over_or_interrupted_leaves_the_operation_running() -> None:
    def work(url: str) -> Any:
        pools = node_pools(url)
        operation = pools.create("mine", **L4)
        with pytest.raises(StillRunning, match="%gke_nodepool wait mine"):
            operation.wait(0)

        def interrupt(_: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            operation.wait(on_change=interrupt)
        return operation.name, node_pools(url).operation("mine").wait(30)

    (name, state), _ = await with_cloud(work, factor=200.0)
    assert (state.name, state.error) == (name, "")


async def test_an_operation_is_cancelled() -> None:
    def work(url: str) -> Any:
        pools = node_pools(url)
        operation = pools.create("mine", **L4)
        operation.cancel()
        with pytest.raises(NodePoolFailed, match="cancelled"):
            operation.wait(30)
        with pytest.raises(CloudError, match="already completed"):
            operation.cancel()
        return True

    fault = Fault("stockout", accelerator="nvidia-l4", zone="us-central1-a")
    assert (await with_cloud(work, fault, factor=60.0))[0]


def job_on(node: str) -> tuple[Node, Pod]:
    labels = {"cloud.google.com/gke-nodepool": "l4-pool"}
    pod_labels = {"gke-notebook.dev/job": "digits", "gke-notebook.dev/owner": "bob"}
    return (
        Node(metadata=Metadata(name=node, labels=labels)),
        Pod(
            metadata=Metadata(name="digits-0", namespace="vision", labels=pod_labels),
            spec=PodSpec(node_name=node, containers=(Container(),)),
            status=PodStatus(phase="Running"),
        ),
    )


async def test_a_pool_with_somebodys_job_is_not_deleted() -> None:
    node, pod = job_on("n1")

    def work(url: str) -> Any:
        pools = node_pools(url, nodes=(node,), pods=(pod,))
        with pytest.raises(InvalidInput) as refused:
            pools.delete("l4-pool")
        there = pools.refresh().get("l4-pool").jobs
        pools.delete("l4-pool", force=True).wait(30)
        return str(refused.value), there, [pool.name for pool in pools.refresh()]

    (text, jobs, left), _ = await with_cloud(work)
    assert "digits (of bob, 1 pod)" in text
    assert "--force" in text
    assert "is lost" in text
    assert jobs[0].namespace == "vision"
    assert "l4-pool" not in left


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pools: pools.resize("v5e-pool", 3), "4 nodes or none, not 3: --nodes 4"),
        (lambda pools: pools.resize("l4-spot-pool", 9), "--nodes 4, or change the limits: --min 0 --max 9"),
        (lambda pools: pools.resize("l4-spot-pool", min_nodes=5), "write --min 4 --max 5"),
        (lambda pools: pools.resize("l4-pool"), "--nodes N"),
        (lambda pools: pools.resize("l4-pol", 1), "did you mean 'l4-pool'?"),
        (lambda pools: pools.delete("l4-pol"), "did you mean 'l4-pool'?"),
        (lambda pools: pools.extend("l4-pol"), "did you mean 'l4-pool'?"),
        (lambda pools: pools.operation("l4-pol"), "did you mean 'l4-pool'?"),
        (lambda pools: pools.create("r", gpu="l4:2", reservation="l4-reservd"), "did you mean 'l4-reserved'?"),
        (
            lambda pools: pools.create("r", gpu="l4:2", reservation="l4-reserved", zones="us-central1-a"),
            "--zone us-central1-b",
        ),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_begun(change: Callable[[Any], Any], said: str) -> None:
    def work(url: str) -> str:
        with pytest.raises(InvalidInput) as refused:
            change(node_pools(url))
        return str(refused.value)

    text, cloud = await with_cloud(work)
    assert said in text
    assert not cloud.fleet.state.operations


async def test_orphans_are_found_with_what_they_cost() -> None:
    def work(url: str) -> Any:
        pools = node_pools(url)
        pools.create("over", machine_type="g2-standard-4", nodes=1, lease="1s", zones="us-central1-a").wait(30)
        time.sleep(1.1)
        return {pool.name: (pool.orphaned(time.time()), pool.usd_hour) for pool in pools.refresh().orphans()}

    found, _ = await with_cloud(work)
    assert found["over"][0].startswith("its lease is over since")
    assert found["over"][1] == pytest.approx(0.70683)
    assert found["l4-pool"][0] == "no job has a pod on its 4 nodes"
    assert not {"default-pool", "v5e-pool"} & found.keys()


async def test_a_wrong_token_is_said_without_showing_it() -> None:
    def work(url: str) -> str:
        with pytest.raises(NotConnected) as refused:
            list(node_pools(url, token="not-the-token"))
        return str(refused.value)

    text, _ = await with_cloud(work)
    assert "the Google credentials are no longer good" in text
    assert "not-the-token" not in text


def test_what_was_done_to_an_earlier_pool_of_the_name_is_not_told() -> None:
    kinds = ["SET_NODE_POOL_SIZE", "CREATE_NODE_POOL", "DELETE_NODE_POOL", "CREATE_NODE_POOL"]
    told = pool_story._since_creation([{"operationType": kind} for kind in kinds])
    assert [one["operationType"] for one in told] == kinds[:2]
