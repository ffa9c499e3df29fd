"""Who the small servers on loopback answer: no web page, whatever name led it here, and only the right token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NAMES = ("127.0.0.1", "localhost", "[::1]")


def foreign(headers: Mapping[str, str]) -> str:
    """Say why a request is not from a program of this machine, in one line; empty when it may be.

    A web page comes by DNS rebinding (a foreign `Host`) or across origins (an `Origin` that is not the server's own).

    Args:
        headers: the request's; names in any case when the mapping says so.

    Example:
        >>> foreign({"Host": "127.0.0.1:8080"})
        ''
        >>> foreign({"Host": "example.com"})
        'this Host is not served here'
    """
    host = headers.get("Host", "").lower()
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    if name not in _NAMES or not (port == "" or (port.isascii() and port.isdigit())):
        return "this Host is not served here"
    origin = headers.get("Origin")
    if origin is not None and origin.lower().partition("://")[2] != host:
        return "requests from this Origin are not served"
    return ""


@web.middleware
async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 403 to what a web page could have sent; the outermost middleware of a server."""
    why = foreign(request.headers)
    return web.Response(status=403, text=f"forbidden: {why}\n") if why else await handler(request)


def has_token(request: web.Request, token: str) -> bool:
    """Say whether a request shows a bearer token, in a time that does not depend on it.

    Args:
        request: the request.
        token: the token; an empty one is nobody's.
    """
    # Headers come with their odd bytes escaped as surrogates, which no plain encoding takes.
    given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    return bool(token) and hmac.compare_digest(given, f"Bearer {token}".encode())
