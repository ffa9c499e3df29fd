"""What a structural schema does to an object before it is checked: unknown fields go, defaults come.

Source of the rules: the Kubernetes documentation of CustomResourceDefinitions, and k8s.io/apiextensions-apiserver v0.34
(`pkg/apiserver/schema/pruning` and `defaulting`).
"""

from __future__ import annotations

import copy
from typing import Any

Schema = dict[str, Any]

_META = frozenset({"apiVersion", "kind", "metadata"})
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"


def extra(schema: Schema | None) -> Schema | None:
    """Give the schema of the values of a map; None when it has none or is no map.

    Args:
        schema: the map's schema.
    """
    found = (schema or {}).get("additionalProperties")
    return found if isinstance(found, dict) else None


def prune(schema: Schema, obj: dict[str, Any]) -> list[str]:
    """Remove, in place, the fields of an object that its schema does not name.

    Args:
        schema: the structural schema of the kind.
        obj: the whole object.

    Returns:
        The paths that were removed, for example ``spec.list[0].foo``.

    Example:
        >>> obj = {"kind": "X", "spec": {"a": 1, "b": 2}}
        >>> prune({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {}}}}}, obj)
        ['spec.b']
        >>> obj
        {'kind': 'X', 'spec': {'a': 1}}
    """
    unknown: list[str] = []
    _prune({**schema, EMBEDDED: True}, obj, "", unknown)
    return sorted(unknown)


def _prune(schema: Schema | None, value: Any, path: str, unknown: list[str]) -> None:
    if isinstance(value, list):
        items = (schema or {}).get("items")
        if items is None and (schema or {}).get(PRESERVE):
            return
        for index, item in enumerate(value):
            _prune(items, item, f"{path}[{index}]", unknown)
        return
    if not isinstance(value, dict):
        return
    kept = bool(schema and schema.get(PRESERVE))
    properties = (schema or {}).get("properties") or {}
    others = (schema or {}).get("additionalProperties")
    embedded = bool(schema and schema.get(EMBEDDED))
    for name in list(value):
        where = f"{path}.{name}" if path else name
        if embedded and name in _META:
            continue
        if name in properties:
            _prune(properties[name], value[name], where, unknown)
        elif others not in (None, False):
            _prune(others if isinstance(others, dict) else None, value[name], where, unknown)
        elif not kept:
            del value[name]
            unknown.append(where)


def set_defaults(schema: Schema, value: Any) -> None:
    """Fill in, in place, the defaults that a schema names; doing it twice changes nothing more.

    Args:
        schema: the schema.
        value: the value.
    """
    if isinstance(value, list):
        items = schema.get("items")
        if items:
            for item in value:
                set_defaults(items, item)
        return
    if not isinstance(value, dict):
        return
    for name, inner in (schema.get("properties") or {}).items():
        if name in value and (value[name] is not None or inner.get("nullable")):
            set_defaults(inner, value[name])
        elif inner.get("default") is not None:
            value[name] = copy.deepcopy(inner["default"])
            set_defaults(inner, value[name])
    others = extra(schema)
    if others is not None:
        known = schema.get("properties") or {}
        for name in value:
            if name not in known:
                set_defaults(others, value[name])


def drop_nulls(schema: Schema | None, value: Any) -> None:
    """Remove, in place, nulls of fields that may not be null and have no default.

    Args:
        schema: the schema.
        value: the value.
    """
    if schema is None:
        return
    if isinstance(value, list):
        for item in value:
            drop_nulls(schema.get("items"), item)
        return
    if not isinstance(value, dict):
        return
    properties, others = schema.get("properties") or {}, extra(schema)
    for name in list(value):
        inner = properties.get(name, others)
        if inner is None:
            continue
        if value[name] is None and not inner.get("nullable") and inner.get("default") is None:
            del value[name]
        else:
            drop_nulls(inner, value[name])
