"""The part of the Cloud Logging API v2 by which logs are written and read: ``entries:write`` and ``entries:list``.

The newest entries of this run are kept in memory. Of the query language there are terms joined by ``AND`` (or a line's
end): ``logName="..."``, ``log_id("...")``, ``resource.type="..."``, ``severity``, ``timestamp`` with ``>=``, ``<`` and
their like, ``jsonPayload`` fields with ``=`` or ``:`` (present, or containing), and ``NOT`` before a term.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from typing import Any
from urllib.parse import quote, unquote

from gke_notebook.sandbox.gke import wire
from gke_notebook.sandbox.gke.clock import timestamp
from gke_notebook.sandbox.gke.failures import ApiFailure, invalid
from gke_notebook.sandbox.pools import PROJECT

Object = dict[str, Any]

KEPT = 2_000
_PAGE, _MOST_PAGE = 50, 1000
_TERM = re.compile(
    r'\s*(?P<not>NOT\s+|-)?(?:log_id\(\s*"(?P<id>[^"]*)"\s*\)'
    r'|(?P<field>[A-Za-z][\w.\-/]*)\s*(?P<operator>>=|<=|!=|=|>|<|:)\s*(?:"(?P<quoted>[^"]*)"|(?P<word>[^\s"()]+)))'
    r"\s*(?:\bAND\b)?\s*",
)


class Log:
    """The entries of this run."""

    def __init__(self) -> None:
        self._entries: deque[Object] = deque(maxlen=KEPT)

    def answer(self, method: str, path: str, raw: bytes) -> Object:
        """Answer one request that has been authenticated.

        Args:
            method: the HTTP method.
            path: the path, decoded.
            raw: the body.

        Raises:
            ApiFailure: the error to answer.
        """
        if method == "POST" and path == "/v2/entries:write":
            return self._write(wire.load(raw))
        if method == "POST" and path == "/v2/entries:list":
            return self._list(wire.load(raw))
        raise ApiFailure(404, f"The sandbox does not serve {method} {path[:200]}.")

    def _write(self, body: Object) -> Object:
        entries = body.get("entries")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise invalid("entries must be a list of log entries.")
        now = timestamp(time.time())
        made = []
        for one in entries:
            entry = {**one}
            for field in ("logName", "resource"):
                entry.setdefault(field, body.get(field))
                if not entry[field]:
                    raise invalid(f"A log entry needs {field}.")
            if not isinstance(entry["logName"], str) or not entry["logName"].startswith(f"projects/{PROJECT}/logs/"):
                raise ApiFailure(403, f"The caller may write only to the logs of projects/{PROJECT}.")
            entry.setdefault("insertId", secrets.token_hex(8))
            entry.setdefault("timestamp", now)
            made.append({**entry, "receiveTimestamp": now})
        self._entries.extend(made)
        return {}

    def _list(self, body: Object) -> Object:
        names = body.get("resourceNames") or body.get("projectIds") or []
        if not names:
            raise invalid("resource_names must name at least one project.")
        if any(str(name).removeprefix("projects/") != PROJECT for name in names):
            raise ApiFailure(403, "The caller does not have permission")
        terms = parse(str(body.get("filter") or ""))
        found = [entry for entry in self._entries if all(term(entry) for term in terms)]
        order = str(body.get("orderBy") or "timestamp asc")
        if order not in ("timestamp", "timestamp asc", "timestamp desc"):
            raise invalid(f"order_by must be 'timestamp asc' or 'timestamp desc', not {order[:60]!r}.")
        found.sort(key=lambda entry: str(entry["timestamp"]), reverse=order.endswith("desc"))
        size = body.get("pageSize") or _PAGE
        token = str(body.get("pageToken") or "0")
        if type(size) is not int or size < 0 or not token.isdigit():
            raise invalid("page_size must be a number of at least 0, and page_token one from an earlier answer.")
        begin = int(token)
        page = found[begin : begin + min(size, _MOST_PAGE)]
        answer: Object = {"entries": page} if page else {}
        if begin + len(page) < len(found):
            answer["nextPageToken"] = str(begin + len(page))
        return answer


def parse(text: str) -> list[Any]:
    """Read a filter.

    Args:
        text: terms joined by AND.

    Returns:
        Functions that say whether an entry satisfies each.

    Raises:
        ApiFailure: it is not understood.

    Example:
        >>> [term({"resource": {"type": "k8s_cluster"}}) for term in parse('resource.type="k8s_cluster"')]
        [True]
    """
    terms: list[Any] = []
    at = 0
    while at < len(text.rstrip()):
        found = _TERM.match(text, at)
        if found is None:
            raise invalid(f"Unparseable filter: syntax error at column {at + 1}, token '{text[at : at + 40].strip()}'.")
        terms.append(_term(found))
        at = found.end()
    return terms


def _term(found: re.Match[str]) -> Any:
    field, operator, value = found["field"], found["operator"] or "=", found["quoted"] or found["word"] or ""
    if found["id"] is not None:
        field, value = "logName", f"projects/{PROJECT}/logs/{quote(found['id'], safe='')}"

    def holds(entry: Object) -> bool:
        return bool(found["not"]) != _compare(_lookup(entry, field.split(".")), operator, value)

    return holds


def _lookup(value: Any, path: list[str]) -> list[Any]:
    """Give every value at a path; lists on the way are gone into."""
    if isinstance(value, list):
        return [found for item in value for found in _lookup(item, path)]
    if not path:
        return [value]
    if isinstance(value, dict) and path[0] in value:
        return _lookup(value[path[0]], path[1:])
    return []


def _compare(values: list[Any], operator: str, wanted: str) -> bool:
    if operator == "!=":
        return all(unquote(str(value)) != unquote(wanted) for value in values)
    if operator == ":":
        return any(wanted == "*" or wanted.lower() in str(value).lower() for value in values)
    texts = [unquote(str(value)) for value in values]
    right = unquote(wanted)
    if operator == "=":
        return right in texts
    checks = {">=": "__ge__", "<=": "__le__", ">": "__gt__", "<": "__lt__"}
    return any(getattr(text, checks[operator])(right) for text in texts)
