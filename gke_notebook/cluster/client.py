"""The verbs of the Kubernetes API over one HTTP session; thin, and plain manifests in and out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import Resource
from gke_notebook.errors import ApiError, ClusterUnreachable

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "gke-notebook"

# A single object may approach 1.5 MB, and a watch line holds one object (shared/reference/feasibility.md, A3, 2026).
_READ_BUFFER = 4 * 2**20

# asyncio.TimeoutError is a class of its own before Python 3.11.
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError, asyncio.TimeoutError)

# As client-go does, an answer of 429 or 5xx with a Retry-After header is a request to come again, whatever the verb:
# the server has done nothing yet. client-go comes again ten times (k8s.io/client-go, rest/request.go, 1.34).
_RETRIES = 10
_LONGEST_PAUSE = 30.0


class Client:
    """An asynchronous client of one API server.

    Use it as an async context manager, or call `close` when done. It belongs to the event loop that first uses it.

    Args:
        connection: where the server is, and the credentials.
        concurrency: how many connections may be open at once; watches and log streams count.
        field_manager: the name under which writes own the fields they set.

    Example:
        >>> async def names(connection):
        ...     async with Client(connection) as client:
        ...         return [pod["metadata"]["name"] for pod in (await client.list(PODS, "default"))["items"]]
    """

    def __init__(self, connection: Connection, *, concurrency: int = 0, field_manager: str = FIELD_MANAGER) -> None:
        self.connection = connection
        self._field_manager = field_manager
        self._concurrency = concurrency
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
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
            except _BROKEN as error:
                # A kept-alive connection that the server has just closed. To read again does no harm.
                if (
                    method == "GET"
                    and not broken
                    and isinstance(error, (ConnectionError, aiohttp.ServerDisconnectedError))
                ):
                    broken = True
                    continue
                raise self._unreachable("does not answer", error) from error
            if response.status == 401 and not refused:
                refused = True  # an expired token: ask the source for a fresh one, once
                continue
            pause = retry_after(response.status, response.headers.get("Retry-After"))
            if pause is None or pauses == _RETRIES:
                raise api_error(response.status, answer)
            pauses += 1
            await asyncio.sleep(pause)

    def _unreachable(self, what: str, error: BaseException) -> ClusterUnreachable:
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
        except _BROKEN as error:
            raise self._unreachable("stopped answering", error) from error

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """Read one object."""
        return _decode(await self.request("GET", resource.path(self._namespace(resource, namespace), name)))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Object:
        """Read a collection as plain dicts; `namespace` None reads all namespaces."""
        raw = await self.list_raw(resource, namespace, label_selector=label_selector, field_selector=field_selector)
        return _decode(raw)

    async def list_raw(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> bytes:
        """Read a collection as the server's own bytes, for a caller that decodes only the fields it uses."""
        return await self.request(
            "GET", resource.path(namespace), params=_selectors(label_selector, field_selector), timeout=120.0
        )

    async def create(
        self, resource: Resource, body: Object, namespace: str | None = None, *, dry_run: bool = False
    ) -> Object:
        """Create an object; with `dry_run` the server only says what it would do."""
        path = resource.path(self._namespace(resource, namespace or _namespace_of(body)))
        params = {"fieldManager": self._field_manager, **({"dryRun": "All"} if dry_run else {})}
        return _decode(await self.request("POST", path, params=params, body=body))

    async def replace(
        self, resource: Resource, body: Object, namespace: str | None = None, *, subresource: str | None = None
    ) -> Object:
        """Write an object back; its resourceVersion guards against lost updates."""
        name = str(body["metadata"]["name"])
        path = resource.path(self._namespace(resource, namespace or _namespace_of(body)), name, subresource)
        return _decode(await self.request("PUT", path, params={"fieldManager": self._field_manager}, body=body))

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: object,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Object:
        """Change an object by a merge, strategic merge or JSON patch."""
        path = resource.path(self._namespace(resource, namespace), name, subresource)
        raw = await self.request(
            "PATCH", path, params={"fieldManager": self._field_manager}, body=body, content_type=content_type
        )
        return _decode(raw)

    async def apply(
        self, resource: Resource, body: Object, namespace: str | None = None, *, force: bool = False
    ) -> Object:
        """Create or change an object by server-side apply; JSON is valid YAML, so the body is sent as JSON."""
        name = str(body["metadata"]["name"])
        path = resource.path(self._namespace(resource, namespace or _namespace_of(body)), name)
        params = {"fieldManager": self._field_manager, "force": "true" if force else "false"}
        return _decode(await self.request("PATCH", path, params=params, body=body, content_type=APPLY_PATCH))

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        grace_period: int | None = None,
    ) -> Object:
        """Delete an object and, by `propagation`, what it owns; `grace_period` is in seconds."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        return _decode(
            await self.request("DELETE", resource.path(self._namespace(resource, namespace), name), body=options)
        )

    async def watch_lines(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int = 300,
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Watch a collection, as JSON lines, one event a line.

        Args:
            resource: what to watch.
            namespace: None watches all namespaces.
            resource_version: where the list ended.
            label_selector: which objects.
            field_selector: which objects.
            bookmarks: whether the server may send BOOKMARK events.
            timeout_seconds: after how many seconds the server ends the watch; watch again from the last version then.
            opened: called when the server has accepted the watch.

        Raises:
            ApiError: the server refused, for example with 410 when the version is too old.
            ClusterUnreachable: the connection failed or broke off.
        """
        params = {
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
            **_selectors(label_selector, field_selector),
        }
        if bookmarks:
            params["allowWatchBookmarks"] = "true"
        path = resource.path(namespace)
        response = await self.open("GET", path, params=params, timeout=None, idle_timeout=timeout_seconds + 30.0)
        try:
            _keep_alive(response)
            if opened is not None:
                opened()
            # One HTTP chunk holds one event: to read by lines copies less than to join chunks and split them again.
            readline = response.content.readline
            while line := await readline():
                if line.endswith(b"\n"):  # else the connection ended within an event
                    yield line
        except ValueError as error:
            raise ApiError(200, "", f"an object among the {resource.plural} is too large to be watched") from error
        except _BROKEN as error:
            raise self._unreachable("broke off a watch", error) from error
        finally:
            response.close()

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
            _keep_alive(response)
            if opened is not None:
                opened()
            async for chunk in response.content.iter_any():
                yield chunk
        except _BROKEN as error:
            raise self._unreachable("broke off", error) from error
        finally:
            response.close()

    def _namespace(self, resource: Resource, namespace: str | None) -> str | None:
        return (namespace or self.connection.namespace) if resource.namespaced else None


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


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    # A peer that vanished (a sleeping laptop, a forgotten NAT entry) is noticed in about a minute and not in hours.
    transport = response.connection.transport if response.connection is not None else None
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _decode(raw: bytes) -> Object:
    try:
        decoded = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise ApiError(
            200, "", f"the server's answer is not JSON: {raw[:200].decode(errors='replace').strip()}"
        ) from error
    if not isinstance(decoded, dict):
        raise ApiError(200, "", "the server's answer is not a Kubernetes object")
    return decoded


def _namespace_of(body: Object) -> str | None:
    namespace = body.get("metadata", {}).get("namespace")
    return str(namespace) if namespace else None


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    params = {}
    if label_selector:
        params["labelSelector"] = label_selector
    if field_selector:
        params["fieldSelector"] = field_selector
    return params


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
