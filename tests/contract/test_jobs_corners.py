"""Rules of Jobs that meet: policies with one another, with suspension, with deadlines; the same on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gke_notebook.cluster.connection import Connection
from tests.support.lockstep import Note, Outcome, run_jobs, scenarios_of, selected_in, verify
from tests.support.settled import World

DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    return {"rules": list(found)}


def codes(action: str, operator: str, *values: int, **more: str) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values), **more}}


async def first_rule_that_matches(w: World) -> None:
    """Rules are looked at in order: a disruption is ignored although its exit code would fail the Job."""
    policy = rules(
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        codes("FailJob", "In", 7, 137, containerName="main"),
        codes("Count", "In", 5),
        codes("FailJob", "NotIn", 5),
    )
    await w.indexed(2, backoffLimit=3, podFailurePolicy=policy)
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1", code=137, conditions=[DISRUPTED])
    await w.find("j-0#2")
    await w.settled("ignored", active=2, ready=2, failed=None)
    await w.end("j-1#1", code=5)
    await w.find("j-1#2")
    await w.settled("counted", active=2, ready=2, failed=1)
    await w.end("j-0#2", code=137)
    await w.settled("failed", condition="Failed")


async def fails_the_job_for_a_condition(w: World) -> None:
    policy = rules({"action": "FailJob", "onPodConditions": [{"type": "ConfigIssue", "status": "True"}]})
    await w.indexed(2, podFailurePolicy=policy)
    await w.settled("running", active=2, ready=2)
    await w.end("j-1#1", code=1, conditions=[{"type": "ConfigIssue", "status": "True", "reason": "Wrong"}])
    await w.settled("failed", condition="Failed")


async def ignored_in_an_index(w: World) -> None:
    """What is ignored is not counted for the index either."""
    policy = rules({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]})
    await w.indexed(2, backoffLimitPerIndex=0, podFailurePolicy=policy)
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1", code=143, conditions=[DISRUPTED])
    await w.find("j-0#2")
    await w.settled("again", active=2, ready=2, failed=None)
    await w.end("j-0#2", code=1)
    await w.settled("index failed", failedIndexes="0")
    await w.end("j-1#1")
    await w.settled("failed", condition="Failed")


async def success_in_spite_of_failures(w: World) -> None:
    """A success policy is met although an index has failed for good."""
    await w.indexed(4, backoffLimitPerIndex=0, successPolicy=rules({"succeededIndexes": "1-2"}))
    await w.settled("running", active=4, ready=4)
    await w.end("j-0#1", code=1)
    await w.settled("one failed", failedIndexes="0")
    await w.end("j-1#1")
    await w.settled("one succeeded", completedIndexes="1")
    await w.end("j-2#1")
    await w.settled("complete", condition="Complete")


async def failures_before_success(w: World) -> None:
    """When the last index has ended, failed ones count first."""
    await w.indexed(2, backoffLimitPerIndex=0, successPolicy=rules({"succeededIndexes": "1"}))
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1", code=1)
    await w.settled("one failed", failedIndexes="0")
    await w.end("j-1#1")
    await w.settled("failed", condition="Failed")


async def second_success_rule(w: World) -> None:
    await w.indexed(4, successPolicy=rules({"succeededIndexes": "3"}, {"succeededCount": 2}))
    await w.settled("running", active=4, ready=4)
    await w.end("j-0#1")
    await w.settled("one", succeeded=1)
    await w.end("j-2#1")
    await w.settled("complete", condition="Complete")


async def a_deadline_waits_for_the_start(w: World) -> None:
    """The time of a Job that is suspended does not run, and begins anew when it is resumed."""
    await w.indexed(1, suspend=True, activeDeadlineSeconds=2)
    await w.settled("suspended", condition="Suspended")
    await asyncio.sleep(2.5)
    await w.settled("still suspended", condition="Suspended")
    await w.change(suspend=False)
    await w.settled("failed", condition="Failed")


async def resumed_elsewhere(w: World) -> None:
    """Where the pods go may be decided while a Job has not begun."""
    await w.indexed(1, suspend=True)
    await w.settled("suspended", condition="Suspended")
    await w.change(template={"metadata": {"annotations": {"a": "b"}}, "spec": {"nodeSelector": {"no": "such"}}})
    await w.change(suspend=False)
    await w.until(lambda: any(pod["spec"].get("nodeSelector") for pod in w.pods.objects), "a pod")
    await w.settled("pending", active=1, ready=0)


async def finished_then_changed(w: World) -> None:
    """A finished Job stays finished, and may still be given a time to live."""
    await w.indexed(1)
    await w.settled("running", active=1, ready=1)
    await w.end("j-0#1")
    await w.settled("complete", condition="Complete")
    await w.change(suspend=True)
    await w.settled("suspended after its end", condition="Complete")
    await w.change(ttlSecondsAfterFinished=1)
    await w.gone("gone")


async def larger_after_some_have_ended(w: World) -> None:
    await w.indexed(2)
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1")
    await w.settled("one ended", completedIndexes="0", active=1)
    await w.change(parallelism=4, completions=4)
    await w.settled("larger", active=3, ready=3)
    await w.change(parallelism=1, completions=1)
    await w.settled("complete", condition="Complete")


SCENARIOS = scenarios_of(globals())


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_connection: Connection | None) -> dict[str, Outcome]:
    return asyncio.run(run_jobs(selected_in(request, SCENARIOS), real_connection))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_job_is_the_same(name: str, outcomes: dict[str, Outcome], note: Note) -> None:
    verify(outcomes[name])
    note("Job", name.replace("_", " "))
