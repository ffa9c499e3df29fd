"""Deletion of Jobs and collection of what they own, the same on both servers."""

from __future__ import annotations

import asyncio

import pytest

from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS
from tests.support.lockstep import Note, Outcome, run_jobs, scenarios_of, selected_in, verify
from tests.support.settled import World


async def in_the_background(w: World) -> None:
    await w.indexed(2)
    await w.settled("running", active=2, ready=2)
    await w.client.delete(JOBS, "j", w.namespace, propagation="Background")
    await w.gone("gone")
    await w.until(lambda: not w.pods.objects, "no pods")
    await w.compare("pods gone")


async def in_the_foreground(w: World) -> None:
    await w.indexed(2)
    await w.settled("running", active=2, ready=2)
    w.silent = True
    await w.client.delete(JOBS, "j", w.namespace, propagation="Foreground")
    await w.until(lambda: all(pod["metadata"].get("deletionTimestamp") for pod in w.pods.objects), "deleted pods")
    await w.compare("waiting for its pods")
    w.silent = False
    await w.gone("gone")


async def orphaning(w: World) -> None:
    await w.indexed(2)
    await w.settled("running", active=2, ready=2)
    await w.client.delete(JOBS, "j", w.namespace, propagation="Orphan")
    await w.gone("gone")
    await w.until(lambda: not any(pod["metadata"].get("finalizers") for pod in w.pods.objects), "free pods")
    await w.compare("free")


async def finished_jobs_pods(w: World) -> None:
    await w.indexed(1)
    await w.settled("running", active=1, ready=1)
    await w.end("j-0#1")
    await w.settled("complete", condition="Complete")
    await w.client.delete(JOBS, "j", w.namespace)
    await w.until(lambda: not w.pods.objects, "no pods")
    await w.compare("pods gone")


async def owned_config_maps(w: World) -> None:
    """Those of one owner go with it; those of two lose a reference; those of none that exists go at once."""
    one, two = await w.job("one", parallelism=0, completions=1), await w.job("two", parallelism=0, completions=1)

    def owner(job: dict[str, object], **fields: object) -> dict[str, object]:
        metadata = job["metadata"]
        assert isinstance(metadata, dict)
        return {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"], **fields}

    nobody = owner(one, uid="00000000-0000-0000-0000-000000000000")
    for name, owners in (("of-one", [owner(one)]), ("of-two", [owner(one), owner(two)]), ("of-nobody", [nobody])):
        metadata = {"name": name, "ownerReferences": owners}
        await w.client.create(CONFIG_MAPS, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}, w.namespace)
    await w.client.delete(JOBS, "one", w.namespace)
    await w.absent(CONFIG_MAPS, "of-one")
    await w.absent(CONFIG_MAPS, "of-nobody")
    left = await w.client.get(CONFIG_MAPS, "of-two", w.namespace)
    while len(left["metadata"]["ownerReferences"]) > 1:
        left = await w.client.get(CONFIG_MAPS, "of-two", w.namespace)
    assert [item["name"] for item in left["metadata"]["ownerReferences"]] == ["two"]
    await w.gone("one is gone", "one")
    await w.client.delete(JOBS, "two", w.namespace, propagation="Foreground")
    await w.absent(CONFIG_MAPS, "of-two")
    await w.gone("two is gone", "two")


SCENARIOS = scenarios_of(globals())


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_connection: Connection | None) -> dict[str, Outcome]:
    return asyncio.run(run_jobs(selected_in(request, SCENARIOS), real_connection))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_job_is_the_same(name: str, outcomes: dict[str, Outcome], note: Note) -> None:
    verify(outcomes[name])
    note("Job", name.replace("_", " "))
