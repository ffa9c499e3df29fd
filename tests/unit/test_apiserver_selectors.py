"""Label and field selectors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.selectors import parse_fields, parse_labels, single_name
from gke_notebook.sandbox.apiserver.status import StatusError

KIND = {kind.kind: kind for kind in KINDS}


def labelled(**labels):
    return {"metadata": {"labels": labels}} if labels else {"metadata": {}}


@pytest.mark.parametrize(
    ("text", "labels", "fits"),
    [
        ("", {}, True),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("!a", {"a": "1"}, False),
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a in (1,2)", {}, False),
        ("a notin (1,2)", {}, True),
        ("a notin (1,2)", {"a": "1"}, False),
        ("a in ()", {"a": ""}, True),
        ("a in (,b)", {"a": ""}, True),
        ("a=", {"a": ""}, True),
        ("a>5", {"a": "6"}, True),
        ("a>5", {"a": "x"}, False),
        ("a<5", {"a": "4"}, True),
        ("in in (in, notin)", {"in": "notin"}, True),
        ("a=1,b,!c", {"a": "1", "b": "2"}, True),
        ("a=1,b,!c", {"a": "1", "b": "2", "c": "3"}, False),
    ],
)
def test_label_selectors(text, labels, fits):
    assert parse_labels(text)(labelled(**labels)) is fits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
    ],
)
def test_wrong_label_selectors_are_refused_in_the_servers_words(text, message):
    with pytest.raises(StatusError) as caught:
        parse_labels(text)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_keys_and_values_must_be_labels():
    with pytest.raises(StatusError, match="for 'Gt', 'Lt' operators, the value must be an integer"):
        parse_labels("a>x")
    with pytest.raises(StatusError, match='unable to parse requirement: <nil>: Invalid value: "-a": name part must'):
        parse_labels("-a")
    with pytest.raises(StatusError, match=r'values\[0\]\[a\]: Invalid value: "-": a valid label must be'):
        parse_labels("a=-")


words = st.text("abz019-", min_size=1, max_size=6).filter(lambda word: word[0] != "-" and word[-1] != "-")


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(words, words, max_size=4), st.dictionaries(words, words, max_size=3))
def test_equality_is_being_a_part(labels, wanted):
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    assert parse_labels(text)({"metadata": {"labels": labels}}) is (wanted.items() <= labels.items())


@settings(deadline=None, max_examples=60)
@given(words, st.sets(words, min_size=1, max_size=4), st.dictionaries(words, words, max_size=4))
def test_notin_is_the_opposite_of_in(key, values, labels):
    inside = parse_labels(f"{key} in ({','.join(values)})")({"metadata": {"labels": labels}})
    outside = parse_labels(f"{key} notin ({','.join(values)})")({"metadata": {"labels": labels}})
    assert inside is not outside


@settings(deadline=None, max_examples=60)
@given(st.text("ab=!(),<> in", max_size=12))
def test_no_label_selector_crashes(text):
    try:
        found = parse_labels(text)
    except StatusError as error:
        assert error.message  # noqa: PT017 - either outcome is right, another exception is not
    else:
        assert found({"metadata": {}}) in {True, False}


POD = {
    "metadata": {"name": "x", "namespace": "n"},
    "spec": {"nodeName": "n1", "restartPolicy": "Never"},
    "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
}


@pytest.mark.parametrize(
    ("kind", "text", "obj", "fits"),
    [
        ("Pod", "", POD, True),
        ("Pod", "metadata.name=x,metadata.namespace==n", POD, True),
        ("Pod", "status.phase!=Running", POD, False),
        ("Pod", "spec.nodeName=", POD, False),
        ("Pod", "spec.nodeName!=", POD, True),
        ("Pod", "spec.hostNetwork=false", POD, True),
        ("Pod", "status.podIPs=10.0.0.1", POD, True),
        ("Pod", "spec.nodeName=n1", {"metadata": {}}, False),
        ("Event", "involvedObject.name=p", {"metadata": {}, "involvedObject": {"name": "p"}}, True),
        ("Event", "source=kubelet", {"metadata": {}, "source": {"component": "kubelet"}}, True),
        ("Event", "reportingComponent=k", {"metadata": {}, "reportingComponent": "k"}, True),
        ("Event", "type=Normal,reason=R", {"metadata": {}, "type": "Normal", "reason": "R"}, True),
        ("Job", "status.successful=1", {"metadata": {}, "status": {"succeeded": 1}}, True),
        ("Job", "status.successful=0", {"metadata": {}}, True),
        ("Node", "spec.unschedulable=true", {"metadata": {}, "spec": {"unschedulable": True}}, True),
        ("Namespace", "status.phase=Active", {"metadata": {}, "status": {"phase": "Active"}}, True),
        ("Secret", "type=Opaque", {"metadata": {}, "type": "Opaque"}, True),
        ("ConfigMap", "metadata.name=x", {"metadata": {"name": "x"}}, True),
        ("ConfigMap", r"metadata.name=a\,b", {"metadata": {"name": "a,b"}}, True),
    ],
)  # fmt: skip
def test_field_selectors(kind, text, obj, fits):
    assert parse_fields(KIND[kind], text)(obj) is fits


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("Pod", "foo=1", "field label not supported: foo"),
        ("Job", "spec.x=1", 'field label "spec.x" not supported for Job'),
        ("ConfigMap", "data=1", '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("Pod", "foo", "invalid selector: 'foo'; can't understand 'foo'"),
        ("Pod", "metadata.name=x,y", "invalid selector: 'metadata.name=x,y'; can't understand 'y'"),
    ],
)
def test_wrong_field_selectors_are_refused_in_the_servers_words(kind, text, message):
    with pytest.raises(StatusError) as caught:
        parse_fields(KIND[kind], text)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_the_one_name_asked_for():
    assert single_name("metadata.name=x,status.phase=Running") == "x"
    assert single_name("metadata.name!=x") is None
    assert single_name("") is None
