"""Watch: from the store's events to the lines of one client's stream."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from . import reads
from .kinds import Kind
from .negotiate import Form
from .options import ListOptions
from .paths import Target
from .status import StatusError, too_old
from .store import Collection, Entry, Event, Expired, Store, event_line

Object = dict[str, Any]

_BOOKMARK_SECONDS = 55.0
_LAST_BOOKMARK_SECONDS = 2.0  # before its end a watch is sent a bookmark, unless it was to last no longer than this
_DEFAULT_SECONDS = 1800  # the server's own choice is between this and twice this
_BATCH = 500  # events per chunk, so that a long backlog reaches the client while it is still written
# A write to a socket takes about as long as the rest of a request. Where many watch one kind, each is sent what has
# come since its last chunk at most every so often, so that the writes leave time to serve those that change things.
_CROWD = 16
_PAUSE_EACH = 0.0002
_PAUSE_AT_MOST = 0.05
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watch:
    """One client's watch.

    Args:
        store: the state.
        target: what is watched; with a name, one object.
        options: the parameters.
        form: from `negotiate`.
        include_object: the `includeObject` parameter of a Table.
        alive: tells whether the client is still there.

    Raises:
        StatusError: 400 for malformed selectors.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        options: ListOptions,
        *,
        form: Form,
        include_object: str = "",
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._target = target
        self._options = options
        self._form = form
        self._include_object = include_object
        self._alive = alive
        self._matches = reads.predicate(target, options)
        self._namespace = target.namespace if target.kind.namespaced and target.namespace else None
        self._columns_sent = False
        self._collection: Collection = store.of(target.kind)
        self._backlog: list[bytes] = []
        self._position = self._start()

    def _start(self) -> int:
        """Decide what is sent first, and from where the events follow."""
        asked = int(self._options.version or "0")
        initial = self._options.initial_events
        if initial is None:
            initial = asked == 0
        if asked > self._store.revision and self._options.initial_events:
            raise reads.too_large(asked, self._store.revision)
        now = self._collection.position(self._store.revision)
        if initial:
            for entry in self._collection.all(self._namespace):
                if self._matches is None or self._matches(entry.head):
                    self._backlog.append(self._line("ADDED", entry))
            if self._options.initial_events and self._options.bookmarks:
                self._backlog.append(self._bookmark({INITIAL_EVENTS_END: "true"}))
            return now
        if asked == 0:
            return now  # sendInitialEvents=false
        try:
            return self._collection.position(asked)
        except Expired as expired:
            error = too_old(asked, expired.oldest)
            self._backlog.append(error_line(error))
            return -1

    async def chunks(self, stopping: asyncio.Event) -> AsyncIterator[bytes]:
        """Give the stream, as chunks of whole lines, until its time is over, the client is gone or the server stops.

        Args:
            stopping: set when the server is to end.
        """
        self._collection.watches += 1
        try:
            async for chunk in self._chunks(stopping):
                yield chunk
        finally:
            self._collection.watches -= 1

    async def _chunks(self, stopping: asyncio.Event) -> AsyncIterator[bytes]:
        seconds = self._options.timeout or _DEFAULT_SECONDS * (1 + secrets.randbelow(1000) / 1000)
        end = time.monotonic() + seconds
        lasted = seconds > _LAST_BOOKMARK_SECONDS
        bookmark = time.monotonic() + _BOOKMARK_SECONDS
        for index in range(0, len(self._backlog), _BATCH):
            yield b"".join(self._backlog[index : index + _BATCH])
        self._backlog = []
        while self._position >= 0 and not stopping.is_set() and self._alive():
            waiter = self._collection.waiter()
            try:
                lines = self._take()
                if lines:
                    yield b"".join(lines)
                    if self._collection.watches > _CROWD:
                        await asyncio.sleep(min(_PAUSE_AT_MOST, _PAUSE_EACH * self._collection.watches))
                    continue
                now = time.monotonic()
                if now >= end:
                    break
                if now >= bookmark:
                    bookmark = now + _BOOKMARK_SECONDS
                    if self._options.bookmarks:
                        yield self._bookmark()
                        continue
                # Wake up now and then to see whether the client is still there.
                await asyncio.wait([waiter], timeout=max(0.0, min(10.0, end - now, bookmark - now)))
            finally:
                self._collection.forget(waiter)
        if self._position >= 0 and self._options.bookmarks and self._alive() and lasted:
            yield self._bookmark()

    def _take(self) -> list[bytes]:
        """Give the lines of the events that have come since; none of them is sent twice."""
        try:
            events = self._collection.since(self._position)
        except Expired as expired:
            # The client reads more slowly than things change.
            self._position = -1
            return [error_line(too_old(0, expired.oldest))]
        lines: list[bytes] = []
        asked = int(self._options.version or "0")
        for event in events:
            self._position += 1
            if event.revision <= asked:
                continue  # a version from the future: what it has seen already is not sent again
            line = self._event(event)
            if line is not None:
                lines.append(line)
                if len(lines) >= _BATCH:
                    break
        return lines

    def _event(self, event: Event) -> bytes | None:
        entry = event.entry
        if self._namespace is not None and entry.namespace != self._namespace:
            return None
        matches = self._matches
        if matches is None:
            return self._line(event.type, entry)
        was = event.previous is not None and matches(event.previous.head)
        now = not event.deleted and matches(entry.head)
        if now:
            return self._line("MODIFIED" if was else "ADDED", entry)
        if not was:
            return None
        if event.deleted:
            return self._line("DELETED", entry)
        # It has stopped to match: the client is shown the last state it knew, at the revision of the change.
        assert event.previous is not None
        last = event.previous.object()
        last["metadata"]["resourceVersion"] = str(event.revision)
        body = msgspec.json.encode(last)
        return self._line("DELETED", Entry(entry.namespace, entry.name, event.revision, body, entry.written))

    def _line(self, type_: str, entry: Entry) -> bytes:
        if not self._form.shape:
            return event_line(type_, entry.body)
        obj = entry.object()
        if self._form.shape == "Table":
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            columns, self._columns_sent = not self._columns_sent, True
            kind, included = self._target.kind, self._include_object
            shown = reads.render_table(kind, [obj], metadata, included, columns=columns)
        else:
            shown = reads.partial(obj)
        return event_line(type_, msgspec.json.encode(shown))

    def _bookmark(self, annotations: Object | None = None) -> bytes:
        shown = bookmark(self._target.kind, self._store.revision, annotations)
        if self._form.shape == "Table":
            metadata = {"resourceVersion": shown["metadata"]["resourceVersion"]}
            columns, self._columns_sent = not self._columns_sent, True
            kind, included = self._target.kind, self._include_object
            shown = reads.render_table(kind, [shown], metadata, included, columns=columns)
        elif self._form.shape:
            shown = reads.partial(shown)
        return event_line("BOOKMARK", msgspec.json.encode(shown))


def bookmark(kind: Kind, revision: int, annotations: Object | None = None) -> Object:
    """Give the object of a BOOKMARK event.

    Args:
        kind: the kind that is watched.
        revision: everything up to it has been sent.
        annotations: for example the mark that the initial events are over.
    """
    metadata: Object = {"resourceVersion": str(revision)}
    if annotations:
        metadata["annotations"] = annotations
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}


def error_line(error: StatusError) -> bytes:
    """Write an ERROR event.

    Args:
        error: what is wrong.
    """
    return event_line("ERROR", msgspec.json.encode(error.to_object()))
