"""Which pod goes first, the same on both servers; each scenario has nodes of its own."""

from __future__ import annotations

import asyncio

import pytest

from gke_notebook.cluster.connection import Connection
from tests.support.lockstep import Note, Outcome, run_scheduler, scenarios_of, selected_in, verify
from tests.support.settled import Object, World, requests

BACK_OFF = 2.5  # seconds: more than a pod's first time of waiting, after which only its priority counts


async def _wait(w: World, name: str, **spec: object) -> None:
    await w.pod(name, **spec)
    await w.unschedulable(name)


async def priority_order(w: World) -> None:
    """Of pods that wait the one of the highest priority gets the room; among equals the one that waited longest."""
    await w.node("a", cpu="500m")
    await w.priority("low", 10, preemptionPolicy="Never")
    await w.priority("high", 1000, preemptionPolicy="Never")
    size = requests(cpu="2")
    for name, priority in (("low-1", "low"), ("high", "high"), ("low-2", "low")):
        await _wait(w, name, containers=size, priorityClassName=f"{priority}-{w.run}")
    await w.compare("all wait")
    await asyncio.sleep(BACK_OFF)
    await w.node("b", cpu="3")
    order: list[str] = []
    for gone, name in (("", "high"), ("high", "low-1"), ("low-1", "low-2")):
        if gone:
            await w.patch_pod(gone, {"status": {"phase": "Succeeded"}}, "status")
        await w.bound(name)
        order.append(name)
        assert {pod["metadata"]["name"] for pod in w.pods.objects if pod["spec"].get("nodeName")} == set(order)


async def a_gate_holds_nobody_up(w: World) -> None:
    """A pod of high priority that is gated or too large does not keep others from their nodes."""
    await w.node("a", cpu="3")
    await w.priority("tall", 1000)
    await w.pod("gated", schedulingGates=[{"name": "example.com/wait"}], priorityClassName=f"tall-{w.run}")
    await _wait(w, "large", containers=requests(cpu="5"), priorityClassName=f"tall-{w.run}")
    await w.pod("small", containers=requests(cpu="1"))
    await w.bound("small")
    await w.compare("bound")


def by_name(operator: str, name: str) -> Object:
    terms = [{"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


async def nodes_by_name(w: World) -> None:
    """Node affinity to the node's name, as daemons have it."""
    await w.node("a", cpu="1")
    await w.node("b", cpu="9")
    for name, rule in (("in", by_name("In", "a")), ("not-in", by_name("NotIn", "b"))):
        await w.pod(name, affinity=rule)
        await w.bound(name)
    await _wait(w, "nowhere", affinity=by_name("In", "c"))
    await _wait(w, "too-large", affinity=by_name("In", "a"), containers=requests(cpu="2"))
    labelled = by_name("In", "b")
    required = labelled["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    required["nodeSelectorTerms"][0]["matchExpressions"] = [{"key": "pool", "operator": "Exists"}]
    await _wait(w, "both", affinity=labelled)
    required["nodeSelectorTerms"].append(by_name("In", "b")["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0])  # fmt: skip
    await w.pod("either", affinity=labelled)
    await w.bound("either")
    await w.compare("told")


async def room_is_kept(w: World) -> None:
    """What a pod has made room for is not taken by one of less priority before it."""
    await w.node("a", cpu="2")
    await w.priority("mid", 100)
    await w.priority("top", 1000)
    await w.pod("victim", containers=requests(cpu="1500m"))
    await w.bound("victim")
    await _wait(w, "urgent", containers=requests(cpu="1800m"), priorityClassName=f"top-{w.run}")
    await w.until(lambda: any(event["reason"] == "Preempted" for event in w.events.seen.values()), "a victim")
    await _wait(w, "other", containers=requests(cpu="400m"), priorityClassName=f"mid-{w.run}")
    await w.compare("nominated")
    await w.patch_pod("victim", {"status": {"phase": "Failed"}}, "status")
    await w.bound("urgent")


SCENARIOS = scenarios_of(globals())


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_connection: Connection | None) -> dict[str, Outcome]:
    return asyncio.run(run_scheduler(selected_in(request, SCENARIOS), real_connection))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_order_is_the_same(name: str, outcomes: dict[str, Outcome], note: Note) -> None:
    verify(outcomes[name])
    note("Pod", f"scheduling: {name.replace('_', ' ')}")
