"""Every object of every kind, under one count of revisions.

Objects are kept as the JSON bytes that are sent to clients: a list is a join of them, and a write encodes once, however
many watch. The store belongs to one event loop; none of its methods waits, so a read and the write that follows from it
cannot be separated by another request.
"""

from __future__ import annotations

import gc
import time as clock
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .collection import Collection, Entry, Event, Expired, Key, Object, event_line, head
from .kinds import Kind
from .persistence import DELETE, MARK, PUT, Journal, Record

__all__ = [
    "Collection",
    "Entry",
    "Event",
    "Expired",
    "Key",
    "Object",
    "Store",
    "Usage",
    "encode_object",
    "event_line",
    "head",
]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Usage:
    """How much is stored: objects, and bytes of JSON."""

    objects: int
    bytes: int


class Store:
    """The state of the API server.

    Args:
        journal: where changes are written before they are acknowledged; None keeps them in memory only.

    Example:
        >>> store = Store.open(None)
        >>> from gke_notebook.sandbox.apiserver.kinds import find
        >>> pods = find("", "v1", "pods")
        >>> store.put(pods, {"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": "a", "name": "x"}}).revision
        1
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.revision = 0
        self._journal = journal
        self._collections: dict[str, Collection] = {}

    @classmethod
    def open(cls, directory: Path | None) -> Store:
        """Open a store, with everything that was acknowledged before.

        Args:
            directory: its data; None for a store that forgets.
        """
        if directory is None:
            return cls()
        journal = Journal(directory)
        store = cls(journal)
        # Nothing of what is read is garbage; looking for some again and again would take half of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            for record in journal.load():
                store._restore(record)
        finally:
            if collecting:
                gc.enable()
        return store

    def _restore(self, record: Record) -> None:
        collection = self.collection_named(record.collection)
        if record.operation == PUT:
            entry = Entry(record.namespace, record.name, record.revision, record.body, record.time)
            collection.insert(entry)
        elif record.operation == DELETE:
            collection.remove(record.namespace, record.name)
        self.revision = max(self.revision, record.revision)
        # A watch may go on from any revision after the last change of its kind, even across a restart.
        collection.changed = collection.oldest = max(collection.changed, record.revision)

    def collection_named(self, name: str) -> Collection:
        """Give the collection of a kind by its name with its group.

        Args:
            name: for example ``jobs.batch``.
        """
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(name)
        return found

    def of(self, kind: Kind) -> Collection:
        """Give the collection of a kind.

        Args:
            kind: the kind.
        """
        return self.collection_named(kind.resource_name)

    def get(self, kind: Kind, namespace: str, name: str) -> Entry | None:
        """Find one object.

        Args:
            kind: its kind.
            namespace: its namespace, empty for kinds without.
            name: its name.
        """
        return self.of(kind).get(namespace, name)

    def put(self, kind: Kind, obj: Object, now: float | None = None) -> Entry:
        """Store an object under the next revision, which becomes its resourceVersion.

        Args:
            kind: its kind.
            obj: the object; its resourceVersion is set in place.
            now: seconds since the epoch.

        Raises:
            OSError: it could not be made durable; nothing has changed.
        """
        collection = self.of(kind)
        metadata = obj["metadata"]
        revision = self.revision + 1
        metadata["resourceVersion"] = str(revision)
        written = clock.time() if now is None else now
        entry = Entry.of(obj, revision, encode_object(kind, obj), written)
        self._write(Record(PUT, revision, written, collection.name, entry.namespace, entry.name, entry.body))
        previous = collection.insert(entry)
        self.revision = revision
        collection.publish(Event(revision, entry, previous, deleted=False))
        self._compact()
        return entry

    def delete(self, kind: Kind, entry: Entry, last: Object | None = None) -> Entry:
        """Remove an object; gives its last state, with the revision of the deletion.

        Args:
            kind: its kind.
            entry: the object as stored.
            last: what the last state is to show, when that differs from what is stored.

        Raises:
            OSError: it could not be made durable; nothing has changed.
        """
        collection = self.of(kind)
        revision = self.revision + 1
        written = clock.time()
        obj = entry.object() if last is None else last
        obj["metadata"]["resourceVersion"] = str(revision)
        final = Entry(entry.namespace, entry.name, revision, encode_object(kind, obj), written)
        self._write(Record(DELETE, revision, written, collection.name, entry.namespace, entry.name))
        previous = collection.remove(entry.namespace, entry.name)
        self.revision = revision
        collection.publish(Event(revision, final, previous, deleted=True))
        self._compact()
        return final

    def usage(self) -> Usage:
        """Count what is stored."""
        entries = [entry for collection in self._collections.values() for entry in collection.all()]
        return Usage(len(entries), sum(len(entry.body) for entry in entries))

    def wake_all(self) -> None:
        """Let every watch see that it is time to stop."""
        for collection in self._collections.values():
            collection.wake()

    def compact(self) -> None:
        """Replace the log by a snapshot of the current objects, and wait until it is complete."""
        if self._journal is not None:
            self._journal.snapshot(self._records(), wait=True)

    def close(self) -> None:
        """Close the files; the store must not be used again."""
        if self._journal is not None:
            self._journal.close()

    def _write(self, record: Record) -> None:
        if self._journal is not None:
            self._journal.append(record)

    def _compact(self) -> None:
        if self._journal is not None and self._journal.wants_snapshot:
            self._journal.snapshot(self._records())

    def _records(self) -> Iterator[Record]:
        # The entries are collected now and written later: they never change, the collections do.
        found = [(each.name, each.changed, each.all()) for each in self._collections.values()]
        return _snapshot_records(found)


def _snapshot_records(found: list[tuple[str, int, list[Entry]]]) -> Iterator[Record]:
    for name, changed, entries in found:
        for entry in entries:
            yield Record(PUT, entry.revision, entry.written, name, entry.namespace, entry.name, entry.body)
        yield Record(MARK, changed, 0.0, name)


def encode_object(kind: Kind, obj: Mapping[str, Any]) -> bytes:
    """Write an object as JSON, with `kind` and `apiVersion` first, as `item` relies on.

    Args:
        kind: its kind.
        obj: the object.
    """
    first = {"kind": kind.kind, "apiVersion": kind.api_version}
    return _encode({**first, **{key: value for key, value in obj.items() if key not in first}})
