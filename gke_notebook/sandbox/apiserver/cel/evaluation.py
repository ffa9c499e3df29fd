"""A policy made ready, and what its expressions say of one request.

Source of rules and texts: k8s.io/apiserver v0.34 (`pkg/admission/plugin/policy/validating/validator.go`,
`pkg/admission/plugin/cel` and `pkg/admission/plugin/webhook/matchconditions`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .environment import BOOLEAN, TEXT, TEXT_OR_NULL, Scope, WrongExpression, compile_one
from .program import Program
from .running import EXPRESSION_LIMIT, Run
from .types import DYN
from .values import CelError, OutOfBudget

Object = dict[str, Any]

BUDGET, CONDITIONS_BUDGET = 10_000_000, 2_500_000
"""What all expressions of a policy, and its conditions, may cost for one request (`pkg/apis/cel/config.go`)."""
_NO_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_MAX_MESSAGE = 5 * 1024


@dataclass(frozen=True)
class Denial:
    """What a policy has against a request.

    Args:
        message: why, in the policy's words.
        reason: the reason of the answer; empty for an error.
        always: whether it is told whatever the binding's actions are.
    """

    message: str
    reason: str = ""
    always: bool = False


class Budget:
    """What is left to spend.

    Args:
        left: how much.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def run(self, program: Program | WrongExpression, source: str, values: Object) -> Any:
        """Evaluate an expression.

        Args:
            program: the expression, or why it is none.
            source: its text.
            values: the variables.

        Raises:
            CelError: it has no value.
            OutOfBudget: nothing is left to spend.
        """
        if isinstance(program, WrongExpression):
            raise CelError(f"compilation error: {program}")
        run = Run(values, EXPRESSION_LIMIT)
        try:
            return program.step(run)
        except (CelError, OutOfBudget) as error:
            raise CelError(f"expression '{source}' resulted in error: {error}") from error
        finally:
            self.left -= run.spent
            if self.left < 0:
                raise OutOfBudget(_NO_BUDGET)


@dataclass(frozen=True)
class _Ready:
    source: str
    program: Program | WrongExpression
    extra: Object = field(default_factory=dict)


class Policy:
    """A policy whose expressions are compiled.

    Args:
        obj: the policy.
    """

    def __init__(self, obj: Object) -> None:
        spec = obj["spec"]
        self.name: str = obj["metadata"]["name"]
        self.spec: Object = spec
        self._ignores = spec.get("failurePolicy") == "Ignore"
        params = spec.get("paramKind") is not None
        plain = Scope(params)
        self._conditions = [_ready(each["expression"], plain, BOOLEAN) for each in spec.get("matchConditions") or ()]
        scope = Scope(params, composes=bool(spec.get("variables")))
        self._variables: dict[str, _Ready] = {}
        for each in spec.get("variables") or ():
            ready = self._variables[each["name"]] = _ready(each["expression"], scope, ())
            scope.composed[each["name"]] = ready.program.type if isinstance(ready.program, Program) else DYN
        self._validations = []
        for each in spec.get("validations") or ():
            wording = each.get("messageExpression")
            message = _ready(wording, scope, TEXT) if wording else None
            self._validations.append((_ready(each["expression"], scope, BOOLEAN, each), message))
        self._annotations = [
            _ready(each["valueExpression"].strip(), scope, TEXT_OR_NULL, each)
            for each in spec.get("auditAnnotations") or ()
        ]

    def configuration_error(self, text: str) -> list[Denial]:
        """Give what follows from a policy or binding that cannot be applied.

        Args:
            text: why it cannot.
        """
        return [] if self._ignores else [Denial(text, always=True)]

    def check(self, values: Object) -> list[Denial]:
        """Give what the policy has against a request.

        Args:
            values: `object`, `oldObject`, `request`, `namespaceObject` and, where there are parameters, `params`.
        """
        matching = self._matches(values)
        if isinstance(matching, Denial):
            return [] if self._ignores else [matching]
        if not matching:
            return []
        budget = Budget(BUDGET)
        values = {**values, "variables": self._composed(values)}
        try:
            outcomes = [self._outcome(ready, budget, values) for ready, _ in self._validations]
        except OutOfBudget as error:
            return [] if self._ignores else [Denial(str(error))]
        found: list[Denial] = []
        for (ready, wording), outcome in zip(self._validations, outcomes, strict=True):
            if isinstance(outcome, CelError):
                found += [] if self._ignores else [Denial(str(outcome))]
            elif outcome is not True:
                message = self._message(ready.extra, wording, budget, values)
                found.append(Denial(message, ready.extra.get("reason") or "Invalid"))
        return found + self._failed_annotations(values)

    def _matches(self, values: Object) -> bool | Denial:
        budget = Budget(CONDITIONS_BUDGET)
        errors = []
        # Conditions are not told the namespace.
        values = {**values, "namespaceObject": None}
        try:
            outcomes = [self._outcome(ready, budget, values) for ready in self._conditions]
        except OutOfBudget as error:
            return Denial(str(error))
        for outcome in outcomes:
            if outcome is False:
                return False
            if isinstance(outcome, CelError):
                errors.append(str(outcome))
        if errors:
            return Denial(errors[0] if len(errors) == 1 else f"[{', '.join(dict.fromkeys(errors))}]")
        return True

    @staticmethod
    def _outcome(ready: _Ready, budget: Budget, values: Object) -> Any:
        try:
            return budget.run(ready.program, ready.source, values)
        except CelError as error:
            return error

    def _message(self, validation: Object, wording: _Ready | None, budget: Budget, values: Object) -> str:
        text = ""
        if wording is not None:
            try:
                said = budget.run(wording.program, wording.source, values)
            except CelError:
                said = None
            except OutOfBudget as error:
                return f"failed messageExpression: {error}"
            text = said.strip() if isinstance(said, str) else ""
            if len(text.encode("utf-8", "surrogatepass")) > _MAX_MESSAGE or "\n" in text:
                text = ""
        text = text or (validation.get("message") or "").strip()
        return text or f"failed expression: {validation['expression'].strip()}"

    def _failed_annotations(self, values: Object) -> list[Denial]:
        """Evaluate the annotations; there is no audit log here for their values, but their errors count."""
        budget = Budget(BUDGET)
        found = []
        for ready in self._annotations:
            try:
                budget.run(ready.program, ready.source, values)
            except (CelError, OutOfBudget) as error:
                found += [] if self._ignores else [Denial(str(error), always=True)]
        return found

    def _composed(self, values: Object) -> Object:
        """Give the variables of the policy: each is evaluated when it is first asked for, and once."""
        composed: Object = {}
        inner = {**values, "variables": composed}
        for name, ready in self._variables.items():
            composed[name] = _lazy(name, ready, inner)
        return composed


def _lazy(name: str, ready: _Ready, values: Object) -> Callable[[Run], Any]:
    known: list[Any] = []

    def value(run: Run) -> Any:
        if not known:
            try:
                if isinstance(ready.program, WrongExpression):
                    raise CelError(f'composited variable "{name}" fails to compile: {ready.program}')
                inner = Run(values, EXPRESSION_LIMIT)
                try:
                    known.append(ready.program.step(inner))
                except (CelError, OutOfBudget) as error:
                    known.append(CelError(f'composited variable "{name}" fails to evaluate: {error}'))
                finally:
                    run.spend(inner.spent)
            except CelError as error:
                known.append(error)
        if isinstance(known[0], CelError):
            raise known[0]
        return known[0]

    return value


def _ready(source: str, scope: Scope, wanted: Any, extra: Object | None = None) -> _Ready:
    try:
        return _Ready(source, compile_one(source, scope.names(), wanted), extra or {})
    except WrongExpression as error:
        return _Ready(source, error, extra or {})
