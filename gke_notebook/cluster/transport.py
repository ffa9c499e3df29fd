"""HTTP to one API server: tokens, refusals, retries and streams; what every verb of the client goes through."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec

from gke_notebook.cluster.connection import Connection
from gke_notebook.errors import ApiError, ClusterUnreachable

T = TypeVar("T", bound="Transport")

# etcd takes requests of up to 1.5 MiB (etcd documentation, "System limits"), and a watch line holds one object.
_READ_BUFFER = 4 * 2**20

# asyncio.TimeoutError is a class of its own before Python 3.11.
BROKEN = (aiohttp.ClientError, OSError, TimeoutError, asyncio.TimeoutError)

# As client-go does, an answer of 429 or 5xx with a Retry-After header is a request to come again, whatever the verb:
# the server has done nothing yet. client-go comes again ten times (k8s.io/client-go, rest/request.go, 1.34).
_RETRIES = 10
_LONGEST_PAUSE = 30.0


class Transport:
    """Requests to one API server over one HTTP session.

    Args:
        connection: where the server is, and the credentials.
        concurrency: how many connections may be open at once; watches and log streams count. 0 sets no limit.
    """

    def __init__(self, connection: Connection, *, concurrency: int = 0) -> None:
        self.connection = connection
        self._concurrency = concurrency
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self: T) -> T:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; streams that are open end."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            connector = aiohttp.TCPConnector(
                limit=self._concurrency, ssl=self.connection.tls if self.connection.tls is not None else True
            )
            self._http = aiohttp.ClientSession(
                connector=connector,
                read_bufsize=_READ_BUFFER,
                headers={"User-Agent": "gke-notebook", "Accept": "application/json"},
            )
        return self._http

    async def open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float | None = 60.0,
        idle_timeout: float | None = None,
        accept: str | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the open response once its headers are there; the caller must release it.

        Args:
            method: the HTTP method.
            path: the path below the server's URL, starting with a slash.
            params: the query.
            body: the request body.
            content_type: what the body is.
            timeout: seconds until the headers and, for a body that is read at once, the body must be there; None waits.
            idle_timeout: seconds without a byte after which the connection is given up; None waits.
            accept: the Accept header, when it is not JSON.

        Raises:
            ApiError: the server answered with a Status other than success.
            ClusterUnreachable: no answer.
        """
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=10.0, sock_read=idle_timeout)
        headers = {}
        if body is not None:
            headers["Content-Type"] = content_type
        if accept is not None:
            headers["Accept"] = accept
        refused = broken = False
        pauses = 0
        while True:
            token = await self.connection.token(refused)
            if token:
                headers["Authorization"] = f"Bearer {token}"
            try:
                response = await self._session().request(
                    method,
                    self.connection.server + path,
                    params=params,
                    data=body,
                    headers=headers,
                    timeout=limit,
                    allow_redirects=False,  # a token goes to no other server
                    server_hostname=self.connection.server_name,
                    proxy=self.connection.proxy,
                )
                if response.status < 300:
                    return response
                answer = await response.read()
            except BROKEN as error:
                # A kept-alive connection that the server has just closed. To read again does no harm.
                if (
                    method == "GET"
                    and not broken
                    and isinstance(error, (ConnectionError, aiohttp.ServerDisconnectedError))
                ):
                    broken = True
                    continue
                raise self.unreachable("does not answer", error) from error
            if response.status == 401 and not refused:
                refused = True  # an expired token: ask the source for a fresh one, once
                continue
            pause = retry_after(response.status, response.headers.get("Retry-After"))
            if pause is None or pauses == _RETRIES:
                raise api_error(response.status, answer)
            pauses += 1
            await asyncio.sleep(pause)

    def unreachable(self, what: str, error: BaseException) -> ClusterUnreachable:
        """Make the error that says that the server cannot be reached.

        Args:
            what: what happened, for example ``does not answer``.
            error: what aiohttp raised; it never holds a header.
        """
        return ClusterUnreachable(
            f"the cluster at {self.connection.server} {what} ({_short(error)}); "
            "is it up, and is this machine allowed to reach it?"
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        timeout: float | None = 60.0,
    ) -> bytes:
        """Send a request with a JSON body and return the bytes of the answer.

        Args:
            method: the HTTP method.
            path: the path below the server's URL.
            params: the query.
            body: what to send as JSON; None sends no body.
            content_type: what the body is.
            timeout: seconds for the whole exchange.

        Raises:
            ApiError: the server answered with a Status other than success.
            ClusterUnreachable: no answer.
        """
        data = None if body is None else msgspec.json.encode(body)
        response = await self.open(method, path, params=params, body=data, content_type=content_type, timeout=timeout)
        try:
            return await response.read()
        except BROKEN as error:
            raise self.unreachable("stopped answering", error) from error

    async def stream(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        accept: str | None = None,
        idle_timeout: float | None = None,
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Read an answer that goes on, in the pieces in which it comes.

        Args:
            path: the path below the server's URL.
            params: the query.
            accept: the Accept header, when it is not JSON.
            idle_timeout: seconds without a byte after which the connection is given up; None waits.
            opened: called when the server has accepted the request.

        Raises:
            ApiError: the server refused.
            ClusterUnreachable: the connection failed or broke off.
        """
        response = await self.open("GET", path, params=params, timeout=None, idle_timeout=idle_timeout, accept=accept)
        try:
            keep_alive(response)
            if opened is not None:
                opened()
            async for chunk in response.content.iter_any():
                yield chunk
        except BROKEN as error:
            raise self.unreachable("broke off", error) from error
        finally:
            response.close()


def api_error(status: int, body: bytes) -> ApiError:
    """Make the error out of a refusal: a Kubernetes Status, or whatever a proxy in between has said.

    Args:
        status: the HTTP status code.
        body: the answer's body.
    """
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        answer = None
    if isinstance(answer, dict) and answer.get("kind") == "Status":
        details = answer.get("details")
        return ApiError(
            status,
            str(answer.get("reason") or ""),
            str(answer.get("message") or f"the server answered {status}"),
            details if isinstance(details, dict) else None,
        )
    return ApiError(status, "", f"the server answered {status}: {body[:200].decode(errors='replace').strip()}")


def retry_after(status: int, header: str | None) -> float | None:
    """Say how long to wait before a refused request is sent again.

    Args:
        status: the HTTP status code.
        header: the Retry-After header; Kubernetes writes whole seconds.

    Returns:
        Seconds, or None when the refusal stands.

    Example:
        >>> retry_after(429, "1")
        1.0
    """
    if header is None or not (status == 429 or status >= 500) or not header.strip().isdigit():
        return None
    return min(float(header), _LONGEST_PAUSE)


def keep_alive(response: aiohttp.ClientResponse) -> None:
    """Let the system probe a connection on which nothing may come for long."""
    # A peer that vanished (a sleeping laptop, a forgotten NAT entry) is noticed in about a minute and not in hours.
    transport = response.connection.transport if response.connection is not None else None
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
