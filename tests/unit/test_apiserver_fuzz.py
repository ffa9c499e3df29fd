"""Objects of the right types but without sense: every step takes them or refuses them, none crashes."""

from __future__ import annotations

import copy
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.apply import server_side_apply, track
from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.schema import LIST, MAP, type_of
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.tables import table
from gke_notebook.sandbox.apiserver.validation import check_unknown_fields, prepare_create, prepare_update, set_defaults

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
TEXTS = st.sampled_from(["", "a", "b", "A b", "x/y", "None", "ClientIP", "ExternalName", "Indexed", "Never", "1-2"])
BASES = {
    "string": TEXTS,
    "bool": st.booleans(),
    "int32": st.sampled_from([-1, 0, 1, 2, 80, 2**31 - 1]),
    "int64": st.sampled_from([-1, 0, 1, 30, 2**40]),
    "double": st.floats(0, 9),
    "bytes": st.sampled_from(["", "Yg=="]),
    "quantity": st.sampled_from(["0", "1", "500m", "-1", "1Gi", 2]),
    "time": st.just("2026-01-01T00:00:00Z"),
    "microtime": st.just("2026-01-01T00:00:00.000000Z"),
    "intorstring": st.sampled_from([0, 80, "http", ""]),
    "raw": st.just({}),
    "fieldsv1": st.just({}),
    "[]string": st.lists(TEXTS, max_size=2),
}


@st.composite
def structs(draw, type_, depth=0):
    names = sorted(type_.fields)
    # The interesting things lie deep in the spec, so the way there is taken more often than not.
    chosen = set(draw(st.lists(st.sampled_from(names), max_size=4)))
    if depth < 7:
        chosen |= {"spec", "template", "containers", "metadata", "status"} & set(names)
    found = {}
    for name in sorted(chosen - {"apiVersion", "kind", "managedFields"}):
        field = type_.fields[name]
        if field.struct is not None and depth > 6:
            continue
        one = BASES[field.base] if field.struct is None else structs(field.struct, depth + 1)
        if field.container == LIST:
            found[name] = draw(st.lists(one, max_size=2))
        elif field.container == MAP:
            found[name] = draw(st.dictionaries(TEXTS, one, max_size=2))
        else:
            found[name] = draw(one)
    return found


def ready(kind, obj, name="x"):
    obj.update(apiVersion=kind.api_version, kind=kind.kind)
    metadata = obj.setdefault("metadata", {})
    metadata.update(name=name, uid="u", resourceVersion="1")
    metadata.pop("generateName", None)
    if kind.namespaced:
        metadata["namespace"] = "d"
    return obj


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.stored], ids=lambda kind: kind.kind)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_object_crashes_a_step(kind, data):
    old = ready(kind, data.draw(structs(type_of(kind))))
    new = ready(kind, data.draw(structs(type_of(kind))))
    written = copy.deepcopy(new)
    refusals = 0
    for obj in (old, new):
        check_unknown_fields(kind, obj, "Strict")
        set_defaults(kind, obj)
    track(kind, None, old, manager="m", now="2026-01-01T00:00:00Z")
    steps = [
        lambda: prepare_create(kind, old),
        lambda: prepare_update(kind, new, old),
        lambda: prepare_update(kind, new, old, "status"),
        lambda: track(kind, old, new, manager="n", now="2026-01-02T00:00:00Z"),
        lambda: server_side_apply(kind, old, written, manager="o", force=False, now="2026-01-02T00:00:00Z"),
        lambda: server_side_apply(kind, old, written, manager="o", force=True, now="2026-01-02T00:00:00Z"),
        lambda: table(kind, [old, new], metadata={}, now=NOW),
    ]
    for step in steps:
        try:
            step()
        except StatusError as error:
            refusals += error.to_object()["code"] >= 400
    assert refusals < len(steps), "showing a table and recording owners refuses nothing"
