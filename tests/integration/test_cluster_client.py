"""The client against servers that misbehave."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gke_notebook.cluster.access import Check, can_i, whoami
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection, FreshToken, static_token
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from tests.support.rude import ok, pod, pod_list, rude_server, slam, status, text


async def test_verbs_paths_and_bodies():
    async with rude_server(otherwise=ok({"kind": "Pod"})) as rude, Client(rude.connection()) as client:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "research"}}
        await client.get(PODS, "a")
        await client.list(PODS, None, label_selector="a=b,c", field_selector="metadata.name=x")
        await client.create(CONFIG_MAPS, manifest, dry_run=True)
        await client.replace(CONFIG_MAPS, manifest)
        await client.patch(JOBS, "j", {"spec": {}}, "research", subresource="status")
        await client.apply(CONFIG_MAPS, manifest, force=True)
        await client.delete(JOBS, "j", "research", grace_period=0)
    assert rude.seen == [
        ("GET", "/api/v1/namespaces/default/pods/a"),
        ("GET", "/api/v1/pods?labelSelector=a%3Db,c&fieldSelector=metadata.name%3Dx"),
        ("POST", "/api/v1/namespaces/research/configmaps?fieldManager=gke-notebook&dryRun=All"),
        ("PUT", "/api/v1/namespaces/research/configmaps/c?fieldManager=gke-notebook"),
        ("PATCH", "/apis/batch/v1/namespaces/research/jobs/j/status?fieldManager=gke-notebook"),
        ("PATCH", "/api/v1/namespaces/research/configmaps/c?fieldManager=gke-notebook&force=true"),
        ("DELETE", "/apis/batch/v1/namespaces/research/jobs/j"),
    ]
    assert rude.bodies[2] == manifest
    assert rude.bodies[-1]["gracePeriodSeconds"] == 0
    assert set(rude.tokens) == {"Bearer secret-token"}


async def test_a_refusal_keeps_status_reason_and_message():
    refusal = status(409, "AlreadyExists", 'jobs.batch "a" already exists')
    async with rude_server(refusal) as rude, Client(rude.connection()) as client:
        with pytest.raises(ApiError, match="already exists") as caught:
            await client.create(JOBS, {"metadata": {"name": "a"}})
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")


async def test_a_proxy_in_between_is_quoted_shortly():
    async with rude_server(text("<html>blocked</html>" + "x" * 5000, 403)) as rude, Client(rude.connection()) as client:
        with pytest.raises(ApiError, match="the server answered 403: <html>blocked") as caught:
            await client.list(PODS)
    assert len(str(caught.value)) < 300


async def test_an_answer_that_is_not_json_is_an_error():
    async with rude_server(text("<html>please log in</html>")) as rude, Client(rude.connection()) as client:
        with pytest.raises(ApiError, match="not JSON: <html>please log in"):
            await client.get(PODS, "a")


async def test_a_redirect_is_not_followed():
    async with rude_server(text("", 302, Location="http://127.0.0.1:1/")) as rude, Client(rude.connection()) as client:
        with pytest.raises(ApiError, match="302"):
            await client.get(PODS, "a")
    assert len(rude.seen) == 1


async def test_401_asks_for_a_fresh_token_once():
    tokens = iter(["new-token"])
    source = FreshToken(lambda: next(tokens), "old-token")
    unauthorized = status(401, "Unauthorized", "Unauthorized")
    async with (
        rude_server(unauthorized, ok(pod("a", 1)), ok(pod("a", 1))) as rude,
        Client(rude.connection(source)) as client,
    ):
        assert (await client.get(PODS, "a"))["metadata"]["name"] == "a"
        await client.get(PODS, "a")
    assert rude.tokens == ["Bearer old-token", "Bearer new-token", "Bearer new-token"]


async def test_401_again_is_an_error_without_the_token():
    unauthorized = status(401, "Unauthorized", "Unauthorized")
    async with rude_server(otherwise=unauthorized) as rude, Client(rude.connection("secret-token")) as client:
        with pytest.raises(ApiError) as caught:
            await client.get(PODS, "a")
        assert "secret-token" not in repr(client) + repr(client.connection) + str(caught.value) + repr(caught.value)
    assert len(rude.seen) == 2


async def test_many_refused_requests_share_one_fresh_token():
    fetched = []

    def fetch() -> str:
        fetched.append(1)
        return "new-token"

    async def answer(request):
        if request.headers["Authorization"] == "Bearer new-token":
            return await ok(pod("a", 1))(request)
        return await status(401, "Unauthorized", "Unauthorized")(request)

    async with rude_server(otherwise=answer) as rude, Client(rude.connection(FreshToken(fetch, "old"))) as client:
        await asyncio.gather(*(client.get(PODS, "a") for _ in range(20)))
    assert len(fetched) == 1


async def test_a_token_is_renewed_when_its_time_is_over():
    end = [0.0]
    source = FreshToken(lambda: "new", "old", lambda: end[0])
    assert await source(False) == "new"
    end[0] = float("inf")
    assert await source(False) == "new"
    assert "new" not in repr(source)


async def test_429_with_retry_after_comes_again_whatever_the_verb():
    busy = status(429, "TooManyRequests", "slow down", Retry_After="0")
    async with rude_server(busy, busy, ok({"kind": "Job"})) as rude, Client(rude.connection()) as client:
        assert await client.create(JOBS, {"metadata": {"name": "a"}}) == {"kind": "Job"}
    assert [method for method, _ in rude.seen] == ["POST"] * 3


async def test_429_does_not_go_on_for_ever():
    busy = status(429, "TooManyRequests", "slow down", Retry_After="0")
    async with rude_server(otherwise=busy) as rude, Client(rude.connection()) as client:
        with pytest.raises(ApiError, match="slow down"):
            await client.get(PODS, "a")
    assert len(rude.seen) == 11


async def test_429_without_retry_after_stands():
    async with (
        rude_server(otherwise=status(429, "TooManyRequests", "budget")) as rude,
        Client(rude.connection()) as client,
    ):
        with pytest.raises(ApiError, match="budget"):
            await client.delete(PODS, "a")
    assert len(rude.seen) == 1


async def test_a_read_is_repeated_after_a_slammed_connection():
    async with rude_server(slam, ok(pod_list(1))) as rude, Client(rude.connection()) as client:
        assert (await client.list(PODS))["items"] == []
    assert len(rude.seen) == 2


async def test_a_write_is_not_repeated_after_a_slammed_connection():
    async with rude_server(slam, ok({"kind": "Job"})) as rude, Client(rude.connection()) as client:
        with pytest.raises(ClusterUnreachable):
            await client.create(JOBS, {"metadata": {"name": "a"}})
    assert len(rude.seen) == 1


async def test_nobody_at_home():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with Client(Connection(f"http://127.0.0.1:{port}", token=static_token("secret-token"))) as client:
        with pytest.raises(ClusterUnreachable, match="does not answer") as caught:
            await client.list(PODS)
    assert "secret-token" not in str(caught.value)


async def test_a_server_that_never_answers_runs_into_the_timeout():
    async def never(request):
        await asyncio.sleep(30)

    async with rude_server(otherwise=never) as rude, Client(rude.connection()) as client:
        with pytest.raises(ClusterUnreachable):
            await client.request("GET", "/api", timeout=0.1)


async def test_access_is_asked_in_one_batch():
    async def answer(request):
        asked = (await request.json())["spec"]["resourceAttributes"]
        return await ok({"status": {"allowed": asked["verb"] == "create"}})(request)

    jobs, logs = Check("create", "jobs", "batch", "research"), Check("get", "pods", "", "research", "log")
    async with rude_server(otherwise=answer) as rude, Client(rude.connection()) as client:
        assert await can_i(client, [jobs, logs, jobs]) == {jobs: True, logs: False}
    asked = [body["spec"]["resourceAttributes"] for body in rude.bodies]
    assert sorted(asked, key=lambda attributes: attributes["verb"]) == [
        {"verb": "create", "resource": "jobs", "group": "batch", "namespace": "research"},
        {"verb": "get", "resource": "pods", "namespace": "research", "subresource": "log"},
    ]
    assert str(jobs) == "create jobs.batch in research"
    assert str(logs) == "get pods/log in research"


async def test_who_we_are():
    async with (
        rude_server(ok({"status": {"userInfo": {"username": "ada"}}})) as rude,
        Client(rude.connection()) as client,
    ):
        assert await whoami(client) == "ada"
    async with rude_server(status(404, "NotFound", "not found")) as rude, Client(rude.connection()) as client:
        assert await whoami(client) == ""
