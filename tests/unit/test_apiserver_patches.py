"""JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    apply_patch,
    describe,
    merge_patch,
)
from gke_notebook.sandbox.apiserver.status import StatusError

POD = next(kind for kind in KINDS if kind.kind == "Pod")
LIVE = {
    "metadata": {"name": "x", "finalizers": ["a", "b"], "labels": {"l": "1"}},
    "spec": {
        "containers": [
            {"name": "a", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "b", "image": "i"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "x"}],
    },
}


def patched(patch, content_type=STRATEGIC_PATCH, live=LIVE):
    before = copy.deepcopy(live)
    found = apply_patch(POD, live, json.dumps(patch).encode(), content_type)
    assert live == before, "the live object must be left alone"
    return found


def refused(body, content_type):
    with pytest.raises(StatusError) as caught:
        apply_patch(POD, LIVE, body, content_type)
    return caught.value


def test_lists_merge_by_their_key():
    found = patched({"spec": {"containers": [{"name": "a", "image": "j"}, {"name": "c", "image": "k"}]}})
    assert {each["name"]: each["image"] for each in found["spec"]["containers"]} == {"a": "j", "b": "i", "c": "k"}
    assert found["spec"]["containers"][0]["env"] == LIVE["spec"]["containers"][0]["env"]


def test_lists_without_a_key_are_replaced():
    assert patched({"spec": {"tolerations": [{"key": "y"}]}})["spec"]["tolerations"] == [{"key": "y"}]


def test_items_are_deleted_and_replaced_by_directives():
    found = patched({"spec": {"containers": [{"name": "a", "env": [{"name": "A", "$patch": "delete"}]}]}})
    assert found["spec"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]
    found = patched({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}})
    assert found["spec"]["containers"] == [{"name": "z"}]
    assert patched({"metadata": {"labels": {"$patch": "replace", "q": "1"}}})["metadata"]["labels"] == {"q": "1"}
    assert patched({"metadata": {"labels": {"$patch": "delete"}}})["metadata"]["labels"] == {}


def test_null_deletes():
    assert "labels" not in patched({"metadata": {"labels": None}})["metadata"]
    assert patched({"metadata": {"annotations": {"a": None}}})["metadata"]["annotations"] == {}


def test_items_of_plain_lists_are_added_and_taken_out():
    assert patched({"metadata": {"finalizers": ["c"]}})["metadata"]["finalizers"] == ["c", "a", "b"]
    assert patched({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}})["metadata"]["finalizers"] == ["b"]
    found = patched({"metadata": {"$setElementOrder/finalizers": ["b", "c"], "finalizers": ["c"]}})
    assert found["metadata"]["finalizers"] == ["a", "b", "c"]


def test_the_order_directive_arranges_the_items():
    order = [{"name": "b"}, {"name": "a"}]
    found = patched({"spec": {"$setElementOrder/containers": order, "containers": [{"name": "a", "image": "k"}]}})
    assert [each["name"] for each in found["spec"]["containers"]] == ["b", "a"]
    assert found["spec"]["containers"][1]["image"] == "k"


def test_the_retain_directive_clears_the_rest():
    volume = {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}
    assert patched({"spec": {"volumes": [volume]}})["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/"}}]


def test_wrong_directives_are_refused_as_the_server_refuses_them():
    def said(patch):
        return refused(json.dumps(patch).encode(), STRATEGIC_PATCH)

    missing = said({"spec": {"containers": [{"image": "j"}]}})
    assert (missing.code, missing.message) == (500, "map: map[image:j] does not contain declared merge key: name")
    assert "unknown patch type: x in map" in said({"spec": {"$patch": "x"}}).message
    assert said({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "nfs": {}}]}}).code == 400
    assert said({"metadata": {"$setElementOrder/finalizers": 1}}).code == 400
    order = {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}
    assert "doesn't match $setElementOrder list" in said({"spec": order}).message


names = st.sampled_from(["a", "b", "c", "d"])
containers = st.lists(
    st.fixed_dictionaries({"name": names}, optional={"image": names, "tty": st.booleans()}),
    max_size=4,
    unique_by=lambda each: each["name"],
)


@settings(deadline=None, max_examples=60)
@given(containers, containers)
def test_a_strategic_patch_applied_twice_is_applied_once(live, patch):
    live_object = {"spec": {"containers": live}}
    once = patched({"spec": {"containers": patch}}, live=live_object)
    twice = patched({"spec": {"containers": patch}}, live=once)
    assert twice == once
    found = {each["name"]: each for each in once["spec"]["containers"]}
    assert set(found) == {each["name"] for each in (*live, *patch)}
    for each in patch:
        assert each.items() <= found[each["name"]].items()


values = st.recursive(
    st.integers(0, 3) | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def difference(old, new):
    """Give the merge patch that leads from one document to the other."""
    found = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            found[key] = difference(old[key], value)
        elif key not in old or old[key] != value:
            found[key] = value
    return found


@settings(deadline=None, max_examples=60)
@given(documents, documents)
def test_a_merge_patch_leads_where_it_says(old, new):
    assert merge_patch(old, difference(old, new)) == new
    assert patched(difference(old, new), MERGE_PATCH, live=old) == new


@settings(deadline=None, max_examples=60)
@given(documents)
def test_an_empty_merge_patch_changes_nothing(document):
    assert merge_patch(document, {}) == document


def test_json_patch_operations():
    operations = [
        {"op": "test", "path": "/metadata/name", "value": "x"},
        {"op": "replace", "path": "/spec/containers/0/image", "value": "n"},
        {"op": "add", "path": "/metadata/labels/a~1b", "value": "c"},
        {"op": "remove", "path": "/spec/tolerations"},
    ]
    found = patched(operations, JSON_PATCH)
    assert found["spec"]["containers"][0]["image"] == "n"
    assert found["metadata"]["labels"] == {"l": "1", "a/b": "c"}
    assert "tolerations" not in found["spec"]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/name", "value": "y"},
        {"op": "remove", "path": "/metadata/nothing"},
        {"op": "replace", "path": "/nothing/x", "value": 1},
        {"op": "add", "path": "/spec/containers/9", "value": 1},
        {"op": "what"},
        {"op": "add", "path": 3, "value": 1},
        {},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operation):
    error = refused(json.dumps([operation]).encode(), JSON_PATCH)
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message == "the server rejected our request due to an error in our request"


def test_malformed_patches_are_refused():
    assert refused(b"{", MERGE_PATCH).message == "error decoding patch: unexpected end of JSON input"
    assert "cannot unmarshal array into Go value of type map[string]interface {}" in refused(b"[]", MERGE_PATCH).message
    assert "of type []handlers.jsonPatchOp" in refused(b"{}", JSON_PATCH).message
    assert refused(b'[{"op":"replace","path":"","value":3}]', JSON_PATCH).code == 422
    assert refused(json.dumps([{"op": "test"}] * 10_001).encode(), JSON_PATCH).code == 413
    unknown = refused(b"{}", "application/json")
    assert (unknown.code, unknown.message) == (415, "415: Unsupported Media Type")
    assert refused(b"null", MERGE_PATCH).message == "Invalid JSON Patch"
    assert refused(b"[]", STRATEGIC_PATCH).message.startswith("json: cannot unmarshal array")


def test_a_patch_is_quoted_as_the_server_quotes_it():
    assert describe(STRATEGIC_PATCH, b'{"spec":{"a":[1,null],"b":"c"}}', {}) == "map[spec:map[a:[1 <nil>] b:c]]"
    assert describe(MERGE_PATCH, b"{}", {"a": 1}) == '{"a":1}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["spec", "containers", "name", "$patch", "$retainKeys", "metadata", "finalizers", "env",
             "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "labels"]
        ),
        inner,
        max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(json_values, st.sampled_from([JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH]))
def test_no_patch_crashes(patch, content_type):
    try:
        found = apply_patch(POD, LIVE, json.dumps(patch).encode(), content_type)
    except StatusError as error:
        found = {"code": error.code}
    assert isinstance(found, dict)
