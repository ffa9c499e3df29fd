"""Who may do what, on both servers; users are impersonated by one who may do everything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from tests.contract.both import Both, Side

Object = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
ROLES = Resource(GROUP, "v1", "roles", "Role")
BINDINGS = Resource(GROUP, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(GROUP, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_BINDINGS = Resource(GROUP, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
ADA = {"Impersonate-User": "ada"}


def role(name: str, *rules: Object, kind: str = "Role") -> Object:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def rule(verbs: str, resources: str, group: str = "", **more: Any) -> Object:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **more}


def binding(name: str, to: Object, reference: str, kind: str = "RoleBinding", of: str = "Role") -> Object:
    return {
        "apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "subjects": [to],
        "roleRef": {"apiGroup": GROUP, "kind": of, "name": reference},
    }  # fmt: skip


USER = {"kind": "User", "name": "ada", "apiGroup": GROUP}


async def bind(side: Side, name: str, *rules: Object) -> None:
    await side.client.create(ROLES, role(name, *rules), side.namespace)
    await side.client.create(BINDINGS, binding(name, USER, name), side.namespace)
    await settled(side, ADA, rules[0]["verbs"][0], rules[0]["resources"][0], rules[0]["apiGroups"][0])


async def settled(side: Side, headers: Object, verb: str, resource: str, group: str = "") -> None:
    """Wait until a right holds: a real server learns of roles by a watch."""
    name = "" if resource != "configmaps" else "one"
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": side.namespace, "name": name}
    body = {"spec": {"resourceAttributes": attributes}}
    for _ in range(200):
        answer = await side.ask(
            "POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", body, headers=headers, record=False
        )
        if answer["body"]["status"]["allowed"]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never allowed: {attributes}")


def brief(answer: Object) -> Any:
    body = answer["body"]
    if answer["status"] < 300:
        return answer["status"]
    return [answer["status"], body["reason"], body["message"], body.get("details")]


async def test_what_is_not_allowed_is_denied_word_for_word(both: Both):
    async def scenario(side: Side) -> Any:
        await bind(
            side, "reader", rule("get list watch", "pods pods/log"), rule("get", "configmaps", resourceNames=["one"]),
            rule("create", "*/eviction"), rule("*", "jobs", "batch"),
        )  # fmt: skip
        said = []
        jobs = Resource("batch", "v1", "jobs", "Job")
        for method, path, params in (
            ("GET", side.path(PODS), None),
            ("GET", side.path(PODS), {"watch": "1", "timeoutSeconds": "1"}),
            ("GET", PODS.path(None), None),
            ("GET", PODS.path("kube-system"), None),
            ("POST", side.path(PODS), None),
            ("DELETE", side.path(PODS), None),
            ("DELETE", side.path(PODS, "x"), None),
            ("PUT", side.path(PODS, "x", "status"), None),
            ("PATCH", side.path(PODS, "x"), None),
            ("GET", side.path(PODS, "x", "log"), None),
            ("GET", side.path(CONFIG_MAPS, "one"), None),
            ("GET", side.path(CONFIG_MAPS, "two"), None),
            ("GET", side.path(CONFIG_MAPS), None),
            ("GET", side.path(CONFIG_MAPS), {"fieldSelector": "metadata.name=one"}),
            ("GET", side.path(jobs), None),
            ("DELETE", side.path(jobs), None),
            ("GET", NODES.path(None), None),
            ("GET", NODES.path(None, "n"), None),
            ("GET", NAMESPACES.path(None, side.namespace), None),
            ("GET", NAMESPACES.path(None), None),
            ("DELETE", NAMESPACES.path(None, side.namespace), None),
            ("GET", side.path(SECRETS, "<b>"), None),
            ("GET", "/metrics", None),
            ("GET", "/apis", None),
            ("GET", "/version", None),
            ("POST", "/apis", None),
        ):
            body = {} if method in {"POST", "PUT", "PATCH"} else None
            kind = MERGE_PATCH if method == "PATCH" else "application/json"
            answer = await side.ask(method, path, body, params=params, headers=ADA, content_type=kind)
            said.append([f"{method} {path}", brief(answer)])
        return said

    await both.compare(scenario, kind="Role", feature="denials word for word")


async def test_reviews_tell_the_truth(both: Both):
    async def scenario(side: Side) -> Any:
        await bind(side, "reader", rule("get list", "pods"))
        said = []
        for attributes in (
            {"verb": "get", "resource": "pods", "namespace": side.namespace},
            {"verb": "get", "resource": "pods", "namespace": side.namespace, "subresource": "log"},
            {"verb": "get", "resource": "pods"},
            {"verb": "get", "resource": "pods", "namespace": "default"},
            {"verb": "*", "resource": "*", "group": "*"},
        ):
            for spec, kind, headers in (
                ({}, "selfsubjectaccessreviews", ADA),
                ({"user": "ada"}, "subjectaccessreviews", None),
                ({"user": "admin", "groups": ["system:masters"]}, "subjectaccessreviews", None),
                ({"groups": ["nobody"]}, "subjectaccessreviews", None),
            ):
                body = {"spec": {"resourceAttributes": attributes, **spec}}
                answer = await side.ask("POST", f"{AUTHORIZATION}/{kind}", body, headers=headers)
                said.append(answer["body"].get("status"))
        for path in ("/api/v1", "/metrics"):
            body = {"spec": {"nonResourceAttributes": {"verb": "get", "path": path}}}
            said.append(
                (await side.ask("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", body, headers=ADA))["body"]
            )
        local = f"{AUTHORIZATION}/namespaces/{side.namespace}/localsubjectaccessreviews"
        attributes = {"verb": "get", "resource": "pods", "namespace": side.namespace}
        body = {"metadata": {"namespace": side.namespace}, "spec": {"resourceAttributes": attributes, "user": "ada"}}
        said.append((await side.ask("POST", local, body))["body"]["status"])
        attributes["namespace"] = "default"
        said.append(brief(await side.ask("POST", local, body)))
        for kind in ("subjectaccessreviews", "selfsubjectaccessreviews"):
            both_kinds = {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"verb": "get", "path": "/"}}
            said += [
                brief(await side.ask("POST", f"{AUTHORIZATION}/{kind}", {"spec": spec})) for spec in ({}, both_kinds)
            ]
        said.append(brief(await side.ask("POST", f"{AUTHORIZATION}/subjectaccessreviews", body, headers=ADA)))
        rules = {"spec": {"namespace": side.namespace}}
        answer = await side.ask("POST", f"{AUTHORIZATION}/selfsubjectrulesreviews", rules, headers=ADA)
        found = answer["body"]["status"]
        said.append(sorted(found["resourceRules"], key=str))
        whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        headers = {**ADA, "Impersonate-Group": "team", "Impersonate-Extra-Scopes": "view", "Impersonate-Uid": "7"}
        said.append((await side.ask("POST", whoami, {}, headers=headers))["body"])
        lost = {"Impersonate-User": "lost"}
        subject = {**USER, "name": "lost"}
        await side.client.create(BINDINGS, binding("never", subject, "never"), side.namespace)
        await asyncio.sleep(0.5)  # a real server learns of bindings by a watch
        said.append(brief(await side.ask("GET", side.path(PODS), headers=lost)))
        return said

    await both.compare(scenario, kind="SubjectAccessReview", feature="access, rules and subject reviews")


async def test_nobody_gives_away_what_they_do_not_have(both: Both):
    async def scenario(side: Side) -> Any:
        await bind(
            side, "manager", rule("create update patch get", "roles rolebindings", GROUP), rule("get list", "pods"),
        )  # fmt: skip
        grants = [
            role("same", rule("get", "pods")),
            role("more", rule("get delete watch", "pods"), rule("get", "secrets configmaps")),
            role("named", rule("get", "pods", resourceNames=["a"])),
            role("all", rule("*", "*", "*")),
            binding("again", USER, "manager"),
            binding("admin", USER, "cluster-admin", of="ClusterRole"),
            binding("nothing", USER, "nothing"),
        ]
        said = []
        for body in grants:
            resource = ROLES if body["kind"] == "Role" else BINDINGS
            said.append(brief(await side.ask("POST", side.path(resource), body, headers=ADA)))
        change = {"rules": [rule("get", "pods"), rule("list", "secrets")]}
        path = side.path(ROLES, "same")
        said.append(brief(await side.ask("PATCH", path, change, headers=ADA, content_type=MERGE_PATCH)))
        label = {"metadata": {"labels": {"a": "b"}}}
        said.append(brief(await side.ask("PATCH", path, label, headers=ADA, content_type=MERGE_PATCH)))
        await side.client.create(ROLES, role("binder", rule("bind", "clusterroles", GROUP)), side.namespace)
        await side.client.create(BINDINGS, binding("binder", USER, "binder"), side.namespace)
        await settled(side, ADA, "bind", "clusterroles", GROUP)
        said.append(brief(await side.ask("POST", side.path(BINDINGS), grants[5], headers=ADA)))
        return said

    await both.compare(scenario, kind="RoleBinding", feature="escalation")


@pytest.mark.parametrize("name", ["view", "edit", "admin"])
async def test_the_usual_roles(both: Both, name: str):
    async def scenario(side: Side) -> Any:
        await side.client.create(BINDINGS, binding("usual", USER, name, of="ClusterRole"), side.namespace)
        await settled(side, ADA, "get", "pods")
        said = []
        for resource, group in (
            ("pods", ""), ("pods/log", ""), ("pods/eviction", ""), ("pods/status", ""), ("pods/binding", ""),
            ("secrets", ""), ("configmaps", ""), ("services", ""), ("serviceaccounts", ""),
            ("serviceaccounts/token", ""),
            ("events", ""), ("endpoints", ""), ("resourcequotas", ""), ("limitranges", ""), ("namespaces", ""),
            ("nodes", ""), ("jobs", "batch"), ("jobs/status", "batch"), ("leases", "coordination.k8s.io"),
            ("roles", GROUP),
            ("rolebindings", GROUP), ("clusterroles", GROUP), ("priorityclasses", "scheduling.k8s.io"),
            ("localsubjectaccessreviews", "authorization.k8s.io"),
        ):  # fmt: skip
            plural, _, below = resource.partition("/")
            for verb in ("get", "list", "create", "update", "patch", "delete", "deletecollection", "impersonate"):
                attributes = {"verb": verb, "group": group, "resource": plural, "namespace": side.namespace}
                if below:
                    attributes["subresource"] = below
                body = {"spec": {"resourceAttributes": attributes}}
                path = f"{AUTHORIZATION}/selfsubjectaccessreviews"
                answer = await side.ask("POST", path, body, headers=ADA, record=False)
                said.append([verb, resource, group, answer["body"]["status"]["allowed"]])
        return said

    await both.compare(scenario, kind="ClusterRole", feature="default roles")


@pytest.mark.parametrize(
    "body",
    [
        role("wrong", {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}),
        role("wrong", {"verbs": [], "apiGroups": [""], "resources": ["pods"]}),
        role("wrong", {"verbs": ["get"], "resources": ["pods"]}),
        role("wrong", {"verbs": ["get"], "apiGroups": [""]}),
        role("with:colon"),
        binding("wrong", USER, "x", of="Group"),
        binding("wrong", {"kind": "Robot", "name": "r"}, "x"),
        binding("wrong", {"kind": "User", "name": ""}, "x"),
        binding("wrong", {"kind": "ServiceAccount", "name": "Up", "apiGroup": GROUP}, "x"),
        binding("wrong", USER, ""),
    ],
    ids=str,
)
async def test_malformed_roles_and_bindings(both: Both, body: Object):
    async def scenario(side: Side) -> Any:
        resource = ROLES if body["kind"] == "Role" else BINDINGS
        answer = await side.ask("POST", side.path(resource), body)
        return [answer["status"], {key: answer["body"].get(key) for key in ("message", "details", "rules", "reason")}]

    await both.compare(scenario, kind=body["kind"], feature="validation")


async def test_a_binding_keeps_its_role(both: Both):
    async def scenario(side: Side) -> Any:
        body = binding(
            "b", {"kind": "ServiceAccount", "name": "default", "namespace": side.namespace}, "view", of="ClusterRole"
        )
        await side.ask("POST", side.path(BINDINGS), body)
        change = {"roleRef": {"name": "edit"}}
        await side.ask("PATCH", side.path(BINDINGS, "b"), change, content_type=MERGE_PATCH)
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        answer = await side.ask("GET", side.path(BINDINGS), headers=table, record=False)
        cells = [row["cells"][:2] + row["cells"][3:] for row in answer["body"]["rows"]]
        side.transcript.append([[each["name"] for each in answer["body"]["columnDefinitions"]], cells])

    await both.compare(scenario, kind="RoleBinding", feature="roleRef is immutable; table")


async def test_impersonation_has_to_be_allowed(both: Both):
    async def scenario(side: Side) -> Any:
        account = {"kind": "ServiceAccount", "metadata": {"name": "robot"}}
        await side.client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", **account}, side.namespace)
        robot = f"system:serviceaccount:{side.namespace}:robot"
        request = {"spec": {"expirationSeconds": 600}}
        made = await side.ask("POST", side.path(SERVICE_ACCOUNTS, "robot", "token"), request, record=False)
        token = {"Authorization": f"Bearer {made['body']['status']['token']}"}
        said = [made["status"], sorted(made["body"]["status"])]
        whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        found = (await side.ask("POST", whoami, {}, headers=token, record=False))["body"]["status"]["userInfo"]
        said.append([found["username"], found["groups"], sorted(found["extra"])])
        whom: list[Object] = [
            {"Impersonate-User": "ada"},
            {"Impersonate-User": "system:serviceaccount:default:default"},
            {"Impersonate-User": robot},
            {"Impersonate-User": "ada", "Impersonate-Group": "team"},
        ]
        said += [brief(await side.ask("POST", whoami, {}, headers={**token, **each})) for each in whom]
        await side.client.create(ROLES, role("reader", rule("list", "pods")), side.namespace)
        subject = {"kind": "ServiceAccount", "name": "robot"}
        said.append(brief(await side.ask("GET", side.path(PODS), headers=token)))
        await side.client.create(BINDINGS, binding("robot", subject, "reader"), side.namespace)
        await settled(side, token, "list", "pods")
        said.append(brief(await side.ask("GET", side.path(PODS), headers=token)))
        said.append(
            brief(await side.ask("GET", side.path(PODS), headers={"Authorization": token["Authorization"] + "x"}))
        )
        wrong: list[Object] = [
            {"expirationSeconds": 10},
            {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "no"}},
            {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "no"}},
        ]
        path = side.path(SERVICE_ACCOUNTS, "robot", "token")
        said += [brief(await side.ask("POST", path, {"spec": each})) for each in wrong]
        said.append(brief(await side.ask("POST", side.path(SERVICE_ACCOUNTS, "nobody", "token"), request)))
        return said

    await both.compare(scenario, kind="ServiceAccount", feature="tokens, impersonation")


@pytest.mark.kubectl
async def test_kubectl_asks_and_acts_as_somebody_else(both: Both):
    async def scenario(side: Side) -> Any:
        await side.run_kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
        await side.run_kubectl("create", "rolebinding", "reader", "--role=reader", "--user=ada")
        await settled(side, ADA, "list", "pods")
        for words in (
            ("auth", "can-i", "list", "pods", "--as=ada"),
            ("auth", "can-i", "delete", "pods", "--as=ada"),
            ("get", "pods", "--as=ada"),
            ("get", "secrets", "--as=ada"),
            ("auth", "whoami", "--as=ada", "--as-group=team", "-o", "jsonpath={.status.userInfo}"),
            ("get", "rolebindings", "-o", "name"),
            ("describe", "rolebinding", "reader"),
            ("describe", "role", "reader"),
        ):
            await side.run_kubectl(*words)

    await both.compare(scenario, kind="Role", feature="kubectl create role, auth can-i, --as")
