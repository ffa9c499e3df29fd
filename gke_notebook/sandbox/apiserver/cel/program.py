"""Expressions made ready to be evaluated, as often as need be, at a cost that is counted and bounded.

Source: cel-go 0.26 (`interpreter`); the costs are those of its tracker where they matter: one for each name, field and
call, more for what looks at whole texts and lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import library, library_kubernetes
from .checker import Checked, check
from .comprehensions import over
from .declarations import Functions, Overload, size
from .nodes import Bind, Call, CompileError, Each, ListOf, Literal, MapOf, Node, Select
from .running import EXPRESSION_LIMIT, Run, Step, decide, field_of
from .syntax import parse
from .types import Type
from .values import CelError, Optional, TypeValue, equal, type_name

_LIST_COST, _MAP_COST = 10, 30


@dataclass(frozen=True)
class Program:
    """A compiled expression.

    Args:
        source: its text.
        type: the type of its value.
        step: evaluates it.
        names: the variables it uses.
    """

    source: str
    type: Type
    step: Step
    names: frozenset[str] = frozenset()

    def run(self, values: Mapping[str, Any], limit: int = EXPRESSION_LIMIT) -> tuple[Any, int]:
        """Evaluate.

        Args:
            values: the variables.
            limit: what it may cost.

        Returns:
            The value and the cost.

        Raises:
            CelError: it has no value.
            OutOfBudget: it costs too much.

        Example:
            >>> compile_expression("[1, 2].map(x, x * 2)", ()).run({})[0]
            [2, 4]
        """
        run = Run(dict(values), limit)
        return self.step(run), run.spent


@lru_cache(maxsize=1)
def functions() -> Functions:
    """Give the table of all functions."""
    table = Functions()
    library.declare(table)
    library_kubernetes.declare(table)
    return table


def compile_expression(source: str, variables: tuple[tuple[str, Type], ...]) -> Program:
    """Compile an expression.

    Args:
        source: its text.
        variables: the names and types of the variables.

    Raises:
        CompileError: it does not compile.
    """
    table = functions()
    tree = parse(source)
    checked, problems = check(tree, dict(variables), table)
    if problems:
        raise CompileError(source, problems)
    return Program(source, checked.type, _Compiler(checked, table).step(tree), frozenset(checked.names.values()))


class _Compiler:
    def __init__(self, checked: Checked, table: Functions) -> None:
        self._checked = checked
        self._table = table

    def step(self, node: Node) -> Step:
        if isinstance(node, Literal):
            value = node.value
            return lambda _: value
        name = self._checked.names.get(id(node))
        if name is not None:
            return _named(name)
        if isinstance(node, Select):
            return _select(self.step(node.operand), node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListOf):
            return _list([(self.step(each), at in node.optional) for at, each in enumerate(node.items)])
        if isinstance(node, MapOf):
            return _map(
                [(self.step(key), self.step(each), at in node.optional) for at, (key, each) in enumerate(node.entries)]
            )
        if isinstance(node, Each):
            where = None if node.where is None else self.step(node.where)
            return over(node, self.step(node.range), self.step(node.body), where)
        assert isinstance(node, Bind), node
        return _bind(node, self.step(node.value), self.step(node.body))

    def _call(self, node: Call) -> Step:
        steps = [self.step(each) for each in node.arguments]
        if node.function in {"_&&_", "_||_"}:
            return _logic(steps[0], steps[1], decisive=node.function == "_||_")
        if node.function == "_?_:_":
            return _choice(*steps)
        overloads = self._checked.calls[id(node)]
        if overloads[0].method and node.target is not None:
            steps.insert(0, self.step(node.target))
        if node.function in {"_[_]", "_[?_]"}:
            return _index(steps[0], steps[1], overloads, maybe=node.function == "_[?_]")
        return _function(overloads, steps)


def _named(name: str) -> Step:
    def step(run: Run) -> Any:
        run.spend(1)
        if name not in run.values:
            return TypeValue(name)
        value = run.values[name]
        return value(run) if callable(value) else value

    return step


def _select(operand: Step, node: Select) -> Step:
    name, test, maybe = node.field, node.test, node.optional

    def step(run: Run) -> Any:
        value = operand(run)
        run.spend(0 if test else 1)
        chained = isinstance(value, Optional)
        if chained:
            if not value.present:
                return False if test else value
            value = value.value
        if test:
            return isinstance(value, dict) and name in value
        if not maybe and not chained:
            return field_of(run, value, name)
        if isinstance(value, dict) and name in value:
            return Optional(field_of(run, value, name), True)
        return Optional()

    return step


def _index(operand: Step, at: Step, overloads: list[Overload], *, maybe: bool) -> Step:
    call = _function(overloads, [operand, at])
    if maybe:
        return call

    def step(run: Run) -> Any:
        value, place = operand(run), at(run)
        run.spend(1)
        if isinstance(value, list):
            return library.index(value, place)
        if isinstance(value, dict):
            found = library.key(value, place)
            return found(run) if callable(found) else found
        if isinstance(value, Optional):
            return call(run)
        raise CelError(f"no such key: {library.shown(place)}")

    return step


def _function(overloads: list[Overload], steps: list[Step]) -> Step:
    name = overloads[0].name

    def step(run: Run) -> Any:
        values = [each(run) for each in steps]
        for overload in overloads:
            if overload.takes(values):
                run.spend(overload.cost(values))
                try:
                    return overload.run(*values)
                except (OverflowError, RecursionError) as error:
                    raise CelError(str(error)) from error
        if name in _EQUALITIES:
            return _EQUALITIES[name](*values)
        raise CelError(_no_overload(name, values))

    return step


_EQUALITIES: dict[str, Callable[[Any, Any], bool]] = {
    "_==_": equal,
    "_!=_": lambda left, right: not equal(left, right),
}
_PLAIN_WORDS = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_", "_<_", "_<=_", "_>_", "_>=_", "!_", "-_", "@in", "size"})


def _no_overload(name: str, values: list[Any]) -> str:
    if name in _PLAIN_WORDS:
        return "no such overload"
    return f"no such overload: {name}({', '.join(map(type_name, values))})"


def _logic(left: Step, right: Step, *, decisive: bool) -> Step:
    """Make ``&&`` or ``||``: an error on one side does not count when the other side decides."""

    def step(run: Run) -> Any:
        return decide((left, right), run, decisive=decisive)

    return step


def _choice(condition: Step, yes: Step, no: Step) -> Step:
    def step(run: Run) -> Any:
        value = condition(run)
        if not isinstance(value, bool):
            raise CelError("no such overload")
        return yes(run) if value else no(run)

    return step


def _list(steps: list[tuple[Step, bool]]) -> Step:
    def step(run: Run) -> Any:
        run.spend(_LIST_COST)
        found = []
        for each, maybe in steps:
            value = each(run)
            if not maybe:
                found.append(value)
            elif isinstance(value, Optional) and value.present:
                found.append(value.value)
        return found

    return step


def _map(steps: list[tuple[Step, Step, bool]]) -> Step:
    def step(run: Run) -> Any:
        run.spend(_MAP_COST)
        found: dict[Any, Any] = {}
        for key, each, maybe in steps:
            name, value = key(run), each(run)
            if maybe:
                if not isinstance(value, Optional) or not value.present:
                    continue
                value = value.value
            if not isinstance(name, (str, int)):
                raise CelError(f"unsupported key type: {type_name(name)}")
            if name in found:
                raise CelError(f"insert failed: key {library.shown(name)} already exists")
            found[name] = value
        return found

    return step


def _bind(node: Bind, value: Step, body: Step) -> Step:
    name, macro = node.variable, node.macro

    def step(run: Run) -> Any:
        bound = value(run)
        if not isinstance(bound, Optional):
            raise CelError("no such overload")
        if not bound.present:
            return bound
        found = _with(run, {name: bound.value}, body)
        return Optional(found, True) if macro == "optMap" else found

    return step


def _with(run: Run, names: dict[str, Any], body: Step) -> Any:
    before = run.values
    run.values = {**before, **names}
    try:
        return body(run)
    finally:
        run.values = before


__all__ = ["CompileError", "Program", "Run", "compile_expression", "functions", "size"]
