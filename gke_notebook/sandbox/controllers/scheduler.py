"""Binding pods to nodes: the queue, the retries and the writes around `scheduling`."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field

from gke_notebook.cluster.resources import NODES, PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.meta import (
    DEFAULT_SCHEDULER,
    TERMINAL,
    Event,
    Object,
    condition_patch,
    find_condition,
    is_deleting,
    now,
    observed,
    parse_time,
    phase,
    reference_to,
    timestamp,
    uid,
)
from gke_notebook.sandbox.controllers.pod_requirements import Requirements
from gke_notebook.sandbox.controllers.scheduling import Placement, Unschedulable
from gke_notebook.sandbox.controllers.snapshot import Snapshot
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

LOG = logging.getLogger(__name__)

FIRST_BACKOFF = 1.0  # seconds before a pod is tried again, doubled with each attempt (kube-scheduler's defaults)
LAST_BACKOFF = 10.0
RESYNC = 300.0  # after so many seconds everything that waits is tried again (kube-scheduler: 5 min)
GATHER = 0.02  # changes that may help are gathered for so long
SLICE = 64  # pods placed before other tasks get their turn

GATED = "Scheduling is blocked due to non-empty scheduling gates"
NOMINATED = "no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node."


@dataclass(eq=False)
class Waiting:
    """A pod in the queue.

    Args:
        pod: the pod as last seen.
        wanted: what it asks for.
        attempts: how often no node was found.
        not_before: the loop's time before which it is not tried again.
        victims: uids of pods that were deleted to make room.
        queued: seconds since the epoch when it was created, or last found no node; the longest waits first.
        failed: whether it had a node and could not be bound to it: then its time is waited for in any case.
    """

    pod: Object
    wanted: Requirements
    attempts: int = 0
    not_before: float = 0.0
    victims: set[str] = field(default_factory=set)
    queued: float = 0.0
    failed: bool = False


class Scheduler:
    """Gives every pod without a node one.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informers.store(PODS)
        self._nodes = context.informers.store(NODES)
        self._snapshot = Snapshot()
        self._waiting: dict[str, Waiting] = {}
        self._heap: list[tuple[int, float, int, str]] = []
        # Those that would fit now although their time has not come: when nothing else is to do (kube-scheduler 1.34).
        self._early: list[tuple[int, int, float, str]] = []
        self._ready: set[str] = set()
        self._binding: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._moving: asyncio.TimerHandle | None = None
        self._conditions: dict[str, tuple[Object, Object]] = {}
        self._writes: WorkQueue[str] = WorkQueue("pod-condition", self._write_condition, workers=4)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._context.synced((NODES, PODS))
        self._nodes.listen(self._node_changed)
        self._pods.listen(self._pod_changed)
        try:
            await asyncio.gather(self._loop(), self._resync(), self._writes.run())
        finally:
            for task in self._tasks:
                task.cancel()

    # What changes.

    def _node_changed(self, node: Object | None, previous: Object | None) -> None:
        if node is not None:
            if self._snapshot.set_node(node):
                self._something_freed()
        elif previous is not None:
            self._snapshot.remove_node(previous["metadata"]["name"])
            self._something_freed()

    def _pod_changed(self, pod: Object | None, previous: Object | None) -> None:
        if pod is None:
            if previous is not None:
                self._drop(uid(previous))
                self._freed(uid(previous))
            return
        name = uid(pod)
        if phase(pod) in TERMINAL:
            self._drop(name)
            self._freed(name)
        elif pod["spec"].get("nodeName"):
            self._drop(name)
            self._binding.discard(name)
            if self._snapshot.node_of(name) != pod["spec"]["nodeName"]:
                self._snapshot.add_pod(pod["spec"]["nodeName"], name, Requirements.of(pod))
        elif is_deleting(pod):
            self._drop(name)
        elif name not in self._binding and (pod["spec"].get("schedulerName") or DEFAULT_SCHEDULER) == DEFAULT_SCHEDULER:
            self._offer(pod)

    def _drop(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._ready.discard(name)
        self._conditions.pop(name, None)
        self._snapshot.nominate(name, None)

    def _freed(self, name: str) -> None:
        self._binding.discard(name)
        if self._snapshot.remove_pod(name):
            for waiting in self._waiting.values():
                if name in waiting.victims:
                    waiting.victims.discard(name)
                    waiting.not_before = 0.0
            self._something_freed()

    def _offer(self, pod: Object) -> None:
        name = uid(pod)
        if pod["spec"].get("schedulingGates"):
            self._drop(name)
            self._set_condition(pod, "SchedulingGated", GATED)
            return
        wanted = Requirements.of(pod)
        present = self._waiting.get(name)
        if present is not None:
            changed = present.wanted.signature != wanted.signature
            present.pod, present.wanted = pod, wanted
            if not changed:
                return
            present.not_before = 0.0
        else:
            created = parse_time(pod["metadata"].get("creationTimestamp"))
            self._waiting[name] = Waiting(pod, wanted, queued=created.timestamp() if created else time.time())
        self._push(name)

    def _push(self, name: str) -> None:
        waiting = self._waiting.get(name)
        if waiting is None or name in self._ready:
            return
        self._ready.add(name)
        heapq.heappush(self._heap, (-waiting.wanted.priority, waiting.queued, next(self._order), name))
        self._wake.set()

    def _something_freed(self) -> None:
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        soon = loop.time() + GATHER
        if self._moving is not None:
            if self._moving.when() <= soon:
                return
            self._moving.cancel()
        self._moving = loop.call_at(soon, self._move)

    def _move(self) -> None:
        self._moving = None
        loop = asyncio.get_running_loop()
        soonest: float | None = None
        for name, waiting in self._waiting.items():
            if name in self._ready:
                continue
            if waiting.not_before <= loop.time():
                self._push(name)
                continue
            if not waiting.failed and self._snapshot.takes(waiting.wanted, name):
                # Those whose time comes within the same second go by priority (backoff_queue.go).
                rank = int(waiting.not_before), -waiting.wanted.priority, waiting.queued, name
                heapq.heappush(self._early, rank)
                self._wake.set()
            if soonest is None or waiting.not_before < soonest:
                soonest = waiting.not_before
        if soonest is not None:
            self._moving = loop.call_at(soonest, self._move)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC)
            self._move()

    # One pod after the other.

    async def _loop(self) -> None:
        while True:
            if not self._heap and not self._early:
                self._wake.clear()
                await self._wake.wait()
            for _ in range(SLICE):
                if self._heap:
                    *_, name = heapq.heappop(self._heap)
                    if name in self._ready:
                        self._ready.discard(name)
                        self._try(name)
                elif self._early:
                    *_, name = heapq.heappop(self._early)
                    early = self._waiting.get(name)
                    # Another may have had the room by now: then it goes on waiting, and nothing is told.
                    if early is not None and name not in self._ready and self._snapshot.takes(early.wanted, name):
                        self._try(name)
                else:
                    break
            await asyncio.sleep(0)

    def _try(self, name: str) -> None:
        waiting = self._waiting.get(name)
        if waiting is None:
            return
        result = self._snapshot.place(waiting.wanted, name)
        if isinstance(result, Placement) and not result.victims:
            del self._waiting[name]
            self._conditions.pop(name, None)
            self._snapshot.nominate(name, None)
            self._binding.add(name)
            self._snapshot.add_pod(result.node, name, waiting.wanted)
            self._start(self._bind(waiting, result.node))
            return
        waiting.attempts += 1
        delay = min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** (waiting.attempts - 1))
        waiting.not_before = asyncio.get_running_loop().time() + delay
        waiting.queued, waiting.failed = time.time(), False
        if isinstance(result, Unschedulable):
            message = result.message
        elif any(self._snapshot.node_of(victim) for victim in waiting.victims):
            message = f"{result.message} {NOMINATED}"
        else:
            message = result.message
            waiting.victims = set(result.victims)
            self._snapshot.nominate(name, result.node, waiting.wanted)
            self._start(self._preempt(waiting.pod, result))
        self._report(waiting.pod, message)
        self._set_condition(waiting.pod, "Unschedulable", message)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bind(self, waiting: Waiting, node: str) -> None:
        metadata = waiting.pod["metadata"]
        namespace, name = metadata.get("namespace", "default"), metadata["name"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": metadata.get("uid", "")},
            "target": {"kind": "Node", "name": node},
        }
        path = PODS.path(namespace, name, "binding")
        try:
            await self._context.call(self._context.client.request("POST", path, body=body))
        except (ApiError, ClusterUnreachable) as error:
            self._unbound(waiting, error)
            return
        about = reference_to(waiting.pod, "v1", "Pod")
        text = f"Successfully assigned {namespace}/{name} to {node}"
        self._context.recorder.record(DEFAULT_SCHEDULER, about, Event("Normal", "Scheduled", text, "Binding"))

    def _unbound(self, waiting: Waiting, error: Exception) -> None:
        pod = waiting.pod
        name = uid(pod)
        present = self._pods.get(pod["metadata"].get("namespace", ""), pod["metadata"]["name"])
        if present is None or uid(present) != name or present["spec"].get("nodeName"):
            return  # deleted, or bound by somebody else: the watch has brought or brings what counts
        self._binding.discard(name)
        self._snapshot.remove_pod(name)
        if isinstance(error, ApiError) and error.status in (404, 409):
            # Gone, or bound already, and the watch has not said so yet: look again when it has had the time.
            LOG.debug("binding %s: %s", pod["metadata"]["name"], error)
        else:
            self._report(pod, f"binding rejected: {error}")
        waiting.attempts += 1
        delay = min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** (waiting.attempts - 1))
        waiting.pod, waiting.not_before = present, asyncio.get_running_loop().time() + delay
        waiting.queued, waiting.failed = time.time(), True
        self._waiting[name] = waiting
        self._something_freed()

    async def _preempt(self, pod: Object, placement: Placement) -> None:
        victims = [item for item in self._pods.objects.values() if uid(item) in placement.victims]
        time = timestamp(now())
        try:
            await self._context.patch(
                PODS, pod, {"status": {"nominatedNodeName": placement.node}}, subresource="status"
            )
        except (ApiError, ClusterUnreachable) as error:
            LOG.info("nominating a node for %s: %s", pod["metadata"]["name"], error)
        for victim in victims:
            text = f"{DEFAULT_SCHEDULER}: preempting to accommodate a higher priority pod"
            try:
                await self._context.disrupt(victim, "PreemptionByScheduler", text, at=time)
                await self._context.delete(PODS, victim)
            except (ApiError, ClusterUnreachable) as error:
                LOG.info("preempting %s: %s", victim["metadata"]["name"], error)
                continue
            text = f"Preempted by pod {uid(pod)} on node {placement.node}"
            reference = reference_to(victim, "v1", "Pod")
            event = Event("Normal", "Preempted", text, "Preempting")
            self._context.recorder.record(DEFAULT_SCHEDULER, reference, event)

    # What is written on a pod that waits.

    def _report(self, pod: Object, message: str) -> None:
        about = reference_to(pod, "v1", "Pod")
        event = Event("Warning", "FailedScheduling", message, "Scheduling")
        self._context.recorder.record(DEFAULT_SCHEDULER, about, event)

    def _set_condition(self, pod: Object, reason: str, message: str) -> None:
        present = find_condition(pod, "PodScheduled") or {}
        wanted = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        if all(present.get(key) == value for key, value in wanted.items()):
            return
        since = present.get("lastTransitionTime") if present.get("status") == "False" else None
        condition = {**wanted, "lastProbeTime": None, "lastTransitionTime": since or timestamp(now())}
        if reason == "Unschedulable":  # the other is the API server's own, which leaves the generation out
            condition |= observed(pod)
        self._conditions[uid(pod)] = pod, condition
        self._writes.add(uid(pod))

    async def _write_condition(self, name: str) -> None:
        wanted = self._conditions.pop(name, None)
        if wanted is None:
            return
        pod, condition = wanted
        try:
            await self._context.patch(PODS, pod, {"status": condition_patch(pod, condition)}, subresource="status")
        except (ApiError, ClusterUnreachable):
            self._conditions.setdefault(name, wanted)
            raise
