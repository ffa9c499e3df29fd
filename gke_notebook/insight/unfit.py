"""Why a job fits or does not, in words: the limit that binds, whom to ask for what, a command to paste; pure."""

from __future__ import annotations

from dataclasses import replace

from gke_notebook import catalog
from gke_notebook.insight import ask as asking
from gke_notebook.insight.demand import Demand, room, too_large, why_not_on
from gke_notebook.insight.pools import ACCELERATOR_LABEL, ZONE_LABEL, whole
from gke_notebook.insight.quota import Limit
from gke_notebook.insight.reasons import amount
from gke_notebook.insight.text import count
from gke_notebook.insight.world import Fit, Growth, Search, World


def free_sentence(search: Search) -> str:
    """Say where there is room now.

    Args:
        search: what was found.
    """
    places = [name for name in search.pools if name]
    if not places or len(places) > 3:
        return "nodes that are there have room for it now"
    return f"{' and '.join(places)} {'has' if len(places) == 1 else 'have'} room for it now"


def growth_sentence(search: Search) -> str:
    """Say how the cluster grows.

    Args:
        search: what was found.
    """
    parts = []
    by_pool: dict[str, list[Growth]] = {}
    for one in search.growth:
        by_pool.setdefault(one.pool, []).append(one)
    for name, steps in by_pool.items():
        nodes = sum(step.nodes for step in steps)
        zones = ", ".join(dict.fromkeys(step.zone for step in steps if step.zone))
        if name in {"Autopilot", "auto-provisioning"} or name.startswith("ComputeClass"):
            parts.append(f"{name} adds {count(nodes, 'node')}")
        else:
            now = sum(step.now for step in steps)
            parts.append(f"{name} grows from {now} to {count(now + nodes, 'node')}{f' in {zones}' if zones else ''}")
    first = f"{search.free} of the pods have room now; " if search.free else ""
    return first + ", ".join(parts)


def cannot(wanted: Demand, world: World, search: Search, limits: tuple[Limit, ...]) -> Fit:
    """Say why a job does not fit: which limit binds, and whom to ask for what.

    Args:
        wanted: what the job asks for.
        world: what is known of the cluster.
        search: what was found.
        limits: those of the project that the job takes from.
    """
    missing = wanted.pods - search.free - search.slots
    base = Fit("cannot fit", "", free=search.free, growth=tuple(search.growth), limits=limits)
    some = f"{count(missing, 'pod')} of {wanted.pods} {'has' if missing == 1 else 'have'} no room"
    if search.short is not None:
        row = search.short
        needed = (row.used or 0.0) + row.takes
        return replace(
            base,
            sentence=f"{some}: quota {row.name} in {row.where} allows {row.shown(row.limit)}, "
            f"{row.shown(row.used)} used, the job would take {row.shown(row.takes)}",
            binding=f"quota {row.name} in {row.where}",
            ask=asking.of_project(world.project),
            request=asking.raise_quota(row, world.project, needed),
        )
    if search.full is not None:
        pool = search.full
        if 1 < pool.hosts <= (pool.most or 0):  # it is one slice, and no maximum makes two of it
            return replace(
                base,
                sentence=f"{some}: node pool {pool.name} is one slice of {pool.hosts} hosts",
                binding=f"the slice of node pool {pool.name}",
                ask=asking.of_pools(wanted),
                request=asking.create_pool(wanted, _pool_names(world)),
            )
        more = -(-missing // max(1, room(wanted, pool.allocatable)))
        needed_nodes = (pool.most_per_zone or pool.most or 0) + whole(pool, more)
        return replace(
            base,
            sentence=f"{some}: node pool {pool.name} may have {count(pool.most or 0, 'node')}, {pool.size} are there",
            binding=f"the maximum of node pool {pool.name}",
            ask="ask whoever may change node pools (container.clusters.update) to raise its maximum",
            request=asking.raise_pool(pool, needed_nodes),
        )
    if search.largest is not None and not search.free_nodes and not search.fixed:
        resource, asked, most = search.largest
        return replace(
            base,
            sentence=f"one pod asks for {amount(resource, asked)}, the largest such node has {amount(resource, most)}",
            binding=f"{resource} of one node",
        )
    if world.pools is None:
        seen = (
            f"{count(search.matching, 'node')} could hold it, but {search.free} of {wanted.pods} pods have room now"
            if search.matching
            else "no node that is there can hold it"
        )
        return replace(base, verdict="unknown", sentence=f"{seen}; whether the cluster grows is not visible to you")
    if search.matching:
        fixed = search.fixed or "the nodes that could hold it"
        return replace(
            base,
            sentence=f"{some}: {fixed} has {count(search.matching, 'node')}, {search.free_nodes} with room, "
            "and does not grow",
            binding=f"the size of node pool {fixed}",
            ask=asking.of_fixed_pool(in_use=search.free_nodes < search.matching),
            request=asking.resize_pool(fixed, search.matching + missing) if search.fixed else "",
        )
    why = _nearest_pool(wanted, world)
    return replace(
        base,
        sentence=why,
        binding="no node pool fits",
        ask=asking.of_pools(wanted),
        request=asking.create_pool(wanted, _pool_names(world)),
    )


def _pool_names(world: World) -> frozenset[str]:
    return frozenset(pool.name for pool in world.pools or ())


def _nearest_pool(wanted: Demand, world: World) -> str:
    """Say why none of the pools can hold the job, by the one that comes nearest."""
    label = wanted.selector.get(catalog.TPU_LABEL) or wanted.selector.get(ACCELERATOR_LABEL, "")
    same = [pool for pool in world.pools or () if label and pool.accelerator == label]
    if not same:
        what = f"has {label}" if label else "can hold it"
        return f"no node pool of the cluster {what}"
    for pool in same:
        for zone in pool.zones:
            why = why_not_on(wanted, {**pool.labels, ZONE_LABEL: zone}, pool.taints)
            if why:
                return f"no node pool fits; the nearest is {pool.name}: {why}"
        large = too_large(wanted, pool.allocatable)
        if large is not None:
            resource, asked, most = large
            return f"one pod asks for {amount(resource, asked)}, a node of {pool.name} has {amount(resource, most)}"
    return f"no node pool fits; the nearest is {same[0].name}"
