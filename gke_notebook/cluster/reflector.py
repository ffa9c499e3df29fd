"""One list and watch that never gives up: the engine under the cache and under every controller of the sandbox."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import Resource
from gke_notebook.errors import ApiError, ClusterUnreachable

T = TypeVar("T")
Key = tuple[str, str]


class Handler(Protocol[T]):
    """What a reflector tells its owner; called on the event loop, must not block.

    `replaced` comes after every list, with all objects; `changed` for each event, `value` None when the object is gone.
    """

    def replaced(self, objects: Mapping[Key, T]) -> None:
        """Take the whole collection."""

    def changed(self, key: Key, value: T | None, previous: T | None) -> None:
        """Take one event."""


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Head(msgspec.Struct, rename="camel"):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    code: int = 0


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


@dataclass
class Reflector(Generic[T]):
    """Keeps `objects` equal to a collection of the cluster.

    Args:
        client: the client to read with.
        resource: what to watch.
        type_: what each object is decoded to: a Struct with only the fields in use, or `dict`.
        namespace: None watches all namespaces.
        label_selector: which objects.
        field_selector: which objects.
        handler: told of every change, or None.
        failed: told of each error before it is retried, or None.

    Example:
        >>> async def watch(client):
        ...     reflector = Reflector(client, PODS, objects.Pod, "default")
        ...     task = asyncio.create_task(reflector.run())
        ...     await reflector.synced.wait()
        ...     return reflector.objects
    """

    client: Client
    resource: Resource
    type_: Any
    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""
    handler: Handler[T] | None = None
    failed: Callable[[Exception], None] | None = None

    def __post_init__(self) -> None:
        self.objects: dict[Key, T] = {}
        self.resource_version = ""
        self.synced = asyncio.Event()
        list_type = msgspec.defstruct(
            "List",
            [("items", list[self.type_], msgspec.field(default_factory=list)),
             ("metadata", _ListMetadata, msgspec.field(default_factory=_ListMetadata))],
            rename="camel",
        )  # fmt: skip
        self._list_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list_type)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self.type_)
        self._heads: msgspec.json.Decoder[_Head] = msgspec.json.Decoder(_Head)
        self._events: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)

    async def run(self) -> None:
        """List, watch, and begin again after whatever breaks; runs until cancelled."""
        delay = 0.0
        while True:
            try:
                if not self.resource_version:
                    await self._list()
                delay = 0.0
                await self._watch()
            except ApiError as error:
                # 410 Gone: our version is too old, list anew at once. A refusal (401, 403, 404) may be lifted later.
                self.resource_version = ""
                if error.status != 410:
                    delay = self._backoff(delay, error)
            except ClusterUnreachable as error:
                delay = self._backoff(delay, error)
            if delay:
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, no secret

    def _backoff(self, delay: float, error: Exception) -> float:
        if self.failed is not None:
            self.failed(error)
        return min(30.0, delay * 2 or 0.1)

    async def _list(self) -> None:
        raw = await self.client.list_raw(
            self.resource, self.namespace, label_selector=self.label_selector, field_selector=self.field_selector
        )
        listed = self._list_decoder.decode(raw)
        self.objects = {_key(item): item for item in listed.items}
        self.resource_version = listed.metadata.resource_version
        if self.handler is not None:
            self.handler.replaced(self.objects)
        self.synced.set()

    async def _watch(self) -> None:
        chunks = self.client.watch_chunks(
            self.resource,
            self.namespace,
            resource_version=self.resource_version,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
        )
        async for chunk in chunks:
            for line in chunk.splitlines():
                if line:
                    self.apply(line)

    def apply(self, line: bytes) -> None:
        """Take one watch event.

        Args:
            line: the event as the server sent it, a JSON object of `type` and `object`.

        Raises:
            ApiError: the event is an ERROR, for example 410 Gone.
        """
        event = self._events.decode(line)
        if event.type == "ERROR":
            raise _error(event.object)
        if event.type == "BOOKMARK":
            self.resource_version = self._heads.decode(event.object).metadata.resource_version
            return
        value: T = self._decoder.decode(event.object)
        key = _key(value)
        previous = self.objects.get(key)
        if event.type == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = value
        self.resource_version = _version(value)
        if self.handler is not None:
            self.handler.changed(key, None if event.type == "DELETED" else value, value if event.type == "DELETED" else previous)


def _key(value: Any) -> Key:
    if isinstance(value, dict):
        return value["metadata"].get("namespace", ""), value["metadata"]["name"]
    return value.metadata.namespace, value.metadata.name


def _version(value: Any) -> str:
    if isinstance(value, dict):
        return str(value["metadata"].get("resourceVersion", ""))
    return str(value.metadata.resource_version)


def _error(raw: msgspec.Raw) -> ApiError:
    status = msgspec.json.decode(raw)
    return ApiError(int(status.get("code") or 500), str(status.get("reason") or ""), str(status.get("message") or ""))
