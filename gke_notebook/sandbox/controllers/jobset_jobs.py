"""The jobs of a JobSet and its headless service: names, labels, annotations.

Source of rules and names: sigs.k8s.io/jobset v0.10.1 (`pkg/controllers/jobset_controller.go`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gke_notebook.sandbox.controllers.meta import Object, clone, uid
from gke_notebook.sandbox.jobsets import EXCLUSIVE, NODE_SELECTOR, job_name

PREFIX = "jobset.sigs.k8s.io/"
API_VERSION = "jobset.x-k8s.io/v1alpha2"


def subdomain(jobset: Object) -> str:
    """Give the name of the headless service of a JobSet.

    Args:
        jobset: the JobSet.
    """
    return str((jobset["spec"].get("network") or {}).get("subdomain") or jobset["metadata"]["name"])


def _owner(jobset: Object) -> list[Object]:
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "JobSet",
            "name": jobset["metadata"]["name"],
            "uid": uid(jobset),
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def service(jobset: Object) -> Object:
    """Give the headless service that names the pods of a JobSet.

    Args:
        jobset: the JobSet, with its defaults.
    """
    name, namespace = subdomain(jobset), jobset["metadata"].get("namespace", "")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": _owner(jobset)},
        "spec": {
            "clusterIP": "None",
            "selector": {PREFIX + "jobset-name": jobset["metadata"]["name"]},
            "publishNotReadyAddresses": jobset["spec"]["network"].get("publishNotReadyAddresses", True),
        },
    }


def child(jobset: Object, replicated: Object, index: int) -> Object:
    """Give one job of a JobSet.

    Args:
        jobset: the JobSet, with its defaults.
        replicated: the replicated job.
        index: the index among its replicas.
    """
    template = clone(replicated["template"])
    spec, meta = template["spec"], template.get("metadata") or {}
    name, namespace = job_name(jobset["metadata"]["name"], replicated["name"], index), jobset["metadata"]["namespace"]
    marks = _marks(jobset, replicated, index, name)
    pinned = _placement(jobset, replicated)
    pod = spec.setdefault("template", {})
    pod_meta = pod.setdefault("metadata", {})
    for owner in (meta, pod_meta):
        owner["labels"] = {**(owner.get("labels") or {}), **marks}
        annotations = {key: value for key, value in marks.items() if key != PREFIX + "job-global-index"}
        owner["annotations"] = {**(owner.get("annotations") or {}), **annotations, **pinned}
        owner["annotations"][PREFIX + "job-global-index"] = marks[PREFIX + "job-global-index"]
    if jobset["spec"]["network"].get("enableDNSHostnames"):
        pod["spec"]["subdomain"] = subdomain(jobset)
    if EXCLUSIVE in pinned and NODE_SELECTOR in pinned:
        alpha = "alpha." + PREFIX
        pod["spec"].setdefault("nodeSelector", {})[alpha + "namespaced-job"] = f"{namespace}_{name}"
        taint = {"key": alpha + "no-schedule", "operator": "Exists", "effect": "NoSchedule"}
        pod["spec"]["tolerations"] = [*(pod["spec"].get("tolerations") or ()), taint]
    spec["suspend"] = bool(jobset["spec"].get("suspend"))
    metadata = {
        "name": name, "namespace": namespace, "labels": meta["labels"], "annotations": meta["annotations"],
        "ownerReferences": _owner(jobset),
    }  # fmt: skip
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _marks(jobset: Object, replicated: Object, index: int, name: str) -> dict[str, str]:
    """Give the labels, which are annotations too, of a job and of its pods."""
    all_jobs = jobset["spec"]["replicatedJobs"]
    group = replicated.get("groupName", "default")
    peers = [each for each in all_jobs if each.get("groupName", "default") == group]
    marks = {
        "jobset-name": jobset["metadata"]["name"],
        "jobset-uid": uid(jobset),
        "replicatedjob-name": replicated["name"],
        "restart-attempt": str(jobset["status"]["restarts"]),
        "replicatedjob-replicas": str(replicated.get("replicas", 1)),
        "global-replicas": str(_replicas(all_jobs)),
        "job-index": str(index),
        "job-key": hashlib.sha1(
            f"{jobset['metadata']['namespace']}/{name}".encode(), usedforsecurity=False
        ).hexdigest(),
        "job-global-index": str(_before(all_jobs, replicated) + index),
        "group-name": group,
        "group-replicas": str(_replicas(peers)),
        "job-group-index": str(_before(peers, replicated) + index),
    }
    coordinator = jobset["spec"].get("coordinator")
    if coordinator:
        job = job_name(jobset["metadata"]["name"], coordinator["replicatedJob"], coordinator.get("jobIndex", 0))
        marks["coordinator"] = f"{job}-{coordinator.get('podIndex', 0)}.{subdomain(jobset)}"
    return {PREFIX + key: value for key, value in marks.items()}


def _replicas(jobs: Sequence[Object]) -> int:
    return sum(each.get("replicas", 1) for each in jobs)


def _before(jobs: Sequence[Object], replicated: Object) -> int:
    names = [each["name"] for each in jobs]
    return _replicas(jobs[: names.index(replicated["name"])])


def _placement(jobset: Object, replicated: Object) -> dict[str, str]:
    found: dict[str, str] = {}
    for owner in (jobset, replicated["template"]):
        annotations = (owner.get("metadata") or {}).get("annotations") or {}
        if EXCLUSIVE in annotations:
            found.update({key: annotations[key] for key in (EXCLUSIVE, NODE_SELECTOR) if key in annotations})
    return found


def resumed(job: Object, replicated: Object) -> Object:
    """Give a job that is resumed, with what was changed in its template while the JobSet was suspended.

    Args:
        job: the job as stored.
        replicated: its replicated job.
    """
    new = clone(job)
    pod, wanted = new["spec"]["template"], replicated["template"]["spec"].get("template") or {}
    meta, spec = pod.setdefault("metadata", {}), pod["spec"]
    for key in ("labels", "annotations"):
        meta[key] = {**(meta.get(key) or {}), **((wanted.get("metadata") or {}).get(key) or {})}
    more = wanted.get("spec") or {}
    if spec.get("nodeSelector") or more.get("nodeSelector"):
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **(more.get("nodeSelector") or {})}
    for key in ("tolerations", "schedulingGates"):
        merged = list(spec.get(key) or ())
        merged += [each for each in more.get(key) or () if each not in merged]
        if merged:
            spec[key] = merged
    new["spec"]["suspend"] = False
    return dict(new)
