"""The quotas of a Google Cloud project: what there may be of each accelerator in a region, and what is used.

Sources: Compute Engine API v1, `projects.get` and `regions.get` (google-cloud-compute 1.57.0); Cloud Quotas API v1,
`quotaInfos.get` (google-cloud-quotas 0.7.0) for the quotas with dimensions, whose entries come most specific first. The
ids of quotas are those seen in public reports (``GPUS-PER-GPU-FAMILY-per-project-region``, 2026).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gke_notebook.catalog.quota_metrics import ALL_REGIONS, QuotaMetric
from gke_notebook.cloud.rest import CloudError
from gke_notebook.cloud.target import Target
from gke_notebook.errors import ClusterUnreachable
from gke_notebook.insight.quota import CloudQuota

_FAMILIES = {"GPUS_PER_GPU_FAMILY": "gpu_family", "TPUS_PER_TPU_FAMILY": "tpu_family"}
_PREEMPTIBLE = "PREEMPTIBLE_"


def read(target: Target, region: str) -> tuple[tuple[CloudQuota, ...], tuple[str, ...]]:
    """Read the quotas of accelerators of a region and of the project.

    Args:
        target: the cluster, whose project is asked.
        region: for example ``us-central1``.

    Returns:
        The quotas that may be seen, and in words what may not.

    Raises:
        NotConnected: there are no credentials.
    """
    found: list[CloudQuota] = []
    troubles: list[str] = []

    def gather(what: str, ask: Callable[[], Iterator[CloudQuota]]) -> None:
        try:
            found.extend(ask())
        except (CloudError, ClusterUnreachable) as error:
            hint = f"; {_RIGHTS[what]}" if isinstance(error, CloudError) and error.status == 403 else ""
            troubles.append(f"{what} could not be read: {error}{hint}")

    gather("the quotas of Compute Engine", lambda: _compute(target, region))
    gather("the quotas by family of Cloud Quotas", lambda: _families(target, region))
    return tuple(found), tuple(troubles)


_RIGHTS = {
    "the quotas of Compute Engine": "ask for the role Compute Viewer (roles/compute.viewer)",
    "the quotas by family of Cloud Quotas": "ask for the role Cloud Quotas Viewer (roles/cloudquotas.viewer)",
}


def quota_id(metric: str) -> str:
    """Give the id by which Cloud Quotas knows a quota of Compute Engine.

    Args:
        metric: for example ``NVIDIA_L4_GPUS``.

    Example:
        >>> quota_id("NVIDIA_L4_GPUS"), quota_id("GPUS_ALL_REGIONS")
        ('NVIDIA-L4-GPUS-per-project-region', 'GPUS-ALL-REGIONS-per-project')
    """
    return f"{metric.replace('_', '-')}-per-project{'' if metric == ALL_REGIONS else '-region'}"


def _compute(target: Target, region: str) -> Iterator[CloudQuota]:
    root = f"/compute/v1/projects/{target.project}"
    with contextlib.closing(target.rest("compute")) as api:
        answers = [(api.call("GET", path), where) for path, where in ((f"{root}/regions/{region}", region), (root, ""))]
    for answer, where in answers:
        for quota in answer.get("quotas") or ():
            metric = str(quota.get("metric", ""))
            if _counts_accelerators(metric) and (where or metric == ALL_REGIONS):
                yield CloudQuota(
                    QuotaMetric(metric), where, float(quota["limit"]), float(quota.get("usage", 0)), quota_id(metric)
                )


def _counts_accelerators(metric: str) -> bool:
    plain = metric.removeprefix(_PREEMPTIBLE)
    return metric == ALL_REGIONS or plain.startswith("TPU_") or (plain.startswith("NVIDIA_") and "VWS" not in plain)


def _families(target: Target, region: str) -> Iterator[CloudQuota]:
    parent = f"/v1/projects/{target.project}/locations/global/services/compute.googleapis.com/quotaInfos"
    with contextlib.closing(target.rest("cloudquotas")) as api:
        for metric, dimension in _FAMILIES.items():
            for name in (metric, _PREEMPTIBLE + metric):
                try:
                    info = api.call("GET", f"{parent}/{quota_id(name)}")
                except CloudError as error:
                    if error.status == 404:
                        continue  # this project has no such quota
                    raise
                yield from _of_info(info, name, dimension, region)


def _of_info(info: Mapping[str, Any], metric: str, dimension: str, region: str) -> Iterator[CloudQuota]:
    seen = set()
    for entry in info.get("dimensionsInfos") or ():
        dimensions = entry.get("dimensions") or {}
        family = dimensions.get(dimension, "")
        if not family or family in seen or dimensions.get("region", region) != region:
            continue
        if "region" not in dimensions and region not in (entry.get("applicableLocations") or (region,)):
            continue
        seen.add(family)  # the first is the most specific one
        limit = float((entry.get("details") or {}).get("value", 0))
        yield CloudQuota(QuotaMetric(metric, family), region, limit, None, str(info.get("quotaId", "")))
