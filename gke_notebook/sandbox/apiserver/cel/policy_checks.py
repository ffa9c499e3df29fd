"""Defaults and checks of ValidatingAdmissionPolicies and their bindings.

Source of rules and texts: kubernetes v1.34 (`pkg/apis/admissionregistration/validation` and `v1/defaults.go`).
"""

from __future__ import annotations

import re
from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from gke_notebook.sandbox.apiserver.validation.affinity import check_selector

from . import environment
from .environment import BOOLEAN, TEXT, TEXT_OR_NULL, Scope, WrongExpression
from .syntax import RESERVED
from .types import DYN

Object = dict[str, Any]

_FAILURE = ("Fail", "Ignore")
_MATCH = ("Equivalent", "Exact")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Audit", "Deny", "Warn")
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)
_MAX_CONDITIONS, _MAX_ANNOTATIONS, _MAX_ANNOTATION = 64, 20, 5 * 1024


def set_defaults(kind: Kind, obj: Object) -> None:
    """Fill in, in place, what a client may leave out of a policy or a binding.

    Args:
        kind: which of the two.
        obj: the object, normalized.
    """
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    if kind.kind == "ValidatingAdmissionPolicy":
        spec.setdefault("failurePolicy", "Fail")
        resources = spec.get("matchConstraints")
    else:
        resources = spec.get("matchResources")
    if resources is None:
        return
    resources.setdefault("matchPolicy", "Equivalent")
    for key in ("namespaceSelector", "objectSelector"):
        if resources.get(key) is None:
            resources[key] = {}
    for key in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(key) or ():
            rule.setdefault("scope", "*")


def check_policy(obj: Object) -> list[FieldError]:
    """Check a policy beyond its metadata.

    Args:
        obj: the policy, with its defaults.
    """
    spec = obj["spec"]
    errors: list[FieldError] = []
    if spec.get("failurePolicy") not in _FAILURE:
        errors.append(not_supported("spec.failurePolicy", spec.get("failurePolicy", ""), _FAILURE))
    kind = spec.get("paramKind")
    if kind is not None:
        errors += _param_kind(kind, "spec.paramKind")
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.append(required("spec.matchConstraints"))
    else:
        errors += _resources(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    errors += _conditions(spec.get("matchConditions") or [], kind is not None)
    scope = Scope(kind is not None, composes=bool(spec.get("variables")))
    for index, each in enumerate(spec.get("variables") or ()):
        errors += _variable(each, scope, f"spec.variables[{index}]")
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        text = "validations or auditAnnotations must contain at least one item"
        return [*errors, required("spec.validations", text), required("spec.auditAnnotations", text)]
    for index, each in enumerate(spec.get("validations") or ()):
        errors += _validation(each, scope, f"spec.validations[{index}]")
    return errors + _annotations(obj, scope)


def _expression(source: str, scope: Scope, wanted: Any, path: str) -> list[FieldError]:
    try:
        environment.compile_one(source, scope.names(), wanted)
    except WrongExpression as error:
        return [invalid_value(path, source, str(error))]
    return []


def _conditions(conditions: list[Object], params: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(conditions) > _MAX_CONDITIONS:
        errors.append(too_many("spec.matchConditions", len(conditions), _MAX_CONDITIONS))
    seen = set()
    for index, each in enumerate(conditions):
        path, source, name = f"spec.matchConditions[{index}]", each.get("expression", "").strip(), each.get("name", "")
        if not source:
            errors.append(required(f"{path}.expression"))
        else:
            errors += _expression(source, Scope(params), BOOLEAN, f"{path}.expression")
        if not name:
            errors.append(required(f"{path}.name"))
        else:
            errors += [invalid_value(f"{path}.name", name, text) for text in formats.qualified_name(name)]
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
    return errors


def _variable(variable: Object, scope: Scope, path: str) -> list[FieldError]:
    errors = []
    name, source = variable.get("name", ""), variable.get("expression", "")
    if not name.strip():
        errors.append(required(f"{path}.name", "name is not specified"))
    elif not _IDENTIFIER.fullmatch(name) or name in RESERVED:
        errors.append(invalid_value(f"{path}.name", name, "must be a valid CEL identifier"))
    if not source.strip():
        return [*errors, required(f"{path}.expression", "expression is not specified")]
    scope.composed[name] = DYN
    before = dict(scope.composed)
    del scope.composed[name]
    try:
        before[name] = environment.compile_one(source, scope.names(), ()).type
    except WrongExpression as error:
        errors.append(invalid_value(f"{path}.expression", source, str(error)))
    scope.composed = before
    return errors


def _validation(validation: Object, scope: Scope, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    source, message = validation.get("expression", ""), validation.get("message", "")
    if not source.strip():
        errors.append(required(f"{path}.expression", "expression is not specified"))
    else:
        errors += _expression(source, scope, BOOLEAN, f"{path}.expression")
    wording = validation.get("messageExpression", "")
    if wording and not wording.strip():
        errors.append(invalid_value(f"{path}.messageExpression", wording, "must be non-empty if specified"))
    elif wording:
        errors += _expression(wording, scope, TEXT, f"{path}.messageExpression")
    if message and not message.strip():
        errors.append(invalid_value(f"{path}.message", message, "must be non-empty if specified"))
    elif re.search(r"[\n\r]", message.strip()):
        errors.append(invalid_value(f"{path}.message", message, "must not contain line breaks"))
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.append(not_supported(f"{path}.reason", reason, _REASONS))
    return errors


def _annotations(obj: Object, scope: Scope) -> list[FieldError]:
    annotations, name = obj["spec"].get("auditAnnotations") or [], obj["metadata"].get("name", "")
    errors: list[FieldError] = []
    if len(annotations) > _MAX_ANNOTATIONS:
        text = f"must not have more than {_MAX_ANNOTATIONS} auditAnnotations"
        errors.append(invalid_value("spec.auditAnnotations", annotations, text))
    seen = set()
    for index, each in enumerate(annotations):
        path, key, source = f"spec.auditAnnotations[{index}]", each.get("key", ""), each.get("valueExpression", "")
        if name:
            whole = f"{name}/{key}"
            errors += [invalid_value(f"{path}.key", whole, text) for text in formats.qualified_name(whole)]
        else:
            errors.append(invalid_value(f"{path}.key", key, "requires metadata.name be non-empty"))
        if not source.strip():
            errors.append(required(f"{path}.valueExpression", "valueExpression is not specified"))
        elif len(source.strip()) > _MAX_ANNOTATION:
            errors.append(required(f"{path}.valueExpression", f"must not exceed {_MAX_ANNOTATION} bytes in length"))
        else:
            errors += _expression(source.strip(), scope, TEXT_OR_NULL, f"{path}.valueExpression")
        if key in seen:
            errors.append(duplicate(f"{path}.key", key))
        seen.add(key)
    return errors


def _param_kind(kind: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    version, name = kind.get("apiVersion", ""), kind.get("kind", "")
    parts = version.split("/")
    if not version:
        errors.append(required(f"{path}.apiVersion"))
    elif len(parts) > 2:
        errors.append(invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, label = ("", parts[0]) if len(parts) == 1 else parts
        if group and (wrong := formats.subdomain(group)):
            errors.append(invalid_value(f"{path}.apiVersion", group, ",".join(wrong)))
        if not label:
            errors.append(invalid_value(f"{path}.apiVersion", version, "version must be specified"))
        elif wrong := formats.dns1035_label(label):
            errors.append(invalid_value(f"{path}.apiVersion", label, ",".join(wrong)))
    if not name:
        errors.append(required(f"{path}.kind"))
    elif wrong := formats.dns1035_label(name.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(wrong)
        errors.append(invalid_value(f"{path}.kind", name, text))
    return errors


def _resources(resources: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if resources.get("matchPolicy") not in _MATCH:
        errors.append(not_supported(f"{path}.matchPolicy", resources.get("matchPolicy", ""), _MATCH))
    for key in ("namespaceSelector", "objectSelector"):
        errors += check_selector(resources.get(key), f"{path}.{key}")
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(key) or ()):
            errors += _rule(rule, f"{path}.{key}[{index}]")
    return errors


def _rule(rule: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen = set()
    for index, name in enumerate(rule.get("resourceNames") or ()):
        where = f"{path}.resourceNames[{index}]"
        errors += [invalid_value(where, name, text) for text in formats.path_segment(name)]
        if name in seen:
            errors.append(duplicate(where, name))
        seen.add(name)
    for key, what in (("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(key) or []
        if not values:
            errors.append(required(f"{path}.{key}"))
        if len(values) > 1 and "*" in values:
            errors.append(invalid_value(f"{path}.{key}", values, f"if '*' is present, must not specify other {what}"))
        for index, value in enumerate(values):
            if key == "operations" and value not in _OPERATIONS:
                errors.append(not_supported(f"{path}.{key}[{index}]", value, _OPERATIONS))
            if key == "apiVersions" and not value:
                errors.append(required(f"{path}.{key}[{index}]"))
    errors += _rule_resources(rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope") is not None and rule["scope"] not in _SCOPES:
        errors.append(not_supported(f"{path}.scope", rule["scope"], _SCOPES))
    return errors


def _rule_resources(resources: list[str], path: str) -> list[FieldError]:
    errors = [] if resources else [required(path)]
    all_of: set[str] = set()
    of_all: set[str] = set()
    plain = False
    for index, each in enumerate(resources):
        where = f"{path}[{index}]"
        if not each:
            errors.append(required(where))
            continue
        name, slash, sub = each.partition("/")
        if not slash:
            plain = each != "*"
            continue
        if name in all_of:
            errors.append(invalid_value(where, each, f"if '{name}/*' is present, must not specify {each}"))
        if sub in of_all:
            errors.append(invalid_value(where, each, f"if '*/{sub}' is present, must not specify {each}"))
        if sub == "*":
            all_of.add(name)
        if name == "*":
            of_all.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid_value(path, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid_value(path, resources, text))
    return errors


def check_binding(obj: Object) -> list[FieldError]:
    """Check a binding beyond its metadata.

    Args:
        obj: the binding, with its defaults.
    """
    spec = obj["spec"]
    name = spec.get("policyName", "")
    errors = [] if name else [required("spec.policyName")]
    if name:
        errors += [invalid_value("spec.policyName", name, text) for text in formats.subdomain(name)]
    if spec.get("paramRef") is not None:
        errors += _param_ref(spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        errors += _resources(spec["matchResources"], "spec.matchResources")
    return errors + _actions(spec.get("validationActions") or [], "spec.validationActions")


def _param_ref(ref: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, selector, exclusive = ref.get("name", ""), ref.get("selector"), "name and selector are mutually exclusive"
    if name:
        errors += [invalid_value(f"{path}.name", name, text) for text in formats.path_segment(name)]
        if selector is not None:
            errors.append(field_forbidden(f"{path}.name", exclusive))
    if selector is not None:
        errors += check_selector(selector, f"{path}.selector")
        if name:
            errors.append(field_forbidden(f"{path}.selector", exclusive))
    if not name and selector is None:
        errors.append(required(path, "one of name or selector must be specified"))
    action = ref.get("parameterNotFoundAction")
    if not action:
        errors.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in {"Deny", "Allow"}:
        errors.append(not_supported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow")))
    return errors


def _actions(actions: list[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            errors.append(not_supported(f"{path}[{index}]", action, _ACTIONS))
        if action in actions[:index]:
            errors.append(duplicate(f"{path}[{index}]", action))
    if {"Deny", "Warn"} <= set(actions):
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errors.append(invalid_value(path, actions, text))
    if not actions:
        errors.append(required(path, "at least one validation action is required"))
    return errors
