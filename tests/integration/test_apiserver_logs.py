"""`pods/log` through a kubelet that is a plain HTTPS server with a certificate of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import NODES, PODS
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.apiserver import logs
from tests.support.apiserver import running_server
from tests.support.kubelet import Kubelet, running_kubelet

LOG = "/api/v1/namespaces/default/pods/x/log"


@pytest.fixture
async def kubelet() -> AsyncIterator[Kubelet]:
    async with running_kubelet() as found:
        yield found


@pytest.fixture
async def client(kubelet: Kubelet) -> AsyncIterator[Client]:
    async with running_server() as connection, Client(connection) as found:
        await found.create(
            NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": kubelet.node_status}
        )
        yield found


async def make_pod(client: Client, *containers: str, bind: bool = True, **spec: Any) -> None:
    kept = [{"name": name, "image": "i"} for name in containers or ("c",)]
    spec = {"containers": kept, **spec}
    await client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})
    if bind:
        body = {"metadata": {"name": "x"}, "target": {"name": "n"}}
        await client.request("POST", "/api/v1/namespaces/default/pods/x/binding", body=body)


async def refused(client: Client, **params: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", LOG, params=params)
    return caught.value


async def test_a_log_is_read_from_the_kubelet(client: Client, kubelet: Kubelet):
    await make_pod(client)
    params = {"tailLines": "5", "timestamps": "true", "previous": "false", "pretty": "1", "limitBytes": "100"}
    assert await client.request("GET", LOG, params=params) == b"one\ntwo\n"
    assert kubelet.seen == [
        ("/containerLogs/default/x/c", {"tailLines": "5", "timestamps": "true", "limitBytes": "100"})
    ]


async def test_a_log_is_followed(client: Client, kubelet: Kubelet):
    await make_pod(client)
    response = await client.open("GET", LOG, params={"follow": "true"}, timeout=None)
    assert response.content_type == "text/plain"
    assert await response.content.readline() == b"one\n"
    assert await response.content.readline() == b"two\n"
    kubelet.more.set()
    assert await response.content.read() == b"three\n"


async def test_the_container_must_be_clear(client: Client, kubelet: Kubelet):
    await make_pod(client, "a", "b", initContainers=[{"name": "setup", "image": "i"}])
    error = await refused(client)
    assert (error.status, error.reason) == (400, "BadRequest")
    assert error.message == "a container name must be specified for pod x, choose one of: [setup a b]"
    error = await refused(client, container="z")
    assert (error.status, error.message) == (400, "container z is not valid for pod x")
    await client.request("GET", LOG, params={"container": "setup"})
    assert kubelet.seen[-1][0] == "/containerLogs/default/x/setup"


async def test_what_the_kubelet_refuses_is_passed_on(client: Client, kubelet: Kubelet):
    await make_pod(client)
    text = 'container "c" in pod "x" is waiting to start: ContainerCreating'
    kubelet.refusal = (400, text)
    error = await refused(client)
    assert (error.status, error.reason, error.message) == (400, "BadRequest", text)
    kubelet.refusal = (500, "broken")
    error = await refused(client)
    assert (error.status, error.reason, error.message) == (500, "InternalError", "Internal error occurred: broken")
    kubelet.refusal = (404, 'pod "x" does not exist')
    assert (await refused(client)).status == 404


async def test_before_it_has_a_node_a_pod_has_an_empty_log(client: Client):
    await make_pod(client, bind=False)
    assert await client.request("GET", LOG) == b""
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/api/v1/namespaces/default/pods/nope/log")
    assert (caught.value.status, caught.value.message) == (404, 'pods "nope" not found')


async def test_a_kubelet_that_is_gone(client: Client):
    await make_pod(client)
    endpoints = {"kubeletEndpoint": {"Port": 1}}
    await client.patch(NODES, "n", {"status": {"daemonEndpoints": endpoints}}, subresource="status")
    error = await refused(client)
    assert (error.status, error.reason) == (500, "InternalError")
    assert 'Get "https://127.0.0.1:1/containerLogs/default/x/c": dial tcp 127.0.0.1:1: ' in error.message
    await client.delete(NODES, "n")
    assert (await refused(client)).message == 'nodes "n" not found'


@pytest.mark.parametrize(
    "params", [{"tailLines": "-1"}, {"sinceSeconds": "0"}, {"limitBytes": "0"}, {"stream": "Both"}, {"tailLines": "x"}]
)
async def test_parameters_that_make_no_sense(client: Client, params: dict[str, str]):
    await make_pod(client)
    assert (await refused(client, **params)).status in {400, 422}


async def test_a_client_that_leaves_does_not_hold_the_kubelet(
    client: Client, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logs, "_GONE_SECONDS", 0.02)
    await make_pod(client)
    response = await client.open("GET", LOG, params={"follow": "true"}, timeout=None)
    await response.content.readline()
    response.close()
    await asyncio.wait_for(kubelet.left.wait(), 20)
    assert await client.request("GET", LOG) == b"one\ntwo\n"
