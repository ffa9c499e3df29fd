"""Who owns what, and what follows from a deletion; taints and the pods that must leave; namespaces that end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, NAMESPACES, PODS
from gke_notebook.sandbox.controllers.discovery import preferred, read_resources
from gke_notebook.sandbox.controllers.meta import timestamp
from gke_notebook.sandbox.controllers.namespaces import merged, remaining_conditions
from gke_notebook.sandbox.controllers.node_health import eviction_time, unknown_conditions, wanted_taints
from gke_notebook.sandbox.controllers.owners import FOREGROUND, ORPHAN, Entry, Graph, Verdict, judge

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=timezone.utc)


def item(name: str, *owners: str, kind: str = "Job", block: bool = True, **metadata: Any) -> dict[str, Any]:
    references = [
        {"apiVersion": "batch/v1", "kind": kind, "name": owner, "uid": owner, "blockOwnerDeletion": block}
        for owner in owners
    ]
    return {"metadata": {"name": name, "uid": name, "namespace": "a", "ownerReferences": references, **metadata}}


@pytest.mark.parametrize(
    ("states", "dependents", "finalizers", "verdict"),
    [
        ({"x": "solid"}, False, [], Verdict()),
        ({"x": "solid", "y": "absent", "z": "waiting"}, True, [], Verdict(drop=("y", "z"))),
        ({"x": "absent"}, True, [], Verdict(delete="Background")),
        ({"x": "waiting"}, True, [], Verdict(delete="Foreground")),
        ({"x": "waiting"}, False, [], Verdict(delete="Background")),
        ({"x": "absent"}, True, [ORPHAN], Verdict(delete="Orphan")),
        ({"x": "absent"}, True, [FOREGROUND], Verdict(delete="Foreground")),
        ({}, False, [], Verdict()),
    ],
)
def test_owners_decide(states: Any, dependents: bool, finalizers: list[str], verdict: Verdict) -> None:
    assert judge(Entry(PODS, item("p", finalizers=finalizers)), states, dependents) == verdict


def test_what_is_being_deleted_is_left_alone() -> None:
    entry = Entry(PODS, item("p", deletionTimestamp="2026-11-24T12:00:00Z"))
    assert judge(entry, {"x": "absent"}, False) == Verdict()


def test_dependents_of_what_is_gone_are_looked_at() -> None:
    graph = Graph()
    assert graph.put(JOBS, item("job")) == set()
    assert graph.put(PODS, item("p", "job")) == set()
    assert graph.put(CONFIG_MAPS, item("c")) == set()
    assert graph.remove("job") == {"p"}
    assert graph.state({"uid": "job", "kind": "Job", "name": "job"}, "a") == "absent"


def test_an_owner_never_seen_has_to_be_asked_for() -> None:
    graph = Graph()
    assert graph.put(PODS, item("p", "job")) == {"p"}
    assert graph.state({"uid": "job", "kind": "Job", "name": "job"}, "a") is None
    graph.put(JOBS, item("job"))
    assert graph.state({"uid": "job", "kind": "Job", "name": "job"}, "a") == "solid"


@pytest.mark.parametrize(
    ("reference", "namespace", "state"),
    [({"name": "job"}, "a", "solid"), ({"name": "job"}, "b", "absent"), ({"name": "other"}, "a", "absent"),
     ({"name": "job", "kind": "Pod"}, "a", "absent")],
)  # fmt: skip
def test_an_owner_must_be_what_the_reference_says(reference: dict[str, str], namespace: str, state: str) -> None:
    graph = Graph()
    graph.put(JOBS, item("job"))
    assert graph.state({"uid": "job", "kind": "Job", **reference}, namespace) == state


def test_a_cluster_scoped_owner_may_own_in_any_namespace() -> None:
    graph = Graph()
    graph.put(NAMESPACES, {"metadata": {"name": "n", "uid": "n"}})
    assert graph.state({"uid": "n", "kind": "Namespace", "name": "n"}, "a") == "solid"


def test_foreground_deletion_waits_for_blocking_dependents_only() -> None:
    graph = Graph()
    graph.put(JOBS, item("job"))
    graph.put(PODS, item("p", "job"))
    graph.put(PODS, item("q", "job", block=False))
    deleting = item("job", finalizers=[FOREGROUND], deletionTimestamp=timestamp(START))
    assert graph.put(JOBS, deleting) == {"job"}
    assert graph.state({"uid": "job", "kind": "Job", "name": "job"}, "a") == "waiting"
    assert [entry.uid for entry in graph.blocking("job")] == ["p"]
    assert graph.remove("p") == {"job"}
    assert graph.blocking("job") == []
    assert [entry.uid for entry in graph.dependents("job")] == ["q"]


def test_a_dependent_let_go_lets_the_owner_be_looked_at() -> None:
    graph = Graph()
    graph.put(PODS, item("p", "job"))
    graph.put(JOBS, item("job", finalizers=[ORPHAN], deletionTimestamp=timestamp(START)))
    assert graph.put(PODS, item("p")) == {"job"}
    assert graph.dependents("job") == []


def test_discovery_leaves_out_subresources_and_takes_one_version_of_each_group() -> None:
    listing = {
        "resources": [
            {"name": "jobs", "kind": "Job", "namespaced": True, "verbs": ["get", "list"]},
            {"name": "jobs/status", "kind": "Job", "namespaced": True, "verbs": ["get"]},
        ]
    }
    (served,) = read_resources("batch/v1", listing)
    assert served.resource == JOBS
    assert served.verbs == {"get", "list"}
    assert (
        read_resources("v1", {"resources": [{"name": "pods", "kind": "Pod", "namespaced": True}]})[0].resource == PODS
    )
    versions = [{"groupVersion": "x/v2"}, {"groupVersion": "x/v1"}]
    assert preferred({"groups": [{"versions": versions, "preferredVersion": versions[1]}, {"versions": versions}]}) == [
        "x/v1",
        "x/v2",
    ]


def node(ready: str, *taints: dict[str, str], **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": "2026-11-24T11:00:00Z"}]
    return {"metadata": {"name": "n"}, "spec": {"taints": list(taints), **spec}, "status": {"conditions": conditions}}


def keys(taints: list[dict[str, str]]) -> list[str]:
    return [f"{taint['key'].removeprefix('node.kubernetes.io/')}:{taint['effect']}" for taint in taints]


def test_taints_follow_conditions_and_leave_others_alone() -> None:
    own = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    lost = wanted_taints(node("Unknown", own), START)
    assert keys(lost) == ["nvidia.com/gpu:NoSchedule", "unreachable:NoExecute", "unreachable:NoSchedule"]
    assert lost[1]["timeAdded"] == timestamp(START)
    assert wanted_taints(node("Unknown", *lost), START + timedelta(seconds=9)) == lost, "the time stays"
    assert wanted_taints(node("True", *lost), START) == [own]
    assert keys(wanted_taints(node("False", *lost), START)) == [
        "nvidia.com/gpu:NoSchedule",
        "not-ready:NoExecute",
        "not-ready:NoSchedule",
    ]
    assert keys(wanted_taints(node("False"), START, evict=False)) == ["not-ready:NoSchedule"]
    assert keys(wanted_taints(node("True", unschedulable=True), START)) == ["unschedulable:NoSchedule"]


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 100),
        ([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}], 300),
        ([{"key": "a", "operator": "Exists", "tolerationSeconds": 30}, {"operator": "Exists"}], 30),
        ([{"operator": "Exists"}], None),
        ([{"key": "a", "operator": "Exists"}], 100),
    ],
)
def test_a_pod_leaves_when_the_shortest_toleration_ends(tolerations: list[dict[str, Any]], seconds: int | None) -> None:
    taints = [
        {"key": "a", "effect": "NoExecute", "timeAdded": timestamp(START)},
        {"key": "b", "effect": "NoExecute", "timeAdded": timestamp(START)},
        {"key": "c", "effect": "NoSchedule"},
    ]
    expected = None if seconds is None else START + timedelta(seconds=seconds)
    assert eviction_time(tolerations, taints, START + timedelta(seconds=100)) == expected


def test_a_silent_node_is_unknown_and_said_so_once() -> None:
    found = unknown_conditions(node("True"), START)
    ready = found[0]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "NodeStatusUnknown")
    assert ready["message"] == "Kubelet stopped posting node status."
    assert ready["lastHeartbeatTime"] == "2026-11-24T11:00:00Z"
    assert [condition["reason"] for condition in found[1:]] == ["NodeStatusNeverUpdated"] * 3
    silent = node("True")
    silent["status"]["conditions"] = found
    assert unknown_conditions(silent, START) == []


def test_a_namespace_says_what_is_left_in_it() -> None:
    left = {
        "pods": [item("p", finalizers=["x/y"]), item("q", finalizers=["x/y"])],
        "jobs.batch": [item("j")],
        "secrets": [],
    }
    conditions = {c["type"]: c for c in remaining_conditions(left, {}, START)}
    remaining = conditions["NamespaceContentRemaining"]
    assert (remaining["status"], remaining["reason"]) == ("True", "SomeResourcesRemain")
    assert remaining["message"] == (
        "Some resources are remaining: jobs.batch has 1 resource instances, pods. has 2 resource instances"
    )
    held = conditions["NamespaceFinalizersRemaining"]
    assert held["message"] == "Some content in the namespace has finalizers remaining: x/y in 2 resource instances"
    assert conditions["NamespaceDeletionContentFailure"]["status"] == "False"
    empty = remaining_conditions({}, {}, START + timedelta(seconds=5))
    assert {c["status"] for c in empty} == {"False"}
    updated = {c["type"]: c for c in merged(list(conditions.values()), empty)}
    assert updated["NamespaceContentRemaining"]["lastTransitionTime"] == timestamp(START + timedelta(seconds=5))
    assert updated["NamespaceDeletionContentFailure"]["lastTransitionTime"] == timestamp(START)
