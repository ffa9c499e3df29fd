"""Log streams over real sockets: cut, refused, resumed; and the logs of a whole job."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from urllib.parse import parse_qs, urlsplit

import pytest

from gke_notebook import names
from gke_notebook.cluster.cache import Cache
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.job_logs import JobLogs, Source, read
from gke_notebook.cluster.logs import stream as log_stream
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.launch.contract import MARKER
from tests.support.rude import event, ok, pod_list, rude_server, slam, status, stream, until


def line(second: int, text: str) -> bytes:
    return f"2026-11-24T10:00:{second:02d}.5Z {text}\n".encode()


def pod(name="p", state="terminated", index=0, version=5, phase=""):
    times = {"startedAt": "2026-11-24T10:00:00Z"}
    states = {
        "terminated": {"terminated": {"exitCode": 0, **times}},
        "running": {"running": times},
        "waiting": {"waiting": {}},
    }
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "resourceVersion": str(version),
            "labels": {names.COMPLETION_INDEX: str(index)},
            "creationTimestamp": f"2026-11-24T10:00:{version:02d}Z",
        },
        "status": {
            "phase": phase or {"terminated": "Succeeded", "running": "Running", "waiting": "Pending"}[state],
            "containerStatuses": [{"name": "train", "state": states[state]}],
        },
    }


async def texts(client, **options):
    got = []
    async with aclosing(log_stream(client, "default", "p", "train", **options)) as batches:
        async for batch in batches:
            got += [text for _, text in batch]
    return got


def queries(rude):
    found = [(urlsplit(path).path.rsplit("/", 1)[1], parse_qs(urlsplit(path).query)) for _, path in rude.seen]
    return [{key: values[0] for key, values in query.items()} for word, query in found if word == "log"]


async def test_a_log_is_read_once():
    pieces = [line(1, "a")[:10], line(1, "a")[10:] + line(2, "b"), b"2026-11-24T10:00:03Z no newline"]
    async with rude_server(stream(*pieces)) as rude, Client(rude.connection()) as client:
        assert await texts(client, follow=False, tail=3) == ["a", "b", "no newline"]
    assert queries(rude) == [{"container": "train", "timestamps": "true", "tailLines": "3"}]


async def test_a_cut_stream_goes_on_without_loss_or_doubles():
    async with (
        rude_server(
            stream(line(1, "a"), line(2, "b"), line(2, "b"), line(2, "half")[:30], cut=True),
            ok(pod(state="running")),
            stream(line(2, "b"), line(2, "b"), line(2, "half"), line(3, "c"), cut=True),
            ok(pod(state="running")),
            status(503, "ServiceUnavailable", "the kubelet is away"),
            ok(pod(state="running")),
            stream(line(3, "c"), line(4, "d")),
            ok(pod(state="terminated")),
            stream(line(4, "d"), line(5, "after the cut")),
        ) as rude,
        Client(rude.connection()) as client,
    ):
        assert await texts(client, follow=True) == ["a", "b", "b", "half", "c", "d", "after the cut"]
    asked = queries(rude)
    assert [query.get("sinceTime") for query in asked] == [
        None, "2026-11-24T10:00:02Z", "2026-11-24T10:00:03Z", "2026-11-24T10:00:03Z", "2026-11-24T10:00:04Z",
    ]  # fmt: skip
    assert all(query["follow"] == "true" for query in asked)


async def test_a_stream_ends_with_its_pod():
    async with (
        rude_server(stream(line(1, "a")), status(404, "NotFound", "gone")) as rude,
        Client(rude.connection()) as client,
    ):
        assert await texts(client, follow=True) == ["a"]


async def test_a_container_that_waits_to_start_is_waited_for():
    waiting = status(400, "BadRequest", 'container "train" in pod "p" is waiting to start: ContainerCreating')
    script = [waiting, ok(pod(state="waiting")), stream(line(1, "a")), ok(pod()), stream(line(1, "a"))]
    async with rude_server(*script) as rude, Client(rude.connection()) as client:
        assert await texts(client, follow=True) == ["a"]


async def test_what_cannot_be_read_is_an_error():
    async with rude_server(status(404, "NotFound", 'pods "p" not found')) as rude, Client(rude.connection()) as client:
        with pytest.raises(ApiError, match="not found"):
            await texts(client, follow=True)
    async with rude_server(otherwise=slam) as rude, Client(rude.connection()) as client:
        with pytest.raises(ClusterUnreachable):
            await texts(client, follow=False)


def serve_job(pods, logs):
    """Answer lists with the pods, watches with silence, and logs with what is written."""

    async def answer(request):
        parts = request.path.split("/")
        if parts[-1] == "log":
            return await stream(*logs[parts[-2]])(request)
        if request.query.get("watch"):
            return await stream(then=lambda: asyncio.sleep(60))(request)
        if parts[-1] == "pods":
            return await ok(pod_list(9, *pods))(request)
        return await ok(next(entry for entry in pods if entry["metadata"]["name"] == parts[-1]))(request)

    return answer


LOGS = {
    "a-0": [line(1, "[rank 0] x"), line(4, f"[rank 0] {MARKER}result 1/1 d eA==")],
    "a-1-old": [line(2, "[rank 3] first try")],
    "a-1": [line(3, "installing"), line(5, "[rank 2] y")],
}
JOB_PODS = [
    pod("a-0", index=0),
    pod("a-1-old", index=1, version=6),
    pod("a-1", index=1, version=7),
    pod("a-2", "waiting", 2),
]


async def test_the_logs_of_a_job_are_read_and_merged():
    answer = serve_job(JOB_PODS, LOGS)
    async with rude_server(otherwise=answer) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        pods = cache.open(PODS, "default")
        await pods.synced(10)
        lines, marked = await read(client, pods.objects, procs_per_node=2)
        await cache.close()
    assert [(entry.index, entry.attempt, entry.rank, entry.text) for entry in lines] == [
        (0, 0, 0, "x"),
        (1, 0, 3, "first try"),
        (1, 1, None, "installing"),
        (1, 1, 2, "y"),
    ]
    assert marked == {Source("a-0", 0, 0): [f"{MARKER}result 1/1 d eA=="]}


async def test_the_logs_of_a_job_are_followed_and_new_pods_picked_up():
    first = [pod("a-0", index=0)]
    later = pod("a-1", index=1, version=7)
    come = asyncio.Event()
    rest = serve_job([*first, later], LOGS)

    async def answer(request):
        if request.query.get("watch"):
            await come.wait()
            return await stream(event("ADDED", later), then=lambda: asyncio.sleep(60))(request)
        if request.path.endswith("/pods"):
            return await ok(pod_list(6, *first))(request)
        return await rest(request)

    async with rude_server(otherwise=answer) as rude, Client(rude.connection()) as client:
        before = asyncio.all_tasks()
        cache = Cache(client)
        pods = cache.open(PODS, "default")
        logs = JobLogs(client, pods, procs_per_node=2)
        told = []
        logs.subscribe(lambda: told.append(logs.total))
        logs.start()
        await logs.drained(20)
        assert [entry.text for entry in logs.lines] == ["x"]
        come.set()
        await until(lambda: len(pods.objects) == 2)
        await logs.drained(20)
        assert [entry.text for entry in logs.after(1)] == ["installing", "y"]
        assert list(logs.marked.values()) == [[f"{MARKER}result 1/1 d eA=="]]
        await until(lambda: told and told[-1] == 3)
        await logs.close()
        await cache.close()
        assert {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task.get_coro())} == set()


async def test_the_buffer_is_bounded_and_counts_what_it_dropped():
    many = {
        "a-0": [b"".join(line(1, str(number)) for number in range(start, start + 10)) for start in range(0, 100, 10)]
    }
    async with rude_server(otherwise=serve_job([pod("a-0")], many)) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        logs = JobLogs(client, cache.open(PODS, "default"), limit=25)
        logs.start()
        await logs.drained(20)
        assert [entry.text for entry in logs.lines] == [str(number) for number in range(75, 100)]
        assert (logs.total, logs.dropped) == (100, 75)
        assert [entry.text for entry in logs.after(98)] == ["98", "99"]
        assert len(logs.after(10)) == 25
        await logs.close()
        await cache.close()


async def test_a_log_that_cannot_be_read_is_kept_as_an_error():
    answer = serve_job([pod("a-0")], {})

    async def refuse(request):
        if request.path.endswith("/log"):
            return await status(403, "Forbidden", "pods/log is forbidden")(request)
        return await answer(request)

    async with rude_server(otherwise=refuse) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        logs = JobLogs(client, cache.open(PODS, "default"))
        logs.start()
        await logs.drained(20)
        assert "forbidden" in str(logs.errors["a-0"])
        await logs.close()
        await cache.close()
