"""Resource quotas and limit ranges, on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gke_notebook.cluster.client import MERGE_PATCH, STRATEGIC_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, PODS, SECRETS, SERVICES, Resource
from tests.contract.both import Both, Side

Object = dict[str, Any]
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
LIMITS = Resource("", "v1", "limitranges", "LimitRange")
PRIORITIES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)


def pod(name: str, requests: Object | None = None, limits: Object | None = None, **spec: Any) -> Object:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    container = {"name": "main", "image": "x", "resources": resources}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [container], **spec},
    }  # fmt: skip


def quota(name: str, hard: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard, **spec},
    }  # fmt: skip


def selecting(**expression: Any) -> Object:
    return {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [expression]}}


def limit_range(*limits: Object) -> Object:
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "bounds"}, "spec": {"limits": list(limits)}}


async def used(side: Side, name: str, **wanted: str) -> Object:
    """Wait until the controller has said what is used."""
    found: Object = {}
    for _ in range(600):
        found = (await side.client.get(QUOTAS, name, side.namespace)).get("status") or {}
        if found.get("used") and all(found["used"].get(key) == value for key, value in wanted.items()):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} uses {found}, not {wanted}")


async def limited(side: Side, name: str, hard: Object, **spec: Any) -> None:
    await side.client.create(QUOTAS, quota(name, hard, **spec), side.namespace)
    await used(side, name)


def says(answer: Object) -> Any:
    body = answer["body"]
    return [answer["status"], body.get("message"), body.get("details")]


async def test_what_exceeds_a_quota_is_refused_and_what_ends_is_given_back(both: Both):
    async def scenario(side: Side) -> Any:
        bounds = {"pods": "2", "requests.cpu": "1", "requests.nvidia.com/gpu": "3", "limits.memory": "2Gi"}
        await limited(side, "team", bounds)
        said = []

        async def create(body: Object, resource: Resource = PODS) -> None:
            answer = await side.ask("POST", side.path(resource), body)
            said.append(says(answer) if answer["status"] != 201 else 201)

        gpus = {"nvidia.com/gpu": "2"}
        await create(pod("silent"))
        await create(pod("half", {"cpu": "500m"}))
        await create(pod("a", {"cpu": "600m", **gpus}, {"memory": "1Gi", **gpus}))
        await create(pod("b", {"cpu": "600m", **gpus}, {"memory": "1536Mi", **gpus}))
        await create(pod("c", {"cpu": "100m"}, {"memory": "512Mi"}))
        await create(pod("d", {"cpu": "100m"}, {"memory": "512Mi"}))
        said.append(await used(side, "team"))
        await side.client.delete(PODS, "c", side.namespace, grace_period=0)
        said.append(await used(side, "team", pods="1"))
        ended = {"status": {"phase": "Succeeded"}}
        await side.client.patch(PODS, "a", ended, side.namespace, subresource="status", content_type=STRATEGIC_PATCH)
        said.append(await used(side, "team", pods="0"))
        await create(pod("d", {"cpu": "100m"}, {"memory": "512Mi"}))
        await side.client.patch(QUOTAS, "team", {"spec": {"hard": {"pods": "1"}}}, side.namespace)
        for _ in range(600):
            found = (await side.client.get(QUOTAS, "team", side.namespace))["status"]
            if found["hard"]["pods"] == "1":
                break
            await asyncio.sleep(0.05)
        await create(pod("e", {"cpu": "100m"}, {"memory": "512Mi"}))
        return said

    await both.compare(scenario, kind="ResourceQuota", feature="compute resources, pods, extended resources")


async def test_objects_are_counted(both: Both):
    async def scenario(side: Side) -> Any:
        await limited(
            side, "count", {"count/jobs.batch": "1", "secrets": "1", "services": "2", "services.nodeports": "1"}
        )
        await limited(side, "maps", {"count/configmaps": "3"})
        said = []

        async def create(resource: Resource, body: Object, name: str) -> None:
            whole = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, **body}
            answer = await side.ask("POST", side.path(resource), whole)
            said.append(says(answer) if answer["status"] != 201 else 201)

        job = {"spec": {"suspend": True, "template": {"spec": {**pod("x")["spec"], "restartPolicy": "Never"}}}}
        for name in "ab":
            await create(JOBS, job, name)
            await create(SECRETS, {}, name)
            await create(SERVICES, {"spec": {"type": "NodePort", "ports": [{"port": 80}]}}, name)
        await create(SERVICES, {"spec": {"ports": [{"port": 80}]}}, "c")
        await create(SERVICES, {"spec": {"ports": [{"port": 80}]}}, "d")
        change = {"spec": {"type": "NodePort"}}
        answer = await side.ask("PATCH", side.path(SERVICES, "c"), change, content_type=MERGE_PATCH)
        said.append(says(answer))
        answer = await side.ask("POST", side.path(SECRETS), {"metadata": {"name": "z"}}, params={"dryRun": "All"})
        said.append(says(answer))
        said.append(await used(side, "count"))
        await side.client.delete(JOBS, "a", side.namespace)
        said.append(await used(side, "count", **{"count/jobs.batch": "0"}))
        return said

    await both.compare(scenario, kind="ResourceQuota", feature="object counts")


async def test_scopes(both: Both):
    async def scenario(side: Side) -> Any:
        high = f"{side.namespace}-high"
        await side.client.create(
            PRIORITIES,
            {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": high}, "value": 1000},
        )
        await limited(side, "best-effort", {"pods": "1"}, scopes=["BestEffort"])
        await limited(side, "ending", {"pods": "1", "requests.cpu": "1"}, scopes=["Terminating"])
        expressions = [{"scopeName": "PriorityClass", "operator": "In", "values": [high]}]
        await limited(side, "high", {"pods": "1"}, scopeSelector={"matchExpressions": expressions})
        said = []
        for name, body in (
            ("a", pod("a")),
            ("b", pod("b")),
            ("c", pod("c", {"cpu": "1"}, activeDeadlineSeconds=600)),
            ("d", pod("d", {"cpu": "1"}, activeDeadlineSeconds=600)),
            ("e", pod("e", {"cpu": "1"}, priorityClassName=high)),
            ("f", pod("f", {"cpu": "1"}, priorityClassName=high)),
            ("g", pod("g", {"cpu": "1"})),
        ):
            answer = await side.ask("POST", side.path(PODS), body)
            said.append(says(answer) if answer["status"] != 201 else name)
        answer = await side.ask(
            "PATCH", side.path(PODS, "g"), {"spec": {"activeDeadlineSeconds": 9}}, content_type=MERGE_PATCH
        )
        said.append(says(answer))
        said += [await used(side, name) for name in ("best-effort", "ending", "high")]
        await side.client.delete(PRIORITIES, high)
        return said

    await both.compare(scenario, kind="ResourceQuota", feature="scopes and scope selectors")


@pytest.mark.parametrize(
    "spec",
    [
        {"hard": {"gpus": "1"}},
        {"hard": {"storage": "1Gi"}},
        {"hard": {"pods": "1500m"}},
        {"hard": {"requests.nvidia.com/gpu": "-1"}},
        {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]},
        {"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]},
        {"hard": {"pods": "1"}, "scopes": ["Sometimes"]},
        selecting(scopeName="PriorityClass", operator="In"),
        selecting(scopeName="BestEffort", operator="In", values=["x"]),
        selecting(scopeName="PriorityClass", operator="Exists", values=["x"]),
        selecting(scopeName="PriorityClass", operator="Like"),
    ],
    ids=str,
)  # fmt: skip
async def test_malformed_quotas_are_refused(both: Both, spec: Object):
    async def scenario(side: Side) -> None:
        body = {**quota("wrong", {}), "spec": spec}
        await side.ask("POST", side.path(QUOTAS), body)

    await both.compare(scenario, kind="ResourceQuota", feature="validation")


async def test_amounts_are_rewritten_the_same_way(both: Both):
    async def scenario(side: Side) -> None:
        given = ("1.1Ki", "1025.5Mi", "0.5", "1e3", "2000m", "1023Ki", "1.5G")
        for number, amount in enumerate(given):
            hard = {"requests.cpu": amount, "limits.memory": amount}
            await side.ask("POST", side.path(QUOTAS), quota(f"q{number}", hard))

    await both.compare(scenario, kind="ResourceQuota", feature="canonical quantities")


async def test_a_quota_is_shown_and_changed(both: Both):
    async def scenario(side: Side) -> Any:
        await limited(side, "team", {"pods": "2", "requests.cpu": "1", "limits.cpu": "2"})
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        answer = await side.ask("GET", side.path(QUOTAS), headers=table)
        columns = [each["name"] for each in answer["body"]["columnDefinitions"]]
        cells = [row["cells"][:3] for row in answer["body"]["rows"]]
        change = {"spec": {"scopes": ["Terminating"]}}
        refused = await side.ask("PATCH", side.path(QUOTAS, "team"), change, content_type=MERGE_PATCH)
        return [columns, cells, says(refused)]

    await both.compare(scenario, kind="ResourceQuota", feature="table, immutable scopes")


async def test_a_limit_range_fills_in_and_refuses(both: Both):
    async def scenario(side: Side) -> Any:
        container = {
            "type": "Container", "default": {"memory": "128Mi"}, "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "2"}, "min": {"memory": "64Mi"}, "maxLimitRequestRatio": {"memory": "2"},
        }  # fmt: skip
        made = await side.ask("POST", side.path(LIMITS), limit_range(container, {"type": "Pod", "max": {"cpu": "3"}}))
        said = [made["status"], made["body"]["spec"]]
        two = {"containers": [{"name": name, "image": "x", "resources": {"limits": {"cpu": "2"}}} for name in "ab"]}
        start = {"initContainers": [{"name": "first", "image": "x"}]}
        for body in (
            pod("plain"),
            pod("start", **start),
            pod("large", None, {"cpu": "3"}),
            pod("asks", {"cpu": "3"}, {"cpu": "3"}),
            pod("small", {"memory": "32Mi"}),
            pod("ratio", {"memory": "64Mi"}, {"memory": "256Mi"}),
            pod("two", **two),
        ):
            answer = await side.ask("POST", side.path(PODS), body)
            if answer["status"] != 201:
                said.append(says(answer))
                continue
            spec = answer["body"]["spec"]
            said.append(answer["body"]["metadata"].get("annotations"))
            said.append([each["resources"] for each in (*spec["containers"], *spec.get("initContainers", ()))])
            said.append(answer["body"]["status"]["qosClass"])
        return said

    await both.compare(scenario, kind="LimitRange", feature="defaults, bounds, ratios")


@pytest.mark.parametrize(
    "limit",
    [
        {"type": "Pod", "default": {"cpu": "1"}},
        {"type": "Node", "max": {"cpu": "1"}},
        {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
        {"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}},
        {"type": "Container", "max": {"gpus": "1"}},
        {"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}},
        {"type": "Container", "default": {"nvidia.com/gpu": "2"}, "defaultRequest": {"nvidia.com/gpu": "1"}},
        {"type": "PersistentVolumeClaim", "max": {"cpu": "1"}},
    ],
    ids=str,
)
async def test_malformed_limit_ranges_are_refused(both: Both, limit: Object):
    async def scenario(side: Side) -> None:
        await side.ask("POST", side.path(LIMITS), limit_range(limit))

    await both.compare(scenario, kind="LimitRange", feature="validation")


async def test_many_at_once_never_exceed_a_quota(both: Both):
    async def scenario(side: Side) -> Any:
        await limited(side, "team", {"count/secrets": "5"})

        async def create(number: int) -> int:
            body = {"metadata": {"name": f"s{number}"}}
            return int((await side.ask("POST", side.path(SECRETS), body, record=False))["status"])

        codes = sorted(await asyncio.gather(*(create(number) for number in range(20))))
        listed = (await side.client.list(SECRETS, side.namespace))["items"]
        assert len(listed) == codes.count(201) == 5
        assert (await side.client.list(CONFIG_MAPS, side.namespace))["items"] is not None
        return codes

    await both.compare(scenario, kind="ResourceQuota", feature="concurrent creation")


@pytest.mark.kubectl
async def test_kubectl_describes(both: Both):
    async def scenario(side: Side) -> Any:
        await limited(side, "team", {"pods": "2", "requests.cpu": "1"})
        container = {"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}  # kubectl keeps no order
        await side.client.create(LIMITS, limit_range(container), side.namespace)
        for words in (("quota", "team"), ("limits", "bounds"), ("namespace", side.namespace)):
            await side.run_kubectl("describe", *words)
        await side.run_kubectl("get", "limits", "-o", "name")

    await both.compare(scenario, kind="ResourceQuota", feature="kubectl describe quota, limits, namespace")
