"""Whether a job fits a cluster: at once, after it has grown, or not, and which limit binds; pure, nothing is asked.

Pods are counted node by node, because what is free on two nodes together holds no pod. How a cluster may grow follows
from its node pools' own limits and the project's quota; which pool the autoscaler takes in the end is its decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gke_notebook import catalog
from gke_notebook.catalog.quota_metrics import QuotaMetric, quota_metrics
from gke_notebook.insight import ask as asking
from gke_notebook.insight.demand import POOL_LABEL, TOLERANCE, Demand, amount_of, room, why_not_on
from gke_notebook.insight.pools import ACCELERATOR_LABEL, COUNT_LABEL, PROVISIONING_LABEL, ZONE_LABEL, Pool, whole
from gke_notebook.insight.quota import Limit, cloud_limits, namespace_limits, outside, queue_limits, unnamed
from gke_notebook.insight.unfit import cannot, free_sentence, growth_sentence
from gke_notebook.insight.world import Fit, Growth, Search, World
from gke_notebook.objects import Node, Taint

_TPU_LABEL = "cloud.google.com/gke-tpu-accelerator"
_CLASS_LABEL = "cloud.google.com/compute-class"


def fit(wanted: Demand, world: World) -> Fit:
    """Say whether a job fits a cluster.

    Args:
        wanted: what the job asks for.
        world: what is known of the cluster.
    """
    refused = _refused(wanted, world)
    if refused is not None:
        return refused
    queue = queue_limits(world.local_queues, world.cluster_queues, wanted)
    never = next((one for one in queue if one.limit is not None and one.takes > one.limit + 1e-6), None)
    limits = (*namespace_limits(world.resource_quotas, wanted), *queue)
    if never is not None:
        return Fit(
            "cannot fit",
            f"queue {never.name} never has more than {never.shown(never.limit)}, the job takes "
            f"{never.shown(never.takes)}",
            binding=never.name, ask=asking.of_queue(never), limits=limits,
        )  # fmt: skip
    waits = next((one for one in queue if one.short), None)
    found = replace(_placed(wanted, world), queued=_queued(waits))
    return replace(found, limits=(*limits, *found.limits))


def _queued(limit: Limit | None) -> str:
    if limit is None:
        return ""
    return (
        f"waits in its queue: {limit.name} has {limit.shown(limit.left)} of {limit.shown(limit.limit)} left, "
        f"the job takes {limit.shown(limit.takes)}"
    )


def _refused(wanted: Demand, world: World) -> Fit | None:
    """Say what the API server would refuse of the pods, before there is any question of room."""
    limits = namespace_limits(world.resource_quotas, wanted)
    name, why = outside(world.limit_ranges, wanted)
    if name:
        ask = f"ask for less, or whoever administers namespace {wanted.namespace} to widen LimitRange {name}"
        return Fit(
            "cannot fit", f"LimitRange {name} refuses the pods ({why})", f"LimitRange {name}", ask, limits=limits
        )
    missing = "" if world.limit_ranges else unnamed(world.resource_quotas, wanted)
    if missing:
        return Fit("cannot fit", missing, missing.partition(" demands")[0], limits=limits)
    short = next((one for one in limits if one.short), None)
    if short is None:
        return None
    return Fit(
        "cannot fit",
        f"ResourceQuota {short.name} allows {short.shown(short.limit)} in namespace {short.where}, "
        f"{short.shown(short.used)} used, the job takes {short.shown(short.takes)}",
        binding=f"ResourceQuota {short.name}",
        ask=asking.of_namespace(short),
        request=asking.patch_quota(short),
        limits=limits,
    )


def _placed(wanted: Demand, world: World) -> Fit:
    if world.nodes is None and world.pools is None:
        return Fit("unknown", "the cluster's nodes are not visible to you; whether one fits shows when the job waits")
    search = Search()
    _free(wanted, world, search)
    if search.free >= wanted.pods:
        return Fit("fits", free_sentence(search), free=search.free)
    growers = _growers(wanted, world)
    rows = _quota_rows(world, growers)
    _grow(wanted, world, search, growers, rows)
    limits = _taken(rows, search.growth, growers)
    if search.free + search.slots >= wanted.pods:
        return Fit(
            "fits after scale-up",
            growth_sentence(search),
            free=search.free,
            growth=tuple(search.growth),
            limits=limits,
        )
    return cannot(wanted, world, search, limits)


def _free(wanted: Demand, world: World, search: Search) -> None:
    """Count the pods that have room on the nodes as they are; where each may stand anywhere, until there are enough."""
    selector, found = wanted.selector.items(), 0
    needed = [(name, number) for name, number in wanted.requests.items() if number > 0]
    may: dict[tuple[Taint, ...], bool] = {}  # few kinds of nodes have many nodes
    for node in world.nodes or ():
        labels = node.metadata.labels
        if not selector <= labels.items():  # nearly all nodes of a large cluster end here
            continue
        taints = node.spec.taints
        if taints not in may:
            may[taints] = not why_not_on(Demand(0, tolerations=wanted.tolerations), {}, taints)
        if not may[taints] or (wanted.terms and why_not_on(wanted, labels, ())):
            continue
        search.matching += 1
        slots, fits_idle = _slots(needed, node, world.used.get(node.metadata.name), search)
        if fits_idle:
            search.fixed = search.fixed or labels.get(POOL_LABEL, "")
        if slots and not node.spec.unschedulable and _ready(node):
            pool = labels.get(POOL_LABEL, "")
            search.free_nodes += 1
            search.pools[pool] = search.pools.get(pool, 0) + slots
            found += slots
            if found >= wanted.pods and not wanted.group:
                break
    search.free = _in_groups(wanted, search.pools)


def _slots(
    needed: Sequence[tuple[str, float]], node: Node, used: Mapping[str, float] | None, search: Search
) -> tuple[int, bool]:
    """Count the pods that have room on a node, and say whether one would if it were idle."""
    whole, most = node.status.allocatable, 10**6
    used = used or {}
    if "pods" in whole:
        most = int(amount_of(whole["pods"]) - used.get("pods", 0.0))
    for name, number in needed:
        have = amount_of(whole.get(name, 0))
        if number > have + TOLERANCE:
            if search.largest is None or have > search.largest[2]:
                search.largest = name, number, have
            return 0, False
        most = min(most, int((have - used.get(name, 0.0) + TOLERANCE) / number))
    return max(0, most), True


def _ready(node: Node) -> bool:
    return all(one.status == "True" for one in node.status.conditions if one.type == "Ready")


def _in_groups(wanted: Demand, slots: Mapping[str, int]) -> int:
    """Count the pods that have room when each group of them stands in one pool."""
    if not wanted.group:
        return min(wanted.pods, sum(slots.values()))
    whole = sum(
        1 if wanted.exclusive and number >= wanted.group else number // wanted.group for number in slots.values()
    )
    return min(wanted.pods, whole * wanted.group)


def _growers(wanted: Demand, world: World) -> list[Pool]:
    """Give the pools that could grow for the job, full ones too, and what GKE would make by itself."""
    found = []
    for pool in world.pools or ():
        zones = tuple(
            zone for zone in pool.zones if not why_not_on(wanted, {**pool.labels, ZONE_LABEL: zone}, pool.taints)
        )
        if zones and room(wanted, pool.allocatable) and pool.status not in {"STOPPING", "ERROR"}:
            found.append(replace(pool, zones=zones))
    made = _made(wanted, world)
    return found if made is None else [*found, made]


def _made(wanted: Demand, world: World) -> Pool | None:
    """Give the pool that Autopilot, node auto-provisioning or a ComputeClass would make, None when none would."""
    named = wanted.selector.get(_CLASS_LABEL, "")
    if not (world.autopilot or world.provisions is not None or named in world.classes) or POOL_LABEL in wanted.selector:
        return None
    label = wanted.selector.get(_TPU_LABEL) or wanted.selector.get(ACCELERATOR_LABEL, "")
    resource, each = wanted.accelerators
    if resource and not label:
        return None  # which accelerator is not said, and GKE would not guess
    most = None
    if world.provisions is not None and not world.autopilot and label and named not in world.classes:
        if label not in world.provisions:
            return None
        most = int(world.provisions[label]) // max(1, each)
    provisioning = _provisioning(wanted)
    zone = wanted.selector.get(ZONE_LABEL, "")
    name = (
        "Autopilot" if world.autopilot else f"ComputeClass {named}" if named in world.classes else "auto-provisioning"
    )
    return Pool(
        name, labels=wanted.selector, allocatable={**wanted.requests, "pods": 1.0}, zones=(zone or world.region,),
        most=most, accelerator=label, each=int(wanted.selector.get(COUNT_LABEL) or each), provisioning=provisioning,
        scales=True,
    )  # fmt: skip


def _provisioning(wanted: Demand) -> str:
    selector = wanted.selector
    if selector.get("cloud.google.com/gke-spot") == "true" or selector.get(PROVISIONING_LABEL) == "spot":
        return "spot"
    if selector.get("cloud.google.com/gke-flex-start") == "true" or selector.get(PROVISIONING_LABEL) == "flex-start":
        return "flex-start"
    return "reservation" if "cloud.google.com/reservation-name" in selector else "on-demand"


def _region(pool: Pool, world: World) -> str:
    return catalog.region_of(pool.zones[0]) if pool.zones else world.region


def _takes(pool: Pool, world: World) -> list[tuple[QuotaMetric, str]]:
    """Name the quotas that a node of a pool takes `pool.each` from, with the region of each."""
    region = _region(pool, world)
    metrics = quota_metrics(pool.accelerator, pool.provisioning)
    return [(metric, region if metric.metric != "GPUS_ALL_REGIONS" else "") for metric in metrics]


def _quota_rows(world: World, growers: Iterable[Pool]) -> dict[tuple[QuotaMetric, str], Limit]:
    if not world.quotas:
        return {}
    keys = {key for pool in growers for key in _takes(pool, world)}
    told = [quota for quota in world.quotas if (quota.metric, quota.region) in keys]
    rows = cloud_limits(told, {}, here(world.nodes or ()))
    return {(quota.metric, quota.region): row for quota, row in zip(told, rows, strict=True)}


def here(nodes: Iterable[Node]) -> dict[str, float]:
    """Add up what a cluster's own nodes take of the project's quotas, by the quota's name.

    Args:
        nodes: of the cluster.
    """
    total: dict[str, float] = {}
    for node in nodes:
        labels = node.metadata.labels
        label = labels.get(ACCELERATOR_LABEL) or labels.get(_TPU_LABEL, "")
        if not label:
            continue
        whole = node.status.capacity or node.status.allocatable
        number = max(amount_of(whole.get("nvidia.com/gpu", 0)), amount_of(whole.get("google.com/tpu", 0)))
        spot = labels.get("cloud.google.com/gke-spot") == "true"
        model = "spot" if spot else labels.get(PROVISIONING_LABEL, "standard")
        for metric in quota_metrics(label, model if model in {"spot", "flex-start"} else "on-demand"):
            total[str(metric)] = total.get(str(metric), 0.0) + number
    return total


def _grow(
    wanted: Demand, world: World, search: Search, growers: Sequence[Pool],
    rows: Mapping[tuple[QuotaMetric, str], Limit],
) -> None:  # fmt: skip
    """Let pools grow, within their limits and the quotas, until the rest of the pods has room or nothing grows."""
    left = {key: row.left if row.left is not None else float("inf") for key, row in rows.items()}
    slots = dict(search.pools)
    # A pool that has nodes of the job already first, then the one that needs the fewest nodes.
    order = sorted(growers, key=lambda pool: (pool.name not in slots, -room(wanted, pool.allocatable), pool.name))
    for pool in order:
        each = room(wanted, pool.allocatable)
        total_left = 10**6 if pool.most is None else pool.most - pool.size
        if not pool.scales or total_left <= 0:
            search.full = search.full or (pool if pool.scales else None)
            continue
        for zone in pool.zones:
            missing = wanted.pods - _in_groups(wanted, slots)
            if missing <= 0:
                return
            needed = whole(pool, -(-missing // each))
            allowed = min(pool.room_for_nodes(zone), max(0, total_left))
            if allowed < needed:
                search.full = search.full or pool
            nodes = min(needed, allowed)
            for key in _takes(pool, world):
                if key in left and pool.each and left[key] < nodes * pool.each:
                    search.short = search.short or replace(rows[key], takes=float(nodes * pool.each))
                    nodes = int(max(0.0, left[key]) // pool.each)
            nodes -= nodes % pool.hosts
            if nodes <= 0:
                continue
            for key in _takes(pool, world):
                if key in left:
                    left[key] -= nodes * pool.each
            total_left -= nodes
            slots[pool.name] = slots.get(pool.name, 0) + nodes * each
            search.growth.append(
                Growth(pool.name, pool.sizes.get(zone, 0), nodes, pool.machine_type, pool.provisioning, zone)
            )
    search.slots = _in_groups(wanted, slots) - search.free


def _taken(
    rows: Mapping[tuple[QuotaMetric, str], Limit], growth: Iterable[Growth], growers: Iterable[Pool]
) -> tuple[Limit, ...]:
    pools = {pool.name: pool for pool in growers}
    takes: dict[tuple[QuotaMetric, str], float] = {}
    for one in growth:
        pool = pools[one.pool]
        for metric in quota_metrics(pool.accelerator, pool.provisioning):
            for key in rows:
                if key[0] == metric:
                    takes[key] = takes.get(key, 0.0) + one.nodes * pool.each
    return tuple(replace(row, takes=takes.get(key, 0.0)) for key, row in rows.items())
