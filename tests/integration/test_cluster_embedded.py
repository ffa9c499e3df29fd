"""The client, the cache and the access questions against the sandbox's own API server."""

from __future__ import annotations

import pytest

from gke_notebook.cluster.access import Check, can_i, whoami
from gke_notebook.cluster.cache import Cache
from gke_notebook.cluster.client import JSON_PATCH, Client
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, PODS, resource_of
from gke_notebook.errors import ApiError
from tests.support.apiserver import running_server
from tests.support.rude import until


def config_map(name, **labels):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "b"}}


@pytest.mark.parametrize("tls", [False, True])
async def test_every_verb(tls):
    async with running_server(tls=tls) as connection, Client(connection) as client:
        assert await client.create(CONFIG_MAPS, config_map("dry"), dry_run=True)
        created = await client.create(CONFIG_MAPS, config_map("a", team="x"))
        assert created["metadata"]["uid"]
        with pytest.raises(ApiError, match='configmaps "a" already exists') as caught:
            await client.create(CONFIG_MAPS, config_map("a"))
        assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
        created["data"]["a"] = "c"
        replaced = await client.replace(CONFIG_MAPS, created)
        assert replaced["data"] == {"a": "c"}
        with pytest.raises(ApiError) as caught:
            await client.replace(CONFIG_MAPS, created)  # its version is old by now
        assert (caught.value.status, caught.value.reason) == (409, "Conflict")
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": "y"}})
        patched = await client.patch(CONFIG_MAPS, "a", [{"op": "remove", "path": "/data/a"}], content_type=JSON_PATCH)
        assert patched["data"] == {"x": "y"}
        applied = await client.apply(CONFIG_MAPS, config_map("b"))
        assert applied["data"] == {"a": "b"}
        assert [
            item["metadata"]["name"]
            for item in (await client.list(CONFIG_MAPS, "default", label_selector="team=x"))["items"]
        ] == ["a"]
        assert (await client.get(CONFIG_MAPS, "a"))["data"] == {"x": "y"}
        await client.delete(CONFIG_MAPS, "a")
        with pytest.raises(ApiError, match="not found"):
            await client.get(CONFIG_MAPS, "a")
        assert resource_of(applied) is CONFIG_MAPS


async def test_the_cache_follows_what_happens():
    async with running_server() as connection, Client(connection) as client:
        cache = Cache(client, interval=0.0)
        found = cache.open(CONFIG_MAPS, "default", label_selector="team=x")
        await found.synced(10)
        assert not found.objects
        told = []
        found.subscribe(lambda: told.append(sorted(name for _, name in found.objects)))
        for name in ("a", "b"):
            await client.create(CONFIG_MAPS, config_map(name, team="x"))
        await client.create(CONFIG_MAPS, config_map("other", team="y"))
        await until(lambda: len(found.objects) == 2)
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"team": "y"}}})  # leaves the selection
        await until(lambda: sorted(name for _, name in found.objects) == ["b"])
        await client.delete(CONFIG_MAPS, "b")
        await until(lambda: not found.objects)
        await until(lambda: told and told[-1] == [])
        assert found.error is None
        await cache.close()


async def test_access():
    async with running_server() as connection, Client(connection) as client:
        assert await whoami(client) == "admin"
        checks = [Check("create", "jobs", "batch", "default"), Check("get", "pods", "", "default", "log")]
        assert await can_i(client, checks) == dict.fromkeys(checks, True)


async def test_a_namespace_that_does_not_exist():
    async with running_server() as connection, Client(connection) as client:
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {}}
        with pytest.raises(ApiError, match='namespaces "nowhere" not found'):
            await client.create(JOBS, job, "nowhere")
        assert (await client.list(PODS, "nowhere"))["items"] == []
