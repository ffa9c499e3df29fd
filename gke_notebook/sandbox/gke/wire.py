"""Requests of the Container API from JSON: every field known, of its type, in one spelling; pure.

Rules: protobuf documentation, "ProtoJSON format" (names in either case, enums by name or number, 64-bit numbers as
text). The fields come from `schema.json`, which `.ci/schema/generate_gke.py` writes.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

from gke_notebook.sandbox.gke.failures import ApiFailure, invalid

Object = dict[str, Any]

_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_SNAKE = re.compile(r"_([a-z0-9])")
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_RANGES = {"int32": 2**31, "int64": 2**63}
_NAMES = {"int32": "TYPE_INT32", "int64": "TYPE_INT64", "double": "TYPE_DOUBLE", "bool": "TYPE_BOOL"}


@cache
def _schema() -> Object:
    found: Object = json.loads((resources.files(__package__) / "schema.json").read_text())
    return found


def parse(message: str, raw: bytes) -> Object:
    """Read a request's body.

    Args:
        message: the request's type, for example ``CreateNodePoolRequest``.
        raw: the body; an empty one is an empty request.

    Returns:
        The request with its fields in camel case, enums by their names, 64-bit numbers as text.

    Raises:
        ApiFailure: it is no JSON object, or a field is unknown or has a wrong type; every such field is named.
    """
    return checked(message, load(raw))


def load(raw: bytes) -> Object:
    """Read a body as a JSON object.

    Args:
        raw: the body; an empty one is an empty object.

    Raises:
        ApiFailure: it is none.
    """
    try:
        body = json.loads(raw.decode() or "{}")
    except (ValueError, RecursionError):
        raise invalid("Invalid JSON payload received. Expected a value.") from None
    if not isinstance(body, dict):
        raise invalid('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    return body


def checked(message: str, body: Object, path: str = "") -> Object:
    """Give a message with every field known, of its type, in one spelling.

    Args:
        message: its type.
        body: as it came.
        path: where it lies in the request, for the texts.

    Raises:
        ApiFailure: a field is unknown or has a wrong type; every such field is named.
    """
    problems: list[str] = []
    read = _message(message, body, path, problems)
    if problems:
        raise ApiFailure(400, "\n".join(problems))
    return read


def enum_name(enum: str, value: object) -> str:
    """Give the name of an enum's value.

    Args:
        enum: the enum's type.
        value: a name or a number; an unknown one gives an empty text.
    """
    known: dict[str, int] = _schema()["enums"][enum]
    if isinstance(value, str):
        return value if value in known else ""
    return next((name for name, number in known.items() if number == value), "") if type(value) is int else ""


def _message(name: str, body: Object, path: str, problems: list[str]) -> Object:
    fields = _schema()["messages"][name]
    made: Object = {}
    for key, value in body.items():
        camel = _SNAKE.sub(lambda match: match[1].upper(), key) if key not in fields else key
        where = f"{path}.{snake(camel)}" if path else snake(camel)
        if camel not in fields:
            at = f" at '{path}'" if path else ""
            problems.append(f'Invalid JSON payload received. Unknown name "{key[:100]}"{at}: Cannot find field.')
        elif value is not None:
            read = _field(fields[camel], value, where, problems)
            if read is not None:
                made[camel] = read
    return made


def _field(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    if isinstance(kind, list):
        if not isinstance(value, list):
            value = [value]  # the API takes one value for a list of one
        return [_value(kind[0], item, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            problems.append(f"Invalid value at '{path}' (Map), {_shown(value)}")
            return None
        return {
            str(key): _value(kind["map"], item, f"{path}[{key[:60]}].value", problems) for key, item in value.items()
        }
    return _value(kind, value, path, problems)


def _value(kind: str, value: Any, path: str, problems: list[str]) -> Any:
    if kind == "string":
        if isinstance(value, str):
            return value
        problems.append(f"Invalid value at '{path}' (TYPE_STRING), {_shown(value)}")
    elif kind == "bool":
        if isinstance(value, bool):
            return value
        problems.append(f"Invalid value at '{path}' (TYPE_BOOL), {_shown(value)}")
    elif kind in _RANGES:
        return _integer(kind, value, path, problems)
    elif kind == "double":
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        problems.append(f"Invalid value at '{path}' (TYPE_DOUBLE), {_shown(value)}")
    elif kind == "duration":
        if isinstance(value, str) and _DURATION.fullmatch(value):
            return value
        problems.append(f"Invalid value at '{path}' (type.googleapis.com/google.protobuf.Duration), {_shown(value)}")
    elif kind.startswith("enum:"):
        name = enum_name(kind[5:], value)
        if name:
            return name
        problems.append(
            f"Invalid value at '{path}' (type.googleapis.com/google.container.v1.{kind[5:]}), {_shown(value)}"
        )
    elif kind in ("time", "bytes"):
        if isinstance(value, str):
            return value
        problems.append(f"Invalid value at '{path}', {_shown(value)}")
    elif isinstance(value, dict):
        return _message(kind, value, path, problems)
    else:
        problems.append(f"Invalid value at '{path}' (type.googleapis.com/google.container.v1.{kind}), {_shown(value)}")
    return None


def _integer(kind: str, value: Any, path: str, problems: list[str]) -> Any:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif (isinstance(value, float) and value.is_integer()) or (
        isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value, re.ASCII)
    ):
        number = int(value)
    if number is None or not -_RANGES[kind] <= number < _RANGES[kind]:
        problems.append(f"Invalid value at '{path}' ({_NAMES[kind]}), {_shown(value)}")
        return None
    return str(number) if kind == "int64" else number


def snake(name: str) -> str:
    """Write a field's name as messages do.

    Args:
        name: in camel case.

    Example:
        >>> snake("maxNodeCount")
        'max_node_count'
    """
    return _CAPITAL.sub(r"_\1", name).lower()


def _shown(value: Any) -> str:
    return json.dumps(value)[:200] if isinstance(value, str) else json.dumps(value, default=str)[:200]
