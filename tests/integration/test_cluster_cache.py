"""The reflector and the cache against servers that misbehave, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from gke_notebook import objects
from gke_notebook.cluster.cache import Cache
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.notify import Notifier
from gke_notebook.cluster.reflector import Reflector
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from tests.support.rude import event, ok, pod, pod_list, rude_server, slam, status, stream, until


async def quiet(request):
    """A watch on which nothing happens."""
    return await stream(then=lambda: asyncio.sleep(60))(request)


def versions(rude):
    """Give for every request "list", or the version that a watch began with."""
    queries = [parse_qs(urlsplit(path).query) for _, path in rude.seen]
    return [query["resourceVersion"][0] if "watch" in query else "list" for query in queries]


def names(collection):
    return sorted(name for _, name in collection.objects)


async def test_events_change_the_collection():
    events = [
        event("ADDED", pod("b", 11)),
        event("MODIFIED", pod("a", 12, "Succeeded")),
        event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "15"}, "spec": {"containers": None}}),
        event("DELETED", pod("b", 16)),
        event("ADDED", pod("c", 17)),
    ]
    async with (
        rude_server(ok(pod_list(10, pod("a", 5))), stream(*events), otherwise=quiet) as rude,
        Client(rude.connection()) as client,
    ):
        cache = Cache(client)
        pods = cache.open(PODS, "default")
        await until(lambda: len(rude.seen) == 3)
        assert names(pods) == ["a", "c"]
        assert pods.objects["default", "a"].status.phase == "Succeeded"
        assert versions(rude) == ["list", "10", "17"]
        await cache.close()


async def test_a_bookmark_moves_the_version():
    bookmark = event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "99"}})
    async with (
        rude_server(ok(pod_list(10)), stream(bookmark), otherwise=quiet) as rude,
        Client(rude.connection()) as client,
    ):
        cache = Cache(client)
        cache.open(PODS, "default")
        await until(lambda: len(rude.seen) == 3)
        assert versions(rude) == ["list", "10", "99"]
        await cache.close()


@pytest.mark.parametrize("type_", [objects.Pod, dict])
async def test_a_watch_cut_within_an_event_goes_on_where_it_was(type_):
    half = event("ADDED", pod("c", 12))[:40]
    script = [
        ok(pod_list(10, pod("a", 5))),
        stream(event("ADDED", pod("b", 11)), half, cut=True),
        stream(event("ADDED", pod("c", 12))),
    ]
    async with rude_server(*script, otherwise=quiet) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        pods = cache.open(PODS, "default", type_=type_)
        await until(lambda: len(rude.seen) == 4)
        assert names(pods) == ["a", "b", "c"]
        assert versions(rude) == ["list", "10", "11", "12"]
        await cache.close()


async def test_410_in_a_watch_lists_again_and_drops_what_is_gone():
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    script = [
        ok(pod_list(10, pod("a", 5), pod("b", 6))),
        stream(event("MODIFIED", pod("a", 11)), event("ERROR", gone)),
        ok(pod_list(20, pod("b", 6), pod("c", 18))),
    ]
    async with rude_server(*script, otherwise=quiet) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        pods = cache.open(PODS, "default")
        await until(lambda: len(rude.seen) == 4)
        assert names(pods) == ["b", "c"]
        assert versions(rude) == ["list", "10", "list", "20"]
        assert pods.error is None  # to be too old is no failure that a user should see
        await cache.close()


async def test_410_as_an_answer_lists_again():
    script = [ok(pod_list(10)), status(410, "Expired", "too old"), ok(pod_list(20, pod("a", 15)))]
    async with rude_server(*script, otherwise=quiet) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        pods = cache.open(PODS, "default")
        await until(lambda: len(rude.seen) == 4)
        assert names(pods) == ["a"]
        await cache.close()


@pytest.mark.parametrize(
    ("bad", "kind", "shown"),
    [
        (status(503, "ServiceUnavailable", "etcd is away"), ApiError, True),
        (slam, ClusterUnreachable, False),  # a read that was slammed is repeated before anyone is told
    ],
)
async def test_a_server_in_trouble_is_asked_again_from_the_same_version(bad, kind, shown):
    script = [ok(pod_list(10, pod("a", 5))), bad, stream(event("ADDED", pod("b", 11)))]
    async with rude_server(*script, otherwise=quiet) as rude, Client(rude.connection()) as client:
        cache = Cache(client, interval=0.0)
        pods = cache.open(PODS, "default")
        errors = []
        pods.subscribe(lambda: errors.append(pods.error))
        await until(lambda: len(names(pods)) == 2)
        assert "list" not in versions(rude)[1:]
        assert any(isinstance(error, kind) for error in errors) == shown
        await until(lambda: pods.error is None)
        await cache.close()


async def test_a_refusal_is_shown_and_lifted():
    script = [status(403, "Forbidden", 'pods is forbidden: User "ada"')] * 2 + [ok(pod_list(10, pod("a", 5)))]
    async with rude_server(*script, otherwise=quiet) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        pods = cache.open(PODS, "default")
        with pytest.raises(ApiError, match="forbidden"):
            await pods.synced(timeout=0.15)
        await pods.synced(timeout=10)
        await until(lambda: pods.error is None)
        assert names(pods) == ["a"]
        await cache.close()


async def test_unreadable_objects_are_an_error_not_the_end():
    script = [
        ok(pod_list(10)),
        stream(b'{"type":"ADDED","object":{"metadata":{"name":5}}}\n'),
        ok(pod_list(20, pod("a", 15))),
    ]
    async with rude_server(*script, otherwise=quiet) as rude, Client(rude.connection()) as client:
        cache = Cache(client)
        pods = cache.open(PODS, "default")
        await until(lambda: len(rude.seen) == 4)
        assert names(pods) == ["a"]
        await cache.close()


async def test_one_watch_for_all_users_and_none_after_the_last():
    async with rude_server(ok(pod_list(10, pod("a", 5))), otherwise=quiet) as rude, Client(rude.connection()) as client:
        before = asyncio.all_tasks()
        cache = Cache(client)
        first = cache.open(PODS, "default", label_selector="a=b")
        second = cache.open(PODS, "default", label_selector="a=b")
        assert first is second
        await until(lambda: len(rude.seen) == 2)
        await cache.release(first)
        assert names(second) == ["a"]
        assert len(rude.seen) == 2
        sockets = [transport for transport in rude.open_connections if not transport.is_closing()]
        assert sockets
        await cache.release(second)
        await until(lambda: all(transport.is_closing() for transport in sockets))
        assert {task for task in asyncio.all_tasks() - before if not _serves(task)} == set()


async def test_after_close_no_task_and_no_socket_is_left():
    async with rude_server(otherwise=quiet) as rude:
        rude.script = [ok(pod_list(1)), ok(pod_list(1))]
        before = asyncio.all_tasks()
        client = Client(rude.connection())
        cache = Cache(client)
        for namespace in ("a", "b"):
            cache.open(PODS, namespace)
        await until(lambda: len(rude.seen) == 4)
        await cache.close()
        await client.close()
        await until(lambda: all(transport.is_closing() for transport in rude.open_connections))
        assert {task for task in asyncio.all_tasks() - before if not _serves(task)} == set()


def _serves(task):
    return "RequestHandler" in repr(task.get_coro()) or "web_protocol" in repr(task.get_coro())


async def test_the_handler_sees_every_change_with_what_was_before():
    seen = []

    class Handler:
        def replaced(self, objects):
            seen.append(sorted(objects))

        def changed(self, key, value, previous):
            seen.append((key[1], value and value.status.phase, previous and previous.status.phase))

    events = [
        event("MODIFIED", pod("a", 6, "Failed")),
        event("DELETED", pod("a", 7, "Failed")),
        event("ADDED", pod("b", 8)),
    ]
    async with (
        rude_server(ok(pod_list(5, pod("a", 5))), stream(*events), otherwise=quiet) as rude,
        Client(rude.connection()) as client,
    ):
        task = asyncio.create_task(Reflector(client, PODS, objects.Pod, "default", handler=Handler()).run())
        await until(lambda: len(rude.seen) == 3)
        task.cancel()
        await asyncio.wait([task])
    assert seen == [[("default", "a")], ("a", "Failed", "Running"), ("a", None, "Failed"), ("b", "Running", None)]


async def test_notifications_are_coalesced_and_the_last_is_not_lost():
    now = [0]
    told = []
    notifier = Notifier(0.05)
    notifier.subscribe(lambda: told.append(now[0]))
    for number in range(200):
        now[0] = number
        notifier.changed()
        await asyncio.sleep(0.0005)
    await until(lambda: told and told[-1] == 199)
    assert len(told) < 100


async def test_a_failing_subscriber_does_not_stop_the_others(caplog):
    told = []
    notifier = Notifier(0.0)
    notifier.subscribe(lambda: 1 / 0)
    stop = notifier.subscribe(lambda: told.append(1))
    notifier.changed()
    await until(lambda: told)
    assert "a subscriber failed" in caplog.text
    stop()
    notifier.changed()
    await asyncio.sleep(0.01)
    assert told == [1]
