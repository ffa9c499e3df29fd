"""Rules, rights and tokens, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver import bootstrap
from gke_notebook.sandbox.apiserver.auth import Authenticator, attributes
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
from gke_notebook.sandbox.apiserver.kinds import find
from gke_notebook.sandbox.apiserver.paths import Target
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


def test_the_request_says_what_is_wanted():
    assert attributes("list", Target(PODS, "a"), "metadata.name=x").name == "x"
    assert attributes("list", Target(PODS, "a"), "metadata.name!=x").name == ""
    assert attributes("list", Target(PODS, "a"), "status.phase=Running,metadata.name==x").name == "x"
    namespaces = find("", "v1", "namespaces")
    assert namespaces is not None
    assert attributes("get", Target(namespaces, "", "a")).namespace == "a"


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
    assert Authenticator({}, tokens).user(f"Bearer {plain}") == user
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
