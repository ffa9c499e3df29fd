"""Where the API server is and who we are: plain data, made by `kubeconfig` or by `cloud`, used by `client`."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

TokenSource = Callable[[bool], Awaitable[str | None]]
"""An async function that gives the bearer token; its argument asks for a fresh one after a refusal."""


async def no_token(_refresh: bool) -> str | None:
    """Give no token: the connection authenticates by client certificate, or not at all."""
    return None


@dataclass(frozen=True)
class Connection:
    """An API server and the credentials to reach it.

    Args:
        server: the URL of the API server, without a trailing slash.
        namespace: the namespace used when none is named.
        context: what the user called this connection, for messages.
        tls: the TLS context, None for plain HTTP or for the system's certificate authorities.
        token: where the bearer token comes from; it is asked on each connection and never stored or shown.
        server_name: the name in the server's certificate, when it is not the one in `server`.
        proxy: the URL of an HTTP proxy to go through.
        autopilot: whether it is a GKE Autopilot cluster, None when nobody has said.
    """

    server: str
    namespace: str = "default"
    context: str = ""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    token: TokenSource = field(default=no_token, repr=False)
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    autopilot: bool | None = None


def static_token(value: str | None) -> TokenSource:
    """Make a token source out of a token that does not change.

    Args:
        value: the token, or None for no token.
    """

    async def source(_refresh: bool) -> str | None:
        return value

    return source


class FreshToken:
    """A token source that asks a blocking function for a token, in a thread, once for many requests.

    Args:
        fetch: gives a token; it may run a credential plugin or talk to an identity provider, and may be called from any
            thread, by one at a time.
        first: the token to begin with; without it the first request fetches one.
        expires: says at what time (`time.time`) the current token is no longer good, None when that is not known.
    """

    # Requests that were refused together all ask for a fresh token: they share the one fetched within this time.
    _SHARED_SECONDS = 2.0

    def __init__(
        self,
        fetch: Callable[[], str | None],
        first: str | None = None,
        expires: Callable[[], float | None] | None = None,
    ) -> None:
        self._fetch = fetch
        self._token = first
        self._known = first is not None
        self._expires = expires
        self._fetched = float("-inf")
        self._lock = threading.Lock()  # not asyncio's: one connection may serve several event loops

    async def __call__(self, refresh: bool) -> str | None:
        """Give the token; `refresh` says that the current one was refused."""
        if self._known and not refresh and not self._expired():
            return self._token
        return await asyncio.to_thread(self._renew)

    def __repr__(self) -> str:
        return "FreshToken()"

    def _expired(self) -> bool:
        end = self._expires() if self._expires is not None else None
        return end is not None and time.time() >= end

    def _renew(self) -> str | None:
        with self._lock:
            if time.monotonic() - self._fetched > self._SHARED_SECONDS:
                token = self._fetch()
                self._token = token.strip() if token else None
                self._known = True
                self._fetched = time.monotonic()
            return self._token


def tls_context(*, ca_data: str | None = None, ca_file: str | None = None, verify: bool = True) -> ssl.SSLContext:
    """Make the TLS context of a client.

    Args:
        ca_data: certificate authorities in PEM.
        ca_file: a file of them; with neither, the system's own are trusted.
        verify: False accepts any certificate, as `insecure-skip-tls-verify` asks for.

    Raises:
        ssl.SSLError: the certificates cannot be read.
    """
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_data)
    # Python 3.13 asks more of a certificate authority than Go does; clusters have authorities without key identifiers.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
