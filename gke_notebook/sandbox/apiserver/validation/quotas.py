"""Checks and defaults of resource quotas and limit ranges.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`, `pkg/apis/core/v1/defaults.go`).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    required,
)
from gke_notebook.sandbox.quotas import is_extended

from .metadata import all_wrong
from .resources import check_container_name, check_standard_name, may_overcommit

Object = dict[str, Any]

_INTEGERS = frozenset(
    {
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    }
)  # fmt: skip
_QUOTA_NAMES = _INTEGERS | {
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
}  # fmt: skip
_POD_SCOPED = frozenset({"pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
_EXISTS_ONLY = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_SCOPES = frozenset({*_EXISTS_ONLY, "PriorityClass", "VolumeAttributesClass"})
_PAIRS = (frozenset({"BestEffort", "NotBestEffort"}), frozenset({"Terminating", "NotTerminating"}))
_UNSCOPED = "unsupported scope applied to resource"
_TYPES = frozenset({"Pod", "Container", "PersistentVolumeClaim"})
_POD_ONLY = "may not be specified when `type` is 'Pod'"


def check_quota(obj: Object) -> list[FieldError]:
    """Check a ResourceQuota.

    Args:
        obj: the object.
    """
    spec = obj.get("spec") or {}
    errors = _amounts(spec.get("hard") or {}, "spec.hard") + _scopes(spec)
    if spec.get("scopeSelector") is not None:
        errors += _selector(spec)
    return errors


def check_quota_update(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a ResourceQuota.

    Args:
        new: the object after the change.
        old: the object as stored.
    """
    after, before = ((each.get("spec") or {}).get("scopes") or [] for each in (new, old))
    if set(after) == set(before):
        return []
    return [invalid_value("spec.scopes", after or None, formats.IMMUTABLE)]


def check_quota_status(new: Object) -> list[FieldError]:
    """Check an update of a ResourceQuota's status.

    Args:
        new: the object after the change.
    """
    found = new.get("status") or {}
    return _amounts(found.get("hard") or {}, "status.hard") + _amounts(found.get("used") or {}, "status.used")


def _amounts(amounts: Object, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, amount in amounts.items():
        where = f"{field}[{name}]"
        errors += check_standard_name(name, where)
        if "/" not in name and not _is_quota_name(name):
            errors.append(invalid_value(where, name, "must be a standard resource for quota"))
        value = quantity.parse(amount)
        if value < 0:
            errors.append(invalid_value(where, amount, formats.NEGATIVE))
        if (name in _INTEGERS or is_extended(name)) and value.denominator != 1:
            errors.append(invalid_value(where, amount, "must be an integer"))
    return errors


def _is_quota_name(name: str) -> bool:
    return name in _QUOTA_NAMES or name.startswith(("hugepages-", "requests.hugepages-"))


def _fits(scope: str, name: str) -> bool:
    if not _is_quota_name(name):
        return True
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in {"persistentvolumeclaims", "requests.storage"}
    return scope not in _SCOPES or name in _POD_SCOPED


def _scopes(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
        unfit = [name for name in sorted(spec.get("hard") or ()) if not _fits(scope, name)]
        errors += [invalid_value("spec.scopes", scopes, _UNSCOPED) for _ in unfit]
    errors += [invalid_value("spec.scopes", scopes, "conflicting scopes") for pair in _PAIRS if pair <= set(scopes)]
    return errors


def _selector(spec: Object) -> list[FieldError]:
    field = "spec.scopeSelector.matchExpressions"
    errors: list[FieldError] = []
    seen = set()
    for each in spec["scopeSelector"].get("matchExpressions") or ():
        scope, operator, values = each.get("scopeName", ""), each.get("operator", ""), each.get("values") or []
        seen.add(scope)
        if scope not in _SCOPES:
            errors.append(invalid_value(f"{field}.scopeName", scope, "unsupported scope"))
        unfit = [name for name in sorted(spec.get("hard") or ()) if not _fits(scope, name)]
        errors += [invalid_value(field, spec["scopeSelector"], _UNSCOPED) for _ in unfit]
        if scope in _EXISTS_ONLY and operator != "Exists":
            named = ", ".join(f"ResourceQuotaScope{one}" for one in _EXISTS_ONLY[:-1])
            text = f"must be 'Exists' when scope is any of {named} or ResourceQuotaScope{_EXISTS_ONLY[-1]}"
            errors.append(invalid_value(f"{field}.operator", operator, text))
        if operator in {"In", "NotIn"}:
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{field}.values", text))
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid_value(f"{field}.values", values, text))
        else:
            errors.append(invalid_value(f"{field}.operator", operator, "not a valid selector operator"))
    scopes = spec.get("scopes")
    errors += [invalid_value(field, scopes, "conflicting scopes") for pair in _PAIRS if pair <= seen]
    return errors


def set_limit_defaults(obj: Object) -> None:
    """Fill in what a limit range leaves out for containers, in place.

    Args:
        obj: the LimitRange.
    """
    for limit in (obj.get("spec") or {}).get("limits") or ():
        if limit.get("type") != "Container":
            continue
        default, request = dict(limit.get("default") or {}), dict(limit.get("defaultRequest") or {})
        for name, amount in (limit.get("max") or {}).items():
            default.setdefault(name, amount)
        for source in (default, limit.get("min") or {}):
            for name, amount in source.items():
                request.setdefault(name, amount)
        for key, found in (("default", default), ("defaultRequest", request)):
            if found:
                limit[key] = found


def check_limit_range(obj: Object) -> list[FieldError]:
    """Check a LimitRange.

    Args:
        obj: the object, defaults set.
    """
    errors: list[FieldError] = []
    seen = set()
    for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
        field, kind = f"spec.limits[{index}]", limit.get("type", "")
        wrong = formats.qualified_name(kind)
        errors += all_wrong(f"{field}.type", kind, wrong)
        if not wrong and "/" not in kind and kind not in _TYPES:
            errors.append(invalid_value(f"{field}.type", kind, "must be a standard limit type or fully qualified"))
        if kind in seen:
            errors.append(duplicate(f"{field}.type", kind))
        seen.add(kind)
        errors += _limit(limit, kind, field)
    return errors


def _limit(limit: Object, kind: str, field: str) -> list[FieldError]:
    check = check_container_name if kind in {"Pod", "Container"} else check_standard_name
    errors: list[FieldError] = []
    parts = ["max", "min"]
    if kind == "Pod":
        errors += [
            field_forbidden(f"{field}.{part}", _POD_ONLY) for part in ("default", "defaultRequest") if limit.get(part)
        ]
    else:
        parts += ["default", "defaultRequest"]
    parts.append("maxLimitRequestRatio")
    for part in parts:
        for name in limit.get(part) or ():
            errors += check(name, f"{field}.{part}[{name}]")
    if kind == "PersistentVolumeClaim" and not any("storage" in (limit.get(part) or {}) for part in ("min", "max")):
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{field}.limits", text))
    for name in sorted({name for part in parts for name in limit.get(part) or ()}):
        errors += _relations(
            {part: limit[part][name] for part in parts if name in (limit.get(part) or {})}, name, field
        )
    return errors


# Which two values must be in order, the words for them, and the field and value that the server names.
_ORDER = (
    ("min", "max", "min value", "max value", "min", "min"),
    ("min", "defaultRequest", "min value", "default request value", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "default request value", "max value", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default", "default request value", "default limit value", "defaultRequest", "defaultRequest"),
    ("min", "default", "min value", "default value", "default", "min"),
    ("default", "max", "default value", "max value", "default", "max"),
)


def _relations(values: dict[str, str], name: str, field: str) -> list[FieldError]:
    errors = []
    amounts = {part: quantity.parse(text) for part, text in values.items()}
    for low, high, low_word, high_word, where, shown in _ORDER:
        if low in amounts and high in amounts and amounts[low] > amounts[high]:
            text = f"{low_word} {values[low]} is greater than {high_word} {values[high]}"
            errors.append(invalid_value(f"{field}.{where}[{name}]", values[shown], text))
    ratio = amounts.get("maxLimitRequestRatio")
    if ratio is not None:
        where, said = f"{field}.maxLimitRequestRatio[{name}]", values["maxLimitRequestRatio"]
        if ratio < 1:
            errors.append(invalid_value(where, said, f"ratio {said} is less than 1"))
        if amounts.get("min") and "max" in amounts and ratio > amounts["max"] / amounts["min"]:
            most = float(amounts["max"] / amounts["min"])
            errors.append(invalid_value(where, said, f"ratio {said} is greater than max/min = {most:.6f}"))
    default, request = amounts.get("default"), amounts.get("defaultRequest")
    if not may_overcommit(name) and default is not None and request is not None and default != request:
        text = (
            f"default value {values['default']} must equal to defaultRequest value {values['defaultRequest']} in {name}"
        )
        errors.append(invalid_value(f"{field}.defaultRequest[{name}]", values["defaultRequest"], text))
    return errors
