"""One watch per collection for the whole process, shared by everyone who reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from gke_notebook import objects
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.notify import REPAINTS_PER_SECOND, Notifier, Unsubscribe
from gke_notebook.cluster.reflector import Key, Reflector
from gke_notebook.cluster.resources import EVENTS, JOBS, JOBSETS, NODES, PODS, Resource

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
_Id = tuple[str, str | None, str, str, Any]

TYPES: dict[str, Any] = {
    PODS.kind: objects.Pod,
    JOBS.kind: objects.Job,
    JOBSETS.kind: objects.JobSet,
    EVENTS.kind: objects.Event,
    NODES.kind: objects.Node,
}
"""What the objects of a resource are decoded to, by kind; plain dicts where nothing is named."""


class Listener(Protocol[T_contra]):
    """Who is told of every change of a collection."""

    def replaced(self, objects: Mapping[Key, T_contra], /) -> None:
        """Take a new list."""

    def changed(self, key: Key, value: T_contra | None, previous: T_contra | None, /) -> None:
        """Take one object that was added, changed (it had a previous value) or removed (it has no value)."""


class Collection(Generic[T]):
    """A collection of the cluster as the cache knows it now; `Cache.open` makes it, `release` gives it back.

    Its methods belong to the event loop; `objects` may be read from any thread as a snapshot by `dict(...)`.
    """

    def __init__(self, reflector: Reflector[T], interval: float) -> None:
        self._reflector = reflector
        self._notifier = Notifier(interval)
        self._error: Exception | None = None
        self._listeners: list[Listener[T]] = []
        reflector.handler = self
        reflector.failed = self._failed
        reflector.recovered = self._recovered
        self._task: asyncio.Task[None] | None = None

    @property
    def objects(self) -> Mapping[Key, T]:
        """Every object by namespace and name."""
        return self._reflector.objects

    @property
    def error(self) -> Exception | None:
        """Why the collection is not up to date at the moment, None when it is."""
        return self._error

    @property
    def is_synced(self) -> bool:
        """Whether the collection has been read at least once."""
        return self._reflector.synced.is_set()

    async def synced(self, timeout: float | None = None) -> None:
        """Wait until the collection has been read once.

        Args:
            timeout: seconds to wait; None waits.

        Raises:
            TimeoutError: it could not be read in time and no reason is known.
            GkeNotebookError: it could not be read in time, and why.
        """
        try:
            await asyncio.wait_for(self._reflector.synced.wait(), timeout)
        except (TimeoutError, asyncio.TimeoutError):
            if self._error is not None:
                raise self._error from None
            raise TimeoutError(f"{self._reflector.resource.plural} were not read within {timeout:g} s") from None

    def hurry(self) -> None:
        """Read again now, if the last try has failed."""
        if self._error is not None:
            self._reflector.hurry()

    def subscribe(self, callback: Callable[[], None]) -> Unsubscribe:
        """Be told of changes, at most five times a second; the answer ends it.

        Args:
            callback: called on the event loop after a change of the objects or of `error`; it must not block.
        """
        return self._notifier.subscribe(callback)

    def listen(self, listener: Listener[T]) -> None:
        """Have every list and every event told at once, for sums that are kept up to date; what is there comes first.

        Args:
            listener: called on the event loop; it must not block.
        """
        self._listeners.append(listener)
        listener.replaced(self.objects)

    def replaced(self, objects: Mapping[Key, T]) -> None:
        """Take a new list (for the reflector)."""
        for listener in self._listeners:
            listener.replaced(objects)
        self._notifier.changed()

    def changed(self, key: Key, value: T | None, previous: T | None) -> None:
        """Take one event (for the reflector)."""
        for listener in self._listeners:
            listener.changed(key, value, previous)
        self._notifier.changed()

    def start(self) -> None:
        """Begin to watch (for the cache)."""
        self._task = asyncio.get_running_loop().create_task(
            self._reflector.run(), name=f"watch {self._reflector.resource.plural}"
        )

    async def stop(self) -> None:
        """End the watch and its connection (for the cache)."""
        self._notifier.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _failed(self, error: Exception) -> None:
        self._error = error
        self._notifier.changed()

    def _recovered(self) -> None:
        if self._error is not None:
            self._error = None
            self._notifier.changed()


class Cache:
    """The collections of one cluster that are being watched, each once.

    Args:
        client: the client to read with.
        interval: the shortest time between two notifications of one collection, in seconds.

    Example:
        >>> async def phases(client):
        ...     cache = Cache(client)
        ...     pods = cache.open(PODS, "research", label_selector="gke-notebook.dev/job=digits")
        ...     await pods.synced(timeout=10)
        ...     print([pod.status.phase for pod in pods.objects.values()])
        ...     await cache.close()
    """

    def __init__(self, client: Client, *, interval: float = 1 / REPAINTS_PER_SECOND) -> None:
        self.client = client
        self._interval = interval
        self._collections: dict[_Id, Collection[Any]] = {}
        self._users: dict[_Id, int] = {}
        self._ids: dict[int, _Id] = {}

    def open(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        type_: Any = None,
    ) -> Collection[Any]:
        """Give a collection, watched from now on; every `open` is to be followed by one `release`.

        Args:
            resource: what to watch.
            namespace: None watches all namespaces.
            label_selector: which objects.
            field_selector: which objects.
            type_: what objects are decoded to; by default the Struct of `objects.py` for this kind, or dict.
        """
        type_ = type_ or TYPES.get(resource.kind, dict)
        key = (resource.path(), namespace, label_selector, field_selector, type_)
        collection = self._collections.get(key)
        if collection is None:
            reflector: Reflector[Any] = Reflector(
                self.client, resource, type_, namespace, label_selector, field_selector
            )
            collection = Collection(reflector, self._interval)
            self._collections[key] = collection
            self._ids[id(collection)] = key
            collection.start()
        self._users[key] = self._users.get(key, 0) + 1
        return collection

    async def release(self, collection: Collection[Any]) -> None:
        """Give a collection back; the watch ends with its last user.

        Args:
            collection: what `open` gave.
        """
        key = self._ids.get(id(collection))
        if key is None:
            return  # the cache was closed before
        self._users[key] -= 1
        if self._users[key] == 0:
            del self._users[key], self._collections[key], self._ids[id(collection)]
            await collection.stop()

    async def close(self) -> None:
        """End every watch; no task and no connection of the cache is left."""
        collections = list(self._collections.values())
        self._collections.clear()
        self._users.clear()
        self._ids.clear()
        for collection in collections:
            await collection.stop()
