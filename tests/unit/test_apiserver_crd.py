"""Custom resource definitions without a server: schemas, values, columns."""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.crd import columns, schema_checks, structural, types, values
from gke_notebook.sandbox.apiserver.crd.definition_rules import DEFINITIONS
from gke_notebook.sandbox.apiserver.crd.definitions import Definitions, kind_of
from gke_notebook.sandbox.apiserver.decode import decode_body
from gke_notebook.sandbox.apiserver.fieldset import collect, compare, paths
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.store import Store

NOW = datetime(2026, 1, 1, 1, tzinfo=timezone.utc)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "default": 1},
                "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string"}}}},
                "d": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "e": {"type": "object", "additionalProperties": {"type": "string", "nullable": True}},
            },
        }
    },
}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdex"), inner, max_size=4),
    max_leaves=12,
)


def established(kind: str = "Widget", **spec: Any) -> dict[str, Any]:
    plural = kind.lower() + "s"
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}, **spec}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": kind + "List"}
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]},
    }


@given(ANY)
def test_pruning_leaves_only_what_the_schema_names_and_does_it_once(value: Any):
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x"}, "spec": value, "odd": 1}
    assert "odd" in structural.prune(SCHEMA, obj)
    assert obj["metadata"] == {"name": "x"}
    if isinstance(obj["spec"], dict):
        assert obj["spec"].keys() <= set("abde")
    before = copy.deepcopy(obj)
    assert structural.prune(SCHEMA, obj) == []
    assert obj == before


@given(ANY)
def test_defaults_and_nulls_settle(value: Any):
    obj = {"spec": value}
    structural.drop_nulls(SCHEMA, obj)
    structural.set_defaults(SCHEMA, obj)
    before = copy.deepcopy(obj)
    structural.drop_nulls(SCHEMA, obj)
    structural.set_defaults(SCHEMA, obj)
    assert obj == before
    if isinstance(obj.get("spec"), dict):
        assert obj["spec"]["a"] is not None


@given(ANY)
def test_any_value_is_checked_without_an_error_of_our_own(value: Any):
    for error in values.check(SCHEMA, {"spec": value}):
        assert error.field == "spec" or error.field.startswith("spec.")


@given(ANY, ANY)
def test_ownership_of_untyped_fields(old: Any, new: Any):
    type_ = types.root("Widget", SCHEMA)
    before, after = {"spec": {"d": {"x": old}}}, {"spec": {"d": {"x": new}}}
    changed, removed = compare(type_, before, after)
    if old == new:
        assert not changed
        assert not removed
    assert all(path.startswith(".spec.d") for each in (changed, removed) for path in paths(each))
    assert all(path.startswith(".spec.d") for path in paths(collect(type_, after)))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        (".spec.list[0].v", ["x"]),
        (".spec.list[-1].v", ["y"]),
        (".spec.list[*].v", ["x", "y"]),
        ('.spec.list[?(@.t=="two")].v', ["y"]),
        (".spec.list[?(@.t!='two')].v", ["x"]),
        (r".spec.map.a\.b", ["z"]),
        (".spec.map['a.b']", ["z"]),
        (".spec.none.deeper", []),
        (".spec.list[9]", []),
    ],
)
def test_paths(path: str, found: list[Any]):
    listed = [{"t": "one", "v": "x"}, {"t": "two", "v": "y"}]
    assert columns.find(path, {"spec": {"a": 1, "list": listed, "map": {"a.b": "z"}}}) == found


@pytest.mark.parametrize("path", ["", "a", "$.a", ".a[", ".a[?(@.b)]", "{.a}"])
def test_other_paths_are_refused(path: str):
    assert columns.parse(path) is None


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("string", "a", "a"),
        ("string", {"a": [1]}, '{"a":[1]}'),
        ("integer", 3, 3),
        ("integer", 3.7, 3),
        ("integer", "3", None),
        ("number", True, None),
        ("boolean", False, False),
        ("date", "2026-01-01T00:00:00Z", "60m"),
        ("date", "soon", "<invalid>"),
        ("string", None, None),
    ],
)
def test_cells(kind: str, value: Any, cell: Any):
    assert columns.cell(kind, ".v", {"v": value}, NOW) == cell


def test_int_or_string_spelled_out_is_structural():
    spelled = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    schema = {"type": "object", "properties": {"port": spelled}}
    assert schema_checks.check_schema(schema, "schema") == []
    assert not values.check(schema, {"port": "http"})
    assert values.check(schema, {"port": []})


def test_a_kind_comes_and_goes_with_its_definition():
    store = Store.open(None)
    definitions = Definitions(store)
    assert definitions.kinds() == (DEFINITIONS,)
    entry = store.put(DEFINITIONS, established())
    assert [kind.kind for kind in definitions.kinds()] == ["CustomResourceDefinition", "Widget"]
    same = definitions.kinds()[1]
    store.put(DEFINITIONS, established("Gadget"))
    assert definitions.kinds()[1:][-1] is same
    store.delete(DEFINITIONS, entry)
    assert [kind.kind for kind in definitions.kinds()] == ["CustomResourceDefinition", "Gadget"]


def test_a_definition_that_is_not_established_serves_nothing():
    body = established()
    body["status"]["conditions"] = []
    assert kind_of(body) is None


def test_custom_kinds_have_no_protobuf_form():
    kind = kind_of(established())
    assert kind is not None
    with pytest.raises(StatusError) as caught:
        decode_body(b"k8s\x00", "application/vnd.kubernetes.protobuf", kind)
    assert caught.value.code == 415
