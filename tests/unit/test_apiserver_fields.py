"""Names and types of fields, and defaults."""

# ruff: noqa: E501 - a case and the text it leads to stand on one line

from __future__ import annotations

import copy

import pytest

from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.validation import check_unknown_fields, set_defaults
from gke_notebook.sandbox.apiserver.validation.defaults import pull_policy
from tests.support.prepared import KIND, UID, job, made, pod


def test_unknown_fields_are_refused_warned_about_or_dropped():
    body = {"metadata": {"name": "x"}, "spec": {"foo": 1, "template": {"spec": {"containers": [{"bar": 1}]}}}}
    texts = ['unknown field "spec.foo"', 'unknown field "spec.template.spec.containers[0].bar"']
    with pytest.raises(StatusError) as caught:
        check_unknown_fields(KIND["Job"], copy.deepcopy(body), "Strict")
    assert (caught.value.code, caught.value.message) == (
        400,
        'Job in version "v1" cannot be handled as a Job: strict decoding error: ' + ", ".join(texts),
    )
    assert check_unknown_fields(KIND["Job"], copy.deepcopy(body), "Warn") == texts
    assert check_unknown_fields(KIND["Job"], body, "Ignore") == []
    assert "foo" not in body["spec"]


def test_duplicates_count_as_unknown_fields_do():
    assert check_unknown_fields(KIND["Job"], {}, "Warn", ["spec.a"]) == ['duplicate field "spec.a"']


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"completions": "a"}, "cannot unmarshal string into Go struct field JobSpec.spec.completions of type int32"),
        ({"completions": 1.5}, "cannot unmarshal number 1.5 into Go struct field JobSpec.spec.completions of type int32"),
        ({"completions": 2**31}, f"cannot unmarshal number {2**31} into Go struct field"),
        ({"suspend": 1}, "cannot unmarshal number into Go struct field JobSpec.spec.suspend of type bool"),
        ({"completionMode": True}, "of type v1.CompletionMode"),
        ({"template": []}, "cannot unmarshal array into Go struct field JobSpec.spec.template of type v1.PodTemplateSpec"),
        ({"template": {"spec": {"containers": {}}}}, "PodSpec.spec.template.spec.containers of type []v1.Container"),
        ({"template": {"metadata": {"labels": {"a": 1}}}}, "ObjectMeta.spec.template.metadata.labels of type string"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type_are_refused_in_every_mode(spec, text):
    with pytest.raises(StatusError) as caught:
        check_unknown_fields(KIND["Job"], {"spec": spec}, "Ignore")
    assert text in caught.value.message
    with pytest.raises(StatusError) as caught:
        check_unknown_fields(KIND["Job"], {"spec": spec}, "Ignore", patch="{}")
    assert caught.value.code == 422
    assert caught.value.message.startswith(' "" is invalid: patch: Invalid value: "{}": json: cannot unmarshal')


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"completions": "x"}, "unrecognized type: int32"),
        ({"completions": 1.5}, "cannot convert float64 to int32"),
        ({"completionMode": 1}, "cannot convert int64 to v1.CompletionMode"),
        ({"template": []}, "cannot restore struct from: slice"),
        ({"template": {"spec": {"containers": "x"}}}, "cannot restore slice from string"),
        ({"template": {"spec": {"nodeSelector": True}}}, "cannot restore map from bool"),
    ],
)
def test_the_outcome_of_a_strategic_merge_patch_is_refused_in_other_words(spec, text):
    with pytest.raises(StatusError) as caught:
        check_unknown_fields(KIND["Job"], {"spec": spec}, "Ignore", patch="map[]")
    assert caught.value.message == f' "" is invalid: patch: Invalid value: "map[]": {text}'


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({"metadata": {"creationTimestamp": "abc"}}, 'parsing time "abc" as "2006-01-02T15:04:05Z07:00"'),
        ({"data": {"a": "?"}}, "illegal base64 data at input byte 0"),
    ],
)
def test_values_of_the_wrong_form_are_refused(obj, text):
    with pytest.raises(StatusError, match="cannot be handled as a Secret") as caught:
        check_unknown_fields(KIND["Secret"], obj, "Ignore")
    assert text in caught.value.message


def test_objects_are_normalized():
    obj = {
        "metadata": {"name": "x", "labels": None, "creationTimestamp": "2026-01-01T01:00:00+01:00", "generateName": ""},
        "spec": {
            "hostNetwork": False,
            "containers": [{"name": "a", "env": [], "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    check_unknown_fields(KIND["Pod"], obj, "Strict")
    assert obj == {
        "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "containers": [{"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}],
            "terminationGracePeriodSeconds": 0,
        },
        "status": {},
    }


def test_a_job_gets_the_defaults_and_the_selector_of_a_real_server():
    obj, _ = made("Job", job())
    generated = {
        "batch.kubernetes.io/controller-uid": UID,
        "batch.kubernetes.io/job-name": "x",
        "controller-uid": UID,
        "job-name": "x",
    }
    assert obj["metadata"]["labels"] == generated
    spec = obj["spec"]
    assert spec.pop("template") == {
        "metadata": {"labels": generated},
        "spec": {
            "containers": [
                {
                    "name": "a",
                    "image": "i",
                    "imagePullPolicy": "Always",
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Never",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
    }
    assert spec == {
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "completions": 1,
        "manualSelector": False,
        "parallelism": 1,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": UID}},
        "suspend": False,
    }


def test_defaults_depend_on_what_is_given():
    indexed, _ = made("Job", job(completionMode="Indexed", completions=3, parallelism=2, backoffLimitPerIndex=1))
    assert indexed["spec"]["backoffLimit"] == 2**31 - 1
    queue, _ = made("Job", job(parallelism=3))
    assert "completions" not in queue["spec"]
    rules = [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    policy, _ = made("Job", job(podFailurePolicy={"rules": rules}))
    assert policy["spec"]["podReplacementPolicy"] == "Failed"
    assert policy["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_a_pod_gets_the_defaults_of_a_real_server():
    body = pod(
        resources={"limits": {"cpu": "1", "memory": "1Gi"}},
        ports=[{"containerPort": 80}],
        livenessProbe={"httpGet": {"port": 80}},
        env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )
    body["spec"]["volumes"] = [{"name": "v"}, {"name": "c", "configMap": {"name": "c"}}]
    obj, _ = made("Pod", body)
    spec, container = obj["spec"], obj["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "failureThreshold": 3,
        "periodSeconds": 10,
        "successThreshold": 1,
        "timeoutSeconds": 1,
    }
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert spec["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "c", "defaultMode": 420}},
    ]
    assert (spec["restartPolicy"], spec["enableServiceLinks"]) == ("Always", True)
    assert obj["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_the_quality_of_service(resources, quality):
    assert made("Pod", pod(resources=resources))[0]["status"]["qosClass"] == quality


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("h:5000/a", "Always"),
        ("h:5000/a:1", "IfNotPresent"), ("a@sha256:0", "IfNotPresent"),
    ],
)  # fmt: skip
def test_the_pull_policy_follows_the_tag(image, policy):
    assert pull_policy(image) == policy


def test_services_secrets_and_namespaces_get_defaults():
    headless, _ = made("Service", {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}})
    assert headless["spec"] == {
        "clusterIP": "None",
        "clusterIPs": ["None"],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "selector": {"a": "b"},
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    service, _ = made("Service", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert service["spec"]["clusterIP"].startswith("34.118.")
    secret, _ = made("Secret", {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}})
    assert (secret["type"], secret["data"]) == ("Opaque", {"a": "Yg==", "c": "ZA=="})
    assert "stringData" not in secret
    namespace, _ = made("Namespace", {"metadata": {"name": "n"}})
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}


@pytest.mark.parametrize(
    ("kind", "body"), [("Job", job()), ("Pod", pod()), ("Service", {"spec": {"ports": [{"port": 1}]}})]
)
def test_defaults_are_set_once(kind, body):
    once = copy.deepcopy({"metadata": {}, **body})
    set_defaults(KIND[kind], once)
    twice = copy.deepcopy(once)
    set_defaults(KIND[kind], twice)
    assert twice == once
