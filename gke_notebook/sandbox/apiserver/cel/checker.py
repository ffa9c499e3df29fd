"""The types of an expression, found before it is ever evaluated.

Source of rules and texts: cel-go 0.26 (`checker`), with the options of k8s.io/apiserver v0.34
(`pkg/cel/environment/base.go`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import regex
from .declarations import Functions, Overload, succeeds
from .nodes import Bind, Call, Each, ListOf, Literal, MapOf, Name, Node, Problem, Select
from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Bindings,
    Type,
    is_loose,
    is_parameter,
    list_of,
    map_of,
    optional_of,
)
from .values import UInt, duration, timestamp

TYPE_NAMES = {
    "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES, "list": list_of(DYN),
    "map": map_of(DYN, DYN), "null_type": NULL, "type": Type("type"), "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION, "dyn": DYN,
}  # fmt: skip
_NOT_HERE = {
    "authorizer": "the authorizer is not available on this server (a real one has it)",
}
_MAX_PROBLEMS = 100
MAX_DEPTH = 120
"""How deep the tree of an expression may be; the interpreter's own stack bounds it."""
_CLAUSE = re.compile(r"%(?:%|(?:\.\d+)?([sdfeboxX]))")
_CLAUSES = {
    "d": ("decimal clause can only be used on integers", ("int", "uint")),
    "f": ("fixed-point clause can only be used on doubles", ("double",)),
    "e": ("scientific clause can only be used on doubles", ("double",)),
    "b": ("only integers and bools can be formatted as binary", ("int", "uint", "bool")),
    "o": ("octal clause can only be used on integers", ("int", "uint")),
}


@dataclass
class Checked:
    """What is known of an expression that compiles.

    Args:
        type: the type of its value.
        calls: for each call, by the identity of its node, the forms of the function that may be meant.
        names: for each chain of words that is one name, by the identity of its node, that name.
    """

    type: Type = DYN
    calls: dict[int, list[Overload]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


def check(node: Node, variables: Mapping[str, Type], functions: Functions) -> tuple[Checked, list[Problem]]:
    """Find the type of an expression.

    Args:
        node: its tree.
        variables: the types of the variables.
        functions: the functions.

    Returns:
        What is known, and what is wrong, in the order of the text.
    """
    checker = _Checker(dict(variables), functions)
    found = checker.type_of(node)
    checker.found.type = checker.bindings.resolve(found, to_dyn=True)
    problems = sorted(dict.fromkeys(checker.problems), key=lambda each: each.offset)
    return checker.found, problems[:_MAX_PROBLEMS]


class _Checker:
    def __init__(self, variables: dict[str, Type], functions: Functions) -> None:
        self.variables = variables
        self.functions = functions
        self.bindings = Bindings()
        self.problems: list[Problem] = []
        self.found = Checked()
        self.found_types: dict[int, Type] = {}
        self._depth = 0

    def type_of(self, node: Node) -> Type:
        """Find the type of a part, and note what is wrong with it.

        Args:
            node: the part.
        """
        if self._depth > MAX_DEPTH:
            return ERROR if self.problems else self._fail(node, f"expression recursion limit exceeded: {MAX_DEPTH}")
        self._depth += 1
        found = self.found_types[id(node)] = self._type_of(node)
        self._depth -= 1
        return found

    def _type_of(self, node: Node) -> Type:
        if isinstance(node, Literal):
            return _literal(node)
        if isinstance(node, Name):
            return self._name(node, node.name)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListOf):
            return list_of(self._joined([self._item(each, at in node.optional) for at, each in enumerate(node.items)]))
        if isinstance(node, MapOf):
            keys = [(key, self.type_of(key)) for key, _ in node.entries]
            values = [self._item(value, at in node.optional) for at, (_, value) in enumerate(node.entries)]
            return map_of(self._joined(keys), self._joined(values))
        if isinstance(node, Each):
            return self._each(node)
        assert isinstance(node, Bind)
        return self._bind(node)

    def _fail(self, node: Node, text: str) -> Type:
        self.problems.append(Problem(node.at, text))
        return ERROR

    def _name(self, node: Node, name: str) -> Type:
        found = self._known(name)
        if found is not None:
            self.found.names[id(node)] = name
            return found
        if name in _NOT_HERE:
            return self._fail(node, _NOT_HERE[name])
        return self._fail(node, f"undeclared reference to '{name}' (in container '')")

    def _known(self, name: str) -> Type | None:
        if name in self.variables:
            return self.variables[name]
        return Type("type", (TYPE_NAMES[name],)) if name in TYPE_NAMES else None

    def _select(self, node: Select) -> Type:
        name = None if node.test or node.optional else _qualified(node)
        if name is not None and name.partition(".")[0] not in self.variables and self._known(name) is not None:
            return self._name(node, name)
        operand = self.bindings.resolve(self.type_of(node.operand))
        maybe = operand.name == "optional_type"
        found = self._field(node, operand.of[0] if maybe and operand.of else operand)
        if node.test:
            return BOOL
        return optional_of(found) if maybe or node.optional else found

    def _field(self, node: Select, operand: Type) -> Type:
        operand = self.bindings.resolve(operand)
        if operand.name == "map":
            return operand.of[1]
        if operand.fields is not None:
            found = operand.fields.get(node.field)
            return found if found is not None else self._fail(node, f"undefined field '{node.field}'")
        if is_parameter(operand):
            self.bindings.fit((DYN,), (operand,))
            return DYN
        if not is_loose(operand):
            self._fail(node, f"type '{operand}' does not support field selection")
        return DYN

    def _call(self, node: Call) -> Type:
        given = [self.type_of(each) for each in node.arguments]
        if node.function in {"_&&_", "_||_"}:
            for argument, type_ in zip(node.arguments, given, strict=True):
                if not self.bindings.fit((type_,), (BOOL,)):
                    self._fail(argument, f"expected type 'bool' but found '{self.bindings.resolve(type_)}'")
            return BOOL
        self._literals(node)
        if node.function == "format" and node.target is not None:
            self._format(node)
        name, target = node.function, node.target
        qualified = None if target is None else _qualified(target)
        if qualified is not None and f"{qualified}.{name}" in self.functions.by_name:
            name, target = f"{qualified}.{name}", None
        if target is not None:
            given.insert(0, self.type_of(target))
        overloads = self.functions.by_name.get(name)
        if overloads is None:
            return self._fail(node, f"undeclared reference to '{name}' (in container '')")
        return self._resolve(node, name, [each for each in overloads if each.method is (target is not None)], given)

    def _resolve(self, node: Node, name: str, overloads: list[Overload], given: list[Type]) -> Type:
        result: Type | None = None
        fitting = []
        for overload in overloads:
            if len(overload.parameters) != len(given):
                continue
            own, *parameters = self.bindings.instance((overload.result, *overload.parameters))
            if not self.bindings.fit(tuple(given), tuple(parameters)):
                continue
            fitting.append(overload)
            found = self.bindings.resolve(own)
            if result is None:
                result = found
            elif result.name != "dyn" and found != result:
                result = DYN
        if result is None:
            shown = [str(self.bindings.resolve(each, to_dyn=True)) for each in given]
            method = isinstance(node, Call) and node.target is not None and "." not in name
            applied = f"{shown[0]}.({', '.join(shown[1:])})" if method else f"({', '.join(shown)})"
            return self._fail(node, f"found no matching overload for '{name}' applied to '{applied}'")
        self.found.calls[id(node)] = fitting
        return result

    def _literals(self, node: Call) -> None:
        """Refuse literals that can never be what a function reads in them."""
        texts = [each for each in node.arguments if isinstance(each, Literal) and isinstance(each.value, str)]
        if node.function in {"duration", "timestamp"} and len(node.arguments) == 1 and texts:
            if not succeeds(duration if node.function == "duration" else timestamp, texts[0].value):
                self._fail(texts[0], f"invalid {node.function} argument")
        elif node.function == "matches" and node.arguments and texts and texts[-1] is node.arguments[-1]:
            try:
                regex.compiled(texts[-1].value)
            except regex.RegexError:
                self._fail(texts[-1], "invalid matches argument")

    def _format(self, node: Call) -> None:
        """Refuse a format in the text of which a clause does not fit the value beside it."""
        target, items = node.target, node.arguments[0] if node.arguments else None
        if not isinstance(target, Literal) or not isinstance(target.value, str) or not isinstance(items, ListOf):
            return
        verbs = [each for each in _CLAUSE.findall(target.value) if each]
        for verb, item in zip(verbs, items.items, strict=False):
            what, names = _CLAUSES.get(verb, ("", ()))
            found = self.found_types.get(id(item), DYN)
            if names and not is_loose(found) and found.name not in names:
                self._fail(item, f"error during formatting: {what}, was given {found.name}")

    def _item(self, node: Node, optional: bool) -> tuple[Node, Type]:
        found = self.type_of(node)
        if optional and found.name == "optional_type":
            return node, found.of[0]
        if optional and not is_loose(found):
            self._fail(node, f"expected type '{optional_of(found)}' but found '{found}'")
        return node, found

    def _joined(self, items: list[tuple[Node, Type]]) -> Type:
        found: Type | None = None
        for node, type_ in items:
            if found is None:
                found = type_
            elif self.bindings.fit((found,), (type_,)):
                found = DYN if is_loose(type_) else found
            else:
                wanted, given = self.bindings.resolve(found), self.bindings.resolve(type_)
                return self._fail(node, f"expected type '{wanted}' but found '{given}'")
        return self.bindings.fresh() if found is None else found

    def _each(self, node: Each) -> Type:
        items = self.bindings.resolve(self.type_of(node.range))
        first: Type = DYN
        second: Type = DYN
        if items.name == "list":
            first, second = (INT, items.of[0]) if node.second else (items.of[0], DYN)
        elif items.name == "map":
            first, second = items.of
        elif is_parameter(items):
            self.bindings.fit((DYN,), (items,))
        elif not is_loose(items):
            text = f"expression of type '{items}' cannot be range of a comprehension (must be list, map, or dynamic)"
            first = second = self._fail(node.range, text)
        names = {node.variable: first, **({node.second: second} if node.second else {})}
        with_names = _Scope(self.variables, names)
        with with_names:
            if node.where is not None:
                self._condition(node.where, self.type_of(node.where))
            body = self.type_of(node.body)
        if node.macro in {"all", "exists"}:
            if not self.bindings.fit((body,), (BOOL,)):
                self._fail(node.body, f"expected type 'bool' but found '{self.bindings.resolve(body)}'")
            return BOOL
        if node.macro in {"exists_one", "filter"}:
            self._condition(node.body, body)
            return BOOL if node.macro == "exists_one" else list_of(first)
        if node.macro == "transformMap":
            return map_of(first, body)
        return body if node.macro == "transformMapEntry" else list_of(body)

    def _condition(self, condition: Node, found: Type) -> None:
        if not self.bindings.fit((found,), (BOOL,)):
            shown = self.bindings.resolve(found)
            self._fail(condition, f"expected type 'bool' but found '{shown}'")

    def _bind(self, node: Bind) -> Type:
        value = self.bindings.resolve(self.type_of(node.value))
        if value.name == "optional_type":
            inner = value.of[0]
        else:
            inner = DYN if is_loose(value) else self._fail(node, f"type '{value}' is not optional")
        with _Scope(self.variables, {node.variable: inner}):
            body = self.type_of(node.body)
        return optional_of(body) if node.macro == "optMap" else body


class _Scope:
    """Variables that hide others of the same name for a while."""

    def __init__(self, variables: dict[str, Type], names: dict[str, Type]) -> None:
        self._variables, self._names = variables, names
        self._before: dict[str, Type] = {}

    def __enter__(self) -> None:
        self._before = {name: self._variables[name] for name in self._names if name in self._variables}
        self._variables.update(self._names)

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            del self._variables[name]
        self._variables.update(self._before)


def _qualified(node: Node) -> str | None:
    """Give the name that a chain of words makes; None for any other node."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        front = _qualified(node.operand)
        return None if front is None else f"{front}.{node.field}"
    return None


_LITERALS = ((bool, BOOL), (UInt, UINT), (int, INT), (float, DOUBLE), (str, STRING), (bytes, BYTES))


def _literal(node: Literal) -> Type:
    return next((type_ for kind, type_ in _LITERALS if isinstance(node.value, kind)), NULL)
