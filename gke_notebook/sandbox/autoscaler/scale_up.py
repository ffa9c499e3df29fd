"""Which groups grow for which pods, and why the others do not; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.sandbox.autoscaler.fitting import Kind, admitted, by_size, estimate, waste
from gke_notebook.sandbox.autoscaler.groups import Group, room

Object = dict[str, Any]

# Why a group is not even tried (kubernetes/autoscaler, core/scaleup/orchestrator/skippedreasons.go).
IN_BACKOFF = "in backoff after failed scale-up"
AT_MAXIMUM = "max node group size reached"
NOT_READY = "not ready for scale-up"

Tiers = Sequence[Sequence[Group]]


@dataclass(frozen=True)
class Increase:
    """Groups that grow for some pods.

    Args:
        groups: each group as it was, with its new target.
        pods: the pods because of which they grow.
    """

    groups: tuple[tuple[Group, int], ...]
    pods: tuple[Object, ...]


@dataclass
class Unhelped:
    """Pods for which nothing grows.

    Args:
        pods: the pods.
        skipped: groups that were not tried, with the reason.
        rejected: groups whose nodes would not take them, with the reasons.
    """

    pods: list[Object]
    skipped: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def message(self) -> str:
        """Give the reasons as an event has them: how many groups for each, in the order of the texts.

        Example:
            >>> Unhelped([], {"a": "max node group size reached"}, {"b": ("Insufficient cpu",)}).message()
            '1 Insufficient cpu, 1 max node group size reached'
        """
        counted = Counter(self.skipped.values())
        for reasons in self.rejected.values():
            counted.update(reasons)
        return ", ".join(f"{count} {reason}" for reason, count in sorted(counted.items()))


@dataclass
class Decision:
    """What is to be done for the pods that wait.

    Args:
        increases: groups that grow.
        unhelped: pods for which none does.
        waiting: pods for which a pool is being made.
    """

    increases: list[Increase] = field(default_factory=list)
    unhelped: list[Unhelped] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)


@dataclass(frozen=True)
class _Option:
    group: Group
    nodes: int
    helped: tuple[int, ...]
    waste: float

    def cost(self) -> float:
        return (self.group.price or 0.0) * self.nodes / sum(self.helped)


def decide(
    kinds: Sequence[Kind],
    groups: Sequence[Group],
    *,
    blocked: Callable[[Group], str] = lambda _: "",
    tiers: Callable[[Kind], Tiers | None] = lambda _: None,
) -> Decision:
    """Choose which groups grow.

    Args:
        kinds: the pods that no node takes, nor one that is on its way.
        groups: every autoscaled group.
        blocked: says why a group is not tried, empty when it may be.
        tiers: gives the groups that a kind of pods may use, those to be tried first before the others, for pods that
            name a compute class; None for all groups alike.
    """
    decision = Decision()
    now: dict[str, Group] = {one.name: one for one in groups}
    common: list[Kind] = []
    laddered: list[tuple[Kind, Tiers]] = []
    for kind in by_size(kinds):
        found = tiers(kind)
        if found is None:
            common.append(Kind(kind.wanted, list(kind.pods)))
        else:
            laddered.append((Kind(kind.wanted, list(kind.pods)), found))
    _grow(common, [list(groups)], now, blocked, decision, wait=False)
    for kind, found in laddered:
        for tier in found:
            for group in tier:
                now.setdefault(group.name, group)
        _grow([kind], found, now, blocked, decision, wait=True)
    return decision


def _grow(
    kinds: list[Kind],
    tiers: Tiers,
    now: dict[str, Group],
    blocked: Callable[[Group], str],
    decision: Decision,
    *,
    wait: bool,
) -> None:
    """Serve some kinds of pods with tiers of groups, the first tier as far as it goes."""
    for tier in tiers:
        names = [group.name for group in tier]
        while any(kind.pods for kind in kinds):
            option = _best(kinds, [now[name] for name in names], now, blocked)
            if option is None:
                break
            decision.increases.append(_apply(kinds, option, now, blocked))
        if wait:
            _wait_for_pools(kinds, [now[name] for name in names], decision)
    tried = [now[group.name] for tier in tiers for group in tier if group.create is None]
    for kind in kinds:
        if kind.pods:
            decision.unhelped.append(_why_not(kind, tried, now, blocked))


def _wait_for_pools(kinds: list[Kind], tier: Sequence[Group], decision: Decision) -> None:
    """Let pods wait for a pool of this tier that is being made, in place of going on to the next tier."""
    coming = [group for group in tier if not group.running]
    for kind in kinds:
        if any(not admitted(kind.wanted, group.template) for group in coming):
            decision.waiting += kind.pods
            kind.pods = []


def _siblings(group: Group, now: Mapping[str, Group]) -> list[Group]:
    return [one for one in now.values() if one.pool == group.pool]


def _skip(group: Group, now: Mapping[str, Group], blocked: Callable[[Group], str]) -> str:
    if not group.running:
        return NOT_READY
    return blocked(group) or ("" if room(group, _siblings(group, now)) > 0 else AT_MAXIMUM)


def _best(
    kinds: list[Kind], tier: Sequence[Group], now: Mapping[str, Group], blocked: Callable[[Group], str]
) -> _Option | None:
    wanted = [(kind.wanted, len(kind.pods)) for kind in kinds]
    options: list[_Option] = []
    for group in tier:
        if _skip(group, now, blocked):
            continue
        limit = sum(room(one, _siblings(one, now)) for one in _equals(group, kinds, now, blocked))
        limit = min(limit, group.total_high - sum(one.target for one in _siblings(group, now)))
        nodes, helped = estimate(wanted, group.template, group.hosts or limit)
        if not nodes:
            continue
        nodes = group.hosts or nodes
        placed = [(one, count) for (one, _), count in zip(wanted, helped, strict=True)]
        options.append(_Option(group, nodes, tuple(helped), waste(placed, group.template, nodes)))
    if not options:
        return None
    if all(one.group.price is not None for one in options):
        return min(options, key=lambda one: (one.cost(), one.waste, one.group.target, one.group.name))
    return min(options, key=lambda one: (one.waste, one.nodes, one.group.target, one.group.name))


def _equals(group: Group, kinds: list[Kind], now: Mapping[str, Group], blocked: Callable[[Group], str]) -> list[Group]:
    """Give the groups of the same pool that can share a growth, the group itself first."""
    if group.hosts:
        return [group]
    takes = [not admitted(kind.wanted, group.template) for kind in kinds]
    return [
        group,
        *(
            one
            for one in _siblings(group, now)
            if one.name != group.name
            and not _skip(one, now, blocked)
            and takes == [not admitted(kind.wanted, one.template) for kind in kinds]
        ),
    ]


def _apply(kinds: list[Kind], option: _Option, now: dict[str, Group], blocked: Callable[[Group], str]) -> Increase:
    equals = _equals(option.group, kinds, now, blocked)
    grown = []
    for name, more in share(option.nodes, equals).items():
        before = now[name]
        grown.append((before, before.target + more))
        now[name] = before.sized(before.target + more)
    pods: list[Object] = []
    for kind, count in zip(kinds, option.helped, strict=True):
        pods += kind.pods[:count]
        kind.pods = kind.pods[count:]
    return Increase(tuple(grown), tuple(pods))


def share(nodes: int, groups: Sequence[Group]) -> dict[str, int]:
    """Spread new nodes over the zones of a pool: evenly for BALANCED, else the first zone as far as it goes.

    Args:
        nodes: how many.
        groups: the pool's groups that may grow, the chosen one first.
    """
    more = dict.fromkeys((one.name for one in groups), 0)
    for _ in range(nodes):
        free = [one for one in groups if one.target + more[one.name] < one.high]
        if not free:
            break
        chosen = min(free, key=lambda one: one.target + more[one.name]) if groups[0].balanced else free[0]
        more[chosen.name] += 1
    return {name: count for name, count in more.items() if count}


def _why_not(kind: Kind, tried: Sequence[Group], now: Mapping[str, Group], blocked: Callable[[Group], str]) -> Unhelped:
    found = Unhelped(kind.pods)
    for group in tried:
        skip = _skip(group, now, blocked)
        if skip:
            found.skipped[group.url] = skip
        else:
            found.rejected[group.url] = admitted(kind.wanted, group.template)
    return found
