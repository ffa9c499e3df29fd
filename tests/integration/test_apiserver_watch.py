"""Lists in pages and at versions, and watches, as clients see them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.reflector import Reflector
from gke_notebook.cluster.resources import CONFIG_MAPS, PODS
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.apiserver import collection, reads
from gke_notebook.sandbox.apiserver.store import Store
from tests.support.apiserver import TOKEN, running_server

PATH = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    async with running_server() as found:
        yield found


@pytest.fixture
async def client(connection: Connection) -> AsyncIterator[Client]:
    async with Client(connection) as found:
        yield found


class Stream:
    """An open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def event(self) -> tuple[str, dict[str, Any]]:
        line = await asyncio.wait_for(self.response.content.readline(), 20)
        found = msgspec.json.decode(line)
        return found["type"], found["object"]

    async def named(self) -> tuple[str, str]:
        type_, obj = await self.event()
        return type_, obj["metadata"]["name"]

    async def rest(self) -> list[tuple[str, dict[str, Any]]]:
        lines = (await asyncio.wait_for(self.response.read(), 20)).splitlines()
        return [(found["type"], found["object"]) for found in map(msgspec.json.decode, lines)]


@contextlib.asynccontextmanager
async def watching(
    connection: Connection, path: str = PATH, accept: str = "application/json", **params: str
) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(connection.server + path, params={"watch": "true", **params}) as response,
    ):
        assert response.status == 200, await response.text()
        yield Stream(response)


async def names(client: Client, **params: str) -> tuple[list[str], dict[str, str]]:
    found = msgspec.json.decode(await client.request("GET", PATH, params=params))
    return [each["metadata"]["name"] for each in found["items"]], found["metadata"]


async def refused(client: Client, path: str = PATH, **params: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", path, params=params)
    return caught.value


async def test_pages_show_one_moment(client: Client):
    for name in "abcde":
        await client.create(CONFIG_MAPS, config_map(name))
    first, meta = await names(client, limit="2")
    assert (first, meta["remainingItemCount"]) == (["a", "b"], 3)
    await client.delete(CONFIG_MAPS, "d")
    await client.create(CONFIG_MAPS, config_map("bb"))
    second, more = await names(client, limit="2", **{"continue": meta["continue"]})
    assert second == ["c", "d"], "as it was when the first page was read"
    assert more["resourceVersion"] == meta["resourceVersion"]
    third, last = await names(client, limit="2", **{"continue": more["continue"]})
    assert (third, "continue" in last) == (["e"], False)
    everywhere = msgspec.json.decode(await client.request("GET", "/api/v1/configmaps", params={"limit": "1"}))
    token = everywhere["metadata"]["continue"]
    rest = await client.request("GET", "/api/v1/configmaps", params={"continue": token})
    assert [each["metadata"]["name"] for each in msgspec.json.decode(rest)["items"]] == ["b", "bb", "c", "e"]


async def test_a_page_too_old_says_how_to_go_on(client: Client, monkeypatch: pytest.MonkeyPatch):
    for name in "abc":
        await client.create(CONFIG_MAPS, config_map(name))
    _, meta = await names(client, limit="1")
    monkeypatch.setattr(collection, "_HISTORY_EVENTS", 2)
    for number in range(4):
        await client.patch(CONFIG_MAPS, "a", {"data": {"n": str(number)}})
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = client.connection.server + PATH
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url, params={"limit": "1", "continue": meta["continue"]}) as response,
    ):
        found = await response.json()
    assert (found["code"], found["reason"], found["message"]) == (410, "Expired", reads.INCONSISTENT)
    rest, _ = await names(client, **{"continue": found["metadata"]["continue"]})
    assert rest == ["b", "c"]


@pytest.mark.parametrize("token", ["garbage", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", "AA=A", "////"])
async def test_a_token_that_is_none_is_refused(client: Client, token: str):
    error = await refused(client, limit="1", **{"continue": token})
    assert (error.status, error.reason) == (400, "BadRequest")
    assert error.message.startswith("invalid continue token: continue key is not valid")


async def test_versions_of_a_list(client: Client):
    first = await client.create(CONFIG_MAPS, config_map("a"))
    version = first["metadata"]["resourceVersion"]
    await client.create(CONFIG_MAPS, config_map("b"))
    assert (await names(client, resourceVersion="0"))[0] == ["a", "b"]
    assert (await names(client, resourceVersion=version))[0] == ["a", "b"]
    assert (await names(client, resourceVersion=version, resourceVersionMatch="NotOlderThan"))[0] == ["a", "b"]
    exact, meta = await names(client, resourceVersion=version, resourceVersionMatch="Exact")
    assert (exact, meta["resourceVersion"]) == (["a"], version)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{client.connection.server}{PATH}?resourceVersion=999999"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        found = await response.json()
    assert (found["code"], found["reason"], response.headers["Retry-After"]) == (504, "Timeout", "1")
    assert found["message"].startswith("Timeout: Too large resource version: 999999, current: ")
    for wrong in ({"resourceVersionMatch": "Exact"}, {"resourceVersion": "0", "resourceVersionMatch": "Exact"}):
        assert (await refused(client, **wrong)).status == 422
    assert (await refused(client, resourceVersion="abc")).message == (
        'invalid resource version: resourceVersion: Invalid value: "abc": '
        'strconv.ParseUint: parsing "abc": invalid syntax'
    )
    assert (await refused(client, limit="x")).status == 400


async def test_a_watch_begins_with_what_is_there(client: Client, connection: Connection):
    await client.create(CONFIG_MAPS, config_map("a"))
    for params in ({}, {"resourceVersion": "0"}):
        async with watching(connection, **params) as stream:
            assert await stream.named() == ("ADDED", "a")
            await client.patch(CONFIG_MAPS, "a", {"data": {"n": str(params)}})
            assert await stream.named() == ("MODIFIED", "a")
    async with watching(connection, resourceVersionMatch="NotOlderThan", sendInitialEvents="false") as stream:
        await client.delete(CONFIG_MAPS, "a")
        assert await stream.named() == ("DELETED", "a")


async def test_a_watch_follows_a_version_exactly(client: Client, connection: Connection):
    first = await client.create(CONFIG_MAPS, config_map("a"))
    await client.create(CONFIG_MAPS, config_map("b"))
    gone = await client.delete(CONFIG_MAPS, "a")
    version = first["metadata"]["resourceVersion"]
    async with watching(connection, resourceVersion=version) as stream:
        assert await stream.named() == ("ADDED", "b")
        type_, obj = await stream.event()
        assert (type_, obj["metadata"]["name"], obj["kind"]) == ("DELETED", "a", "ConfigMap")
        assert int(obj["metadata"]["resourceVersion"]) > int(version)
    assert gone["status"] == "Success"
    assert gone["details"]["uid"] == first["metadata"]["uid"]
    other = f"/api/v1/namespaces/kube-system/{CONFIG_MAPS.plural}"
    async with watching(connection, other, resourceVersion=version, timeoutSeconds="1") as stream:
        assert await stream.rest() == []


async def test_one_object_can_be_watched(client: Client, connection: Connection):
    for name in ("a", "b"):
        await client.create(CONFIG_MAPS, config_map(name))
    async with watching(connection, "/api/v1/watch/namespaces/default/configmaps/b") as stream:
        assert await stream.named() == ("ADDED", "b")
    async with watching(connection, fieldSelector="metadata.name=b", timeoutSeconds="1") as stream:
        assert [type_ for type_, _ in await stream.rest()] == ["ADDED"]


async def test_a_selector_turns_changes_into_comings_and_goings(client: Client, connection: Connection):
    await client.create(CONFIG_MAPS, config_map("a", app="x"))
    await client.create(CONFIG_MAPS, config_map("b", app="y"))
    async with watching(connection, labelSelector="app=x") as stream:
        assert await stream.named() == ("ADDED", "a")
        await client.patch(CONFIG_MAPS, "b", {"metadata": {"labels": {"app": "x"}}})
        assert await stream.named() == ("ADDED", "b")
        await client.patch(CONFIG_MAPS, "b", {"data": {"n": "1"}})
        assert await stream.named() == ("MODIFIED", "b")
        moved = await client.patch(CONFIG_MAPS, "b", {"metadata": {"labels": {"app": "z"}}})
        type_, obj = await stream.event()
        assert (type_, obj["metadata"]["name"]) == ("DELETED", "b")
        assert obj["metadata"]["labels"] == {"app": "x"}, "the last state that matched"
        assert obj["metadata"]["resourceVersion"] == moved["metadata"]["resourceVersion"]
        await client.patch(CONFIG_MAPS, "b", {"data": {"n": "2"}})
        await client.delete(CONFIG_MAPS, "b")
        await client.delete(CONFIG_MAPS, "a")
        assert await stream.named() == ("DELETED", "a")


async def test_streaming_lists_end_with_a_marked_bookmark(client: Client, connection: Connection):
    await client.create(CONFIG_MAPS, config_map("a"))
    params = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with watching(connection, **params) as stream:
        assert await stream.named() == ("ADDED", "a")
        type_, obj = await stream.event()
        assert (type_, obj["kind"]) == ("BOOKMARK", "ConfigMap")
        assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await client.create(CONFIG_MAPS, config_map("b"))
        assert await stream.named() == ("ADDED", "b")
    error = await refused(client, watch="1", sendInitialEvents="true")
    assert error.status == 422


async def test_a_watch_ends_in_time_with_a_bookmark(client: Client, connection: Connection):
    made = await client.create(CONFIG_MAPS, config_map("a"))
    version = made["metadata"]["resourceVersion"]
    async with watching(connection, resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds="3") as stream:
        ((type_, obj),) = await stream.rest()
        assert (type_, obj["metadata"]["resourceVersion"]) == ("BOOKMARK", version)


async def test_a_watch_too_short_for_a_bookmark_gets_none(client: Client, connection: Connection):
    version = (await client.create(CONFIG_MAPS, config_map("a")))["metadata"]["resourceVersion"]
    async with watching(connection, resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds="1") as stream:
        assert await stream.rest() == []


async def test_a_version_too_old_is_an_error_event(
    client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    made = await client.create(CONFIG_MAPS, config_map("a"))
    monkeypatch.setattr(collection, "_HISTORY_EVENTS", 2)
    for number in range(6):
        await client.patch(CONFIG_MAPS, "a", {"data": {"n": str(number)}})
    async with watching(connection, resourceVersion=made["metadata"]["resourceVersion"]) as stream:
        ((type_, obj),) = await stream.rest()
    assert (type_, obj["code"], obj["reason"]) == ("ERROR", 410, "Expired")
    assert obj["message"].startswith("too old resource version: ")


async def test_a_reader_that_falls_behind_is_told(monkeypatch: pytest.MonkeyPatch):
    from gke_notebook.sandbox.apiserver.kinds import find
    from gke_notebook.sandbox.apiserver.negotiate import Form
    from gke_notebook.sandbox.apiserver.options import ListOptions
    from gke_notebook.sandbox.apiserver.paths import Target
    from gke_notebook.sandbox.apiserver.watches import Watch

    kind = find("", "v1", "configmaps")
    assert kind is not None
    store = Store.open(None)
    watch = Watch(store, Target(kind), ListOptions(watch=True), form=Form())
    monkeypatch.setattr(collection, "_HISTORY_EVENTS", 4)
    for number in range(20):
        store.put(kind, {"metadata": {"name": f"c{number}", "namespace": "default"}})
    chunks = [chunk async for chunk in watch.chunks(asyncio.Event())]
    assert [msgspec.json.decode(line)["type"] for chunk in chunks for line in chunk.splitlines()] == ["ERROR"]


async def test_tables_are_watched_with_columns_once(client: Client, connection: Connection):
    await client.create(CONFIG_MAPS, config_map("a"))
    async with watching(connection, accept=TABLE) as stream:
        _, first = await stream.event()
        await client.create(CONFIG_MAPS, config_map("b"))
        type_, second = await stream.event()
    assert (first["kind"], second["kind"], type_) == ("Table", "Table", "ADDED")
    assert first["columnDefinitions"]
    assert not second.get("columnDefinitions")
    assert [each["rows"][0]["cells"][0] for each in (first, second)] == ["a", "b"]


async def test_a_reflector_follows_across_a_restart(tmp_path: Path):
    """A reflector goes on after the server was away, and ends with exactly what is there."""
    async with running_server(directory=tmp_path) as first, Client(first) as client:
        for number in range(5):
            await client.create(CONFIG_MAPS, config_map(f"c{number}"))
        before = await client.list(CONFIG_MAPS)
    async with running_server(directory=tmp_path) as second, Client(second) as client:
        assert await client.list(CONFIG_MAPS) == before
        reflector: Reflector[dict[str, Any]] = Reflector(client, CONFIG_MAPS, dict)
        task = asyncio.create_task(reflector.run())
        await reflector.synced.wait()
        await client.delete(CONFIG_MAPS, "c0")
        last = await client.create(CONFIG_MAPS, config_map("c9"))
        while reflector.resource_version != last["metadata"]["resourceVersion"]:  # noqa: ASYNC110 - it has no event for this
            await asyncio.sleep(0.01)
        found = {name for namespace, name in reflector.objects if namespace == "default"}
        assert found == {"c1", "c2", "c3", "c4", "c9"}
        task.cancel()


async def test_many_watches_get_every_event(client: Client, connection: Connection):
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(watching(connection, resourceVersion="0")) for _ in range(20)]
        made = [f"c{number}" for number in range(30)]
        await asyncio.gather(*(client.create(CONFIG_MAPS, config_map(name)) for name in made))
        for stream in streams:
            assert sorted([(await stream.named())[1] for _ in made]) == sorted(made)


async def test_the_server_stops_while_watches_are_open():
    async with contextlib.AsyncExitStack() as stack:
        async with running_server() as connection:
            streams = [await stack.enter_async_context(watching(connection, "/api/v1/pods")) for _ in range(3)]
        assert [await stream.rest() for stream in streams] == [[], [], []]
    assert PODS.plural == "pods"
