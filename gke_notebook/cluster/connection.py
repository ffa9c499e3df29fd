"""Where the API server is and who we are: plain data, made by `kubeconfig` or by `cloud`, used by `client`."""

from __future__ import annotations

import ssl
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
        tls: the TLS context, None for plain HTTP.
        token: where the bearer token comes from; it is asked on each connection and never stored or shown.
    """

    server: str
    namespace: str = "default"
    context: str = ""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    token: TokenSource = field(default=no_token, repr=False)


def static_token(value: str | None) -> TokenSource:
    """Make a token source out of a token that does not change.

    Args:
        value: the token, or None for no token.
    """

    async def source(_refresh: bool) -> str | None:
        return value

    return source
