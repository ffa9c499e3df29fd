"""Request bodies: JSON, YAML, protobuf, and everything that is none of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.apiserver import decode, wire
from gke_notebook.sandbox.apiserver.decode import decode_body, decode_delete_options
from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.schema import schema
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.validation import check_unknown_fields

KIND = {kind.kind: kind for kind in KINDS}
JOB, POD = KIND["Job"], KIND["Pod"]
# Bodies that kubectl 1.32.4 has sent.
RECORDED = json.loads((Path(__file__).parent / "golden" / "apiserver_protobuf.json").read_text())


def recorded(command, kind):
    body = base64.b64decode(RECORDED[command]["body"])
    obj = decode_body(body, decode.PROTOBUF, KIND[kind])
    assert check_unknown_fields(KIND[kind], obj, "Strict") == []
    return obj


def test_a_job_of_kubectl_is_decoded():
    obj = recorded("create job x --image=busybox:1.36 -- sleep 1", "Job")
    assert obj == {
        "kind": "Job",
        "apiVersion": "batch/v1",
        "metadata": {"name": "x"},
        "spec": {
            "template": {
                "metadata": {},
                "spec": {
                    "containers": [
                        {"name": "x", "image": "busybox:1.36", "command": ["sleep", "1"], "resources": {}}
                    ],
                    "restartPolicy": "Never",
                },
            }
        },
        "status": {},
    }  # fmt: skip


def test_other_objects_of_kubectl_are_decoded():
    assert recorded("create configmap c --from-literal=a=b", "ConfigMap")["data"] == {"a": "b"}
    assert recorded("create secret generic s --from-literal=a=b", "Secret")["data"] == {"a": "Yg=="}
    assert recorded("create namespace n1", "Namespace")["metadata"] == {"name": "n1"}
    service = recorded("create service clusterip s --tcp=80:8080", "Service")
    assert service["spec"]["ports"] == [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}]
    assert recorded("create service clusterip h --clusterip=None", "Service")["spec"]["clusterIP"] == "None"
    assert recorded("create serviceaccount sa", "ServiceAccount")["metadata"]["name"] == "sa"
    priority = recorded("create priorityclass p --value=7 --description=d", "PriorityClass")
    assert (priority["value"], priority["description"]) == (7, "d")
    review = recorded("auth can-i create pods", "SelfSubjectAccessReview")
    assert review["spec"]["resourceAttributes"] == {"namespace": "default", "verb": "create", "resource": "pods"}
    assert recorded("auth whoami", "SelfSubjectReview")["kind"] == "SelfSubjectReview"


def code_of(body, content_type, kind):
    """Give 200 when a body is taken, else the code of the refusal."""
    try:
        check_unknown_fields(kind, decode_body(body, content_type, kind, []), "Warn")
    except StatusError as error:
        return error.code
    return 200


def varint(number):
    found = b""
    number &= (1 << 64) - 1
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def sent(number, value):
    """Encode one field as protobuf does, with no help of the code under test."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def test_every_special_type_is_decoded():
    limits = sent(1, sent(1, "cpu") + sent(2, sent(1, "500m")))
    volume = sent(1, "v") + sent(2, sent(19, sent(1, sent(1, "c")) + sent(3, 420)))  # an inlined source, configMap
    probe = sent(1, sent(2, sent(1, "/x") + sent(2, sent(1, 1) + sent(3, "http")))) + sent(2, 5)
    container = sent(1, "a") + sent(8, limits) + sent(10, probe) + sent(16, 1)
    toleration = sent(1, "k") + sent(5, -1)
    spec = sent(1, volume) + sent(2, container) + sent(22, toleration)
    metadata = sent(1, "p") + sent(8, sent(1, 1_700_000_000)) + sent(11, sent(1, "a") + sent(2, "b"))
    fields = sent(17, sent(1, "m") + sent(7, sent(1, b'{"f:spec":{}}')))
    body = wire.MAGIC + sent(1, sent(1, "v1") + sent(2, "Pod")) + sent(2, sent(1, metadata + fields) + sent(2, spec))
    obj = decode_body(body, decode.PROTOBUF, POD)
    assert obj["metadata"] == {
        "name": "p",
        "creationTimestamp": "2023-11-14T22:13:20Z",
        "labels": {"a": "b"},
        "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
    }
    assert obj["spec"]["volumes"] == [{"name": "v", "configMap": {"name": "c", "defaultMode": 420}}]
    assert obj["spec"]["tolerations"] == [{"key": "k", "tolerationSeconds": -1}]
    found = obj["spec"]["containers"][0]
    assert found["resources"] == {"limits": {"cpu": "500m"}}
    assert found["livenessProbe"] == {"httpGet": {"path": "/x", "port": "http"}, "initialDelaySeconds": 5}
    assert found["stdin"] is True


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_random_protobuf_is_refused_or_decoded_but_never_crashes(noise):
    body = wire.MAGIC + sent(1, sent(1, "v1") + sent(2, "Pod")) + sent(2, noise)
    assert code_of(body, decode.PROTOBUF, POD) in {200, 400}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([decode.JSON, decode.YAML, decode.PROTOBUF, ""]))
def test_random_bytes_are_refused_or_decoded_but_never_crash(body, content_type):
    assert code_of(body, content_type, JOB) in {200, 400}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "kind", "x"]), json_values, max_size=3))
def test_any_document_is_refused_or_normalized_but_never_crashes(document):
    assert code_of(json.dumps(document).encode(), decode.JSON, JOB) in {200, 400}


def refused(body, content_type=decode.JSON, kind=JOB):
    with pytest.raises(StatusError) as caught:
        decode_body(body, content_type, kind)
    return caught.value


def test_what_is_wrong_is_said_in_the_servers_words():
    assert refused(b"x", "text/plain").code == 415
    assert refused(b'{"kind":"Job","apiVersion":"v1"}').message == (
        'Job in version "v1" cannot be handled as a Job: no kind "Job" is registered for version "v1" in scheme '
        '"pkg/runtime/scheme.go:110"'
    )
    assert 'Pod in version "v1" cannot be handled as a Job' in refused(b'{"kind":"Pod","apiVersion":"v1"}').message
    assert refused(b'{"a":}').message == (
        "the object provided is unrecognized (must be of type Job): couldn't get version/kind; json parse error: "
        "invalid character '}' looking for beginning of value ({\"a\":})"
    )
    assert "unexpected end of JSON input" in refused(b'{"a"').message
    assert "(<empty>)" in refused(b"").message
    assert "expected prefix [107 56 115 0]" in refused(b"{}", decode.PROTOBUF).message
    assert (
        'no kind "Quota" is registered'
        in refused(wire.MAGIC + sent(1, sent(1, "v1") + sent(2, "Quota")), decode.PROTOBUF).message
    )


def test_depth_and_aliases_are_limited():
    assert "exceeded max depth" in refused(b'{"a":' * 5000 + b"1" + b"}" * 5000).message
    assert "exceeded max depth" in refused(b"[" * 300).message
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
    )
    assert "aliasing" in refused(bomb.encode(), decode.YAML).message
    assert "{" * 300 in decode_body(json.dumps({"a": "{" * 300}).encode(), decode.JSON, JOB)["a"]


def test_kind_and_version_may_be_left_out():
    assert decode_body(b"{}", "", JOB) == {"apiVersion": "batch/v1", "kind": "Job"}
    assert decode_body(b"", decode.YAML, JOB)["kind"] == "Job"


def test_delete_options_are_accepted_in_every_version():
    for version in ("v1", "meta.k8s.io/v1", "batch/v1", "policy/v1"):
        body = json.dumps({"kind": "DeleteOptions", "apiVersion": version, "gracePeriodSeconds": 0}).encode()
        assert decode_delete_options(body, decode.JSON)["gracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b" ", "couldn't get version/kind; json parse error: unexpected end of JSON input"),
        (b'{"kind":"Pod","apiVersion":"v1"}', 'no kind "Pod" is registered for version "v1" in scheme '),
        (b'{"kind":7}', 'no kind "7" is registered for version "v1" in scheme '),
    ],
)
def test_delete_options_that_are_none(body: bytes, text: str):
    with pytest.raises(StatusError) as error:
        decode_delete_options(body, decode.JSON)
    assert error.value.code == 400
    assert error.value.message.startswith(text)


def test_fields_named_twice_are_noticed():
    twice: list[str] = []
    decode_body(b'{"spec":{"a":1,"a":2,"b":[{"c":1,"c":2}]}}', decode.JSON, JOB, twice)
    assert twice == ["spec.a", "spec.b[0].c"]
    twice.clear()
    obj = decode_body(b"spec: {parallelism: 1, parallelism: 2}", decode.YAML, JOB, twice)
    assert (twice, obj["spec"]) == (["parallelism"], {"parallelism": 2})


def test_yaml_is_read_as_kubernetes_reads_it():
    obj = decode_body(b"a: 2026-01-01\nb: yes\nc: n\nd: 010\n1: x\ne: 1e3\n", decode.YAML, JOB)
    assert (obj["a"], obj["b"], obj["c"], obj["1"]) == ("2026-01-01", True, False, "x")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0.5", "500m"), ("1024Mi", "1Gi"), ("1000", "1k"), ("1.5Ki", "1536"), ("1e3", "1e3"), ("2000m", "2"),
        ("1023Ki", "1023Ki"), ("0", "0"), ("-1500m", "-1500m"), ("1.1Ki", "1126400m"), (".5", "500m"),
        ("1E", "1E"), ("1Ei", "1Ei"), ("123456789", "123456789"), ("0.0000000001", "1n"), ("512", "512"), ("5.", "5."),
    ],
)  # fmt: skip
def test_quantities_are_canonical(text, canonical):
    assert quantity.canonical(text) == canonical
    assert quantity.canonical(canonical) == canonical


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**15 - 1), st.sampled_from(["", "m", "u", "k", "M", "Ki", "Mi", "Gi", "e2", "E-3"]))
def test_the_canonical_form_keeps_the_value(number, suffix):
    text = f"{number}{suffix}"
    assert quantity.parse(quantity.canonical(text)) == quantity.parse(text)


@pytest.mark.parametrize("text", ["", "x", "1x", "1 Gi", "1.2.3", "0x1", "1" * 70])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(quantity.QuantityError, match="quantities must match"):
        quantity.parse(text)


def test_the_table_loads_once():
    assert schema() is schema()
