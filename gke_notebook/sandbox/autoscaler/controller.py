"""The autoscaler at work: it looks when something has changed, decides, and does it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from gke_notebook.cluster.resources import NODES, PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.autoscaler import scale_down, texts, view, visibility
from gke_notebook.sandbox.autoscaler.backoff import Backoff
from gke_notebook.sandbox.autoscaler.classes import Classes
from gke_notebook.sandbox.autoscaler.cloud import Cloud, CloudError, Time
from gke_notebook.sandbox.autoscaler.failures import Failed, Waits
from gke_notebook.sandbox.autoscaler.fitting import Kind, Room, admitted, by_size, place
from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.autoscaler.removal import COMPONENT, Remover
from gke_notebook.sandbox.autoscaler.reporting import Reporter
from gke_notebook.sandbox.autoscaler.scale_up import IN_BACKOFF, Decision, Increase, decide
from gke_notebook.sandbox.autoscaler.shrinking import Shrinker
from gke_notebook.sandbox.autoscaler.view import View
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.meta import Event, Object, is_true, reference_to, uid
from gke_notebook.sandbox.controllers.pod_requirements import Requirements

LOG = logging.getLogger(__name__)

SCAN_SECONDS = 10.0  # on the fleet's clock, between two looks (`--scan-interval`)
LEAST_SCAN = 0.1  # the same in real seconds
LATER = 5.0  # real seconds until it is tried again when Google Cloud has refused


class Autoscaler:
    """Makes node pools fit the pods.

    Args:
        context: the client and the stores.
        gke: the address of the sandbox's GKE.
        token: its bearer token.
    """

    def __init__(self, context: Context, gke: str, token: str) -> None:
        self._context = context
        self._cloud = Cloud(gke, token)
        self._time = Time()
        self._nodes = context.informers.store(NODES)
        self._pods = context.informers.store(PODS)
        self._pending: dict[str, tuple[Object, Requirements]] = {}
        self._watched: frozenset[str] = frozenset()  # the nodes of autoscaled groups
        self._wake = asyncio.Event()
        self._backoff = Backoff()
        self._waits = Waits()
        self._triggers: dict[str, tuple[str, dict[str, Object]]] = {}  # by group: the decision's id, and its pods
        self._remover = Remover(context, self._cloud, self._removed)
        self._reporter = Reporter(context, self._cloud)
        self._shrinker = Shrinker(self._remover, self._reporter)
        self._classes = Classes(context)

    async def run(self) -> None:
        """Run until cancelled."""
        async with self._cloud:
            bell = await self._cloud.bell()
            self._time.hear(bell)
            await self._context.synced((NODES, PODS))
            await self._remover.tidy()
            self._nodes.listen(self._node_changed)
            self._pods.listen(self._pod_changed)
            try:
                await asyncio.gather(
                    self._ring(bell.revision), self._loop(), self._reporter.run(), self._classes.run(self._wake.set)
                )
            finally:
                await self._remover.close()

    # What changes.

    async def _ring(self, revision: int) -> None:
        while True:
            bell = await self._cloud.bell(revision)
            self._time.hear(bell)
            if bell.revision != revision:
                revision = bell.revision
                self._wake.set()

    def _node_changed(self, node: Object | None, previous: Object | None) -> None:
        if node is None or previous is None or view.started(node) != view.started(previous):
            self._wake.set()

    def _pod_changed(self, pod: Object | None, previous: Object | None) -> None:
        name = uid(pod or previous or {"metadata": {}})
        if pod is not None and view.is_unschedulable(pod):
            self._pending[name] = pod, Requirements.of(pod)
            self._wake.set()
        elif self._pending.pop(name, None) is not None or (
            ((pod or previous or {}).get("spec") or {}).get("nodeName") in self._watched
        ):
            self._wake.set()

    # One look.

    async def _loop(self) -> None:
        due: float | None = 0.0
        while True:
            if due is None or due > 0:
                with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), due)
            await asyncio.sleep(max(LEAST_SCAN, self._time.real(SCAN_SECONDS)))
            self._wake.clear()
            try:
                due = await self._look()
            except (CloudError, ApiError, ClusterUnreachable) as error:
                LOG.info("the autoscaler tries again: %s", error)
                due = LATER
            except Exception:  # a defect here must not end every pod, as the end of this process would
                LOG.exception("the autoscaler tries again")
                due = LATER

    async def _look(self) -> float | None:
        """Look at everything once, and do what is to be done; give the real seconds until something is due."""
        there = await self._see()
        now = self._time.now()
        for failed in self._waits.failed(there, now):
            await self._give_up(there, failed, now)
        self._succeeded(there)
        kinds = self._kinds()
        auto = [node for name in there.groups for node in there.ready(name)]
        self._watched = frozenset(node["metadata"]["name"] for node in auto)
        used, on = view.states(auto, self._pods.objects.values()) if auto else ({}, {})
        kinds, busy = _placed(there, kinds, list(used.values()))
        decision = await self._grow(there, kinds, now)
        found = view.candidates(there, used, on, busy, scale_down.DISABLED)
        idle = await self._shrinker.look(there, found, self._other_nodes, now)
        late = {name: sum(bool(one.code) for one in machines) for name, machines in there.coming.items()}
        failures = {name: self._backoff.active(name, now) for name in there.groups}
        self._reporter.status(there, failures, self._shrinker.candidates, late, list(self._nodes.objects.values()))
        ends = [idle, self._waits.next_end(there.groups.values(), there.coming)]
        if decision.unhelped or decision.waiting:
            ends.append(self._backoff.next_end(now))
        known = [end for end in ends if end is not None]
        return max(LEAST_SCAN, self._time.real(min(known) - self._time.now())) if known else None

    async def _see(self) -> View:
        specs = await self._cloud.pools()
        zones = {
            zone
            for spec in specs
            if (spec.get("autoscaling") or {}).get("enabled")
            for zone in spec.get("locations") or ()
        }
        managers: dict[str, Object] = {}
        for zone in sorted(zones):
            managers.update(await self._cloud.groups(zone))
        there = view.of_specs(specs, managers, self._nodes.objects.values())
        for name, group in there.groups.items():
            stable = managers[name]["status"]["isStable"]
            if not stable or len(there.ready(name)) != group.target:
                listed = await self._cloud.machines(group.zone, name)
                there.coming[name] = view.machines(listed, there.nodes.get(name, ()))
        return there

    def _kinds(self) -> list[Kind]:
        found: dict[str, Kind] = {}
        for pod, wanted in self._pending.values():
            found.setdefault(wanted.signature, Kind(wanted)).pods.append(pod)
        return by_size(found.values())

    def _other_nodes(self) -> list[Any]:
        """Give every node to which pods could be moved, with what is used of it."""
        nodes = [node for node in self._nodes.objects.values() if is_true(node, "Ready") and not view.leaving(node)]
        return list(view.states(nodes, self._pods.objects.values())[0].values())

    # Failures.

    async def _give_up(self, there: View, failed: Failed, now: float) -> None:
        group = failed.group
        await self._cloud.delete(group.zone, group.name, failed.machines)
        there.groups[group.name] = group.sized(max(0, group.target - len(failed.machines)))
        there.coming[group.name] = [one for one in there.coming[group.name] if one.name not in failed.machines]
        self._fail(group, failed.code, failed.message, now)

    def _fail(self, group: Group, code: str, message: str, now: float) -> None:
        reason = texts.reason(code, group.name)
        self._backoff.fail(group.name, code, message, reason, now)
        event, pods = self._triggers.pop(group.name, (secrets.token_hex(8), {}))
        if not pods:  # of an earlier run of the autoscaler: those that could have been meant
            pods = {name: pod for name, (pod, wanted) in self._pending.items() if not admitted(wanted, group.template)}
        waiting = [pod for name, pod in pods.items() if name in self._pending]
        self._tell(waiting, texts.failed([group.zone], [reason]))
        self._reporter.log(visibility.result(event, code, [group.url]))

    def _succeeded(self, there: View) -> None:
        for name in list(self._triggers):
            group = there.groups.get(name)
            if group is None or (not there.coming.get(name) and len(there.ready(name)) >= group.target):
                event, _ = self._triggers.pop(name)
                if group is not None:
                    self._backoff.succeed(name)
                    self._reporter.log(visibility.result(event))

    # Growing.

    async def _grow(self, there: View, kinds: Sequence[Kind], now: float) -> Decision:
        groups = list(there.groups.values())
        if not kinds:
            self._reporter.nobody_waits()
            return Decision()

        def blocked(group: Group) -> str:
            return IN_BACKOFF if self._backoff.active(group.name, now) is not None else ""

        await self._classes.admit([pod for kind in kinds for pod in kind.pods])
        ladder = self._classes.ladder(groups, await self._classes_pools(kinds))
        plain = self._classes.without_class(groups)
        decision = decide(kinds, plain, blocked=blocked, tiers=ladder)
        for increase in decision.increases:
            await self._increase(increase, now)
        self._reporter.unhelped(decision.unhelped, {group.url: group for group in groups})
        return decision

    async def _classes_pools(self, kinds: Sequence[Kind]) -> list[Object]:
        """Give the node pools where a pod names a compute class: their labels say to which they belong."""
        return await self._cloud.pools() if any(self._classes.named(kind) for kind in kinds) else []

    async def _increase(self, increase: Increase, now: float) -> None:
        event = secrets.token_hex(8)
        grown = []
        for group, target in increase.groups:
            try:
                if group.create is not None:
                    await self._create(group, event)
                    continue
                await self._cloud.resize(group.zone, group.name, target)
            except CloudError as error:
                if error.status == 400 and "incompatible operation" in str(error):
                    continue  # another operation is at work on the cluster: the next look tries again
                LOG.info("%s does not grow: %s", group.name, error)
                code = "QUOTA_EXCEEDED" if error.status == 403 and "quota" in str(error) else "OTHER"
                self._triggers[group.name] = event, {uid(pod): pod for pod in increase.pods}
                self._fail(group, code, str(error), now)
                continue
            grown.append((group, target))
            pods = self._triggers.get(group.name, ("", {}))[1]
            self._triggers[group.name] = event, {**pods, **{uid(pod): pod for pod in increase.pods}}
        if grown:
            self._tell(increase.pods, texts.triggered(grown))
            self._reporter.log(visibility.scale_up(event, Increase(tuple(grown), increase.pods)))

    async def _create(self, group: Group, trigger: str) -> None:
        assert group.create is not None
        await self._cloud.create_pool(group.create)
        self._reporter.log(visibility.pool_created(secrets.token_hex(8), group, trigger))
        text = f"NodeAutoprovisioning: created new node group {group.url}"
        self._reporter.about_status(Event("Normal", "CreatedNodeGroup", text))

    def _tell(self, pods: Iterable[Object], event: Event) -> None:
        for pod in pods:
            self._context.recorder.record(COMPONENT, reference_to(pod, "v1", "Pod"), event)

    def _removed(self, group: Group, nodes: Sequence[str], gone: bool) -> None:
        LOG.info("%s of %s: %s", ", ".join(nodes), group.name, "removed" if gone else "kept")
        self._shrinker.ended(nodes, self._time.now())
        self._wake.set()


def _placed(there: View, kinds: Sequence[Kind], ready: Sequence[Any]) -> tuple[list[Kind], set[str]]:
    """Leave out the pods that nodes take which are there by now, or on their way.

    Returns:
        The pods that are left, and the names of the nodes that are needed.
    """
    rooms = [Room(node) for node in ready if not node.unschedulable]
    rooms += [Room(there.groups[name].template) for name, machines in there.coming.items() for _ in machines]
    before = [room.pods for room in rooms]
    left = place([(kind.wanted, len(kind.pods)) for kind in kinds], rooms)
    busy = {room.node.name for room, count in zip(rooms, before, strict=True) if room.pods != count}
    return [
        Kind(kind.wanted, kind.pods[len(kind.pods) - count :]) for kind, count in zip(kinds, left, strict=True) if count
    ], busy
