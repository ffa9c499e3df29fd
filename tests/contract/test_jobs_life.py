"""Jobs from their creation to their end, the same on the embedded server and on the real control plane."""

from __future__ import annotations

import asyncio

import pytest

from gke_notebook.cluster.connection import Connection
from tests.support.lockstep import Note, Outcome, run_jobs, scenarios_of, selected_in, verify
from tests.support.settled import World


async def completes(w: World) -> None:
    await w.indexed(2, pod_metadata={"labels": {"team": "a"}, "annotations": {"note": "b"}})
    await w.settled("running", active=2, ready=2)
    await w.end("j-1#1")
    await w.settled("one done", succeeded=1, active=1)
    await w.end("j-0#1")
    await w.settled("complete", condition="Complete")


async def without_indexes(w: World) -> None:
    await w.job(parallelism=2, completions=3)
    await w.settled("running", active=2, ready=2)
    await w.end("j#1")
    await w.settled("one done", succeeded=1, active=2, ready=2)
    await w.end("j#2")
    await w.settled("two done", succeeded=2, active=1)
    await w.end("j#3")
    await w.settled("complete", condition="Complete")


async def work_queue(w: World) -> None:
    """Without completions, the first success ends the creation of pods."""
    await w.job(parallelism=2)
    await w.settled("running", active=2, ready=2)
    await w.end("j#1")
    await w.settled("one done", succeeded=1, active=1)
    await w.end("j#2")
    await w.settled("complete", condition="Complete")


async def nothing_to_do(w: World) -> None:
    await w.job(completions=0)
    await w.settled("complete", condition="Complete")


async def no_parallelism(w: World) -> None:
    await w.job(parallelism=0, completions=1)
    await w.settled("idle", ready=0, terminating=0)
    await w.change(parallelism=1)
    await w.settled("running", active=1, ready=1)
    await w.end("j#1")
    await w.settled("complete", condition="Complete")


async def waves(w: World) -> None:
    """More indexes than pods at once."""
    await w.indexed(4, parallelism=2)
    await w.settled("first two", active=2, ready=2)
    await w.end("j-0#1")
    await w.settled("third", succeeded=1, active=2, ready=2)
    await w.end("j-2#1")
    await w.settled("fourth", succeeded=2, active=2, ready=2)
    await w.end("j-1#1")
    await w.settled("last", succeeded=3, active=1)
    await w.end("j-3#1")
    await w.settled("complete", condition="Complete")


async def retried(w: World) -> None:
    """A failed index is tried again after the back-off."""
    await w.indexed(2)
    await w.settled("running", active=2, ready=2)
    await w.end("j-0#1", code=1)
    await w.settled("failed once", failed=1)
    await w.find("j-0#2")
    await w.settled("again", failed=1, active=2, ready=2)
    await w.end("j-0#2")
    await w.end("j-1#1")
    await w.settled("complete", condition="Complete")


async def backoff_limit(w: World) -> None:
    await w.indexed(2, backoffLimit=0)
    await w.settled("running", active=2, ready=2)
    await w.end("j-1#1", code=3)
    await w.settled("failed", condition="Failed")


async def backoff_limit_without_indexes(w: World) -> None:
    await w.job(parallelism=3, completions=3, backoffLimit=1)
    await w.settled("running", active=3, ready=3)
    await w.end("j#1")
    await w.settled("one done", succeeded=1, active=2)
    await w.end("j#2", code=1)
    await w.end("j#3", code=1)
    await w.settled("failed", condition="Failed")


async def restarts_in_place(w: World) -> None:
    """With restartPolicy OnFailure the container's restarts count towards the limit."""
    await w.indexed(1, backoffLimit=1, pod={"restartPolicy": "OnFailure"})
    await w.settled("running", active=1, ready=1)
    pod = await w.find("j-0#1")
    container = {"name": "main", "image": "x", "imageID": "", "ready": True, "restartCount": 2,
                 "state": {"running": {}}}  # fmt: skip
    await w.report(pod, "Running", None, containerStatuses=[container])
    await w.settled("failed", condition="Failed")


async def deadline(w: World) -> None:
    await w.indexed(2, activeDeadlineSeconds=3)
    await w.settled("running", active=2, ready=2)
    await w.settled("failed", condition="Failed")


async def slow_to_end(w: World) -> None:
    """A Job is not failed before its pods have ended; until then it has a target."""
    await w.indexed(2, backoffLimit=0)
    await w.settled("running", active=2, ready=2)
    w.silent = True
    await w.end("j-0#1", code=1)
    await w.settled("ending", condition="FailureTarget", terminating=1)
    w.silent = False
    await w.settled("failed", condition="Failed")


async def expires(w: World) -> None:
    await w.indexed(1, ttlSecondsAfterFinished=1)
    await w.settled("running", active=1, ready=1)
    await w.end("j-0#1")
    await w.gone("gone")


async def refused_pods(w: World) -> None:
    """The pod template names a priority class that does not exist."""
    await w.indexed(1, pod={"priorityClassName": "nothing"})
    await w.until(lambda: any(e["reason"] == "FailedCreate" for e in w.events.seen.values()), "FailedCreate")
    await w.compare("refused")


async def someone_elses(w: World) -> None:
    """A Job that another controller manages is left alone."""
    await w.indexed(1, managedBy="example.com/other")
    await w.indexed(1, "ours")
    await w.settled("running", "ours", active=1, ready=1)


async def pod_deleted(w: World) -> None:
    """A pod that somebody deletes counts as failed and is replaced."""
    await w.indexed(2)
    await w.settled("running", active=2, ready=2)
    await w.remove_pod("j-0#1")
    await w.find("j-0#2")
    await w.settled("replaced", active=2, ready=2, failed=1, terminating=0)
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
