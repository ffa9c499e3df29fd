"""A loopback API server of pre-rendered bytes, in a process of its own, so that only the client is measured."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

PODS = 5000


def _fields(value: Any) -> dict[str, Any]:
    """Give the `fieldsV1` of managed fields for an object, as server-side apply writes them."""
    if isinstance(value, dict):
        return {f"f:{key}": _fields(entry) for key, entry in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        key = next(key for key in ("name", "type", "key", "uid", "ip", "mountPath") if key in value[0])
        return {f'k:{{"{key}":"{entry[key]}"}}': {".": {}, **_fields(entry)} for entry in value}
    return {}


def pod(number: int, version: int) -> dict[str, Any]:
    """Make a pod like one of a training job on GKE, about 6 kB with its managed fields."""
    name = f"train-{number % PODS}"
    labels = {
        "app.kubernetes.io/managed-by": "gke-notebook",
        "batch.kubernetes.io/controller-uid": "5c2f3a0e-6d0e-4d3c-9a0e-0f6d2c9b7a11",
        "batch.kubernetes.io/job-completion-index": str(number % PODS),
        "batch.kubernetes.io/job-name": "train",
        "gke-notebook.dev/job": "train",
        "gke-notebook.dev/owner": "researcher",
    }
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": "train",
        "uid": "5c2f3a0e-6d0e-4d3c-9a0e-0f6d2c9b7a11",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    variables = {
        "GKE_NOTEBOOK_JOB": "train",
        "GKE_NOTEBOOK_NODES": str(PODS),
        "GKE_NOTEBOOK_PROCS_PER_NODE": "1",
        "GKE_NOTEBOOK_FRAMEWORK": "torch",
        "GKE_NOTEBOOK_COORDINATOR": "train-0.train:29500",
    }
    toleration = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    spec = {
        "containers": [
            {
                "name": "train",
                "image": "us-docker.pkg.dev/project/images/train@sha256:" + "0" * 64,
                "command": ["python3", "/gke-notebook/program/run.py"],
                "env": [{"name": key, "value": value} for key, value in variables.items()],
                "resources": {
                    "limits": {"nvidia.com/gpu": "1"},
                    "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
                },
                "volumeMounts": [
                    {"name": "program", "readOnly": True, "mountPath": "/gke-notebook/program"},
                ],
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "restartPolicy": "Never",
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "serviceAccountName": "default",
        "nodeName": f"gke-research-l4-pool-{number % 64:08x}",
        "hostname": name,
        "subdomain": "train",
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", **toleration},
        ],
        "volumes": [
            {"name": "program", "configMap": {"name": "train", "defaultMode": 420}},
        ],
    }
    status = {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-11-24T10:00:02Z"}
            for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        ],
        "hostIP": "10.128.0.7",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "startTime": "2026-11-24T10:00:01Z",
        "containerStatuses": [
            {
                "name": "train",
                "state": {"running": {"startedAt": "2026-11-24T10:00:02Z"}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": "us-docker.pkg.dev/project/images/train:latest",
                "imageID": "us-docker.pkg.dev/project/images/train@sha256:" + "0" * 64,
                "containerID": "containerd://" + "0" * 64,
                "started": True,
            }
        ],
        "qosClass": "Burstable",
    }
    annotations = {"gke-notebook.dev/framework": "torch", "gke-notebook.dev/cell-sha256": "0" * 64}
    managed = {"apiVersion": "v1", "operation": "Update", "time": "2026-11-24T10:00:02Z", "fieldsType": "FieldsV1"}
    created = {"metadata": {"labels": labels, "annotations": annotations, "ownerReferences": [owner]}, "spec": spec}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "generateName": "train-",
            "namespace": "research",
            "uid": f"00000000-0000-4000-8000-{number:012d}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-24T10:00:00Z",
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner],
            "managedFields": [
                {"manager": "kube-controller-manager", **managed, "fieldsV1": _fields(created)},
                {"manager": "kubelet", **managed, "fieldsV1": _fields({"status": status}), "subresource": "status"},
            ],
        },
        "spec": spec,
        "status": status,
    }


def _bytes(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def serve(events: int) -> None:
    """Answer lists with 5,000 pods and watches with so many events, one HTTP chunk an event, as kube-apiserver does."""
    items = [pod(number, number + 1) for number in range(PODS)]
    listed = _bytes({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5000"}, "items": items})
    feed = [
        _chunk(_bytes({"type": "MODIFIED", "object": pod(number, PODS + number + 1)}) + b"\n")
        for number in range(min(events, PODS))
    ]
    feed = [feed[number % len(feed)] for number in range(events - 1)]
    last = _chunk(
        _bytes({"type": "MODIFIED", "object": {**pod(0, 0), "metadata": {"name": "last", "namespace": "research"}}})
        + b"\n"
    )
    blocks = [b"".join(feed[start : start + 40]) for start in range(0, len(feed), 40)]

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    head += piece
                if b"watch=" in head.split(b"\r\n", 1)[0]:
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                    )
                    for block in blocks:
                        connection.sendall(block)
                    connection.sendall(last + b"0\r\n\r\n")
                else:
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(listed)
                    )
                    connection.sendall(listed)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        size = sum(map(len, feed)) // max(1, len(feed))
        print(
            json.dumps({"port": listener.getsockname()[1], "list_bytes": len(listed), "event_bytes": size}), flush=True
        )
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


@contextlib.contextmanager
def feed(events: int = 1) -> Iterator[dict[str, Any]]:
    """Run the server; gives its `port` and the sizes of what it sends."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks._feed", str(events)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
