"""Validation of new objects."""

# ruff: noqa: E501 - a case and the text it leads to stand on one line

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.validation.job_policies import count_indexes
from tests.support.prepared import job, made, pod, refused, said


def test_every_error_is_reported_at_once():
    error = refused("Job", {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}})
    assert error.message == (
        'Job.batch "" is invalid: [metadata.name: Required value: name or generateName is required, '
        "spec.template.spec.containers[0].image: Required value, "
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"]'
    )


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"parallelism": -1}, "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
        ({"maxFailedIndexes": 1}, "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"),
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
        ({"completionMode": "X"}, 'spec.completionMode: Unsupported value: "X": supported values: "NonIndexed", "Indexed"'),
        (
            {"completionMode": "Indexed", "parallelism": 1},
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            {"completionMode": "Indexed", "completions": 100_001, "parallelism": 100_001},
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        ),
        ({"successPolicy": {"rules": []}}, "spec.successPolicy: Invalid value: "),
        ({"podReplacementPolicy": "X"}, 'supported values: "Failed", "TerminatingOrFailed"'),
        ({"managedBy": "x"}, 'must be a domain-prefixed path (such as "acme.io/foo")'),
        ({"manualSelector": True}, "spec.selector: Required value"),
        (
            {"selector": {"matchLabels": {"a": "b"}}},
            "spec.template.metadata.labels: Invalid value: ",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Ignore"}]}},
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "X", "onExitCodes": {"operator": "In", "values": [0]}}]}},
            'spec.podFailurePolicy.rules[0].action: Unsupported value: "X": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3, 2, 0]}}]}},
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,2,0]: must be ordered",
        ),
        (
            {"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0,9"}]}},
            'error parsing succeededIndexes: too large index: "9"',
        ),
    ],
)  # fmt: skip
def test_wrong_jobs_are_refused(spec, text):
    assert any(text in each for each in said("Job", job(**spec)))


def test_an_indexed_job_must_be_able_to_name_its_pods():
    body = job(completionMode="Indexed", completions=100)
    body["metadata"]["name"] = "x" * 61
    assert said("Job", body) == [
        f'metadata.name: Invalid value: "{"x" * 61}": will not able to create pod with invalid DNS label: {"x" * 61}-99'
    ]


def test_a_job_whose_name_is_no_label_is_warned_about():
    body = job()
    body["metadata"]["name"] = "a.b"
    assert "a DNS label is recommended: [must not contain dots]" in made("Job", body)[1][0]


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"name": "A"}, 'spec.containers[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of'),
        ({"image": " i"}, "must not have leading or trailing whitespace"),
        ({"imagePullPolicy": "X"}, 'supported values: "Always", "IfNotPresent", "Never"'),
        ({"ports": [{}]}, "spec.containers[0].ports[0].containerPort: Required value"),
        ({"ports": [{"containerPort": 70000}]}, "must be between 1 and 65535, inclusive"),
        ({"ports": [{"containerPort": 1, "name": "a_b"}]}, "must contain only alpha-numeric characters"),
        ({"env": [{"name": ""}]}, "spec.containers[0].env[0].name: Required value"),
        ({"env": [{"name": "a=b"}]}, "only of printable ASCII characters other than '='"),
        ({"env": [{"name": "A", "valueFrom": {}}]}, "must specify one of: `fieldRef`"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, 'volumeMounts[0].name: Not found: "v"'),
        ({"resources": {"limits": {"gpu": "1"}}}, "resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource"),
        ({"resources": {"requests": {"nvidia.com/gpu": "1"}}}, "Limit must be set for non overcommitable resources"),
        ({"resources": {"limits": {"nvidia.com/gpu": "500m"}}}, 'Invalid value: "500m": must be an integer'),
        (
            {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            'resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        ({"resources": {"limits": {"cpu": "-1"}}}, "must be greater than or equal to 0"),
        ({"livenessProbe": {}}, "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        ({"restartPolicy": "Always"}, "may not be set for non-init containers"),
        ({"securityContext": {"runAsUser": -1}}, "must be between 0 and 2147483647, inclusive"),
    ],
)  # fmt: skip
def test_wrong_containers_are_refused(container, text):
    assert any(text in each for each in said("Pod", pod(**container)))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"name": "a", "image": "i"}] * 2}, 'spec.containers[1].name: Duplicate value: "a"'),
        ({"volumes": [{"name": "v", "emptyDir": {}}] * 2}, 'spec.volumes[1].name: Duplicate value: "v"'),
        ({"volumes": [{"name": "v", "emptyDir": {}, "nfs": {}}]}, "may not specify more than 1 volume type"),
        ({"volumes": [{"name": "v", "configMap": {}}]}, "spec.volumes[0].configMap.name: Required value"),
        (
            {"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}]},
            "items[0].path: Invalid value: \"../x\": must not contain '..'",
        ),
        ({"restartPolicy": "X"}, 'supported values: "Always", "OnFailure", "Never"'),
        ({"tolerations": [{"operator": "Equal"}]}, "operator must be Exists when `key` is empty"),
        ({"nodeSelector": {"a b": "c"}}, "spec.nodeSelector: Invalid value"),
        ({"activeDeadlineSeconds": 0}, "must be between 1 and 2147483647, inclusive"),
        ({"subdomain": "A"}, "spec.subdomain: Invalid value"),
        ({"schedulingGates": [{"name": "g"}], "nodeName": "n"}, "cannot be set until all schedulingGates"),
        (
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}},
            "must have at least one node selector term",
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "X"}]},
            'supported values: "DoNotSchedule", "ScheduleAnyway"',
        ),
    ],
)  # fmt: skip
def test_wrong_pods_are_refused(spec, text):
    body = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "i"}], **spec}}
    assert any(text in each for each in said("Pod", body))


def test_a_variable_set_twice_is_warned_about():
    _, warnings = made("Pod", pod(env=[{"name": "A"}, {"name": "A", "value": "1"}]))
    assert warnings == [
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'
    ]


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("ConfigMap", {"metadata": {"name": "A"}}, 'metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ("ConfigMap", {"metadata": {"name": "a"}, "data": {"a b": ""}}, 'data[a b]: Invalid value: "a b": a valid config key'),
        ("ConfigMap", {"metadata": {"name": "a"}, "data": {"a": "x" * (2**20 + 1)}}, "[]: Too long: may not be more than 1048576"),
        ("ConfigMap", {"metadata": {"name": "a", "annotations": {"a": "x" * 2**18}}}, "metadata.annotations: Too long"),
        ("ConfigMap", {"metadata": {"name": "a", "labels": {"a": "-"}}}, "metadata.labels: Invalid value"),
        ("Secret", {"metadata": {"name": "a"}, "type": "kubernetes.io/tls"}, "data[tls.crt]: Required value"),
        ("Service", {"metadata": {"name": "a.b"}, "spec": {"ports": [{"port": 1}]}}, "a DNS-1035 label must consist of"),
        ("Service", {"metadata": {"name": "a"}, "spec": {}}, "spec.ports: Required value"),
        ("Service", {"metadata": {"name": "a"}, "spec": {"type": "X", "ports": [{"port": 1}]}}, "spec.type: Unsupported value"),
        ("Namespace", {"metadata": {"name": "a.b"}}, "must not contain dots"),
        ("Event", {"metadata": {"name": "e"}, "involvedObject": {"namespace": "o"}}, "does not match event.namespace"),
        ("Lease", {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}}, "must be greater than 0"),
        ("PriorityClass", {"metadata": {"name": "p"}, "value": 2_000_000_000}, "maximum allowed value of a user defined"),
        ("PriorityClass", {"metadata": {"name": "system-x"}, "value": 1}, "reserved for system use only"),
        ("Node", {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "X"}]}}, "Unsupported value"),
        ("Endpoints", {"metadata": {"name": "e"}, "subsets": [{}]}, "must specify `addresses` or `notReadyAddresses`"),
    ],
)  # fmt: skip
def test_other_wrong_objects_are_refused(kind, body, text):
    assert any(text in each for each in said(kind, body))


def test_a_generated_name_may_end_in_a_dash():
    made("ConfigMap", {"metadata": {"generateName": "a-", "name": "a-x"}})
    assert "generateName" in said("ConfigMap", {"metadata": {"generateName": "A_b-", "name": "a-x"}})[0]


@settings(deadline=None, max_examples=60)
@given(st.sets(st.integers(0, 30)))
def test_indexes_are_counted(indexes):
    ordered = sorted(indexes)
    assert count_indexes(",".join(map(str, ordered)), 31) == len(ordered)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1-2-3", "can have at most two parts"),
        ("a", 'cannot convert string to integer for index: "a"'),
        ("2,1", "non-increasing order, previous: 2, current: 1"),
        ("3-3", "non-increasing order, previous: 3, current: 3"),
        ("9", 'too large index: "9"'),
    ],
)
def test_malformed_indexes_are_refused(text, why):
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        count_indexes(text, 9)
