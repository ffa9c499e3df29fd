"""The service account of a pod, end to end: the official client in a pod, with the rights of its account."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import PODS, SERVICE_ACCOUNTS
from gke_notebook.sandbox import controllers
from gke_notebook.sandbox.node import tokens
from tests.support.apiserver import running_server
from tests.support.node import Bench, node_config, pod, running_agent

Object = dict[str, Any]
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
CLIENT = """
import json, os, pathlib, ssl
from kubernetes import client, config
config.load_incluster_config()
core = client.CoreV1Api()
here = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
namespace = (here / "namespace").read_text()
found = {"namespace": namespace, "files": sorted(name for name in os.listdir(here) if not name.startswith("."))}
found["pods"] = [item.metadata.name for item in core.list_namespaced_pod(namespace).items]
try:
    core.list_namespaced_secret(namespace)
except client.ApiException as error:
    found["refused"] = [error.status, json.loads(error.body)["message"]]
ssl.create_default_context(cafile=str(here / "ca.crt"))
found["same"] = open(os.environ["CA"]).read() == (here / "ca.crt").read_text()
print(json.dumps(found), flush=True)
"""


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[Bench]:
    """A server over TLS with its controllers, and an agent."""
    config = node_config(tmp_path / "pods")
    async with running_server(tls=True, controllers=True) as connection, Client(connection) as client:
        work = asyncio.create_task(controllers.run(connection))
        try:
            async with running_agent(connection, config):
                yield Bench(client, tmp_path / "pods")
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


async def test_the_official_client_finds_its_way(here: Bench) -> None:
    await here.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "reader"}}, "default")
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    await here.client.request("POST", f"{ROLES}/roles", body={"metadata": {"name": "pods"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"}
    subjects = [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}]
    binding = {"metadata": {"name": "pods"}, "roleRef": reference, "subjects": subjects}
    await here.client.request("POST", f"{ROLES}/rolebindings", body=binding)
    variable = {"name": "CA", "value": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"}
    body = pod("asks", CLIENT, container={"env": [variable]})
    body["spec"]["serviceAccountName"] = "reader"
    await here.create(body)
    found = json.loads(await here.log_has("asks", "\n"))
    who = "system:serviceaccount:default:reader"
    why = (
        f'secrets is forbidden: User "{who}" cannot list resource "secrets" in API group "" in the namespace "default"'
    )
    assert found == {
        "namespace": "default", "files": ["ca.crt", "namespace", "token"], "pods": ["asks"], "refused": [403, why],
        "same": True,
    }  # fmt: skip


async def test_a_token_is_renewed_and_ends_with_its_pod(here: Bench, monkeypatch: Any) -> None:
    monkeypatch.setattr(tokens, "RENEWED_AFTER", 1 / tokens.DEFAULT_SECONDS)
    code = (
        "import time\nseen = []\nwhile len(seen) < 2:\n"
        "    token = open('/var/run/secrets/kubernetes.io/serviceaccount/token').read()\n"
        "    if token not in seen:\n        seen.append(token)\n        print(token, flush=True)\n"
        "    time.sleep(0.05)\nprint('two', flush=True)\ntime.sleep(300)"
    )
    body = pod("waits", code)
    await here.create(body)
    first, second = (await here.log_has("waits", "two"))[:-4].split()
    claims = [json.loads(base64.urlsafe_b64decode(each.split(".")[1] + "==")) for each in (first, second)]
    made = await here.client.get(PODS, "waits", "default")
    bound = {"name": "waits", "uid": made["metadata"]["uid"]}
    assert [each["kubernetes.io"]["pod"] for each in claims] == [bound, bound]
    assert claims[0]["jti"] != claims[1]["jti"]
    volume = made["spec"]["volumes"][0]["name"]
    written = next((here.directory).glob(f"*waits*/volumes/{volume}"))
    for _ in range(500):
        if sum(path.is_dir() and not path.is_symlink() for path in written.iterdir()) == 1:  # the old ones go
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError("old tokens stay")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    assert await _user(here, path, review, second) == "system:serviceaccount:default:default"
    await here.client.delete(PODS, "waits", "default", grace_period=0)
    for _ in range(500):
        if await _user(here, path, review, second) == 401:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the token is good without its pod")


async def _user(here: Bench, path: str, review: Object, token: str) -> Any:
    connection = here.client.connection
    headers = {"Authorization": f"Bearer {token}"}
    async with here.client._session().post(connection.server + path, json=review, headers=headers) as response:
        if response.status != 201:
            return response.status
        return (await response.json())["status"]["userInfo"]["username"]
