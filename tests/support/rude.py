"""A small API server that misbehaves on purpose: a script of answers, one for each request, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from gke_notebook.cluster.connection import Connection, TokenSource, static_token

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Rude:
    """The server and what it has seen.

    `script` holds the answers still to be given, in order; `otherwise` answers when it is empty.
    """

    url: str = ""
    script: list[Answer] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)  # method and path with query
    tokens: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    otherwise: Answer | None = None
    open_connections: set[Any] = field(default_factory=set)

    def connection(self, token: str | TokenSource | None = "secret-token") -> Connection:
        source = static_token(token) if token is None or isinstance(token, str) else token
        return Connection(self.url, context="rude", token=source)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until something is true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "it did not come true"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def rude_server(*script: Answer, otherwise: Answer | None = None) -> AsyncIterator[Rude]:
    rude = Rude(script=list(script), otherwise=otherwise)

    async def handle(request: web.Request) -> web.StreamResponse:
        rude.seen.append((request.method, request.path_qs))
        rude.tokens.append(request.headers.get("Authorization", ""))
        body = await request.read()
        rude.bodies.append(json.loads(body) if body else None)
        answer = rude.script.pop(0) if rude.script else rude.otherwise
        if answer is None:
            return await status(500, "InternalError", "the script is over")(request)
        rude.open_connections.add(request.transport)
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        rude.url = f"http://{host}:{port}"
        yield rude
    finally:
        await runner.cleanup()


def ok(value: Any, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(value, headers=headers)

    return answer


def text(body: str, code: int = 200, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            text=body, status=code, headers={key.replace("_", "-"): value for key, value in headers.items()}
        )

    return answer


def status(code: int, reason: str, message: str, **headers: str) -> Answer:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            body, status=code, headers={key.replace("_", "-"): value for key, value in headers.items()}
        )

    return answer


async def slam(request: web.Request) -> web.StreamResponse:
    """Close the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def stream(*pieces: bytes, cut: bool = False, then: Callable[[], Awaitable[Any]] | None = None) -> Answer:
    """Send pieces, one HTTP chunk each, then end in order, or be cut off, after `then` has returned."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if then is not None:
            await then()
        if cut:
            assert request.transport is not None
            request.transport.close()  # after what was written, without the chunk that ends the body
            return response
        await response.write_eof()
        return response

    return answer


def event(kind: str, value: Any) -> bytes:
    return json.dumps({"type": kind, "object": value}).encode() + b"\n"


def pod(name: str, version: int, phase: str = "Running", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "resourceVersion": str(version), "labels": labels},
        "status": {"phase": phase},
    }


def pod_list(version: int, *items: Any) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": list(items)}
