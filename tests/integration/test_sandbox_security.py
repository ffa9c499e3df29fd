"""A running sandbox: whom its four servers answer, where its tokens are, and who may read its files."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.home import SandboxHome, sandbox_home

SERVERS = ("kubernetes", "gke", "prometheus", "kubelet")
PATHS = {
    "kubernetes": "/api/v1/namespaces/default/secrets",
    "gke": "/v1/projects/sandbox/locations/us-central1/clusters",
    "prometheus": "/api/v1/labels",
    "kubelet": "/pods",
}
ODD_PATHS = [
    "/", "//", "/..", "/%2e%2e/%2e%2e/etc/passwd", "/%00", "/%ff", "/%", "/%F0%9F%92%A9",
    "/v1/projects/%ff/locations/-/clusters",
    "/v1/projects/sandbox/locations/us-central1/clusters/" + "a" * 5000,
    "/sandbox/v1/instances?since=" + "9" * 5000,
    "/sandbox/v1/instances?since=1&timeout=1e999", "/sandbox/v1/instances/%00:preempt", "/sandbox/v1/faults/%ff",
    "/sandbox/v1/", "/sandbox/v1/..%2f..%2ftoken", "/compute/v1/projects/%ff/zones", "/compute/v1/projects/sandbox//",
    "/compute/v1/projects/sandbox/zones/..%2f..%2fx/instances", "/v1/services/%00/skus?pageSize=" + "9" * 500,
    "/compute/v1/projects/sandbox/zones/us-central1-a/instanceGroupManagers/%F0%9F%92%A9/resize?size=" + "9" * 5000,
    "/v1/projects/sandbox/locations/global/services/compute.googleapis.com/quotaInfos/" + "a" * 5000,
    "/v1/projects/sandbox/locations/us-central1/clusters/sandbox/nodePools/l4-pool:setSize?x=%ff",
    "/api/v1/query?query=" + "%7B" * 2000,
    "/api/v1/query?query=up&time=1e999", "/api/v1/query_range?query=up&start=0&end=9e99&step=1e-300",
    "/api/v1/query_range?query=up&start=nan&end=inf&step=nan", "/api/v1/label/%ff/values", "/api/v1/series?match[]=%ff",
    "/api/v1/query?query=" + "(" * 3000, "/containerLogs/default/x/y?tailLines=" + "9" * 5000,
    "/containerLogs/default/speaks/main?tailLines=" + "9" * 40,
    "/containerLogs/default/speaks/main?limitBytes=" + "9" * 40,
    "/containerLogs/default/speaks/main?sinceSeconds=" + "9" * 40,
    "/containerLogs/default/speaks/main?sinceTime=9999-99-99T99:99:99Z",
    "/containerLogs/default/speaks/main?sinceTime=0001-01-01T00:00:00-23:59",
    "/containerLogs/default/speaks/main?sinceSeconds=" + "9" * 12,
]  # fmt: skip


class Answer(NamedTuple):
    code: int
    body: bytes


class Running(NamedTuple):
    home: SandboxHome
    status: dict[str, Any]
    kubelet: str
    tokens: dict[str, str]

    def ask(
        self, server: str, path: str, *, method: str = "GET", token: str | None = None, body: bytes | None = None,
        **headers: str,
    ) -> Answer:  # fmt: skip
        """Ask one of the servers, with its own token by default; an empty one sends none."""
        url = self.kubelet if server == "kubelet" else self.status[server]
        scheme, _, address = url.partition("://")
        connection = (
            http.client.HTTPSConnection(address, timeout=20, context=ssl._create_unverified_context())
            if scheme == "https"
            else http.client.HTTPConnection(address, timeout=20)
        )
        token = self.tokens["kubelet" if server == "kubelet" else "user"] if token is None else token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            if body is not None:
                headers["Content-Length"] = str(len(body))
            for name, value in headers.items():
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def create(self, resource: str, **value: Any) -> Answer:
        path = f"/api/v1/namespaces/default/{resource}"
        return self.ask("kubernetes", path, method="POST", body=json.dumps(value).encode())

    def log(self, pod: str, wanted: str) -> str:
        """Wait until the log of a pod has some text."""
        deadline = time.monotonic() + 30
        while True:
            answer = self.ask("kubernetes", f"/api/v1/namespaces/default/pods/{pod}/log")
            if answer.code == 200 and wanted in answer.body.decode():
                return answer.body.decode()
            assert time.monotonic() < deadline, answer
            time.sleep(0.05)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with sandbox_home(tmp_path_factory.mktemp("security")) as home:
        status = home.up()
        root = Path(status["home"])
        tokens = {"user": (root / "token").read_text().strip(), "kubelet": (root / "kubelet-token").read_text().strip()}
        made = Running(home, status, "", tokens)
        nodes = json.loads(made.ask("kubernetes", "/api/v1/nodes").body)["items"]
        port = nodes[0]["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        made = made._replace(kubelet=f"https://127.0.0.1:{port}")
        code = (
            "import os, time\nfor pair in os.environ.items(): print(*pair)\nprint('end', flush=True); time.sleep(300)"
        )
        container = {"name": "main", "image": "python:3.11", "command": ["python3", "-c", code]}
        created = made.create("pods", metadata={"name": "speaks"}, spec={"containers": [container]})
        assert created.code == 201, created
        made.log("speaks", "end")
        yield made


@pytest.mark.parametrize("server", SERVERS)
def test_only_the_token_is_answered(running: Running, server: str) -> None:
    path = PATHS[server]
    assert running.ask(server, path).code == 200
    other = running.tokens["user" if server == "kubelet" else "kubelet"]
    for token in ("", "wrong", other, running.tokens["user"][:-1], "\xff\xfe", "x" * 5000):
        answer = running.ask(server, path, token=token)
        # The API server takes who shows none for system:anonymous, who may read no secrets.
        assert answer.code == (403 if server == "kubernetes" and not token else 401), token
        assert not any(secret.encode() in answer.body for secret in running.tokens.values())


@pytest.mark.parametrize("server", SERVERS)
def test_web_pages_are_not_answered(running: Running, server: str) -> None:
    address = (running.kubelet if server == "kubelet" else running.status[server]).partition("://")[2]
    port = address.rpartition(":")[2]
    assert running.ask(server, PATHS[server], Host=f"localhost:{port}").code == 200
    assert running.ask(server, PATHS[server], Origin=f"https://{address}").code == 200
    for headers in (
        {"Host": "example.com"}, {"Host": f"example.com:{port}"}, {"Host": f"127.0.0.1.example.com:{port}"},
        {"Host": ""}, {"Host": "\xff"}, {"Origin": "https://example.com"}, {"Origin": "null"}, {"Origin": "http://localhost:1"},
        {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}.example.com"},
    ):  # fmt: skip
        assert running.ask(server, PATHS[server], **headers).code == 403, headers


@pytest.mark.parametrize("server", SERVERS)
def test_odd_requests_are_refused(running: Running, server: str) -> None:
    for path in ODD_PATHS:
        for method in ("GET", "POST"):
            code = running.ask(server, path, method=method, body=b"\xff" if method == "POST" else None).code
            # 501 is how the GKE API says that something is not served.
            assert 200 <= code < 500 or (server, code) == ("gke", 501), (method, path, code)
    assert running.ask(server, PATHS[server]).code == 200


@pytest.mark.parametrize("server", SERVERS)
def test_floods_are_refused(running: Running, server: str) -> None:
    deep, numbers = b"[" * 100_000, b'{"a":1e400,"b":' + b"9" * 100_000 + b"}"
    for body, headers in (
        (deep, {"Content-Type": "application/json"}), (numbers, {"Content-Type": "application/json"}),
        (b"query=" + b"(" * 50_000, {"Content-Type": "application/x-www-form-urlencoded"}),
        (gzip.compress(bytes(50 * 2**20), 1), {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
        (b"\xff" * 1000, {"Content-Type": "application/json; charset=nothing"}),
    ):  # fmt: skip
        for path in (PATHS[server], "/"):
            code = running.ask(server, path, method="POST", body=body, **headers).code
            assert 200 <= code < 500 or (server, code) == ("gke", 501), (path, code)
    long = "&".join(f"a{n}=b" for n in range(300))
    for query in (
        long,
        "query=" + "(" * 2000,
        "query=up&time=1e400",
        "pageSize=" + "9" * 3000,
        "limit=NaN&timeoutSeconds=-1&tailLines=" + "9" * 3000,
    ):
        code = running.ask(server, f"{PATHS[server]}?{query}").code
        assert 200 <= code < 500, (query[:50], code)
    assert running.ask(server, PATHS[server]).code == 200


@pytest.mark.parametrize(
    "path",
    [
        "default/speaks/..", "default/speaks/..%2f..%2f..%2f..%2ftoken", "default/speaks/main%2f..%2f..",
        "..%2f..%2f/speaks/main",
        "default/..%2f..%2ftoken/main", "default/speaks/%2fetc%2fpasswd", "default/speaks/main%00",
        "default/speaks/../../../token",
    ],
)  # fmt: skip
def test_log_paths_lead_nowhere_else(running: Running, path: str) -> None:
    assert running.ask("kubelet", f"/containerLogs/{path}").code == 404
    pod, _, container = path.removeprefix("default/").partition("/")
    answer = running.ask("kubernetes", f"/api/v1/namespaces/default/pods/{pod}/log?container={container}")
    assert answer.code in {400, 404}
    assert b"root:" not in answer.body


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".."])
def test_volumes_stay_inside(running: Running, path: str) -> None:
    def pod(volume: dict[str, Any], **mount: Any) -> dict[str, Any]:
        mounts = [{"name": "v", "mountPath": "/v", **mount}]
        container = {"name": "main", "image": "python", "command": ["true"], "volumeMounts": mounts}
        return {
            "metadata": {"name": "leaves"},
            "spec": {"containers": [container], "volumes": [{"name": "v", **volume}]},
        }

    items = [{"key": "k", "path": path}]
    fields = [{"path": path, "fieldRef": {"fieldPath": "metadata.name"}}]
    for body in (
        pod({"configMap": {"name": "c", "items": items}}),
        pod({"secret": {"secretName": "s", "items": items}}),
        pod({"downwardAPI": {"items": fields}}),
        pod({"projected": {"sources": [{"configMap": {"name": "c", "items": items}}]}}),
        pod({"projected": {"sources": [{"downwardAPI": {"items": fields}}]}}),
        pod({"emptyDir": {}}, subPath=path),
    ):
        assert running.create("pods", **body).code == 422, body


def test_tokens_are_in_their_own_files_only(running: Running) -> None:
    for server in SERVERS:
        running.ask(server, "/nothing/here", token=running.tokens["user"][::-1])
    secrets = [token.encode() for token in running.tokens.values()]
    root = Path(running.status["home"])
    for path in root.rglob("*"):
        if path.is_file() and path.name not in {"token", "kubelet-token", "kubeconfig"}:
            assert not any(secret in path.read_bytes() for secret in secrets), path
    processes = running.home.processes()
    assert len(processes) >= 3
    for pid in processes:
        for name in ("cmdline", "environ"):
            content = Path(f"/proc/{pid}/{name}").read_bytes()
            assert not any(secret in content for secret in secrets), (pid, name)
    shown = [
        running.home.run("status").stdout,
        running.home.run("status", "--json").stdout,
        running.log("speaks", "end"),
    ]
    assert not any(token in text for token in running.tokens.values() for text in shown)


def test_files_are_their_owners_alone(running: Running) -> None:
    root = Path(running.status["home"])
    pods = root / "pods"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(pods.stat().st_mode) == 0o700  # what is in it has the modes that pods see
    for path in root.rglob("*"):
        if pods not in path.parents and not path.is_symlink():
            assert not path.stat().st_mode & 0o077, f"{path}: {stat.S_IMODE(path.stat().st_mode):o}"
