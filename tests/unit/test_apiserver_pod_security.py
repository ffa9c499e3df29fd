"""The Pod Security Standards, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.admission_plugins.pod_checks import LATEST, violations
from gke_notebook.sandbox.apiserver.admission_plugins.pod_security import Level, Policy, policy

PREFIX = "pod-security.kubernetes.io/"
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "privileged": st.booleans(),
        "runAsNonRoot": st.booleans(),
        "runAsUser": st.integers(0, 2),
        "allowPrivilegeEscalation": st.booleans(),
        "capabilities": st.fixed_dictionaries({}, optional={"add": st.just(["SYS_TIME"]), "drop": st.just(["ALL"])}),
        "seccompProfile": st.sampled_from([{"type": "Unconfined"}, {"type": "RuntimeDefault"}]),
        "procMount": st.sampled_from(["Default", "Unmasked"]),
    },
)


def spec(*contexts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "containers": [{"name": f"c{number}", "securityContext": each} for number, each in enumerate(contexts)],
        **more,
    }


@given(st.lists(CONTEXTS, min_size=1, max_size=3), CONTEXTS, st.sampled_from([0, 20, 25, 34, LATEST]))
def test_who_is_restricted_is_within_the_baseline(contexts: list[dict[str, Any]], pod: dict[str, Any], minor: int):
    pod = {key: value for key, value in pod.items() if key in {"runAsNonRoot", "runAsUser", "seccompProfile"}}
    body = spec(*contexts, securityContext=pod)
    assert violations("privileged", minor, {}, body) == []
    if not violations("restricted", minor, {}, body):
        assert violations("baseline", minor, {}, body) == []


@pytest.mark.parametrize(("minor", "count"), [(26, 1), (27, 0), (LATEST, 0)])
def test_rules_change_with_versions(minor: int, count: int):
    body = spec({}, securityContext={"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports", "value": "1"}]})
    assert len(violations("baseline", minor, {}, body)) == count


def test_windows_pods_are_spared_what_they_cannot_do():
    body = spec({}, os={"name": "windows"}, securityContext={"runAsNonRoot": True})
    assert violations("restricted", LATEST, {}, body) == []
    assert len(violations("restricted", 24, {}, body)) == 3


def test_annotations_count():
    meta = {"annotations": {"container.apparmor.security.beta.kubernetes.io/c0": "unconfined"}}
    (found,) = violations("baseline", LATEST, meta, spec({}))
    assert str(found) == (
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        '"container.apparmor.security.beta.kubernetes.io/c0="unconfined"")'
    )


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({}, Policy()),
        ({"enforce": "baseline"}, Policy(Level("baseline"), Level("baseline"))),
        ({"enforce": "baseline", "enforce-version": "v1.30"}, Policy(*[Level("baseline", "v1.30")] * 2)),
        ({"enforce": "restricted", "warn": "privileged"}, Policy(Level("restricted"), Level("privileged"))),
        ({"enforce": "baseline", "warn-version": "v1.2"}, Policy(Level("baseline"), Level("baseline", "v1.2"))),
    ],
)
def test_labels_are_read(labels: dict[str, str], wanted: Policy):
    assert policy({PREFIX + key: value for key, value in labels.items()}) == (wanted, [])


def test_labels_that_say_nothing_are_the_strictest_for_pods_and_none_for_warnings():
    found, errors = policy({PREFIX + "enforce": "tight", PREFIX + "warn": "loud", PREFIX + "warn-version": "1.30"})
    assert found == Policy(Level("restricted"), Level("privileged"))
    assert [each.field for each in errors] == [
        f"metadata.labels[{PREFIX}{key}]" for key in ("enforce", "warn", "warn-version")
    ]
