"""Nodes that are not needed: since when, marked as such, and removed when their time is over."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence

from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.autoscaler import scale_down, visibility
from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.autoscaler.removal import Remover
from gke_notebook.sandbox.autoscaler.reporting import Reporter
from gke_notebook.sandbox.autoscaler.scale_down import CANDIDATE, IDLE_SECONDS, Candidate, Unneeded
from gke_notebook.sandbox.autoscaler.view import View
from gke_notebook.sandbox.controllers.meta import Event, Object
from gke_notebook.sandbox.controllers.scheduling import NodeState

LOG = logging.getLogger(__name__)


class Shrinker:
    """Remembers which nodes are not needed.

    Args:
        remover: takes nodes away.
        reporter: says so.
    """

    def __init__(self, remover: Remover, reporter: Reporter) -> None:
        self._remover = remover
        self._reporter = reporter
        self._since: dict[str, float] = {}
        self._kept: dict[str, str] = {}

    @property
    def candidates(self) -> list[str]:
        """The names of the nodes that are not needed."""
        return list(self._since)

    def ended(self, nodes: Iterable[str], now: float) -> None:
        """Take note that a removal has come to its end; a node that stays begins its time anew.

        Args:
            nodes: their names.
            now: the time on the fleet's clock.
        """
        for name in nodes:
            if name in self._since:
                self._since[name] = now

    async def look(
        self, there: View, found: Sequence[Candidate], others: Callable[[], Iterable[NodeState]], now: float
    ) -> float | None:
        """Find the nodes that are not needed, and begin to remove those whose time is over.

        Args:
            there: the groups.
            found: the nodes that could go.
            others: gives every node to which pods could be moved.
            now: the time on the fleet's clock.

        Returns:
            When the next one's time is over.
        """
        busy = self._remover.busy
        going = {name: sum(_is_in(there, name, node) for node in busy) for name in there.groups}
        sizes = {name: group.target - going[name] for name, group in there.groups.items()}
        totals: dict[str, int] = {}
        for name, group in there.groups.items():
            totals[group.pool] = totals.get(group.pool, 0) + sizes[name]
        unneeded = scale_down.find([one for one in found if one.node.name not in busy], others, sizes, totals)
        await self._mark(unneeded, now)
        self._log_kept(unneeded, found)
        by_name = {one.node.name: one for one in found}
        over = [name for name in unneeded.nodes if now - self._since[name] >= IDLE_SECONDS]
        self._begin([by_name[name] for name in over], unneeded)
        waiting = [self._since[name] for name in unneeded.nodes if name not in over]
        return min(waiting) + IDLE_SECONDS if waiting else None

    async def _mark(self, unneeded: Unneeded, now: float) -> None:
        new = [name for name in unneeded.nodes if name not in self._since]
        needed = [name for name in self._since if name not in unneeded.nodes and name not in self._remover.busy]
        for name in new:
            self._since[name] = now
        for name in needed:
            del self._since[name]
        try:
            for name in new:
                await self._remover.mark(name, CANDIDATE, "PreferNoSchedule")
            for name in needed:
                await self._remover.unmark(name, CANDIDATE)
        except (ApiError, ClusterUnreachable) as error:
            LOG.info("marking nodes: %s", error)  # the mark is only a hint to the scheduler

    def _log_kept(self, unneeded: Unneeded, found: Sequence[Candidate]) -> None:
        if unneeded.kept and unneeded.kept != self._kept:
            groups = {one.node.name: one.group for one in found}
            self._reporter.log(
                visibility.no_scale_down({name: (groups[name], why) for name, why in unneeded.kept.items()})
            )
        self._kept = unneeded.kept

    def _begin(self, over: Sequence[Candidate], unneeded: Unneeded) -> None:
        """Remove empty nodes together, a slice as a whole, and a node whose pods must move alone."""
        empty: dict[str, list[Candidate]] = {}
        full = []
        for one in over:
            if unneeded.nodes[one.node.name]:
                full.append(one)
            else:
                empty.setdefault(one.group.name, []).append(one)
        for members in empty.values():
            group = members[0].group
            if not group.hosts or len(members) >= group.target:
                self._remove(group, members, unneeded)
        if full and not self._remover.busy:
            self._remove(full[0].group, full[:1], unneeded)

    def _remove(self, group: Group, members: Sequence[Candidate], unneeded: Unneeded) -> None:
        shown = [(group, one.node.name, scale_down.utilization(one), unneeded.nodes[one.node.name]) for one in members]
        self._reporter.log(visibility.scale_down(secrets.token_hex(8), shown))
        pods: list[Object] = []
        for _, name, used, moving in shown:
            pods += moving
            if moving:
                named = ",".join(pod["metadata"]["name"] for pod in moving)
                text = f"Scale-down: removing node {name}, utilization: {used:.3g}, pods to reschedule: {named}"
                self._reporter.about_status(Event("Normal", "ScaleDown", text[:1000]))
            else:
                text = f"Scale-down: removing empty node {name}"
                self._reporter.about_status(Event("Normal", "ScaleDownEmpty", text))
        self._remover.begin(group, [one.node.name for one in members], pods)


def _is_in(there: View, group: str, node: str) -> bool:
    return any(one["metadata"]["name"] == node for one in there.nodes.get(group, ()))
