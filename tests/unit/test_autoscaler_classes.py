"""Compute classes and Cloud Logging's filters, without a server."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.autoscaler.compute_class import LABEL, ladder, matches
from gke_notebook.sandbox.autoscaler.fitting import Kind
from gke_notebook.sandbox.autoscaler.groups import of_pool
from gke_notebook.sandbox.autoscaler.scale_up import IN_BACKOFF, decide
from gke_notebook.sandbox.controllers.pod_requirements import Requirements
from gke_notebook.sandbox.gke import pool_rules
from gke_notebook.sandbox.gke.failures import ApiFailure
from gke_notebook.sandbox.gke.logging_api import Log, parse

Object = dict[str, Any]


def pods(requests: Object, count: int = 1) -> Kind:
    spec = {
        "containers": [{"resources": {"requests": requests}}],
        "nodeSelector": {LABEL: "c"}, "tolerations": [{"operator": "Exists"}],
    }  # fmt: skip
    made = [{"metadata": {"name": f"x{i}", "uid": f"x{i}"}, "spec": spec} for i in range(count)]
    return Kind(Requirements.of(made[0]), made)


def class_of(*priorities: Object, create: bool = True, **more: Any) -> Object:
    found = {"whenUnsatisfiable": "DoNotScaleUp", "nodePoolAutoCreation": {"enabled": create}, **more}
    return {**found, "priorities": list(priorities)}


def made_for(spec: Object, kind: Kind) -> list[list[Object]]:
    """Give the pools that would be made, rule by rule."""
    return [[group.create or {} for group in tier] for tier in ladder("c", spec, kind, [], [])]


def test_pools_are_made_as_the_rules_say() -> None:
    spec = class_of(
        {"gpu": {"type": "nvidia-l4", "count": 1}, "spot": True, "location": {"zones": ["us-central1-b"]}},
        {"tpu": {"type": "tpu-v5-lite-podslice", "count": 4, "topology": "4x4"}},
        {"machineFamily": "n2", "minCores": 8},
        {"flexStart": {"enabled": True}, "gpu": {"type": "nvidia-l4", "count": 2}, "maxRunDurationSeconds": 3600},
    )
    gpus = made_for(spec, pods({"nvidia.com/gpu": "1", "cpu": "6"}))
    (first,), (flex,) = gpus
    assert (first["config"]["machineType"], first["config"]["spot"], first["locations"]) == (
        "g2-standard-8", True, ["us-central1-b"],
    )  # fmt: skip
    assert first["config"]["labels"] == {LABEL: "c"}
    assert {"key": LABEL, "value": "c", "effect": "NO_SCHEDULE"} in first["config"]["taints"]
    assert (flex["config"]["machineType"], flex["config"]["maxRunDuration"]) == ("g2-standard-24", "3600s")
    ((slice_,),) = made_for(spec, pods({"google.com/tpu": "4"}))
    assert slice_["placementPolicy"] == {"type": "COMPACT", "tpuTopology": "4x4"}
    assert (len(slice_["locations"]), slice_["autoscaling"]["maxNodeCount"]) == (1, 4)
    names = {pool["config"]["machineType"] for (pool,) in made_for(spec, pods({"cpu": "5"}))}
    assert "n2-standard-8" in names
    assert all(pool["name"].startswith("nap-") for (pool,) in made_for(spec, pods({"cpu": "5"})))


def test_nothing_is_made_without_leave_or_for_what_does_not_exist() -> None:
    rule = {"gpu": {"type": "nvidia-l4", "count": 1}}
    wanted = pods({"nvidia.com/gpu": "1"})
    assert made_for(class_of(rule, create=False), wanted) == []
    assert made_for(class_of({"gpu": {"type": "nvidia-l4", "count": 3}}), wanted) == []
    assert made_for(class_of({"machineType": "no-such-thing"}), wanted) == []


def test_scale_up_anyway_makes_general_machines_for_what_needs_no_accelerator() -> None:
    spec = class_of({"gpu": {"type": "nvidia-l4", "count": 1}, "spot": True}, whenUnsatisfiable="ScaleUpAnyway")
    machines = [pool["config"]["machineType"] for (pool,) in made_for(spec, pods({"cpu": "20"}))]
    assert machines[-1] == "e2-standard-32"
    assert len(made_for(spec, pods({"nvidia.com/gpu": "1"}))) == 1


def test_what_is_there_goes_before_what_is_made_and_a_failed_rule_gives_way_to_the_next() -> None:
    own = pool_rules.completed({
        "name": "own", "autoscaling": {"enabled": True, "maxNodeCount": 1},
        "config": {"machineType": "e2-standard-4", "labels": {LABEL: "c"}},
    })  # fmt: skip
    spec = class_of({"nodepools": ["own"]}, {"machineFamily": "e2", "spot": True}, {"machineFamily": "n2"})
    groups = of_pool({**own, "status": "RUNNING"}, {"us-central1-a": 0})
    kind = pods({"cpu": "3"}, 2)
    decision = decide([kind], groups, tiers=lambda one: ladder("c", spec, one, groups, [own]))
    first, second = decision.increases
    assert [group.pool for group, _ in first.groups] == ["own"]
    assert all(group.create and group.create["config"]["spot"] for group, _ in second.groups)
    blocked = decide(
        [kind], groups, blocked=lambda group: IN_BACKOFF if "n2" not in group.pool else "",
        tiers=lambda one: ladder("c", spec, one, groups, [own]),
    )  # fmt: skip
    assert ["nap-n2" in group.pool for one in blocked.increases for group, _ in one.groups] == [True]
    coming = of_pool({**own, "status": "PROVISIONING"}, {"us-central1-a": 0})
    waits = decide([kind], coming, tiers=lambda one: ladder("c", spec, one, coming, [own]))
    assert not waits.increases
    assert len(waits.waiting) == 2


@pytest.mark.parametrize(
    ("rule", "matching"),
    [
        ({}, True),
        ({"machineFamily": "g2"}, True),
        ({"machineFamily": "n1"}, False),
        ({"gpu": {"type": "nvidia-l4", "count": 1}}, True),
        ({"gpu": {"type": "nvidia-l4", "count": 2}}, False),
        ({"spot": True}, False),
        ({"minCores": 9}, False),
        ({"reservations": {"affinity": "AnyBestEffort"}}, False),
        ({"nodepools": ["other"]}, False),
    ],
)
def test_which_pools_a_rule_means(rule: Object, matching: bool) -> None:
    accelerators = [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}]
    pool = {"name": "p", "config": {"machineType": "g2-standard-8", "accelerators": accelerators}}
    assert matches(rule, pool) is matching


# Cloud Logging.

NAME = "projects/sandbox/logs/container.googleapis.com%2Fcluster-autoscaler-visibility"


def log(*payloads: Object) -> Log:
    made = Log()
    for number, payload in enumerate(payloads):
        entry = {
            "logName": NAME, "resource": {"type": "k8s_cluster"}, "jsonPayload": payload,
            "timestamp": f"2026-01-01T00:00:0{number}Z",
        }  # fmt: skip
        made.answer("POST", "/v2/entries:write", json.dumps({"entries": [entry]}).encode())
    return made


def listed(made: Log, text: str, **more: Any) -> list[Object]:
    asked = {"resourceNames": ["projects/sandbox"], "filter": text, **more}
    answer = made.answer("POST", "/v2/entries:list", json.dumps(asked).encode())
    return [entry["jsonPayload"] for entry in answer.get("entries", [])]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [1, 2, 3]),
        ('log_id("container.googleapis.com/cluster-autoscaler-visibility")', [1, 2, 3]),
        ('logName="projects/sandbox/logs/container.googleapis.com%2Fcluster-autoscaler-visibility"', [1, 2, 3]),
        ('log_id("other")', []),
        ('resource.type="k8s_cluster" AND jsonPayload.n=2', [2]),
        ('timestamp>="2026-01-01T00:00:01Z"\njsonPayload.n!=3', [2]),
        ("jsonPayload.more.id:*", [3]),
        ("NOT jsonPayload.more.id:*", [1, 2]),
        ("jsonPayload.more.id:STOCK", [3]),
    ],
)
def test_entries_are_found_by_a_filter(text: str, found: list[int]) -> None:
    made = log({"n": 1}, {"n": 2}, {"n": 3, "more": [{"id": "stockout"}]})
    assert [one["n"] for one in listed(made, text)] == found
    assert [one["n"] for one in listed(made, text, orderBy="timestamp desc")] == found[::-1]


def test_pages_of_entries_and_what_is_refused() -> None:
    made = log(*({"n": number} for number in range(5)))
    asked = {"resourceNames": ["projects/sandbox"], "pageSize": 2}
    first = made.answer("POST", "/v2/entries:list", json.dumps(asked).encode())
    assert [one["n"] for one in listed(made, "", pageSize=2, pageToken=first["nextPageToken"])] == [2, 3]
    for text in ("(a OR b", "jsonPayload.n", "=3"):
        with pytest.raises(ApiFailure, match="Unparseable filter"):
            listed(made, text)
    with pytest.raises(ApiFailure, match="permission"):
        listed(made, "", resourceNames=["projects/other"])


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    with contextlib.suppress(ApiFailure):
        for term in parse(text):
            assert term({"logName": "x"}) in (True, False)
