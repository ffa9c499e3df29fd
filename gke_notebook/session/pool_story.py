"""Why a node pool has the size it has: what the API, the autoscaler, its events and the quota say."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gke_notebook import catalog
from gke_notebook.cloud import quotas
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import EVENTS, Resource
from gke_notebook.errors import ApiError
from gke_notebook.insight.node_pools import NodePool
from gke_notebook.insight.operations import observe_operation
from gke_notebook.insight.pool_story import autoscaler_sentences, event_sentences, pool_sentences, quota_sentences

if TYPE_CHECKING:
    from gke_notebook.cloud.node_pools import NodePoolApi
    from gke_notebook.session.session import Session

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
_OPERATIONS = 3


def tell(session: Session, api: NodePoolApi, pool: NodePool) -> tuple[str, ...]:
    """Say why a pool has the size it has.

    Args:
        session: the session.
        api: the cluster's node pools.
        pool: as it stands.
    """
    now = time.time()
    operations = [observe_operation(one) for one in _since_creation(api.operations(pool.name))][:_OPERATIONS]
    raw = api.get(pool.name) or {}
    groups = [str(url).rpartition("/")[2] for url in raw.get("instanceGroupUrls") or ()]
    found = list(pool_sentences(pool, operations, now))
    if pool.label:
        region = catalog.region_of(api.target.location)
        limits, troubles = quotas.read(api.target, region)
        found += [*quota_sentences(pool, limits, region), *(f"quota: {text}" for text in troubles)]
    found += session.call(lambda client: _autoscaler(client, groups)) if pool.autoscaling else []
    found += session.call(lambda client: _events(client, session.namespace, pool.name, groups))
    return tuple(found)


def _since_creation(operations: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Leave out the operations of an earlier pool of the same name; the newest come first."""
    for one in operations:
        yield one
        if one.get("operationType") == "CREATE_NODE_POOL":
            return


async def _autoscaler(client: Client, groups: Iterable[str]) -> list[str]:
    try:
        found = await client.get(CONFIG_MAPS, "cluster-autoscaler-status", "kube-system")
    except ApiError as error:
        if error.status == 404:
            return ["autoscaler: it has not written its status (kube-system/cluster-autoscaler-status)"]
        if error.status == 403:
            return ["autoscaler: its status is not visible to you (configmaps in kube-system)"]
        raise
    return list(autoscaler_sentences(str((found.get("data") or {}).get("status") or ""), groups))


async def _events(client: Client, namespace: str, pool: str, groups: Iterable[str]) -> list[str]:
    try:
        items: list[dict[str, Any]] = (await client.list(EVENTS, namespace))["items"]
    except ApiError as error:
        if error.status != 403:
            raise
        return ["events: not visible to you"]
    return list(event_sentences(items, pool, groups))
