"""Objects of the right types but without sense: every step takes them or refuses them, none crashes."""

from __future__ import annotations

import copy
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.apply import server_side_apply, track
from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.schema import type_of
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.tables import table
from gke_notebook.sandbox.apiserver.validation import check_unknown_fields, prepare_create, prepare_update, set_defaults
from tests.support.shapes import structs

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


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
