"""Label and field selectors: text to predicate.

Source of grammar and texts: k8s.io/apimachinery v0.34 (`labels`, `fields`) and the field label conversions of
Kubernetes 1.34.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from . import formats, status
from .kinds import Kind, Rules

Predicate = Callable[[dict[str, Any]], bool]

_TOKEN = re.compile(r"\s+|==|!=|[=!(),<>]|[^\s=!(),<>]+")
_SPECIAL = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">"})
_OPERATORS = frozenset({"!=", "=", "==", ">", "in", "<", "notin"})
_EXPECTED = "in, notin, =, ==, !=, gt, lt"  # as the server lists them
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Requirement:
    """One condition on one label.

    Args:
        key: the label's key.
        operator: ``in``, ``notin``, ``exists``, ``!``, ``>`` or ``<``.
        values: the values it is compared with.
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: dict[str, str]) -> bool:
        """Tell whether labels fulfil the condition.

        Args:
            labels: the labels of an object.
        """
        value = labels.get(self.key)
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        if self.operator == "in":
            return value in self.values
        if self.operator == "notin":
            return value not in self.values
        if value is None or not _INTEGER.fullmatch(value):
            return False
        bound = int(next(iter(self.values)))
        return int(value) > bound if self.operator == ">" else int(value) < bound


def _fail(text: str) -> NoReturn:
    raise status.bad_request(text)


class _Parser:
    """Reads a label selector word by word."""

    def __init__(self, text: str) -> None:
        self.tokens = [word for word in _TOKEN.findall(text) if not word.isspace()]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def read(self) -> list[Requirement]:
        found: list[Requirement] = []
        while word := self.peek():
            if word in _SPECIAL and word != "!":
                _fail(f"found '{word}', expected: !, identifier, or 'end of string'")
            found.append(self.requirement())
            word = self.take()
            if not word:
                break
            if word != ",":
                _fail(f"found '{word}', expected: ',' or 'end of string'")
            after = self.peek()
            if not after or (after in _SPECIAL and after != "!"):
                _fail(f"found '{after}', expected: identifier after ','")
        return found

    def requirement(self) -> Requirement:
        key = self.take()
        absent = key == "!"
        if absent:
            key = self.take()
        if not key or key in _SPECIAL:
            self.broken(f"found '{key}', expected: identifier")
        if errors := formats.qualified_name(key):
            self.broken(f"<nil>: Invalid value: {status.quote(key)}: {'; '.join(errors)}")
        if absent:
            return Requirement(key, "!")
        if self.peek() in {"", ","}:
            return Requirement(key, "exists")
        operator = self.operator()
        values = self.value_list() if operator in {"in", "notin"} else {self.exact_value()}
        self.check_values(key, operator, values)
        name = {"=": "in", "==": "in", "!=": "notin"}.get(operator, operator)
        return Requirement(key, name, frozenset(values))

    def broken(self, text: str) -> NoReturn:
        _fail(f"unable to parse requirement: {text}")

    def operator(self) -> str:
        word = self.take()
        if word not in _OPERATORS:
            self.broken(f"found '{word}', expected: {_EXPECTED}")
        return word

    def exact_value(self) -> str:
        if self.peek() in {"", ","}:
            return ""
        word = self.take()
        if word in _SPECIAL:
            self.broken(f"found '{word}', expected: identifier")
        return word

    def value_list(self) -> set[str]:
        word = self.take()
        if word != "(":
            self.broken(f"found '{word}' expected: '('")
        values: set[str] = set()
        expected_value = True
        while True:
            word = self.take()
            if word == ")":
                if expected_value:
                    values.add("")
                return values
            if word == ",":
                if expected_value:
                    values.add("")
                expected_value = True
            elif not word or word in _SPECIAL:
                what = "',', or identifier" if expected_value and values else "',', ')' or identifier"
                self.broken(f"found '{word}', expected: {what}" if expected_value else self.unclosed(word))
            elif expected_value:
                values.add(word)
                expected_value = False
            else:
                self.broken(self.unclosed(word))

    def unclosed(self, word: str) -> str:
        return f"found '{word}', expected: ',' or ')'"

    def check_values(self, key: str, operator: str, values: set[str]) -> None:
        for index, value in enumerate(sorted(values)):
            where = f"values[{index}]"
            if operator in {"<", ">"} and not _INTEGER.fullmatch(value):
                text = "for 'Gt', 'Lt' operators, the value must be an integer"
                self.broken(f"{where}: Invalid value: {status.quote(value)}: {text}")
            if errors := formats.label_value(value):
                self.broken(f"{where}[{key}]: Invalid value: {status.quote(value)}: {'; '.join(errors)}")


def label_requirements(text: str) -> list[Requirement]:
    """Read a label selector as its conditions.

    Args:
        text: the selector.

    Raises:
        StatusError: 400 in the server's words.
    """
    return _Parser(text).read()


def parse_labels(text: str) -> Predicate:
    """Read a `labelSelector` parameter.

    Args:
        text: for example ``app=web,tier in (a, b),!canary``; empty matches everything.

    Returns:
        A function of an object (the whole object, not its labels).

    Raises:
        StatusError: 400 in the server's words.

    Example:
        >>> parse_labels("app=web")({"metadata": {"labels": {"app": "web"}}})
        True
    """
    requirements = label_requirements(text)
    if not requirements:
        return lambda _: True
    if len(requirements) == 1:
        only = requirements[0]
        return lambda obj: only.matches(obj["metadata"].get("labels") or {})

    def matches(obj: dict[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement.matches(labels) for requirement in requirements)

    return matches


def _at(*path: str, default: str = "") -> Callable[[dict[str, Any]], str]:
    """Give a function that reads one field as selectors compare it: as text, empty when absent."""

    def read(obj: dict[str, Any]) -> str:
        value: Any = obj
        for name in path:
            value = value.get(name)
            if value is None:
                return default
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    return read


def _event_source(obj: dict[str, Any]) -> str:
    return (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""


def _pod_ips(obj: dict[str, Any]) -> str:
    return ",".join(each.get("ip", "") for each in (obj.get("status") or {}).get("podIPs") or ())


_NAME = {"metadata.name": _at("metadata", "name")}
_NAMESPACED = {**_NAME, "metadata.namespace": _at("metadata", "namespace")}
_FIELDS: dict[str, dict[str, Callable[[dict[str, Any]], str]]] = {
    "Pod": {
        **_NAMESPACED,
        "spec.nodeName": _at("spec", "nodeName"),
        "spec.restartPolicy": _at("spec", "restartPolicy"),
        "spec.schedulerName": _at("spec", "schedulerName"),
        "spec.serviceAccountName": _at("spec", "serviceAccountName"),
        "spec.hostNetwork": _at("spec", "hostNetwork", default="false"),
        "status.phase": _at("status", "phase"),
        "status.podIP": _at("status", "podIP"),
        "status.podIPs": _pod_ips,
        "status.nominatedNodeName": _at("status", "nominatedNodeName"),
        "spec.host": _at("spec", "nodeName"),
    },
    "Event": {
        **_NAMESPACED,
        **{
            f"involvedObject.{name}": _at("involvedObject", name)
            for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        },
        "reason": _at("reason"),
        "reportingComponent": _at("reportingComponent"),
        "source": _event_source,
        "type": _at("type"),
    },
    "Job": {**_NAMESPACED, "status.successful": _at("status", "succeeded", default="0")},
    "Node": {**_NAME, "spec.unschedulable": _at("spec", "unschedulable", default="false")},
    "Namespace": {**_NAME, "status.phase": _at("status", "phase")},
    "Secret": {**_NAMESPACED, "type": _at("type")},
    "Service": {**_NAMESPACED, "spec.clusterIP": _at("spec", "clusterIP"), "spec.type": _at("spec", "type")},
}


def _unescape(text: str, selector: str) -> str:
    if "\\" not in text:
        return text
    if re.search(r"\\(?![\\,=])", text.replace("\\\\", "")):
        _fail(f"invalid field selector: invalid escape sequence in value: {text}" if selector else text)
    return re.sub(r"\\(.)", r"\1", text)


def field_terms(text: str) -> list[tuple[str, str, str]]:
    """Read a field selector as (path, ``=`` or ``!=``, value).

    Args:
        text: the selector.

    Raises:
        StatusError: 400 in the server's words.

    Example:
        >>> field_terms("metadata.name=x,status.phase!=Running")
        [('metadata.name', '=', 'x'), ('status.phase', '!=', 'Running')]
    """
    terms = []
    for part in re.split(r"(?<!\\),", text):
        if not part:
            continue
        match = re.fullmatch(r"((?:[^=!\\]|\\.|!(?!=))*)(!=|==|=)(.*)", part, re.DOTALL)
        if match is None:
            _fail(f"invalid selector: '{text}'; can't understand '{part}'")
        value = match[3]
        if re.search(r"(?<!\\)=", value):
            _fail(f"invalid field selector: unescaped '=' in value: {value}")
        if not match[1] and not value:
            continue  # as the server does: a term of nothing asks for nothing
        terms.append((match[1], "!=" if match[2] == "!=" else "=", _unescape(value, text)))
    return terms


def parse_fields(kind: Kind, text: str) -> Predicate:
    """Read a `fieldSelector` parameter.

    Args:
        kind: the kind that is listed; each kind has its own fields.
        text: for example ``metadata.name=x,status.phase!=Running``; empty matches everything.

    Returns:
        A function of an object.

    Raises:
        StatusError: 400 in the server's words.
    """
    known = _FIELDS.get(kind.kind) if kind.rules is None else _selectable(kind.rules)
    conditions = []
    for path, operator, value in field_terms(text):
        read = (known or _NAMESPACED).get(path)
        if read is None:
            _fail(_unsupported(kind, path))
        conditions.append((read, operator == "=", value))

    def matches(obj: dict[str, Any]) -> bool:
        return all((read(obj) == value) is equal for read, equal, value in conditions)

    return matches


def _selectable(rules: Rules) -> dict[str, Callable[[dict[str, Any]], str]]:
    """Give how the fields of a kind with rules of its own are read; other kinds have a table."""

    def read(path: str) -> Callable[[dict[str, Any]], str]:
        def value(obj: dict[str, Any]) -> str:
            found: Any = obj
            for part in path.split("."):
                found = found.get(part) if isinstance(found, dict) else None
            return ("true" if found else "false") if isinstance(found, bool) else "" if found is None else str(found)

        return value

    return {**_NAMESPACED, **{path: read(path) for path in rules.selectable()}}


def _unsupported(kind: Kind, path: str) -> str:
    if kind.rules is not None:
        return f"field label not supported: {path}"
    if kind.kind == "Job":
        return f"field label {status.quote(path)} not supported for Job"
    if kind.kind in _FIELDS:
        return f"field label not supported: {path}"
    return f'{status.quote(path)} is not a known field selector: only "metadata.name", "metadata.namespace"'


def single_name(text: str) -> str | None:
    """Give the name a field selector asks for, None when it does not ask for exactly one.

    Args:
        text: the selector; it is known to be well formed.
    """
    names = {value for path, operator, value in field_terms(text) if path == "metadata.name" and operator == "="}
    return names.pop() if len(names) == 1 else None
