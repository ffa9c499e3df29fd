"""One watch per kind, shared by all controllers, and a store that is never older than our own writes."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.reflector import Key, Reflector
from gke_notebook.cluster.resources import PODS, Resource
from gke_notebook.sandbox.controllers.meta import Object, controller_of, uid, version

LOG = logging.getLogger(__name__)

Listener = Callable[[Object | None, Object | None], None]
"""Told of each change: the new object and the previous one; the new one is None when it is gone."""

_REMEMBERED_DELETIONS = 20_000
_PAGE = 2_500  # objects of a list at once


class Store:
    """The objects of one kind as last seen or last written by us.

    A write's answer is put in with `assume`, so that the next decision sees it although the watch has not brought it
    yet; an older event that comes later does not undo it. This takes the place of client-go's "expectations".
    """

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self._controlled: dict[str, dict[Key, Object]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._listeners: list[Listener] = []
        self._reflector_version: Callable[[], int] = lambda: 0

    def listen(self, listener: Listener) -> None:
        """Have a function told of every change, what is there already included.

        Args:
            listener: called on the event loop; must not block.
        """
        self._listeners.append(listener)
        for item in list(self.objects.values()):
            listener(item, None)

    def get(self, namespace: str, name: str) -> Object | None:
        """Give one object; it must not be changed."""
        return self.objects.get((namespace, name))

    def controlled_by(self, owner: str) -> list[Object]:
        """Give the objects whose controller has this uid; they must not be changed."""
        return list(self._controlled.get(owner, {}).values())

    def assume(self, item: Object) -> None:
        """Take the answer of one of our own writes."""
        if uid(item) in self._gone:
            return
        key = _key(item)
        present = self.objects.get(key)
        if present is None or (uid(present) == uid(item) and version(item) > version(present)):
            self._put(key, item, present)

    def replaced(self, objects: Mapping[Key, Object]) -> None:
        """Take a whole listing."""
        listed = self._reflector_version()
        for key, present in list(self.objects.items()):
            if key not in objects and version(present) <= listed:
                self._remove(key, present)
        for key, item in objects.items():
            self.changed(key, item, None)

    def changed(self, key: Key, value: Object | None, previous: Object | None) -> None:
        """Take one watch event."""
        present = self.objects.get(key)
        if value is None:
            if previous is not None:
                self._forget(uid(previous))
            if present is not None and (previous is None or uid(previous) == uid(present)):
                self._remove(key, previous or present)
            return
        if present is not None and version(value) <= version(present):
            return
        if present is not None and uid(present) != uid(value):
            self._remove(key, present)
            present = None
        self._put(key, value, present)

    def _forget(self, gone: str) -> None:
        self._gone[gone] = None
        if len(self._gone) > _REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)

    def _put(self, key: Key, item: Object, present: Object | None) -> None:
        self.objects[key] = item
        old, new = controller_of(present) if present else None, controller_of(item)
        if old is not None and (new is None or old.get("uid") != new.get("uid")):
            self._unlink(key, old)
        if new is not None:
            self._controlled.setdefault(str(new.get("uid")), {})[key] = item
        self._tell(item, present)

    def _remove(self, key: Key, present: Object) -> None:
        self._forget(uid(present))
        stored = self.objects.pop(key, None)
        owner = controller_of(stored) if stored else None
        if owner is not None:
            self._unlink(key, owner)
        self._tell(None, present)

    def _unlink(self, key: Key, owner: Object) -> None:
        owned = self._controlled.get(str(owner.get("uid")))
        if owned is not None:
            owned.pop(key, None)
            if not owned:
                del self._controlled[str(owner.get("uid"))]

    def _tell(self, item: Object | None, previous: Object | None) -> None:
        for listener in self._listeners:
            listener(item, previous)


class Informers:
    """One reflector and one store per kind.

    Args:
        client: the client of all controllers.
        compact: decodes pods, of which there are many, with what else in this process watches them.
    """

    def __init__(self, client: Client, compact: Compact | None = None) -> None:
        self._client = client
        self.compact = compact or Compact()
        self._reflectors: dict[Resource, Reflector[Object]] = {}
        self._stores: dict[Resource, Store] = {}
        self._tasks: dict[Resource, asyncio.Task[None]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def store(self, resource: Resource) -> Store:
        """Give the store of one kind, and begin to fill it when nobody has asked for it before.

        Args:
            resource: the kind.
        """
        if resource not in self._stores:
            store = Store()
            reflector: Reflector[Object] = Reflector(
                self._client, resource, dict, handler=store, failed=_reporter(resource), page=_PAGE,
                compact=self.compact if resource == PODS else None,
            )  # fmt: skip
            store._reflector_version = lambda: _number(reflector.resource_version)  # noqa: SLF001 - two halves of one thing
            self._stores[resource], self._reflectors[resource] = store, reflector
            self._tasks[resource] = task = asyncio.create_task(reflector.run())
            task.add_done_callback(self._ended)
        return self._stores[resource]

    async def synced(self, resources: Iterable[Resource]) -> None:
        """Wait until these kinds have been listed once."""
        for resource in resources:
            self.store(resource)
            await self._reflectors[resource].synced.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def failure(self) -> None:
        """Wait until a watch breaks for good, which only a defect brings about, and raise why.

        Raises:
            Exception: what ended the watch.
        """
        await asyncio.shield(self._failure)

    async def close(self) -> None:
        """Stop every watch."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._failure.cancel()


def _reporter(resource: Resource) -> Callable[[Exception], None]:
    def report(error: Exception) -> None:
        LOG.info("watching %s: %s", resource.plural, error)

    return report


def _key(item: Object) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
