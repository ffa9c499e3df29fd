"""Decoding objects so that they share equal parts: the same content, less memory."""

from __future__ import annotations

import gc
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.cluster import compact as module
from gke_notebook.cluster.compact import Compact

Object = dict[str, Any]
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
OBJECTS = st.fixed_dictionaries(
    {"metadata": st.dictionaries(st.sampled_from(["name", "uid", "labels", "namespace"]), VALUES, max_size=4)},
    optional={"spec": VALUES, "status": VALUES, "kind": st.text(max_size=5)},
)


def pod(name: str, version: str = "1", **status: Any) -> Object:
    spec = {
        "containers": [{"name": "main", "image": "busybox", "env": [{"name": "A", "value": "long enough"}]}],
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        "nodeName": f"node-{name}",
    }
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": version}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running", **status}}


def raw(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@given(st.lists(OBJECTS, max_size=6))
def test_the_content_is_that_of_the_json(objects: list[Object]) -> None:
    # Neither uid nor version: nothing may be taken for another one.
    compact = Compact()
    for value in objects:
        value["metadata"].pop("uid", None)
        assert compact.decode(raw(value)) == value


def test_equal_parts_are_one_object() -> None:
    compact = Compact()
    one, two = compact.decode(raw(pod("a"))), compact.decode(raw(pod("b")))
    assert (one, two) == (pod("a"), pod("b"))
    assert one["spec"] is not two["spec"]  # their nodes differ
    assert one["spec"]["containers"] is two["spec"]["containers"]
    assert one["status"] is two["status"]
    assert one["metadata"]["namespace"] is two["metadata"]["namespace"]


def test_two_watches_of_one_object_hold_it_once() -> None:
    compact = Compact()
    one = compact.decode(raw(pod("a")))
    assert compact.decode(msgspec.Raw(raw(pod("a")))) is one
    later = compact.decode(raw(pod("a", "2", phase="Failed")))
    assert later is not one
    assert later["status"]["phase"] == "Failed"


def test_what_nobody_holds_is_forgotten() -> None:
    compact = Compact()
    compact.decode(raw(pod("a")))
    gc.collect()
    assert not compact._known


def test_managed_fields_are_left_out() -> None:
    value = pod("a")
    value["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert Compact().decode(raw(value)) == pod("a")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GENERATION", 2_000)
    compact = Compact()
    first = compact.decode(raw(pod("a")))
    for number in range(200):
        compact.decode(raw(pod(f"pod-{number}", note=f"a note of pod {number}")))
        compact.decode(raw(pod("a", str(number))))
    # What is used again and again stays, what was used once goes.
    assert compact.decode(raw(pod("a", "last")))["spec"]["tolerations"] is first["spec"]["tolerations"]
    assert sum(map(len, [*compact._young, *compact._old])) < 3 * 2_000
    large = {**pod("a", "large"), "data": "x" * 10_000}
    assert compact.decode(raw(large)) == large
    assert not any(len(key) > 8192 for key in [*compact._young, *compact._old])


@pytest.mark.parametrize("broken", [b"{}", b"[]", b"null", b'{"metadata": 3}', b'{"metadata": {"name": '])
def test_what_is_no_object_is_refused(broken: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Compact().decode(broken)
