"""The real kubectl against the embedded API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import EVENTS, NODES, PODS
from tests.support.apiserver import running_server
from tests.support.kubectl import Kubectl, find_kubectl
from tests.support.kubelet import running_kubelet

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(find_kubectl() is None, reason="no kubectl, and no Go to build one"),
]

JOB = """
apiVersion: batch/v1
kind: Job
metadata:
  name: train
  labels: {team: research}
spec:
  completions: 2
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: python:3.11
        command: [python3, -c, "print(1)"]
        resources: {limits: {nvidia.com/gpu: "1"}, requests: {cpu: 500m}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
  - {name: main, image: "nginx:1", ports: [{containerPort: 80}]}
"""
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1", b: "2"}
"""


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with running_server(tls=True) as connection:
        yield Kubectl(tmp_path, connection)


@pytest.fixture
async def client(kubectl: Kubectl) -> AsyncIterator[Client]:
    async with Client(kubectl.connection) as found:
        yield found


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


async def test_get_in_every_form(kubectl: Kubectl):
    await kubectl("create", "-f", "-", stdin=POD)
    rows = words(await kubectl("get", "pods"))
    assert rows[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert rows[1][:4] == ["web", "0/1", "Pending", "0"]
    wide = await kubectl("get", "po", "-o", "wide")
    assert wide.split()[:8] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED"]
    assert (await kubectl("get", "pods", "-A", "--show-labels")).split()[-1] == "app=web"
    assert words(await kubectl("get", "pods", "-A"))[0][0] == "NAMESPACE"
    assert await kubectl("get", "pods", "-o", "name") == "pod/web\n"
    assert json.loads(await kubectl("get", "pod", "web", "-o", "json"))["kind"] == "Pod"
    assert json.loads(await kubectl("get", "pods", "-o", "json"))["items"][0]["kind"] == "Pod"
    assert "  name: web\n" in await kubectl("get", "pod", "web", "-o", "yaml")
    assert await kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}") == "web"
    assert await kubectl("get", "pods", "-o", "custom-columns=N:.metadata.name", "--no-headers") == "web\n"
    assert await kubectl("get", "pods", "-l", "app=other", "-o", "name") == ""
    assert await kubectl("get", "pods", "--field-selector", "status.phase=Pending", "-o", "name") == "pod/web\n"
    for kinds in ("namespaces", "nodes", "jobs", "services", "configmaps", "secrets", "events", "leases", "all"):
        await kubectl("get", kinds, "-A")
    answer = await kubectl.run("get", "pod", "nope")
    assert (answer.code, answer.err) == (1, 'Error from server (NotFound): pods "nope" not found\n')
    answer = await kubectl.run("get", "nopes")
    assert 'the server doesn\'t have a resource type "nopes"' in answer.err


async def test_get_watch(kubectl: Kubectl, client: Client):
    await kubectl("create", "-f", "-", stdin=CONFIG)
    process = await kubectl.start("get", "configmaps", "-w", "-o", "wide")
    assert process.stdout is not None
    assert (await process.stdout.readline()).split()[:2] == [b"NAME", b"DATA"]
    assert (await process.stdout.readline()).split()[:2] == [b"settings", b"2"]
    await kubectl("patch", "configmap", "settings", "--type", "merge", "-p", '{"data":{"c":"3"}}')
    assert (await process.stdout.readline()).split()[:2] == [b"settings", b"3"]
    process.terminate()
    await process.wait()
    assert (await client.list(PODS))["items"] == []


async def test_apply_diff_and_apply_again(kubectl: Kubectl):
    assert await kubectl("apply", "-f", "-", stdin=CONFIG) == "configmap/settings created\n"
    assert await kubectl("apply", "-f", "-", stdin=CONFIG) == "configmap/settings unchanged\n"
    changed = CONFIG.replace('b: "2"', 'c: "3"')
    diff = await kubectl.run("diff", "-f", "-", stdin=changed)
    assert diff.code == 1, diff.err
    assert '-  b: "2"' in diff.out
    assert '+  c: "3"' in diff.out
    assert await kubectl("apply", "-f", "-", stdin=changed) == "configmap/settings configured\n"
    assert json.loads(await kubectl("get", "cm", "settings", "-o", "json"))["data"] == {"a": "1", "c": "3"}
    assert (await kubectl.run("diff", "-f", "-", stdin=changed)).code == 0
    assert await kubectl("apply", "-f", "-", stdin=JOB) == "job.batch/train created\n"
    assert await kubectl("apply", "-f", "-", stdin=JOB) == "job.batch/train unchanged\n"
    suspended = JOB.replace("completions: 2", "completions: 2\n  suspend: true")
    assert await kubectl("apply", "-f", "-", stdin=suspended) == "job.batch/train configured\n"
    answer = await kubectl.run("apply", "-f", "-", stdin=JOB.replace("parallelism", "paralellism"))
    assert answer.code == 1
    assert 'unknown field "spec.paralellism"' in answer.err


async def test_apply_on_the_server(kubectl: Kubectl):
    said = "configmap/settings serverside-applied\n"
    assert await kubectl("apply", "--server-side", "-f", "-", stdin=CONFIG) == said
    assert await kubectl("apply", "--server-side", "-f", "-", stdin=CONFIG) == said
    await kubectl("patch", "cm", "settings", "--type", "merge", "-p", '{"data":{"a":"9"}}', "--field-manager", "other")
    answer = await kubectl.run("apply", "--server-side", "-f", "-", stdin=CONFIG)
    assert answer.code == 1
    assert 'conflict with "other"' in answer.err
    assert ".data.a" in answer.err
    assert await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=CONFIG) == said
    assert json.loads(await kubectl("get", "cm", "settings", "-o", "json"))["data"]["a"] == "1"
    assert "f:data" in await kubectl("get", "cm", "settings", "-o", "yaml", "--show-managed-fields")


async def test_the_three_patches_labels_and_annotations(kubectl: Kubectl):
    await kubectl("create", "-f", "-", stdin=CONFIG)
    for type_, patch in (
        ("merge", '{"data":{"a":"merge"}}'),
        ("strategic", '{"data":{"a":"strategic"}}'),
        ("json", '[{"op":"replace","path":"/data/a","value":"json"}]'),
    ):
        assert await kubectl("patch", "cm", "settings", "--type", type_, "-p", patch) == "configmap/settings patched\n"
        assert await kubectl("get", "cm", "settings", "-o", "jsonpath={.data.a}") == type_
    await kubectl("label", "cm", "settings", "team=research")
    assert (await kubectl.run("label", "cm", "settings", "team=other")).code == 1
    await kubectl("label", "cm", "settings", "team=other", "--overwrite")
    assert await kubectl("get", "cm", "-l", "team=other", "-o", "name") == "configmap/settings\n"
    await kubectl("annotate", "cm", "settings", "note=x")
    assert await kubectl("get", "cm", "settings", "-o", "jsonpath={.metadata.annotations.note}") == "x"
    await kubectl("label", "cm", "settings", "team-")
    assert await kubectl("get", "cm", "-l", "team", "-o", "name") == ""


async def test_create_in_every_form(kubectl: Kubectl):
    await kubectl("create", "namespace", "team")
    await kubectl("create", "configmap", "c", "--from-literal", "k=v", "-n", "team")
    await kubectl("create", "secret", "generic", "s", "--from-literal", "password=x", "-n", "team")
    await kubectl("create", "serviceaccount", "robot", "-n", "team")
    await kubectl("create", "job", "j", "--image", "python:3.11", "-n", "team", "--", "true")
    await kubectl("create", "priorityclass", "high", "--value", "1000")
    await kubectl("run", "p", "--image", "nginx", "-n", "team")
    assert set((await kubectl("get", "cm,secret,sa,job,pod", "-n", "team", "-o", "name")).split()) >= {
        "configmap/c", "secret/s", "serviceaccount/robot", "job.batch/j", "pod/p",
    }  # fmt: skip
    assert await kubectl("get", "secret", "s", "-n", "team", "-o", "jsonpath={.data.password}") == "eA=="
    assert await kubectl("create", "-f", "-", "--dry-run=server", stdin=POD) == "pod/web created (server dry run)\n"
    assert (await kubectl.run("get", "pod", "web")).code == 1
    answer = await kubectl.run("create", "namespace", "team")
    assert answer.err == 'Error from server (AlreadyExists): namespaces "team" already exists\n'
    answer = await kubectl.run("create", "-f", "-", stdin=POD.replace("name: web", "name: Web_1"))
    assert 'The Pod "Web_1" is invalid: metadata.name: Invalid value: "Web_1"' in answer.err


async def test_describe_and_events(kubectl: Kubectl, client: Client):
    await kubectl("create", "-f", "-", stdin=POD)
    pod = await client.get(PODS, "web")
    meta = pod["metadata"]
    involved = {"kind": "Pod", "namespace": "default", "name": "web", "uid": meta["uid"], "apiVersion": "v1"}
    now = meta["creationTimestamp"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web.1"},
        "involvedObject": involved,
        "type": "Warning",
        "reason": "FailedScheduling",
        "message": "0/9 nodes are available",
        "source": {"component": "default-scheduler"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    await client.create(EVENTS, event)
    described = await kubectl("describe", "pod", "web")
    assert "FailedScheduling" in described
    assert ["QoS", "Class:", "BestEffort"] in words(described)
    assert "0/9 nodes are available" in await kubectl("events", "--for", "pod/web")
    assert words(await kubectl("get", "events"))[1][1:4] == ["Warning", "FailedScheduling", "pod/web"]
    await kubectl("create", "-f", "-", stdin=JOB)
    assert ["Completion", "Mode:", "Indexed"] in words(await kubectl("describe", "job", "train"))
    status = {"capacity": {"cpu": "8", "memory": "32Gi"}, "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
    await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": status})
    assert ["cpu:", "8"] in words(await kubectl("describe", "node", "n"))
    assert ["Status:", "Active"] in words(await kubectl("describe", "namespace", "default"))


@pytest.mark.parametrize("watch_list", ["true", "false"])
async def test_wait(kubectl: Kubectl, client: Client, watch_list: str):
    await kubectl("create", "-f", "-", stdin=POD)
    variable = {"KUBE_FEATURE_WatchListClient": watch_list}
    process = await kubectl.start("wait", "pod/web", "--for=condition=Ready", "--timeout=60s", **variable)
    await asyncio.sleep(0.5)  # it should find the pod not ready first
    ready: dict[str, Any] = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await client.patch(PODS, "web", ready, subresource="status")
    assert process.stdout is not None
    assert await process.stdout.read() == b"pod/web condition met\n"
    assert await process.wait() == 0
    process = await kubectl.start("wait", "pod/web", "--for=delete", "--timeout=60s", **variable)
    await kubectl("delete", "pod", "web", "--wait=true")
    assert await process.wait() == 0


async def test_delete(kubectl: Kubectl):
    await kubectl("create", "-f", "-", stdin=CONFIG)
    assert await kubectl("delete", "configmap", "settings") == 'configmap "settings" deleted\n'
    await kubectl("create", "-f", "-", stdin=JOB)
    await kubectl("create", "-f", "-", stdin=POD)
    assert "deleted" in await kubectl("delete", "-f", "-", "--cascade=background", stdin=JOB)
    await kubectl("delete", "pods", "--all", "--grace-period=0", "--force")
    assert await kubectl("get", "pods,jobs", "-o", "name") == ""
    answer = await kubectl.run("delete", "namespace", "kube-system")
    assert 'namespaces "kube-system" is forbidden: this namespace may not be deleted' in answer.err


async def test_what_there_is(kubectl: Kubectl):
    rows = words(await kubectl("api-resources", "--no-headers"))
    assert ["pods", "po", "v1", "true", "Pod"] in rows
    assert ["jobs", "batch/v1", "true", "Job"] in rows
    assert "batch/v1" in (await kubectl("api-versions")).split()
    assert "FIELDS:" in await kubectl("explain", "job.spec")
    assert "FIELD: completions <integer>" in await kubectl("explain", "job.spec.completions")
    assert "template\t<PodTemplateSpec> -required-" in await kubectl("explain", "job.spec")
    assert "Server Version: v1." in await kubectl("version")
    assert await kubectl("auth", "can-i", "create", "jobs") == "yes\n"
    assert "admin" in await kubectl("auth", "whoami")
    assert "is running at" in await kubectl("cluster-info")
    assert await kubectl("get", "--raw", "/readyz") == "ok"


async def test_logs(kubectl: Kubectl, client: Client):
    await kubectl("create", "-f", "-", stdin=POD)
    assert await kubectl("logs", "web") == ""
    async with running_kubelet() as kubelet:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": kubelet.node_status}
        await client.create(NODES, node)
        binding = {"metadata": {"name": "web"}, "target": {"name": "n"}}
        await client.request("POST", "/api/v1/namespaces/default/pods/web/binding", body=binding)
        assert await kubectl("logs", "web") == "one\ntwo\n"
        process = await kubectl.start("logs", "-f", "web", "--tail=2", "--timestamps")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"one\n"
        kubelet.more.set()
        assert await process.stdout.read() == b"two\nthree\n"
        assert await process.wait() == 0
        assert kubelet.seen[-1][1] == {"follow": "true", "tailLines": "2", "timestamps": "true"}
        kubelet.refusal = (400, 'container "main" in pod "web" is waiting to start: ContainerCreating')
        answer = await kubectl.run("logs", "web")
        assert answer.err == f"Error from server (BadRequest): {kubelet.refusal[1]}\n"
