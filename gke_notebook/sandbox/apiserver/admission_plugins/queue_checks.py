"""What Kueue's definitions and webhooks refuse of its own kinds, and what this sandbox cannot do for them; pure.

Source of rules and texts: sigs.k8s.io/kueue v0.15.0 (`pkg/webhooks`, and the validation rules of `apis/kueue/v1beta1`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gke_notebook.sandbox.apiserver import formats, status
from gke_notebook.sandbox.apiserver.status import FieldError
from gke_notebook.sandbox.quantity import QuantityError, canonical, parse

Object = dict[str, Any]

IMMUTABLE = "field is immutable"
HOW = "`gke-notebook sandbox up --control-plane` runs Kueue itself"
_ALONE = ("cohort", "admissionChecks", "admissionChecksStrategy", "admissionScope")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _rule(path: str, kind: str, text: str) -> FieldError:
    """Say that a validation rule of the definition does not hold; the server names the type for the value."""
    return status.invalid_value(path, kind, text)


def broken_rules(kind: str, new: Object, old: Object | None) -> list[FieldError]:
    """Give the validation rules of a definition that an object breaks.

    Args:
        kind: the kind.
        new: the object, valid by its schema.
        old: the object as stored, None for a new one.
    """
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    if kind == "ClusterQueue":
        return _cluster_queue_rules(spec)
    if kind == "LocalQueue":
        moved = old is not None and spec.get("clusterQueue") != before.get("clusterQueue")
        return [_rule("spec.clusterQueue", "string", IMMUTABLE)] if moved else []
    if kind == "ResourceFlavor":
        return _flavor_rules(spec)
    if kind == "Workload":
        return _workload_rules(new, old)
    return []


def _cluster_queue_rules(spec: Object) -> list[FieldError]:
    found = []
    groups = spec.get("resourceGroups") or ()
    quotas = [quota for group in groups for flavor in group["flavors"] for quota in flavor["resources"]]
    if not spec.get("cohort") and any("borrowingLimit" in quota for quota in quotas):
        found.append(_rule("spec", "object", "borrowingLimit must be nil when cohort is empty"))
    for index, group in enumerate(groups):
        if any(len(flavor["resources"]) != len(group["coveredResources"]) for flavor in group["flavors"]):
            text = "flavors must have the same number of resources as the coveredResources"
            found.append(_rule(f"spec.resourceGroups[{index}]", "object", text))
    return found


def _flavor_rules(spec: Object) -> list[FieldError]:
    found, tolerations = [], spec.get("tolerations") or ()
    effects = "supported taint effect values: 'NoSchedule', 'PreferNoSchedule', 'NoExecute'"
    if any("key" not in each and each.get("operator") != "Exists" for each in tolerations):
        text = "operator must be Exists when 'key' is empty, which means 'match all values and all keys'"
        found.append(_rule("spec.tolerations", "array", text))
    if any("tolerationSeconds" in each and each.get("effect") != "NoExecute" for each in tolerations):
        text = "effect must be 'NoExecute' when 'tolerationSeconds' is set"
        found.append(_rule("spec.tolerations", "array", text))
    if any(each.get("operator", "Equal") not in ("Equal", "Exists") for each in tolerations):
        text = "supported toleration values: 'Equal'(default), 'Exists'"
        found.append(_rule("spec.tolerations", "array", text))
    if any(each.get("operator") == "Exists" and "value" in each for each in tolerations):
        found.append(_rule("spec.tolerations", "array", "a value must be empty when 'operator' is 'Exists'"))
    if any(each.get("effect", "NoSchedule") not in _EFFECTS for each in tolerations):
        found.append(_rule("spec.tolerations", "array", effects))
    if any(each["effect"] not in _EFFECTS for each in spec.get("nodeTaints") or ()):
        found.append(_rule("spec.nodeTaints", "array", effects))
    return found


def _holds(workload: Object | None, type_: str) -> bool:
    conditions = ((workload or {}).get("status") or {}).get("conditions") or ()
    return any(each["type"] == type_ and each["status"] == "True" for each in conditions)


def _workload_rules(new: Object, old: Object | None) -> list[FieldError]:
    found = []
    spec, before = new["spec"], (old or {}).get("spec") or {}
    for index, each in enumerate(spec["podSets"]):
        if each.get("minCount", 0) > each.get("count", 1):
            text = "minCount should be positive and less or equal to count"
            found.append(_rule(f"spec.podSets[{index}]", "object", text))
    while_reserved = "is immutable while workload quota reserved"
    if _holds(old, "QuotaReserved"):
        if spec.get("priorityClassSource") != before.get("priorityClassSource"):
            found.append(_rule("<nil>", "object", f"priorityClassSource {while_reserved}"))
        if _holds(new, "QuotaReserved") and spec.get("queueName") != before.get("queueName"):
            found.append(_rule("<nil>", "object", f"queueName {while_reserved}"))
    limit = "maximumExecutionTimeSeconds"
    if _holds(old, "Admitted") and _holds(new, "Admitted") and spec.get(limit) != before.get(limit):
        found.append(_rule("<nil>", "object", f"{limit} {while_reserved}"))
    return found


def denied(kind: str, new: Object, old: Object | None) -> list[FieldError]:
    """Give what the webhooks deny of an object.

    Args:
        kind: the kind.
        new: the object, valid by its definition.
        old: the object as stored, None for a new one.
    """
    spec = new.get("spec") or {}
    if kind == "ClusterQueue":
        return list(_cluster_queue(spec))
    if kind == "ResourceFlavor":
        return list(_flavor(spec))
    if kind == "Workload":
        return list(_workload(new, old))
    return []


def _cluster_queue(spec: Object) -> Iterator[FieldError]:
    resources: set[str] = set()
    flavors: set[str] = set()
    for index, group in enumerate(spec.get("resourceGroups") or ()):
        path = f"spec.resourceGroups[{index}]"
        for place, name in enumerate(group["coveredResources"]):
            where = f"{path}.coveredResources[{place}]"
            for text in formats.qualified_name(name):
                yield status.invalid_value(where, name, text)
            if name in resources:
                yield status.duplicate(where, name)
            resources.add(name)
        for place, flavor in enumerate(group["flavors"]):
            where = f"{path}.flavors[{place}]"
            for number, (quota, name) in enumerate(zip(flavor["resources"], group["coveredResources"], strict=False)):
                yield from _quota(quota, name, f"{where}.resources[{number}]")
            if flavor["name"] in flavors:
                yield status.duplicate(f"{where}.name", flavor["name"])
            flavors.add(flavor["name"])
    for number, each in enumerate((spec.get("namespaceSelector") or {}).get("matchExpressions") or ()):
        yield from _requirement(each, f"spec.namespaceSelector.matchExpressions[{number}]")


def _quota(quota: Object, name: str, path: str) -> Iterator[FieldError]:
    if quota["name"] != name:
        yield status.invalid_value(f"{path}.name", quota["name"], "must match the name in coveredResources")
    for key in ("nominalQuota", "lendingLimit"):
        if key not in quota:
            continue
        try:
            negative, shown = parse(quota[key]) < 0, canonical(quota[key])
        except QuantityError:
            continue
        if negative:
            yield status.invalid_value(f"{path}.{key}", shown, "must be greater than or equal to 0")
        if key == "lendingLimit":
            yield status.invalid_value(f"{path}.{key}", shown, "must be nil when cohort is empty")


def _requirement(each: Object, path: str) -> Iterator[FieldError]:
    operator, values = each.get("operator"), each.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            yield status.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield status.field_forbidden(f"{path}.values", text)
    else:
        yield status.invalid_value(f"{path}.operator", operator, "not a valid selector operator")
    for text in formats.qualified_name(each.get("key", "")):
        yield status.invalid_value(f"{path}.key", each.get("key", ""), text)


def _flavor(spec: Object) -> Iterator[FieldError]:
    for key, value in sorted((spec.get("nodeLabels") or {}).items()):
        for text in formats.qualified_name(key):
            yield status.invalid_value("spec.nodeLabels", key, text)
        for text in formats.label_value(value):
            yield status.invalid_value("spec.nodeLabels", value, text)
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("nodeTaints") or ()):
        path, pair = f"spec.nodeTaints[{index}]", (taint["key"], taint["effect"])
        for text in formats.qualified_name(taint["key"]):
            yield status.invalid_value(f"{path}.key", taint["key"], text)
        for text in formats.label_value(taint.get("value", "")):
            yield status.invalid_value(f"{path}.value", taint["value"], text)
        if pair in seen:
            shown = {key: taint[key] for key in ("key", "value", "effect") if key in taint}
            error = status.duplicate(path, shown)
            text = f"{error.message}: taints must be unique by key and effect pair"
            yield FieldError(error.type, error.field, text)
        seen.add(pair)
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        key = toleration.get("key", "")
        for text in formats.qualified_name(key) if key else ():
            yield status.invalid_value(f"spec.tolerations[{index}].key", key, text)


def _workload(new: Object, old: Object | None) -> Iterator[FieldError]:
    spec, before = new["spec"], (old or {}).get("spec") or {}
    for index, each in enumerate(spec["podSets"]):
        for word in ("initContainers", "containers"):
            for place, container in enumerate((each["template"].get("spec") or {}).get(word) or ()):
                if "pods" in ((container.get("resources") or {}).get("requests") or {}):
                    path = f"spec.podSets[{index}].template.spec.{word}[{place}].resources.requests[pods]"
                    yield status.invalid_value(path, "pods", "the key is reserved for internal kueue use")
    if sum("minCount" in each for each in spec["podSets"]) > 1:
        count = sum("minCount" in each for each in spec["podSets"])
        yield status.invalid_value("spec.podSets", count, "at most one podSet can use minCount")
    if not _holds(old, "QuotaReserved"):
        return
    sets, others = spec["podSets"], before["podSets"]
    if len(sets) != len(others):
        yield status.invalid_value("spec.podSets", sets, IMMUTABLE)
        return
    for index, (each, other) in enumerate(zip(sets, others, strict=True)):
        if each != other:
            yield status.invalid_value(f"spec.podSets.{index}", each, IMMUTABLE)


def unsupported(kind: str, obj: Object) -> list[str]:
    """Give what this sandbox would have to ignore of an object, which it does not do.

    Args:
        kind: the kind.
        obj: the object.
    """
    spec = obj.get("spec") or {}
    found = []
    if kind == "ClusterQueue":
        found = [
            key for key in ("cohort", "admissionChecks", "admissionChecksStrategy", "admissionScope") if spec.get(key)
        ]
        if (spec.get("preemption") or {}).get("withinClusterQueue", "Never") != "Never":
            found.append("preemption.withinClusterQueue")
    elif kind == "ResourceFlavor" and spec.get("topologyName"):
        found = ["topologyName"]
    elif kind == "Workload" and any("minCount" in each for each in spec.get("podSets") or ()):
        found = ["podSets[].minCount"]
    return [
        f"spec.{key} is not supported by this sandbox; `gke-notebook sandbox up --control-plane` is" for key in found
    ]
