"""Checks of a job's pod failure policy and success policy.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/batch/validation`).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import (
    OMITTED,
    FieldError,
    duplicate,
    invalid_value,
    not_supported,
    quote,
    required,
    too_long,
    too_many,
)

from .metadata import all_wrong

Object = dict[str, Any]

_MAX_RULES = 20
_MAX_PATTERNS = 20
_MAX_EXIT_CODES = 255
_MAX_INDEXES_TEXT = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")


def _valid(values: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(quote(value) for value in values) + "]"


def check_failure_policy(spec: Object, field: str) -> list[FieldError]:
    """Check a pod failure policy.

    Args:
        spec: the job's spec.
        field: the path of the policy.
    """
    rules = spec["podFailurePolicy"].get("rules") or []
    errors = [too_many(f"{field}.rules", len(rules), _MAX_RULES)] if len(rules) > _MAX_RULES else []
    pod = spec["template"].get("spec") or {}
    names = {container.get("name") for part in ("containers", "initContainers") for container in pod.get(part) or ()}
    for index, rule in enumerate(rules):
        errors += _check_rule(spec, rule, names, f"{field}.rules[{index}]")
    return errors


def _check_rule(spec: Object, rule: Object, names: set[Any], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    action = rule.get("action", "")
    if not action:
        errors.append(required(f"{field}.action", _valid(_ACTIONS)))
    elif action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            text = "requires the backoffLimitPerIndex to be set"
            errors.append(invalid_value(f"{field}.action", action, text))
    elif action not in _ACTIONS:
        errors.append(not_supported(f"{field}.action", action, _ACTIONS))
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        errors += _check_exit_codes(codes, names, f"{field}.onExitCodes")
    errors += _check_conditions(conditions, f"{field}.onPodConditions")
    if codes is not None and conditions:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(invalid_value(field, OMITTED, text))
    if codes is None and not conditions:
        errors.append(invalid_value(field, OMITTED, "specifying one of OnExitCodes and OnPodConditions is required"))
    return errors


def _check_exit_codes(codes: Object, names: set[Any], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = codes.get("operator", ""), codes.get("values") or []
    if not operator:
        errors.append(required(f"{field}.operator", _valid(_OPERATORS)))
    elif operator not in _OPERATORS:
        errors.append(not_supported(f"{field}.operator", operator, _OPERATORS))
    container = codes.get("containerName")
    if container is not None and container not in names:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid_value(f"{field}.containerName", container, text))
    if not values:
        errors.append(invalid_value(f"{field}.values", values, "at least one value is required"))
    elif len(values) > _MAX_EXIT_CODES:
        errors.append(too_many(f"{field}.values", len(values), _MAX_EXIT_CODES))
    seen: set[int] = set()
    for index, value in enumerate(values):
        where = f"{field}.values[{index}]"
        if operator == "In" and value == 0:
            errors.append(invalid_value(where, value, "must not be 0 for the In operator"))
        if value in seen:
            errors.append(duplicate(where, value))
        seen.add(value)
    if values != sorted(values):
        errors.append(invalid_value(f"{field}.values", values, "must be ordered"))
    return errors


def _check_conditions(conditions: list[Object], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(conditions) > _MAX_PATTERNS:
        errors.append(too_many(field, len(conditions), _MAX_PATTERNS))
    for index, pattern in enumerate(conditions):
        where = f"{field}[{index}]"
        kind, status = pattern.get("type", ""), pattern.get("status", "")
        errors += all_wrong(f"{where}.type", kind, formats.qualified_name(kind))
        if not status:
            errors.append(required(f"{where}.status", _valid(_STATUSES)))
        elif status not in _STATUSES:
            errors.append(not_supported(f"{where}.status", status, _STATUSES))
    return errors


def check_success_policy(spec: Object, field: str) -> list[FieldError]:
    """Check a success policy.

    Args:
        spec: the job's spec.
        field: the path of the policy.
    """
    rules = spec["successPolicy"].get("rules") or []
    errors: list[FieldError] = []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        errors.append(required(f"{field}.rules", text))
    if len(rules) > _MAX_RULES:
        errors.append(too_many(f"{field}.rules", len(rules), _MAX_RULES))
    for index, rule in enumerate(rules):
        errors += _check_success_rule(rule, spec.get("completions") or 0, f"{field}.rules[{index}]")
    return errors


def _check_success_rule(rule: Object, completions: int, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    total = 0
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        errors.append(required(field, text))
    if indexes is not None:
        where = f"{field}.succeededIndexes"
        if len(indexes) > _MAX_INDEXES_TEXT:
            errors.append(too_long(where, _MAX_INDEXES_TEXT))
        try:
            total = count_indexes(indexes, completions)
        except ValueError as error:
            errors.append(invalid_value(where, indexes, f"error parsing succeededIndexes: {error}"))
    if count is not None:
        where = f"{field}.succeededCount"
        if count < 0:
            errors.append(invalid_value(where, count, formats.NEGATIVE))
        text = "must be less than or equal to {} (the number of {})"
        if count > completions:
            errors.append(invalid_value(where, count, text.format(completions, "specified completions")))
        if indexes is not None and count > total:
            what = "indexes in the specified succeededIndexes field"
            errors.append(invalid_value(where, count, text.format(total, what)))
    return errors


def count_indexes(text: str, completions: int) -> int:
    """Count the indexes of a list such as ``0,2-5``.

    Args:
        text: the list.
        completions: how many indexes there are.

    Raises:
        ValueError: the list is malformed, with the server's text.

    Example:
        >>> count_indexes("0,2-5", 8)
        5
    """
    total, last = 0, -1
    for part in text.split(",") if text else ():
        limits = part.split("-")
        if len(limits) > 2:
            rule = "the requirement that an index interval can have at most two parts separated by '-'"
            raise ValueError(f"the fragment {quote(part)} violates {rule}")
        numbers = [_index(limit, completions) for limit in limits]
        first, end = numbers[0], numbers[-1]
        if len(numbers) == 2 and first >= end:
            raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
        if total and last >= first:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total, last = total + end - first + 1, end
    return total


def _index(text: str, completions: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"cannot convert string to integer for index: {quote(text)}")
    number = int(text[:12])
    if number >= completions:
        raise ValueError(f"too large index: {quote(text)}")
    return number


def internal_failure(policy: Object | None) -> Object | None:
    """Give a pod failure policy as the server quotes it: with the names of its own type, and what is not set.

    Args:
        policy: the policy.
    """
    if policy is None:
        return None
    rules = [
        {
            "Action": rule.get("action", ""),
            "OnExitCodes": _internal_codes(rule.get("onExitCodes")),
            "OnPodConditions": [
                {"Type": each.get("type", ""), "Status": each.get("status", "")}
                for each in rule.get("onPodConditions") or ()
            ]
            or None,
        }
        for rule in policy.get("rules") or ()
    ]
    return {"Rules": rules or None}


def _internal_codes(found: Object | None) -> Object | None:
    if found is None:
        return None
    values = found.get("values") or None
    return {"ContainerName": found.get("containerName"), "Operator": found.get("operator", ""), "Values": values}


def internal_success(policy: Object | None) -> Object | None:
    """Give a success policy as the server quotes it.

    Args:
        policy: the policy.
    """
    if policy is None:
        return None
    rules = [
        {"SucceededIndexes": rule.get("succeededIndexes"), "SucceededCount": rule.get("succeededCount")}
        for rule in policy.get("rules") or ()
    ]
    return {"Rules": rules or None}
