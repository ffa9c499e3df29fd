"""What kubectl prints, whole, against both servers."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gke_notebook.cluster.resources import NODES
from tests.contract.both import Both, Side
from tests.contract.manifests import NAMES, OBJECTS
from tests.contract.samples import ECHO, sample
from tests.support.kubectl import find_kubectl

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(find_kubectl() is None, reason="no kubectl, and no Go to build one"),
]

# Times, ages, versions, and the width of the columns that they stand in; where a server is.
TEXT = [
    *ECHO,
    (r"Resource Version: +\d+", "Resource Version: <version>"),
    (r" +\[/(\.well-known|openid)/\S+ .*\n", ""),  # the keys of a real cluster's tokens are public
    (r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<date>"),
    (r"\b\d+(\.\d+)?(ms|[smhd])(\d+[smhd])?\b", "<age>"),
    (r"resourceVersion: ?\"\d+\"", "resourceVersion: <version>"),
    (r"\"resourceVersion\": \"\d+\"", '"resourceVersion": <version>'),
    (r"https://127\.0\.0\.1:\d+", "https://<server>"),
    (r"<unknown>|<invalid>", "<age>"),
    (r"/tmp/(LIVE|MERGED|kubectl-edit)-?[^/\s]*", "/tmp/<file>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "<file time>"),
    (r" {2,}", "  "),
    (r"-{4,}", "----"),
]

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: c, labels: {x: "1"}}
data: {a: "1", b: "2"}
"""


async def run_all(side: Side, *lines: str, stdin: str | None = None) -> None:
    """Run kubectl once for each line of arguments; words in a line are parted by spaces."""
    for line in lines:
        await side.run_kubectl(*line.split(), stdin=stdin)


async def made(side: Side) -> None:
    await side.kubectl("create", "-f", "-", stdin=OBJECTS)


async def test_get(both: Both):
    async def scenario(side: Side) -> None:
        await made(side)
        each = NAMES.split(",")
        await run_all(
            side, *(f"get {name}" for name in each), *(f"get {name} -o wide" for name in each),
            f"get {' '.join(each)} -o name", "get pods,jobs,services --show-labels", "get pods,jobs -L team,app",
            "get all", "get all -o name", "get cm --sort-by=.metadata.name -o name", "get cm --sort-by=.metadata.creationTimestamp --no-headers",
            "get pods -l app=web", "get pods -l app=other", "get pods --field-selector=status.phase=Pending", "get pod web --show-kind",
            "get pods -o jsonpath={.items[*].metadata.name}", "get pods -o custom-columns=N:.metadata.name,P:.status.phase",
            "get pods -o go-template={{len(.items)}}", "get pod web other", "get nothing", "get pods/web jobs", "get pod web -o jsonpath={.spec.nothing}",
            "get configmaps --chunk-size=1 -o name", "get pods --ignore-not-found", "get pod nothing --ignore-not-found", "get pods web -o odd",
            "get pods --field-selector=spec.odd=1", "get pods -l a=b=c", f"get pods -n {side.namespace}-none", f"get ns {side.namespace}",
            "get --raw /api/v1/namespaces/none", "get events", "get priorityclass system-node-critical", "get clusterrole view",
        )  # fmt: skip

    await both.compare(scenario, kind="*", feature="kubectl get: plain, wide, names, labels, sorted", rules=TEXT)


async def test_get_whole_objects(both: Both):
    async def scenario(side: Side) -> None:
        await made(side)
        for name in NAMES.split(","):
            await run_all(side, f"get {name} -o yaml", f"get {name} -o json --show-managed-fields")
        await run_all(side, "get pods,jobs -o yaml", f"get ns {side.namespace} -o yaml", "get pods -o json")

    await both.compare(
        scenario, kind="*", feature="kubectl get: yaml, json, managed fields",
        rules=[*TEXT, (r'"time": "[^"]*"', '"time": <time>')],
    )  # fmt: skip


async def test_describe(both: Both):
    async def scenario(side: Side) -> None:
        await made(side)
        await run_all(
            side, *(f"describe {name}" for name in NAMES.split(",")), "describe pods", "describe pods,jobs -l team=research", "describe pod nothing",
            f"describe ns {side.namespace}", "describe priorityclass system-cluster-critical", "describe nothing",
            "describe pod we",
        )  # fmt: skip
        for each in side.transcript:
            if "describe limitrange" in each["kubectl"] or "describe ns" in each["kubectl"]:
                each["out"] = sorted(each["out"].splitlines())  # kubectl goes through a map's keys in any order

    await both.compare(scenario, kind="*", feature="kubectl describe", rules=TEXT)


async def test_create_and_run(both: Both):
    async def scenario(side: Side) -> None:
        for dry in ("--dry-run=server", "--dry-run=server -o yaml", ""):
            await run_all(
                side,
                f"create configmap c --from-literal=a=1 {dry}", f"create secret generic s --from-literal=a=1 {dry}",
                f"create quota q --hard=pods=5,requests.cpu=2 {dry}", f"create serviceaccount sa {dry}",
                f"create role r --verb=get,list --resource=pods {dry}", f"create rolebinding rb --role=r --user=ada {dry}",
                f"create job j --image=busybox {dry}", f"run p --image=busybox --restart=Never {dry}",
                f"create service clusterip svc --clusterip=None {dry}", f"create secret docker-registry d --docker-server=x --docker-username=u --docker-password=p {dry}",
            )  # fmt: skip
        await run_all(
            side, "create configmap c", "create namespace kube-system", "create job J --image=x", "create configmap Bad_Name",
            f"create clusterrole {side.namespace} --verb=get --resource=pods --dry-run=server", "create priorityclass p --value=5 --dry-run=server -o yaml",
            f"create namespace {side.namespace}-x --dry-run=server -o yaml", "create token sa --duration=1s", "create token nobody",
        )  # fmt: skip
        await run_all(side, "create -f -", stdin=CONFIG.replace("data", "daat"))
        await run_all(side, "create -f - --validate=warn", stdin=CONFIG.replace("data", "daat"))
        await run_all(
            side, "create -f - --validate=ignore", stdin=CONFIG.replace("name: c", "name: c2").replace("data", "daat")
        )

    await both.compare(scenario, kind="*", feature="kubectl create, run, --dry-run=server", rules=[*TEXT, VOLUMES])


# Which names a token volume has is drawn by lot.
VOLUMES = (r"kube-api-access-[a-z0-9]{5}", "kube-api-access-<random>")


async def test_apply_diff_replace(both: Both):
    changed = CONFIG.replace('b: "2"', 'c: "3"')

    async def scenario(side: Side) -> None:
        await run_all(
            side,
            "diff -f -",
            "apply -f - --dry-run=server",
            "apply -f -",
            "apply -f -",
            "get cm c -o yaml",
            stdin=CONFIG,
        )
        await run_all(
            side, "diff -f -", "apply -f - --dry-run=server -o yaml", "apply -f -", "diff -f -", stdin=changed
        )
        await run_all(side, "get cm c -o yaml", "apply view-last-applied cm/c")
        await run_all(side, "replace -f -", stdin=CONFIG)
        await run_all(side, "replace --force -f -", stdin=changed)
        await run_all(side, "replace -f -", stdin=CONFIG.replace("name: c", "name: none"))
        await run_all(side, "apply --server-side -f -", stdin=CONFIG)
        await run_all(side, "apply --server-side --force-conflicts -f -", "diff --server-side -f -", stdin=CONFIG)
        await run_all(side, "get cm c -o yaml --show-managed-fields")
        await run_all(side, "apply -f -", stdin=OBJECTS)
        await run_all(side, "apply -f -", stdin=OBJECTS)
        await run_all(side, "diff -f -", stdin=OBJECTS.replace("parallelism: 2", "parallelism: 1"))
        await run_all(side, "apply -f -", stdin=OBJECTS.replace("completions: 2", "completions: 3"))
        await run_all(side, "apply -f -", stdin=OBJECTS.replace("python:3.11", "python:3.12"))
        await run_all(
            side,
            "apply -f - --prune -l x=1 --prune-allowlist=core/v1/ConfigMap",
            stdin=CONFIG.replace("name: c", "name: d"),
        )
        await run_all(side, "apply -f - --validate=strict", stdin=CONFIG.replace("data", "daat"))

    rules = [
        *TEXT,
        (r"(?m)^\s*(f:|\.: |k:).*$\n?", ""),
        (r"time: \S+", "time: <time>"),
        (r"--- .*|\+\+\+ .*|diff .*", "<files>"),
    ]
    await both.compare(scenario, kind="*", feature="kubectl apply, diff, replace", rules=rules)


# What one item of a list is called that is no map, the real server says with a 500; here nothing is.
WRONG_TYPES = (
    {"parallelism": "x"},
    {"parallelism": 1.5},
    {"parallelism": True},
    {"suspend": "x"},
    {"suspend": 1},
    {"template": 1},
    {"template": {"spec": {"restartPolicy": 1}}},
    {"template": {"spec": {"nodeSelector": "x"}}},
    {"template": {"spec": {"nodeSelector": {"a": True}}}},
    {"completionMode": 1.5},
    {"completionMode": []},
    {"selector": {"matchExpressions": [1]}},
    {"selector": {"matchExpressions": 1}},
    {"template": {"spec": {"containers": 1}}},
    {"template": {"metadata": {"labels": 1}}},
)


async def test_edits(both: Both, tmp_path: Path):
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/a: .1./a: \\"7\\"/" "$1"\n')
    editor.chmod(0o755)

    async def scenario(side: Side) -> None:
        await side.kubectl("create", "-f", "-", stdin=CONFIG)
        await side.kubectl("create", "-f", "-", stdin=OBJECTS)
        side.kubectl.environment["KUBE_EDITOR"] = str(editor)
        await run_all(side, "edit cm c", "edit cm c", "get cm c -o jsonpath={.data.a}")
        for words in (
            ["patch", "cm", "c", "-p", '{"data":{"a":"2"}}'], ["patch", "cm", "c", "-p", '{"data":{"a":"2"}}'],
            ["patch", "cm", "c", "--type=merge", "-p", '{"data":{"a":null}}'], ["patch", "cm", "c", "--type=json", "-p", '[{"op":"test","path":"/data/b","value":"9"}]'],
            ["patch", "cm", "c", "--type=json", "-p", '[{"op":"remove","path":"/data/none"}]'], ["patch", "cm", "c", "-p", "{"], ["patch", "cm", "c", "-p", '{"data":{"x":1}}'],
            *(["patch", "job", "train", "-p", json.dumps({"spec": spec})] for spec in WRONG_TYPES),
            ["patch", "pod", "web", "-p", '{"spec":{"containers":[{"name":"main","image":"nginx:2"}]}}'], ["patch", "pod", "web", "-p", '{"spec":{"nodeName":"x"}}'],
            ["patch", "job", "train", "-p", '{"spec":{"completions":5}}'], ["patch", "job", "train", "--subresource=status", "-p", '{"status":{"active":1}}'],
            ["patch", "cm", "none", "-p", "{}"], ["patch", "cm", "c", "--dry-run=server", "-o", "yaml", "-p", '{"data":{"z":"1"}}'],
            ["label", "cm", "c", "x=2"], ["label", "cm", "c", "x=2", "--overwrite"], ["label", "cm", "c", "x=2", "--overwrite"], ["label", "cm", "c", "y=3", "x-"], ["label", "cm", "c", "bad_=_"],
            ["label", "cm", "--all", "all=1"], ["label", "pods", "-l", "app=web", "z=1"], ["label", "cm", "c", "y=1", "--resource-version=1", "--overwrite"],
            ["annotate", "cm", "c", "note=hello"], ["annotate", "cm", "c", "note=other"], ["annotate", "cm", "c", "note-"], ["annotate", "pod", "web", "a/b/c=d"],
            ["set", "image", "pod/web", "main=nginx:3"], ["set", "env", "job/train", "A=1"], ["set", "resources", "job/train", "--limits=cpu=1"], ["set", "serviceaccount", "job/train", "robot"],
            ["scale", "job/train", "--replicas=2"], ["autoscale", "job/train", "--max=2"], ["expose", "pod", "web", "--port=80", "--name=exposed", "--cluster-ip=None"],
            ["rollout", "status", "job/train"], ["rollout", "restart", "job/train"], ["rollout", "history", "pod/web"],
        ):  # fmt: skip
            await side.run_kubectl(*words)

    await both.compare(scenario, kind="*", feature="kubectl edit, patch, label, annotate, set; refusals", rules=TEXT)


async def test_delete_and_wait(both: Both):
    async def scenario(side: Side) -> None:
        await made(side)
        await run_all(
            side, "wait pod/web --for=condition=PodScheduled=false --timeout=1s", "wait pod/web --for=jsonpath={.status.phase}=Pending --timeout=5s",
            "wait job/train --for=condition=Complete --timeout=1s", "wait pod/none --for=condition=Ready --timeout=1s", "wait pod/none --for=delete --timeout=1s",
            "wait pods -l app=none --for=condition=Ready --timeout=1s", "wait pod/web --for=jsonpath={.metadata.name} --timeout=1s", "wait cm/settings --for=create --timeout=1s",
            "delete pod web --dry-run=server", "delete pod web", "delete pod web", "delete job train --cascade=foreground", "delete cm settings --wait=false", "delete cm none --ignore-not-found",
            "delete secret,service --all", "delete role/reader rolebinding/readers", "delete lease leader --grace-period=0 --force", "delete sa robot --now",
            "delete pods --all", "delete cm -l team=research", "delete limitrange sizes --cascade=orphan", "delete ns default", "delete nothing x", "delete pod",
        )  # fmt: skip
        await run_all(side, "delete -f -", stdin=CONFIG)
        await side.kubectl("create", "-f", "-", stdin=OBJECTS)
        await run_all(side, "delete -f - --cascade=background", stdin=OBJECTS)
        await run_all(side, "delete -f - --ignore-not-found", stdin=OBJECTS)

    await both.compare(scenario, kind="*", feature="kubectl delete, wait", rules=TEXT)


async def test_what_one_may(both: Both):
    async def scenario(side: Side) -> None:
        await made(side)
        robot = f"--as=system:serviceaccount:{side.namespace}:robot"
        await run_all(
            side, "auth can-i get pods", "auth can-i create jobs.batch", "auth can-i * *", "auth can-i get nothing", "auth can-i get /version", "auth can-i get nodes",
            f"auth can-i get pods {robot}", f"auth can-i delete pods {robot}", f"auth can-i get pods --subresource=log {robot}", f"auth can-i get pods/web {robot}",
            f"auth can-i create jobs {robot} -q", f"get pods {robot} -o name", f"get jobs {robot}", f"get jobs -A {robot}", f"delete pod web {robot}", f"get nodes {robot}",
            f"auth whoami {robot}", "auth whoami --as=ada --as-group=g -o yaml", f"create cm x {robot}", f"auth can-i --list {robot}", "auth can-i --list --as=ada", f"describe pod web {robot}",
        )  # fmt: skip

    await both.compare(scenario, kind="*", feature="kubectl auth, --as", rules=TEXT)


async def test_events_and_what_needs_a_container(both: Both):
    async def scenario(side: Side) -> None:
        await made(side)
        for index, (type_, reason) in enumerate((("Normal", "Pulled"), ("Warning", "Failed"))):
            event = {
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"e{index}", "namespace": side.namespace}, "reason": reason, "type": type_, "message": f"{reason} it",
                "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": side.namespace}, "source": {"component": "kubelet", "host": "n"},
                "count": index + 1, "firstTimestamp": "2026-11-24T10:00:00Z", "lastTimestamp": f"2026-11-24T10:00:0{index}Z",
            }  # fmt: skip
            await side.kubectl("create", "-f", "-", stdin=json.dumps(event))
        await run_all(
            side, "events", "events --for=pod/web", "events --types=Warning", "events --for=job/train", "get events", "get events -o wide", "get events --sort-by=.lastTimestamp",
            "get events --field-selector=type=Warning,involvedObject.name=web -o name", "describe event e0", "describe pod web",
            "logs web", "logs web -c side", "logs web -c none", "logs web --all-containers", "logs web --previous", "logs none", "logs job/train --pod-running-timeout=1s", "logs -l app=web", "logs -l app=none",
            "top pod", "top node", "version -o json --client", "cluster-info", "explain odd",
        )  # fmt: skip

    await both.compare(
        scenario,
        kind="*",
        feature="kubectl events, logs without a container",
        rules=[*TEXT, (r"'https://<server>\S*'|is running at \S+", "<address>")],
    )


async def test_nodes(both: Both):
    async def scenario(side: Side) -> Any:
        name = f"n-{side.namespace}"
        body = sample(NODES, name)
        body["spec"] = {"unschedulable": True, "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}
        body["metadata"]["labels"] = {"node-role.kubernetes.io/worker": "", "cloud.google.com/gke-nodepool": "p"}
        body["status"] = {
            "capacity": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.34.0", "osImage": "Linux", "kernelVersion": "6", "containerRuntimeVersion": "c://1", "architecture": "amd64", "bootID": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux", "systemUUID": ""},
        }  # fmt: skip
        try:
            await side.kubectl("create", "-f", "-", stdin=json.dumps(body))
            await run_all(
                side,
                f"wait node/{name} --for=jsonpath={{.spec.taints}} --timeout=5s",
                f"get node {name}",
                f"get node {name} -o wide",
                f"describe node {name}",
                f"uncordon {name}",
                f"cordon {name}",
                f"taint node {name} x=y:NoExecute",
                f"taint node {name} x-",
                f"drain {name} --force",
            )
        finally:
            await side.kubectl.run("delete", "node", name)
        return [{**each, "out": settled(each["out"])} for each in side.transcript]

    await both.compare(scenario, kind="Node", feature="kubectl get, describe, cordon, taint, drain", rules=TEXT)


def settled(text: str) -> list[str]:
    """Give the lines of a description but those that hang on whether a controller of nodes has come by."""
    odd = (
        "node.kubernetes.io/",
        "Taints:",
        "Annotations:",
        "node.alpha",
        "node-controller",
        "RegisteredNode",
        "NodeStatusNeverUpdated",
        "Events:",
        "Type  Reason",
        "----",
    )
    lines = ("  ".join(re.split(r" {2,}", line.strip())) for line in text.splitlines())
    return [line for line in lines if not any(word in line for word in odd)]
