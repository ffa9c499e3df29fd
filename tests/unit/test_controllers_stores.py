"""The store that is never older than our own writes, and the queue that works on a key once at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers.informers import Store
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

KEY = ("a", "p")


def pod(version: int, uid: str = "u", owner: str = "", name: str = "p") -> dict[str, Any]:
    references = [{"uid": owner, "controller": True, "kind": "Job", "name": owner}] if owner else []
    metadata = {"name": name, "namespace": "a", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "ownerReferences": references}}


class Seen:
    def __init__(self, store: Store) -> None:
        self.changes: list[tuple[str, str]] = []
        store.listen(self)

    def __call__(self, item: dict[str, Any] | None, previous: dict[str, Any] | None) -> None:
        self.changes.append((version(item), version(previous)))


def version(item: dict[str, Any] | None) -> str:
    return item["metadata"]["resourceVersion"] if item else "-"


def test_an_assumed_write_is_seen_at_once_and_its_event_says_nothing_new() -> None:
    store = Store()
    seen = Seen(store)
    store.changed(KEY, pod(1), None)
    store.assume(pod(3))
    store.changed(KEY, pod(2), pod(1))  # an event from before the write
    store.changed(KEY, pod(3), pod(2))  # the write's own event
    store.changed(KEY, pod(4), pod(3))
    assert seen.changes == [("1", "-"), ("3", "1"), ("4", "3")]
    assert store.get(*KEY) == pod(4)


def test_what_is_gone_is_not_brought_back_by_a_late_answer() -> None:
    store = Store()
    store.changed(KEY, pod(1), None)
    store.changed(KEY, None, pod(2))
    store.assume(pod(2))
    assert store.get(*KEY) is None
    store.assume(pod(3, uid="another"))
    assert store.get(*KEY) == pod(3, uid="another")


def test_the_end_of_an_object_does_not_end_its_successor() -> None:
    store = Store()
    store.changed(KEY, pod(1), None)
    store.changed(KEY, pod(5, uid="another"), None)
    store.changed(KEY, None, pod(2))
    assert store.get(*KEY) == pod(5, uid="another")


def test_a_listing_removes_what_it_lacks_unless_it_is_newer() -> None:
    store = Store()
    store._reflector_version = lambda: 10
    seen = Seen(store)
    store.changed(KEY, pod(4), None)
    store.assume(pod(12, uid="new", name="new"))
    store.replaced({("a", "q"): pod(9, uid="q", name="q")})
    assert set(store.objects) == {("a", "new"), ("a", "q")}
    assert seen.changes[-2:] == [("-", "4"), ("9", "-")]


def test_objects_are_found_by_their_controller() -> None:
    store = Store()
    store.changed(KEY, pod(1, owner="job"), None)
    store.changed(("a", "q"), pod(2, uid="v", owner="job", name="q"), None)
    assert {item["metadata"]["name"] for item in store.controlled_by("job")} == {"p", "q"}
    store.changed(KEY, pod(3), pod(1))
    assert [item["metadata"]["name"] for item in store.controlled_by("job")] == ["q"]
    store.changed(("a", "q"), None, pod(4, uid="v", owner="job", name="q"))
    assert store.controlled_by("job") == []


async def settled(done: asyncio.Event, queue: WorkQueue[str]) -> None:
    task = asyncio.create_task(queue.run())
    try:
        await asyncio.wait_for(done.wait(), 5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_key_is_worked_on_once_at_a_time_and_once_more_when_it_has_changed() -> None:
    runs: list[str] = []
    at_once: list[str] = []
    most = 0
    done = asyncio.Event()

    async def work(key: str) -> None:
        nonlocal most
        at_once.append(key)
        most = max(most, len(at_once))
        runs.append(key)
        if len(runs) == 1:
            for _ in range(5):
                queue.add(key)  # changes while it is worked on are gathered into one
            await asyncio.sleep(0.01)
        else:
            done.set()
        at_once.remove(key)

    queue: WorkQueue[str] = WorkQueue("test", work, workers=3)
    for _ in range(5):
        queue.add("x")
    await settled(done, queue)
    assert runs == ["x", "x"]
    assert most == 1


@pytest.mark.parametrize("error", [ApiError(409, "Conflict", "changed"), RuntimeError("a defect")])
async def test_what_fails_is_tried_again(error: Exception) -> None:
    runs = 0
    done = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise error
        done.set()

    queue: WorkQueue[str] = WorkQueue("test", work, retry=(0.001, 1.0))
    queue.add("x")
    await settled(done, queue)
    assert runs == 3


async def test_the_earliest_of_several_requests_counts() -> None:
    runs: list[str] = []
    done = asyncio.Event()

    async def work(key: str) -> None:
        runs.append(key)
        done.set()

    queue: WorkQueue[str] = WorkQueue("test", work)
    queue.add("x", 60)
    queue.add("x", 0.01)
    queue.add("x", 50)
    await settled(done, queue)
    assert runs == ["x"]
