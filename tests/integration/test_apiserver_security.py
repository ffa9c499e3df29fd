"""Malformed requests of every sort on every route: refused with a Status, never with a 5xx, a hang or much memory."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.kinds import KINDS, Kind
from gke_notebook.sandbox.apiserver.schema import type_of
from tests.support.apiserver import TOKEN, running_server
from tests.support.shapes import structs

PATIENCE = 20.0
AUTHORIZED = f"Authorization: Bearer {TOKEN}"
DOCUMENTS = [
    "/", "/api", "/apis", "/api/v1", "/apis/batch", "/apis/batch/v1", "/version", "/healthz", "/livez", "/readyz",
    "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/openapi/v3/apis/batch/v1", "/metrics",
]  # fmt: skip
ODD = [
    "", ".", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2F", "%00", "%ff%fe", "%", "%zz", "a" * 300, "A_b", "-",
    "%0d%0a", "\xc3\xa9",
    "%F0%9F%92%A9", "default", "kube-system", "x", "probe", "status", "log", ";a=b", "*", "{}", "'\"<>",
]  # fmt: skip
HUGE = ["9" * 30, "-" + "9" * 30, "1" * 5000, "1e400", "-1", "0", "18446744073709551616", "0x10", "NaN", "\u0663"]
PARAMETERS = [
    "watch", "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "dryRun",
    "timeoutSeconds", "sendInitialEvents", "allowWatchBookmarks", "fieldManager", "fieldValidation", "force", "follow",
    "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "includeObject", "container", "tailLines", "pretty",
    "sinceSeconds", "sinceTime", "limitBytes", "previous", "timestamps", "stream",
]  # fmt: skip
TYPES = [
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json-patch+json",
    "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
    "application/json;charset=utf-8", "text/plain", "", ";", "application/json-seq", "\xff",
]  # fmt: skip
ACCEPTS = [
    "*/*", "application/json", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;q=1e999", "x" * 4000, ",,;=;",
    "\xff",
]  # fmt: skip


IMPERSONATION = [
    "Impersonate-User: x", "Impersonate-User: \xff", "Impersonate-User:", "Impersonate-Group: \xff",
    "Impersonate-Uid: 1", "Impersonate-Extra-%ff: x",
    "Impersonate-User: system:serviceaccount:default:default", "Impersonate-User: system:",
]  # fmt: skip


class Answer(NamedTuple):
    code: int
    body: bytes


class Server(NamedTuple):
    port: int

    def ask(self, method: str, path: str, *headers: str, body: bytes = b"", host: str = "") -> Answer:
        """Send a request as it is written and read what comes at once; 0 stands for a connection that was closed."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host or f'127.0.0.1:{self.port}'}",
            "Connection: close",
            *headers,
        ]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return self.raw("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body)

    def raw(self, data: bytes) -> Answer:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as found:
            found.settimeout(PATIENCE)
            answer = b""
            try:
                found.sendall(data)
                while block := found.recv(2**16):
                    answer += block
                    head, end, rest = answer.partition(b"\r\n\r\n")
                    if end and b"chunked" in head.lower():
                        break  # a watch, which may go on for long
            except (ConnectionResetError, BrokenPipeError):
                pass
        head, _, rest = answer.partition(b"\r\n\r\n")
        return Answer(int(head.split(b" ", 2)[1]) if head else 0, rest)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An API server of this process, in a thread; its memory is ours."""
    ready, ports = threading.Event(), list[int]()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running_server() as connection:
            ports.append(int(connection.server.rpartition(":")[2]))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(PATIENCE)
    yield Server(ports[0])
    loop.call_soon_threadsafe(stop.set)
    thread.join(PATIENCE)
    loop.close()


def memory() -> int:
    """Bytes in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def fine(answer: Answer) -> bool:
    """No 5xx, but for the one with which Kubernetes answers a resourceVersion from the future."""
    return 200 <= answer.code < 500 or (answer.code == 504 and b"Too large resource version" in answer.body)


SEGMENTS = st.sampled_from(ODD) | st.text("abc./%-_~:@", max_size=6)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([10**30, -(2**63) - 1, 1e308, "\x00", "\ud800", "x" * 2000])
)  # fmt: skip
KEYS = st.text(max_size=4) | st.sampled_from([
    "apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "finalizers", "ownerReferences",
    "generateName", "resourceVersion", "uid", "managedFields", "fieldsV1", "spec", "status", "data", "binaryData",
    "template", "containers", "op", "path", "value", "from", "$patch", "$setElementOrder/containers", "$retainKeys",
])  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
DEEP = [b"[" * 50_000, b'{"a":' * 20_000, b"[" * 5000 + b"]" * 5000, b'{"metadata":' + b"[" * 900 + b"]" * 900 + b"}"]
RAW = [
    b"", b"{", b"null", b'"x"', b"\xff\xfe", b'{"a":1,"a":2}', b'{"data":' + b"9" * 6000 + b"}", b'{"data":1e999}',
    b'{"metadata":{"name":"\\ud800"}}', b"k8s\x00", b"k8s\x00" + b"\xff" * 40, b"a: &a [*a]", b"? {a: b}\n: c",
    b"!!python/x y", b"a: 2001-13-99", b"- op: add", b'[{"op":"add","path":"/metadata/labels/a/b/c","value":1}]', *DEEP,
]  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn, kind: Kind | None) -> bytes:
    if kind is not None and draw(st.booleans()):
        # An object of the schema, sometimes with one part of it replaced by anything.
        shaped = {**draw(structs(type_of(kind))), "kind": kind.kind, "apiVersion": kind.api_version}
        shaped["metadata"] = {**shaped.get("metadata", {}), "name": "probe"}
        where = shaped
        while draw(st.booleans()) and (inner := [each for each in where.values() if isinstance(each, dict) and each]):
            where = draw(st.sampled_from(inner))
        if draw(st.booleans()):
            where[draw(st.sampled_from(sorted(where)))] = draw(VALUES)
        return json.dumps(shaped).encode()
    raw = draw(st.sampled_from(RAW) | st.none() | st.binary(max_size=60))
    if raw is not None and draw(st.booleans()):
        return raw
    value = draw(VALUES)
    if isinstance(value, dict) and kind is not None and draw(st.booleans()):
        value = {**value, "kind": kind.kind, "apiVersion": kind.api_version}
        value.setdefault("metadata", {"name": "probe"})
    return json.dumps(value).encode()


@st.composite
def paths(draw: st.DrawFn) -> tuple[str, Kind | None]:
    """A path on some route or near one, with the kind that it is about."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(DOCUMENTS)) + draw(st.just("") | SEGMENTS.map("/".__add__)), None
    kind = draw(st.sampled_from(KINDS))
    base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    parts = [base, *(["watch"] if draw(st.integers(0, 9)) == 0 else [])]
    if kind.namespaced and draw(st.integers(0, 9)):
        parts += ["namespaces", draw(st.just("default") | SEGMENTS)]
    parts.append(kind.plural)
    if draw(st.booleans()):
        parts.append(draw(st.just("probe") | SEGMENTS))
        if draw(st.booleans()):
            parts.append(
                draw(st.sampled_from(["status", "log", "binding", "eviction", "finalize", "scale"]) | SEGMENTS)
            )
    return "/".join(parts), kind


@st.composite
def writes(draw: st.DrawFn) -> tuple[str, str, list[str], bytes]:
    """A write to a route that exists, with a body of its type: many are taken, so that the rest of the way is met."""
    kind = draw(st.sampled_from([kind for kind in KINDS if kind.stored]))
    path = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    path += f"/namespaces/default/{kind.plural}" if kind.namespaced else f"/{kind.plural}"
    method = draw(st.sampled_from(["POST", "POST", "PUT", "PATCH", "DELETE"]))
    content_type = draw(st.sampled_from(TYPES[3:7])) if method == "PATCH" else TYPES[0]
    name = draw(st.sampled_from(["probe", "other"]))
    body = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": name}}
    shaped = draw(structs(type_of(kind)))
    for key in draw(st.lists(st.sampled_from(sorted(shaped)), unique=True, max_size=2)) if shaped else ():
        body[key] = {**body["metadata"], **shaped[key], "name": name} if key == "metadata" else shaped[key]
    query = "?fieldManager=f&force=true" if content_type == TYPES[6] else ""
    return (
        method, path + ("" if method == "POST" else f"/{name}") + query,
        [AUTHORIZED, f"Content-Type: {content_type}"], json.dumps(body).encode(),
    )  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, list[str], bytes]:
    path, kind = draw(paths())
    values = st.sampled_from([*HUGE, *ODD, "1", "true", "All", "a=b", "a in (b", "metadata.name=x", "!!", "=", ","])
    query = "&".join(f"{name}={value}" for name, value in draw(
        st.lists(st.tuples(st.sampled_from(PARAMETERS), values), max_size=3)
    ))  # fmt: skip
    method = draw(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "FOO"]))
    headers = [
        AUTHORIZED, f"Content-Type: {draw(st.sampled_from(TYPES))}", f"Accept: {draw(st.sampled_from(ACCEPTS))}",
        f"User-Agent: {draw(st.sampled_from(['', 'a/b', 'x' * 3000, chr(233)]))}",
    ]  # fmt: skip
    if draw(st.integers(0, 4)) == 0:
        headers.append(draw(st.sampled_from(IMPERSONATION)))
    return method, (path + (f"?{query}" if query else "")).replace(" ", "%20"), headers, draw(bodies(kind))


def test_malformed_requests_are_refused(server: Server) -> None:
    seen: set[int] = set()
    before = memory()

    @settings(deadline=None, max_examples=500, suppress_health_check=list(HealthCheck))
    @given(requests() | writes())
    def one(request: tuple[str, str, list[str], bytes]) -> None:
        method, path, headers, body = request
        answer = server.ask(method, path, *headers, body=body)
        assert fine(answer), (answer.code, answer.body[:300])
        seen.add(answer.code)

    one()
    assert {200, 201, 400, 404, 405, 422} <= seen, "the requests do not reach far"
    assert memory() - before < 200 * 2**20
    assert server.ask("GET", "/readyz").body.endswith(b"ok")


@pytest.mark.parametrize(
    "path",
    ["/api/v1/namespaces", "/api/v1/namespaces/default/pods", "/apis/batch/v1/namespaces/default/jobs"],
)
def test_deep_and_huge_bodies(server: Server, path: str) -> None:
    before = memory()
    laughs = b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
    )
    for body, content_type in [*((deep, TYPES[0]) for deep in DEEP), (laughs, TYPES[1]), (b"[" * 3000, TYPES[1])]:
        answer = server.ask("POST", path, AUTHORIZED, f"Content-Type: {content_type}", body=body)
        assert answer.code in {400, 413}, answer
    assert server.ask("POST", path, AUTHORIZED, body=b" " * (4 * 2**20)).code in {413, 0}
    assert memory() - before < 150 * 2**20


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\r\n\r\n\r\n",
        b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET //[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nzz\r\n",
    ],
)  # fmt: skip
def test_malformed_http(server: Server, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as found:
        found.sendall(data)
        found.shutdown(socket.SHUT_WR)
        found.settimeout(PATIENCE)
        try:
            answer = found.recv(2**16)
        except ConnectionResetError:
            answer = b""
    assert not answer or answer.split(b" ", 2)[1][:1] in {b"2", b"4"}, answer
    assert server.ask("GET", "/readyz").code == 200


PUBLIC = {"/version", "/healthz", "/livez", "/readyz"}


def test_nothing_is_answered_without_the_token(server: Server) -> None:
    wrong = [
        "",
        "Authorization: Bearer wrong",
        "Authorization: Bearer",
        "Authorization: Basic YTpi",
        "Authorization: \xff",
    ]
    routes = [
        *DOCUMENTS,
        *(f"/api/v1/{plural}" for plural in ("nodes", "pods", "secrets", "namespaces/default/secrets")),
    ]
    for path in routes:
        for header in wrong:
            answer = server.ask("GET", path, *([header] if header else []))
            # What is no bearer token is none: nobody in particular asks, who may read what everybody may.
            refused = 401 if header == "Authorization: Bearer wrong" else 403
            assert answer.code == (200 if path in PUBLIC and refused == 403 else refused), (path, header)
            assert TOKEN.encode() not in answer.body
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert server.ask(method, "/api/v1/namespaces/default/pods", body=b"{}").code == 403


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("example.com", []), ("127.0.0.1.example.com:{port}", []), ("localhost:1", []), ("[::1", []), ("\xff", []),
        ("", ["Origin: https://example.com"]), ("", ["Origin: null"]), ("", ["Origin: http://127.0.0.1:1"]),
    ],
)  # fmt: skip
def test_web_pages_are_not_answered(server: Server, host: str, headers: list[str]) -> None:
    for path in ("/version", "/api/v1/namespaces/default/secrets"):
        answer = server.ask("GET", path, AUTHORIZED, *headers, host=host.format(port=server.port))
        assert answer.code in {400, 403}


@pytest.mark.parametrize("name", ["..", "../../x", "%2e%2e", "..%2f..%2fetc", "a%2f..%2fb", "a\\b", ".", "a%00"])
def test_names_are_no_paths(server: Server, name: str) -> None:
    for path in (f"/api/v1/namespaces/default/configmaps/{name}", f"/api/v1/namespaces/{name}/pods/x/log"):
        assert server.ask("GET", path, AUTHORIZED).code in {400, 403, 404, 405}
    plain = name.replace("%2e", ".").replace("%2f", "/").replace("%00", "\0")
    for body in (
        {"metadata": {"name": plain}},
        {"metadata": {"name": "x"}, "data": {plain: "y"}},
        {"metadata": {"name": "x", "namespace": plain}},
    ):
        answer = server.ask("POST", "/api/v1/namespaces/default/configmaps", AUTHORIZED, body=json.dumps(body).encode())
        assert answer.code in {400, 422}, body
