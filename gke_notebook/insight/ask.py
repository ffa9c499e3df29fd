"""Whom to ask for what, and the command that does it; pure text."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Collection

from gke_notebook import catalog
from gke_notebook.insight.demand import Demand
from gke_notebook.insight.pools import ACCELERATOR_LABEL, Pool
from gke_notebook.insight.quota import Limit


def of_namespace(limit: Limit) -> str:
    """Say whom to ask for more of a namespace's quota.

    Args:
        limit: the one that binds.
    """
    more = limit.shown((limit.used or 0.0) + limit.takes)
    return f"wait until others have ended, or ask whoever administers namespace {limit.where} for {more}"


def patch_quota(limit: Limit) -> str:
    """Give the command that raises a namespace's quota as far as the job needs.

    Args:
        limit: the one that binds.
    """
    name, _, resource = limit.name.partition(": ")
    needed = (limit.used or 0.0) + limit.takes
    value = f"{math.ceil(needed / 2**30)}Gi" if "GiB" in limit.shown(needed) else f"{math.ceil(needed)}"
    body = json.dumps({"spec": {"hard": {resource: value}}}, separators=(",", ":"))
    return f"kubectl patch resourcequota {name} --namespace {limit.where} --type merge --patch {shlex.quote(body)}"


def of_queue(limit: Limit) -> str:
    """Say whom to ask for more of a queue.

    Args:
        limit: the one that binds.
    """
    return f"ask for less, or whoever administers {limit.where} for {limit.shown(limit.takes)}"


def of_project(project: str) -> str:
    """Say whom to ask for more of a project's quota.

    Args:
        project: the project's id, empty when it is not known.
    """
    where = f"project {project}" if project else "the project"
    return f"ask someone with the role Cloud Quotas Admin (roles/cloudquotas.admin) in {where} to raise it"


def raise_quota(limit: Limit, project: str, needed: float) -> str:
    """Give the command that asks Google for more of a quota (gcloud reference, `quotas preferences create`, 2026).

    Args:
        limit: the one that binds.
        project: the project's id.
        needed: how much there must be.
    """
    if not limit.quota_id or not project:
        return ""
    dimensions = ",".join(f"{key}={value}" for key, value in sorted(dict(limit.dimensions).items()))
    return (
        f"gcloud beta quotas preferences create --project={project} --service=compute.googleapis.com "
        f"--quota-id={limit.quota_id} --preferred-value={math.ceil(needed)}"
        + (f" --dimensions={dimensions}" if dimensions else "")
    )


def raise_pool(pool: Pool, nodes: int) -> str:
    """Give the line that raises the maximum of a node pool.

    Args:
        pool: the pool.
        nodes: its new maximum.
    """
    return f"%gke_nodepool resize {pool.name} --max {nodes}"


def resize_pool(name: str, nodes: int) -> str:
    """Give the line that changes the size of a node pool.

    Args:
        name: the pool.
        nodes: its new size.
    """
    return f"%gke_nodepool resize {name} --nodes {nodes}"


def of_fixed_pool(*, in_use: bool) -> str:
    """Say whom to ask for more nodes of a pool that does not grow.

    Args:
        in_use: whether others hold some of its nodes.
    """
    wait = "wait until others have ended, or " if in_use else ""
    return f"{wait}ask whoever may change node pools (container.clusters.update) for more nodes"


def of_pools(wanted: Demand) -> str:
    """Say whom to ask for a node pool.

    Args:
        wanted: what the job asks for.
    """
    return "make a node pool, or ask whoever may (container.clusters.update)" if create_pool(wanted) else ""


def create_pool(wanted: Demand, taken: Collection[str] = ()) -> str:
    """Give the line that makes a node pool for the job, empty where that cannot be told from what it asks.

    Args:
        wanted: what the job asks for.
        taken: names of the node pools that are there.
    """
    found = catalog.by_label(wanted.selector.get(ACCELERATOR_LABEL, ""))
    _, each = wanted.accelerators
    selector = wanted.selector
    words = ["%gke_nodepool", "create"]
    if found is not None and each:
        words += [_free(found.name, taken), "--gpu", f"{found.name}:{each}"]
    else:
        kind = catalog.tpu_by_label(selector.get(catalog.TPU_LABEL, ""))
        topology = selector.get(catalog.TOPOLOGY_LABEL, "")
        if kind is None or not topology:
            return ""
        return " ".join([*words, _free(kind.name, taken), "--tpu", f"{kind.name}:{topology}", *_how(selector)])
    return " ".join([*words, *_how(selector), "--max", str(wanted.pods)])


def _free(name: str, taken: Collection[str]) -> str:
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(one for one in names if one not in taken)


def _how(selector: object) -> list[str]:
    labels = dict(selector) if isinstance(selector, dict) else {}
    words = []
    if labels.get("cloud.google.com/gke-spot") == "true":
        words.append("--spot")
    if labels.get("cloud.google.com/gke-flex-start") == "true":
        words.append("--flex")
    if labels.get("topology.kubernetes.io/zone"):
        words += ["--zone", labels["topology.kubernetes.io/zone"]]
    return words
