"""`pods/log`: find the container and the kubelet, and pass on what the kubelet says.

Source of texts: kubernetes v1.34, pkg/registry/core/pod/strategy.go (LogLocation) and
k8s.io/apiserver v0.34, pkg/registry/generic/rest/response_checker.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web

from . import reads, status
from .authorization.requests import is_set
from .kinds import find
from .options import integer
from .paths import Target
from .status import FieldError, StatusError
from .store import Store
from .validation.fields import FieldTypeError, timestamp

Object = dict[str, Any]

_NODES = find("", "v1", "nodes")
_MAX_ERROR = 10_000
_GONE_SECONDS = 2.0
_FLAGS = ("follow", "previous", "timestamps")
_NUMBERS = {"sinceSeconds": 1, "tailLines": 0, "limitBytes": 1}
_ADDRESSES = ("InternalIP", "ExternalIP", "Hostname")


@dataclass(frozen=True)
class Location:
    """Where a log is read.

    Args:
        url: the kubelet's address of it.
        query: the parameters the kubelet is given.
    """

    url: str
    query: dict[str, str]


def locate(store: Store, target: Target, query: Mapping[str, str]) -> Location | None:
    """Find the kubelet that has the log of a container.

    Args:
        store: the state.
        target: the pod's `log`.
        query: the parameters of the request.

    Returns:
        Where the log is; None while the pod has no node, in which case the log is empty.

    Raises:
        StatusError: 400 for a container that must be named or is none of the pod's, 404 without the pod or its node,
            422 for parameters that make no sense.
    """
    parameters = log_parameters(query, target.name)
    pod = reads.get(store, target).object()
    container = choose_container(pod, query.get("container", ""))
    node = pod["spec"].get("nodeName")
    if not node:
        return None
    assert _NODES is not None
    entry = store.get(_NODES, "", node)
    if entry is None:
        raise status.not_found(_NODES, node)
    host, port = kubelet_address(entry.object())
    path = "/".join(quote(each, safe="") for each in (target.namespace, target.name, container))
    return Location(f"https://{host}:{port}/containerLogs/{path}", parameters)


def log_parameters(query: Mapping[str, str], pod: str) -> dict[str, str]:
    """Check the parameters of a log request, and give those the kubelet is to have.

    Args:
        query: the parameters of the request.
        pod: the pod's name, for errors.

    Raises:
        StatusError: 400 or 422.
    """
    found = {name: "true" for name in _FLAGS if is_set(query, name)}
    errors: list[FieldError] = []
    numbers = {name: integer(query, name) for name in _NUMBERS if name in query}
    if query.get("sinceTime"):
        try:
            found["sinceTime"] = timestamp(query["sinceTime"])
        except FieldTypeError as error:
            raise status.bad_request(str(error)) from error
    both = "sinceTime" in found and "sinceSeconds" in numbers
    for name, number in numbers.items():
        least = _NUMBERS[name]
        if number < least and not (both and name == "sinceSeconds"):
            bound = f"must be greater than or equal to {least}" if name == "tailLines" else "must be greater than 0"
            errors.append(status.invalid_value(name, number, bound))
        found[name] = str(number)
    if both:
        errors.append(status.field_forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if "stream" in query:
        errors.append(status.field_forbidden("stream", "may not be specified"))  # a matter of an alpha feature
    if errors:
        texts = list(map(str, errors))
        said = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
        details = {"name": pod, "kind": "PodLogOptions", "causes": [each.cause() for each in errors]}
        raise StatusError(422, "Invalid", f"PodLogOptions {status.quote(pod)} is invalid: {said}", details)
    return found


def choose_container(pod: Object, wanted: str) -> str:
    """Give the container whose log is meant.

    Args:
        pod: the pod.
        wanted: what the client named, possibly nothing.

    Raises:
        StatusError: 400.
    """
    spec, name = pod["spec"], pod["metadata"]["name"]
    kept = spec.get("containers") or []
    names = [
        each["name"]
        for field in ("initContainers", "containers", "ephemeralContainers")
        for each in spec.get(field) or []
    ]
    if wanted:
        if wanted not in names:
            raise status.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(kept) == 1:
        return str(kept[0]["name"])
    if not kept:
        raise status.bad_request(f"a container name must be specified for pod {name}")
    raise status.bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")


def kubelet_address(node: Object) -> tuple[str, int]:
    """Give host and port of a node's kubelet.

    Args:
        node: the Node.

    Raises:
        StatusError: 500 when the node has no address.
    """
    found = node.get("status") or {}
    addresses = {each.get("type"): each.get("address") for each in found.get("addresses") or []}
    host = next((addresses[each] for each in _ADDRESSES if addresses.get(each)), None)
    if host is None:
        raise status.internal(f"no preferred addresses found; known addresses: {sorted(map(str, addresses))}")
    port = ((found.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
    return (f"[{host}]" if ":" in host else host), int(port)


class LogProxy:
    """Reads logs from kubelets.

    Args:
        token: the token that kubelets accept.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A kubelet's certificate is its own; the real server does not verify it either unless told how.
            connector = aiohttp.TCPConnector(ssl=False, limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**18)
        return self._session

    async def close(self) -> None:
        """Close the connections to kubelets."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def stream(self, request: web.Request, location: Location | None) -> web.StreamResponse:
        """Answer a log request.

        Args:
            request: the client's.
            location: from `locate`.

        Raises:
            StatusError: the kubelet refuses or does not answer.
        """
        if location is None:
            return web.Response(status=204, headers={"Cache-Control": "no-cache, private"})
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
        try:
            headers = {"Authorization": f"Bearer {self._token}"}
            upstream = await self._http().get(location.url, params=location.query, headers=headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise status.internal(f'Get "{location.url}": {_reason(error)}') from error
        try:
            if not 200 <= upstream.status <= 206:
                raise await _refusal(upstream)
            await response.prepare(request)
            watchman = asyncio.create_task(_close_when_gone(request, upstream))
            try:
                await _copy(upstream, response)
            finally:
                watchman.cancel()
        finally:
            upstream.close()
        return response


async def _close_when_gone(request: web.Request, upstream: aiohttp.ClientResponse) -> None:
    """End the kubelet's side of a log that nobody reads any more, even while the container is silent."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(_GONE_SECONDS)
    upstream.close()


async def _copy(upstream: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    try:
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, OSError):
        # One of the two sides has gone; the headers are out, so all that can be done is to end the stream.
        response.force_close()


async def _refusal(upstream: aiohttp.ClientResponse) -> StatusError:
    try:
        text = (await upstream.content.read(_MAX_ERROR)).decode(errors="replace").strip()
    except (aiohttp.ClientError, OSError) as error:
        return status.internal(str(error))
    if upstream.status == 400:
        return status.bad_request(text)
    if upstream.status == 500:
        return status.internal(text)
    if upstream.status == 404:
        return StatusError(404, "NotFound", f"the server could not find the requested resource ({text})", {})
    message = f"the server responded with the status code {upstream.status} but did not return more information"
    if upstream.status > 500:
        message = f"an error on the server ({status.quote(text)}) has prevented the request from succeeding"
    return StatusError(upstream.status, "InternalError" if upstream.status > 500 else "", message, {})


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"dial tcp {error.host}:{error.port}: {(error.os_error.strerror or str(error)).lower()}"
    return str(error) or type(error).__name__
