"""What the servers refuse, and in which words."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, NAMESPACES, PODS, SECRETS, SERVICES
from tests.contract.both import Both, Side
from tests.contract.samples import ECHO, config_map, pod, sample


async def test_bodies_that_cannot_be_read(both: Both):
    async def scenario(side: Side) -> None:
        path = side.path(CONFIG_MAPS)
        for body in (
            b"", b"{", b"[]", b'"x"', b"null", b"{}", b'{"kind": "ConfigMap"}', b'{"apiVersion": "v1"}',
            b'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}',
            b'{"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}}',
            b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 7}}',
            b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": 1}}',
            b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": ["a"]}',
            b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "immutable": "yes"}',
            b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"a": true}}}',
        ):  # fmt: skip
            await side.ask("POST", path, body)
        await side.ask("POST", path, b"a: [", content_type="application/yaml")
        await side.ask(
            "POST", path, b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: y}\n", content_type="application/yaml"
        )
        await side.ask("POST", path, b"<x/>", content_type="application/xml")
        await side.ask("POST", path, config_map("z"), content_type="")
        await side.ask("PUT", side.path(CONFIG_MAPS, "x"), config_map("other"))
        await side.ask("POST", path, config_map("x", namespace="elsewhere"))

    await both.compare(scenario, kind="*", feature="bodies that cannot be read: 400, 415", rules=ECHO)


async def test_paths_methods_and_forms(both: Both):
    async def scenario(side: Side) -> None:
        path = side.path(CONFIG_MAPS)
        await side.ask("GET", path + "/a/b/c")
        await side.ask("GET", f"/api/v1/namespaces/{side.namespace}/nothings")
        await side.ask("GET", "/api/v1/nothings")
        await side.ask("GET", "/api/v2/pods")
        await side.ask("GET", "/apis/batch/v7/jobs")
        await side.ask("GET", "/apis/nothing.example.com/v1/things")
        await side.ask("GET", "/nothing")
        await side.ask("PUT", path, config_map("x"))
        await side.ask("PATCH", path, {}, content_type="application/merge-patch+json")
        await side.ask("POST", path + "/x", config_map("x"))
        await side.ask("POST", "/api/v1/configmaps", config_map("x"))
        await side.ask("DELETE", "/api/v1/configmaps")
        await side.ask("DELETE", "/api/v1/namespaces")
        await side.ask("OPTIONS", path)
        await side.ask("POST", f"/api/v1/namespaces/nowhere-{side.namespace}/configmaps", config_map("x"))
        await side.ask("GET", f"/api/v1/namespaces/nowhere-{side.namespace}/configmaps")
        for accept in (
            "application/xml",
            "text/html",
            "application/json;as=Table;v=v9;g=meta.k8s.io",
            "*/*",
            "application/yaml",
        ):
            await side.ask("GET", path + "/kube-root-ca", headers={"Accept": accept})

    await both.compare(
        scenario, kind="*", feature="paths, methods and forms that are not served: 404, 405, 406", rules=ECHO
    )


async def test_without_a_token(both: Both):
    async def scenario(side: Side) -> None:
        for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": "Bearer x.y.z"}):
            await side.ask("GET", side.path(CONFIG_MAPS), headers=headers)
            await side.ask("GET", "/version", headers=headers)
            await side.ask("GET", "/api", headers=headers)

    await both.compare(scenario, kind="*", feature="refused credentials: 401", rules=ECHO)


async def test_a_body_that_is_too_large(both: Both):
    async def scenario(side: Side) -> None:
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x", {"a": "x" * 3_200_000}))
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x", {"a": "x" * 1_100_000}))
        await side.ask("POST", side.path(SECRETS), {**sample(SECRETS, "x"), "stringData": {"a": "x" * 1_100_000}})

    await both.compare(scenario, kind="*", feature="too large: 413, 422", rules=ECHO)


async def test_field_validation(both: Both):
    async def scenario(side: Side) -> None:
        bodies: list[Any] = [
            {**config_map("x"), "what": 1, "metadata": {"name": "x", "nmae": "y"}},
            b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1", "a": "2"}}',
            b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "name": "x"}, "kind": "ConfigMap"}',
        ]
        for mode in ("Strict", "Warn", "Ignore", "", "Sometimes"):
            for body in bodies:
                params = {"fieldValidation": mode, "dryRun": "All"}
                await side.ask("POST", side.path(CONFIG_MAPS), body, params=params)
            wrong = pod(
                "x",
                {"nodeNmae": "a", "containers": [{"name": "c", "image": "i", "comand": ["x"], "env": [{"nmae": "x"}]}]},
            )
            await side.ask("POST", side.path(PODS), wrong, params={"fieldValidation": mode, "dryRun": "All"})
            job = sample(JOBS, "x")
            job["spec"]["template"]["spec"]["gpus"] = 1
            await side.ask("POST", side.path(JOBS), job, params={"fieldValidation": mode, "dryRun": "All"})
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x"))
        for mode in ("Strict", "Warn", "Ignore"):
            for kind in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
                await side.ask(
                    "PATCH", side.path(CONFIG_MAPS, "x"), {"what": 1, "data": {"b": "1"}},
                    params={"fieldValidation": mode}, content_type=kind,
                )  # fmt: skip
            await side.ask(
                "PATCH", side.path(CONFIG_MAPS, "x"), config_map("x"),
                params={"fieldValidation": mode, "fieldManager": "m", "force": "true"}, content_type="application/apply-patch+yaml",
            )  # fmt: skip
            await side.ask(
                "PATCH", side.path(CONFIG_MAPS, "x"), b'{"data": {"a": "1", "a": "2"}}',
                params={"fieldValidation": mode}, content_type="application/merge-patch+json",
            )  # fmt: skip

    await both.compare(scenario, kind="*", feature="fieldValidation Strict, Warn, Ignore", rules=ECHO)


async def test_objects_that_are_invalid(both: Both):
    async def scenario(side: Side) -> None:
        async def make(resource: Any, body: Any) -> None:
            await side.ask("POST", side.path(resource), body, params={"dryRun": "All"})

        for spec in (
            {"containers": []},
            {"containers": [{"name": "UPPER", "image": ""}]},
            {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": " i"}]},
            {"restartPolicy": "Sometimes"},
            {
                "containers": [
                    {"name": "a", "image": "i", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}
                ]
            },
            {"containers": [{"name": "a", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "1.5"}}}]},
            {"containers": [{"name": "a", "image": "i", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]},
            {"containers": [{"name": "a", "image": "i", "resources": {"limits": {"cpu": "x"}}}]},
            {
                "containers": [
                    {"name": "a", "image": "i", "env": [{"name": "1 2", "value": "x"}, {"name": "", "value": ""}]}
                ]
            },
            {"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 70000}, {"containerPort": 0}]}]},
            {"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "no", "mountPath": ""}]}]},
            {"volumes": [{"name": "v", "emptyDir": {}, "configMap": {"name": "x"}}, {"name": "v"}]},
            {"tolerations": [{"operator": "Equals", "key": "a b", "effect": "Never"}]},
            {"nodeSelector": {"a b": "c d"}},
            {"terminationGracePeriodSeconds": -1, "activeDeadlineSeconds": 0},
            {"priorityClassName": "nothing"},
            {"imagePullSecrets": [{}], "dnsPolicy": "x", "hostname": "A_B"},
        ):
            await make(PODS, pod("x", spec))
        for change in (
            {"completions": -1, "parallelism": -1, "backoffLimit": -1},
            {"completionMode": "Sometimes"},
            {"completionMode": "Indexed", "completions": None},
            {"backoffLimitPerIndex": 1, "completionMode": "NonIndexed"},
            {"maxFailedIndexes": 1},
            {"activeDeadlineSeconds": -1, "ttlSecondsAfterFinished": -1},
            {"selector": {"matchLabels": {"a": "b"}}},
            {"template": {"spec": {"restartPolicy": "Always", "containers": [{"name": "a", "image": "i"}]}}},
            {"template": {"spec": {"containers": []}}},
            {"podReplacementPolicy": "x", "managedBy": "y"},
        ):
            body = sample(JOBS, "x")
            body["spec"].update(change)
            await make(JOBS, body)
        for service in (
            {"ports": []},
            {"clusterIP": "None", "ports": [{"port": 0}, {"port": 80}]},
            {"clusterIP": "None", "type": "Odd", "selector": {"a b": "c"}},
            {"clusterIP": "300.1.1.1", "ports": [{"port": 80}]},
            {"clusterIP": "None", "sessionAffinity": "x", "ports": [{"port": 80, "protocol": "x", "name": "A B"}]},
        ):
            await make(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": service})
        for metadata in (
            {"labels": {"a b": "c"}},
            {"labels": {"x": "y" * 70}},
            {"annotations": {"a b": "c"}},
            {"finalizers": ["nothing", "a/b/c"]},
            {"ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": ""}]},
            {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True} for n in "ab"
                ]
            },
        ):
            await make(CONFIG_MAPS, config_map("x", **metadata))
        await make(CONFIG_MAPS, {**config_map("x"), "data": {"a b": "c"}, "binaryData": {"a": "!!"}})
        await make(CONFIG_MAPS, {**config_map("x"), "data": {"a": "c"}, "binaryData": {"a": "YQ=="}})
        await make(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}})

    await both.compare(scenario, kind="*", feature="invalid objects: 422 with causes", rules=ECHO)


async def test_fields_that_cannot_change(both: Both):
    async def scenario(side: Side) -> None:
        merge = "application/merge-patch+json"
        await side.ask("POST", side.path(PODS), pod("p"))
        await side.ask("POST", side.path(JOBS), sample(JOBS, "j"))
        await side.ask("POST", side.path(CONFIG_MAPS), {**config_map("c"), "immutable": True})
        await side.ask("POST", side.path(SECRETS), sample(SECRETS, "s"))
        await side.ask("POST", side.path(SERVICES), sample(SERVICES, "v"))
        for resource, name, change in (
            (PODS, "p", {"spec": {"containers": [{"name": "main", "image": "y", "command": ["z"]}]}}),
            (PODS, "p", {"spec": {"nodeName": "n"}}),
            (PODS, "p", {"metadata": {"name": "q"}}),
            (PODS, "p", {"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}}),
            (PODS, "p", {"metadata": {"namespace": "other"}}),
            (PODS, "p", {"metadata": {"creationTimestamp": None, "generation": 9}}),
            (JOBS, "j", {"spec": {"completions": 5}}),
            (JOBS, "j", {"spec": {"completionMode": "NonIndexed"}}),
            (JOBS, "j", {"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}),
            (JOBS, "j", {"spec": {"parallelism": 1, "suspend": False}}),
            (CONFIG_MAPS, "c", {"data": {"a": "2"}}),
            (CONFIG_MAPS, "c", {"immutable": False}),
            (SECRETS, "s", {"type": "kubernetes.io/tls"}),
            (SERVICES, "v", {"spec": {"clusterIP": "10.0.0.9"}}),
        ):  # fmt: skip
            await side.ask("PATCH", side.path(resource, name), change, content_type=merge)

    await both.compare(scenario, kind="*", feature="immutable fields: 422", rules=ECHO)
