from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.node import images, machines, reaper, status, usage
from gke_notebook.sandbox.node.ports import PortTable
from gke_notebook.sandbox.node.status import Backoff, ContainerRecord
from gke_notebook.sandbox.pools import NodePool, default_pools, node_names
from gke_notebook.sandbox.requests import requests

NOW = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("2", "2"), ("1.5", "1.5"), ("1Ki", "1024"), ("4Gi", str(4 * 2**30)), ("1e3", "1000"),
     ("5k", "5000"), (".5", "0.5"), ("100n", "0.0000001"), ("-1", "-1")],
)  # fmt: skip
def test_quantities(text: str, value: str) -> None:
    assert quantity.parse(text) == Fraction(value)


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1GiB", "1.2.3"])
def test_bad_quantities(text: str) -> None:
    with pytest.raises(quantity.QuantityError, match="quantities must match"):
        quantity.parse(text)


def test_requests_of_a_pod() -> None:
    spec = {
        "containers": [
            {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "nvidia.com/gpu": 1}}},
            {"resources": {"requests": {"cpu": "500m"}}}, {},
        ],
        "initContainers": [{"resources": {"requests": {"cpu": "4", "memory": "1Ki"}}}],
    }  # fmt: skip
    assert requests(spec) == {"cpu": 4000, "nvidia.com/gpu": 1, "memory": 1024}


def test_gke_reserves_what_it_documents() -> None:
    assert machines.reserved_cpu(8) == 90
    assert machines.reserved_cpu(1) == 60
    assert machines.reserved_cpu(2) == 70
    assert machines.reserved_cpu(4) == 80
    gib = machines.reserved_memory(32) / 2**30
    assert gib == pytest.approx(1 + 0.8 + 0.8 + 16 * 0.06)
    assert machines.reserved_memory(160) / 2**30 == pytest.approx(1 + 0.8 + 0.8 + 112 * 0.06 + 32 * 0.02)


def test_node_names_are_stable_and_unique() -> None:
    for pool in (*default_pools(10), NodePool("big", "e2-standard-2", 2000, 2, 8)):
        names = node_names(pool)
        assert len(set(names)) == pool.count
        assert names == node_names(pool)
        assert all(len(name) <= 63 for name in names)


def test_a_gpu_node() -> None:
    pool = NodePool("p", "g2-standard-24", 1, 24, 96, accelerator="nvidia-l4", accelerator_count=2, spot=True)
    (instance,) = machines.instances_of(pool)
    node = machines.node_object(instance, port=1, version="v1.34.4", now=NOW)
    labels = node["metadata"]["labels"]
    assert labels["cloud.google.com/gke-spot"] == "true"
    assert labels["cloud.google.com/gke-provisioning"] == "spot"
    assert labels["cloud.google.com/machine-family"] == "g2"
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "2"
    for name, amount in node["status"]["allocatable"].items():
        assert quantity.parse(amount) <= quantity.parse(node["status"]["capacity"][name])
    (other,) = machines.instances_of(NodePool("p", "e2-standard-8", 1, 8, 32))
    plain = machines.node_object(other, port=1, version="v", now=NOW)
    assert "taints" not in plain["spec"]
    assert "gke-notebook.dev/simulated" not in plain["metadata"]["labels"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("python", "python"), ("python:3.12", "python"), ("pytorch/pytorch:2.4-cuda", "pytorch/pytorch"),
        ("us-docker.pkg.dev/p/r/i:v1", "us-docker.pkg.dev/p/r/i"), ("localhost:5000/a", "localhost:5000/a"),
        ("a@sha256:" + "0" * 64, "a"), ("", None), ("A B", None), ("Python:3", None), ("a:", None), ("a//b", None),
        ("a:b:c", None), ("-a", None),
    ],
)  # fmt: skip
def test_image_references(image: str, name: str | None) -> None:
    assert images.image_name(image) == name


def test_interpreters() -> None:
    runtimes = (("pytorch/*", "/torch"), ("python:3.1?", "/py"), ("*/special*", "/s"))
    chosen = {
        "pytorch/pytorch:2": "/torch", "docker.io/pytorch/pytorch": "/torch", "python:3.12": "/py",
        "python:2": sys.executable,
        "docker.io/library/python:3.12": "/py", "gcr.io/x/special:1": "/s",
    }  # fmt: skip
    for image, interpreter in chosen.items():
        assert images.interpreter_for(image, runtimes) == interpreter


def test_a_system_interpreter_gets_a_directory_of_links(tmp_path: Path) -> None:
    directory = images.bin_directory("/usr/bin/python3", tmp_path)
    assert directory.parent == tmp_path
    assert (directory / "python").readlink() == (directory / "python3").readlink() == Path("/usr/bin/python3")
    own = tmp_path / "venv" / "bin"
    own.mkdir(parents=True)
    for name in ("python", "python3"):
        (own / name).touch()
    assert images.bin_directory(str(own / "python"), tmp_path) == own


def record(**more: object) -> ContainerRecord:
    return ContainerRecord("main", **more)  # type: ignore[arg-type] # as given by the test


RUNNING = {"running": {"startedAt": NOW}}
GOOD, BAD = status.terminated(0), status.terminated(1)


@pytest.mark.parametrize(
    ("records", "phase"),
    [
        ([record()], "Pending"),
        ([record(state=RUNNING)], "Running"),
        ([record(state=GOOD, final=True)], "Succeeded"),
        ([record(state=BAD, final=True)], "Failed"),
        ([record(state=BAD)], "Running"),  # to be started again
        ([record(state=BAD, final=True), record(state=RUNNING)], "Running"),
        ([record(state=GOOD, final=True), record(state=BAD, final=True)], "Failed"),
        ([record(last_state=BAD, restarts=1)], "Running"),
        ([record(init=True, state=RUNNING), record()], "Pending"),
        ([record(init=True, state=BAD, final=True), record()], "Failed"),
        ([record(init=True, state=BAD), record()], "Pending"),
        ([record(init=True, state=GOOD, final=True), record(state=RUNNING)], "Running"),
        ([record(init=True, sidecar=True, state=RUNNING), record(state=GOOD, final=True)], "Running"),
        ([record(init=True, sidecar=True, state=BAD, final=True), record(state=GOOD, final=True)], "Succeeded"),
    ],
)
def test_phases(records: list[ContainerRecord], phase: str) -> None:
    assert status.phase(records) == phase


def test_a_pod_that_ends_reports_lost_containers() -> None:
    made = status.pod_status([record(state=RUNNING)], previous={}, started=NOW, now=NOW, terminal=True)
    assert made["phase"] == "Failed"
    ended = made["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")


def test_the_time_of_a_condition_is_kept_while_its_status_is() -> None:
    old = status.pod_status([record(state=RUNNING)], previous={}, started=NOW, now=NOW)
    new = status.pod_status([record(state=GOOD, final=True)], previous=old, started=NOW, now="later")
    times = {condition["type"]: condition["lastTransitionTime"] for condition in new["conditions"]}
    assert times == {
        "PodReadyToStartContainers": "later", "Initialized": NOW, "Ready": "later", "ContainersReady": "later",
    }  # fmt: skip
    again = status.pod_status([record(state=RUNNING)], previous=new, started=NOW, now="third")
    ready = next(condition for condition in again["conditions"] if condition["type"] == "Ready")
    assert ready["reason"] is None  # a merge by type would keep PodCompleted


@pytest.mark.parametrize(("policy", "final"), [("Never", True), ("OnFailure", False), ("Always", False)])
def test_a_container_that_vanished_with_its_agent(policy: str, final: bool) -> None:
    lost = record()
    status.vanished(lost, {"name": "main", "restartCount": 2, "containerID": "x", "state": RUNNING}, policy)
    assert (lost.exit_code, lost.restarts, lost.final) == (137, 2, final)


@given(st.lists(st.floats(0, 599), min_size=8, max_size=12))
def test_the_back_off(ran: list[float]) -> None:
    backoff = Backoff()
    delays = [backoff.next(seconds) for seconds in ran]
    assert delays[:8] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.next(600) == 0
    assert backoff.next(1) == 10


def test_local_ports_are_kept_and_given_back(tmp_path: Path) -> None:
    table, other = PortTable(tmp_path), PortTable(tmp_path)
    first = table.local("a", "digits-0.digits", 29500)
    assert other.local("a", "digits-0.digits", 29500) == first
    assert len({first, other.local("a", "x-0.x", 29500), table.local("b", "digits-0.digits", 29500)}) == 3
    assert table.is_local(first)
    assert table.find("a", "digits-0.digits", 1) is None
    table.release("a", "digits-0.digits")
    assert not table.is_local(first)
    assert other.find("a", "digits-0.digits", 29500) is None
    with pytest.raises(ValueError, match="no host name"):
        table.local("a", "../../x", 1)
    table.clear()
    assert table.find("b", "digits-0.digits", 29500) is None


def test_all_who_ask_at_once_get_one_port(tmp_path: Path) -> None:
    found: list[int] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(PortTable(tmp_path).local("a", "h", 80))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(list((tmp_path / "local").iterdir())) == 1


def test_a_port_that_is_in_use_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gke_notebook.sandbox.node import ports

    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST", taken)
        monkeypatch.setattr(ports, "LAST", taken)
        with pytest.raises(OSError, match="is free"):
            PortTable(tmp_path).local("a", "h", 80)


@given(st.lists(st.binary(max_size=5), max_size=5))
def test_the_reaper_reads_lines_however_they_are_cut(noise: list[bytes]) -> None:
    groups: set[int] = set()
    rest = b""
    for piece in (b"+12", b"\n+34\n-1", b"2\n", *noise):
        rest = reaper.groups_left(rest + piece, groups)
    assert 34 in groups
    assert not groups & {0, 1}


def test_the_reaper_ends_groups_and_strays(tmp_path: Path) -> None:
    deaf = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
    marker = f"GKE_NOTEBOOK_SANDBOX=test-{os.getpid()}"
    name, value = marker.split("=")
    group = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
    stray = subprocess.Popen(
        [sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE, env={name: value}
    )
    with group, stray:
        assert group.stdout is not None
        assert stray.stdout is not None
        assert group.stdout.readline() == stray.stdout.readline() == b"up\n"
        done = subprocess.run(
            [sys.executable, "-I", "-S", reaper.__file__, marker, "0.1"],
            input=b"+%d\n" % group.pid,
            timeout=30,
            check=True,
        )
        assert done.returncode == 0
        assert group.wait(5) == stray.wait(5) == -signal.SIGKILL


def test_usage_of_a_process_is_read() -> None:
    found = usage.by_session([os.getsid(0)])
    assert found[os.getsid(0)].memory_bytes > 2**20
    line = usage.parse_stat("7 (a) b) c) S 1 7 42 0 -1 0 0 0 0 0 100 50 10 5 20 0 1 0 9 1000 3 0")
    assert line is not None
    assert line[0] == 42
    assert line[1].cpu_seconds == pytest.approx(165 / os.sysconf("SC_CLK_TCK"))
    assert usage.parse_stat("7 (torn") is None
    text = usage.render([({"pod": 'a"b'}, usage.Usage(1.5, 7))])
    assert 'container_cpu_usage_seconds_total{pod="a\\"b"} 1.50\n' in text
