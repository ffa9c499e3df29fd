"""Floods: much, deep, slow and compressed requests are refused or waited for in bounded time and memory."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver import app
from tests.integration.test_apiserver_security import (
    AUTHORIZED,
    PATIENCE,
    TYPES,
    VALUES,
    Server,
    fine,
    memory,
    server,
)

__all__ = ["server"]

JSON, YAML, PROTOBUF = TYPES[:3]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROUTES = (CONFIG_MAPS, "/api/v1/namespaces/default/pods", "/apis/batch/v1/namespaces/default/jobs", DEFINITIONS)


def typed(kind: str) -> str:
    return f"Content-Type: {kind}"


@pytest.mark.parametrize("path", ROUTES)
def test_much_is_refused(server: Server, path: str) -> None:
    """Deep and huge values, in every form of a body."""
    before = memory()
    named = b'{"metadata":{"name":"x"},"data":{"a":%s},"spec":{"parallelism":%s}}'
    bodies = [
        b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"a":[' * 100_000, named % (b"1e400", b"1e400"),
        named % (b"9" * 100_000, b"9" * 100_000), named % (b"-" + b"9" * 100_000, b"-1e-400"), named % (b'"\\ud800"', b"1.5"),
        named % (b'"\\udfff\\ud800"', b'"x"'), b'{"metadata":{"name":"\\u0000"}}', b'"' + b"\xed\xa0\x80" + b'"',
        b'{"metadata":{"labels":{' + b",".join(b'"k%d":"v"' % n for n in range(100_000)) + b"}}}", b"{" * 3_000_000,
    ]  # fmt: skip
    for body in bodies:
        for kind in (JSON, YAML) if len(body) < 50_000 else (JSON,):
            answer = server.ask("POST", path, AUTHORIZED, typed(kind), body=body)
            # What is a number in JSON may be a text in YAML.
            assert fine(answer) if kind == YAML else 400 <= answer.code < 500, (body[:60], kind, answer)
        for kind in TYPES[3:6]:
            answer = server.ask("PATCH", path + "/none", AUTHORIZED, typed(kind), body=body)
            assert 400 <= answer.code < 500, (body[:60], kind, answer)
    assert memory() - before < 300 * 2**20
    assert server.ask("GET", "/readyz").code == 200


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    raw=st.binary(max_size=300),
    prefix=st.sampled_from([b"", b"k8s\x00", b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12"]),
)
def test_protobuf_that_is_none(server: Server, raw: bytes, prefix: bytes) -> None:
    for method, path in (("POST", CONFIG_MAPS), ("PUT", CONFIG_MAPS + "/probe"), ("DELETE", CONFIG_MAPS + "/probe")):
        answer = server.ask(method, path, AUTHORIZED, typed(PROTOBUF), body=prefix + raw)
        assert fine(answer), (answer.code, answer.body[:300])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "nothing"])
def test_compressed_bodies_are_not_unpacked(server: Server, encoding: str) -> None:
    before = memory()
    bomb = (
        gzip.compress(gzip.compress(bytes(200 * 2**20), 1), 9)
        if "," in encoding
        else gzip.compress(bytes(200 * 2**20), 1)
    )
    answer = server.ask("POST", CONFIG_MAPS, AUTHORIZED, typed(JSON), f"Content-Encoding: {encoding}", body=bomb)
    assert answer.code in {400, 413, 415}, answer
    assert memory() - before < 100 * 2**20


@pytest.mark.parametrize("count", [50, 1000, 100_000])
def test_header_and_query_floods(server: Server, count: int) -> None:
    before = memory()
    long = "&".join(f"a{n}=b" for n in range(count))
    for path in (f"{CONFIG_MAPS}?{long}", f"{CONFIG_MAPS}?labelSelector={'a,' * count}", f"{CONFIG_MAPS}?fieldSelector={'metadata.name!=a,' * count}",
                 f"{CONFIG_MAPS}?continue={'A' * count}", CONFIG_MAPS + "/x" * count):  # fmt: skip
        answer = server.ask("GET", path, AUTHORIZED)
        assert answer.code == 0 or 200 <= answer.code < 500, answer
    for header in (
        f"X-{'a' * count}: b",
        f"Cookie: {'a=b; ' * count}",
        f"Accept: {'a/b,' * count}",
        f"Impersonate-User: {'a' * count}",
    ):
        answer = server.ask("GET", CONFIG_MAPS, AUTHORIZED, header)
        assert answer.code == 0 or 200 <= answer.code < 500, answer
    many = server.ask("GET", CONFIG_MAPS, AUTHORIZED, *(f"X-{n}: b" for n in range(min(count, 20_000))))
    assert many.code == 0 or 200 <= many.code < 500
    assert memory() - before < 150 * 2**20


@pytest.mark.parametrize(
    "seconds", ["0", "-5", "1" * 400, "9223372036854775807", "9223372036854775808", "1e9", "NaN", "%00"]
)
def test_absurd_timeouts_of_watches(server: Server, seconds: str) -> None:
    answer = server.ask("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds={seconds}&resourceVersion=0", AUTHORIZED)
    assert answer.code in {200, 400}
    assert server.ask("GET", "/readyz").code == 200


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_stalls_is_given_up(server: Server, framing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.3)
    for method, path in (
        ("POST", CONFIG_MAPS),
        ("PATCH", CONFIG_MAPS + "/x"),
        ("DELETE", CONFIG_MAPS + "/x"),
        ("POST", "/api"),
    ):
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{AUTHORIZED}\r\n{framing}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as found:
            found.settimeout(PATIENCE)
            found.sendall(head.encode() + (b'5\r\n{"a":' if "chunked" in framing else b'{"a":'))
            assert b" 408 " in found.recv(2**16).partition(b"\r\n")[0]


def test_who_may_not_write_is_refused_before_the_body_comes(server: Server) -> None:
    head = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as found:
        found.settimeout(PATIENCE)
        found.sendall(head.encode())
        assert b" 403 " in found.recv(2**16).partition(b"\r\n")[0]


def test_idle_connections_cost_little(server: Server) -> None:
    before = memory()
    with contextlib.ExitStack() as stack:
        for number in range(1500):
            found = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            if number % 3:
                found.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * (number % 50))
        assert server.ask("GET", CONFIG_MAPS, AUTHORIZED).code == 200
        assert memory() - before < 150 * 2**20
    deadline = time.monotonic() + PATIENCE
    while server.ask("GET", "/readyz").code != 200:
        assert time.monotonic() < deadline


SCHEMAS = st.recursive(
    st.sampled_from([
        {"type": "string"}, {"type": "integer", "maximum": 5}, {"type": "number", "multipleOf": 0.1}, {"type": "boolean"}, {"type": "string", "format": "date-time"},
        {"x-kubernetes-int-or-string": True}, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"type": "string", "pattern": "^(a+)+$", "maxLength": 20},
        {"type": "string", "enum": ["a", "b"], "default": "a"}, {"type": "string", "nullable": True}, {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    ]),
    lambda inner: st.builds(lambda each: {"type": "array", "items": each, "maxItems": 3}, inner)
    | st.builds(lambda each: {"type": "object", "additionalProperties": each}, inner)
    | st.builds(lambda each: {"type": "object", "properties": each}, st.dictionaries(st.sampled_from(["a", "b", "c", "spec"]), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def groups() -> Iterator[int]:
    return iter(range(10_000))


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(schema=SCHEMAS, instances=st.lists(VALUES, min_size=3, max_size=6))
def test_instances_of_any_schema(
    server: Server, groups: Iterator[int], schema: object, instances: list[object]
) -> None:
    group = f"g{next(groups)}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{
                "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema, "status": schema}}},
            }],
        },
    }  # fmt: skip
    made = server.ask("POST", DEFINITIONS, AUTHORIZED, typed(JSON), body=json.dumps(definition).encode())
    assert made.code in {201, 422}, made
    path = f"/apis/{group}/v1/namespaces/default/things"
    for instance in instances:
        body = {
            "apiVersion": f"{group}/v1",
            "kind": "Thing",
            "metadata": {"name": "x"},
            "spec": instance,
            "status": instance,
        }
        for method, where, kind in (
            ("POST", path, JSON), ("PUT", path + "/x", JSON), ("PATCH", path + "/x", TYPES[4]), ("PATCH", path + "/x/status", TYPES[4]),
            ("PATCH", path + "/y?fieldManager=m&force=true", TYPES[6]), ("GET", path + "?fieldSelector=spec.a=1", JSON),
        ):  # fmt: skip
            answer = server.ask(
                method, where, AUTHORIZED, typed(kind), body=b"" if method == "GET" else json.dumps(body).encode()
            )
            assert fine(answer), (method, where, answer.code, answer.body[:300])
    assert server.ask("DELETE", f"{DEFINITIONS}/things.{group}", AUTHORIZED).code in {200, 404}
