"""The tree of an expression, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """What is wrong at one place of an expression.

    Args:
        offset: the place, in characters from the beginning.
        text: what is wrong.
    """

    offset: int
    text: str


class CompileError(Exception):
    """An expression that does not compile.

    Args:
        source: its text.
        problems: what is wrong with it.
    """

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(_shown(source, each) for each in problems))


def _shown(source: str, problem: Problem) -> str:
    before = source[: problem.offset]
    line, column = before.count("\n") + 1, problem.offset - (before.rfind("\n") + 1)
    text = source.split("\n")[line - 1]
    mark = "." * column
    return f"ERROR: <input>:{line}:{column + 1}: {problem.text}\n | {text}\n | {mark}^"


@dataclass(frozen=True)
class Node:
    """A part of an expression, at an offset of its text."""

    at: int


@dataclass(frozen=True)
class Literal(Node):
    """A value that stands in the text."""

    value: Any


@dataclass(frozen=True)
class Name(Node):
    """A variable, a type or the first word of a qualified name."""

    name: str


@dataclass(frozen=True)
class Select(Node):
    """``operand.field``; ``has(operand.field)`` when it only tests, ``operand.?field`` when it is optional."""

    operand: Node
    field: str
    test: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Call(Node):
    """A function, a method of `target`, or an operator under its name in CEL, for example ``_+_``."""

    function: str
    arguments: tuple[Node, ...]
    target: Node | None = None


@dataclass(frozen=True)
class ListOf(Node):
    """A list that stands in the text; the numbers of its optional items."""

    items: tuple[Node, ...]
    optional: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True)
class MapOf(Node):
    """A map that stands in the text; the numbers of its optional entries."""

    entries: tuple[tuple[Node, Node], ...]
    optional: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Each(Node):
    """A macro over a list or a map: all, exists, exists_one, filter or map.

    `where` is the condition of a `map` with three arguments; `second` names the second variable where there are two.
    """

    macro: str
    range: Node
    variable: str
    body: Node
    where: Node | None = None
    second: str = ""


@dataclass(frozen=True)
class Bind(Node):
    """``value.optMap(name, body)`` or ``value.optFlatMap(name, body)``."""

    macro: str
    variable: str
    value: Node
    body: Node
