"""The part of the Cloud Quotas API v1 that lists quotas, those with dimensions too, which Compute Engine leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gke_notebook.sandbox.gke import capacity, quotas
from gke_notebook.sandbox.gke.failures import ApiFailure, not_found
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.pools import PROJECT

Object = dict[str, Any]

PATH = re.compile(
    r"/v1/projects/(?P<project>[^/]+)/locations/global/services/(?P<service>[^/]+)/quotaInfos(?:/(?P<name>[^/]+))?"
)
SERVICE = "compute.googleapis.com"
_FAMILIES = {quotas.GPU_FAMILY: "gpu_family", quotas.TPU_FAMILY: "tpu_family"}


def answer(fleet: Fleet, method: str, path: str) -> Object:
    """Answer one request that has been authenticated.

    Args:
        fleet: what there is.
        method: the HTTP method.
        path: the path, decoded.

    Raises:
        ApiFailure: the error to answer.
    """
    found = PATH.fullmatch(path)
    if found is None or method not in ("GET", "HEAD"):
        raise ApiFailure(501, f"The sandbox does not serve {method} {path[:200]}.")
    if found["project"] != PROJECT:
        raise ApiFailure(403, f"Permission 'cloudquotas.quotas.get' denied on 'projects/{found['project']}'.")
    parent = f"projects/{PROJECT}/locations/global/services/{found['service']}"
    infos = list(_infos(fleet)) if found["service"] == SERVICE else []
    if found["name"] is None:
        return {"quotaInfos": infos} if infos else {}
    for info in infos:
        if info["quotaId"] == found["name"]:
            return info
    raise not_found(f"{parent}/quotaInfos/{found['name']}")


def _infos(fleet: Fleet) -> Iterator[Object]:
    families: dict[str, list[str]] = {}
    for metric in quotas.metrics():
        name, _, family = metric.partition(":")
        families.setdefault(name, []).append(family)
    for name, values in {"CPUS": [""], **families}.items():
        dimension = (
            {"GPUS": "gpu_family", "TPUS": "tpu_family"}[name.removeprefix(quotas.PREEMPTIBLE)[:4]] if values[0] else ""
        )
        entries = []
        for region in capacity.regions():
            for family in values:
                metric = f"{name}:{family}" if family else name
                limit = quotas.limit(metric, region, fleet.state.faults.values())
                dimensions = {"region": region, **({dimension: family} if dimension else {})}
                entries.append({
                    "dimensions": dimensions, "details": {"value": str(int(limit))}, "applicableLocations": [region],
                })  # fmt: skip
        yield _info(name, ["region", dimension] if dimension else ["region"], entries)
    limit = quotas.limit(quotas.GLOBAL, "", fleet.state.faults.values())
    entry = {"details": {"value": str(int(limit))}, "applicableLocations": ["global"]}
    yield _info(quotas.GLOBAL, [], [entry])


def _info(metric: str, dimensions: list[str], entries: list[Object]) -> Object:
    name = f"{metric.replace('_', '-')}-per-project{'-region' if dimensions else ''}"
    return {
        "name": f"projects/{PROJECT}/locations/global/services/{SERVICE}/quotaInfos/{name}",
        "quotaId": name,
        "metric": f"{SERVICE}/{metric.lower()}",
        "service": SERVICE,
        "isPrecise": True,
        "containerType": "PROJECT",
        "dimensions": dimensions,
        "metricDisplayName": metric.replace("_", " ").capitalize(),
        "metricUnit": "1",
        "isFixed": False,
        "isConcurrent": False,
        "quotaIncreaseEligibility": {"isEligible": True},
        "dimensionsInfos": entries,
    }
