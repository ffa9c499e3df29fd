"""Jobs and JobSets as Kueue sees them: what they ask for, and how they are held, started and stopped; pure.

Source: sigs.k8s.io/kueue v0.15.0 (`pkg/controller/jobframework`, `pkg/controller/jobs`, `pkg/podset`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gke_notebook.cluster.resources import JOBS, Resource
from gke_notebook.sandbox import kueue
from gke_notebook.sandbox.controllers.jobset_controller import JOBSETS
from gke_notebook.sandbox.controllers.meta import Object, clone, is_true, uid

_HASH = 5
_LONGEST = 252
_MANAGED = ("job-name", "controller-uid", "batch.kubernetes.io/controller-uid")  # the Job controller's own labels
_ALL_MANAGED = (*_MANAGED, "batch.kubernetes.io/job-name")
_INDEX = "batch.kubernetes.io/job-completion-index"


class StartError(Exception):
    """The pods cannot be started as the flavors ask; there is no point in trying again."""


@dataclass(frozen=True)
class Finished:
    """How a job has ended.

    Args:
        success: whether it has succeeded.
        message: in the words of its condition.
    """

    success: bool
    message: str


@dataclass
class Placement:
    """What is added to the pods of one pod set when they start.

    Args:
        labels: labels.
        annotations: annotations.
        node_selector: labels of nodes.
        tolerations: tolerations.
    """

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[Object] = field(default_factory=list)


def resource_of(job: Object) -> Resource:
    """Give the resource of a Job or JobSet."""
    return JOBSETS if job["kind"] == "JobSet" else JOBS


def component(job: Object) -> str:
    """Give the name under which Kueue reports about it."""
    name = "jobset.x-k8s.io/jobset" if job["kind"] == "JobSet" else "batch/job"
    return f"{name}-kueue-controller"


def workload_name(job: Object) -> str:
    """Give the name of the Workload that is made for a job.

    Args:
        job: the Job or JobSet, with its uid.

    Example:
        >>> meta = {"name": "j1", "uid": "0f16f804-d40b-42cd-8a1e-f5e680b21b3d"}
        >>> workload_name({"kind": "Job", "metadata": meta})
        'job-j1-3ae36'
    """
    kind, name = job["kind"], job["metadata"]["name"]
    text = "\n".join((kind, resource_of(job).group, name, uid(job)))
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return f"{kind.lower()}-{name}"[: _LONGEST - _HASH] + f"-{digest[:_HASH]}"


def _count(spec: Object) -> int:
    parallelism = int(spec.get("parallelism", 1))
    completions = spec.get("completions")
    return parallelism if completions is None else min(parallelism, int(completions))


def pod_sets(job: Object) -> list[Object]:
    """Give the pods that a job asks for, one entry for each kind of them.

    Args:
        job: the Job or JobSet.
    """
    if job["kind"] == "Job":
        template = clone(job["spec"]["template"])
        labels = (template.get("metadata") or {}).get("labels") or {}
        for name in _MANAGED:
            labels.pop(name, None)
        topology: Object = {"podIndexLabel": _INDEX}
        found = [{"name": "main", "template": template, "count": _count(job["spec"]), "topologyRequest": topology}]
    else:
        found = []
        for each in job["spec"].get("replicatedJobs") or ():
            spec, replicas = each["template"]["spec"], int(each.get("replicas", 1))
            topology = {
                "podIndexLabel": _INDEX,
                "subGroupIndexLabel": "jobset.sigs.k8s.io/job-index",
                "subGroupCount": replicas,
            }
            count, template = replicas * _count(spec), clone(spec["template"])
            found.append(
                {"name": each["name"].lower(), "template": template, "count": count, "topologyRequest": topology}
            )
    for each in found:
        for container in each["template"]["spec"].get("containers") or ():
            if container.get("env"):  # of variables named twice the last one counts
                container["env"] = list({item["name"]: item for item in container["env"]}.values())
    return found


def priority_class(sets: Sequence[Object]) -> str:
    """Give the pods' priority class: the first that one of the pod sets names."""
    return next((str(name) for each in sets if (name := each["template"]["spec"].get("priorityClassName"))), "")


def new_workload(job: Object, priority: tuple[int, str, str]) -> Object:
    """Make the Workload of a job.

    Args:
        job: the Job or JobSet.
        priority: its priority, the name of the class and where that stands; both empty for no class.
    """
    number, name, source = priority
    meta, resource = job["metadata"], resource_of(job)
    spec: Object = {"podSets": pod_sets(job), "queueName": kueue.queue_name(job), "priority": number}
    if name:
        spec.update(priorityClassName=name, priorityClassSource=source)
    seconds = (meta.get("labels") or {}).get(kueue.MAX_TIME_LABEL)
    if seconds:
        spec["maximumExecutionTimeSeconds"] = int(seconds)
    owner = {
        "apiVersion": resource.api_version, "kind": job["kind"], "name": meta["name"], "uid": uid(job),
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    metadata = {
        "name": workload_name(job), "namespace": meta["namespace"], "labels": {kueue.JOB_UID_LABEL: uid(job)},
        "finalizers": [kueue.FINALIZER], "ownerReferences": [owner],
    }  # fmt: skip
    return {"apiVersion": kueue.API_VERSION, "kind": "Workload", "metadata": metadata, "spec": spec}


def is_suspended(job: Object) -> bool:
    """Say whether a job is held, and all that belongs to holding it has been done."""
    stopping = (job["metadata"].get("annotations") or {}).get(kueue.STOPPING_ANNOTATION) == "true"
    return bool(job["spec"].get("suspend")) and not (stopping and job["kind"] == "Job")


def is_running(job: Object) -> bool:
    """Say whether it still has pods that run."""
    status = job.get("status") or {}
    if job["kind"] == "Job":
        return bool(status.get("active"))
    return any(each.get("active") for each in status.get("replicatedJobsStatus") or ())


def finished(job: Object) -> Finished | None:
    """Say how a job has ended; None while it has not."""
    for type_, success in (("Completed" if job["kind"] == "JobSet" else "Complete", True), ("Failed", False)):
        for each in (job.get("status") or {}).get("conditions") or ():
            if each["type"] == type_ and each["status"] == "True":
                return Finished(success, each.get("message", ""))
    return None


def reclaimable(job: Object) -> list[Object]:
    """Give how many pods of each pod set will not be needed any more."""
    status, spec = job.get("status") or {}, job["spec"]
    if job["kind"] == "Job":
        parallelism, succeeded = int(spec.get("parallelism", 1)), int(status.get("succeeded", 0))
        remaining = int(spec.get("completions", parallelism)) - succeeded
        if parallelism == 1 or not succeeded or remaining >= parallelism:
            return []
        return [{"name": "main", "count": parallelism - remaining}]
    counts = {each["name"]: each.get("succeeded", 0) for each in status.get("replicatedJobsStatus") or ()}
    return [
        {"name": each["name"].lower(), "count": counts[each["name"]] * _count(each["template"]["spec"])}
        for each in spec.get("replicatedJobs") or ()
        if 0 < counts.get(each["name"], 0) <= each.get("replicas", 1)
    ]


def equivalent(job: Object, workload: Object) -> bool:
    """Say whether a Workload still asks for what its job asks for.

    Args:
        job: the Job or JobSet.
        workload: its Workload.
    """
    labels = job["metadata"].get("labels") or {}
    if str(workload["spec"].get("maximumExecutionTimeSeconds", "")) != labels.get(kueue.MAX_TIME_LABEL, ""):
        return False
    mine, theirs = pod_sets(job), workload["spec"]["podSets"]
    # Once admitted, the job has the flavors' tolerations too.
    with_tolerations = not is_true(workload, "Admitted")
    return len(mine) == len(theirs) and all(
        _same(one, other, tolerations=with_tolerations) for one, other in zip(mine, theirs, strict=True)
    )


def _same(one: Object, other: Object, *, tolerations: bool) -> bool:
    if one["count"] != other["count"] or one.get("minCount") != other.get("minCount"):
        return False
    pod, second = one["template"]["spec"], other["template"]["spec"]
    keys = ["containers", "initContainers", *(["tolerations"] if tolerations else [])]
    return all((pod.get(key) or []) == (second.get(key) or []) for key in keys)


def placements(workload: Object, flavors: Mapping[str, Object]) -> list[Placement]:
    """Give what the admission adds to each pod set.

    Args:
        workload: the admitted Workload.
        flavors: the ResourceFlavors by name.

    Raises:
        KeyError: a flavor is not there.
    """
    found = []
    for assignment in workload["status"]["admission"]["podSetAssignments"]:
        name = assignment["name"]
        place = Placement({kueue.POD_SET_LABEL: name}, {kueue.WORKLOAD_ANNOTATION: workload["metadata"]["name"]})
        given = assignment.get("flavors") or {}
        for flavor in dict.fromkeys(given[resource] for resource in sorted(given)):
            spec = flavors[flavor].get("spec") or {}
            place.node_selector.update(spec.get("nodeLabels") or {})
            place.tolerations += spec.get("tolerations") or ()
        found.append(place)
    return found


def _templates(job: Object) -> list[Object]:
    if job["kind"] == "Job":
        return [job["spec"]["template"]]
    return [each["template"]["spec"]["template"] for each in job["spec"].get("replicatedJobs") or ()]


def started(job: Object, places: Sequence[Placement]) -> Object:
    """Give a job as it is once it may run.

    Args:
        job: the job; it is left as it is.
        places: what is added to each pod set.

    Raises:
        StartError: a pod set asks for something else already.
    """
    job = clone(job)
    job["spec"]["suspend"] = False
    templates = _templates(job)
    if len(templates) != len(places):
        raise StartError(f"invalid podset infos: expecting {len(places)} podset, got {len(templates)}")
    for template, place in zip(templates, places, strict=True):
        meta, spec = template.setdefault("metadata", {}), template["spec"]
        for owner, key, new in (
            (meta, "annotations", place.annotations),
            (meta, "labels", place.labels),
            (spec, "nodeSelector", place.node_selector),
        ):
            _merge(owner, key, new)
        tolerations = list(spec.get("tolerations") or ())
        tolerations += [each for each in place.tolerations if each not in tolerations]
        if tolerations:
            spec["tolerations"] = tolerations
    return job


def _merge(owner: Object, key: str, new: Mapping[str, str]) -> None:
    old = owner.get(key) or {}
    for name, text in new.items():
        if old.get(name, text) != text:
            why = f"conflict for key={name}, value1={old[name]}, value2={text}"
            raise StartError(f"invalid admission check PodSetUpdate: conflict for {key}: {why}")
    if new:
        owner[key] = {**old, **new}


def restored(job: Object, sets: Sequence[Object]) -> Object:
    """Give a stopped job with the pod templates it had before it was started.

    Args:
        job: the job; it is left as it is.
        sets: the pod sets of its Workload; empty leaves the templates as they are.
    """
    job = clone(job)
    annotations = job["metadata"].get("annotations") or {}
    annotations.pop(kueue.STOPPING_ANNOTATION, None)
    if not annotations:
        job["metadata"].pop("annotations", None)
    for template, each in zip(_templates(job), sets, strict=False):
        meta, spec = template.setdefault("metadata", {}), template["spec"]
        before, pod = each["template"].get("metadata") or {}, each["template"]["spec"]
        labels = dict(before.get("labels") or {})
        present = meta.get("labels") or {}
        if job["kind"] == "Job":
            labels.update({name: present[name] for name in _ALL_MANAGED if name in present})
        _replace(meta, "labels", labels)
        _replace(meta, "annotations", before.get("annotations"))
        _replace(spec, "nodeSelector", pod.get("nodeSelector"))
        _replace(spec, "tolerations", pod.get("tolerations"))
    return job


def _replace(owner: Object, key: str, new: object) -> None:
    if new:
        owner[key] = new
    else:
        owner.pop(key, None)
