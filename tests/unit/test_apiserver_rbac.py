"""Rules, rights and tokens, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver import bootstrap
from gke_notebook.sandbox.apiserver.auth import Authenticator
from gke_notebook.sandbox.apiserver.authorization.requests import wanted as requested
from gke_notebook.sandbox.apiserver.authorization.resolver import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    ROLE_BINDINGS,
    Authorizer,
)
from gke_notebook.sandbox.apiserver.authorization.rules import Attributes, allows, missing
from gke_notebook.sandbox.apiserver.authorization.tokens import Tokens
from gke_notebook.sandbox.apiserver.authorization.users import MASTERS, User, account_name, split_account
from gke_notebook.sandbox.apiserver.kinds import KINDS, Kind, find
from gke_notebook.sandbox.apiserver.paths import Target, parse
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.store import Store

ACCOUNTS, PODS = find("", "v1", "serviceaccounts"), find("", "v1", "pods")
WORDS = st.lists(
    st.sampled_from(["*", "get", "list", "pods", "pods/log", "*/log", "", "batch"]), min_size=1, max_size=3
)
RULES = st.fixed_dictionaries({"verbs": WORDS, "apiGroups": WORDS, "resources": WORDS})


@given(st.lists(RULES, max_size=3))
def test_nobody_lacks_what_they_have(rules: list[dict[str, Any]]):
    assert missing(rules, rules) == []
    assert missing([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], rules) == []


@given(RULES, st.sampled_from(["get", "list"]), st.sampled_from(["", "batch"]), st.sampled_from(["", "log"]))
def test_what_is_covered_is_allowed(rule: dict[str, Any], verb: str, group: str, below: str):
    wanted = {"verbs": [verb], "apiGroups": [group], "resources": ["pods/log" if below else "pods"]}
    assert allows(rule, Attributes(verb, group, "pods", below)) == (missing([rule], [wanted]) == [])


def test_paths_and_names():
    rule = {"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*"]}
    assert allows(rule, Attributes("get", path="/api/v1"))
    assert not allows(rule, Attributes("get", path="/apis"))
    assert not allows(rule, Attributes("post", path="/api"))
    named = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}
    assert allows(named, Attributes("get", "", "pods", name="a"))
    assert not allows(named, Attributes("get", "", "pods"))
    assert missing([named], [{**named, "resourceNames": ["a", "b"]}]) == [
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}'
    ]


def bound(store: Store, subject: dict[str, Any], role: str, namespace: str = "") -> None:
    kind = ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS
    meta = {"name": f"to-{role}", **({"namespace": namespace} if namespace else {})}
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    store.put(kind, {"metadata": meta, "subjects": [subject], "roleRef": reference})


def test_bindings_hold_from_the_moment_they_are_written_until_they_go():
    store = Store.open(None)
    bootstrap.ensure(store)
    authorizer = Authorizer(store)
    ada, asked = User("ada", ("team",)), Attributes("list", "", "pods", namespace="a")
    assert authorizer.decide(ada, asked) == (False, "")
    assert authorizer.decide(User("root", (MASTERS,)), asked)[0]
    bound(store, {"kind": "Group", "name": "team"}, "view", "a")
    may, why = authorizer.decide(ada, asked)
    assert may
    assert why == 'RBAC: allowed by RoleBinding "to-view/a" of ClusterRole "view" to Group "team"'
    assert not authorizer.decide(ada, Attributes("list", "", "pods", namespace="b"))[0]
    bound(store, {"kind": "User", "name": "ada"}, "nothing", "b")
    problem = f'RBAC: clusterrole.{GROUP} "nothing" not found'
    assert authorizer.decide(ada, Attributes("list", "", "pods", namespace="b")) == (False, problem)
    entry = store.get(CLUSTER_ROLES, "", "view")
    assert entry is not None
    store.delete(CLUSTER_ROLES, entry)
    assert not authorizer.decide(ada, asked)[0]


def test_a_service_account_is_bound_by_its_name():
    store = Store.open(None)
    bootstrap.ensure(store)
    bound(store, {"kind": "ServiceAccount", "name": "robot"}, "view", "a")
    asked = Attributes("list", "", "pods", namespace="a")
    assert Authorizer(store).decide(User(account_name("a", "robot")), asked)[0]
    assert not Authorizer(store).decide(User(account_name("b", "robot")), asked)[0]
    assert split_account(account_name("a", "robot")) == ("a", "robot")
    assert [split_account(each) for each in ("ada", "system:serviceaccount:a", "system:serviceaccount:a:b:c")] == [
        None
    ] * 3


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/", {}, Attributes("get", path="/")),
        ("OPTIONS", "/api/v1", {}, Attributes("options", path="/api/v1")),
        ("GET", "/apis/batch/v1", {}, Attributes("get", path="/apis/batch/v1")),
        ("GET", "/api/v1/pods", {}, Attributes("list", "", "pods")),
        ("GET", "/api/v1/pods", {"watch": "false"}, Attributes("list", "", "pods")),
        ("GET", "/api/v1/pods", {"watch": ""}, Attributes("watch", "", "pods")),
        ("GET", "/api/v1/watch/pods", {}, Attributes("watch", "", "pods")),
        ("HEAD", "/api/v1/namespaces/a/pods/x", {}, Attributes("get", "", "pods", "", "a", "x")),
        ("DELETE", "/api/v1/namespaces/a/pods", {}, Attributes("deletecollection", "", "pods", "", "a")),
        ("POST", "/api/v1/namespaces/a/pods/x/eviction", {}, Attributes("create", "", "pods", "eviction", "a", "x")),
        ("PUT", "/api/v1/namespaces/a/finalize", {}, Attributes("update", "", "namespaces", "finalize", "a", "a")),
        ("GET", "/api/v1/namespaces/a", {}, Attributes("get", "", "namespaces", "", "a", "a")),
        ("GET", "/apis/x.example.com/v1/things/a", {}, Attributes("get", "x.example.com", "things", "", "", "a")),
        ("OPTIONS", "/api/v1/pods", {}, Attributes("", "", "pods")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=x"}, Attributes("list", "", "pods", name="x")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name!=x"}, Attributes("list", "", "pods")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=a/b"}, Attributes("list", "", "pods")),
        ("GET", "/api/v1/pods", {"fieldSelector": "a=b,metadata.name==x"}, Attributes("list", "", "pods", name="x")),
        ("GET", "/api/v1/pods", {"fieldSelector": "="}, Attributes("list", "", "pods")),
    ],
)
def test_the_request_says_what_is_wanted(method: str, path: str, query: dict[str, str], expected: Attributes):
    assert requested(method, path, query) == expected


SEGMENTS = st.sampled_from(["namespaces", "a", "status", "watch", "proxy", "x%2Fstatus", "pods%2F", "%2e%2e", "..", ""])


@given(st.sampled_from(KINDS), st.lists(SEGMENTS, max_size=4), st.booleans())
def test_rights_are_asked_for_what_is_answered(kind: Kind, more: list[str], inside: bool):
    group = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    path = "/".join([group, *(["namespaces", "n"] if inside else []), kind.plural, *more])
    asked = requested("PUT", path, {})
    try:
        target = parse(path)
    except StatusError:
        return
    if target is None:
        return
    assert (asked.group, asked.resource) == (target.kind.group, target.kind.plural)
    assert (asked.name, asked.subresource) == (target.name, target.subresource)
    assert asked.namespace == (target.name if target.kind.plural == "namespaces" else target.namespace)


def test_what_is_no_bearer_token_is_nobody():
    authenticator = Authenticator({"secret": User("ada")})
    for header in ("", "Basic YTpi", "Bearer", "Bearer ", "secret", "Bearersecret"):
        user, warnings = authenticator.user(header)
        assert user is not None
        assert (user.name, user.all_groups, warnings) == ("system:anonymous", ("system:unauthenticated",), [])
    user, warnings = authenticator.user("Bearer  secret")
    assert user is not None
    assert (user.name, len(warnings)) == ("system:anonymous", 1)
    for header in ("Bearer secret", "bearer secret", " Bearer secret more "):
        user, _ = authenticator.user(header)
        assert user is not None
        assert user.name == "ada"
    assert authenticator.user("Bearer wrong") == (None, [])


def account(store: Store, uid: str = "u1") -> None:
    assert ACCOUNTS is not None
    store.put(ACCOUNTS, {"metadata": {"namespace": "a", "name": "robot", "uid": uid}})


def test_tokens_are_good_as_long_as_what_they_are_bound_to():
    store = Store.open(None)
    account(store)
    meta = {"namespace": "a", "name": "p", "uid": "p1"}
    pod = store.put(PODS, {"metadata": meta, "spec": {"serviceAccountName": "robot", "nodeName": "n"}})
    tokens = Tokens(store, b"key")
    target = Target(ACCOUNTS, "a", "robot", "token")
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    plain = tokens.create(target, {}, dry_run=False)["status"]["token"]
    bound_token = tokens.create(target, {"spec": {"boundObjectRef": reference}}, dry_run=False)["status"]["token"]
    user = tokens.user(plain)
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:a:robot", "u1")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")
    found = tokens.user(bound_token)
    assert found is not None
    assert found.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert found.extra["authentication.kubernetes.io/node-name"] == ("n",)
    store.delete(PODS, pod)
    assert tokens.user(bound_token) is None
    assert tokens.user(plain) is not None
    assert Tokens(store, b"other").user(plain) is None
    assert Authenticator({}, tokens).user(f"Bearer {plain}") == (user, [])
    account(store, uid="u2")  # deleted and made again
    assert tokens.user(plain) is None


def test_tokens_for_others_and_expired_ones_are_refused():
    store = Store.open(None)
    account(store)
    tokens = Tokens(store, b"key")
    target = Target(ACCOUNTS, "a", "robot", "token")
    elsewhere = tokens.create(target, {"spec": {"audiences": ["elsewhere"]}}, dry_run=False)["status"]["token"]
    assert tokens.user(elsewhere) is None
    assert tokens.user(tokens.create(target, {}, dry_run=True)["status"]["token"]) is None
    for body in ({"spec": {"expirationSeconds": 599}}, {"spec": {"expirationSeconds": 2**32 + 1}}):
        with pytest.raises(StatusError, match="may not specify a duration"):
            tokens.create(target, body, dry_run=False)


@given(
    st.text(max_size=40) | st.builds("{}.{}.{}".format, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9))
)
def test_no_text_is_a_token(text: str):
    assert Tokens(Store.open(None), b"key").user(text) is None
