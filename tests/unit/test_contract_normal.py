"""The comparison of two servers' answers sees every real difference and no other."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.normal import Normal, differences

FIRST: list[Any] = [
    {
        "status": 201,
        "headers": {"Content-Type": "application/json", "Warning": '299 - "unknown field \\"x\\""'},
        "body": {
            "kind": "Pod",
            "metadata": {
                "name": "web-x2b4z",
                "generateName": "web-",
                "uid": "11111111-2222-3333-4444-555555555555",
                "resourceVersion": "812",
                "creationTimestamp": "2026-11-24T22:00:00Z",
                "managedFields": [{"manager": "a", "time": "2026-11-24T22:00:00Z", "fieldsV1": {"f:spec": {}}}],
                "ownerReferences": [{"uid": "99999999-2222-3333-4444-555555555555", "controller": True}],
            },
            "spec": {"volumes": [{"name": "kube-api-access-zz4b2"}], "replicas": 1, "clusterIP": "10.0.0.7"},
        },
    },
    {"status": 409, "body": {"message": 'pods "web-x2b4z" already exists', "details": {"causes": [{"field": "a[0]"}]}}},
    {"status": 200, "body": {"metadata": {"resourceVersion": "813"}, "items": []}},
]


def elsewhere() -> list[Any]:
    """Give the same answers as another server at another time would."""
    second = copy.deepcopy(FIRST)
    metadata = second[0]["body"]["metadata"]
    metadata |= {"name": "web-c9c9c", "uid": "aaaaaaaa-2222-3333-4444-555555555555", "resourceVersion": "7"}
    metadata["creationTimestamp"] = metadata["managedFields"][0]["time"] = "2027-01-01T00:00:01Z"
    metadata["ownerReferences"][0]["uid"] = "bbbbbbbb-2222-3333-4444-555555555555"
    second[0]["body"]["spec"] |= {"volumes": [{"name": "kube-api-access-24242"}], "clusterIP": "10.4.0.9"}
    second[1]["body"]["message"] = 'pods "web-c9c9c" already exists'
    second[2]["body"]["metadata"]["resourceVersion"] = "99"
    return second


def compared(left: Any, right: Any) -> list[str]:
    return differences(Normal()(left), Normal()(right))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    yield path


def parent(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


PATHS = [path for path in leaves(FIRST) if path]


def test_the_same_answers_at_another_time_are_equal():
    assert compared(FIRST, elsewhere()) == []


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_whatever_is_missing_is_seen(path: tuple[Any, ...]):
    other = elsewhere()
    del parent(other, path)[path[-1]]
    assert compared(FIRST, other)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_whatever_is_of_another_form_is_seen(path: tuple[Any, ...]):
    other = elsewhere()
    found = parent(other, path)[path[-1]]
    parent(other, path)[path[-1]] = found + "!" if isinstance(found, str) else str(found)
    assert compared(FIRST, other)


def test_a_field_too_many_is_seen():
    other = elsewhere()
    other[0]["body"]["metadata"]["selfLink"] = ""
    assert compared(FIRST, other) == ["[0].body.metadata.selfLink: embedded <missing>, real ''"]


def test_an_object_that_was_replaced_or_changed_is_seen():
    one = {"uid": "11111111-2222-3333-4444-555555555555", "resourceVersion": "1"}
    other = {"uid": "21111111-2222-3333-4444-555555555555", "resourceVersion": "1"}
    assert compared([one, one], [one, other])
    assert compared([one, one], [one, {**one, "resourceVersion": "2"}])


def test_a_generated_name_of_another_alphabet_is_seen():
    mine, theirs = ({"generateName": "a-", "name": name} for name in ("a-bcdfg", "a-aeiou"))
    assert compared(mine, theirs)
    assert not compared(mine, {"generateName": "a-", "name": "a-zzzzz"})


def test_times_of_another_precision_are_seen():
    assert compared(["2026-11-24T22:00:00Z"], ["2026-11-24T22:00:00.000000Z"])
    assert compared(["2026-11-24T22:00:00Z"], ["2026-11-24T22:00:00+00:00"])


def test_what_a_test_calls_the_environment_is_replaced():
    rule = [(r"after \d+ ms", "after <n> ms")]
    assert Normal(rule)(["after 3 ms"]) == ["after <n> ms"]


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(json, json)
def test_there_is_no_difference_exactly_between_equals(left: Any, right: Any):
    def same(a: Any, b: Any) -> bool:
        if type(a) is not type(b):
            return False
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        if isinstance(a, list):
            return len(a) == len(b) and all(map(same, a, b))
        return bool(a == b)

    assert (differences(left, right) == []) == same(left, right)
    assert differences(left, copy.deepcopy(left)) == []
