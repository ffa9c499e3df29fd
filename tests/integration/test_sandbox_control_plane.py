"""The sandbox on a real control plane: up, down, who is answered, crashes of every process, coming back."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gke_notebook.sandbox.controlplane.binaries import Binaries
from tests.support.control_plane import HOW, find_control_plane
from tests.support.home import SandboxHome, sandbox_home
from tests.support.live import Cluster, World, eventually, notebook

pytestmark = [
    pytest.mark.skipif(find_control_plane() is None and not os.environ.get("CI"), reason=HOW),
    pytest.mark.timeout(400),
]
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

GIVEN = {"Service default/kubernetes", "ConfigMap kube-system/cluster-autoscaler-status"} | {
    f"ConfigMap {namespace}/{name}"
    for namespace in ("default", "kube-node-lease", "kube-public", "kube-system", "jobset-system", "kueue-system")
    for name in (
        "kube-root-ca.crt",
        "extension-apiserver-authentication",
        "kube-apiserver-legacy-service-account-token-tracking",
    )
}  # what every cluster has


@pytest.fixture(scope="module")
def found() -> Binaries:
    found = find_control_plane()
    assert found is not None, HOW
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, found: Binaries) -> Iterator[World]:
    """One sandbox for every test of this file that leaves it as it was; the variable names its control plane."""
    directory = tmp_path_factory.mktemp("real")
    with sandbox_home(directory) as home:
        SandboxHome(home.directory, {"KUBEBUILDER_ASSETS": str(found.folder)}).up()
        with notebook(home, directory / "notebook") as opened:
            yield World(home, opened, Cluster(home), directory)


def pids(home: SandboxHome) -> dict[str, int]:
    """Give the process of each component."""
    seen = {}
    for pid in home.processes():
        try:
            program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        name = Path(program).name
        seen["etcd" if name == "server" else name] = pid
    return seen


def job(name: str, code: str) -> str:
    container = {"name": "main", "image": "python:3.11-slim", "command": ["python3", "-c", code]}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})


def test_it_says_what_it_is_and_shows_nothing_to_others(world: World, found: Binaries) -> None:
    home = world.home
    status = home.status()
    assert status["options"]["control_plane"] == str(found.folder)
    assert tuple(status["components"][:4]) == COMPONENTS
    assert status["reports"] == []
    assert f"real, from {found.folder}: etcd, kube-apiserver" in home.run("status").stdout
    assert home.up()["pid"] == status["pid"]  # who asks for no control plane takes the one that runs
    root = Path(status["home"])
    for path in [root, *root.rglob("*")]:
        if path.suffix in (".pem", ".token", ".kubeconfig", ".csv", ".key") or path.name in ("token", "kubeconfig"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    ours = {f"pid={pid}," for pid in home.processes()}
    addresses = [line.split()[3] for line in listening.splitlines() if any(pid in line for pid in ours)]
    assert len(addresses) >= 6
    assert all(address.startswith("127.0.0.1:") for address in addresses), addresses
    assert {name for name in COMPONENTS if (root / "logs" / f"{name}.log").stat().st_size} == set(COMPONENTS)
    secrets = [path.read_text().strip() for path in [root / "token", *(root / "control-plane" / "tls").glob("*.token")]]
    told = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in home.processes())
    assert not [token for token in secrets if token.encode() in told]


def test_the_metrics_server_finds_the_kubelet_through_the_api(world: World) -> None:
    status = world.home.status()
    asked = urllib.request.Request(
        status["prometheus"] + "/api/v1/query?query=up",
        headers={"Authorization": "Bearer " + Path(status["token_file"]).read_text().strip()},
    )

    def answer() -> list[dict[str, object]]:
        with urllib.request.urlopen(asked, timeout=20) as response:
            return list(json.load(response)["data"]["result"])

    eventually(answer)
    assert [one["value"][1] for one in answer()] == ["1"]  # type: ignore[index]


def test_kubectl_follows_the_log_of_a_pod_through_the_api_server(world: World) -> None:
    code = "import time\nfor step in range(5):\n    print('step', step, flush=True)\n    time.sleep(0.3)"
    world.cluster.kubectl("apply", "-f", "-", stdin=job("steps", code))
    world.cluster.kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/steps", "--timeout=60s")
    assert world.cluster.kubectl("logs", "-f", "job/steps").splitlines() == [f"step {step}" for step in range(5)]
    world.cluster.kubectl("wait", "--for=condition=complete", "job/steps", "--timeout=60s")
    events = world.cluster.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()
    assert {"Scheduled", "Pulled", "Created", "Started", "SuccessfulCreate", "Completed"} <= set(events)
    assert "FailedToUpdateEndpointSlices" not in events
    world.cluster.kubectl("delete", "job", "steps")
    eventually(lambda: not world.cluster.objects("pods"))


def test_a_failing_rank_is_named(world: World) -> None:
    reply = world.notebook.run(
        "%%gke_train broken --nodes 2\nimport os\nif os.environ['RANK'] == '1': raise ValueError('rank one')"
    )
    assert reply.ename == "JobFailed", reply.text
    assert "rank 1" in reply.text
    assert "ValueError: rank one" in reply.text
    world.cluster.kubectl("delete", "job", "broken", "--cascade=foreground")
    eventually(lambda: not world.cluster.names() - GIVEN)


def test_a_job_is_cancelled(world: World) -> None:
    world.notebook.ok("%%gke_train long --nodes 2 --no-wait\nimport time\ntime.sleep(600)")
    eventually(lambda: '"ready": 2' in world.cluster.kubectl("get", "job", "long", "-o", "json"))
    world.notebook.ok("%gke_cancel long")
    eventually(lambda: not world.cluster.objects("pods"))


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_killed_component_comes_back_and_is_reported(world: World, component: str) -> None:
    before = pids(world.home)[component]
    known = len(world.home.status()["reports"])
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pids(world.home).get(component, before) != before)
    eventually(lambda: len(world.home.status()["reports"]) > known or known == 5)
    assert f"{component} was ended by SIGKILL; its log" in world.home.status()["reports"][-1]
    assert f"{component} was ended by SIGKILL" in world.home.run("status").stdout
    name = f"after-{component}"
    eventually(
        lambda: "created" in world.cluster.kubectl("apply", "-f", "-", stdin=job(name, "print(7)"), check=False), 60
    )
    world.cluster.kubectl("wait", "--for=condition=complete", f"job/{name}", "--timeout=90s")
    assert world.cluster.kubectl("logs", f"job/{name}") == "7\n"


def test_jobsets_wait_for_quota(world: World, found: Binaries) -> None:
    if not found.add_ons:
        pytest.skip(f"{found.folder} has neither JobSet nor Kueue: {HOW}")
    queue = {
        "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [
            {"name": "any", "resources": [{"name": "cpu", "nominalQuota": "1"}]},
        ]}],
        "namespaceSelector": {},
    }  # fmt: skip
    api = "kueue.x-k8s.io/v1beta1"
    items = [
        {"apiVersion": api, "kind": "ResourceFlavor", "metadata": {"name": "any"}},
        {"apiVersion": api, "kind": "ClusterQueue", "metadata": {"name": "all"}, "spec": queue},
        {"apiVersion": api, "kind": "LocalQueue", "metadata": {"name": "mine"}, "spec": {"clusterQueue": "all"}},
        *(jobset(name) for name in ("first", "second")),
    ]
    world.cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    world.cluster.kubectl("wait", "--for=condition=Completed", "jobset/first", "jobset/second", "--timeout=120s")
    workloads = world.cluster.objects("workloads.kueue.x-k8s.io")
    assert len(workloads) == 2
    said = [(each["reason"], each["message"]) for each in world.cluster.objects("events")]
    assert sum(reason == "Admitted" and text.startswith("Admitted by ") for reason, text in said) >= 2, said
    world.cluster.kubectl("delete", "jobset", "--all")


def jobset(name: str) -> dict[str, object]:
    pod = {"restartPolicy": "Never", "containers": [{
        "name": "main", "image": "python:3.11-slim", "command": ["python3", "-c", "print(1)"],
        "resources": {"requests": {"cpu": "1"}},
    }]}  # fmt: skip
    jobs = [{"name": "w", "template": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}}]
    labels = {"kueue.x-k8s.io/queue-name": "mine"}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name, "labels": labels},
        "spec": {"replicatedJobs": jobs},
    }  # fmt: skip


def test_killed_main_leaves_no_process_and_up_finds_the_objects(tmp_path: Path, found: Binaries) -> None:
    with sandbox_home(tmp_path) as home:
        status = home.up("--control-plane", str(found.folder))
        cluster = Cluster(home)
        cluster.kubectl("apply", "-f", "-", stdin=job("sleeper", "import time; time.sleep(600)"))
        cluster.kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/sleeper", "--timeout=60s")
        os.kill(status["pid"], signal.SIGKILL)
        eventually(lambda: home.processes() == [])
        again = home.up("--control-plane", str(found.folder))
        assert again["kubernetes"] == status["kubernetes"]  # so kubeconfigs that were handed out stay good
        cluster.kubectl("wait", "--for=jsonpath={.status.failed}=1", "job/sleeper", "--timeout=90s")

        assert home.run("down", "--keep").stdout == "the sandbox is down\n"
        assert home.processes() == []
        home.up("--control-plane", str(found.folder))
        assert cluster.kubectl("get", "jobs", "-o", "name") == "job.batch/sleeper\n"
        assert home.run("down").stdout == "the sandbox is down\n"
        assert home.processes() == []
        assert not home.directory.exists()


def test_a_component_that_does_not_start_is_named_with_its_last_lines(tmp_path: Path, found: Binaries) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, program in found.programs.items():
        if name in COMPONENTS:
            (folder / name).symlink_to(program)
    broken = folder / "kube-scheduler"
    broken.unlink()
    broken.write_text("#!/bin/sh\necho 'the moon is in the wrong phase' >&2\nexit 3\n")
    broken.chmod(0o755)
    with sandbox_home(tmp_path) as home:
        refused = home.run("up", "--control-plane", str(folder), check=False)
        assert refused.returncode == 1
        assert "kube-scheduler ended with exit code 3; its log" in refused.stderr
        assert "the moon is in the wrong phase" in refused.stderr
        assert "Traceback" not in refused.stderr
        eventually(lambda: home.processes() == [])


def test_a_folder_that_is_not_whole_is_one_line(tmp_path: Path) -> None:
    with sandbox_home(tmp_path) as home:
        for options, text in (
            (("--control-plane", str(tmp_path / "none")), "--control-plane"),
            ((), "KUBEBUILDER_ASSETS"),
        ):
            named = {} if options else {"KUBEBUILDER_ASSETS": str(tmp_path)}
            refused = SandboxHome(home.directory, named).run("up", *options, check=False)
            assert refused.returncode == 1
            assert refused.stderr.count("\n") == 1
            assert text in refused.stderr
            assert "make control-plane" in refused.stderr
        assert home.processes() == []


def test_down_while_it_starts(tmp_path: Path, found: Binaries) -> None:
    with sandbox_home(tmp_path) as home:
        main = subprocess.Popen(
            [*_main(home, found)], env=home.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(lambda: "etcd" in pids(home))
        main.terminate()
        assert main.wait(60) == 0
        eventually(lambda: home.processes() == [])


def _main(home: SandboxHome, found: Binaries) -> list[str]:
    options = json.dumps({"control_plane": str(found.folder)})
    root = str(home.directory / "sandbox")
    return [sys.executable, "-m", "gke_notebook.sandbox.main", "--home", root, "--options", options]
