"""A kubelet that only serves logs, for tests of the API server's log proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from tests.support.apiserver import KUBELET_TOKEN, test_certificates


class Kubelet:
    """Answers log requests as told; with `follow`, one more line once `more` is set; `left` once a follower leaves."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.lines: list[bytes] = [b"one\n", b"two\n"]
        self.refusal: tuple[int, str] | None = None
        self.more = asyncio.Event()
        self.left = asyncio.Event()
        self.port = 0

    @property
    def node_status(self) -> dict[str, Any]:
        """The `status` of a Node that this is the kubelet of."""
        return {
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.headers.get("Authorization") != f"Bearer {KUBELET_TOKEN}":
            return web.Response(status=401)
        self.seen.append((request.path, dict(request.query)))
        if self.refusal is not None:
            return web.Response(status=self.refusal[0], text=self.refusal[1])
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for line in self.lines:
            await response.write(line)
        if "follow" in request.query:
            while not self.more.is_set():
                if request.transport is None or request.transport.is_closing():
                    self.left.set()
                    return response
                await asyncio.sleep(0.01)
            await response.write(b"three\n")
        await response.write_eof()
        return response


@contextlib.asynccontextmanager
async def running_kubelet() -> AsyncIterator[Kubelet]:
    """Serve over TLS, with a certificate of its own, on a free port."""
    found = Kubelet()
    app = web.Application()
    app.router.add_get("/containerLogs/{tail:.*}", found.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    pems = test_certificates()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pems.certificate, pems.key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()
