"""Checks of resource requirements.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import FieldError, field_forbidden, invalid_value, required

from .metadata import all_wrong

_CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD_RESOURCES = _CONTAINER_RESOURCES | {
    "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
    "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "storage", "requests.storage", "services.nodeports",
    "services.loadbalancers",
}  # fmt: skip
_HUGE_PAGES = "hugepages-"


def is_native(name: str) -> bool:
    """Tell whether Kubernetes itself knows the resource.

    Args:
        name: for example ``cpu`` or ``nvidia.com/gpu``.
    """
    return "/" not in name or "kubernetes.io/" in name


def may_overcommit(name: str) -> bool:
    """Tell whether limits of the resource may be higher than requests.

    Args:
        name: for example ``cpu`` or ``nvidia.com/gpu``.
    """
    return is_native(name) and not name.startswith(_HUGE_PAGES)


def check_standard_name(name: str, field: str) -> list[FieldError]:
    """Check the name of a resource.

    Args:
        name: the resource.
        field: the path of its value.
    """
    errors = all_wrong(field, name, formats.qualified_name(name))
    if "/" not in name and not errors:
        huge = name.startswith((_HUGE_PAGES, "requests." + _HUGE_PAGES))
        if not huge and name not in _STANDARD_RESOURCES:
            errors.append(invalid_value(field, name, "must be a standard resource type or fully qualified"))
    return errors


def check_container_name(name: str, field: str) -> list[FieldError]:
    """Check the name of a resource that containers ask for.

    Args:
        name: the resource.
        field: the path of its value.
    """
    errors = check_standard_name(name, field)
    if "/" not in name:
        if not name.startswith(_HUGE_PAGES) and name not in _CONTAINER_RESOURCES:
            errors.append(invalid_value(field, name, "must be a standard resource for containers"))
    elif not is_native(name) and (name.startswith("requests.") or formats.qualified_name("requests." + name)):
        errors.append(invalid_value(field, name, "doesn't follow extended resource name standard"))
    return errors


def check_quantity(name: str, value: str, field: str) -> list[FieldError]:
    """Check the amount of a resource.

    Args:
        name: the resource.
        value: the quantity.
        field: the path of the value.
    """
    errors = []
    amount = quantity.parse(value)
    if amount < 0:
        errors.append(invalid_value(field, value, formats.NEGATIVE))
    if not is_native(name) and amount.denominator != 1:
        errors.append(invalid_value(field, value, "must be an integer"))
    return errors


def check_requirements(resources: dict[str, Any], field: str) -> list[FieldError]:
    """Check limits and requests of a container.

    Args:
        resources: the `resources` of the container.
        field: the path of `resources`.
    """
    errors: list[FieldError] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, values in (("limits", limits), ("requests", requests)):
        for name, value in values.items():
            where = f"{field}.{part}[{name}]"
            errors += check_container_name(name, where)
            errors += check_quantity(name, value, where)
            if part == "requests":
                errors += _check_against_limit(name, value, limits, field)
    names = {*limits, *requests}
    if any(name.startswith(_HUGE_PAGES) for name in names) and not names & {"cpu", "memory"}:
        errors.append(field_forbidden(field, "HugePages require cpu or memory"))
    return errors


def _check_against_limit(name: str, value: str, limits: dict[str, str], field: str) -> list[FieldError]:
    limit = limits.get(name)
    if limit is None:
        if may_overcommit(name):
            return []
        return [required(f"{field}.limits", "Limit must be set for non overcommitable resources")]
    asked, bound = quantity.parse(value), quantity.parse(limit)
    if asked != bound and not may_overcommit(name):
        return [invalid_value(f"{field}.requests", value, f"must be equal to {name} limit of {limit}")]
    if asked > bound:
        return [invalid_value(f"{field}.requests", value, f"must be less than or equal to {name} limit of {limit}")]
    return []


def quality_of_service(spec: dict[str, Any]) -> str:
    """Give the QoS class of a pod.

    Args:
        spec: the pod's spec, defaults set.
    """
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    seen = False
    guaranteed = True
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit, request = limits.get(name, "0"), requests.get(name, "0")
            seen = seen or quantity.parse(limit) > 0 or quantity.parse(request) > 0
            guaranteed = guaranteed and quantity.parse(limit) > 0 and quantity.parse(limit) == quantity.parse(request)
    if not seen:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
