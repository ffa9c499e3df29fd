"""The definitions of Kueue's kinds that the sandbox brings along: the fields its controller knows.

Kinds, names and fields are those of Kueue 0.15.0 (`apis/kueue/v1beta1`, the version that its own definitions store).
A Workload's pod templates are taken as they are. Kueue's own definitions may be applied over these.
"""

from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import Resource
from gke_notebook.sandbox import kueue

Object = dict[str, Any]

_TEXT: Object = {"type": "string"}
_FLAG: Object = {"type": "boolean"}
_COUNT: Object = {"type": "integer", "format": "int32"}
_NATURAL: Object = {**_COUNT, "minimum": 0}
_TIME: Object = {"type": "string", "format": "date-time"}
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_NAME: Object = {"type": "string", "maxLength": 253, "pattern": _SUBDOMAIN}
_POD_SET: Object = {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
_QUANTITY: Object = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|"
    r"(\.[0-9]+))))?$",
    "x-kubernetes-int-or-string": True,
}
_LABELS: Object = {"type": "object", "additionalProperties": _TEXT}
_ANY: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _choice(*words: str, **more: Any) -> Object:
    return {"type": "string", "enum": list(words), **more}


def _struct(*required: str, **properties: Object) -> Object:
    found: Object = {"type": "object", "properties": {name.rstrip("_"): each for name, each in properties.items()}}
    return {**found, "required": list(required)} if required else found


def _list(item: Object, **more: Any) -> Object:
    return {"type": "array", "items": item, **more}


def _atomic(item: Object, most: int) -> Object:
    return _list(item, maxItems=most, **{"x-kubernetes-list-type": "atomic"})


def _keyed(key: str, item: Object, most: int = 0, **more: Any) -> Object:
    lists = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return _list(item, **lists, **({"maxItems": most} if most else {}), **more)


def _conditions() -> Object:
    condition = _struct(
        "lastTransitionTime", "message", "reason", "status", "type",
        type_={**_TEXT, "maxLength": 316}, status=_choice("True", "False", "Unknown"),
        reason={**_TEXT, "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
        message={**_TEXT, "maxLength": 32768}, lastTransitionTime=_TIME,
        observedGeneration={"type": "integer", "format": "int64", "minimum": 0},
    )  # fmt: skip
    return _keyed("type", condition)


_STOP = _choice("None", "Hold", "HoldAndDrain", default="None")


def _usage(most: int, **more: Object) -> Object:
    resource = _struct("name", name=_TEXT, total=_QUANTITY, **more)
    return _keyed("name", _struct("name", "resources", name=_NAME, resources=_keyed("name", resource, most)), most)


def _cluster_queue() -> Object:
    quota = _struct(
        "name", "nominalQuota", name=_TEXT, nominalQuota=_QUANTITY, borrowingLimit=_QUANTITY, lendingLimit=_QUANTITY
    )
    flavor = _struct("name", "resources", name=_NAME, resources=_keyed("name", quota, 64, minItems=1))
    group = _struct(
        "coveredResources", "flavors",
        coveredResources=_list(_TEXT, minItems=1, maxItems=64), flavors=_keyed("name", flavor, 64, minItems=1),
    )  # fmt: skip
    requirement = _struct(
        "key", "operator", key=_TEXT, operator=_TEXT, values=_list(_TEXT, **{"x-kubernetes-list-type": "atomic"})
    )
    selector = _struct(matchLabels=_LABELS, matchExpressions=_list(requirement, **{"x-kubernetes-list-type": "atomic"}))
    within = _struct(policy=_choice("Never", "LowerPriority", default="Never"), maxPriorityThreshold=_COUNT)
    preemption = _struct(
        reclaimWithinCohort=_choice("Never", "LowerPriority", "Any", default="Never"),
        borrowWithinCohort={**within, "default": {}},
        withinClusterQueue=_choice("Never", "LowerPriority", "LowerOrNewerEqualPriority", default="Never"),
    )
    fungibility = _struct(
        whenCanBorrow=_choice("MayStopSearch", "TryNextFlavor", "Borrow", default="MayStopSearch"),
        whenCanPreempt=_choice("MayStopSearch", "TryNextFlavor", "Preempt", default="TryNextFlavor"),
        preference=_choice("BorrowingOverPreemption", "PreemptionOverBorrowing"),
    )
    checks = _struct("name", name=_TEXT, onFlavors=_list(_NAME))
    spec = _struct(
        resourceGroups=_atomic(group, 16),
        cohort=_NAME,
        queueingStrategy=_choice("StrictFIFO", "BestEffortFIFO", default="BestEffortFIFO"),
        namespaceSelector={**selector, "x-kubernetes-map-type": "atomic"},
        flavorFungibility={**fungibility, "default": {}},
        preemption={**preemption, "default": {}},
        admissionChecks=_list(_TEXT),
        admissionChecksStrategy=_struct(admissionChecks=_list(checks)),
        stopPolicy=_STOP,
        fairSharing=_struct(weight={**_QUANTITY, "default": 1}),
        admissionScope=_struct("admissionMode", admissionMode=_TEXT),
    )
    status = _struct(
        conditions=_conditions(),
        flavorsReservation=_usage(64, borrowed=_QUANTITY),
        flavorsUsage=_usage(64, borrowed=_QUANTITY),
        pendingWorkloads=_COUNT, reservingWorkloads=_COUNT, admittedWorkloads=_COUNT,
    )  # fmt: skip
    return {"spec": spec, "status": status}


def _local_queue() -> Object:
    spec = _struct(clusterQueue=_NAME, stopPolicy=_STOP, fairSharing=_struct(weight={**_QUANTITY, "default": 1}))
    status = _struct(
        conditions=_conditions(), flavorsReservation=_usage(16), flavorUsage=_usage(16),
        pendingWorkloads=_COUNT, reservingWorkloads=_COUNT, admittedWorkloads=_COUNT,
    )  # fmt: skip
    return {"spec": spec, "status": status}


def _tolerations(most: int = 8) -> Object:
    seconds = {"type": "integer", "format": "int64"}
    item = _struct(key=_TEXT, operator=_TEXT, value=_TEXT, effect=_TEXT, tolerationSeconds=seconds)
    return _atomic(item, most)


def _flavor() -> Object:
    taint = _struct("effect", "key", key=_TEXT, value=_TEXT, effect=_TEXT, timeAdded=_TIME)
    spec = _struct(
        nodeLabels={**_LABELS, "maxProperties": 8, "x-kubernetes-map-type": "atomic"},
        nodeTaints=_atomic(taint, 8), tolerations=_tolerations(), topologyName=_NAME,
    )  # fmt: skip
    return {"spec": spec}


def _workload() -> Object:
    topology = _struct(
        required=_TEXT, preferred=_TEXT, unconstrained=_FLAG, podIndexLabel=_TEXT, podSetGroupName=_TEXT,
        podSetSliceRequiredTopology=_TEXT, podSetSliceSize=_COUNT, subGroupCount=_COUNT, subGroupIndexLabel=_TEXT,
    )  # fmt: skip
    pod_set = _struct(
        "count", "template",
        name={**_POD_SET, "default": "main"}, count={**_NATURAL, "default": 1}, minCount={**_COUNT, "minimum": 1},
        template=_ANY, topologyRequest=topology,
    )  # fmt: skip
    sources = ("kueue.x-k8s.io/workloadpriorityclass", "scheduling.k8s.io/priorityclass", "")
    spec = _struct(
        "podSets",
        podSets=_keyed("name", pod_set, 8, minItems=1), queueName=_NAME, active={**_FLAG, "default": True},
        priority=_COUNT, priorityClassName=_NAME, priorityClassSource=_choice(*sources, default=""),
        maximumExecutionTimeSeconds={**_COUNT, "minimum": 1},
    )  # fmt: skip
    quantities = {"type": "object", "additionalProperties": _QUANTITY}
    assignment = _struct(
        "name",
        name={**_POD_SET, "default": "main"}, count=_NATURAL, resourceUsage=quantities,
        flavors={"type": "object", "additionalProperties": _NAME},
    )  # fmt: skip
    eviction = _struct("count", "reason", "underlyingCause", reason=_TEXT, underlyingCause=_TEXT, count=_NATURAL)
    evictions = _list(
        eviction, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["reason", "underlyingCause"]}
    )
    status = _struct(
        conditions=_conditions(),
        admission=_struct(
            "clusterQueue", "podSetAssignments",
            clusterQueue=_NAME, podSetAssignments=_keyed("name", assignment, 8),
        ),
        requeueState=_struct(count=_NATURAL, requeueAt=_TIME),
        reclaimablePods=_keyed("name", _struct("count", "name", name=_POD_SET, count=_NATURAL), 8),
        resourceRequests=_keyed("name", _struct("name", name=_POD_SET, resources=quantities), 8),
        schedulingStats=_struct(evictions=evictions),
        accumulatedPastExexcutionTimeSeconds=_COUNT,
    )  # fmt: skip
    return {"spec": spec, "status": status}


def _priority_class() -> Object:
    return {"value": _COUNT, "description": _TEXT}


def _column(name: str, type_: str, path: str, **more: Any) -> Object:
    return {"name": name, "type": type_, "jsonPath": path, **more}


_COLUMNS: dict[str, list[Object]] = {
    "ClusterQueue": [
        _column("Cohort", "string", ".spec.cohort"),
        _column("Strategy", "string", ".spec.queueingStrategy", priority=1),
        _column("Pending Workloads", "integer", ".status.pendingWorkloads"),
        _column("Admitted Workloads", "integer", ".status.admittedWorkloads", priority=1),
    ],
    "LocalQueue": [
        _column("ClusterQueue", "string", ".spec.clusterQueue"),
        _column("Pending Workloads", "integer", ".status.pendingWorkloads"),
        _column("Admitted Workloads", "integer", ".status.admittedWorkloads"),
    ],
    "Workload": [
        _column("Queue", "string", ".spec.queueName"),
        _column("Reserved in", "string", ".status.admission.clusterQueue"),
        _column("Admitted", "string", ".status.conditions[?(@.type=='Admitted')].status"),
        _column("Finished", "string", ".status.conditions[?(@.type=='Finished')].status"),
        _column("Age", "date", ".metadata.creationTimestamp"),
    ],
    "WorkloadPriorityClass": [_column("Value", "integer", ".value")],
}
_SHORT = {
    "ClusterQueue": ["cq"],
    "LocalQueue": ["queue", "queues", "lq"],
    "ResourceFlavor": ["flavor", "flavors", "rf"],
    "Workload": ["wl"],
}
_FIELDS = {
    "ClusterQueue": _cluster_queue,
    "LocalQueue": _local_queue,
    "ResourceFlavor": _flavor,
    "Workload": _workload,
    "WorkloadPriorityClass": _priority_class,
}


def _definition(resource: Resource) -> Object:
    fields = _FIELDS[resource.kind]()
    required = ["value"] if resource.kind == "WorkloadPriorityClass" else []
    version: Object = {
        "name": kueue.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _struct(*required, apiVersion=_TEXT, kind=_TEXT, **fields)},
    }
    if "status" in fields:
        version["subresources"] = {"status": {}}
    if resource.kind in _COLUMNS:
        version["additionalPrinterColumns"] = _COLUMNS[resource.kind]
    names: Object = {
        "plural": resource.plural, "singular": resource.kind.lower(), "kind": resource.kind,
        "listKind": f"{resource.kind}List",
    }  # fmt: skip
    if resource.kind in _SHORT:
        names["shortNames"] = _SHORT[resource.kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{kueue.GROUP}"},
        "spec": {
            "group": kueue.GROUP,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }


def definitions() -> list[Object]:
    """Give the CustomResourceDefinitions."""
    return [_definition(resource) for resource in kueue.KINDS]
