"""The sandbox as a process: up, down, status, kubeconfig, crash and coming back."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.home import SandboxHome, sandbox_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SandboxHome]:
    with sandbox_home(tmp_path) as found:
        yield found


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def request(
    path: Path, url: str, *, token: str | None = None, method: str = "GET", body: object = None
) -> tuple[int, object]:
    """Ask the API server of a kubeconfig file, with its token by default."""
    config = yaml.safe_load(path.read_text())
    cluster = config["clusters"][0]["cluster"]
    import base64

    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    token = config["users"][0]["user"]["token"] if token is None else token
    asked = urllib.request.Request(
        cluster["server"] + url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asked, context=context, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_up_and_down_leave_nothing(home: SandboxHome) -> None:
    status = home.up()
    assert status["state"] == "running"
    assert status["ready"] is True
    assert len(home.processes()) >= 2
    kubeconfig = Path(status["kubeconfig"])
    for path in (kubeconfig, Path(status["token_file"])):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(status["home"]).stat().st_mode) == 0o700
    assert home.run("kubeconfig").stdout.strip() == str(kubeconfig)
    assert Path(status["token_file"]).read_text().strip() not in json.dumps(status)

    code, nodes = request(kubeconfig, "/api/v1/nodes")
    assert code == 200
    assert all(
        any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
        for node in nodes["items"]  # type: ignore[index]
    )
    assert home.run("down").stdout == "the sandbox is down\n"
    assert home.processes() == []
    assert not home.directory.exists()
    assert home.run("down").stdout == "no sandbox was up\n"
    assert home.run("status", check=False).returncode == 3


def test_only_its_token_is_answered_and_only_on_loopback(home: SandboxHome) -> None:
    status = home.up()
    kubeconfig = Path(status["kubeconfig"])
    code, refusal = request(kubeconfig, "/api/v1/namespaces", token="wrong")
    assert code == 401
    assert refusal["kind"] == "Status"  # type: ignore[index]
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    ours = {f"pid={pid}," for pid in home.processes()}
    addresses = [line.split()[3] for line in listening.splitlines() if any(pid in line for pid in ours)]
    assert len(addresses) >= 4  # API server, GKE, Prometheus, kubelet
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_up_twice_finds_the_first_and_refuses_other_options(home: SandboxHome) -> None:
    first = home.up()
    assert home.up()["pid"] == first["pid"]
    refused = home.run("up", "--simulated-nodes", "3", check=False)
    assert refused.returncode == 1
    assert "other options" in refused.stderr


def test_bad_runtime_is_one_line(home: SandboxHome) -> None:
    for text in ("pytorch", "x=/no/such/python"):
        refused = home.run("up", "--runtime", text, check=False)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert text in refused.stderr
    assert home.processes() == []


@pytest.mark.parametrize("victim", ["main", "agents"])
def test_killed_sandbox_leaves_no_pod_and_keeps_its_objects(home: SandboxHome, victim: str) -> None:
    status = home.up()
    kubeconfig = Path(status["kubeconfig"])
    url = "/api/v1/namespaces/default"
    assert request(kubeconfig, f"{url}/configmaps", method="POST", body={"metadata": {"name": "kept"}})[0] == 201
    pod = {
        "metadata": {"name": "sleeper"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {"name": "main", "image": "busybox", "command": ["sh", "-c", "sleep 987654 & sleep 987653"]}
            ],
        },
    }
    assert request(kubeconfig, f"{url}/pods", method="POST", body=pod)[0] == 201
    eventually(lambda: request(kubeconfig, f"{url}/pods/sleeper")[1]["status"]["phase"] == "Running")  # type: ignore[index]
    assert sleepers() == 2

    if victim == "main":
        os.kill(status["pid"], signal.SIGKILL)
    else:
        (agents,) = [
            pid
            for pid in home.processes()
            if b"gke_notebook.sandbox.agents" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(agents, signal.SIGKILL)
    eventually(lambda: sleepers() == 0)

    again = home.up()
    assert again["kubernetes"] == status["kubernetes"]  # the kubeconfig still holds
    assert request(kubeconfig, f"{url}/configmaps/kept")[0] == 200
    eventually(lambda: request(kubeconfig, f"{url}/pods/sleeper")[1]["status"]["phase"] == "Failed")  # type: ignore[index]


def test_keep_keeps_the_objects(home: SandboxHome) -> None:
    kubeconfig = Path(home.up()["kubeconfig"])
    url = "/api/v1/namespaces/default/configmaps"
    assert request(kubeconfig, url, method="POST", body={"metadata": {"name": "kept"}})[0] == 201
    home.run("down", "--keep")
    assert home.processes() == []
    home.up()
    assert request(kubeconfig, f"{url}/kept")[0] == 200


def sleepers() -> int:
    """How many processes of the test's pod are alive."""
    found = subprocess.run(["pgrep", "-fc", "^sleep 98765[34]$"], capture_output=True, text=True, check=False)
    return int(found.stdout)
