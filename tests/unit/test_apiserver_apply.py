"""Server-side apply and field ownership."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver import fieldset
from gke_notebook.sandbox.apiserver.apply import LAST_APPLIED, server_side_apply, track
from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.schema import type_of
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.validation import check_unknown_fields, set_defaults

KIND = {kind.kind: kind for kind in KINDS}
JOB = KIND["Job"]
DAY1, DAY2, DAY3 = (f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3))


def manifest(**spec):
    container = {"name": "a", "image": "i", "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x", "namespace": "d", "labels": {"a": "b"}},
        "spec": {**spec, "template": {"spec": {"containers": [container], "restartPolicy": "Never"}}},
    }


def created(obj, manager="kubectl-client-side-apply", now=DAY1):
    live = copy.deepcopy(obj)
    kind = KIND[obj["kind"]]
    check_unknown_fields(kind, live, "Strict")
    set_defaults(kind, live)
    track(kind, None, live, manager=manager, now=now)
    return live


def applied(live, config, manager="m", *, force=False, now=DAY2, subresource=""):
    before = copy.deepcopy((live, config))
    kind = KIND[config["kind"]]
    found = server_side_apply(
        kind, live, config, manager=manager, force=force, now=now, subresource=subresource
    )  # fmt: skip
    assert (live, config) == before, "neither argument may be changed"
    return found


def entry(obj, manager, operation="Apply"):
    found = [
        each
        for each in obj["metadata"].get("managedFields", ())
        if (each["manager"], each["operation"]) == (manager, operation)
    ]
    return found[0] if found else None


def test_a_create_is_recorded_as_a_real_server_records_it():
    live = created(manifest(parallelism=2))
    (only,) = live["metadata"]["managedFields"]
    assert {key: only[key] for key in only if key != "fieldsV1"} == {
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "apiVersion": "batch/v1",
        "time": DAY1,
        "fieldsType": "FieldsV1",
    }
    fields = only["fieldsV1"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    assert "f:status" not in fields
    assert "." not in fields["f:spec"]
    container = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"a"}']
    assert container["f:resources"] == {}
    assert container["f:ports"] == {
        ".": {},
        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}},
    }


def test_a_field_of_another_manager_is_a_conflict():
    live = created(manifest(parallelism=2))
    with pytest.raises(StatusError) as caught:
        applied(live, manifest(parallelism=3))
    error = caught.value
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using batch/v1: .spec.parallelism'
    )
    assert error.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl-client-side-apply" using batch/v1',
                "field": ".spec.parallelism",
            }
        ]
    }


def test_several_conflicts_are_listed_by_manager():
    live = created(manifest(parallelism=2, backoffLimit=1))
    change = manifest(parallelism=3, backoffLimit=2)
    change["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    with pytest.raises(StatusError) as caught:
        applied(live, change)
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "kubectl-client-side-apply" using batch/v1:\n'
        '- .spec.backoffLimit\n- .spec.parallelism\n- .spec.template.spec.containers[name="a"].image'
    )


def test_equal_values_are_shared_and_force_takes_over():
    live = created(manifest(parallelism=2))
    shared = applied(live, manifest(parallelism=2))
    for name, operation in (("m", "Apply"), ("kubectl-client-side-apply", "Update")):
        assert "f:parallelism" in entry(shared, name, operation)["fieldsV1"]["f:spec"]
    taken = applied(live, manifest(parallelism=3), force=True)
    assert taken["spec"]["parallelism"] == 3
    assert "f:parallelism" not in entry(taken, "kubectl-client-side-apply", "Update")["fieldsV1"]["f:spec"]


def test_what_a_manager_drops_is_removed_unless_another_owns_it():
    first = applied(None, manifest(parallelism=2), now=DAY1)
    smaller = manifest()
    del smaller["metadata"]["labels"]
    del smaller["spec"]["template"]["spec"]["containers"][0]["env"]
    second = applied(first, smaller)
    assert "parallelism" not in second["spec"]
    assert "labels" not in second["metadata"]
    assert "env" not in second["spec"]["template"]["spec"]["containers"][0]
    both = applied(applied(first, manifest(parallelism=2), "other"), smaller)
    assert both["spec"]["parallelism"] == 2
    assert both["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]


def test_a_dropped_item_goes_and_foreign_items_stay():
    first = applied(None, manifest())
    more = manifest()
    more["spec"]["template"]["spec"]["containers"].append({"name": "b", "image": "j"})
    grown = applied(first, more, "other")
    assert [each["name"] for each in grown["spec"]["template"]["spec"]["containers"]] == ["a", "b"]
    shrunk = applied(grown, manifest(), "other", now=DAY3)
    assert [each["name"] for each in shrunk["spec"]["template"]["spec"]["containers"]] == ["a"]


def test_an_object_nobody_tracked_belongs_to_the_time_before():
    live = created(manifest(parallelism=2))
    del live["metadata"]["managedFields"]
    with pytest.raises(StatusError, match='conflict with "before-first-apply" using batch/v1'):
        applied(live, manifest(parallelism=3))


def test_kubectl_takes_over_from_its_own_client_side_apply():
    config = manifest(parallelism=2)
    live = copy.deepcopy(config)
    live["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(config)}
    live = created(live)
    found = applied(live, manifest(parallelism=3), "kubectl")
    assert found["spec"]["parallelism"] == 3
    assert json.loads(found["metadata"]["annotations"][LAST_APPLIED])["spec"]["parallelism"] == 3


def test_bodies_that_cannot_be_applied():
    live = created(manifest())
    wrong = manifest(foo=1)
    with pytest.raises(StatusError) as caught:
        applied(live, wrong)
    assert (caught.value.code, caught.value.message) == (
        500,
        "failed to create typed patch object (d/x; batch/v1, Kind=Job): .spec.foo: field not declared in schema",
    )
    with pytest.raises(StatusError, match="is required for apply patch"):
        applied(live, manifest(), "")
    managed = manifest()
    managed["metadata"]["managedFields"] = []
    with pytest.raises(StatusError, match=r"metadata\.managedFields must be nil"):
        applied(live, managed)


def test_an_update_moves_only_what_it_changes():
    live = created(manifest(parallelism=2))
    new = copy.deepcopy(live)
    new["spec"]["parallelism"] = 5
    new["spec"]["template"]["spec"]["containers"][0]["env"] = []
    track(JOB, live, new, manager="scaler", now=DAY2)
    assert entry(new, "scaler", "Update")["fieldsV1"] == {"f:spec": {"f:parallelism": {}}}
    rest = entry(new, "kubectl-client-side-apply", "Update")["fieldsV1"]["f:spec"]
    assert "f:parallelism" not in rest
    assert 'k:{"name":"A"}' not in json.dumps(rest["f:template"])


def test_the_status_has_owners_of_its_own():
    live = created(manifest())
    new = copy.deepcopy(live)
    new["status"] = {"active": 1, "conditions": [{"type": "Complete", "status": "True"}]}
    track(JOB, live, new, manager="controller", subresource="status", now=DAY2)
    found = entry(new, "controller", "Update")
    assert found["subresource"] == "status"
    assert found["fieldsV1"] == {"f:status": {"f:active": {}, "f:conditions": {}}}
    with pytest.raises(StatusError, match='conflict with "controller" with subresource "status" using batch/v1'):
        applied(
            new,
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "status": {"active": 2}},
            subresource="status",
        )


def test_an_unchanged_object_keeps_its_times():
    live = created(manifest())
    new = copy.deepcopy(live)
    track(JOB, live, new, manager="kubectl-client-side-apply", now=DAY2)
    assert new == live


def test_a_client_may_reset_the_record():
    live = created(manifest())
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = [{}]
    track(JOB, live, new, manager="m", now=DAY2)
    assert "managedFields" not in new["metadata"]


def test_old_updaters_are_merged():
    live = created(manifest(), "m0")
    for number in range(1, 14):
        new = copy.deepcopy(live)
        new["metadata"].setdefault("annotations", {})[f"a{number}"] = "1"
        track(JOB, live, new, manager=f"m{number}", now=f"2026-02-{number:02}T00:00:00Z")
        live = new
    assert len(live["metadata"]["managedFields"]) == 10
    assert entry(live, "ancient-changes", "Update")


names = st.sampled_from("abc")
configs = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(names, names, min_size=1, max_size=3),
        "parallelism": st.integers(0, 3),
        "containers": st.lists(
            st.fixed_dictionaries(
                {"name": names},
                optional={
                    "image": names,
                    "command": st.lists(names, min_size=1, max_size=2),
                    "env": st.lists(
                        st.fixed_dictionaries({"name": names, "value": names}),
                        min_size=1,
                        max_size=3,
                        unique_by=lambda each: each["name"],
                    ),
                },
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda each: each["name"],
        ),
    },
)


def configured(parts):
    obj = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"template": {"spec": {}}}}
    if "labels" in parts:
        obj["metadata"]["labels"] = parts["labels"]
    if "parallelism" in parts:
        obj["spec"]["parallelism"] = parts["parallelism"]
    if "containers" in parts:
        obj["spec"]["template"]["spec"]["containers"] = parts["containers"]
    return obj


def plain(obj):
    found = copy.deepcopy(obj)
    found["metadata"].pop("managedFields", None)
    check_unknown_fields(JOB, found, "Strict")
    return found


@settings(deadline=None, max_examples=60)
@given(configs, configs)
def test_applying_twice_changes_nothing(first, second):
    live = applied(applied(None, configured(first), now=DAY1), configured(second), now=DAY2)
    assert applied(live, configured(second), now=DAY3) == live


@settings(deadline=None, max_examples=60)
@given(configs, configs)
def test_a_lone_applier_gets_what_it_asks_for(first, second):
    live = applied(applied(None, configured(first)), configured(second))
    assert plain(live) == plain(applied(None, configured(second)))


@settings(deadline=None, max_examples=60)
@given(configs, configs)
def test_what_one_manager_applied_survives_another(first, second):
    both = applied(applied(None, configured(first), "one"), configured(second), "two", force=True)
    back = applied(both, configured({}), "two", now=DAY3)
    mine = entry(back, "one")
    kept = fieldset.collect(type_of(JOB), plain(back))
    if mine is not None:
        assert fieldset.difference(mine["fieldsV1"], kept) == {}


field_sets = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from([".", "f:a", "f:b", 'k:{"name":"x"}']), inner, max_size=3),
    max_leaves=6,
)


def members(node, path=()):
    found = set()
    for key, inner in node.items():
        if key != ".":
            if fieldset.has(inner):
                found.add((*path, key))
            found |= members(inner, (*path, key))
    return found


@settings(deadline=None, max_examples=60)
@given(field_sets, field_sets)
def test_sets_behave_as_sets(one, other):
    a, b = members(one), members(other)
    assert members(fieldset.union(one, other)) == a | b
    assert members(fieldset.difference(one, other)) == a - b
    assert members(fieldset.intersection(one, other)) == a & b
    assert len(list(fieldset.paths(one))) == len(a)
