"""Recording events as the real components do: merged, limited, and never in the way of the work itself.

Two forms, as in kubernetes 1.34: client-go `tools/record` (the controllers: count, first and last timestamp, similar
events combined, at most 25 at once about one object) and `tools/events` (the scheduler: eventTime and series).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.resources import EVENTS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.controllers.meta import Event, Object, micro_timestamp, now, timestamp

LOG = logging.getLogger(__name__)

_REMEMBERED = 4096
_SIMILAR = 10
_SIMILAR_SECONDS = 600.0
_BURST = 25
_REFILL_SECONDS = 300.0
_QUEUED = 5000
_TRIES = 5
_MESSAGE_LIMIT = 1024

T = TypeVar("T")


class _Recent(Generic[T]):
    """A dictionary that forgets what was used longest ago."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: str, value: T) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > _REMEMBERED:
            self._items.popitem(last=False)


@dataclass
class Write:
    """A write to the Events API.

    Args:
        namespace: where.
        name: the event's name.
        body: the event, or the patch of one that was written before.
        create: which of the two.
    """

    namespace: str
    name: str
    body: Object
    create: bool


@dataclass
class _Similar:
    messages: set[str] = field(default_factory=set)
    last: datetime | None = None


@dataclass
class _Tokens:
    left: float
    at: datetime


class Correlator:
    """Decides what becomes of an event: a new object, a change to one, or nothing."""

    def __init__(self) -> None:
        self._similar: _Recent[_Similar] = _Recent()
        self._seen: _Recent[Object] = _Recent()
        self._tokens: _Recent[_Tokens] = _Recent()
        self._serial = 0

    def observe(self, component: str, about: Object, event: Event, at: datetime) -> Write | None:
        """Take an event.

        Args:
            component: who reports it, for example ``job-controller``.
            about: the reference of the object that it is about.
            event: the event; one with an action takes the scheduler's form.
            at: the time.
        """
        if event.action:
            return self._observe_action(component, about, event, at)
        return self._observe(component, about, event, at)

    def _observe(self, component: str, about: Object, event: Event, at: datetime) -> Write | None:
        type_, reason, message = event.type, event.reason, event.message
        subject = "\0".join((component, about["kind"], about.get("namespace", ""), about["name"], about["uid"], type_))
        group = f"{subject}\0{reason}"
        similar = self._similar.get(group)
        if similar is None or similar.last is None or (at - similar.last).total_seconds() > _SIMILAR_SECONDS:
            similar = _Similar()
        similar.messages.add(message)
        similar.last = at
        self._similar.put(group, similar)
        key = f"{group}\0{message}"
        if len(similar.messages) >= _SIMILAR:
            similar.messages.pop()
            key, message = group, f"(combined from similar events): {message}"
        seen = self._seen.get(key)
        if seen is not None:
            # Unlike client-go, a change of a count takes none of the 25: it is merged with those that still wait, and
            # the many pods of a Job do not use up what its Completed event needs.
            seen["count"] += 1
            change = {"count": seen["count"], "lastTimestamp": timestamp(at), "message": message}
            return Write(seen["namespace"], seen["name"], change, create=False)
        if not self._allowed(subject, at):
            return None
        namespace = about.get("namespace") or "default"
        name = self._name(about["name"], at)
        self._seen.put(key, {"name": name, "namespace": namespace, "count": 1})
        body: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": about,
            "type": type_,
            "reason": reason,
            "message": message,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": timestamp(at),
            "lastTimestamp": timestamp(at),
            "count": 1,
        }
        return Write(namespace, name, body, create=True)

    def _observe_action(self, component: str, about: Object, event: Event, at: datetime) -> Write | None:
        """Take an event of the scheduler; the second equal one begins a series, later ones are only counted."""
        type_, reason, message, action = event.type, event.reason, event.message, event.action
        key = "\0".join((component, *(str(about[part]) for part in sorted(about)), type_, reason, action))
        seen = self._seen.get(key)
        if seen is not None:
            seen["count"] += 1
            if seen["count"] > 2:
                return None
            series = {"count": seen["count"], "lastObservedTime": micro_timestamp(at)}
            return Write(seen["namespace"], seen["name"], {"series": series}, create=False)
        namespace = about.get("namespace") or "default"
        name = self._name(about["name"], at)
        self._seen.put(key, {"name": name, "namespace": namespace, "count": 1})
        if len(message) > _MESSAGE_LIMIT:
            message = message[: _MESSAGE_LIMIT - 4] + " ..."
        body: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": about,
            "type": type_,
            "reason": reason,
            "message": message,
            "action": action,
            "eventTime": micro_timestamp(at),
            "firstTimestamp": None,
            "lastTimestamp": None,
            "source": {},  # as kube-scheduler's are; kubectl falls back to reportingComponent
            "reportingComponent": component,
            "reportingInstance": f"{component}-{socket.gethostname()}"[:128],
        }
        return Write(namespace, name, body, create=True)

    def _allowed(self, subject: str, at: datetime) -> bool:
        tokens = self._tokens.get(subject) or _Tokens(_BURST, at)
        left = min(_BURST, tokens.left + (at - tokens.at).total_seconds() / _REFILL_SECONDS)
        self._tokens.put(subject, _Tokens(left - 1 if left >= 1 else left, at))
        return left >= 1

    def _name(self, name: str, at: datetime) -> str:
        self._serial = (self._serial + 1) % 1000
        nanoseconds = int(at.timestamp() * 1_000_000) * 1000 + self._serial
        return f"{name[: 253 - 17]}.{nanoseconds:x}"


class Recorder:
    """Writes events in the background.

    Args:
        client: the client of all controllers.
        workers: how many events are written at once; few, because events come after everything else.
    """

    def __init__(self, client: Client, *, workers: int = 2) -> None:
        self._client = client
        self._workers = workers
        self._correlator = Correlator()
        self._queue: deque[Write] = deque()
        self._patches: dict[tuple[str, str], Write] = {}
        self._wake = asyncio.Event()
        self.dropped = 0

    def record(self, component: str, about: Object, event: Event) -> None:
        """Record an event; see `Correlator.observe`."""
        self._put(self._correlator.observe(component, about, event, now()))

    def _put(self, write: Write | None) -> None:
        if write is None:
            return
        if not write.create:
            waiting = self._patches.get((write.namespace, write.name))
            if waiting is not None:
                waiting.body = write.body
                return
        if len(self._queue) >= _QUEUED:
            self.dropped += 1
            return
        if not write.create:
            self._patches[write.namespace, write.name] = write
        self._queue.append(write)
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; what waits then is lost."""
        await asyncio.gather(*(self._worker() for _ in range(self._workers)))

    async def _worker(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            write = self._queue.popleft()
            if not write.create:
                self._patches.pop((write.namespace, write.name), None)
            await self._write(write)

    async def _write(self, write: Write) -> None:
        for attempt in range(_TRIES):
            try:
                if write.create:
                    await self._client.create(EVENTS, write.body, write.namespace)
                else:
                    await self._client.patch(
                        EVENTS, write.name, write.body, write.namespace, content_type=STRATEGIC_PATCH
                    )
            except ApiError as error:
                # A namespace that ends takes no events, and an event that has expired takes no count: both are no loss.
                LOG.debug("event %s/%s: %s", write.namespace, write.name, error)
                return
            except ClusterUnreachable:
                await asyncio.sleep(0.5 * 2**attempt)
            else:
                return
        LOG.info("event %s/%s was lost: the server does not answer", write.namespace, write.name)
