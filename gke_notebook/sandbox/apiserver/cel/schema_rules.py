"""The rules in CEL of a schema: `x-kubernetes-validations` of custom resource definitions.

Source of rules and texts: k8s.io/apiextensions-apiserver v0.34 (`pkg/apiserver/schema/cel` and
`pkg/apis/apiextensions/validation`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.sandbox.apiserver.crd.structural import Schema, extra
from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
)

from .evaluation import BUDGET
from .nodes import CompileError
from .program import Program, compile_expression
from .running import EXPRESSION_LIMIT, Run
from .schema_types import declared, valued
from .types import BOOL, STRING, optional_of
from .values import CelError, Optional, OutOfBudget

RULES = "x-kubernetes-validations"
_NOWHERE = "<nil>"
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_LINES = re.compile(r"[\n\r]")
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\['(?P<key>(?:\\.|[^'\\])*)'\]")
_NO_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


@dataclass(frozen=True)
class Rule:
    """A compiled rule.

    Args:
        source: the rule as the schema has it.
        program: its expression.
        message: the expression of its message, None when it has none.
        transition: whether it looks at the value before.
        path: where its errors are told, below the value.
    """

    source: dict[str, Any]
    program: Program
    message: Program | None
    transition: bool
    path: str

    def text(self) -> str:
        """Give how errors name the rule."""
        return str(self.source.get("message") or self.source["rule"]).strip()


class WrongRule(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """A rule that a schema cannot have.

    Args:
        where: ``rule`` or ``messageExpression``.
        text: why.
    """

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where = where


def compile_rule(schema: Schema, rule: dict[str, Any], *, root: bool) -> Rule:
    """Compile a rule.

    Args:
        schema: the schema that has it.
        rule: the rule.
        root: whether the schema is that of whole objects.

    Raises:
        WrongRule: it does not compile.
    """
    self_type = declared(schema, root=root)
    if self_type is None:
        raise WrongRule("rule", "expressions cannot reach values of this schema")
    old = optional_of(self_type) if rule.get("optionalOldSelf") else self_type
    names = (("self", self_type), ("oldSelf", old))
    try:
        program = compile_expression(rule["rule"], names)
    except CompileError as error:
        raise WrongRule("rule", f"compilation failed: {error}") from error
    if program.type != BOOL:
        raise WrongRule("rule", "cel expression must evaluate to a bool")
    message = None
    if rule.get("messageExpression"):
        try:
            message = compile_expression(rule["messageExpression"], names)
        except CompileError as error:
            raise WrongRule("messageExpression", f"messageExpression compilation failed: {error}") from error
        if message.type != STRING:
            raise WrongRule("messageExpression", "messageExpression must evaluate to a string")
    path = normal_path(schema, rule["fieldPath"]) if rule.get("fieldPath") else ""
    return Rule(rule, program, message, "oldSelf" in program.names, path or "")


def normal_path(schema: Schema, path: str) -> str | None:
    """Give a `fieldPath` as errors write it; None when it leads to no field.

    Args:
        schema: the schema that it begins at.
        path: for example ``.spec.a`` or ``.map['key']``.
    """
    at, found = 0, ""
    here: Schema | None = schema
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or here is None:
            return None
        at = step.end()
        name = step["name"] if step["name"] is not None else re.sub(r"\\(.)", r"\1", step["key"])
        inner = (here.get("properties") or {}).get(name)
        if inner is None and step["name"] is None and (inner := extra(here)) is not None:
            found += f"[{name}]"
        elif inner is None:
            return None
        else:
            found += f".{name}" if found else name
        here = inner
    return found or None


def check_shape(schema: Schema, path: str) -> list[FieldError]:
    """Check what a schema says of its own rules besides their expressions.

    Args:
        schema: the schema.
        path: its path.
    """
    errors: list[FieldError] = []
    for index, rule in enumerate(schema.get(RULES) or ()):
        where = f"{path}.{RULES}[{index}]"
        text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
        if not text:
            errors.append(required(f"{where}.rule", "rule is not specified"))
        elif message and not message.strip():
            errors.append(invalid_value(f"{where}.message", message, "must be non-empty if specified"))
        elif _LINES.search(message.strip()):
            errors.append(invalid_value(f"{where}.message", message, "must not contain line breaks"))
        elif _LINES.search(text) and not message.strip():
            errors.append(required(f"{where}.message", "message must be specified if rule contains line breaks"))
        wording = rule.get("messageExpression") or ""
        if wording and not wording.strip():
            errors.append(required(f"{where}.messageExpression", "messageExpression must be non-empty if specified"))
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            errors.append(not_supported(f"{where}.reason", rule["reason"], _REASONS))
        field_path = rule.get("fieldPath") or ""
        if field_path and not field_path.strip():
            errors.append(invalid_value(f"{where}.fieldPath", field_path, "must be non-empty if specified"))
        if _LINES.search(field_path):
            errors.append(invalid_value(f"{where}.fieldPath", field_path, "must not contain line breaks"))
        if field_path and normal_path(schema, field_path) is None:
            errors.append(invalid_value(f"{where}.fieldPath", field_path, "must be a valid path"))
    return errors


def check_rules(schema: Schema, path: str, *, root: bool = True, apart: str = "") -> list[FieldError]:
    """Check the expressions of a schema, all the way down.

    Args:
        schema: the schema, found to be sound otherwise.
        path: its path.
        root: whether it is that of whole objects.
        apart: the path of the list whose items have no counterpart in the object before; empty for none.
    """
    errors: list[FieldError] = []
    for index, rule in enumerate(schema.get(RULES) or ()):
        where = f"{path}.{RULES}[{index}]"
        try:
            found = compile_rule(schema, rule, root=root)
        except WrongRule as error:
            errors.append(invalid_value(f"{where}.{error.where}", _shown(rule), str(error)))
            continue
        if found.transition and apart:
            text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}"
            errors.append(invalid_value(f"{where}.rule", rule["rule"], text))
        elif not found.transition and rule.get("optionalOldSelf") is not None:
            text = "may not be set if oldSelf is not used in rule"
            errors.append(invalid_value(f"{where}.optionalOldSelf", rule["optionalOldSelf"], text))
    for name, inner in (schema.get("properties") or {}).items():
        errors += check_rules(inner, f"{path}.properties[{name}]", root=False, apart=apart)
    others = extra(schema)
    if others is not None:
        errors += check_rules(others, f"{path}.additionalProperties", root=False, apart=apart)
    if isinstance(schema.get("items"), dict):
        keyed = schema.get("x-kubernetes-list-type") == "map"
        inner_apart = apart or ("" if keyed else path)
        errors += check_rules(schema["items"], f"{path}.items", root=False, apart=inner_apart)
    return errors


def _shown(rule: dict[str, Any]) -> dict[str, Any]:
    """Give a rule as errors repeat it: as the server's own struct, whose fields are all there."""
    return {
        "Rule": rule.get("rule", ""), "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""), "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""), "OptionalOldSelf": rule.get("optionalOldSelf"),
    }  # fmt: skip


@dataclass
class Validator:
    """The rules of a schema and of all schemas in it, compiled.

    Args:
        schema: the schema.
        root: whether it is that of whole objects.
    """

    schema: Schema
    root: bool = False
    rules: list[Rule] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    properties: dict[str, Validator] = field(default_factory=dict)
    others: Validator | None = None
    items: Validator | None = None

    def __post_init__(self) -> None:
        for each in self.schema.get(RULES) or ():
            try:
                self.rules.append(compile_rule(self.schema, each, root=self.root))
            except WrongRule as error:  # a definition that was stored before its rules were checked
                self.wrong.append(f"rule compile error: {error}")
        self.properties = {
            name: found
            for name, inner in (self.schema.get("properties") or {}).items()
            if (found := Validator(inner)).any()
        }
        others, items = extra(self.schema), self.schema.get("items")
        self.others = None if others is None or not (found := Validator(others)).any() else found
        self.items = None if not isinstance(items, dict) or not (found := Validator(items)).any() else found

    def any(self) -> bool:
        """Tell whether there is a rule in it at all."""
        return bool(self.rules or self.wrong or self.properties or self.others or self.items)


class Checking:
    """One object looked at by the rules of its schema."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.warnings: list[str] = []
        self._left = BUDGET

    def check(self, validator: Validator, new: Any, old: Any = None, *, path: str = "", known: bool = False) -> None:
        """Apply the rules of a value, and of all values in it.

        Args:
            validator: the rules.
            new: the value.
            old: the value before, None when there was none.
            path: where the value lies.
            known: whether nothing of the value has changed: what is wrong with it is then only told.
        """
        if new is None or self._left < 0:
            return
        known = known or (old is not None and new == old)
        self._rules(validator, new, old, path, known)
        if isinstance(new, list) and validator.items is not None:
            for index, item, before in _pairs(validator.schema, new, old):
                self.check(validator.items, item, before, path=f"{path}[{index}]", known=known)
        elif isinstance(new, dict):
            earlier = old if isinstance(old, dict) else {}
            for name, value in new.items():
                if name in validator.properties:
                    where = f"{path}.{name}" if path else name
                    self.check(validator.properties[name], value, earlier.get(name), path=where, known=known)
                elif validator.others is not None:
                    self.check(validator.others, value, earlier.get(name), path=f"{path}[{name}]", known=known)

    def _rules(self, validator: Validator, new: Any, old: Any, path: str, known: bool) -> None:
        schema = validator.schema
        self.errors += [invalid_value(path or _NOWHERE, schema.get("type", ""), text) for text in validator.wrong]
        if not validator.rules:
            return
        now = valued(schema, new, root=validator.root)
        before = None if old is None else valued(schema, old, root=validator.root)
        for rule in validator.rules:
            maybe = bool(rule.source.get("optionalOldSelf"))
            if rule.transition and old is None and not maybe:
                continue
            values = {"self": now, "oldSelf": Optional(before, old is not None) if maybe else before}
            if not self._rule(rule, values, schema.get("type", ""), path, known):
                return

    def _rule(self, rule: Rule, values: dict[str, Any], kind: str, path: str, known: bool) -> bool:
        """Apply one rule; tells whether there is something left to spend on the next."""
        where = path or _NOWHERE
        try:
            value = self._run(rule.program, values)
        except CelError as error:
            text = str(error)
            if text.startswith("no such overload"):
                what = "call arguments did not match a supported operator, function or macro signature for rule"
                text = f"'{text}': {what}: {rule.text()}"
            else:
                text = f"{text} evaluating rule: {rule.text()}"
            self.errors.append(invalid_value(where, kind, text))
            return self._left >= 0
        except OutOfBudget as error:
            text = _NO_BUDGET
            if self._left >= 0:
                why = "no further validation rules will be run due to call cost exceeds limit for rule"
                text = f"'{error}': {why}: {rule.text()}"
            self.errors.append(invalid_value(where, kind, text))
            self._left = -1
            return False
        if value is not True:
            if rule.path:
                where = f"{path}.{rule.path}" if path else rule.path
            found = _error(rule, where, kind, self._message(rule, values))
            if known and not rule.transition:
                self.warnings.append(str(found))
            else:
                self.errors.append(found)
        return self._left >= 0

    def _message(self, rule: Rule, values: dict[str, Any]) -> str:
        text = ""
        if rule.message is not None:
            try:
                said = self._run(rule.message, values)
            except (CelError, OutOfBudget):
                said = ""
            text = said.strip() if isinstance(said, str) else ""
            if len(text.encode("utf-8", "surrogatepass")) > 5 * 1024 or "\n" in text:
                text = ""
        if text:
            return text
        message = (rule.source.get("message") or "").strip()
        return message or f"failed rule: {rule.text()}"

    def _run(self, program: Program, values: dict[str, Any]) -> Any:
        run = Run(values, EXPRESSION_LIMIT)
        try:
            return program.step(run)
        finally:
            self._left -= run.spent


def _pairs(schema: Schema, new: list[Any], old: Any) -> Iterator[tuple[int, Any, Any]]:
    """Give the items of a list with what they were before, where items can be told apart."""
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    before = {}
    if schema.get("x-kubernetes-list-type") == "map" and isinstance(old, list):
        before = {_key(item, keys): item for item in old if isinstance(item, dict)}
    for index, item in enumerate(new):
        yield index, item, before.get(_key(item, keys)) if before and isinstance(item, dict) else None


def _key(item: dict[str, Any], keys: Any) -> str:
    return repr([item.get(name) for name in keys])


def _error(rule: Rule, where: str, kind: str, text: str) -> FieldError:
    match rule.source.get("reason"):
        case "FieldValueForbidden":
            return field_forbidden(where, text)
        case "FieldValueRequired":
            return required(where, text)
        case "FieldValueDuplicate":
            return duplicate(where, kind)
        case _:
            return invalid_value(where, kind, text)
