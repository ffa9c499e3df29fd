"""The definition of ComputeClass that the sandbox brings along: the fields the autoscaler knows, and those it takes.

Kind, names, fields and rules are those of `cloud.google.com/v1` (GoogleCloudPlatform/cluster-autoscaler, 2026-08-21).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import Resource

Object = dict[str, Any]

COMPUTE_CLASSES = Resource("cloud.google.com", "v1", "computeclasses", "ComputeClass", namespaced=False)
DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)

_TEXT: Object = {"type": "string"}
_FLAG: Object = {"type": "boolean"}
_NATURAL: Object = {"type": "integer", "format": "int64", "minimum": 1}
_LABELS: Object = {"type": "object", "additionalProperties": _TEXT}
_ANY: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _choice(*words: str) -> Object:
    return {"type": "string", "enum": list(words)}


def _struct(*required: str, **properties: Object) -> Object:
    found: Object = {"type": "object", "properties": properties}
    return {**found, "required": list(required)} if required else found


def _list(item: Object, most: int = 0) -> Object:
    return {"type": "array", "items": item, **({"maxItems": most} if most else {})}


def _rule(expression: str, message: str) -> Object:
    return {"rule": expression, "message": message}


def _both(one: str, other: str) -> Object:
    return _rule(f"!(has(self.{one}) && has(self.{other}))", f"{one} and {other} exclude each other")


_TAINTS = _list(_struct("key", "effect", key=_TEXT, value=_TEXT, effect=_TEXT))


def _location() -> Object:
    return _struct(zones=_list(_TEXT), locationPolicy=_choice("ANY", "BALANCED"), zoneTypes=_list(_TEXT))


def _priority() -> Object:
    sharing = _struct(
        sharingStrategy=_choice("TIME_SHARING", "MPS"), maxSharedClientsPerGPU=_NATURAL, gpuPartitionSize=_TEXT
    )
    reserved = _struct("name", name=_TEXT, project=_TEXT, zones=_list(_TEXT), reservationBlock=_ANY)
    rule = _struct(
        machineFamily=_TEXT, machineType=_TEXT, minCores=_NATURAL, minMemoryGb=_NATURAL, minCpuPlatform=_TEXT,
        spot=_FLAG, maxRunDurationSeconds=_NATURAL, maxPodsPerNode=_NATURAL,
        gpu=_struct(
            type=_TEXT, count=_NATURAL, driverVersion=_choice("default", "latest"), topology=_TEXT, gpuSharing=sharing
        ),
        tpu=_struct(type=_TEXT, count=_NATURAL, topology=_TEXT),
        reservations=_struct(
            "affinity", affinity=_choice("Specific", "AnyBestEffort", "AnyThenFail", "None"), specific=_list(reserved)
        ),
        flexStart=_struct(enabled=_FLAG, nodeRecycling=_ANY),
        capacityCheckWaitTimeSeconds={**_NATURAL, "maximum": 86400},
        gpuDirect=_TEXT, minimumCapacity=_ANY, allocationStrategy=_TEXT, instanceMetadata=_ANY,
        enableNestedVirtualization=_FLAG, nodepools=_list(_TEXT), podFamily=_TEXT, location=_location(),
        placement=_ANY, acceleratorNetworkProfile=_TEXT, storage=_ANY, nodeSystemConfig=_ANY, nodeLabels=_LABELS,
        taints=_TAINTS, priorityScore={**_NATURAL, "maximum": 1000},
    )  # fmt: skip
    rule["x-kubernetes-validations"] = [
        _both("machineFamily", "machineType"),
        _both("machineType", "minCores"),
        _both("machineType", "minMemoryGb"),
        *(_both("nodepools", other) for other in ("machineFamily", "machineType", "spot", "gpu", "tpu", "flexStart")),
        _rule(
            "!(has(self.flexStart) && has(self.flexStart.enabled) && self.flexStart.enabled && "
            "has(self.spot) && self.spot)",
            "flexStart cannot be enabled with spot",
        ),
        _rule(
            "!has(self.reservations) || (self.reservations.affinity == 'Specific') == has(self.reservations.specific)",
            "specific reservations need the affinity Specific, and it needs them",
        ),
    ]
    return rule


def _spec() -> Object:
    return _struct(
        "whenUnsatisfiable",
        activeMigration=_struct(optimizeRulePriority=_FLAG, ensureAllDaemonSetPodsRunning=_FLAG),
        allocationStrategyDefaults=_ANY,
        autopilot=_struct(enabled=_FLAG),
        autoscalingPolicy=_struct(
            consolidationDelayMinutes={**_NATURAL, "maximum": 1440}, consolidationThreshold=_ANY_NUMBER,
            gpuConsolidationThreshold=_ANY_NUMBER,
        ),
        description=_TEXT,
        minimumCapacity=_ANY,
        nodePoolAutoCreation=_struct(enabled=_FLAG),
        nodePoolConfig={
            "type": "object",
            "properties": {"nodeLabels": _LABELS, "taints": _TAINTS},
            "x-kubernetes-preserve-unknown-fields": True,
        },
        nodePoolGroup=_ANY,
        priorities=_list(_priority(), 1000),
        priorityDefaults=_struct(nodeSystemConfig=_ANY, location=_location()),
        whenUnsatisfiable=_choice("DoNotScaleUp", "ScaleUpAnyway"),
    )  # fmt: skip


_ANY_NUMBER: Object = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 100}


def definition() -> Object:
    """Give the CustomResourceDefinition."""
    group, plural, kind = COMPUTE_CLASSES.group, COMPUTE_CLASSES.plural, COMPUTE_CLASSES.kind
    version = {
        "name": COMPUTE_CLASSES.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _struct("spec", apiVersion=_TEXT, kind=_TEXT, spec=_spec(), status=_ANY)},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {
                "plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List",
                "shortNames": ["cc", "ccs"],
            },
            "versions": [version],
        },
    }  # fmt: skip
