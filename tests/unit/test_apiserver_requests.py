"""What a request is about, what it asks for, and who may ask: all without a server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict

from gke_notebook.sandbox.apiserver import deletes, logs, metadata, options, paths, respond
from gke_notebook.sandbox.apiserver.auth import Authenticator, User
from gke_notebook.sandbox.apiserver.kinds import find
from gke_notebook.sandbox.apiserver.negotiate import Form, negotiate
from gke_notebook.sandbox.apiserver.options import Continue, ListOptions, decode_continue, encode_continue
from gke_notebook.sandbox.apiserver.paths import Target, parse
from gke_notebook.sandbox.apiserver.reads import predicate
from gke_notebook.sandbox.apiserver.selectors import parse_fields
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.store import head

PODS, NODES, NAMESPACES = (find("", "v1", plural) for plural in ("pods", "nodes", "namespaces"))
JOBS = find("batch", "v1", "jobs")


def code_of(call: Callable[[], object]) -> int:
    """The HTTP status code of what a call raises, 200 when it succeeds."""
    try:
        call()
    except StatusError as error:
        return error.code
    return 200


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/v1/pods", Target(PODS)),
        ("/api/v1/pods/", Target(PODS)),
        ("/api/v1/namespaces/a/pods", Target(PODS, "a")),
        ("/api/v1/namespaces/a/pods/x", Target(PODS, "a", "x")),
        ("/api/v1/namespaces/a/pods/x/log", Target(PODS, "a", "x", "log")),
        ("/api/v1/namespaces/a/pods/x%2Fy", Target(PODS, "a", "x/y")),
        ("/api/v1/nodes/n/status", Target(NODES, "", "n", "status")),
        ("/api/v1/namespaces", Target(NAMESPACES)),
        ("/api/v1/namespaces/a", Target(NAMESPACES, "", "a")),
        ("/api/v1/namespaces/a/status", Target(NAMESPACES, "", "a", "status")),
        ("/api/v1/namespaces/a/finalize", Target(NAMESPACES, "", "a", "finalize")),
        ("/apis/batch/v1/namespaces/a/jobs/x", Target(JOBS, "a", "x")),
        ("/api/v1/watch/namespaces/a/pods/x", Target(PODS, "a", "x", watch=True)),
        ("/api/v1", None),
        ("/apis/batch/v1", None),
        ("/apis/other.example/v1/things", None),
        ("/api/v1//pods", None),
    ],
)
def test_paths(path: str, found: Target | None):
    assert parse(path) == found


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/things",
        "/api/v2/pods",
        "/api/v1/pods/x",
        "/api/v1/namespaces/a/nodes",
        "/api/v1/namespaces/a/pods/x/things",
        "/api/v1/namespaces/a/pods/x/log/more",
        "/apis/batch/v1/namespaces/a/pods",
        "/api/v1/watch",
    ],
)
def test_paths_of_nothing(path: str):
    with pytest.raises(StatusError) as caught:
        parse(path)
    assert caught.value.code == 404


@given(st.text(alphabet="/%apisv1nmepod.é \x00", max_size=60))
@settings(deadline=None)
def test_any_path_is_read_or_refused(text: str):
    assert code_of(lambda: parse("/api/" + text)) in {200, 404}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/json", Form()),
        ("application/vnd.kubernetes.protobuf, application/json", Form()),
        ("application/yaml", Form("application/yaml")),
        ("application/json;q=0.5, application/yaml", Form("application/yaml")),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form(shape="Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Form()),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Form(shape="PartialObjectMetadata")),
        ("application/json;as=Other;v=v1;g=meta.k8s.io;q=x, */*", Form()),
    ],
)
def test_negotiation(accept: str, form: Form):
    assert negotiate(accept) == form


@pytest.mark.parametrize("accept", ["text/html", "application/*", "application/json;as=Other", "nonsense"])
def test_nothing_acceptable(accept: str):
    with pytest.raises(StatusError) as caught:
        negotiate(accept)
    assert caught.value.code == 406


@given(st.text(max_size=80))
@settings(deadline=None)
def test_any_accept_header_is_understood_or_refused(text: str):
    assert code_of(lambda: negotiate(text)) in {200, 406}


def test_watches_are_json():
    assert negotiate("application/yaml, application/json", stream=True) == Form()


NAME = st.from_regex(r"[a-z0-9-]{1,9}", fullmatch=True)


@given(st.integers(-1, 2**62).filter(bool), st.lists(NAME, min_size=1, max_size=3))
def test_continue_tokens_come_back(revision: int, names: list[str]):
    start = "/".join(names) + "\0"
    assert decode_continue(encode_continue(Continue(revision, start))) == Continue(revision, start)


@pytest.mark.parametrize("start", ["../a", "a/../b", "a//b", "a/", "//a", "./a"])
def test_continue_tokens_lead_nowhere_else(start: str):
    with pytest.raises(StatusError, match="continue key is not valid"):
        decode_continue(encode_continue(Continue(1, start)))


@given(st.text(max_size=60))
@settings(deadline=None)
def test_any_continue_token_is_understood_or_refused(text: str):
    assert code_of(lambda: decode_continue(text)) in {200, 400}


QUERY = st.dictionaries(
    st.sampled_from(
        ["watch", "limit", "resourceVersion", "resourceVersionMatch", "continue", "sendInitialEvents", "timeoutSeconds"]
    ),
    st.one_of(st.text(max_size=5), st.sampled_from(["1", "true", "Exact", "NotOlderThan", "-1", "9" * 30, "٣", "1_0"])),
)


@given(QUERY)
@settings(deadline=None)
def test_any_query_is_understood_or_refused(query: dict[str, str]):
    code = code_of(lambda: options.list_options(query))
    assert code in {200, 400, 422}
    if code == 200:
        found = options.list_options(query)
        assert found.limit >= 0
        assert int(found.version or "0") >= 0


def test_write_options():
    query = MultiDict([("dryRun", "All"), ("fieldManager", "me"), ("fieldValidation", "Strict"), ("force", "true")])
    assert options.write_options(query, "agent/1", "PatchOptions") == options.WriteOptions(True, "me", "Strict", True)
    assert options.write_options({}, "kubectl/v1.32 (linux)", "CreateOptions").manager == "kubectl"
    assert options.write_options({}, "", "CreateOptions").manager == "unknown"
    for wrong in ({"dryRun": "x"}, {"fieldValidation": "x"}, {"fieldManager": "x" * 200}, {"fieldManager": "a\nb"}):
        with pytest.raises(StatusError) as caught:
            options.write_options(wrong, "", "CreateOptions")
        assert caught.value.code == 422
        assert caught.value.message.startswith('CreateOptions.meta.k8s.io "" is invalid: ')


def test_delete_options():
    body = {"gracePeriodSeconds": -5, "propagationPolicy": "Orphan", "preconditions": {"uid": "u"}, "dryRun": ["All"]}
    assert options.delete_options(body, {}) == options.DeleteOptions(True, 1, "Orphan", None, "u", "")
    query = {"gracePeriodSeconds": "0", "orphanDependents": "false"}
    assert options.delete_options(None, query) == options.DeleteOptions(grace=0, orphan=False)
    assert options.delete_options({"gracePeriodSeconds": 3}, query).grace == 3, "a body hides the query"
    with pytest.raises(StatusError):
        options.delete_options(None, {"gracePeriodSeconds": "soon"})


@pytest.mark.parametrize(
    ("spec", "phase", "asked", "seconds"),
    [
        ({}, "Pending", None, 0),
        ({"nodeName": "n"}, "Running", None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", None, 30),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 5, 5),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Failed", 5, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": -3}, "Running", None, 1),
    ],
)
def test_how_long_a_pod_has(spec: dict, phase: str, asked: int | None, seconds: int):
    assert deletes.pod_grace({"spec": spec, "status": {"phase": phase}}, asked) == seconds


def test_tokens_are_known_or_not():
    known = Authenticator({"secret": User("a"), "": User("empty")})
    assert known.user("Bearer secret") == (User("a"), [])
    assert known.user("bearer secret ") == (User("a"), [])
    for wrong in ("Bearer secret2", "Bearer secre", "Bearer \udcff"):
        assert known.user(wrong) == (None, [])
    for none in ("", "Bearer", "Bearer ", "Basic secret", "secret"):
        user, _ = known.user(none)
        assert user is not None
        assert user.name == "system:anonymous"
    assert "secret" not in repr(known.__dict__)


def test_groups_of_a_user():
    assert User("u", ("team",)).all_groups == ("team", "system:authenticated")
    assert User("u", ("team",), exact=True).all_groups == ("team",)


@pytest.mark.parametrize(
    ("kind", "obj", "selector"),
    [
        (PODS, {"spec": {"nodeName": "n"}}, "spec.nodeName=n"),
        (PODS, {"spec": {"hostNetwork": True}}, "spec.hostNetwork=true"),
        (PODS, {"status": {"podIPs": [{"ip": "1.2.3.4"}]}}, "status.podIPs=1.2.3.4"),
        (PODS, {"metadata": {"name": "x", "namespace": "a"}}, "metadata.name=x,metadata.namespace=a"),
        (JOBS, {"status": {"succeeded": 2}}, "status.successful=2"),
        (NODES, {"spec": {"unschedulable": True}}, "spec.unschedulable=true"),
        (NAMESPACES, {"status": {"phase": "Active"}}, "status.phase=Active"),
        (find("", "v1", "secrets"), {"type": "Opaque"}, "type=Opaque"),
        (find("", "v1", "services"), {"spec": {"clusterIP": "None"}}, "spec.clusterIP=None"),
        (find("", "v1", "events"), {"involvedObject": {"fieldPath": "f"}}, "involvedObject.fieldPath=f"),
        (find("", "v1", "events"), {"source": {"component": "c"}, "reason": "R"}, "source=c,reason=R"),
    ],
)
def test_selectors_find_in_the_head_what_they_find_in_the_object(kind: paths.Kind, obj: dict, selector: str):
    matches = parse_fields(kind, selector)
    assert matches(obj)
    assert matches(head(obj))
    assert not matches(head({}))


def test_all_selectors_must_match():
    matches = predicate(Target(PODS, "a", "x"), ListOptions(labels="app=x", fields="status.phase=Running"))
    assert matches is not None
    good = {"metadata": {"name": "x", "labels": {"app": "x"}}, "status": {"phase": "Running"}}
    assert matches(good)
    assert not matches({**good, "status": {}})
    assert not matches({**good, "metadata": {"name": "y", "labels": {"app": "x"}}})
    assert not matches({**good, "metadata": {"name": "x"}})
    assert predicate(Target(PODS), ListOptions()) is None


def test_generated_names_are_dns_labels():
    names = {metadata.generate_name("x" * 80) for _ in range(50)}
    assert len(names) == 50
    assert {len(name) for name in names} == {63}


def test_times():
    assert metadata.parse_timestamp(metadata.timestamp(1_700_000_000)) == 1_700_000_000
    assert metadata.parse_timestamp("2023-11-14T22:13:20.000000Z") == 1_700_000_000


def test_only_times_of_ownership_do_not_count_as_a_change():
    one = {"metadata": {"name": "x", "managedFields": [{"manager": "m", "time": "1"}]}}
    assert metadata.same(one, {"metadata": {"name": "x", "managedFields": [{"manager": "m", "time": "2"}]}})
    assert not metadata.same(one, {"metadata": {"name": "x", "managedFields": [{"manager": "n", "time": "1"}]}})
    assert not metadata.same(one, {"metadata": {"name": "x"}, "data": {}})


def test_containers_of_a_log():
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}}
    assert logs.choose_container(pod, "") == "a"
    assert logs.choose_container(pod, "i") == "i"
    with pytest.raises(StatusError, match="container z is not valid for pod p"):
        logs.choose_container(pod, "z")


def test_kubelet_addresses():
    status = {"addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "::1"}]}
    assert logs.kubelet_address({"status": status}) == ("[::1]", 10250)
    status = {**status, "daemonEndpoints": {"kubeletEndpoint": {"Port": 7}}}
    assert logs.kubelet_address({"status": status})[1] == 7
    with pytest.raises(StatusError):
        logs.kubelet_address({})


def test_warnings_are_one_header_line_each():
    answer = respond.answer(b"{}", warnings=['say "x"\r\nEvil: 1', "é", "é"])
    assert answer.headers.getall("Warning") == ['299 - "say \\"x\\"  Evil: 1"', '299 - "\\xe9"']
