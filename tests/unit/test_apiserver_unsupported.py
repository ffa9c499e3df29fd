"""Wishes of pods that the sandbox does not honour are told when they are written."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.sandbox.apiserver.kinds import find
from gke_notebook.sandbox.apiserver.validation import unsupported

PENDING = "the sandbox's scheduler does not implement it: the pod stays Pending"
NOT_RUN = "the sandbox's kubelet does not run it: it is ignored"
IGNORED = "the sandbox's scheduler does not implement it: it is ignored"
TERM = {"topologyKey": "kubernetes.io/hostname"}


def kind(group: str, plural: str) -> Any:
    found = find(group, "v1", plural)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, []),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}, []),
        (
            {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}}},
            [f"affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution: {PENDING}"],
        ),
        (
            {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [TERM]}}},
            [f"affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution: {IGNORED}"],
        ),
        (
            {"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}, {}]},
            [f"topologySpreadConstraints[0]: {IGNORED}", f"topologySpreadConstraints[1]: {PENDING}"],
        ),
        ({"resourceClaims": [{"name": "a"}]}, [f"resourceClaims: {PENDING}"]),
        ({"resourceClaims": [{"name": "a"}], "schedulerName": "mine"}, []),
        (
            {
                "initContainers": [{"name": "a", "startupProbe": {"exec": {}}}],
                "containers": [
                    {"name": "b"},
                    {"name": "c", "lifecycle": {"preStop": {}}, "livenessProbe": {"exec": {}}},
                ],
                "schedulerName": "mine",
            },
            [
                f"initContainers[0].startupProbe: {NOT_RUN}",
                f"containers[1].livenessProbe: {NOT_RUN}",
                f"containers[1].lifecycle: {NOT_RUN}",
            ],
        ),
    ],
)
def test_a_pod_and_a_job_are_told(spec: dict[str, Any], said: list[str]):
    assert unsupported.warnings(kind("", "pods"), {"spec": spec}) == [f"spec.{line}" for line in said]
    job = {"spec": {"template": {"spec": spec}}}
    assert unsupported.warnings(kind("batch", "jobs"), job) == [f"spec.template.spec.{line}" for line in said]
    assert unsupported.warnings(kind("", "configmaps"), {}) == []
