"""One evaluation: its variables, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .values import CelError, OutOfBudget

EXPRESSION_LIMIT = 1_000_000
"""What one expression may cost (k8s.io/apiserver v0.34, `pkg/apis/cel/config.go`)."""


class Run:
    """One evaluation.

    Args:
        values: the variables; a value that is called gives the variable's value (and is told the run).
        limit: what it may cost.
    """

    __slots__ = ("limit", "spent", "values")

    def __init__(self, values: dict[str, Any], limit: int) -> None:
        self.values = values
        self.limit = limit
        self.spent = 0

    def spend(self, cost: int) -> None:
        """Count a cost.

        Args:
            cost: how much.

        Raises:
            OutOfBudget: the evaluation has cost too much.
        """
        self.spent += cost
        if self.spent > self.limit:
            raise OutOfBudget("operation cancelled: actual cost limit exceeded")


Step = Callable[[Run], Any]


def field_of(run: Run, operand: Any, name: str) -> Any:
    """Give a field; a value that is called is the field's value once it is told the run.

    Args:
        run: the evaluation.
        operand: what has it.
        name: its name.

    Raises:
        CelError: it has none of that name.
    """
    if isinstance(operand, dict):
        if name not in operand:
            raise CelError(f"no such key: {name}")
        value = operand[name]
        return value(run) if callable(value) else value
    if isinstance(operand, list):
        raise CelError("unsupported index type 'string' in list")
    raise CelError(f"no such key: {name}")


def decide(steps: Iterable[Step], run: Run, *, decisive: bool) -> bool:
    """Evaluate conditions until one decides; an error does not count when a later one decides.

    Args:
        steps: the conditions.
        run: the evaluation.
        decisive: the value that decides: false for a conjunction, true for a disjunction.

    Raises:
        CelError: none decides, and one has no value.
    """
    wrong: CelError | None = None
    for step in steps:
        try:
            value: object = step(run)
        except CelError as error:
            wrong = wrong or error
            continue
        if value is decisive:
            return decisive
        if not isinstance(value, bool):
            wrong = wrong or CelError("no such overload")
    if wrong is not None:
        raise wrong
    return not decisive
