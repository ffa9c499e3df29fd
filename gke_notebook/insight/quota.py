"""What a namespace, a queue and a project may have: limits, what is used of them, and what a job would take; pure.

Facts: Kubernetes documentation, "Resource Quotas" (2026-11); Kueue v0.17.1, `apis/kueue/v1beta2`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gke_notebook.catalog.quota_metrics import QuotaMetric
from gke_notebook.insight.demand import Demand, amount_of
from gke_notebook.objects import Manifest

Kind = Literal["namespace", "queue", "cloud", "pool"]
_SIZES = {"memory", "ephemeral-storage", "storage"}


@dataclass(frozen=True)
class Limit:
    """One limit: a row of `%gke_quota`.

    Args:
        kind: whose it is: a ResourceQuota of the namespace, a queue of Kueue, the Google Cloud project, a node pool.
        name: of the quota, with the resource, for example ``team-gpu: requests.nvidia.com/gpu``.
        where: the namespace or the region.
        limit: how much there may be, None for no limit.
        used: how much there is now, None when nobody says.
        takes: how much the job would take.
        resource: what is counted, which says whether numbers are bytes.
        note: what else to know, for example that a number is only a lower bound.
        quota_id: the id by which Cloud Quotas knows it, empty for others.
        dimensions: its dimensions there.
    """

    kind: Kind
    name: str
    where: str
    limit: float | None
    used: float | None = None
    takes: float = 0.0
    resource: str = ""
    note: str = ""
    quota_id: str = ""
    dimensions: Mapping[str, str] = ()  # type: ignore[assignment]  # read only

    @property
    def left(self) -> float | None:
        """How much may still be taken; None when there is no limit."""
        return None if self.limit is None else self.limit - (self.used or 0.0)

    @property
    def short(self) -> bool:
        """Whether the job takes more than is left."""
        left = self.left
        return left is not None and self.takes > left + 1e-6 and self.takes > 0

    def shown(self, value: float | None) -> str:
        """Put a number of it into words.

        Args:
            value: the number.
        """
        if value is None:
            return "?"
        if self.resource.rpartition(".")[2] in _SIZES:
            return f"{value / 2**30:.4g} GiB"
        return f"{value:g}"


@dataclass(frozen=True)
class CloudQuota:
    """One quota of the Google Cloud project as its APIs tell it.

    Args:
        metric: its name and family.
        region: where, empty for all regions.
        limit: how much there may be.
        usage: how much there is, None when the API does not say.
        quota_id: the id by which Cloud Quotas knows it, empty when it was not asked.
    """

    metric: QuotaMetric
    region: str
    limit: float
    usage: float | None = None
    quota_id: str = ""


def namespace_limits(quotas: Iterable[Manifest], wanted: Demand | None = None) -> tuple[Limit, ...]:
    """Give the limits of a namespace's ResourceQuotas; with a job, only of those that count its pods.

    Args:
        quotas: the ResourceQuotas.
        wanted: what the job asks for.
    """
    found = []
    for quota in quotas:
        meta, spec, status = quota["metadata"], quota.get("spec") or {}, quota.get("status") or {}
        if wanted is not None and not _counts(spec, wanted):
            continue
        # Until the controller has counted, the spec stands alone.
        hard = {**(spec.get("hard") or {}), **(status.get("hard") or {})}
        for resource, most in hard.items():
            found.append(
                Limit(
                    kind="namespace",
                    name=f"{meta['name']}: {resource}",
                    where=meta.get("namespace", ""),
                    limit=amount_of(most),
                    used=amount_of((status.get("used") or {}).get(resource, 0)),
                    takes=0.0 if wanted is None else takes(resource, wanted),
                    resource=resource,
                )
            )
    return tuple(found)


def takes(resource: str, wanted: Demand) -> float:
    """Say how much of a ResourceQuota's resource a job takes.

    Args:
        resource: for example ``requests.nvidia.com/gpu``, ``pods`` or ``count/jobs.batch``.
        wanted: what the job asks for.
    """
    if resource in {"pods", "count/pods"}:
        return float(wanted.pods)
    if resource in wanted.objects:
        return float(wanted.objects[resource])
    if resource.startswith("limits."):
        return wanted.limits.get(resource.removeprefix("limits."), 0.0) * wanted.pods
    return wanted.requests.get(resource.removeprefix("requests."), 0.0) * wanted.pods


def _counts(spec: Mapping[str, Any], wanted: Demand) -> bool:
    """Say whether a quota counts the job's pods, by its scopes."""
    scopes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_in_scope(scope, wanted) for scope in scopes)


def _in_scope(scope: Mapping[str, Any], wanted: Demand) -> bool:
    name, operator, values = scope["scopeName"], scope.get("operator", "Exists"), scope.get("values") or ()
    if name == "PriorityClass":
        has = wanted.priority_class
        return {"In": has in values, "NotIn": has not in values, "Exists": bool(has), "DoesNotExist": not has}.get(
            operator, True
        )
    best_effort = not wanted.requests and not wanted.limits
    within = {
        "Terminating": wanted.terminating,
        "NotTerminating": not wanted.terminating,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": False,
    }.get(name, True)
    return within if operator == "Exists" else not within


def unnamed(quotas: Iterable[Manifest], wanted: Demand) -> str:
    """Say which request or limit a quota demands of every pod and the job does not make; empty when none.

    Args:
        quotas: the ResourceQuotas.
        wanted: what the job asks for.
    """
    for quota in quotas:
        spec = quota.get("spec") or {}
        if not _counts(spec, wanted):
            continue
        for resource in spec.get("hard") or {}:
            kind, _, name = resource.rpartition("limits.") if resource.startswith("limits.") else ("", "", resource)
            if resource.startswith("limits.") and name in {"cpu", "memory"} and name not in wanted.limits:
                return f"ResourceQuota {quota['metadata']['name']} demands that every container has a limit of {name}"
            plain = resource.removeprefix("requests.")
            if not kind and plain in {"cpu", "memory"} and plain not in wanted.requests:
                return f"ResourceQuota {quota['metadata']['name']} demands that every container requests {plain}"
    return ""


def outside(ranges: Iterable[Manifest], wanted: Demand) -> tuple[str, str]:
    """Say which LimitRange refuses the job's pods, and why; two empty texts when none does.

    Args:
        ranges: the LimitRanges of the namespace.
        wanted: what the job asks for; its pods have one container.
    """
    for found in ranges:
        for item in (found.get("spec") or {}).get("limits") or ():
            if item.get("type") not in {"Container", "Pod"}:
                continue
            for resource, most in (item.get("max") or {}).items():
                asked = wanted.limits.get(resource, wanted.requests.get(resource, 0.0))
                if asked > amount_of(most) + 1e-6:
                    return found["metadata"]["name"], f"{resource}: at most {most} for each {item['type'].lower()}"
            for resource, least in (item.get("min") or {}).items():
                asked = wanted.requests.get(resource, 0.0)
                if resource in wanted.requests and asked < amount_of(least) - 1e-6:
                    return found["metadata"]["name"], f"{resource}: at least {least} for each {item['type'].lower()}"
    return "", ""


def queue_limits(
    local_queues: Iterable[Manifest], cluster_queues: Iterable[Manifest], wanted: Demand | None = None
) -> tuple[Limit, ...]:
    """Give the limits of the queues: of each resource the nominal quota of all flavours and what may be borrowed.

    Args:
        local_queues: the LocalQueues of the namespace.
        cluster_queues: the ClusterQueues that may be seen.
        wanted: what the job asks for; only the queue that it names counts it.
    """
    known = {one["metadata"]["name"]: one for one in cluster_queues}
    found = []
    for queue in local_queues:
        name, target = queue["metadata"]["name"], queue["spec"].get("clusterQueue", "")
        own = wanted if wanted is not None and wanted.queue == name else None
        if wanted is not None and own is None:
            continue
        if target in known:
            found += _of_queue(name, known[target], own)
        else:
            found += _of_local(queue, own)
    return tuple(found)


def _of_queue(name: str, queue: Manifest, wanted: Demand | None) -> list[Limit]:
    limits: dict[str, float | None] = {}
    cohort = queue["spec"].get("cohortName") or queue["spec"].get("cohort") or ""
    for group in queue["spec"].get("resourceGroups") or ():
        for flavor in group.get("flavors") or ():
            for resource in flavor.get("resources") or ():
                most = amount_of(resource.get("nominalQuota", 0))
                borrow = resource.get("borrowingLimit")
                so_far = limits.get(resource["name"], 0.0)
                if (cohort and borrow is None) or so_far is None:
                    limits[resource["name"]] = None  # whatever the others of the cohort leave
                else:
                    limits[resource["name"]] = so_far + most + (amount_of(borrow) if cohort else 0.0)
    used: dict[str, float] = {}
    for flavor in (queue.get("status") or {}).get("flavorsUsage") or ():
        for resource in flavor.get("resources") or ():
            used[resource["name"]] = used.get(resource["name"], 0.0) + amount_of(resource.get("total", 0))
    return [
        Limit(
            kind="queue",
            name=f"{name}: {resource}",
            where=f"ClusterQueue {queue['metadata']['name']}",
            limit=most,
            used=used.get(resource, 0.0),
            takes=0.0 if wanted is None else wanted.requests.get(resource, 0.0) * wanted.pods,
            resource=resource,
            note=f"borrows in cohort {cohort}" if cohort and most is None else "",
        )
        for resource, most in limits.items()
    ]


def _of_local(queue: Manifest, wanted: Demand | None) -> list[Limit]:
    """Give what a LocalQueue says of itself, where its ClusterQueue may not be seen."""
    status = queue.get("status") or {}
    used: dict[str, float] = {}
    for flavor in status.get("flavorsUsage") or status.get("flavorUsage") or ():
        for resource in flavor.get("resources") or ():
            used[resource["name"]] = used.get(resource["name"], 0.0) + amount_of(resource.get("total", 0))
    where = f"ClusterQueue {queue['spec'].get('clusterQueue', '')}"
    return [
        Limit(
            "queue", f"{queue['metadata']['name']}: {resource}", where, None, number,
            0.0 if wanted is None else wanted.requests.get(resource, 0.0) * wanted.pods, resource,
            "its limits are not visible to you",
        )
        for resource, number in used.items()
    ]  # fmt: skip


def cloud_limits(
    quotas: Sequence[CloudQuota],
    wanted: Mapping[tuple[QuotaMetric, str], float],
    here: Mapping[str, float] | None = None,
) -> tuple[Limit, ...]:
    """Give rows for the project's quotas.

    Args:
        quotas: what the APIs tell.
        wanted: what the job would take, by quota and region (empty for all regions).
        here: what this cluster's nodes take by quota, used as a lower bound where no API says what is used.
    """
    here = here or {}
    found = []
    for quota in quotas:
        used, note = quota.usage, ""
        if used is None:
            used = here.get(str(quota.metric), 0.0)
            note = "used: this cluster's nodes alone, no API tells the rest"
        dimensions = {"region": quota.region} if quota.region else {}
        if quota.metric.dimension:
            dimensions[quota.metric.dimension] = quota.metric.family
        found.append(
            Limit(
                kind="cloud",
                name=str(quota.metric),
                where=quota.region or "all regions",
                limit=quota.limit,
                used=used,
                takes=wanted.get((quota.metric, quota.region), 0.0),
                resource="accelerators",
                note=note,
                quota_id=quota.quota_id,
                dimensions=dimensions,
            )
        )
    return tuple(found)
