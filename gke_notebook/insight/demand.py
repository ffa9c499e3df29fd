"""What a job asks of a cluster, read off the objects that would be created, and which nodes can hold it; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gke_notebook.insight.reasons import quantity
from gke_notebook.objects import Manifest, Taint

GPU, TPU = "nvidia.com/gpu", "google.com/tpu"
POOL_LABEL = "cloud.google.com/gke-nodepool"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
TOLERANCE = 1e-6  # a float's error must not cost a pod: 0.1 + 0.2 is a little more than 0.3
_EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
_REPELS = {"NoSchedule", "NoExecute"}

Amounts = Mapping[str, float]


@dataclass(frozen=True)
class Demand:
    """What a job asks for: so many equal pods, and where they may run.

    Args:
        pods: in all.
        group: pods of one slice, which stand in one node pool; 0 when each pod may stand anywhere.
        exclusive: whether each group has a node pool to itself.
        requests: of one pod, by resource (cores, bytes or a count).
        limits: of one pod.
        selector: the node selector.
        terms: the required node affinity: one of these lists of expressions must hold; empty when there is none.
        tolerations: as in the pod's spec.
        namespace: where.
        queue: the name of the LocalQueue, empty for none.
        priority_class: of the pods, empty for none.
        terminating: whether the pods have a deadline of their own (the quota scope ``Terminating``).
        objects: how many objects are created, by the name under which a quota counts them (``count/jobs.batch``).
    """

    pods: int
    group: int = 0
    exclusive: bool = False
    requests: Amounts = field(default_factory=dict)
    limits: Amounts = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    terms: Sequence[Sequence[Mapping[str, Any]]] = ()
    tolerations: Sequence[Mapping[str, Any]] = ()
    namespace: str = ""
    queue: str = ""
    priority_class: str = ""
    terminating: bool = False
    objects: Mapping[str, int] = field(default_factory=dict)

    @property
    def accelerators(self) -> tuple[str, int]:
        """The accelerator resource and how many of it one pod has; an empty name for none."""
        for resource in (GPU, TPU):
            if self.requests.get(resource):
                return resource, int(self.requests[resource])
        return "", 0


# Fewer than a thousand texts are in use on a cluster, however large it is.
amount_of = lru_cache(maxsize=4096)(quantity)


def demand(manifests: Iterable[Manifest]) -> Demand:
    """Say what a job asks for.

    Args:
        manifests: the objects that would be created, a Job or a JobSet among them.

    Raises:
        ValueError: there is neither.
    """
    counts: Counter[str] = Counter()
    work: tuple[Manifest, Manifest, int] | None = None  # the object, its pod template's Job spec, how many such Jobs
    for manifest in manifests:
        kind = manifest["kind"]
        if kind == "Job":
            counts["count/jobs.batch"] += 1
            work = (manifest, manifest["spec"], 1)
        elif kind == "JobSet":
            counts["count/jobsets.jobset.x-k8s.io"] += 1
            replicated = manifest["spec"]["replicatedJobs"][0]
            replicas = int(replicated.get("replicas", 1))
            counts["count/jobs.batch"] += replicas
            work = (manifest, replicated["template"]["spec"], replicas)
        else:
            plural = f"{kind.lower()}s"
            counts[f"count/{plural}"] += 1
            counts[plural] += 1
    if work is None:
        raise ValueError("there is no Job among the objects")
    owner, job, replicas = work
    return _demand(owner, job, replicas, counts)


def _demand(owner: Manifest, job: Manifest, replicas: int, counts: Mapping[str, int]) -> Demand:
    each = int(job.get("completions") or job.get("parallelism") or 1)
    template = job["template"]
    pod = template["spec"]
    requests, limits = _of_pod(pod)
    affinity = ((pod.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    notes = {**owner["metadata"].get("annotations", {}), **template.get("metadata", {}).get("annotations", {})}
    together = bool(requests.get(TPU)) and each > 1
    return Demand(
        pods=each * replicas,
        group=each if together or replicas > 1 else 0,
        exclusive=replicas > 1 and notes.get(_EXCLUSIVE) == POOL_LABEL,
        requests=requests,
        limits=limits,
        selector=dict(pod.get("nodeSelector") or {}),
        terms=tuple(term.get("matchExpressions") or () for term in affinity.get("nodeSelectorTerms") or ()),
        tolerations=tuple(pod.get("tolerations") or ()),
        namespace=owner["metadata"].get("namespace", ""),
        queue=owner["metadata"].get("labels", {}).get(QUEUE_LABEL, ""),
        priority_class=pod.get("priorityClassName", ""),
        terminating=pod.get("activeDeadlineSeconds") is not None,
        objects=dict(counts),
    )


def _of_pod(pod: Manifest) -> tuple[Amounts, Amounts]:
    requests: Counter[str] = Counter()
    limits: Counter[str] = Counter()
    for container in pod.get("containers") or ():
        resources = container.get("resources") or {}
        for name, value in (resources.get("limits") or {}).items():
            limits[name] += amount_of(value)  # type: ignore[assignment]  # a Counter adds up floats as well
        for name, value in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
            requests[name] += amount_of(value)  # type: ignore[assignment]
    first = [dict((one.get("resources") or {}).get("requests") or {}) for one in pod.get("initContainers") or ()]
    for asked in first:
        for name, value in asked.items():
            requests[name] = max(requests[name], amount_of(value))  # type: ignore[assignment]
    return dict(requests), dict(limits)


def why_not_on(wanted: Demand, labels: Mapping[str, str], taints: Iterable[Taint]) -> str:
    """Say why the pods may not stand on a node, however idle; empty when they may.

    Args:
        wanted: what the job asks for.
        labels: of the node.
        taints: of the node.
    """
    for key, value in wanted.selector.items():
        if labels.get(key) != value:
            return _otherwise(key, value, labels.get(key, ""))
    if wanted.terms and not any(all(_holds(one, labels) for one in term) for term in wanted.terms):
        return "the required node affinity does not hold"
    for taint in taints:
        if taint.effect in _REPELS and not any(_tolerates(one, taint) for one in wanted.tolerations):
            return f"the taint {taint.key}={taint.value}:{taint.effect} is not tolerated"
    return ""


def _otherwise(key: str, value: str, there: str) -> str:
    words = {
        "cloud.google.com/gke-spot": "it is not spot",
        "cloud.google.com/gke-flex-start": "it is not flex-start",
        "cloud.google.com/gke-provisioning": f"its machines are {there or 'had another way'}, not {value}",
        "topology.kubernetes.io/zone": f"it is in {there or 'no zone'}, not {value}",
        "node.kubernetes.io/instance-type": f"it has {there or 'another machine type'}, not {value}",
        "cloud.google.com/gke-tpu-topology": f"its slices are {there or 'of another shape'}, not {value}",
    }
    return words.get(key, f"its {key} is {there or 'not set'}, not {value}")


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values: Sequence[str] = expression.get("values") or ()
    operator = str(expression["operator"])
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator in {"Exists", "DoesNotExist"}:
        return (value is not None) == (operator == "Exists")
    if value is None or not value.lstrip("-").isdigit():
        return False
    bound = int(next(iter(values), 0))
    return int(value) > bound if operator == "Gt" else int(value) < bound


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    if not toleration.get("key"):
        return bool(toleration.get("operator") == "Exists")
    if toleration["key"] != taint.key:
        return False
    return toleration.get("operator") == "Exists" or str(toleration.get("value") or "") == taint.value


def room(wanted: Demand, free: Amounts) -> int:
    """Count how many pods of a job have room in what is free on one node.

    Args:
        wanted: what the job asks for.
        free: by resource; a resource that is not there has nothing free.

    Example:
        >>> room(Demand(4, requests={"cpu": 2.0, GPU: 1.0}), {"cpu": 7.0, GPU: 2.0, "pods": 100.0})
        2
    """
    most = int(free.get("pods", wanted.pods))
    for resource, number in wanted.requests.items():
        if number > 0:
            most = min(most, int((free.get(resource, 0.0) + TOLERANCE) / number))
    return max(0, most)


def too_large(wanted: Demand, allocatable: Amounts) -> tuple[str, float, float] | None:
    """Say what of one pod is larger than a whole node: the resource, what is asked and what there is; None if nothing.

    Args:
        wanted: what the job asks for.
        allocatable: of an idle node.
    """
    for resource, number in wanted.requests.items():
        if number > allocatable.get(resource, 0.0) + TOLERANCE:
            return resource, number, allocatable.get(resource, 0.0)
    return None
