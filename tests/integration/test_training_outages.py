"""A cluster that dies, credentials that are refused, contexts that are wrong: one line each."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.live import World, eventually, notebook, open_world

pytestmark = [
    # jupyter_client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]
MAGICS = ("%gke_status", "%gke_jobs", "%gke_logs early", "%%gke_train other\nx = 1", "%gke_connect --namespace default")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("outages")) as found:
        yield found


def kubeconfig(world: World, path: Path, **changes: Any) -> Path:
    """Write the sandbox's kubeconfig with another server, token or namespace."""
    config = yaml.safe_load(Path(world.home.status()["kubeconfig"]).read_text())
    user, cluster, context = config["users"][0]["user"], config["clusters"][0]["cluster"], config["contexts"][0]
    if "token" in changes:
        user.clear()
        user["token"] = changes["token"]
    cluster["server"] = changes.get("server", cluster["server"])
    context["context"]["namespace"] = changes.get("namespace", "default")
    context["name"] = config["current-context"] = "my-cluster"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


def test_refused_credentials_unknown_contexts_and_dead_addresses(world: World) -> None:
    config = world.directory / "config"
    with notebook(world.home, world.directory / "wrong", connect=False, KUBECONFIG=str(config)) as book:
        book.ok("%load_ext gke_notebook")
        kubeconfig(world, config)
        assert book.ok("%gke_connect").text.startswith("my-cluster · namespace default")
        assert "did you mean 'my-cluster'?" in book.run("%gke_connect my-clustr").mistake
        assert "did you mean 'sandbox'?" in book.run("%gke_connect sandbx").mistake
        assert "did you mean 'default'?" in book.run("%gke_connect my-cluster --namespace defalt").mistake
        kubeconfig(world, config, namespace="nowhere")
        assert "namespace 'nowhere' does not exist" in book.run("%gke_connect").mistake
        kubeconfig(world, config, token="expired-secret")
        said = book.run("%gke_connect").mistake
        assert "does not accept the credentials (401)" in said
        assert "expired-secret" not in said
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"https://127.0.0.1:{probe.getsockname()[1]}"
        kubeconfig(world, config, server=address)
        assert address in book.run("%gke_connect", timeout=60).mistake
        config.write_text("a: [b")
        assert str(config) in book.run("%gke_connect").mistake
        # What was connected stays so.
        assert "my-cluster" in book.ok("%gke_status").text


def test_a_token_that_expires_while_connected(world: World) -> None:
    config = kubeconfig(world, world.directory / "expiring")
    with notebook(world.home, world.directory / "expired", connect=False, KUBECONFIG=str(config)) as book:
        book.ok("%load_ext gke_notebook")
        book.ok("%gke_connect")
        book.ok(
            "import gke_notebook as gke\nfrom gke_notebook.cluster.connection import static_token\n"
            "object.__setattr__(gke.session().connection, 'token', static_token('expired-secret'))"
        )
        before = world.cluster.names()
        for line in ("%%gke_train x\nx = 1", "%gke_jobs", "%gke_status"):
            said = book.run(line).mistake
            assert "my-cluster: the cluster does not accept the credentials (401)" in said
            assert "expired-secret" not in said
        assert world.cluster.names() == before


def test_a_cluster_that_is_silent(world: World) -> None:
    world.notebook.ok("%%gke_train before\nresult = 1")
    pid = world.home.status()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for line in ("%gke_jobs", "%%gke_train other\nx = 1"):
            assert "does not answer" in world.notebook.run(line, timeout=50).mistake
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "before" in world.notebook.ok("%gke_jobs").text


def test_a_cluster_that_dies_and_comes_back(world: World) -> None:
    gate = world.directory / "gate"
    book = world.notebook
    book.ok("%%gke_train early\nprint('hello')\nresult = 1")
    reply = book.ok(
        f"%%gke_train during --no-wait\nimport os, time\nprint('begun', flush=True)\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)\nresult = 2"
    )
    book.until(lambda: "rank 0 | begun" in reply.text, reply)
    for pid in sorted(world.home.processes()):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if b"gke_notebook.sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    eventually(lambda: world.home.status()["state"] == "stopped")
    for line in MAGICS[:-1]:
        said = book.run(line, timeout=30).mistake
        assert "127.0.0.1" in said or "sandbox" in said, (line, said)
        assert len(said) < 300, said
    book.until(lambda: "no news from the cluster, still trying: " in reply.text, reply)
    world.home.up()
    assert "early" in book.ok("%gke_jobs").text
    assert book.value("early.result") == "1"
    said = book.run("%gke_wait during", timeout=60)
    assert said.ename == "JobFailed", said.text  # its process died with the sandbox
    book.ok("%gke_connect sandbox")
    book.ok("%%gke_train later\nresult = 3")
    assert book.value("later.result") == "3"
