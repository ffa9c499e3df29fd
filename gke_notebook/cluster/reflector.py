"""One list and watch that never gives up: the engine under the cache and under every controller of the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar, Union

import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.resources import Resource
from gke_notebook.errors import ApiError, ClusterUnreachable, NotConnected

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Key = tuple[str, str]

_LONGEST_DELAY = 30.0


class Handler(Protocol[T_contra]):
    """What a reflector tells its owner; called on the event loop, must not block.

    `replaced` comes after every list, with all objects; `changed` for each event, `value` None when the object is gone.
    """

    def replaced(self, objects: Mapping[Key, T_contra]) -> None:
        """Take the whole collection."""

    def changed(self, key: Key, value: T_contra | None, previous: T_contra | None) -> None:
        """Take one event."""


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    token: str = msgspec.field(default="", name="continue")


class _Head(msgspec.Struct):
    metadata: _ListMetadata = msgspec.field(default_factory=_ListMetadata)


class _Bookmark(msgspec.Struct, tag_field="type", tag="BOOKMARK"):
    object: _Head


class _Status(msgspec.Struct):
    code: int = 500
    reason: str = ""
    message: str = ""


class _Failure(msgspec.Struct, tag_field="type", tag="ERROR"):
    object: _Status


@dataclass(frozen=True)
class _Decoders:
    """The decoders of one type; `deleted` is the class of a DELETED event."""

    lists: msgspec.json.Decoder[Any]
    events: msgspec.json.Decoder[Any]
    deleted: type


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
        recovered: told when the server has accepted a watch, or None.
        compact: decodes plain objects so that they share equal parts, with `type_` `dict`; None decodes each by itself.
        page: how many objects a list reads at once, 0 for all; neither side then holds a large list twice.

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
    recovered: Callable[[], None] | None = None
    compact: Compact | None = None
    page: int = 0

    def __post_init__(self) -> None:
        self.objects: dict[Key, T] = {}
        self.resource_version = ""
        self.synced = asyncio.Event()
        decoders = _decoders(self.type_ if self.compact is None else msgspec.Raw)
        self._decode_list = decoders.lists.decode
        self._decode = decoders.events.decode
        self._deleted = decoders.deleted
        self._plain = self.type_ is dict
        self._progress = False
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Try again now, if the last try has failed; called on the event loop when the cluster is known to answer."""
        self._hurry.set()

    async def run(self) -> None:
        """List, watch, and begin again after whatever breaks; runs until cancelled."""
        delay = 0.0
        while True:
            self._progress = False
            failure: Exception | None = None
            try:
                if not self.resource_version:
                    await self._list()
                await self._watch()
            except ApiError as error:
                failure = error
                if error.status != 429 and error.status < 500:
                    # 410 Gone: our version is too old, list anew. A refusal (401, 403, 404) may be lifted later.
                    self.resource_version = ""
            except (ClusterUnreachable, NotConnected) as error:  # no answer, or no credentials at the moment
                failure = error
            except msgspec.DecodeError as error:
                failure = ApiError(200, "", f"the server sent {self.resource.plural} that cannot be read: {error}")
                self.resource_version = ""
            if self._progress:
                delay = 0.0
            gone = isinstance(failure, ApiError) and failure.status == 410
            if failure is not None and not gone and self.failed is not None:
                self.failed(failure)
            if self._progress and (failure is None or gone):
                continue
            # A server that ends every watch at once is not asked in a tight loop either.
            delay = min(_LONGEST_DELAY, delay * 2 or 0.1)
            pause = delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, no secret
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)
            self._hurry.clear()

    async def _list(self) -> None:
        try:
            found, version = await self._pages(self.page)
        except ApiError as error:
            if error.status != 410 or not self.page:
                raise
            # So much has changed since the first page that the rest is no longer known as it was.
            found, version = await self._pages(0)
        self.objects, self.resource_version = found, version
        if self.handler is not None:
            self.handler.replaced(self.objects)
        self.synced.set()

    async def _pages(self, limit: int) -> tuple[dict[Key, T], str]:
        found: dict[Key, T] = {}
        token = ""
        while True:
            raw = await self.client.list_raw(
                self.resource, self.namespace, label_selector=self.label_selector, field_selector=self.field_selector,
                limit=limit, token=token,
            )  # fmt: skip
            listed = self._decode_list(raw)
            for item in listed.items or ():
                value: Any = item if self.compact is None else self.compact.decode(item)
                found[_key(value)] = value
            token = listed.metadata.token
            if not token:
                return found, listed.metadata.resource_version

    async def _watch(self) -> None:
        begun = asyncio.get_running_loop().time()
        lines = self.client.watch_lines(
            self.resource,
            self.namespace,
            resource_version=self.resource_version,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            opened=self.recovered,
        )
        apply = self.apply
        async with aclosing(lines):
            async for line in lines:
                apply(line)
        if asyncio.get_running_loop().time() - begun > 1.0:
            self._progress = True

    def apply(self, line: bytes) -> None:
        """Take one watch event.

        Args:
            line: the event as the server sent it, a JSON object of `type` and `object`.

        Raises:
            ApiError: the event is an ERROR, for example 410 Gone.
            msgspec.DecodeError: it is not an event.
        """
        event = self._decode(line)
        kind = type(event)
        if kind is _Bookmark:
            self.resource_version = event.object.metadata.resource_version
            self._progress = True
            return
        if kind is _Failure:
            status = event.object
            raise ApiError(status.code, status.reason, status.message or f"the watch failed with {status.code}")
        self._progress = True
        value: Any = event.object if self.compact is None else self.compact.decode(event.object)
        if self._plain:
            metadata = value["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            self.resource_version = metadata.get("resourceVersion", "")
        else:
            metadata = value.metadata
            key = (metadata.namespace, metadata.name)
            self.resource_version = metadata.resource_version
        objects = self.objects
        previous = objects.get(key)
        if kind is self._deleted:
            objects.pop(key, None)
            if self.handler is not None:
                self.handler.changed(key, None, value)
            return
        objects[key] = value
        if self.handler is not None:
            self.handler.changed(key, value, previous)


@cache
def _decoders(type_: Any) -> _Decoders:
    # The event's own `type` chooses the Struct, so that an event is read in one pass over its bytes.
    kinds = {
        tag: msgspec.defstruct(tag.capitalize(), [("object", type_)], tag_field="type", tag=tag, gc=False)
        for tag in ("ADDED", "MODIFIED", "DELETED")
    }
    event: Any = Union[tuple([*kinds.values(), _Bookmark, _Failure])]  # noqa: UP007,C409 - made at run time
    listed = msgspec.defstruct(
        "List",
        [
            ("items", list[type_] | None, None),
            ("metadata", _ListMetadata, msgspec.field(default_factory=_ListMetadata)),
        ],
    )
    return _Decoders(msgspec.json.Decoder(listed), msgspec.json.Decoder(event), kinds["DELETED"])


def _key(value: Any) -> Key:
    if isinstance(value, dict):
        return value["metadata"].get("namespace", ""), value["metadata"]["name"]
    return value.metadata.namespace, value.metadata.name
