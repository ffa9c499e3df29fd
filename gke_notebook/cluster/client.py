"""The verbs of the Kubernetes API over one HTTP session; thin, and plain manifests in and out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import Resource
from gke_notebook.cluster.transport import BROKEN, Transport, keep_alive
from gke_notebook.errors import ApiError

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "gke-notebook"


class Client(Transport):
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
        super().__init__(connection, concurrency=concurrency)
        self._field_manager = field_manager

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
        limit: int = 0,
        token: str = "",
    ) -> bytes:
        """Read a collection as the server's own bytes, for a caller that decodes only the fields it uses.

        Args:
            resource: what to read.
            namespace: None reads all namespaces.
            label_selector: which objects.
            field_selector: which objects.
            limit: how many objects at most, 0 for all at once.
            token: the `continue` of the page before.
        """
        params = _selectors(label_selector, field_selector)
        if limit:
            params["limit"] = str(limit)
        if token:
            params["continue"] = token
        return await self.request("GET", resource.path(namespace), params=params, timeout=120.0)

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
        return _decode(
            await self.patch_raw(resource, name, body, namespace, subresource=subresource, content_type=content_type)
        )

    async def patch_raw(
        self,
        resource: Resource,
        name: str,
        body: object,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
    ) -> bytes:
        """Change an object as `patch` does, and give the answer as the server's own bytes."""
        path = resource.path(self._namespace(resource, namespace), name, subresource)
        return await self.request(
            "PATCH", path, params={"fieldManager": self._field_manager}, body=body, content_type=content_type
        )

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
            keep_alive(response)
            if opened is not None:
                opened()
            # One HTTP chunk holds one event: to read by lines copies less than to join chunks and split them again.
            readline = response.content.readline
            while line := await readline():
                if line.endswith(b"\n"):  # else the connection ended within an event
                    yield line
        except ValueError as error:
            raise ApiError(200, "", f"an object among the {resource.plural} is too large to be watched") from error
        except BROKEN as error:
            raise self.unreachable("broke off a watch", error) from error
        finally:
            response.close()

    def _namespace(self, resource: Resource, namespace: str | None) -> str | None:
        return (namespace or self.connection.namespace) if resource.namespaced else None


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
