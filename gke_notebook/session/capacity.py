"""Looking around a cluster for a job: what is free, what may grow, what the namespace and the project may have."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from gke_notebook import catalog
from gke_notebook.cluster.access import Check, can_i
from gke_notebook.cluster.cache import Cache, Collection
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import PODS, Resource
from gke_notebook.errors import ApiError, GkeNotebookError, InvalidInput
from gke_notebook.insight.demand import Amounts, demand
from gke_notebook.insight.fit import fit
from gke_notebook.insight.pools import pools_of
from gke_notebook.insight.world import Fit, World
from gke_notebook.objects import Manifest, Node
from gke_notebook.session.usage import NOT_ENDED, BoundPod, Usage

if TYPE_CHECKING:
    from gke_notebook.cloud.target import Target
    from gke_notebook.insight.quota import CloudQuota
    from gke_notebook.session.plan import Plan
    from gke_notebook.session.session import Session

T = TypeVar("T")

RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange")
LOCAL_QUEUES = Resource("kueue.x-k8s.io", "v1beta1", "localqueues", "LocalQueue")
CLUSTER_QUEUES = Resource("kueue.x-k8s.io", "v1beta1", "clusterqueues", "ClusterQueue", namespaced=False)
COMPUTE_CLASSES = Resource("cloud.google.com", "v1", "computeclasses", "ComputeClass", namespaced=False)
_SYNC_SECONDS = 20.0
_WAITS = "the job will wait until a node pool with it exists"
_POOLS_SECONDS = 5.0  # node pools are not asked for more often than this
_QUOTA_SECONDS = 20.0
_ABSENT_SECONDS = 60.0  # what is not there, or may not be seen, is not asked for again before


class Capacity:
    """Everything a session knows of the room in its cluster; it only reads.

    Args:
        session: the session.
        cache: its watches.
    """

    def __init__(self, session: Session, cache: Cache) -> None:
        self._session = session
        self._cache = cache
        self._pods: Collection[BoundPod] | None = None
        self._all_pods: bool | None = None
        self._usage = Usage()
        self._kept: dict[str, tuple[float, Any]] = {}
        self._target: Target | GkeNotebookError | None = None

    def fit(self, manifests: Sequence[Manifest], nodes: Sequence[Node] | None, namespace: str) -> Fit:
        """Say whether a job fits; Google Cloud is asked only when it does not fit into what is free.

        Args:
            manifests: the objects that would be created.
            nodes: the cluster's nodes, None when they may not be seen.
            namespace: where the job goes.
        """
        wanted = demand(manifests)
        near = self._session.call(lambda client: self._near(client, nodes, namespace))
        found = fit(wanted, near)
        if found.verdict == "fits" or found.binding.startswith(("ResourceQuota", "LimitRange")):
            return found
        return fit(wanted, self._far(near, nodes))

    def fitted(self, plan: Plan, nodes: Sequence[Node] | None) -> Plan:
        """Give a plan that says whether it fits.

        Args:
            plan: the plan.
            nodes: the cluster's nodes, None when they may not be seen.
        """
        found = self.fit(plan.manifests, nodes, plan.spec.namespace)
        # Whether machines come is said better by the fit than by a look at the nodes that are there.
        notes = plan.notes if found.verdict == "unknown" else tuple(n for n in plan.notes if not n.endswith(_WAITS))
        return replace(plan, fit=found, notes=notes)

    def world(self, nodes: Sequence[Node] | None, namespace: str) -> World:
        """Give everything that is known.

        Args:
            nodes: the cluster's nodes, None when they may not be seen.
            namespace: the namespace.
        """
        return self._far(self._session.call(lambda client: self._near(client, nodes, namespace)), nodes)

    def forget(self) -> None:
        """Ask Google Cloud again next time, because something was changed there."""
        self._kept = {key: kept for key, kept in self._kept.items() if not key.startswith("cloud ")}

    # -- Kubernetes

    async def _near(self, client: Client, nodes: Sequence[Node] | None, namespace: str) -> World:
        quotas, ranges, local, cluster, classes = await asyncio.gather(
            self._list(client, RESOURCE_QUOTAS, namespace),
            self._list(client, LIMIT_RANGES, namespace),
            self._list(client, LOCAL_QUEUES, namespace),
            self._list(client, CLUSTER_QUEUES, None),
            self._list(client, COMPUTE_CLASSES, None),
        )
        notes = []
        used: Mapping[str, Amounts] = {}
        if nodes is not None:
            await self._watch_pods(client, namespace)
            used = self._usage.by_node
            if not self._all_pods:
                notes.append("the pods of other namespaces are not visible to you: less may be free than is said")
        return World(
            nodes=nodes,
            used=used,
            region=_region(nodes),
            resource_quotas=quotas,
            limit_ranges=ranges,
            local_queues=local,
            cluster_queues=cluster,
            classes=frozenset(one["metadata"]["name"] for one in classes if _makes_pools(one)),
            notes=tuple(notes),
        )

    async def _list(self, client: Client, resource: Resource, namespace: str | None) -> list[Manifest]:
        key = f"absent {resource.plural} {namespace}"
        if self._fresh(key, _ABSENT_SECONDS) is not None:
            return []
        try:
            found: list[Manifest] = (await client.list(resource, namespace))["items"]
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            self._kept[key] = (time.monotonic(), True)
            return []
        return found

    async def _watch_pods(self, client: Client, namespace: str) -> None:
        if self._pods is None:
            watch = Check("watch", "pods")
            try:
                self._all_pods = (await can_i(client, [watch]))[watch]
            except ApiError:
                self._all_pods = False  # a server that does not say: our own pods are known in any case
            where = None if self._all_pods else namespace
            self._pods = self._cache.open(PODS, where, field_selector=NOT_ENDED, type_=BoundPod)
            self._pods.listen(self._usage)
        await self._pods.synced(_SYNC_SECONDS)

    # -- Google Cloud

    def target(self) -> Target:
        """Say which cluster of Google Cloud this is.

        Raises:
            NotConnected: the connection does not say.
        """
        from gke_notebook.session.target import find

        if self._target is None:
            try:
                self._target = find(self._session.connection)
            except GkeNotebookError as error:
                self._target = error
        if isinstance(self._target, GkeNotebookError):
            raise self._target
        return self._target

    def _far(self, near: World, nodes: Sequence[Node] | None) -> World:
        try:
            target = self.target()
            cluster = self._keep("cloud cluster", _POOLS_SECONDS, functools.partial(_cluster, target))
        except GkeNotebookError as error:
            return replace(near, notes=(*near.notes, f"Google Cloud cannot be asked: {error}"))
        region = near.region or catalog.region_of(target.location)
        quotas, troubles = self._keep(
            f"cloud quotas {region}", _QUOTA_SECONDS, functools.partial(_quotas, target, region)
        )
        scaling = cluster.get("autoscaling") or {}
        limits = {one["resourceType"]: float(one.get("maximum", 0)) for one in scaling.get("resourceLimits") or ()}
        return replace(
            near,
            pools=pools_of(cluster, nodes or ()),
            autopilot=bool((cluster.get("autopilot") or {}).get("enabled")),
            provisions=limits if scaling.get("enableNodeAutoprovisioning") else None,
            quotas=quotas or None,
            region=region,
            project=target.project,
            notes=(*near.notes, *troubles),
        )

    def _fresh(self, key: str, seconds: float) -> Any:
        when, value = self._kept.get(key, (float("-inf"), None))
        return value if time.monotonic() - when < seconds else None

    def _keep(self, key: str, seconds: float, ask: Callable[[], T]) -> T:
        found: T | None = self._fresh(key, seconds)
        if found is None:
            found = ask()
            self._kept[key] = (time.monotonic(), found)
        return found


def _cluster(target: Target) -> Manifest:
    with contextlib.closing(target.rest("container")) as api:
        return api.call("GET", f"/v1/{target.name}")


def _quotas(target: Target, region: str) -> tuple[tuple[CloudQuota, ...], tuple[str, ...]]:
    from gke_notebook.cloud import quotas

    return quotas.read(target, region)


def _region(nodes: Sequence[Node] | None) -> str:
    for node in nodes or ():
        region = node.metadata.labels.get("topology.kubernetes.io/region", "")
        if region:
            return region
    return ""


def _makes_pools(compute_class: Manifest) -> bool:
    spec = compute_class.get("spec") or {}
    return bool((spec.get("nodePoolAutoCreation") or {}).get("enabled"))


def refuse(found: Fit | None, *, queue_anyway: bool) -> None:
    """Refuse to create a job that cannot fit, unless it is to wait all the same.

    Args:
        found: whether it fits, None when nobody has looked.
        queue_anyway: whether it is to wait.

    Raises:
        InvalidInput: it cannot fit.
    """
    if found is None or found.verdict != "cannot fit" or queue_anyway:
        return
    parts = [f"it cannot fit: {found.sentence}"]
    if found.ask:
        parts.append(found.ask)
    if found.request:
        parts.append(f"`{found.request}`")
    raise InvalidInput("; ".join(parts) + "; --queue-anyway creates it all the same, to wait")
