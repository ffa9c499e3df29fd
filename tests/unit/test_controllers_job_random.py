"""Whatever happens to a Job's pods, and in whatever order, its books balance."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.controllers.indexes import Indexes
from gke_notebook.sandbox.controllers.meta import is_active
from tests.support.job_world import World, index_of, indexed

happenings = st.lists(
    st.tuples(
        st.sampled_from(["run", "succeed", "fail", "delete", "stop", "suspend", "resume", "resize", "wait"]),
        st.integers(0, 5),
    ),
    max_size=30,
)
shapes = st.fixed_dictionaries(
    {},
    optional={
        "parallelism": st.integers(0, 5),
        "backoffLimit": st.integers(0, 3),
        "backoffLimitPerIndex": st.integers(0, 2),
        "podReplacementPolicy": st.sampled_from(["Failed", "TerminatingOrFailed"]),
        "successPolicy": st.just({"rules": [{"succeededCount": 3}]}),
    },
)


def happen(world: World, what: str, number: int) -> None:
    alive = [pod for pod in world.pods.values() if pod["status"]["phase"] in ("Pending", "Running")]
    pod = alive[number % len(alive)] if alive else None
    if what in ("suspend", "resume"):
        world.job["spec"]["suspend"] = what == "suspend"
    elif what == "resize":
        world.job["spec"]["parallelism"] = number
    elif what == "wait":
        world.wait(15 * number)
    elif what == "stop":
        world.stopped()
    elif pod is not None:
        if what == "run":
            world.set(pod, "Running", ready=True)
        elif what == "delete":
            world.delete(pod["metadata"]["uid"])
        else:
            world.set(pod, "Succeeded" if what == "succeed" else "Failed", code=0 if what == "succeed" else 1)


def check(world: World) -> None:
    spec, status = world.job["spec"], world.status
    active = [pod for pod in world.pods.values() if is_active(pod)]
    assert status.get("active", 0) == len(active)
    assert len(active) <= spec["parallelism"]
    running = [index_of(pod) for pod in active]
    assert len(running) == len(set(running)), "an index runs twice"
    done = Indexes.parse(status.get("completedIndexes"), spec["completions"])
    failed = Indexes.parse(status.get("failedIndexes"), spec["completions"])
    assert status.get("succeeded", 0) == len(done)
    assert not done.overlap(failed)
    assert not set(running) & {*done, *failed}
    assert status["uncountedTerminatedPods"] == {}, "at rest every pod is counted"
    if spec.get("suspend"):
        assert not active
    ended = {condition for condition, *_ in world.conditions()} & {"Complete", "Failed"}
    assert len(ended) <= 1
    if ended:
        assert not active
        assert not any(pod["metadata"]["finalizers"] for pod in world.pods.values())
        assert status["terminating"] == 0
    if "Complete" in ended:
        assert len(done) == spec["completions"] or "successPolicy" in spec


@given(shapes, happenings)
@settings(max_examples=150, deadline=None)
def test_the_books_balance(shape: dict[str, object], history: list[tuple[str, int]]) -> None:
    world = World(indexed(4, **shape)).sync()
    check(world)
    counted = 0
    for what, number in history:
        happen(world, what, number)
        world.sync()
        check(world)
        assert world.status.get("failed", 0) >= counted, "a counter never goes back"
        counted = world.status.get("failed", 0)
