"""The rules of Jobs: limits per index, failure and success policies, suspension, size; the same on both servers."""

from __future__ import annotations

import asyncio

import pytest

from gke_notebook.cluster.connection import Connection
from tests.support.lockstep import Note, Outcome, run_jobs, scenarios_of, selected_in, verify
from tests.support.settled import World


async def limit_per_index(w: World) -> None:
    await w.indexed(2, backoffLimitPerIndex=0)
    await w.settled("running", active=2, ready=2, failedIndexes="")
    await w.end("j-0#1", code=1)
    await w.settled("one failed", failedIndexes="0", failed=1, active=1)
    await w.end("j-1#1")
    await w.settled("failed", condition="Failed")


async def another_try_per_index(w: World) -> None:
    await w.indexed(2, backoffLimitPerIndex=1)
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1", code=1)
    await w.find("j-0#2")
    await w.settled("again", active=2, ready=2, failed=1)
    await w.end("j-0#2", code=1)
    await w.settled("one failed", failedIndexes="0", failed=2)
    await w.end("j-1#1")
    await w.settled("failed", condition="Failed")


async def too_many_failed_indexes(w: World) -> None:
    await w.indexed(3, backoffLimitPerIndex=0, maxFailedIndexes=1)
    await w.settled("running", active=3, ready=3)
    await w.end("j-0#1", code=1)
    await w.settled("one", failedIndexes="0")
    await w.end("j-2#1", code=1)
    await w.settled("failed", condition="Failed")


def rule(action: str, **requirement: object) -> dict[str, object]:
    return {"rules": [{"action": action, **requirement}]}


async def fails_the_job(w: World) -> None:
    codes = {"containerName": "main", "operator": "In", "values": [3, 42]}
    await w.indexed(2, podFailurePolicy=rule("FailJob", onExitCodes=codes))
    await w.settled("running", active=2, ready=2)
    await w.end("j-1#1", code=42)
    await w.settled("failed", condition="Failed")


async def fails_the_index(w: World) -> None:
    codes = {"operator": "NotIn", "values": [1]}
    await w.indexed(2, backoffLimitPerIndex=3, podFailurePolicy=rule("FailIndex", onExitCodes=codes))
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1", code=2)
    await w.settled("one failed", failedIndexes="0", active=1)
    await w.end("j-1#1")
    await w.settled("failed", condition="Failed")


async def ignores_disruptions(w: World) -> None:
    await w.indexed(2, backoffLimit=0, podFailurePolicy=rule("Ignore", onPodConditions=[{"type": "DisruptionTarget"}]))
    await w.settled("running", active=2, ready=2)
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    await w.end("j-0#1", code=137, conditions=[disrupted])
    await w.find("j-0#2")
    await w.settled("again", active=2, ready=2, failed=None)
    await w.end("j-0#2")
    await w.end("j-1#1")
    await w.settled("complete", condition="Complete")


async def counts_as_ever(w: World) -> None:
    await w.indexed(2, backoffLimit=0, podFailurePolicy=rule("Count", onExitCodes={"operator": "In", "values": [1]}))
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1", code=1)
    await w.settled("failed", condition="Failed")


async def first_index_suffices(w: World) -> None:
    await w.indexed(3, successPolicy={"rules": [{"succeededIndexes": "0"}]})
    await w.settled("running", active=3, ready=3)
    await w.end("j-0#1")
    await w.settled("complete", condition="Complete")


async def some_suffice(w: World) -> None:
    await w.indexed(3, successPolicy={"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]})
    await w.settled("running", active=3, ready=3)
    await w.end("j-1#1")
    await w.settled("not yet", succeeded=1)
    await w.end("j-2#1")
    await w.settled("complete", condition="Complete")


async def suspended(w: World) -> None:
    await w.indexed(2, suspend=True)
    await w.settled("suspended", condition="Suspended")
    await w.change(suspend=False)
    await w.settled("running", active=2, ready=2)
    await w.change(suspend=True)
    await w.settled("suspended again", condition="Suspended", terminating=0, active=None)
    await w.change(suspend=False)
    await w.settled("running again", active=2, ready=2)
    await w.end("j-0#2")
    await w.end("j-1#2")
    await w.settled("complete", condition="Complete")


async def elastic(w: World) -> None:
    """Parallelism and completions of an Indexed Job change together."""
    await w.indexed(3)
    await w.settled("running", active=3, ready=3)
    await w.change(parallelism=1, completions=1)
    await w.settled("smaller", active=1, ready=1, terminating=0)
    await w.change(parallelism=2, completions=2)
    await w.settled("larger", active=2, ready=2)
    await w.end("j-0#1")
    await w.end("j-1#2")
    await w.settled("complete", condition="Complete")


async def less_at_once(w: World) -> None:
    await w.job(parallelism=3, completions=6)
    await w.settled("running", active=3, ready=3)
    await w.change(parallelism=0)
    await w.settled("none", active=None, ready=0, terminating=0)


async def replaced_when_failed(w: World) -> None:
    """With podReplacementPolicy Failed a pod that is being deleted is not replaced before it has ended."""
    await w.indexed(2, podReplacementPolicy="Failed")
    await w.settled("running", active=2, ready=2)
    w.silent = True
    await w.remove_pod("j-0#1")
    await w.settled("ending", active=1, terminating=1)
    w.silent = False
    await w.find("j-0#2")
    await w.settled("replaced", active=2, ready=2, terminating=0)
    await w.end("j-0#2")
    await w.end("j-1#1")
    await w.settled("complete", condition="Complete")


SCENARIOS = scenarios_of(globals())


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_connection: Connection | None) -> dict[str, Outcome]:
    return asyncio.run(run_jobs(selected_in(request, SCENARIOS), real_connection))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_job_is_the_same(name: str, outcomes: dict[str, Outcome], note: Note) -> None:
    verify(outcomes[name])
    note("Job", name.replace("_", " "))
