"""All queues and what is taken of them, kept up to date by every change of an object; pure, nothing is searched.

Source: sigs.k8s.io/kueue v0.15.0 (`pkg/cache`, and the event handlers of `pkg/controller/core`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gke_notebook.sandbox.controllers.kueue_flavors import Quotas, Usage, needs, reserved
from gke_notebook.sandbox.controllers.kueue_pending import Entry, Key, Pending
from gke_notebook.sandbox.controllers.kueue_status import (
    ADMITTED,
    EVICTED,
    FINISHED,
    REQUEUED,
    RESERVED,
    holds,
    is_active,
    value,
)
from gke_notebook.sandbox.controllers.meta import Object, canonical, find_condition, is_deleting, uid

Touched = str | Key
_READY = ("True", "Ready", "Can admit new workloads")


@dataclass
class Taken:
    """What Workloads with quota take together.

    Args:
        reserving: those with a reservation.
        admitted: those that are admitted.
        reserved: what the first take.
        used: what the second take.
    """

    reserving: set[Key] = field(default_factory=set)
    admitted: set[Key] = field(default_factory=set)
    reserved: Usage = field(default_factory=dict)
    used: Usage = field(default_factory=dict)

    def change(self, key: Key, usage: Usage, *, admitted: bool, sign: int) -> None:
        """Add or take away what a Workload takes.

        Args:
            key: the Workload.
            usage: what it takes.
            admitted: whether it is admitted.
            sign: 1 or -1.
        """
        for keys, total in ((self.reserving, self.reserved), *([(self.admitted, self.used)] if admitted else [])):
            (keys.add if sign > 0 else keys.discard)(key)
            for name, amount in usage.items():
                total[name] = total.get(name, 0) + sign * amount


class ClusterQueue:
    """A ClusterQueue.

    Args:
        item: the object.
    """

    def __init__(self, item: Object) -> None:
        self.taken = Taken()
        self.locals: set[Key] = set()
        self.pending = Pending(strict=False)
        self.generation = 0
        self.readiness = _READY
        self.take(item)

    def take(self, item: Object) -> None:
        """Take the object as it is now."""
        self.item = item
        self.spec: Object = item.get("spec") or {}
        self.quotas = Quotas(self.spec)
        self.pending.strict = self.spec.get("queueingStrategy") == "StrictFIFO"
        self.generation += 1

    @property
    def active(self) -> bool:
        """Whether it admits Workloads."""
        return self.readiness[0] == "True"

    def judge(self, flavors: Mapping[str, Object]) -> None:
        """Find out whether it may admit Workloads.

        Args:
            flavors: the ResourceFlavors by name.
        """
        missing = [name for name in dict.fromkeys(self.quotas.flavors) if name not in flavors]
        stopped = self.spec.get("stopPolicy", "None") != "None"
        if is_deleting(self.item):
            self.readiness = ("False", "Terminating", "Can't admit new workloads; clusterQueue is terminating")
            return
        found = [("Stopped", "is stopped")] if stopped else []
        if missing:
            found.append(("FlavorNotFound", f"references missing ResourceFlavor(s): {','.join(missing)}"))
        if found:
            text = f"Can't admit new workloads: {', '.join(words for _, words in found)}."
            self.readiness = ("False", found[0][0], text)
        else:
            self.readiness = _READY


@dataclass
class LocalQueue:
    """A LocalQueue.

    Args:
        item: the object.
        taken: what its Workloads take.
    """

    item: Object
    taken: Taken = field(default_factory=Taken)

    @property
    def cluster_queue(self) -> str:
        """The ClusterQueue it leads to."""
        return str((self.item.get("spec") or {}).get("clusterQueue", ""))

    @property
    def stopped(self) -> bool:
        """Whether it takes no Workloads."""
        return bool((self.item.get("spec") or {}).get("stopPolicy", "None") != "None")


@dataclass(frozen=True)
class _Holding:
    cluster_queue: str
    queue: Key
    usage: Usage
    admitted: bool


class Cache:
    """All queues.

    Args:
        touched: told the name of a ClusterQueue, or the key of a LocalQueue, whose numbers have changed.
    """

    def __init__(self, touched: Callable[[Touched], None]) -> None:
        self.clusters: dict[str, ClusterQueue] = {}
        self.locals: dict[Key, LocalQueue] = {}
        self.flavors: dict[str, Object] = {}
        self._users: dict[str, set[str]] = {}
        self._holdings: dict[Key, _Holding] = {}
        self._by_queue: dict[Key, dict[Key, Entry]] = {}
        self._queue_of: dict[Key, Key] = {}
        self._leading: dict[str, set[Key]] = {}
        self._touched = touched
        self._arrivals: dict[Key, int] = {}
        self._count = itertools.count()

    def cluster_queue_of(self, workload: Object) -> ClusterQueue | None:
        """Give the ClusterQueue that a Workload's LocalQueue leads to."""
        queue = self.locals.get(queue_of(workload))
        return None if queue is None else self.clusters.get(queue.cluster_queue)

    def leading_to(self, name: str) -> set[Key]:
        """Give the LocalQueues that lead to a ClusterQueue."""
        return self._leading.get(name, set())

    def users(self, flavor: str) -> set[str]:
        """Give the ClusterQueues that name a flavor."""
        return self._users.get(flavor, set())

    def waiting_in(self, queue: Key) -> int:
        """Say how many Workloads wait in a LocalQueue."""
        return len(self._by_queue.get(queue, ()))

    def members(self, queue: Key) -> set[Key]:
        """Give the Workloads of a LocalQueue that wait or have quota."""
        found = self.locals.get(queue)
        return {*self._by_queue.get(queue, ()), *(found.taken.reserving if found is not None else ())}

    def flavor(self, name: str, item: Object | None) -> None:
        """Take a ResourceFlavor, or that it has gone."""
        if item is None:
            self.flavors.pop(name, None)
        else:
            self.flavors[name] = item
        for each in self.users(name):
            self.clusters[each].judge(self.flavors)
            self.clusters[each].pending.release()
            self._touched(each)

    def cluster_queue(self, name: str, item: Object | None) -> None:
        """Take a ClusterQueue, or that it has gone."""
        old = self.clusters.get(name)
        if item is None:
            if old is not None:
                self._use(name, old.quotas.flavors, used=False)
                del self.clusters[name]
        elif old is None:
            new = self.clusters[name] = ClusterQueue(item)
            new.judge(self.flavors)
            self._use(name, new.quotas.flavors, used=True)
            for key, holding in self._holdings.items():
                if holding.cluster_queue == name:
                    new.taken.change(key, holding.usage, admitted=holding.admitted, sign=1)
            for queue in self.leading_to(name):
                self._join(queue)
        else:
            changed = old.spec != item.get("spec") or is_deleting(old.item) != is_deleting(item)
            if changed:
                self._use(name, old.quotas.flavors, used=False)
                old.take(item)
                self._use(name, old.quotas.flavors, used=True)
                old.judge(self.flavors)
                old.pending.release()
            else:
                old.item = item
        self._touched(name)
        for queue in self.leading_to(name):
            self._touched(queue)

    def _use(self, name: str, flavors: list[str], *, used: bool) -> None:
        for flavor in flavors:
            users = self._users.setdefault(flavor, set())
            (users.add if used else users.discard)(name)

    def local_queue(self, key: Key, item: Object | None) -> None:
        """Take a LocalQueue, or that it has gone."""
        old = self.locals.get(key)
        if old is not None:
            self._leading.setdefault(old.cluster_queue, set()).discard(key)
        if item is None:
            self.locals.pop(key, None)
            if old is not None:
                self._leave(key, old.cluster_queue)
            return
        if old is None:
            new = self.locals[key] = LocalQueue(item)
            for each, holding in self._holdings.items():
                if holding.queue == key and holding.cluster_queue == new.cluster_queue:
                    new.taken.change(each, holding.usage, admitted=holding.admitted, sign=1)
        else:
            new, was = old, old.stopped
            if old.item.get("spec") != item.get("spec"):
                self._leave(key, old.cluster_queue)
            new.item = item
            if was == new.stopped and old.item.get("spec") == item.get("spec"):
                self._leading.setdefault(new.cluster_queue, set()).add(key)
                self._touched(key)
                self._join(key)
                return
        self._leading.setdefault(new.cluster_queue, set()).add(key)
        self._join(key)
        self._touched(key)
        self._touched(new.cluster_queue)

    def _join(self, key: Key) -> None:
        queue = self.locals[key]
        cluster = self.clusters.get(queue.cluster_queue)
        if cluster is not None and not queue.stopped:
            for entry in self._by_queue.get(key, {}).values():
                cluster.pending.push(entry)

    def _leave(self, key: Key, name: str) -> None:
        cluster = self.clusters.get(name)
        if cluster is not None:
            for entry in self._by_queue.get(key, {}):
                cluster.pending.delete(entry)
            self._touched(name)

    def workload(self, key: Key, item: Object | None) -> None:
        """Take a Workload, or that it has gone."""
        held = self._holdings.pop(key, None)
        before = self._queue_of.pop(key, None)
        if held is not None:
            self._change(key, held, -1)
        entry, holding = None, None
        if item is not None and is_active(item) and not holds(item, FINISHED):
            if holds(item, RESERVED) and (item["status"].get("admission") or {}).get("clusterQueue"):
                admission = item["status"]["admission"]["clusterQueue"]
                holding = _Holding(admission, queue_of(item), reserved(item), holds(item, ADMITTED))
                self._holdings[key] = holding
                self._change(key, holding, 1)
            elif not is_deleting(item):
                entry = self._entry(key, item)
        if before is not None and (entry is None or entry.queue != before):
            self._by_queue.get(before, {}).pop(key, None)
            self._drop(before, key)
        if entry is not None:
            self._queue_of[key] = entry.queue
            self._add(entry)
        if item is None:
            self._arrivals.pop(key, None)
        if held is not None and (holding is None or holding.usage != held.usage):
            self._given_back(held.cluster_queue)
        queues = {each for each in (before, entry.queue if entry is not None else None) if each is not None}
        for each in (held, holding):
            if each is not None:
                queues.add(each.queue)
                self._touched(each.cluster_queue)
        for queue in queues:
            self._touched(queue)
            if queue in self.locals:
                self._touched(self.locals[queue].cluster_queue)

    def _change(self, key: Key, holding: _Holding, sign: int) -> None:
        cluster = self.clusters.get(holding.cluster_queue)
        if cluster is not None:
            cluster.taken.change(key, holding.usage, admitted=holding.admitted, sign=sign)
        queue = self.locals.get(holding.queue)
        if queue is not None and queue.cluster_queue == holding.cluster_queue:
            queue.taken.change(key, holding.usage, admitted=holding.admitted, sign=sign)

    def _given_back(self, name: str) -> None:
        cluster = self.clusters.get(name)
        if cluster is not None:
            cluster.generation += 1
            cluster.pending.release()

    def _drop(self, queue: Key, key: Key) -> None:
        found = self.locals.get(queue)
        cluster = self.clusters.get(found.cluster_queue) if found is not None else None
        if cluster is not None:
            cluster.pending.delete(key)

    def _add(self, entry: Entry) -> None:
        self._by_queue.setdefault(entry.queue, {})[entry.key] = entry
        queue = self.locals.get(entry.queue)
        cluster = self.clusters.get(queue.cluster_queue) if queue is not None and not queue.stopped else None
        if cluster is not None:
            cluster.pending.push(entry)

    def _entry(self, key: Key, item: Object) -> Entry:
        spec, status = item["spec"], item.get("status") or {}
        if key not in self._arrivals:
            self._arrivals[key] = next(self._count)
        order = -int(spec.get("priority", 0)), str(item["metadata"].get("creationTimestamp", "")), self._arrivals[key]
        changes = [find_condition(item, each) for each in (EVICTED, REQUEUED)]
        mark = canonical([uid(item), spec, status.get("reclaimablePods"), changes])
        signature = canonical([spec["podSets"], key[0]])
        held = value(item, REQUEUED) == "False"
        return Entry(key, order, queue_of(item), needs(item), signature, mark, held)

    def heads(self) -> list[tuple[ClusterQueue, Entry]]:
        """Take the Workload to try next of each ClusterQueue that admits any."""
        found = []
        for cluster in self.clusters.values():
            entry = cluster.pending.pop() if cluster.active else None
            if entry is not None:
                found.append((cluster, entry))
        return found


def queue_of(workload: Object) -> Key:
    """Give the LocalQueue that a Workload is for."""
    return workload["metadata"].get("namespace", ""), str(workload["spec"].get("queueName", ""))
