"""The objects of one kind: current state, order, and the events of the recent past."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import msgspec

Object = dict[str, Any]
Key = tuple[str, str]

_PARTS = 8_192
_parts: dict[tuple[Any, ...], Object] = {}  # of heads, to be shared
_HISTORY_EVENTS = 20_000
_HISTORY_BYTES = 48 * 2**20
_decode: Callable[[bytes], Object] = msgspec.json.Decoder(dict[str, Any]).decode


class Entry:
    """One object at one revision; never changes.

    Args:
        namespace: its namespace, empty for kinds without.
        name: its name.
        revision: its resourceVersion.
        body: the object as JSON.
        written: when, in seconds since the epoch.
    """

    __slots__ = ("_head", "body", "name", "namespace", "revision", "written")

    def __init__(self, namespace: str, name: str, revision: int, body: bytes, written: float) -> None:
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.body = body
        self.written = written
        self._head: Object | None = None

    @property
    def key(self) -> Key:
        """Namespace and name: the order of a list."""
        return self.namespace, self.name

    @property
    def head(self) -> Object:
        """The part of the object that selectors look at; shared, must not be changed."""
        if self._head is None:
            self._head = head(_decode(self.body))
        return self._head

    @classmethod
    def of(cls, obj: Object, revision: int, body: bytes, written: float) -> Entry:
        """Make the entry of an object that is at hand, which spares decoding it again.

        Args:
            obj: the whole object.
            revision: its resourceVersion.
            body: the object as JSON.
            written: when, in seconds since the epoch.
        """
        metadata = obj["metadata"]
        entry = cls(metadata.get("namespace") or "", metadata["name"], revision, body, written)
        entry._head = head(obj)
        return entry

    def object(self) -> Object:
        """Give a fresh copy of the whole object."""
        return _decode(self.body)


def head(obj: Object) -> Object:
    """Reduce an object to what label and field selectors may ask for.

    Args:
        obj: the whole object.

    Returns:
        Name, namespace, labels, and the plain values of `spec`, `status`, `involvedObject`, `source` and the top.
    """
    metadata = obj.get("metadata") or {}
    about = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    if isinstance(about.get("labels"), dict):
        about["labels"] = _shared(about["labels"])
    kept: Object = {"metadata": about}
    for key, value in obj.items():
        if isinstance(value, (str, int, bool)):
            if key not in {"kind", "apiVersion", "message"}:
                kept[key] = value
        elif key in {"spec", "status", "involvedObject", "source"} and isinstance(value, dict):
            plain = {
                name: item for name, item in value.items() if isinstance(item, (str, int, bool)) and name != "message"
            }
            if "podIPs" in value:
                plain["podIPs"] = value["podIPs"]
            if plain:
                kept[key] = _shared(plain)
    return kept


def _shared(part: Object) -> Object:
    """Give one object for all parts that are equal: thousands of pods differ in little that selectors look at."""
    try:
        key = (*part.items(), *map(type, part.values()))  # 1 and True are equal, and not the same to a selector
        found = _parts.get(key)
    except TypeError:  # a list within
        return part
    if found is None:
        if len(_parts) >= _PARTS:
            _parts.clear()
        found = _parts[key] = part
    return found


class Event:
    """One change of a collection.

    Args:
        revision: the store's revision after it.
        entry: the object after the change, or, when it was deleted, its last state with the revision of the deletion.
        previous: the object before the change, None when it was created.
        deleted: whether the object is gone.
    """

    __slots__ = ("deleted", "entry", "previous", "revision")

    def __init__(self, revision: int, entry: Entry, previous: Entry | None, deleted: bool) -> None:
        self.revision = revision
        self.entry = entry
        self.previous = previous
        self.deleted = deleted

    @property
    def type(self) -> str:
        """What a watch without selectors calls it."""
        return "DELETED" if self.deleted else "MODIFIED" if self.previous else "ADDED"


def event_line(type_: str, body: bytes) -> bytes:
    """Write one event of a watch.

    Args:
        type_: the event's type.
        body: the object as JSON.
    """
    return b'{"type":"%s","object":%s}\n' % (type_.encode(), body)


class Expired(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """A revision is older than the events that are kept.

    Args:
        revision: what was asked for.
        oldest: the oldest revision that can be given.
    """

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} is older than {oldest}")
        self.revision = revision
        self.oldest = oldest


class Collection:
    """All objects of one kind, and their recent events.

    Args:
        name: the kind's name with its group.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespaces: dict[str, dict[str, Entry]] = {}
        self.events: list[Event] = []
        self.trimmed = 0  # how many events were dropped before events[0]
        self.oldest = 0  # events after this revision are all there
        self.changed = 0  # the revision of the last change
        self.watches = 0  # how many are open
        self._bytes = 0
        self._ordered: dict[str, list[str]] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return sum(map(len, self.namespaces.values()))

    def get(self, namespace: str, name: str) -> Entry | None:
        """Find one object.

        Args:
            namespace: its namespace, empty for kinds without.
            name: its name.
        """
        found = self.namespaces.get(namespace)
        return found.get(name) if found is not None else None

    def all(self, namespace: str | None = None) -> list[Entry]:
        """Give the objects in the order of their keys.

        Args:
            namespace: None gives those of all namespaces.
        """
        if namespace is None:
            return [entry for each in sorted(self.namespaces) for entry in self.all(each)]
        found = self.namespaces.get(namespace)
        if not found:
            return []
        names = self._ordered.get(namespace)
        if names is None:
            names = self._ordered[namespace] = sorted(found)
        return [found[name] for name in names]

    def all_at(self, revision: int, namespace: str | None = None) -> list[Entry]:
        """Give the objects as they were at a revision of the recent past.

        Args:
            revision: at most the store's own.
            namespace: None gives those of all namespaces.

        Raises:
            Expired: the events since then are no longer all there.
        """
        since = self.events[self.position(revision) - self.trimmed :]
        if not since:
            return self.all(namespace)
        past = {entry.key: entry for entry in self.all(namespace)}
        for event in reversed(since):
            if namespace is not None and event.entry.namespace != namespace:
                continue
            if event.previous is None:
                past.pop(event.entry.key, None)
            else:
                past[event.entry.key] = event.previous
        return [past[key] for key in sorted(past)]

    def position(self, revision: int) -> int:
        """Give the number of the first event after a revision, for `since`.

        Args:
            revision: a resourceVersion a client has seen.

        Raises:
            Expired: events after it were dropped already.
        """
        if revision < self.oldest:
            raise Expired(revision, self.oldest)
        return self.trimmed + bisect_right(self.events, revision, key=_revision)

    def since(self, position: int) -> list[Event]:
        """Give the events from a position on.

        Args:
            position: from `position`, or that plus the number of events read.

        Raises:
            Expired: the reader was too slow, and events were dropped that it has not read.
        """
        if position < self.trimmed:
            raise Expired(0, self.oldest)
        return self.events[position - self.trimmed :]

    def waiter(self) -> asyncio.Future[None]:
        """Give a future that is done at the next change; drop it with `forget`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        return future

    def forget(self, future: asyncio.Future[None]) -> None:
        """Stop waiting.

        Args:
            future: from `waiter`.
        """
        self._waiting.discard(future)

    def wake(self) -> None:
        """Let everyone look at what has changed, or see that it is time to stop."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def insert(self, entry: Entry) -> Entry | None:
        """Set an object without telling anyone; gives the one it replaces.

        Args:
            entry: the object.
        """
        names = self.namespaces.get(entry.namespace)
        if names is None:
            names = self.namespaces[entry.namespace] = {}
        previous = names.get(entry.name)
        names[entry.name] = entry
        if previous is None:
            self._ordered.pop(entry.namespace, None)
        return previous

    def remove(self, namespace: str, name: str) -> Entry | None:
        """Drop an object without telling anyone; gives it.

        Args:
            namespace: its namespace.
            name: its name.
        """
        names = self.namespaces.get(namespace)
        gone = names.pop(name, None) if names is not None else None
        if gone is not None:
            self._ordered.pop(namespace, None)
            if not names:
                del self.namespaces[namespace]
        return gone

    def publish(self, event: Event) -> None:
        """Add an event, drop the oldest beyond the bounds, and wake the watches.

        Args:
            event: the change.
        """
        self.events.append(event)
        self.changed = event.revision
        self._bytes += len(event.entry.body)
        if len(self.events) > _HISTORY_EVENTS or self._bytes > _HISTORY_BYTES:
            self._trim()
        self.wake()

    def _trim(self) -> None:
        # A quarter at a time, so that the cost per event stays constant.
        count = max(1, len(self.events) // 4)
        self.oldest = self.events[count - 1].revision
        self._bytes -= sum(len(event.entry.body) for event in self.events[:count])
        del self.events[:count]
        self.trimmed += count


def _revision(event: Event) -> int:
    return event.revision
