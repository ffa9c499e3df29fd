"""From PROJECT/LOCATION/CLUSTER to a connection, against the sandbox's GKE API and against refusals."""

from __future__ import annotations

import asyncio
import base64
import socket

import pytest

from gke_notebook.cloud import credentials, resolve
from gke_notebook.cloud.clusters import ENDPOINT
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import NAMESPACES
from gke_notebook.errors import ClusterUnreachable, InvalidInput, NotConnected
from gke_notebook.sandbox.gke.app import create_app
from gke_notebook.sandbox.gke.keeper import Keeper
from gke_notebook.sandbox.gke.resources import Settings
from gke_notebook.sandbox.gke.resources import cluster as cluster_resource
from tests.support.apiserver import TOKEN, running_server, test_certificates
from tests.support.apps import serving
from tests.support.google import new_fleet
from tests.support.rude import ok, rude_server, slam, text


@pytest.fixture(autouse=True)
def signed_in(monkeypatch, tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    monkeypatch.setenv(credentials.TOKEN_FILE, str(path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    return path


def state(endpoint="127.0.0.1:6443"):
    return Settings(endpoint, test_certificates().authority.read_text(), TOKEN)


def gke_app(settings):
    return create_app(Keeper(new_fleet()), settings)


async def resolved(monkeypatch, url, *name):
    monkeypatch.setenv(ENDPOINT, url + "/")
    return await asyncio.to_thread(resolve, *name)


async def test_the_connection_works_end_to_end(monkeypatch):
    async with (
        running_server(tls=True) as server,
        serving(gke_app(state(server.server.removeprefix("https://")))) as url,
    ):
        connection = await resolved(monkeypatch, url, "sandbox", "us-central1", "sandbox")
        assert (connection.server, connection.context) == (server.server, "sandbox/us-central1/sandbox")
        assert TOKEN not in repr(connection)
        async with Client(connection) as client:
            listed = await client.list(NAMESPACES)
    assert "default" in {item["metadata"]["name"] for item in listed["items"]}


async def test_a_token_file_is_read_again(monkeypatch, signed_in):
    async with serving(gke_app(state())) as url:
        connection = await resolved(monkeypatch, url, "sandbox", "us-central1", "sandbox")
    signed_in.write_text("another\n")
    assert await connection.token(False) == TOKEN
    assert await connection.token(True) == "another"


async def test_any_location(monkeypatch):
    async with serving(gke_app(state())) as url:
        connection = await resolved(monkeypatch, url, "sandbox", "-", "sandbox")
        assert connection.context == "sandbox/us-central1/sandbox"
        with pytest.raises(
            InvalidInput, match=r"no cluster 'sandbx' in project sandbox; did you mean 'sandbox/us-central1/"
        ):
            await resolved(monkeypatch, url, "sandbox", "-", "sandbx")


@pytest.mark.parametrize(
    ("location", "name"), [("us-central1", "sandbx"), ("europe-west4", "sandbox"), ("us-central", "sandbox")]
)
async def test_the_nearest_cluster_is_named(monkeypatch, location, name):
    async with serving(gke_app(state())) as url:
        with pytest.raises(InvalidInput, match=r"did you mean 'sandbox/us-central1/sandbox'\?"):
            await resolved(monkeypatch, url, "sandbox", location, name)


async def test_a_project_without_clusters(monkeypatch):
    async with rude_server(text('{"error": {"code": 404, "message": "Not found"}}', 404), ok({})) as rude:
        with pytest.raises(InvalidInput, match="project p has no clusters"):
            await resolved(monkeypatch, rude.url, "p", "us-central1", "c")


async def test_another_project_is_refused(monkeypatch):
    async with serving(gke_app(state())) as url:
        with pytest.raises(NotConnected, match=r"may not look up clusters in project other.*container\.clusters\.get"):
            await resolved(monkeypatch, url, "other", "us-central1", "sandbox")


async def test_a_wrong_token_is_refused_without_being_shown(monkeypatch, signed_in):
    signed_in.write_text("wrong-token")
    async with serving(gke_app(state())) as url:
        with pytest.raises(
            NotConnected, match=r"GKE API does not accept the Google credentials|no longer good"
        ) as caught:
            await resolved(monkeypatch, url, "sandbox", "us-central1", "sandbox")
    assert "wrong-token" not in str(caught.value)


async def test_an_api_that_is_not_enabled(monkeypatch):
    message = "Kubernetes Engine API has not been used in project p before or it is disabled."
    body = f'{{"error": {{"code": 403, "message": "{message}", "status": "PERMISSION_DENIED"}}}}'
    async with rude_server(text(body, 403, Content_Type="application/json")) as rude:
        with pytest.raises(NotConnected, match=r"gcloud services enable container\.googleapis\.com --project p"):
            await resolved(monkeypatch, rude.url, "p", "us-central1", "c")


async def test_an_api_that_does_not_answer(monkeypatch):
    async with rude_server(otherwise=slam) as rude:
        with pytest.raises(ClusterUnreachable, match="does not answer"):
            await resolved(monkeypatch, rude.url, "p", "us-central1", "c")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ClusterUnreachable, match="does not answer"):
        await resolved(monkeypatch, f"http://127.0.0.1:{port}", "p", "us-central1", "c")


def test_no_credentials(monkeypatch, tmp_path):
    monkeypatch.delenv(credentials.TOKEN_FILE)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(NotConnected, match=r"no Google credentials.*gcloud auth application-default login"):
        resolve("p", "us-central1", "c")


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), ("", "is empty")])
def test_a_bad_token_file(signed_in, content, said):
    signed_in.unlink() if content is None else signed_in.write_text(content)
    with pytest.raises(NotConnected, match=f"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE.*{said}"):
        resolve("p", "us-central1", "c")


async def described(monkeypatch, **changes):
    async with rude_server(ok({**cluster_resource(new_fleet().state, state()), **changes})) as rude:
        return await resolved(monkeypatch, rude.url, "sandbox", "us-central1", "sandbox")


async def test_a_dns_endpoint_is_preferred(monkeypatch):
    dns = {"endpoint": "gke-1234.us-central1.gke.goog", "allowExternalTraffic": True}
    connection = await described(monkeypatch, controlPlaneEndpointsConfig={"dnsEndpointConfig": dns})
    assert connection.server == "https://gke-1234.us-central1.gke.goog"


async def test_a_closed_dns_endpoint_is_not_used(monkeypatch):
    dns = {"endpoint": "gke-1234.us-central1.gke.goog"}
    connection = await described(monkeypatch, controlPlaneEndpointsConfig={"dnsEndpointConfig": dns})
    assert connection.server == "https://127.0.0.1:6443"


async def test_a_cluster_that_is_still_being_created(monkeypatch):
    with pytest.raises(
        NotConnected, match=r"sandbox/us-central1/sandbox is still being created \(status PROVISIONING\)"
    ):
        await described(monkeypatch, status="PROVISIONING", endpoint="")


async def test_a_cluster_without_an_endpoint(monkeypatch):
    with pytest.raises(NotConnected, match="no endpoint"):
        await described(monkeypatch, endpoint="")


async def test_a_broken_authority(monkeypatch):
    broken = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----").decode()
    with pytest.raises(NotConnected, match="certificate authority of the cluster"):
        await described(monkeypatch, masterAuth={"clusterCaCertificate": broken})
