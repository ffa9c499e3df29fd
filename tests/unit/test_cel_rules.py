"""Rules of schemas and matching of requests, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.sandbox.apiserver.cel.evaluation import Policy
from gke_notebook.sandbox.apiserver.cel.matching import Request, matches
from gke_notebook.sandbox.apiserver.cel.schema_rules import Checking, Validator, check_rules, normal_path
from gke_notebook.sandbox.apiserver.cel.schema_types import escaped
from gke_notebook.sandbox.apiserver.cel.values import Unordered, equal
from gke_notebook.sandbox.apiserver.kinds import find


def schema(rule: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "x-kubernetes-validations": [{"rule": rule}]}


def wrong(found: dict[str, Any], new: Any, old: Any = None) -> list[str]:
    checking = Checking()
    checking.check(Validator(found), new, old, path="spec")
    return [str(each) for each in checking.errors]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a", "a"), ("a-b", "a__dash__b"), ("a.b/c", "a__dot__b__slash__c"), ("a__b", "a__underscores__b"),
        ("namespace", "__namespace__"), ("in", "__in__"), ("1a", None), ("ä", None),
    ],
)  # fmt: skip
def test_names_of_fields_are_escaped(name, known):
    assert escaped(name) == known


def test_a_rule_holds_or_says_why():
    found = schema("self.a > 1", a={"type": "integer"})
    assert wrong(found, {"a": 2}) == []
    assert wrong(found, {"a": 1}) == ['spec: Invalid value: "object": failed rule: self.a > 1']
    assert wrong(found, {}) == ['spec: Invalid value: "object": no such key: a evaluating rule: self.a > 1']


def test_a_rule_on_what_was_before_needs_something_before():
    found = schema("self.a >= oldSelf.a", a={"type": "integer"})
    assert wrong(found, {"a": 1}) == []
    assert wrong(found, {"a": 1}, {"a": 2}) == ['spec: Invalid value: "object": failed rule: self.a >= oldSelf.a']


def test_what_has_not_changed_is_only_told():
    checking = Checking()
    found = schema("self.a > 1", a={"type": "integer"})
    checking.check(Validator(found), {"a": 1}, {"a": 1}, path="spec")
    assert (checking.errors, checking.warnings) == ([], ['spec: Invalid value: "object": failed rule: self.a > 1'])


def test_a_rule_that_costs_too_much_ends_the_checking():
    loop = "self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, true))))"
    found = schema(loop, l={"type": "array", "items": {"type": "integer"}})
    (text,) = wrong(found, {"l": list(range(60))})
    assert "actual cost limit exceeded" in text


def test_sets_are_equal_in_any_order_and_items_of_keyed_lists_are_replaced():
    one, other = Unordered(["a", "b"], None), Unordered(["b", "a"], None)
    assert equal(one, other)
    assert not equal(one, Unordered(["a", "c"], None))
    assert [*(one + ["c", "a"])] == ["a", "b", "c"]  # noqa: RUF005 - the sum is what is looked at
    keyed = Unordered([{"k": 1, "v": 1}], ("k",))
    assert [*(keyed + [{"k": 1, "v": 2}])] == [{"k": 1, "v": 2}]  # noqa: RUF005


def test_field_paths_lead_to_fields():
    found = {"properties": {"a": {"properties": {"b": {}}}, "m": {"additionalProperties": {"type": "string"}}}}
    assert normal_path(found, ".a.b") == "a.b"
    assert normal_path(found, ".m['x']") == "m[x]"
    assert normal_path(found, ".a.c") is None
    assert normal_path(found, "a") is None


def test_rules_that_do_not_compile_are_named_with_their_place():
    found = {"type": "object", "properties": {"x": schema("self.b", a={"type": "string"})}}
    (error,) = check_rules(found, "spec")
    assert error.field == "spec.properties[x].x-kubernetes-validations[0].rule"
    assert "undefined field 'b'" in error.message


def request(**more: Any) -> Request:
    pods = find("", "v1", "pods")
    assert pods is not None
    base: dict[str, Any] = {
        "operation": "CREATE", "kind": pods, "subresource": "", "namespace": "n", "name": "p", "old": None,
        "new": {"metadata": {"labels": {"a": "b"}}}, "user": {}, "dry_run": False, "options": {},
    }  # fmt: skip
    return Request(**{**base, **more})


RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*"}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True), ({"operations": ["*"]}, True), ({"operations": ["UPDATE"]}, False), ({"resources": ["*"]}, True),
        ({"resources": ["pods/status"]}, False), ({"resources": ["pods/*"]}, True), ({"apiGroups": ["batch"]}, False),
        ({"scope": "Cluster"}, False), ({"resourceNames": ["p"]}, True), ({"resourceNames": ["q"]}, False),
    ],
)  # fmt: skip
def test_rules_say_which_requests_they_mean(change, wanted):
    assert matches(request(), {"resourceRules": [{**RULE, **change}]}, lambda _: {}) is wanted
    excluded = {"excludeResourceRules": [{**RULE, **change}]}
    assert matches(request(), excluded, lambda _: {}) is not wanted


def test_selectors_look_at_the_namespace_and_at_either_object():
    spaces = {"namespaceSelector": {"matchLabels": {"x": "y"}}}
    assert matches(request(), spaces, lambda name: {"x": "y"} if name == "n" else {})
    assert not matches(request(), spaces, lambda _: {})
    objects = {"objectSelector": {"matchLabels": {"a": "b"}}}
    assert matches(request(new={"metadata": {}}, old={"metadata": {"labels": {"a": "b"}}}), objects, lambda _: {})
    assert not matches(request(new={"metadata": {}}), objects, lambda _: {})


def policy(*validations: dict[str, Any], **spec: Any) -> Policy:
    return Policy({"metadata": {"name": "p"}, "spec": {"validations": list(validations), **spec}})


def test_a_variable_is_evaluated_once_and_only_when_it_is_asked_for():
    found = policy(
        {"expression": "variables.a == 1 && variables.a == 1"},
        variables=[{"name": "a", "expression": "object.a"}, {"name": "b", "expression": "object.nope"}],
    )
    assert found.check({"object": {"a": 1}, "request": {}, "oldObject": None, "namespaceObject": None}) == []


def test_an_error_denies_or_is_ignored_as_the_policy_says():
    values = {"object": {}, "request": {}, "oldObject": None, "namespaceObject": None}
    (denial,) = policy({"expression": "object.a == 1"}).check(values)
    assert denial.message == "expression 'object.a == 1' resulted in error: no such key: a"
    assert policy({"expression": "object.a == 1"}, failurePolicy="Ignore").check(values) == []
