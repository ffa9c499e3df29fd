"""The columns of custom kinds: simple JSONPath, and cells as a real server fills them.

Source: k8s.io/client-go v0.34 (`util/jsonpath`) and k8s.io/apiextensions-apiserver v0.34 (`registry/customresource`).
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from gke_notebook.sandbox.apiserver.durations import since

_STEP = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\\])+) | \[['"](?P<quoted>(?:\\.|[^'"\\])*)['"]\] | \[(?P<index>-?\d+|\*)\]
    | \[\?\(\s*@\.(?P<left>(?:\\.|[^=!<>\s\\])+)\s*(?P<sign>==|!=)\s*(?P<right>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\]""",
    re.VERBOSE,
)
Step = tuple[str, Any]


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[Step, ...] | None:
    """Read a simple JSONPath such as ``.status.conditions[?(@.type=="Ready")].status``; None when it is another.

    Args:
        path: the path, beginning with a dot.
    """
    steps: list[Step] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            return None
        at = found.end()
        if found["name"] is not None:
            steps.append(("field", "*" if found["name"] == "*" else _plain(found["name"])))
        elif found["quoted"] is not None:
            steps.append(("field", _plain(found["quoted"])))
        elif found["index"] is not None:
            steps.append(("index", found["index"]))
        else:
            left = tuple(_plain(part) for part in found["left"].split("."))
            right = found["right"]
            value = right[1:-1] if right[0] in "\"'" else right
            steps.append(("filter", (left, found["sign"], value)))
    return tuple(steps) if steps else None


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def find(path: str, obj: Any) -> list[Any]:
    """Give the values a path leads to.

    Args:
        path: a simple JSONPath.
        obj: the object.

    Example:
        >>> find('.a[?(@.t=="x")].v', {"a": [{"t": "x", "v": 1}, {"t": "y", "v": 2}]})
        [1]
    """
    steps = parse(path)
    if steps is None:
        return []
    found = [obj]
    for kind, what in steps:
        found = [value for each in found for value in _follow(kind, what, each)]
    return found


def _follow(kind: str, what: Any, value: Any) -> list[Any]:
    if kind == "field":
        if what == "*" and isinstance(value, (dict, list)):
            return list(value.values()) if isinstance(value, dict) else value
        return [value[what]] if isinstance(value, dict) and what in value else []
    if not isinstance(value, list):
        return []
    if kind == "index":
        if what == "*":
            return value
        index = int(what)
        return [value[index]] if -len(value) <= index < len(value) else []
    left, sign, right = what
    found = []
    for item in value:
        inner: Any = item
        for part in left:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if inner is not None and (printed(inner) == right) is (sign == "=="):
            found.append(item)
    return found


def printed(value: Any) -> str:
    """Write a value as a column of type string shows it.

    Args:
        value: any JSON value.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def cell(kind: str, path: str, obj: Any, now: datetime) -> Any:
    """Give one cell.

    Args:
        kind: the column's type: string, integer, number, boolean or date.
        path: its JSONPath.
        obj: the object.
        now: the time that dates are counted from.

    Returns:
        A JSON value; None when there is nothing, or something of another type.
    """
    found = find(path, obj)
    if not found or found[0] is None:
        return None
    value = found[0]
    if kind == "string":
        return printed(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        return _age(value, now) if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if kind == "integer" else value


def _age(value: str, now: datetime) -> str:
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    return since(value, now)
