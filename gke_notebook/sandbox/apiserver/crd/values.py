"""Values checked against a schema, in the words of a real server.

The plain library for JSON schema is of no use here: a real server's texts, paths and order come from a validator of its
own. Source of texts and order: k8s.io/kube-openapi (`pkg/validation`) and k8s.io/apiextensions-apiserver v0.34.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    duplicate,
    go_value,
    invalid_value,
    not_supported,
    quote,
    required,
    too_long,
    too_many,
)

from .formats import check_format
from .structural import INT_OR_STRING, Schema, extra

_NOWHERE = "<nil>"


def check(schema: Schema, value: Any, path: str = "") -> list[FieldError]:
    """Check a value.

    Args:
        schema: its schema.
        value: the value, pruned and with its defaults.
        path: where it lies, for example ``.spec``; empty for the whole object.

    Returns:
        What is wrong, each with the path as the server writes it.

    Example:
        >>> schema = {"type": "object", "properties": {"size": {"type": "integer"}}}
        >>> print(check(schema, {"size": "big"})[0])
        size: Invalid value: "string": size in body must be of type integer: "string"
    """
    wanted = _types(schema)
    if value is None:
        errors = [] if not wanted or schema.get("nullable") else [_type_error(path, wanted, "null")]
        return errors + _enum(schema, value, path)
    errors = _type(schema, wanted, value, path) + _composed(schema, value, path)
    if isinstance(value, str):
        errors += _string(schema, value, path)
        errors += check_format(schema.get("format", ""), value, _name(path), wanted)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        errors += _number(schema, value, path)
    elif isinstance(value, list):
        errors += _items(schema, value, path)
    errors += _enum(schema, value, path)
    if isinstance(value, dict):
        errors += _object(schema, value, path)
    return errors


def _types(schema: Schema) -> list[str]:
    if schema.get(INT_OR_STRING):
        return ["integer", "string"]
    return [schema["type"]] if schema.get("type") else []


def type_name(value: Any) -> str:
    """Name the JSON type of a value as OpenAPI does.

    Args:
        value: any JSON value.
    """
    if isinstance(value, bool):
        return "boolean"
    for types, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, types):
            return name
    return "null"


def _name(path: str) -> str:
    return path.removeprefix(".")


def _type_error(path: str, wanted: list[str], found: str) -> FieldError:
    text = f"{_name(path)} in body must be of type {','.join(wanted)}: {quote(found)}"
    error = invalid_value(_name(path), found, text)
    return FieldError("FieldValueTypeInvalid", error.field, error.message)


def _type(schema: Schema, wanted: list[str], value: Any, path: str) -> list[FieldError]:
    found = type_name(value)
    if not wanted or found in wanted or (found == "integer" and "number" in wanted):
        return []
    if found == "number" and "integer" in wanted and float(value).is_integer():
        return []
    if schema.get("format") and found in {"string", "array"} and not {"number", "integer"} & set(wanted):
        return []
    return [_type_error(path, wanted, found)]


def _invalid(path: str, value: Any, text: str) -> FieldError:
    return invalid_value(_name(path), value, f"{_name(path)} in body {text}")


def _string(schema: Schema, value: str, path: str) -> list[FieldError]:
    errors = []
    if (limit := schema.get("maxLength")) is not None and len(value) > limit:
        errors.append(too_long(_name(path), limit))
    if (limit := schema.get("minLength")) is not None and len(value) < limit:
        errors.append(_invalid(path, value, f"should be at least {limit} chars long"))
    pattern = schema.get("pattern")
    if pattern and not compiled(pattern).search(value):
        errors.append(_invalid(path, value, f"should match '{pattern}'"))
    return errors


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """Read a pattern of a schema: Go's `$` and `\\z` are the very end of the text.

    Args:
        pattern: the pattern.

    Raises:
        re.error: it is malformed.
    """
    pattern = re.sub(r"\(\?([ims]+)\)(.*)$", r"(?\1:\2)", pattern)  # Go takes flags anywhere, Python only at the start
    return re.compile(re.sub(r"(?<!\\)\$(?=$|\||\))", r"\\Z", pattern).replace("\\z", "\\Z"))


def _number(schema: Schema, value: float, path: str) -> list[FieldError]:
    errors = []
    factor = schema.get("multipleOf")
    if factor and value % factor:
        errors.append(_invalid(path, value, f"should be a multiple of {_shown(factor)}"))
    high, low = schema.get("maximum"), schema.get("minimum")
    if high is not None:
        exclusive = schema.get("exclusiveMaximum")
        if value > high or (exclusive and value == high):
            limit = f"{'' if exclusive else 'or equal to '}{_shown(high)}"
            errors.append(_invalid(path, value, f"should be less than {limit}"))
    if low is not None:
        exclusive = schema.get("exclusiveMinimum")
        if value < low or (exclusive and value == low):
            limit = f"{'' if exclusive else 'or equal to '}{_shown(low)}"
            errors.append(_invalid(path, value, f"should be greater than {limit}"))
    return errors


def _shown(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(number)


def _items(schema: Schema, value: list[Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    inner = schema.get("items")
    if inner is not None:
        for index, item in enumerate(value):
            errors += check(inner, item, f"{path}[{index}]")
    if (limit := schema.get("minItems")) is not None and len(value) < limit:
        errors.append(_invalid(path, len(value), f"should have at least {limit} items"))
    if (limit := schema.get("maxItems")) is not None and len(value) > limit:
        errors.append(too_many(_name(path), len(value), limit))
    return errors


def _enum(schema: Schema, value: Any, path: str) -> list[FieldError]:
    choices = schema.get("enum")
    if not choices or any(choice == value and type(choice) is type(value) for choice in choices):
        return []
    shown = [choice if isinstance(choice, str) else json.dumps(choice) for choice in choices]
    return [not_supported(_name(path), value, shown)]


def _object(schema: Schema, value: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if (limit := schema.get("minProperties")) is not None and len(value) < limit:
        errors.append(_invalid(path, len(value), f"should have at least {limit} properties"))
    if (limit := schema.get("maxProperties")) is not None and len(value) > limit:
        errors.append(too_many(_name(path), len(value), limit))
    properties, others = schema.get("properties") or {}, extra(schema)
    if schema.get("additionalProperties") is False:
        for name in sorted(value.keys() - properties.keys()):
            where = f"{_name(path)}.{name} in body is a forbidden property"
            errors.append(invalid_value(_name(path), name, where))
    elif others is not None:
        for name, inner in value.items():
            if name not in properties:
                errors += check(others, inner, f"{path}.{name}")
    for name, inner in properties.items():
        if name in value:
            errors += check(inner, value[name], f"{path}.{name}" if path else name)
    errors += [required(_name(f"{path}.{name}")) for name in schema.get("required") or () if name not in value]
    return errors


def _composed(schema: Schema, value: Any, path: str) -> list[FieldError]:
    """Check anyOf, oneOf, allOf and not; of alternatives that fail, the one with the fewest complaints is told."""
    errors: list[FieldError] = []
    if choices := schema.get("anyOf"):
        results = [check(choice, value, path) for choice in choices]
        if all(results):
            errors += [_whole(path, "must validate at least one schema (anyOf)"), *_fewest(results)]
    if choices := schema.get("oneOf"):
        results = [check(choice, value, path) for choice in choices]
        valid = sum(not result for result in results)
        if valid != 1:
            found = f"Found {valid} valid alternatives" if valid else "Found none valid"
            errors.append(_whole(path, f"must validate one and only one schema (oneOf). {found}"))
            errors += [] if valid else _fewest(results)
    if choices := schema.get("allOf"):
        results = [check(choice, value, path) for choice in choices]
        errors += [error for result in results for error in result]
        if any(results):
            none = "" if not all(results) else ". None validated"
            errors.append(_whole(path, f"must validate all the schemas (allOf){none}"))
    if (other := schema.get("not")) and not check(other, value, path):
        errors.append(_whole(path, "must not validate the schema (not)"))
    return errors


def _fewest(results: list[list[FieldError]]) -> list[FieldError]:
    return next(each for each in results if len(each) == min(map(len, results)))


def _whole(path: str, text: str) -> FieldError:
    # The server loses the path of these on their way into the answer.
    return invalid_value(_NOWHERE, "", f"{quote(_name(path))} {text}")


def check_lists(schema: Schema | None, value: Any, path: str = "") -> list[FieldError]:
    """Check that lists called sets or maps have no item twice.

    Args:
        schema: the value's schema.
        value: the value.
        path: where it lies.
    """
    if schema is None:
        return []
    errors: list[FieldError] = []
    if isinstance(value, list):
        errors += _repeated(schema, value, path)
        for index, item in enumerate(value):
            errors += check_lists(schema.get("items"), item, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties, others = schema.get("properties") or {}, extra(schema)
        for name, inner in value.items():
            if name in properties:
                errors += check_lists(properties[name], inner, f"{path}.{name}" if path else name)
            elif others is not None:
                errors += check_lists(others, inner, f"{path}[{name}]")
    return errors


def _repeated(schema: Schema, value: list[Any], path: str) -> list[FieldError]:
    keys: list[Any]
    if schema.get("x-kubernetes-list-type") == "set":
        keys = value
    elif schema.get("x-kubernetes-list-type") == "map":
        names = schema.get("x-kubernetes-list-map-keys") or ()
        keys = [{name: item[name] for name in names if name in item} for item in value if isinstance(item, dict)]
    else:
        return []
    seen: dict[str, int] = {}
    errors = []
    for index, key in enumerate(keys):
        text = go_value(key)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            errors.append(duplicate(f"{path}[{index}]", key))
    return errors
