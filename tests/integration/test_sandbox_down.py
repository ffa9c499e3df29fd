"""Bringing the sandbox down when pods resist, or have left very many files."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gke_notebook.sandbox import control
from gke_notebook.sandbox.home import Home
from tests.integration.test_sandbox_process import eventually, request
from tests.support.home import SandboxHome, sandbox_home

# Ignores SIGTERM, has a child in a session of its own that does too, and leaves as many files as a large environment.
PROGRAM = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
for number in range(5_000):
    directory = pathlib.Path(f"{os.getpid()}-{number // 500}")
    directory.mkdir(exist_ok=True)
    (directory / str(number)).write_bytes(b"x")
print("written", flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SandboxHome]:
    with sandbox_home(tmp_path) as found:
        yield found


@pytest.mark.parametrize("keep", [True, False], ids=["keep", "all"])
def test_stubborn_pods_with_many_files(home: SandboxHome, keep: bool) -> None:
    status = home.up()
    url = "/api/v1/namespaces/default/pods"
    container = {"name": "main", "image": "python:3.11-slim", "command": ["python3", "-c", PROGRAM]}
    pod = {"metadata": {"name": "stubborn"}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    kubeconfig = Path(status["kubeconfig"])
    assert request(kubeconfig, url, method="POST", body=pod)[0] == 201
    pods = Path(status["home"], "pods")
    eventually(lambda: sum(b"written" in log.read_bytes() for log in pods.glob("*/logs/main/*.log")) == 1, 60)
    home.run("down", *(["--keep"] if keep else []))
    eventually(lambda: home.processes() == [])  # what goes on to remove files is one of them
    assert not pods.exists()
    assert not list(home.directory.glob(".removing-*"))
    assert home.directory.exists() == keep


def test_what_takes_long_is_removed_by_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_remove_trees", lambda _paths: time.sleep(1))
    monkeypatch.setattr(control, "_REMOVE_SECONDS", 0.01)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **more))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    home = Home(tmp_path / "state" / "sandbox")
    home.create()
    (home.pods / "file").write_text("x")
    assert control.down(home) is False
    assert not home.root.exists()
    (remover,) = started
    assert remover.wait(60) == 0
    assert not home.root.parent.exists()


def test_what_an_earlier_removal_left_is_removed_too(tmp_path: Path) -> None:
    home = Home(tmp_path / "state" / "sandbox")
    home.create()
    left = home.root.parent / ".removing-0123"
    left.mkdir()
    (left / "file").write_text("x")
    control.down(home)
    assert not home.root.parent.exists()
