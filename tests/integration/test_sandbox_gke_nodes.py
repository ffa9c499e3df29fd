"""Machines of the sandbox's GKE as nodes: they come, run pods, are preempted and drained, and outlive a restart."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gke_notebook.sandbox import control
from gke_notebook.sandbox.home import Home
from tests.support.home import SandboxHome, sandbox_home

Object = dict[str, Any]
Found = TypeVar("Found")
POOLS = "/v1/projects/sandbox/locations/us-central1/clusters/sandbox/nodePools"
PATIENCE = 90.0  # seconds: never a measure, only an end for a test that hangs


class World:
    """A running sandbox and its two APIs."""

    def __init__(self, home: SandboxHome) -> None:
        self.home = home
        self.status: Object = {}

    def up(self) -> None:
        self.status = self.home.up("--clock", "200")

    def ask(self, server: str, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        scheme, _, address = self.status[server].partition("://")
        connection = (
            http.client.HTTPSConnection(address, timeout=60, context=ssl._create_unverified_context())
            if scheme == "https"
            else http.client.HTTPConnection(address, timeout=60)
        )
        token = Path(self.status["token_file"]).read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status < 300, found
        return found

    def kube(self, path: str, method: str = "GET", body: Any = None) -> Any:
        return self.ask("kubernetes", method, path, body)

    def gke(self, path: str, method: str = "GET", body: Any = None) -> Any:
        return self.ask("gke", method, path, body)

    def nodes(self, pool: str) -> list[Object]:
        path = f"/api/v1/nodes?labelSelector=cloud.google.com%2Fgke-nodepool%3D{pool}"
        return list(self.kube(path)["items"])

    def ready(self, pool: str) -> list[Object]:
        return [
            node for node in self.nodes(pool)
            if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
        ]  # fmt: skip

    def done(self, operation: Object) -> Object:
        path = f"/v1/projects/sandbox/locations/us-central1/operations/{operation['name']}"
        ended: Object = wait(lambda: (found := self.gke(path))["status"] == "DONE" and found)
        assert "error" not in ended, ended
        return ended

    def run(self, name: str, pool: str, code: str, image: str = "python:3.12") -> None:
        container = {"name": "main", "image": image, "command": ["python3", "-c", code]}
        self.kube("/api/v1/namespaces/default/pods", "POST", {
            "metadata": {"name": name},
            "spec": {
                "containers": [container], "restartPolicy": "Never", "tolerations": [{"operator": "Exists"}],
                "nodeSelector": {"cloud.google.com/gke-nodepool": pool},
            },
        })  # fmt: skip

    def pod(self, name: str) -> Object:
        return dict(self.kube(f"/api/v1/namespaces/default/pods/{name}"))

    def phase(self, name: str, phase: str) -> Object:
        return wait(lambda: (found := self.pod(name))["status"].get("phase") == phase and found)


def wait(look: Callable[[], Found]) -> Found:
    """Look until there is something."""
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with sandbox_home(tmp_path_factory.mktemp("nodes")) as home:
        made = World(home)
        made.up()
        yield made


SLEEPS = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\n"
    "print('ready', flush=True); time.sleep(600)"
)


def test_a_spot_node_comes_runs_a_pod_is_preempted_and_comes_again(world: World) -> None:
    assert world.nodes("l4-spot-pool") == []
    world.done(world.gke(f"{POOLS}/l4-spot-pool:setSize", "POST", {"nodeCount": 1}))
    (node,) = wait(lambda: world.ready("l4-spot-pool"))
    name, uid = node["metadata"]["name"], node["metadata"]["uid"]
    assert node["metadata"]["labels"]["cloud.google.com/gke-spot"] == "true"
    assert node["metadata"]["labels"]["gke-notebook.dev/simulated"] == "true"
    world.run("trains", "l4-spot-pool", SLEEPS)
    world.phase("trains", "Running")
    wait(lambda: "ready" in log(world, "trains"))
    world.gke(f"/sandbox/v1/instances/{name}:preempt", "POST")
    ended = world.phase("trains", "Failed")
    assert (ended["status"]["reason"], ended["status"]["message"]) == (
        "Terminated", "Pod was terminated in response to imminent node shutdown.",
    )  # fmt: skip
    conditions = {one["type"]: one.get("reason") for one in ended["status"]["conditions"]}
    assert conditions["DisruptionTarget"] == "TerminationByKubelet"
    assert "saved" in log(world, "trains")
    (again,) = wait(lambda: [one for one in world.ready("l4-spot-pool") if one["metadata"]["uid"] != uid])
    assert again["metadata"]["name"] == name


def log(world: World, pod: str) -> str:
    address = world.status["kubernetes"].partition("://")[2]
    connection = http.client.HTTPSConnection(address, timeout=60, context=ssl._create_unverified_context())
    token = Path(world.status["token_file"]).read_text().strip()
    try:
        connection.request(
            "GET", f"/api/v1/namespaces/default/pods/{pod}/log", headers={"Authorization": f"Bearer {token}"}
        )
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_node_is_drained_before_its_machine_is_taken(world: World) -> None:
    spec = {"name": "short", "config": {"machineType": "e2-standard-4"}, "initialNodeCount": 1}
    world.done(world.gke(POOLS, "POST", {"nodePool": spec}))
    wait(lambda: world.ready("short"))
    pod = {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"cloud.google.com/gke-nodepool": "short"},
        "containers": [{"name": "main", "image": "python:3.12", "command": ["sleep", "600"]}],
    }  # fmt: skip
    job = {"metadata": {"name": "moves"}, "spec": {"template": {"spec": pod}}}
    world.kube("/apis/batch/v1/namespaces/default/jobs", "POST", job)

    def pods() -> list[Object]:
        return list(world.kube("/api/v1/namespaces/default/pods?labelSelector=job-name%3Dmoves")["items"])

    first = wait(lambda: [one for one in pods() if one["status"].get("phase") == "Running"])[0]["metadata"]["uid"]
    world.done(world.gke(f"{POOLS}/short", "DELETE"))
    wait(lambda: not world.nodes("short"))
    # Evicted, so it is another pod that waits now.
    wait(lambda: (found := pods()) and all(one["metadata"]["uid"] != first for one in found))
    assert "short" not in {one["name"] for one in world.gke(POOLS)["nodePools"]}


def test_labels_and_taints_of_a_pool_reach_its_nodes(world: World) -> None:
    change = {
        "labels": {"labels": {"team": "vision"}},
        "taints": {"taints": [{"key": "team", "value": "vision", "effect": "NO_SCHEDULE"}]},
    }
    world.done(world.gke(f"{POOLS}/t4-pool", "PUT", change))
    wait(lambda: all(node["metadata"]["labels"].get("team") == "vision" for node in world.nodes("t4-pool")))
    for node in world.nodes("t4-pool"):
        assert {taint["key"] for taint in node["spec"]["taints"]} == {"team", "nvidia.com/gpu"}
    nothing = {"labels": {"labels": {}}, "taints": {"taints": []}}
    world.done(world.gke(f"{POOLS}/t4-pool", "PUT", nothing))
    wait(lambda: all("team" not in node["metadata"]["labels"] for node in world.nodes("t4-pool")))
    wait(lambda: all(len(node["spec"]["taints"]) == 1 for node in world.nodes("t4-pool")))


def test_a_pull_is_slow_on_demand(world: World) -> None:
    world.gke("/sandbox/v1/faults", "POST", {"kind": "slow-pull", "image": "heavy/*", "seconds": 3})
    world.run("pulls", "default-pool", "print('hello')", image="heavy/torch:2")
    waiting = wait(
        lambda: (world.pod("pulls")["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("waiting")
    )
    assert waiting["reason"] == "ContainerCreating"
    world.phase("pulls", "Succeeded")
    events = world.kube("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dpulls")["items"]
    assert any("in 3s (3s including waiting)" in event["message"] for event in events)
    world.gke("/sandbox/v1/faults", "DELETE")


def test_pools_and_nodes_survive_a_crash_of_the_agents(world: World) -> None:
    spec = {"name": "kept", "config": {"machineType": "e2-standard-4"}, "initialNodeCount": 2}
    world.done(world.gke(POOLS, "POST", {"nodePool": spec}))
    wait(lambda: len(world.ready("kept")) == 2)
    for pid in world.home.processes():
        if b"gke_notebook.sandbox.agents" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    # While no agent runs: the machine is stopped at its time, and its node is taken out by the next agent.
    world.done(world.gke(f"{POOLS}/kept:setSize", "POST", {"nodeCount": 1}))
    wait(lambda: len(world.nodes("kept")) == 1)


def test_pools_and_nodes_survive_a_restart(world: World) -> None:
    before = {node["metadata"]["name"] for node in world.nodes("kept")}
    world.home.run("down", "--keep")
    world.up()
    assert {one["name"] for one in world.gke(POOLS)["nodePools"]} >= {"kept", "l4-spot-pool"}
    assert {node["metadata"]["name"] for node in wait(lambda: world.ready("kept"))} == before


def test_the_clock_is_a_command(world: World) -> None:
    assert world.home.run("clock").stdout == "200\n"
    assert world.home.run("clock", "50").stdout == "50\n"
    assert world.gke("/sandbox/v1/clock")["factor"] == 50.0
    refused = world.home.run("clock", "1e9", check=False)
    assert (refused.returncode, "must be between 0.1 and 10,000" in refused.stderr) == (1, True)
    assert world.home.run("up", "--clock", "0.01", check=False).returncode == 2
    running = control.status(Home(Path(world.status["home"])))
    assert running is not None
    assert control.own_api(running, "GET", "faults") == {"faults": []}
