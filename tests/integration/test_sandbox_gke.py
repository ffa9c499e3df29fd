"""The sandbox's GKE API through the official client, the real gcloud where it is installed, and bare HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil

import aiohttp
import pytest
import yaml

from gke_notebook.sandbox.pools import default_pools
from tests.support.google import CLUSTER, LOCATION, TOKEN, google
from tests.support.google import official_client as client


async def test_the_official_client_reads_everything():
    def read(url):
        api = client(url)
        cluster = api.get_cluster(name=CLUSTER)
        listed = api.list_clusters(parent="projects/sandbox/locations/-").clusters
        elsewhere = api.list_clusters(parent="projects/sandbox/locations/europe-west4").clusters
        pools = api.list_node_pools(parent=CLUSTER).node_pools
        pool = api.get_node_pool(name=f"{CLUSTER}/nodePools/l4-pool")
        config = api.get_server_config(name=LOCATION)
        operations = api.list_operations(parent=LOCATION).operations
        return cluster, listed, elsewhere, pools, pool, config, operations

    async with google(simulated_nodes=2) as cloud:
        cluster, listed, elsewhere, pools, pool, config, operations = await asyncio.to_thread(read, cloud.url)
    assert (cluster.name, cluster.location, cluster.endpoint) == ("sandbox", "us-central1", "127.0.0.1:6443")
    assert base64.b64decode(cluster.master_auth.cluster_ca_certificate) == b"-----BEGIN CERTIFICATE-----\n"
    assert cluster.status.name == "RUNNING"
    assert cluster.current_node_count == sum(one.count for one in default_pools(2))
    assert [one.name for one in listed] == ["sandbox"]
    assert list(elsewhere) == []
    seeded = default_pools(2)
    assert [one.name for one in pools] == [*(one.name for one in seeded), "l4-spot-pool", "v5e-pool"]
    for shown, known in zip(pools, seeded, strict=False):
        assert shown.config.machine_type == known.machine_type
        assert shown.initial_node_count == known.count
        assert shown.max_pods_constraint.max_pods_per_node == known.max_pods
        found = [(one.accelerator_type, one.accelerator_count) for one in shown.config.accelerators]
        assert found == ([(known.accelerator, known.accelerator_count)] if known.accelerator else [])
    assert pool.name == "l4-pool"
    assert pools[-2].config.spot
    assert (pools[-2].autoscaling.enabled, pools[-2].autoscaling.max_node_count) == (True, 4)
    assert pools[-1].placement_policy.tpu_topology == "4x4"
    assert config.default_cluster_version == cluster.current_master_version
    assert list(operations) == []


async def test_the_official_client_gets_the_errors_of_google():
    from google.api_core import exceptions
    from google.cloud import container_v1

    def refused(call):
        with pytest.raises(exceptions.GoogleAPICallError) as caught:
            call()
        return caught.value.code, caught.value.message

    def read(url):
        api = client(url)
        return [
            refused(lambda: api.get_cluster(name=f"{LOCATION}/clusters/other")),
            refused(lambda: api.get_node_pool(name=f"{CLUSTER}/nodePools/other")),
            refused(lambda: api.get_operation(name=f"{LOCATION}/operations/operation-1")),
            refused(lambda: api.list_clusters(parent="projects/other/locations/-")),
            refused(lambda: api.create_node_pool(parent=CLUSTER, node_pool=container_v1.NodePool(name="l4-pool"))),
            refused(lambda: api.delete_node_pool(name=f"{CLUSTER}/nodePools/other")),
            refused(lambda: api.cancel_operation(name=f"{LOCATION}/operations/operation-1")),
        ]

    async with google() as cloud:
        errors = await asyncio.to_thread(read, cloud.url)
    assert [code for code, _ in errors] == [404, 404, 404, 403, 409, 404, 404]
    assert f"Not found: {LOCATION}/clusters/other." in errors[0][1]
    assert "Already exists: projects/sandbox/zones/us-central1/clusters/sandbox/nodePools/l4-pool." in errors[4][1]


@pytest.mark.parametrize("token", [None, "Bearer wrong", "Basic x"])
async def test_without_the_token_nothing_is_told(token):
    headers = {"Authorization": token} if token else {}
    async with google() as cloud, aiohttp.ClientSession() as http:
        response = await http.get(f"{cloud.url}/v1/{LOCATION}/clusters", headers=headers)
        body = await response.json()
    assert (response.status, body["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert "sandbox" not in json.dumps(body)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/projects/sandbox/zones/us-central1/clusters/sandbox", 200),
        ("/v1/projects/sandbox/zones/-/clusters", 200),
        ("/v1/projects/sandbox/zones/us-central1-a/clusters/sandbox", 404),
        ("/v1/projects/sandbox/zones/us-central1/serverconfig", 200),
        ("/v1beta1/projects/sandbox/locations/us-central1/clusters/sandbox/nodePools/t4-pool", 200),
        ("/v1/projects/sandbox/aggregated/usableSubnetworks", 501),
        ("/v1/projects/sandbox/locations/us-central1/clusters/sandbox:checkAutopilotCompatibility", 501),
        ("/", 404),
    ],
)
async def test_paths(path, code):
    async with google() as cloud:
        status, body = await cloud.ask("GET", path)
    assert status == code
    assert ("error" in body) == (code != 200)


GCLOUD = shutil.which("gcloud")


@pytest.mark.skipif(GCLOUD is None, reason="gcloud is not installed")
async def test_the_real_gcloud(tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)

    async def gcloud(url, *words):
        environment = {
            **os.environ,
            "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
            "CLOUDSDK_CORE_PROJECT": "sandbox",
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER": f"{url}/",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
        }
        process = await asyncio.create_subprocess_exec(
            GCLOUD, "container", "clusters", *words, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async with google() as cloud:
        listed = json.loads(await gcloud(cloud.url, "list", "--format=json"))
        assert [one["name"] for one in listed] == ["sandbox"]
        described = json.loads(
            await gcloud(cloud.url, "describe", "sandbox", "--location=us-central1", "--format=json")
        )
        assert described["endpoint"] == "127.0.0.1:6443"
        await gcloud(cloud.url, "get-credentials", "sandbox", "--location=us-central1")
    written = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    assert written["current-context"] == "gke_sandbox_us-central1_sandbox"
    assert written["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
