"""Structural schemas as types of expressions, and objects as values of these types.

Source: k8s.io/apiserver v0.34 (`pkg/cel/common/schemas.go`, `values.go`, `pkg/cel/escaping.go`).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from gke_notebook.sandbox.apiserver.crd.structural import EMBEDDED, INT_OR_STRING, Schema, extra

from .syntax import RESERVED
from .types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, Type, list_of, map_of, struct
from .values import CelError, Unordered, duration, timestamp

_KEYWORDS = RESERVED - {"true", "false", "null", "in"} | {"true", "false", "null", "in"}
_PLAIN = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ESCAPABLE = re.compile(r"[a-zA-Z_.\-/][a-zA-Z0-9_.\-/]*", re.ASCII)
_STRINGS = {"byte": BYTES, "date": TIMESTAMP, "date-time": TIMESTAMP, "duration": DURATION}
_SCALARS = {"boolean": BOOL, "number": DOUBLE, "integer": INT}
_METADATA = struct("metadata", {"name": STRING, "generateName": STRING})


def escaped(name: str) -> str | None:
    """Give the name under which an expression knows a field; None when it cannot.

    Args:
        name: the field's name.

    Example:
        >>> escaped("a-b"), escaped("namespace")
        ('a__dash__b', '__namespace__')
    """
    if name in _KEYWORDS:
        return f"__{name}__"
    if _PLAIN.fullmatch(name) and "__" not in name:
        return name
    if not _ESCAPABLE.fullmatch(name):
        return None
    for sign, word in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(sign, "\0" + word.strip("_") + "\0")
    return name.replace("\0", "__")


def declared(schema: Schema | None, *, root: bool = False) -> Type | None:
    """Give the type of the values of a schema; None when expressions cannot reach them.

    Args:
        schema: the schema.
        root: whether it is that of whole objects.
    """
    if not schema:
        return None
    if schema.get(INT_OR_STRING):
        return DYN
    kind = schema.get("type")
    if kind == "array":
        item = declared(schema.get("items"))
        return None if item is None else list_of(item)
    if kind == "object":
        others = extra(schema)
        if others is not None:
            value = declared(others)
            return None if value is None else map_of(STRING, value)
        fields = {} if not (root or schema.get(EMBEDDED)) else {
            "apiVersion": STRING, "kind": STRING, "metadata": _METADATA,
        }  # fmt: skip
        for name, inner in (schema.get("properties") or {}).items():
            known, type_ = escaped(name), declared(inner)
            if known is not None and type_ is not None and known not in fields:
                fields[known] = type_
        return struct("object", fields)
    if kind == "string":
        return _STRINGS.get(schema.get("format", ""), STRING)
    return _SCALARS.get(kind or "")


def valued(schema: Schema | None, value: Any, *, root: bool = False) -> Any:
    """Give an object as a value.

    Args:
        schema: its schema.
        value: the object.
        root: whether it is a whole object.
    """
    if schema is None or value is None or schema.get(INT_OR_STRING):
        return value
    if isinstance(value, list):
        items = [valued(schema.get("items"), each) for each in value]
        kind = schema.get("x-kubernetes-list-type")
        if kind == "set":
            return Unordered(items, None)
        if kind == "map":
            return Unordered(items, tuple(schema.get("x-kubernetes-list-map-keys") or ()))
        return items
    if isinstance(value, dict):
        others = extra(schema)
        if others is not None:
            return {name: valued(others, each) for name, each in value.items()}
        properties = schema.get("properties") or {}
        whole = root or schema.get(EMBEDDED)
        return {
            known: valued(properties.get(name), each)
            for name, each in value.items()
            if (name in properties or (whole and name in {"apiVersion", "kind", "metadata"}))
            and (known := escaped(name)) is not None
        }
    return _scalar(schema, value)


def _scalar(schema: Schema, value: Any) -> Any:
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema.get("type") == "integer" and isinstance(value, float):
        return int(value)
    if schema.get("type") != "string" or not isinstance(value, str):
        return value
    try:
        match schema.get("format"):
            case "byte":
                return base64.b64decode(value)
            case "date":
                return timestamp(f"{value}T00:00:00Z")
            case "date-time":
                return timestamp(value)
            case "duration":
                return duration(value)
    except (CelError, binascii.Error):
        return value  # the schema's own check refuses it
    return value
