"""A running embedded API server for tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path

from aiohttp import web

from gke_notebook.cluster.connection import Connection, static_token
from gke_notebook.sandbox import certificates
from gke_notebook.sandbox.apiserver.app import ServerConfig, User, create_app
from gke_notebook.sandbox.apiserver.store import Store

TOKEN = "admin-token"
KUBELET_TOKEN = "kubelet-token"
ADMIN = User("admin", ("system:masters", "system:authenticated"))


@cache
def test_certificates() -> certificates.Certificates:
    """Certificates made once per test process."""
    return certificates.ensure(Path(tempfile.mkdtemp(prefix="gke-notebook-test-tls-")))


test_certificates.__test__ = False


@contextlib.asynccontextmanager
async def running_server(
    *,
    tls: bool = False,
    directory: Path | None = None,
    store: Store | None = None,
    tokens: Mapping[str, User] | None = None,
    kubelet_token: str = KUBELET_TOKEN,
    namespace: str = "default",
    controllers: bool = False,
) -> AsyncIterator[Connection]:
    """Run the server on a free loopback port of this process's event loop; yields a connection with every right.

    Args:
        tls: serve over TLS (kubectl sends tokens only then); the authority is `test_certificates().authority`.
        directory: where the objects are kept; None keeps them in memory.
        store: the state, when the test wants to hold it; otherwise one is opened and closed here.
        tokens: further tokens and who they belong to.
        kubelet_token: what the server shows to kubelets.
        namespace: the connection's namespace.
        controllers: whether the test runs controllers, so that pods need the service account that they make.
    """
    kept = Store.open(directory) if store is None else store
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    config = ServerConfig(
        tokens={TOKEN: ADMIN, **(tokens or {})}, kubelet_token=kubelet_token, port=port, controllers=controllers
    )
    server_tls = client_tls = None
    if tls:
        pems = test_certificates()
        server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server_tls.load_cert_chain(pems.certificate, pems.key)
        client_tls = ssl.create_default_context(cafile=str(pems.authority))
    runner = web.AppRunner(create_app(kept, config), access_log=None, shutdown_timeout=0.5, auto_decompress=False)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=server_tls).start()
        yield Connection(
            server=f"http{'s' if tls else ''}://127.0.0.1:{port}",
            namespace=namespace,
            context="test",
            tls=client_tls,
            token=static_token(TOKEN),
        )
    finally:
        assert runner.server is not None
        transports = [each.transport for each in runner.server.connections if each.transport is not None]
        await runner.cleanup()
        for transport in transports:
            transport.abort()  # a TLS peer that never says goodbye must not outlive the event loop
        await asyncio.sleep(0)
        if store is None:
            kept.close()
