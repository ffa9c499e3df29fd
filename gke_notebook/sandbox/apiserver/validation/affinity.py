"""Checks of affinity and of the spreading over topologies.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import FieldError, field_forbidden, invalid_value, not_supported, required

from .metadata import all_wrong, check_labels

Object = dict[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")


def check_affinity(affinity: Object, field: str) -> list[FieldError]:
    """Check the affinity of a pod.

    Args:
        affinity: the affinity.
        field: its path.
    """
    errors: list[FieldError] = []
    node = affinity.get("nodeAffinity") or {}
    where = f"{field}.nodeAffinity"
    if node.get(_REQUIRED) is not None:
        terms = node[_REQUIRED].get("nodeSelectorTerms") or []
        path = f"{where}.{_REQUIRED}.nodeSelectorTerms"
        if not terms:
            errors.append(required(path, "must have at least one node selector term"))
        for index, term in enumerate(terms):
            errors += _check_term(term, f"{path}[{index}]")
    for index, each in enumerate(node.get(_PREFERRED) or ()):
        path = f"{where}.{_PREFERRED}[{index}]"
        errors += _check_weight(each, path)
        errors += _check_term(each.get("preference") or {}, f"{path}.preference")
    for name in ("podAffinity", "podAntiAffinity"):
        errors += _check_pod_affinity(affinity.get(name) or {}, f"{field}.{name}")
    return errors


def _check_weight(each: Object, field: str) -> list[FieldError]:
    weight = each.get("weight", 0)
    return [] if 1 <= weight <= 100 else [invalid_value(f"{field}.weight", weight, "must be in the range 1-100")]


def _check_expression(expression: Object, where: str, *, numbers: bool) -> list[FieldError]:
    """Check operator, number of values and key; only node selectors compare numbers (Gt, Lt)."""
    errors: list[FieldError] = []
    key, operator, values = expression.get("key", ""), expression.get("operator", ""), expression.get("values") or []
    if operator in {"In", "NotIn"}:
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(f"{where}.values", text))
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(field_forbidden(f"{where}.values", text))
    elif numbers and operator in {"Gt", "Lt"}:
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(required(f"{where}.values", text))
    else:
        errors.append(invalid_value(f"{where}.operator", operator, "not a valid selector operator"))
    return errors + all_wrong(f"{where}.key", key, formats.qualified_name(key))


def _check_term(term: Object, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, each in enumerate(term.get("matchExpressions") or ()):
        where = f"{field}.matchExpressions[{index}]"
        errors += _check_expression(each, where, numbers=True)
        for at, value in enumerate(each.get("values") or ()):
            errors += all_wrong(f"{where}.values[{at}]", value, formats.label_value(value))
    for index, each in enumerate(term.get("matchFields") or ()):
        where = f"{field}.matchFields[{index}]"
        if each.get("key") != "metadata.name":
            errors.append(invalid_value(f"{where}.key", each.get("key", ""), "not a valid field selector key"))
    return errors


def _check_pod_affinity(affinity: Object, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        errors += _check_pod_term(term, f"{field}.{_REQUIRED}[{index}]")
    for index, each in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{field}.{_PREFERRED}[{index}]"
        errors += _check_weight(each, where)
        errors += _check_pod_term(each.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")
    return errors


def _check_pod_term(term: Object, field: str) -> list[FieldError]:
    errors = check_selector(term.get("labelSelector"), f"{field}.labelSelector")
    key = term.get("topologyKey", "")
    if not key:
        errors.append(required(f"{field}.topologyKey", "can not be empty"))
    else:
        errors += all_wrong(f"{field}.topologyKey", key, formats.qualified_name(key))
    return errors


def check_selector(selector: Object | None, field: str) -> list[FieldError]:
    """Check a label selector.

    Args:
        selector: the selector, None when there is none.
        field: its path.
    """
    if selector is None:
        return []
    errors = check_labels(selector.get("matchLabels"), f"{field}.matchLabels")
    for index, each in enumerate(selector.get("matchExpressions") or ()):
        where = f"{field}.matchExpressions[{index}]"
        errors += _check_expression(each, where, numbers=False)
    return errors


def matches(selector: Object | None, labels: dict[str, str]) -> bool:
    """Tell whether labels fit a label selector.

    Args:
        selector: the selector; an empty one fits all, None fits nothing.
        labels: the labels.
    """
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for each in selector.get("matchExpressions") or ():
        value, values = labels.get(each.get("key", "")), each.get("values") or ()
        fits = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(each.get("operator", ""), False)
        if not fits:
            return False
    return True


def check_spread(constraints: list[Object], field: str) -> list[FieldError]:
    """Check topology spread constraints.

    Args:
        constraints: the constraints.
        field: the path of the list.
    """
    errors: list[FieldError] = []
    for index, each in enumerate(constraints):
        where = f"{field}[{index}]"
        skew, key, action = each.get("maxSkew", 0), each.get("topologyKey", ""), each.get("whenUnsatisfiable", "")
        if skew <= 0:
            errors.append(invalid_value(f"{where}.maxSkew", skew, formats.POSITIVE))
        if not key:
            errors.append(required(f"{where}.topologyKey", "can not be empty"))
        else:
            errors += all_wrong(f"{where}.topologyKey", key, formats.qualified_name(key))
        if action not in _UNSATISFIABLE:
            errors.append(not_supported(f"{where}.whenUnsatisfiable", action, _UNSATISFIABLE))
        errors += check_selector(each.get("labelSelector"), f"{where}.labelSelector")
    return errors
