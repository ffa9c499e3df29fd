"""Who may ask, which addresses there are, and what malformed requests get."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from gke_notebook.cluster.connection import Connection
from gke_notebook.sandbox.apiserver.app import User
from tests.support.apiserver import TOKEN, running_server

PODS_PATH = "/api/v1/namespaces/default/pods"
NOBODY = "nobody-token"


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    async with running_server(tokens={NOBODY: User("nobody", ("team",))}) as found:
        yield found


async def send(
    connection: Connection, method: str, path: str, body: bytes | None = None, *, token: str = TOKEN, **headers: str
) -> tuple[int, Any]:
    given = {"Content-Type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
    if token:
        given.setdefault("Authorization", f"Bearer {token}")
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, connection.server + path, data=body and io.BytesIO(body), headers=given) as response,
    ):
        raw = await response.read()
        is_json = response.content_type == "application/json"
        return response.status, msgspec.json.decode(raw) if is_json else raw.decode()


async def test_only_known_tokens_are_answered(connection: Connection):
    for headers, expected in (
        ({}, (403, "Forbidden")),
        ({"Authorization": "Bearer wrong"}, (401, "Unauthorized")),
        ({"Authorization": "Basic YTpi"}, (403, "Forbidden")),
        ({"Authorization": "Bearer "}, (403, "Forbidden")),
    ):
        for path in (PODS_PATH, "/api", "/nope", "/openapi/v3"):
            code, found = await send(connection, "GET", path, token="", **headers)
            assert (found["kind"], code, found["reason"]) == ("Status", *expected)
    for path in ("/version", "/healthz", "/livez", "/readyz"):
        assert (await send(connection, "GET", path, token=""))[0] == 200
        assert (await send(connection, "GET", path, token="wrong"))[0] == 401


async def test_a_user_without_rights_may_only_ask_about_itself(connection: Connection):
    code, found = await send(connection, "GET", PODS_PATH, token=NOBODY)
    assert (code, found["reason"]) == (403, "Forbidden")
    assert found["message"] == (
        'pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    code, found = await send(connection, "GET", "/api/v1/nodes/n", token=NOBODY)
    assert found["message"] == (
        'nodes "n" is forbidden: User "nobody" cannot get resource "nodes" in API group "" at the cluster scope'
    )
    assert (await send(connection, "GET", "/apis", token=NOBODY))[0] == 200
    assert (await send(connection, "GET", "/metrics", token=NOBODY))[0] == 403


@pytest.mark.parametrize(("token", "may"), [(TOKEN, True), (NOBODY, False)])
async def test_reviews_tell_the_truth(connection: Connection, token: str, may: bool):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    attributes = {"namespace": "default", "verb": "create", "group": "batch", "resource": "jobs"}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    asked = msgspec.json.encode({**body, "spec": {"resourceAttributes": attributes}})
    code, found = await send(connection, "POST", path, asked, token=token)
    assert (code, found["status"]["allowed"], found["spec"]["resourceAttributes"]) == (201, may, attributes)
    code, found = await send(connection, "POST", path, msgspec.json.encode({**body, "spec": {}}), token=token)
    assert code == 422
    asked = msgspec.json.encode({**body, "spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}})
    assert (await send(connection, "POST", path, asked, token=token))[1]["status"]["allowed"] is may
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    code, found = await send(connection, "POST", path, b"{}", token=token)
    assert code == 201
    assert found["status"]["userInfo"]["username"] == ("admin" if may else "nobody")
    assert "system:authenticated" in found["status"]["userInfo"]["groups"]
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    code, found = await send(connection, "POST", path, b'{"spec":{"namespace":"default"}}', token=token)
    assert (code, any(rule["verbs"] == ["*"] for rule in found["status"]["resourceRules"])) == (201, may)
    assert (await send(connection, "GET", path, token=TOKEN))[0] == 405


async def test_foreign_hosts_and_origins_are_refused(connection: Connection):
    port = connection.server.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", f"LOCALHOST:{port}"):
        assert (await send(connection, "GET", "/api", Host=host))[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil.example:{port}"):
        for path in ("/api", "/healthz"):
            assert (await send(connection, "GET", path, Host=host))[0] == 403
    assert (await send(connection, "GET", "/api", Origin=f"https://127.0.0.1:{port}"))[0] == 200
    for origin in ("null", "https://evil.example", f"https://evil.example:{port}", "http://127.0.0.1:1", ""):
        assert (await send(connection, "GET", "/api", Origin=origin))[0] == 403


async def test_addresses_that_are_no_resources(connection: Connection):
    code, found = await send(connection, "GET", "/version")
    assert (code, found["major"], found["gitVersion"][:3]) == (200, "1", "v1.")
    for path in ("/healthz", "/livez", "/readyz", "/healthz/ping"):
        assert await send(connection, "GET", path) == (200, "ok")
    code, found = await send(connection, "GET", "/readyz?verbose")
    assert found.startswith("[+]ping ok\n")
    assert found.endswith("readyz check passed\n")
    code, found = await send(connection, "GET", "/api")
    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])
    code, found = await send(connection, "GET", "/apis")
    assert {"batch", "coordination.k8s.io"} <= {group["name"] for group in found["groups"]}
    code, found = await send(connection, "GET", "/apis/batch")
    assert (found["kind"], found["preferredVersion"]["groupVersion"]) == ("APIGroup", "batch/v1")
    code, found = await send(connection, "GET", "/apis/batch/v1")
    assert {"jobs", "jobs/status"} <= {each["name"] for each in found["resources"]}
    code, found = await send(connection, "GET", "/api/v1")
    assert {"pods", "pods/log", "nodes"} <= {each["name"] for each in found["resources"]}
    code, found = await send(connection, "GET", "/openapi/v3")
    assert {"api/v1", "apis/batch/v1"} <= set(found["paths"])
    code, found = await send(connection, "GET", found["paths"]["apis/batch/v1"]["serverRelativeURL"])
    assert (code, "io.k8s.api.batch.v1.Job" in found["components"]["schemas"]) == (200, True)


async def test_aggregated_discovery_names_its_type(connection: Connection):
    wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    for path in ("/api", "/apis"):
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": f"{wanted},application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(connection.server + path, headers=headers) as response,
        ):
            assert response.headers["Content-Type"] == wanted
            assert (await response.json(content_type=None))["kind"] == "APIGroupDiscoveryList"


@pytest.mark.parametrize("path", ["/nope", "/apis/nope.example", "/apis/nope.example/v1/things", "/metrics"])
async def test_unknown_addresses(connection: Connection, path: str):
    assert await send(connection, "GET", path) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nopes", 404),
        ("GET", "/api/v2x", 404),
        ("GET", "/apis/batch/v2/jobs", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/nope", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/log/more", 404),
        ("POST", "/api/v1/pods", 405),
        ("POST", f"{PODS_PATH}/x", 405),
        ("PUT", PODS_PATH, 405),
        ("PATCH", PODS_PATH, 405),
        ("GET", f"{PODS_PATH}/x/binding", 405),
        ("DELETE", f"{PODS_PATH}/x/status", 405),
        ("OPTIONS", PODS_PATH, 405),
        ("POST", "/version", 405),
        ("DELETE", "/api", 405),
    ],
)
async def test_what_does_not_exist_or_is_not_allowed(connection: Connection, method: str, path: str, code: int):
    found = await send(connection, method, path)
    assert (found[0], found[1]["kind"], found[1]["code"]) == (code, "Status", code)
    assert (
        found[1]["message"]
        == {
            404: "the server could not find the requested resource",
            405: "the server does not allow this method on the requested resource",
        }[code]
    )


async def test_bodies_have_a_size(connection: Connection):
    big = b'{"kind":"Pod","x":"' + b"y" * (3 * 2**20) + b'"}'
    code, found = await send(connection, "POST", PODS_PATH, big)
    assert (code, found["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
)
async def test_bodies_that_are_none_are_refused(connection: Connection, content_type: str):
    bodies = [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"k8s\x00",
        b"k8s\x00\xff\xff\xff",
        b"{}" * 3,
        b"[" * 5000,
    ]
    bodies += [b'{"metadata":1}', b'{"metadata":{"name":["x"]}}', b'{"metadata":{"labels":{"a":1}}}', b"a: &a [*a]"]
    for body in bodies:
        for method, path in (("POST", PODS_PATH), ("PUT", f"{PODS_PATH}/x"), ("DELETE", f"{PODS_PATH}/x")):
            code, found = await send(connection, method, path, body, Content_Type=content_type)
            assert 400 <= code < 500, (method, body, found)
            assert found["kind"] == "Status"
    assert (await send(connection, "POST", PODS_PATH, b"<x/>", Content_Type="text/xml"))[0] == 415


PATCHES = ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")


async def test_noise_is_never_a_server_error(connection: Connection):
    """Bodies made of a valid one by random damage, for every verb that takes one."""
    choose = random.Random(5)
    container = {"name": "c", "image": "i", "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": "1"}}}
    meta = {"name": "x", "labels": {"a": "b"}, "finalizers": ["a/b"], "managedFields": [{"manager": "m"}]}
    valid = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}
    strange: list[Any] = [None, 0, -1, 1e300, 2**70, "", "x" * 300, [], {}, [None], {"": None}, True, "\u0000", "é"]

    def damaged(value: Any) -> Any:
        if choose.random() < 0.12:
            return choose.choice(strange)
        if isinstance(value, dict):
            return {key: damaged(each) for key, each in value.items() if choose.random() > 0.05}
        if isinstance(value, list):
            return [damaged(each) for each in value]
        return value

    for _ in range(150):
        body = msgspec.json.encode(damaged(valid))
        method, path, content_type = choose.choice(
            [("POST", PODS_PATH, "json"), ("PUT", f"{PODS_PATH}/x", "json"), ("PUT", f"{PODS_PATH}/x/status", "json")]
            + [("PATCH", f"{PODS_PATH}/x?fieldManager=m&force=true", each) for each in PATCHES[1:]]
        )
        if choose.random() < 0.2:
            body = bytes(choose.randrange(256) if choose.random() < 0.02 else each for each in body)
        if "apply" in content_type:
            path = path.replace("/x?", "/y?")
        code, found = await send(connection, method, path, body, Content_Type=f"application/{content_type}")
        assert code < 500, (method, path, body, found)


async def test_strange_requests_get_an_answer(connection: Connection):
    """Straight over a socket: nothing hangs, nothing is a server error, and the server lives on."""
    host, port = connection.server.removeprefix("http://").split(":")
    auth = f"Host: {host}:{port}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
    requests = [
        "GARBAGE\r\n\r\n",
        f"GET /api/v1/namespaces/%ff%00/pods HTTP/1.1\r\n{auth}\r\n",
        f"GET //api//v1//pods HTTP/1.1\r\n{auth}\r\n",
        f"GET /api/v1/pods?limit=%zz&labelSelector=%ff HTTP/1.1\r\n{auth}\r\n",
        f"GET /api/v1/pods?watch=1&timeoutSeconds=1&resourceVersion=99999999999999999999 HTTP/1.1\r\n{auth}\r\n",
        f"GET /api/v1/pods?resourceVersion={'9' * 5000} HTTP/1.1\r\n{auth}\r\n",
        f"GET /api/v1/pods?limit={'9' * 5000} HTTP/1.1\r\n{auth}\r\n",
        f"GET {PODS_PATH}/x/log?tailLines={'9' * 5000} HTTP/1.1\r\n{auth}\r\n",
        f"GET {PODS_PATH}/{'x' * 5000} HTTP/1.1\r\n{auth}\r\n",
        f"POST {PODS_PATH} HTTP/1.1\r\n{auth}Content-Length: nope\r\n\r\n{{}}",
        f"POST {PODS_PATH} HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"POST {PODS_PATH} HTTP/1.1\r\n{auth}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}",
        f"GET /api HTTP/1.1\r\n{auth}X: {'y' * 100_000}\r\n\r\n",
    ]
    for text in requests:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(text.encode("latin-1"))
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        code = int(answer.split(b" ", 2)[1])
        assert code < 500, (text[:80], answer)
    assert (await send(connection, "GET", "/api"))[0] == 200
