"""Deletion: grace periods, finalizers, propagation, preconditions, namespaces, eviction, binding, expiry."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import CONFIG_MAPS, EVENTS, JOBS, NAMESPACES, PODS
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.apiserver.app import expire_events
from gke_notebook.sandbox.apiserver.kinds import find
from gke_notebook.sandbox.apiserver.store import Store
from tests.support.apiserver import running_server

PODS_PATH = "/api/v1/namespaces/default/pods"


def pod(name: str = "x", **meta: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 30}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta}, "spec": spec}


def config_map(name: str = "x", **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}}


@pytest.fixture
def store() -> Store:
    return Store.open(None)


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    async with running_server(store=store) as connection, Client(connection) as found:
        yield found


async def bind(client: Client, name: str = "x", node: str = "n", **meta: Any) -> dict[str, Any]:
    body = {"metadata": {"name": name, **meta}, "target": {"kind": "Node", "name": node}}
    found: dict[str, Any] = msgspec.json.decode(await client.request("POST", f"{PODS_PATH}/{name}/binding", body=body))
    return found


async def refused(awaitable: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value


async def test_a_pod_without_a_node_goes_at_once(client: Client):
    await client.create(PODS, pod())
    await client.delete(PODS, "x")
    assert (await client.list(PODS))["items"] == []


async def test_a_pod_with_a_node_goes_when_its_kubelet_says_so(client: Client):
    created = await client.create(PODS, pod())
    await bind(client)
    ending = await client.delete(PODS, "x")
    meta = ending["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 30
    assert meta["deletionTimestamp"] > meta["creationTimestamp"]
    assert meta["generation"] == created["metadata"]["generation"] + 1
    assert await client.delete(PODS, "x") == ending, "a longer or equal period changes nothing"
    shorter = await client.delete(PODS, "x", grace_period=5)
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shorter["metadata"]["deletionTimestamp"] < meta["deletionTimestamp"]
    patched = await client.patch(PODS, "x", {"status": {"phase": "Failed"}}, subresource="status")
    assert patched["metadata"]["deletionTimestamp"] == shorter["metadata"]["deletionTimestamp"]
    await client.delete(PODS, "x", grace_period=0)
    assert (await refused(client.get(PODS, "x"))).status == 404


async def test_a_pod_that_has_ended_goes_at_once(client: Client):
    await client.create(PODS, pod())
    await bind(client)
    await client.patch(PODS, "x", {"status": {"phase": "Succeeded"}}, subresource="status")
    await client.delete(PODS, "x")
    assert (await client.list(PODS))["items"] == []


async def test_finalizers_hold_an_object(client: Client):
    await client.create(CONFIG_MAPS, config_map(finalizers=["example.com/hold"]))
    held = await client.delete(CONFIG_MAPS, "x")
    assert held["kind"] == "ConfigMap"
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    again = await client.delete(CONFIG_MAPS, "x")
    assert again == held
    assert (await refused(client.create(CONFIG_MAPS, config_map()))).status == 409
    freed = await client.patch(CONFIG_MAPS, "x", {"metadata": {"finalizers": None}})
    assert "finalizers" not in freed["metadata"]
    assert (await refused(client.get(CONFIG_MAPS, "x"))).status == 404


async def test_a_pod_with_finalizers_waits_for_both(client: Client):
    await client.create(PODS, pod(finalizers=["batch.kubernetes.io/job-tracking"]))
    await bind(client)
    await client.delete(PODS, "x")
    held = await client.delete(PODS, "x", grace_period=0)
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.get(PODS, "x")
    await client.patch(PODS, "x", {"metadata": {"finalizers": []}})
    assert (await refused(client.get(PODS, "x"))).status == 404
    await client.create(PODS, pod("y", finalizers=["batch.kubernetes.io/job-tracking"]))
    await bind(client, "y")
    await client.delete(PODS, "y")
    await client.patch(PODS, "y", {"metadata": {"finalizers": []}})
    assert (await client.get(PODS, "y"))["metadata"]["deletionGracePeriodSeconds"] == 30, "its kubelet still has it"


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_propagation_is_left_to_the_garbage_collector(client: Client, policy: str, finalizer: str):
    await client.create(CONFIG_MAPS, config_map())
    held = await client.delete(CONFIG_MAPS, "x", propagation=policy)
    assert held["metadata"]["finalizers"] == [finalizer]
    assert held["metadata"]["deletionTimestamp"]
    done = await client.delete(CONFIG_MAPS, "x", propagation="Background")
    assert done["status"] == "Success", "another policy takes the finalizer away again"
    assert (await refused(client.get(CONFIG_MAPS, "x"))).status == 404


async def test_a_deleted_job_answers_a_status(client: Client):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template}}
    created = await client.create(JOBS, job)
    done = await client.delete(JOBS, "j")
    assert (done["kind"], done["status"]) == ("Status", "Success")
    assert done["details"] == {"name": "j", "group": "batch", "kind": "jobs", "uid": created["metadata"]["uid"]}


async def test_a_job_deleted_without_a_policy_leaves_its_pods(client: Client):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template}}
    await client.create(JOBS, job)
    response = await client.open("DELETE", "/apis/batch/v1/namespaces/default/jobs/j")
    assert response.headers["Warning"].startswith('299 - "child pods are preserved by default when jobs are deleted; ')
    held = msgspec.json.decode(await response.read())
    assert held["metadata"]["finalizers"] == ["orphan"]
    assert (await client.delete(JOBS, "j"))["status"] == "Success"


async def test_events_own_nothing(client: Client):
    involved = {"kind": "Pod", "namespace": "default", "name": "x"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": involved, "reason": "R"}
    await client.create(EVENTS, event)
    assert (await client.delete(EVENTS, "e", propagation="Foreground"))["status"] == "Success"


async def test_preconditions(client: Client):
    created = await client.create(CONFIG_MAPS, config_map())
    uid, path = created["metadata"]["uid"], "/api/v1/namespaces/default/configmaps/x"
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        error = await refused(client.request("DELETE", path, body={"preconditions": wrong}))
        assert (error.status, error.reason) == (409, "Conflict")
        assert "in the precondition" in error.message
    right = {"uid": uid, "resourceVersion": created["metadata"]["resourceVersion"]}
    await client.request("DELETE", path, body={"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": right})
    assert (await refused(client.get(CONFIG_MAPS, "x"))).status == 404


@pytest.mark.parametrize(
    "body",
    [{"propagationPolicy": "Sideways"}, {"propagationPolicy": "Orphan", "orphanDependents": True}, {"dryRun": ["x"]}],
)
async def test_options_that_make_no_sense(client: Client, body: dict[str, Any]):
    await client.create(CONFIG_MAPS, config_map())
    error = await refused(client.request("DELETE", "/api/v1/namespaces/default/configmaps/x", body=body))
    assert (error.status, error.reason) == (422, "Invalid")
    await client.get(CONFIG_MAPS, "x")


async def test_options_may_come_in_the_query(client: Client):
    await client.create(PODS, pod())
    await bind(client)
    raw = await client.request("DELETE", f"{PODS_PATH}/x", params={"gracePeriodSeconds": "7"})
    assert msgspec.json.decode(raw)["metadata"]["deletionGracePeriodSeconds"] == 7


async def test_collections_are_deleted_by_selector(client: Client):
    for name in ("a", "b", "c"):
        await client.create(CONFIG_MAPS, config_map(name, labels={"keep": str(name == "b").lower()}))
    path = "/api/v1/namespaces/default/configmaps"
    raw = await client.request("DELETE", path, params={"labelSelector": "keep=false"})
    assert [each["metadata"]["name"] for each in msgspec.json.decode(raw)["items"]] == ["a", "c"]
    assert [each["metadata"]["name"] for each in (await client.list(CONFIG_MAPS, "default"))["items"]] == ["b"]
    error = await refused(client.request("DELETE", "/api/v1/namespaces"))
    assert (error.status, error.reason) == (405, "MethodNotAllowed")


async def test_a_namespace_ends_in_two_steps(client: Client):
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    ending = await client.delete(NAMESPACES, "team")
    assert ending["status"]["phase"] == "Terminating"
    assert ending["spec"]["finalizers"] == ["kubernetes"]
    error = await refused(client.create(CONFIG_MAPS, config_map(), "team"))
    assert (error.status, error.reason) == (403, "Forbidden")
    assert error.message == (
        'configmaps "x" is forbidden: unable to create new content in namespace team because it is being terminated'
    )
    assert error.details["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace team is being terminated",
            "field": "metadata.namespace",
        }
    ]
    assert (await client.delete(NAMESPACES, "team"))["metadata"]["name"] == "team"
    patched = await client.patch(NAMESPACES, "team", {"spec": {"finalizers": []}})
    assert patched["spec"] == {"finalizers": ["kubernetes"]}, "only finalize takes them away"
    final = {**ending, "spec": {"finalizers": []}}
    final["metadata"].pop("resourceVersion")
    await client.replace(NAMESPACES, final, subresource="finalize")
    assert (await refused(client.get(NAMESPACES, "team"))).status == 404


async def test_some_namespaces_stay(client: Client):
    for name in ("default", "kube-system", "kube-public"):
        error = await refused(client.delete(NAMESPACES, name))
        assert (error.status, error.message) == (
            403, f'namespaces "{name}" is forbidden: this namespace may not be deleted',
        )  # fmt: skip


async def test_binding(client: Client):
    await client.create(PODS, pod())
    assert await bind(client, annotations={"a": "b"}) == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    }  # fmt: skip
    bound = await client.get(PODS, "x")
    assert bound["spec"]["nodeName"] == "n"
    assert bound["metadata"]["annotations"] == {"a": "b"}
    (condition,) = bound["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    error = await refused(bind(client, node="m"))
    assert (error.status, error.reason) == (409, "Conflict")
    assert error.message == ('Operation cannot be fulfilled on pods/binding "x": pod x is already assigned to node "n"')
    await client.delete(PODS, "x")
    assert "is being deleted" in (await refused(bind(client))).message
    assert (await refused(bind(client, "nope"))).status == 404
    body = {"metadata": {"name": "y"}, "target": {"name": "n"}}
    error = await refused(client.request("POST", f"{PODS_PATH}/x/binding", body=body))
    assert (error.status, error.message) == (400, "name in URL does not match name in Binding object")


async def test_eviction(client: Client):
    await client.create(PODS, pod())
    await bind(client)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "x"}}
    dry = {**body, "deleteOptions": {"dryRun": ["All"]}}
    await client.request("POST", f"{PODS_PATH}/x/eviction", body=dry)
    assert "deletionTimestamp" not in (await client.get(PODS, "x"))["metadata"]
    raw = await client.request("POST", f"{PODS_PATH}/x/eviction", body=body)
    assert msgspec.json.decode(raw)["status"] == "Success"
    ending = await client.get(PODS, "x")
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 30
    reasons = {each["type"]: each.get("reason") for each in ending["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"


async def test_events_are_kept_for_an_hour(client: Client, store: Store):
    involved = {"kind": "Pod", "namespace": "default", "name": "x"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": involved, "reason": "R"}
    await client.create(EVENTS, event)
    await client.create(CONFIG_MAPS, config_map())
    expire_events(store, time.time() + 3500)
    assert len((await client.list(EVENTS))["items"]) == 1
    expire_events(store, time.time() + 3700)
    assert (await client.list(EVENTS))["items"] == []
    kind = find("", "v1", "events")
    assert kind is not None
    assert store.of(kind).since(0)[-1].deleted, "watches are told"
    assert len((await client.list(CONFIG_MAPS))["items"]) == 1


def test_the_connection_shows_no_token():
    assert "token" not in repr(Connection("http://127.0.0.1:1")).replace("no_token", "")
