"""Checks of the schema in a definition: that it is structural, and that what it says makes sense.

Source of rules and texts: k8s.io/apiextensions-apiserver v0.34 (`pkg/apis/apiextensions/validation`,
`pkg/apiserver/schema/validation.go`).
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from gke_notebook.sandbox.apiserver.status import FieldError, field_forbidden, invalid_value, not_supported, required

from . import structural, values
from .structural import EMBEDDED, INT_OR_STRING, PRESERVE, Schema

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_FORBIDDEN = {
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "id": "id is not supported",
    "additionalItems": "additionalItems is not supported",
    "patternProperties": "patternProperties is not supported",
    "$ref": "$ref is not supported",
}
# What a schema inside allOf, anyOf, oneOf or not may not say.
_NESTED = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    PRESERVE: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
RULES = "x-kubernetes-validations"
_ROOT, _ITEM, _FIELD = "root", "item", "field"
_EMPTY = {
    _ROOT: "must not be empty at the root",
    _ITEM: "must not be empty for specified array items",
    _FIELD: "must not be empty for specified object fields",
}


def check_schema(schema: Schema, path: str) -> list[FieldError]:
    """Check the schema of a version.

    Args:
        schema: the `openAPIV3Schema`.
        path: its path, for errors.

    Example:
        >>> [str(each) for each in check_schema({}, "schema")]
        ['schema.type: Required value: must not be empty at the root']
    """
    errors = _structural(schema, path, _ROOT)
    if not errors:
        errors = _defaults(schema, path)
    if schema.get("nullable"):
        errors.append(field_forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    errors += _plain(schema, path)
    if not errors and RULES in json.dumps(schema):
        # Imported late: most definitions have no rule.
        from gke_notebook.sandbox.apiserver.cel.schema_rules import check_rules

        errors = check_rules(schema, path)
    return errors


def _structural(schema: Schema, path: str, level: str) -> list[FieldError]:
    kind, errors = schema.get("type", ""), []
    if kind == "array" and "items" not in schema:
        errors.append(required(f"{path}.items", "must be specified"))
    if level == _ROOT and schema.get("additionalProperties") not in (None, False):
        errors.append(field_forbidden(f"{path}.additionalProperties", "must not be used at the root"))
    if schema.get(EMBEDDED) and kind != "object":
        text = f"must be object if {EMBEDDED} is true"
        errors.append(invalid_value(f"{path}.type", kind, text) if kind else required(f"{path}.type", text))
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        errors.append(required(f"{path}.type", _EMPTY[level]))
    if level == _ROOT and kind and kind != "object":
        errors.append(invalid_value(f"{path}.type", kind, "must be object at the root"))
    if schema.get(EMBEDDED) and not schema.get("properties") and not schema.get(PRESERVE):
        text = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        errors.append(required(f"{path}.properties", text))
    if schema.get(INT_OR_STRING):
        text = f"must be false if {INT_OR_STRING} is true"
        errors += [invalid_value(f"{path}.{name}", True, text) for name in (PRESERVE, EMBEDDED) if schema.get(name)]
    properties = schema.get("properties") or {}
    if level == _ROOT or schema.get(EMBEDDED):
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].get("type") != "string":
                where = f"{path}.properties[{name}].type"
                errors.append(invalid_value(where, properties[name].get("type", ""), "must be string"))
        errors += _metadata(properties.get("metadata"), f"{path}.properties[metadata]", level)
    for name, inner in properties.items():
        errors += _structural(inner, f"{path}.properties[{name}]", _FIELD)
    if isinstance(schema.get("additionalProperties"), dict):
        errors += _structural(schema["additionalProperties"], f"{path}.additionalProperties", _FIELD)
    if "items" in schema:
        errors += _structural(schema["items"], f"{path}.items", _ITEM)
    if schema.get("pattern"):
        errors += _pattern(schema["pattern"], path)
    return errors + _nested_all(schema, path)


def _metadata(found: Schema | None, path: str, level: str) -> list[FieldError]:
    if found is None:
        return []
    if found.get("type") != "object":
        return [invalid_value(f"{path}.type", found.get("type", ""), "must be object")]
    if level == _ROOT and (found.keys() - {"type", "description", "properties"} or _odd(found)):
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        return [field_forbidden(path, text)]
    return []


def _odd(found: Schema) -> bool:
    return bool((found.get("properties") or {}).keys() - {"name", "generateName"})


def _nested_all(schema: Schema, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    int_or_string = bool(schema.get(INT_OR_STRING))
    for word in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(schema.get(word) or ()):
            # `anyOf: [{type: integer}, {type: string}]` is how x-kubernetes-int-or-string is always spelled out.
            if int_or_string and inner.keys() <= {"type", "anyOf"}:
                continue
            errors += _nested(inner, f"{path}.{word}[{index}]")
    if schema.get("not"):
        errors += _nested(schema["not"], f"{path}.not")
    return errors


def _nested(schema: Schema, path: str) -> list[FieldError]:
    errors = [field_forbidden(f"{path}.{name}", text) for name, text in _NESTED.items() if schema.get(name)]
    for name, inner in (schema.get("properties") or {}).items():
        errors += _nested(inner, f"{path}.properties[{name}]")
    if schema.get("items"):
        errors += _nested(schema["items"], f"{path}.items")
    return errors + _nested_all(schema, path)


def _pattern(pattern: str, path: str) -> list[FieldError]:
    try:
        values.compiled(pattern)
    except re.error as error:
        text = f"must be a valid regular expression, but isn't: {error}"
        return [invalid_value(f"{path}.pattern", pattern, text)]
    return []


def _defaults(schema: Schema, path: str) -> list[FieldError]:
    """Check that every default fits its own schema and names no unknown field."""
    errors: list[FieldError] = []
    if schema.get("default") is not None:
        value = copy.deepcopy(schema["default"])
        if isinstance(value, dict) and not schema.get(EMBEDDED):
            structural.prune({"type": "object", "properties": {"x": schema}}, whole := {"x": value})
            if whole["x"] != schema["default"]:
                errors.append(invalid_value(f"{path}.default", schema["default"], "must not have unknown fields"))
        structural.set_defaults(schema, value)
        errors += [
            FieldError(each.type, f"{path}.default{'.' + each.field if each.field else ''}", each.message)
            for each in values.check(schema, value)
        ]
    for name, inner in (schema.get("properties") or {}).items():
        errors += _defaults(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            errors += _defaults(schema[name], f"{path}.{name}")
    return errors


def _plain(schema: Schema, path: str) -> list[FieldError]:
    errors = [field_forbidden(f"{path}.{name}", text) for name, text in _FORBIDDEN.items() if schema.get(name)]
    kind = schema.get("type", "")
    if kind and kind not in _TYPES:
        errors.append(not_supported(f"{path}.type", kind, _TYPES))
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(field_forbidden(f"{path}.uniqueItems", text))
    if schema.get("properties") and schema.get("additionalProperties") not in (None, True):
        text = "additionalProperties and properties are mutual exclusive"
        errors.append(field_forbidden(f"{path}.additionalProperties", text))
    if schema.get(PRESERVE) is False:
        errors.append(invalid_value(f"{path}.{PRESERVE}", False, "must be true or undefined"))
    errors += _collections(schema, kind, path)
    if schema.get(RULES):
        from gke_notebook.sandbox.apiserver.cel.schema_rules import check_shape

        errors += check_shape(schema, path)
    for name, inner in (schema.get("properties") or {}).items():
        errors += _plain(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(name), dict):
            errors += _plain(schema[name], f"{path}.{name}")
    for name in ("allOf", "oneOf", "anyOf"):
        for index, inner in enumerate(schema.get(name) or ()):
            errors += _plain(inner, f"{path}.{name}[{index}]")
    return errors


def _collections(schema: Schema, kind: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for word, wanted, choices in (
        ("x-kubernetes-map-type", "object", ["atomic", "granular"]),
        ("x-kubernetes-list-type", "array", ["atomic", "set", "map"]),
    ):
        found = schema.get(word)
        if found is None:
            continue
        if kind != wanted:
            text = f"must be {wanted} if {word} is specified"
            errors.append(invalid_value(f"{path}.type", kind, text) if kind else required(f"{path}.type", text))
        if found not in choices:
            errors.append(not_supported(f"{path}.{word}", found, choices))
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    where = f"{path}.x-kubernetes-list-type"
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        errors.append(required(where, text) if list_type is None else invalid_value(where, list_type, text))
    if list_type == "map":
        errors += _map_list(schema, keys, path)
    return errors


def _map_list(schema: Schema, keys: list[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not keys:
        text = "must not be empty if x-kubernetes-list-type is map"
        errors.append(required(f"{path}.x-kubernetes-list-map-keys", text))
    items: dict[str, Any] = schema.get("items") or {}
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        return [*errors, invalid_value(f"{path}.items.type", items.get("type", ""), text)]
    for key in keys:
        inner = (items.get("properties") or {}).get(key)
        if inner is None:
            text = "entries must all be names of item properties"
            errors.append(invalid_value(f"{path}.x-kubernetes-list-map-keys", keys, text))
        elif inner.get("default") is None and key not in (items.get("required") or ()):
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.append(required(f"{path}.items.properties[{key}].default", text))
    return errors
