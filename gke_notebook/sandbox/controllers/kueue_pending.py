"""The Workloads that wait in one ClusterQueue, in Kueue's order; pure.

Source: sigs.k8s.io/kueue v0.15.0 (`pkg/cache/queue/cluster_queue.go`). There every Workload that did not fit is tried
again whenever quota is given back; here a bounded number of those that ask for the same, since the others cannot
fare better, so that thousands may wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gke_notebook.sandbox.controllers.kueue_flavors import Needs

Key = tuple[str, str]
Order = tuple[int, str, int]
RETRIED = 20  # of the Workloads that ask for the same, when quota is given back


@dataclass
class Entry:
    """A Workload that waits.

    Args:
        key: its namespace and name.
        order: which goes first: priority (negated), time of creation, arrival.
        queue: its LocalQueue.
        needs: what it asks for.
        signature: equal for Workloads that ask for the same.
        mark: what must change for a new try to make sense.
        held: whether it may not be tried at all for now.
        last: the flavors tried last, and the generation of the ClusterQueue then.
    """

    key: Key
    order: Order
    queue: Key
    needs: Sequence[Needs]
    signature: str
    mark: str
    held: bool = False
    last: tuple[int, Sequence[dict[str, int]]] = field(default=(0, ()))


class Pending:
    """The Workloads that wait in a ClusterQueue.

    Args:
        strict: whether the first blocks all others (StrictFIFO).
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self._entries: dict[Key, Entry] = {}
        self._ready: list[tuple[Order, Key]] = []
        self._waiting: dict[str, list[tuple[Order, Key]]] = {}
        self._is_waiting: set[Key] = set()
        self._blocked = False
        self.in_flight: Entry | None = None

    def __len__(self) -> int:
        return len(self._entries) + (self.in_flight is not None)

    def push(self, entry: Entry) -> None:
        """Add a Workload, or take note that it has changed.

        Args:
            entry: the Workload.
        """
        if self.in_flight is not None and self.in_flight.key == entry.key:
            self.in_flight = None
        old = self._entries.get(entry.key)
        if old is not None and old.mark == entry.mark and old.order[:2] == entry.order[:2]:
            return
        self._entries[entry.key] = entry
        self._is_waiting.discard(entry.key)
        if not entry.held:
            heapq.heappush(self._ready, (entry.order, entry.key))
            self._blocked = False

    def delete(self, key: Key) -> None:
        """Take a Workload away; one that is not there is no error."""
        if self.in_flight is not None and self.in_flight.key == key:
            self.in_flight = None
        if self._entries.pop(key, None) is not None:
            self._blocked = False
        self._is_waiting.discard(key)

    def pop(self) -> Entry | None:
        """Take the Workload to try next; None when there is none."""
        while self._ready and not self._blocked:
            order, key = heapq.heappop(self._ready)
            entry = self._entries.get(key)
            if entry is None or entry.order != order or entry.held or key in self._is_waiting:
                continue  # it has changed or gone since
            self.in_flight = self._entries.pop(key)
            return self.in_flight
        return None

    def requeue(self, entry: Entry, *, again: bool = False) -> None:
        """Put back a Workload that did not fit.

        Args:
            entry: what `pop` gave; nothing happens when it has gone or changed since.
            again: try it again at once: there are flavors that were not tried.
        """
        if self.in_flight is not entry:
            return
        self.in_flight = None
        self._entries[entry.key] = entry
        if self.strict or again:
            heapq.heappush(self._ready, (entry.order, entry.key))
            self._blocked = not again
            return
        self._is_waiting.add(entry.key)
        heapq.heappush(self._waiting.setdefault(entry.signature, []), (entry.order, entry.key))

    def admitted(self, entry: Entry) -> None:
        """Take note that a Workload fitted: the next that asks for the same is tried.

        Args:
            entry: what `pop` gave.
        """
        if self.in_flight is entry:
            self.in_flight = None
        self._retry(entry.signature, 1)

    def release(self) -> None:
        """Have Workloads tried again: something has been given back, or the queue has changed."""
        self._blocked = False
        for signature in list(self._waiting):
            self._retry(signature, RETRIED)

    def _retry(self, signature: str, most: int) -> None:
        waiting = self._waiting.get(signature, [])
        while waiting and most:
            order, key = heapq.heappop(waiting)
            entry = self._entries.get(key)
            if entry is None or entry.order != order or key not in self._is_waiting:
                continue
            self._is_waiting.discard(key)
            heapq.heappush(self._ready, (order, key))
            most -= 1
        if not waiting:
            self._waiting.pop(signature, None)

    def entries(self) -> Iterable[Entry]:
        """Give all of them."""
        return (*self._entries.values(), *([self.in_flight] if self.in_flight is not None else []))
