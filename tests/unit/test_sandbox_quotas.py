"""What an object uses of a quota."""

from __future__ import annotations

from datetime import datetime, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.cluster.resources import PODS, SERVICES
from gke_notebook.sandbox import quantity, quotas
from gke_notebook.sandbox.controllers.resource_quotas import desired, gives_back

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
AMOUNTS = st.sampled_from(["0", "1", "250m", "1500m", "1Gi", "512Mi", "3k", "2e3", "1M", "100n"])


def pod(*containers: dict[str, Any], status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"containers": list(containers), **spec}, "status": status or {}}


def asks(restart: str = "", **requests: str) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests}, **({"restartPolicy": restart} if restart else {})}


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_sums_are_exact_in_whatever_form(one: str, two: str, three: str):
    total = quantity.add(quantity.add(one, two), three)
    assert quantity.parse(total) == sum((quantity.parse(each) for each in (one, two, three)), Fraction(0))
    assert quantity.canonical(total) == total


def test_init_containers_count_at_their_greatest_moment():
    spec = pod(
        asks(cpu="1"), asks(cpu="500m", memory="1Gi"),
        initContainers=[asks(cpu="2"), asks("Always", cpu="1"), asks(cpu="3")], overhead={"cpu": "250m"},
    )["spec"]  # fmt: skip
    assert quotas.pod_resources(spec, "requests") == {"cpu": "4250m", "memory": "1Gi"}
    assert quotas.pod_resources(spec, "requests", overhead=False) == {"cpu": "4", "memory": "1Gi"}
    assert quotas.pod_resources(spec, "limits") == {}


@pytest.mark.parametrize(
    ("pod_", "counted"),
    [
        (pod(asks(cpu="1")), True),
        (pod(asks(cpu="1"), status={"phase": "Failed"}), False),
        (pod(asks(cpu="1"), status={"phase": "Succeeded"}), False),
    ],
)
def test_pods_that_have_ended_are_only_counted_as_objects(pod_: dict[str, Any], counted: bool):
    found = quotas.usage("pods", pod_, NOW)
    assert found["count/pods"] == "1"
    assert ("pods" in found) == ("requests.cpu" in found) == counted


def test_a_pod_that_does_not_go_away_is_not_charged_for_ever():
    meta = {"name": "x", "deletionTimestamp": "2026-11-23T23:59:00Z", "deletionGracePeriodSeconds": 30}
    stuck = {**pod(asks(cpu="1")), "metadata": meta}
    assert "pods" not in quotas.usage("pods", stuck, NOW)
    stuck["metadata"]["deletionGracePeriodSeconds"] = 90
    assert quotas.usage("pods", stuck, NOW)["pods"] == "1"


def test_cross_namespace_affinity_is_a_scope():
    quota = {"spec": {"scopes": ["CrossNamespacePodAffinity"]}}
    terms = [{"podAffinityTerm": {"namespaceSelector": {}}}]
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    assert quotas.in_scope("pods", quota, pod(affinity=affinity))
    assert not quotas.in_scope("pods", quota, pod())
    assert not quotas.in_scope("secrets", quota, {})


@pytest.mark.parametrize(
    ("operator", "name", "inside"),
    [
        ("In", "high", True), ("In", "", False), ("NotIn", "high", False), ("NotIn", "", True), ("NotIn", "low", True),
        ("Exists", "low", True), ("Exists", "", False), ("DoesNotExist", "", True), ("DoesNotExist", "low", False),
    ],
)  # fmt: skip
def test_priority_classes_are_a_scope(operator: str, name: str, inside: bool):
    expression = {"scopeName": "PriorityClass", "operator": operator, "values": ["high"]}
    quota = {"spec": {"scopeSelector": {"matchExpressions": [expression]}}}
    assert quotas.in_scope("pods", quota, pod(priorityClassName=name)) == inside


def test_what_no_kind_counts_for_keeps_its_last_value():
    quota = {"spec": {"hard": {"pods": "1", "count/widgets": "2"}}, "status": {"used": {"count/widgets": "1"}}}
    used = quotas.total(quota, {"pods": [pod(), pod(status={"phase": "Failed"})]}, NOW)
    status = desired(quota, used)
    assert status == {"hard": {"pods": "1", "count/widgets": "2"}, "used": {"pods": "1", "count/widgets": "1"}}
    assert desired({**quota, "status": status}, used) is None


def test_only_what_frees_something_is_looked_at():
    running, done = pod(status={"phase": "Running"}), pod(status={"phase": "Succeeded"})
    assert gives_back(PODS, None, running)
    assert gives_back(PODS, done, running)
    assert not gives_back(PODS, running, None)
    assert not gives_back(PODS, done, done)
    assert gives_back(SERVICES, {"spec": {"type": "ClusterIP"}}, {"spec": {"type": "NodePort"}})
