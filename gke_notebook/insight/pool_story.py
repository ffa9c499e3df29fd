"""The story of a node pool in sentences: state, last changes, what the autoscaler said, the lease; pure.

Forms: kubernetes/autoscaler, clusterstate/api/types.go (since 1.30 YAML) and the pod events of its processors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gke_notebook import catalog, names
from gke_notebook.catalog.quota_metrics import quota_metrics
from gke_notebook.errors import InvalidInput
from gke_notebook.insight.node_pools import POOL_LABEL, NodePool
from gke_notebook.insight.operations import OperationState
from gke_notebook.insight.quota import CloudQuota
from gke_notebook.insight.text import count, duration, one_line
from gke_notebook.objects import Node

_EVENTS = ("TriggeredScaleUp", "FailedScaleUp", "NotTriggerScaleUp", "ScaleDown", "ScaleDownFailed")
_LAST = 5  # events that are shown


def pool_sentences(pool: NodePool, operations: Sequence[OperationState], now: float) -> Iterable[str]:
    """Say what the API tells of a pool.

    Args:
        pool: as it stands.
        operations: its last operations, the newest first.
        now: the time in seconds since 1970.
    """
    ready = "" if pool.ready is None else f", {pool.ready} ready"
    yield f"size: {count(pool.size, 'node')} asked for{ready}; {pool.status}"
    if pool.autoscaling:
        yield f"limits: the autoscaler keeps it between {pool.least} and {pool.most} nodes"
        if pool.size >= pool.most:
            more = f"%gke_nodepool resize {pool.name} --max {pool.most * 2}"
            yield f"it is at its limit of {pool.most}; {more} lets it grow" if not pool.hosts else "its slice is whole"
    else:
        yield f"limits: it does not scale by itself; %gke_nodepool resize {pool.name} --nodes N changes it"
    yield from (f"error: {text}" for text in pool.conditions)
    for one in operations:
        ago = "" if one.ended is None else f" {duration(now - one.ended.timestamp())} ago"
        yield f"last: {one.sentence}{ago}{f'; {one.advice}' if one.advice else ''}"
    if pool.jobs:
        yield f"jobs: {', '.join(map(str, pool.jobs))}"
    else:
        yield "jobs: none has a pod on it"
    cost = "unknown" if pool.usd_hour is None else f"{pool.usd_hour:.2f} USD/h now"
    yield f"price: {cost} ({pool.price_basis})"
    yield f"lease: {pool.lease_words(now)}"
    orphaned = pool.orphaned(now)
    if orphaned:
        choices = f"%gke_nodepool extend {pool.name} or %gke_nodepool delete {pool.name}"
        yield f"nobody seems to want it: {orphaned}; {choices}"


def quota_sentences(pool: NodePool, quotas: Iterable[CloudQuota], region: str) -> Iterable[str]:
    """Say what quota its nodes are taken from, and for how many more nodes it suffices.

    Args:
        pool: as it stands.
        quotas: the project's quotas that may be seen.
        region: the cluster's.
    """
    if pool.label and pool.provisioning == "reservation":
        yield "quota: its nodes take what the reservation took when it was made"
    known = list(quotas)
    for metric in quota_metrics(pool.label, pool.provisioning):
        for one in known:
            if one.metric != metric or one.region not in ("", region):
                continue
            used = "" if one.usage is None else f"{one.usage:g} of "
            said = f"quota: {metric}, {used}{one.limit:g}{' used' if used else ' at most'}"
            if one.usage is not None and pool.each:
                more = max(0, int((one.limit - one.usage) // pool.each))
                said += f": enough for {more or 'no'} more {'node' if more == 1 else 'nodes'}"
            yield said


def autoscaler_sentences(status: str, groups: Iterable[str]) -> Iterable[str]:
    """Say what the autoscaler's status says of a pool's instance groups.

    Args:
        status: the text of its ConfigMap, YAML.
        groups: the names of the groups.
    """
    import yaml

    wanted = set(groups)
    try:
        loaded = yaml.safe_load(status)
    except yaml.YAMLError:
        loaded = None
    if not isinstance(loaded, dict):
        yield "autoscaler: its status cannot be read"
        return
    listed = [one for one in loaded.get("nodeGroups") or () if str(one.get("name", "")).rpartition("/")[2] in wanted]
    if not listed:
        yield "autoscaler: it does not know this pool yet"
    for one in listed:
        up, down = one.get("scaleUp") or {}, one.get("scaleDown") or {}
        backoff = up.get("backoffInfo") or {}
        said = f"autoscaler: scale-up {up.get('status', 'unknown')}"
        if backoff:
            said += (
                f", it waits before it tries again: {backoff.get('errorCode', '')} {backoff.get('errorMessage', '')}"
            )
        said += f"; scale-down {down.get('status', 'unknown')}"
        yield one_line(said, 600)


def event_sentences(events: Iterable[Mapping[str, Any]], pool: str, groups: Iterable[str]) -> Iterable[str]:
    """Give the last things that the autoscaler has said to pods about a pool, the newest first.

    Args:
        events: events of the namespace.
        pool: the pool's name.
        groups: the names of its instance groups.
    """
    words = [pool, *groups]
    about = [
        one
        for one in events
        if one.get("reason") in _EVENTS
        and (one.get("reason") != "TriggeredScaleUp" or any(word in str(one.get("message", "")) for word in words))
    ]
    about.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""), reverse=True)
    for one in about[:_LAST]:
        where = (one.get("involvedObject") or {}).get("name", "")
        yield one_line(f"event: {one.get('reason')} for {where}: {one.get('message', '')}", 400)


def lease_warnings(pools: Iterable[NodePool], now: float, soon: float) -> Iterable[str]:
    """Say loudly which leases are over, or nearly.

    Args:
        pools: the pools.
        now: the time in seconds since 1970.
        soon: seconds before the end from which it is said.
    """
    for pool in pools:
        left = pool.lease_left(now)
        if left is None or left > soon:
            continue
        cost = "" if not pool.usd_hour else f" and costs {pool.usd_hour:.2f} USD/h"
        over = f"the lease of node pool {pool.name} is over since {duration(-left)}{cost}"
        ending = f"the lease of node pool {pool.name} ends in {duration(left)}{cost and cost.replace(' and', '; it')}"
        yield (
            f"{over if left <= 0 else ending}: %gke_nodepool extend {pool.name} keeps it, %gke_nodepool delete "
            f"{pool.name} ends it"
        )


def pools_of_nodes(nodes: Iterable[Node]) -> list[NodePool]:
    """Give what nodes alone say of their pools: leases and prices, without asking Google Cloud.

    Args:
        nodes: the cluster's nodes.
    """
    found: dict[str, list[Node]] = {}
    for node in nodes:
        name = node.metadata.labels.get(POOL_LABEL, "")
        if name and node.metadata.labels.get(names.LEASE, "").isdigit():
            found.setdefault(name, []).append(node)
    return [_of_nodes(name, group) for name, group in sorted(found.items())]


def _of_nodes(name: str, nodes: Sequence[Node]) -> NodePool:
    labels = nodes[0].metadata.labels
    machine = labels.get("node.kubernetes.io/instance-type", "")
    label = labels.get("cloud.google.com/gke-accelerator", "")
    how = labels.get("cloud.google.com/gke-provisioning", "")
    try:
        number = int(labels.get("cloud.google.com/gke-accelerator-count", "0") or 0)
        rate = catalog.rate(
            catalog.attached(machine, label, number),
            labels.get("topology.kubernetes.io/zone", ""),
            how if how in {"spot", "flex-start"} else "on-demand",
        )
    except (InvalidInput, ValueError):
        rate = None
    return NodePool(
        name=name,
        machine_type=machine,
        size=len(nodes),
        lease_until=float(labels[names.LEASE]),
        usd_hour_each=None if rate is None else rate.usd_hour,
        owner=labels.get(names.OWNER, ""),
    )
