"""The verbs over HTTP, as clients see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from gke_notebook.cluster.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, LEASES, NAMESPACES, NODES, PODS, SERVICES
from gke_notebook.errors import ApiError
from tests.support.apiserver import TOKEN, running_server

PODS_PATH = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def pod(name: str = "x", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "python:3.11", "command": ["true"]}]
    meta = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    async with running_server() as found:
        yield found


@pytest.fixture
async def client(connection: Connection) -> AsyncIterator[Client]:
    async with Client(connection) as found:
        yield found


async def send(
    connection: Connection, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
) -> tuple[int, Any, aiohttp.typedefs.LooseHeaders]:
    data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
    given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **(headers or {})}
    given = {key: value for key, value in given.items() if value}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, connection.server + path, data=data, headers=given) as response,
    ):
        raw = await response.read()
        found: Any = raw
        if response.content_type == "application/json":
            found = msgspec.json.decode(raw)
        return response.status, found, response.headers


async def test_a_pod_lives(client: Client):
    created = await client.create(PODS, pod())
    meta = created["metadata"]
    assert meta["namespace"] == "default"
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert meta["generation"] == 1
    assert "selfLink" not in meta
    assert [each["manager"] for each in meta["managedFields"]] == ["gke-notebook"]
    assert created["status"]["phase"] == "Pending"
    assert created["spec"]["restartPolicy"] == "Always", "defaults are set"
    assert created["spec"]["serviceAccountName"] == "default"
    assert await client.get(PODS, "x") == created
    listed = await client.list(PODS)
    assert listed["kind"] == "PodList"
    assert listed["metadata"]["resourceVersion"] == meta["resourceVersion"]
    (item,) = listed["items"]
    assert item == {key: value for key, value in created.items() if key not in {"kind", "apiVersion"}}
    deleted = await client.delete(PODS, "x")
    assert deleted["kind"] == "Pod"
    with pytest.raises(ApiError) as caught:
        await client.get(PODS, "x")
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")
    assert caught.value.message == 'pods "x" not found'
    assert caught.value.details == {"name": "x", "kind": "pods"}


async def test_names_are_taken_or_generated(client: Client):
    await client.create(CONFIG_MAPS, config_map("x"))
    with pytest.raises(ApiError) as caught:
        await client.create(CONFIG_MAPS, config_map("x"))
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    assert caught.value.message == 'configmaps "x" already exists'
    made = [await client.create(CONFIG_MAPS, {**config_map(""), "metadata": {"generateName": "y-"}}) for _ in range(3)]
    names = {each["metadata"]["name"] for each in made}
    assert len(names) == 3
    assert all(name.startswith("y-") and len(name) == 7 for name in names)


async def test_an_update_must_know_the_latest_version(client: Client):
    first = await client.create(CONFIG_MAPS, config_map("x", a="1"))
    second = await client.replace(CONFIG_MAPS, {**first, "data": {"a": "2"}})
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    with pytest.raises(ApiError) as caught:
        await client.replace(CONFIG_MAPS, {**first, "data": {"a": "3"}})
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "x": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    meta = {"name": "x"}
    unconditional = await client.replace(CONFIG_MAPS, {**first, "metadata": meta, "data": {"a": "4"}})
    assert unconditional["data"] == {"a": "4"}
    assert unconditional["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]
    with pytest.raises(ApiError) as caught:
        await client.replace(CONFIG_MAPS, {**first, "metadata": {"name": "x", "uid": "other"}})
    assert caught.value.status == 409
    assert "Precondition failed: UID in precondition: other, UID in object meta: " in caught.value.message


async def test_an_update_that_changes_nothing_is_none(client: Client):
    first = await client.create(CONFIG_MAPS, config_map("x", a="1"))
    assert await client.replace(CONFIG_MAPS, first) == first
    patched = await client.patch(CONFIG_MAPS, "x", {"data": {"a": "1"}})
    assert patched["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_leases_are_created_by_put_and_need_a_version_after(client: Client, connection: Connection):
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x"}, "spec": {}}
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/x"
    assert (await send(connection, "PUT", path, lease))[0] == 201
    code, found, _ = await send(connection, "PUT", path, lease)
    assert code == 422
    assert "metadata.resourceVersion: Invalid value: 0" in found["message"]
    assert (await client.get(LEASES, "x"))["metadata"]["name"] == "x"
    code, _, _ = await send(connection, "PUT", f"{PODS_PATH}/nope", pod("nope"))
    assert code == 404


async def test_status_and_spec_are_written_apart(client: Client):
    created = await client.create(JOBS, job("j"))
    assert created["metadata"]["generation"] == 1
    changed = {**created, "spec": {**created["spec"], "parallelism": 7}, "status": {"active": 3}}
    updated = await client.replace(JOBS, changed)
    assert (updated["spec"]["parallelism"], updated["status"]) == (7, {})
    assert updated["metadata"]["generation"] == 2
    changed = {**updated, "spec": {**updated["spec"], "parallelism": 9}, "status": {"active": 3}}
    reported = await client.replace(JOBS, changed, subresource="status")
    assert (reported["spec"]["parallelism"], reported["status"]["active"]) == (7, 3)
    assert reported["metadata"]["generation"] == 2
    assert (await client.get(JOBS, "j"))["status"]["active"] == 3
    managed = {(each["manager"], each.get("subresource")) for each in reported["metadata"]["managedFields"]}
    assert managed == {("gke-notebook", None), ("gke-notebook", "status")}


def job(name: str) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (MERGE_PATCH, {"data": {"a": None, "b": "2"}}),
        (STRATEGIC_PATCH, {"data": {"a": None, "b": "2"}}),
        (JSON_PATCH, [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}]),
    ],
)
async def test_patches(client: Client, content_type: str, patch: Any):
    await client.create(CONFIG_MAPS, config_map("x", a="1"))
    assert (await client.patch(CONFIG_MAPS, "x", patch, content_type=content_type))["data"] == {"b": "2"}
    with pytest.raises(ApiError) as caught:
        await client.patch(CONFIG_MAPS, "nope", patch, content_type=content_type)
    assert caught.value.status == 404


async def test_a_patch_with_an_old_version_conflicts(client: Client):
    first = await client.create(CONFIG_MAPS, config_map("x", a="1"))
    await client.patch(CONFIG_MAPS, "x", {"data": {"a": "2"}})
    old = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
    with pytest.raises(ApiError) as caught:
        await client.patch(CONFIG_MAPS, "x", old)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    with pytest.raises(ApiError) as caught:
        await client.patch(CONFIG_MAPS, "x", {}, content_type="application/json")
    assert (caught.value.status, caught.value.reason) == (415, "UnsupportedMediaType")


async def test_server_side_apply_creates_then_merges_then_conflicts(client: Client, connection: Connection):
    path = "/api/v1/namespaces/default/configmaps/x"
    body, headers = config_map("x", a="1"), {"Content-Type": APPLY_PATCH}
    code, found, _ = await send(connection, "PATCH", f"{path}?fieldManager=one", body, headers=headers)
    assert (code, found["data"]) == (201, {"a": "1"})
    code, found, _ = await send(
        connection, "PATCH", f"{path}?fieldManager=two", config_map("x", b="2"), headers=headers
    )
    assert (code, found["data"]) == (200, {"a": "1", "b": "2"})
    code, found, _ = await send(
        connection, "PATCH", f"{path}?fieldManager=two", config_map("x", a="9"), headers=headers
    )
    assert (code, found["reason"]) == (409, "Conflict")
    assert [(each["reason"], each["field"]) for each in found["details"]["causes"]] == [
        ("FieldManagerConflict", ".data.a")
    ]
    query = f"{path}?fieldManager=two&force=true"
    code, found, _ = await send(connection, "PATCH", query, config_map("x", a="9"), headers=headers)
    assert (code, found["data"]) == (200, {"a": "9"}), "what two no longer applies, nobody owns"
    code, found, _ = await send(connection, "PATCH", path, body, headers=headers)
    assert (code, found["reason"]) == (422, "Invalid")
    same = await client.apply(CONFIG_MAPS, config_map("x", a="9"))
    again = await client.apply(CONFIG_MAPS, config_map("x", a="9"))
    assert same["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


async def test_dry_runs_write_nothing(client: Client, connection: Connection):
    assert (await client.create(PODS, pod(), dry_run=True))["spec"]["restartPolicy"] == "Always"
    assert (await client.list(PODS))["items"] == []
    first = await client.create(CONFIG_MAPS, config_map("x", a="1"))
    path = "/api/v1/namespaces/default/configmaps/x"
    code, found, _ = await send(connection, "PUT", f"{path}?dryRun=All", config_map("x", a="2"))
    assert (code, found["data"]) == (200, {"a": "2"})
    headers = {"Content-Type": MERGE_PATCH}
    code, found, _ = await send(connection, "PATCH", f"{path}?dryRun=All", {"data": {"a": "2"}}, headers=headers)
    assert (code, found["data"]) == (200, {"a": "2"})
    assert (await send(connection, "DELETE", f"{path}?dryRun=All"))[0] == 200
    assert await client.get(CONFIG_MAPS, "x") == first
    code, found, _ = await send(connection, "PUT", f"{path}?dryRun=Some", config_map("x"))
    assert code == 422
    assert found["message"].endswith('dryRun: Unsupported value: ["Some"]: supported values: "All"')


async def test_unknown_fields_are_warned_of_or_refused(connection: Connection):
    odd = {**config_map("x"), "dtaa": {}}
    path = "/api/v1/namespaces/default/configmaps"
    code, found, _ = await send(connection, "POST", f"{path}?fieldValidation=Strict", odd)
    assert (code, found["reason"]) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "dtaa"' in found["message"]
    code, found, headers = await send(connection, "POST", path, odd)
    assert code == 201
    assert "dtaa" not in found
    assert headers["Warning"] == '299 - "unknown field \\"dtaa\\""'
    code, _, headers = await send(
        connection, "POST", f"{path}?fieldValidation=Ignore", {**odd, "metadata": {"name": "y"}}
    )
    assert (code, headers.get("Warning")) == (201, None)


async def test_namespaces_must_be_there(client: Client):
    with pytest.raises(ApiError) as caught:
        await client.create(CONFIG_MAPS, config_map("x"), "nowhere")
    assert (caught.value.status, caught.value.message) == (404, 'namespaces "nowhere" not found')
    space = await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    assert space["status"] == {"phase": "Active"}
    assert space["spec"] == {"finalizers": ["kubernetes"]}
    assert space["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    await client.create(CONFIG_MAPS, config_map("x"), "team")
    body = {**config_map("y"), "metadata": {"name": "y", "namespace": "default"}}
    with pytest.raises(ApiError) as caught:
        await client.create(CONFIG_MAPS, body, "team")
    assert (caught.value.status, caught.value.reason) == (400, "BadRequest")
    assert len((await client.list(CONFIG_MAPS, "team"))["items"]) == 1
    assert (await client.list(CONFIG_MAPS, "nowhere"))["items"] == []


async def test_tables_and_partial_objects_and_yaml(client: Client, connection: Connection):
    await client.create(PODS, pod())
    for path in (PODS_PATH, f"{PODS_PATH}/x"):
        code, found, _ = await send(connection, "GET", path, headers={"Accept": TABLE})
        assert (code, found["kind"], found["rows"][0]["cells"][0]) == (200, "Table", "x")
        assert found["columnDefinitions"][0]["name"] == "Name"
        partial = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
        _, found, _ = await send(connection, "GET", path, headers=partial)
        (one,) = found.get("items", [found])
        assert set(one) == {"kind", "apiVersion", "metadata"}
        assert one["metadata"]["name"] == "x"
        _, found, headers = await send(connection, "GET", path, headers={"Accept": "application/yaml"})
        assert headers["Content-Type"] == "application/yaml"
        assert b"name: x\n" in found
    code, found, _ = await send(connection, "GET", PODS_PATH, headers={"Accept": "text/html"})
    assert (code, found["reason"]) == (406, "NotAcceptable")


async def test_selectors(client: Client):
    for name in ("a", "b"):
        await client.create(PODS, pod(name))
    await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    binding = {"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n"}}
    await client.request("POST", f"{PODS_PATH}/b/binding", body=binding)

    async def found(**selectors: str) -> list[str]:
        return [each["metadata"]["name"] for each in (await client.list(PODS, None, **selectors))["items"]]

    assert await found(label_selector="app=a") == ["a"]
    assert await found(label_selector="app notin (a)") == ["b"]
    assert await found(field_selector="spec.nodeName=n") == ["b"]
    assert await found(field_selector="metadata.name=a,status.phase=Pending") == ["a"]
    for wrong in ({"label_selector": "a in"}, {"field_selector": "spec.nope=1"}):
        with pytest.raises(ApiError) as caught:
            await found(**wrong)
        assert (caught.value.status, caught.value.reason) == (400, "BadRequest")


async def test_services_get_no_stray_status(client: Client):
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]}, "status": {"loadBalancer": {}},
    }  # fmt: skip
    created = await client.create(SERVICES, service)
    assert created["spec"]["clusterIP"] == "None"
    assert created["status"] == {"loadBalancer": {}}


async def test_an_update_keeps_what_admission_has_added(client: Client):
    created = await client.create(PODS, pod(serviceAccountName="default"))
    body = pod(serviceAccountName="default")
    body["metadata"]["labels"] = {"app": "other"}
    replaced = await client.replace(PODS, body)
    assert replaced["spec"] == created["spec"]
    assert replaced["metadata"]["labels"] == {"app": "other"}
    body["spec"]["priority"] = 7
    with pytest.raises(ApiError) as caught:
        await client.replace(PODS, body)
    assert (caught.value.status, caught.value.reason) == (422, "Invalid")


async def test_priorities_come_from_their_class(client: Client, connection: Connection):
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    high = {"kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}
    assert (await send(connection, "POST", path, high))[0] == 201
    spec = (await client.create(PODS, pod("a", priorityClassName="high")))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    assert (await client.create(PODS, pod("b")))["spec"]["priority"] == 0
    standard = {**high, "metadata": {"name": "standard"}, "value": 5, "globalDefault": True}
    assert (await send(connection, "POST", path, standard))[0] == 201
    spec = (await client.create(PODS, pod("c")))["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (5, "standard")
    for wrong, why in (
        ({"priorityClassName": "nope"}, "no PriorityClass with name nope"),
        ({"priority": 9}, "integer"),
    ):
        with pytest.raises(ApiError) as caught:
            await client.create(PODS, pod("d", **wrong))
        assert caught.value.status == 403
        assert why in caught.value.message
