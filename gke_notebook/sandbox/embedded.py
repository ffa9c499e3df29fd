"""The embedded API server as the sandbox's main process runs it."""

from __future__ import annotations

import hmac
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gke_notebook.sandbox.certificates import Certificates

if TYPE_CHECKING:
    from aiohttp import web

    from gke_notebook.sandbox.apiserver.auth import User

LOOPBACK = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """Open a listening socket on loopback.

    Args:
        port: the port to have if it is free; any other otherwise.
    """
    for candidate in (port, 0) if port else (0,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, candidate))
        except OSError:
            listener.close()
            continue
        listener.listen(1024)
        listener.setblocking(False)
        return listener
    raise OSError(f"no free port on {LOOPBACK}")


async def serve(app: web.Application, listener: socket.socket, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Serve an application on a socket.

    Args:
        app: the application.
        listener: from `listen`.
        tls: for HTTPS.

    Returns:
        What to clean up at the end.
    """
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, auto_decompress=False)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls, backlog=1024).start()
    return runner


class Embedded:
    """The embedded API server on a port of its own.

    Args:
        data: the directory of its objects.
        pems: its certificate.
        tokens: who may come.
        kubelet_token: what it shows to the node agent.
        port: the port to have if it is free, 0 for no wish.
    """

    components: tuple[str, ...] = ()
    client_authority = ""

    def __init__(
        self, data: Path, pems: Certificates, tokens: Mapping[str, User], kubelet_token: str, port: int
    ) -> None:
        from gke_notebook.sandbox.apiserver.app import ServerConfig, create_app
        from gke_notebook.sandbox.apiserver.store import Store

        self._listener = listen(port)
        self.port = int(self._listener.getsockname()[1])
        self._store = Store.open(data)
        # Derived from a secret that is kept, so that tokens of service accounts outlive a restart.
        key = hmac.digest(kubelet_token.encode(), b"tokens of service accounts", "sha256")
        config = ServerConfig(tokens=tokens, kubelet_token=kubelet_token, port=self.port, signing_key=key)
        self._app = create_app(self._store, config)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pems.certificate, pems.key)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serve."""
        self._runner = await serve(self._app, self._listener, self._tls)

    async def stop(self) -> None:
        """End, with everything on disk."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._store.close()
