"""The pods of a Job: how one is made from the template, which index it has, which go first; pure.

Semantics: kubernetes 1.34, pkg/controller/job/indexed_job_utils.go and pkg/controller/controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gke_notebook.sandbox.controllers.job_policy import judge
from gke_notebook.sandbox.controllers.meta import Object, clone, finished_time, is_true, parse_time, phase

FINALIZER = "batch.kubernetes.io/job-tracking"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
UNKNOWN_INDEX = -1

# A generated name is a prefix of at most 58 characters and five random ones (kubernetes, apiserver/storage/names).
_MAX_PREFIX = 58
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def is_indexed(job: Object) -> bool:
    """Say whether a Job's pods have indexes."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def per_index(job: Object) -> bool:
    """Say whether each index has a limit of failures of its own."""
    return job["spec"].get("backoffLimitPerIndex") is not None


def only_replaces_failed(job: Object) -> bool:
    """Say whether a pod is replaced only once it has ended, not as soon as it is asked to."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed") or job["spec"].get("podFailurePolicy") is not None


def is_failed(pod: Object, job: Object) -> bool:
    """Say whether a pod counts as failed; one that is being deleted does, unless only ended pods are replaced."""
    if phase(pod) == "Failed":
        return True
    if only_replaces_failed(job):
        return False
    return bool(pod["metadata"].get("deletionTimestamp")) and phase(pod) != "Succeeded"


def completion_index(pod: Object) -> int:
    """Give a pod's completion index, `UNKNOWN_INDEX` when it has none that can be used."""
    text = (pod["metadata"].get("annotations") or {}).get(COMPLETION_INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else UNKNOWN_INDEX


def is_tracked(pod: Object) -> bool:
    """Say whether a pod has the finalizer of a pod that is not yet counted."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def failure_count(pod: Object) -> int:
    """Give how often the pod's index had failed before it."""
    return _number(pod, FAILURE_COUNT)


def absolute_failure_count(pod: Object) -> int:
    """Give how often the pod's index had failed before it, ignored failures included."""
    return _number(pod, FAILURE_COUNT) + _number(pod, IGNORED_FAILURE_COUNT)


def _number(pod: Object, key: str) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(key, "")
    value = int(text) if text.isascii() and text.isdigit() else 0
    return value if value < 2**31 else 0


def is_index_failed(pod: Object, job: Object) -> bool:
    """Say whether a pod's end means that its index has failed for good."""
    if not is_failed(pod, job):
        return False
    verdict = judge(job["spec"].get("podFailurePolicy"), pod)
    if verdict.action == "FailIndex":
        return True
    return verdict.counts and failure_count(pod) >= job["spec"]["backoffLimitPerIndex"]


def job_labels(job: Object) -> dict[str, str]:
    """Give the labels by which a Job finds its pods; the API server puts them into the template."""
    name, uid = job["metadata"]["name"], job["metadata"].get("uid", "")
    return {
        "controller-uid": uid,
        "job-name": name,
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
    }


def make_pod(job: Object, index: int | None = None, replaced: Object | None = None) -> Object:
    """Make a pod of a Job.

    Args:
        job: the Job.
        index: the completion index, None for a Job without.
        replaced: the failed pod of the same index that it replaces; its failures are counted on.
    """
    template = job["spec"].get("template") or {}
    source = template.get("metadata") or {}
    name = job["metadata"]["name"]
    annotations = dict(source.get("annotations") or {})
    labels = {**(source.get("labels") or {})}
    if not job["spec"].get("manualSelector"):
        labels = {**labels, **job_labels(job)}
    finalizers = list(source.get("finalizers") or ())
    spec: Object = clone(template.get("spec") or {})
    prefix = f"{name}-"
    if index is not None:
        annotations[COMPLETION_INDEX] = labels[COMPLETION_INDEX] = str(index)
        spec["hostname"] = f"{name}-{index}"
        suffix = f"-{index}-"
        prefix = name + suffix
        if len(prefix) > _MAX_PREFIX:
            prefix = prefix[: _MAX_PREFIX - len(suffix)] + suffix
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            _add_index_variable(container)
        if per_index(job):
            failed, ignored = _counts_after(job, replaced)
            annotations[FAILURE_COUNT] = str(failed)
            if ignored:
                annotations[IGNORED_FAILURE_COUNT] = str(ignored)
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    metadata: dict[str, Any] = {
        "generateName": prefix,
        "namespace": job["metadata"].get("namespace", "default"),
        "labels": labels,
        "annotations": annotations,
        "finalizers": finalizers,
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": name,
                "uid": job["metadata"].get("uid", ""),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if not annotations:
        del metadata["annotations"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _add_index_variable(container: Object) -> None:
    variables = list(container.get("env") or ())
    if all(variable.get("name") != INDEX_VARIABLE for variable in variables):
        path = f"metadata.labels['{COMPLETION_INDEX}']"
        # The API server would default the fieldRef's apiVersion; the object we assume must look the same.
        variables.append({"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
        container["env"] = variables


def _counts_after(job: Object, replaced: Object | None) -> tuple[int, int]:
    if replaced is None:
        return 0, 0
    failed, ignored = failure_count(replaced), _number(replaced, IGNORED_FAILURE_COUNT)
    if judge(job["spec"].get("podFailurePolicy"), replaced).counts:
        return failed + 1, ignored
    return failed, ignored + 1


def removal_order(pod: Object) -> tuple[bool, int, bool, float, int, float]:
    """Give the sort key by which too many active pods are removed: the least advanced and the newest first."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    ready = is_true(pod, "Ready")
    since = 0.0
    if ready:
        conditions = [item for item in status["conditions"] if item.get("type") == "Ready"]
        time = parse_time(conditions[0].get("lastTransitionTime"))
        since = -time.timestamp() if time else float("-inf")
    restarts = max((item.get("restartCount", 0) for item in status.get("containerStatuses") or ()), default=0)
    created = parse_time(metadata.get("creationTimestamp"))
    return (
        bool((pod.get("spec") or {}).get("nodeName")),
        _PHASES.get(phase(pod), 2),
        ready,
        since,
        -restarts,
        -created.timestamp() if created else float("-inf"),
    )


def pods_to_remove(job: Object, active: Sequence[Object], at_least: int) -> list[Object]:
    """Choose active pods to remove: those with a repeated, unknown or too large index, and so many that are too many.

    Args:
        job: the Job.
        active: its active pods.
        at_least: how many there are too many.
    """
    removed: list[Object] = []
    left = list(active)
    if is_indexed(job):
        left = []
        groups: dict[int, list[Object]] = {}
        for pod in active:
            groups.setdefault(completion_index(pod), []).append(pod)
        for index, pods in sorted(groups.items()):
            if index == UNKNOWN_INDEX or index >= job["spec"]["completions"]:
                removed += pods
                continue
            *doubles, last = sorted(pods, key=removal_order)
            removed += doubles
            left.append(last)
    if len(removed) < at_least:
        removed += sorted(left, key=removal_order)[: at_least - len(removed)]
    return removed


def delayed_pods(job: Object, pods: Iterable[Object], settled: Iterable[int], counted: set[str]) -> dict[int, Object]:
    """Give, for each index that awaits a new pod, the failed pod whose count of failures the new one carries on.

    Args:
        job: a Job with a limit per index.
        pods: its pods.
        settled: indexes that have succeeded, have failed or have an active pod.
        counted: uids of pods whose failure is already written in the status.
    """
    done = set(settled)
    delayed: dict[int, Object] = {}
    for pod in pods:
        index = completion_index(pod)
        if not is_tracked(pod) or pod["metadata"].get("uid") in counted or not is_failed(pod, job):
            continue
        if index == UNKNOWN_INDEX or index >= job["spec"]["completions"] or index in done:
            continue
        last = delayed.get(index)
        if last is None or (
            absolute_failure_count(last) <= absolute_failure_count(pod) and finished_time(pod) >= finished_time(last)
        ):
            delayed[index] = pod
    return delayed
