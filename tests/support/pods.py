"""Runs the pods of a rendered job as local processes, laid out as a kubelet lays them out; no cluster."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gke_notebook import names
from gke_notebook.launch import contract
from gke_notebook.launch.records import Outcome, decode_outcome
from gke_notebook.launch.results import Collector
from gke_notebook.manifests import render
from gke_notebook.specs import Program, ShippedName, TrainSpec

# The kubelet's own variables and the little that a test machine needs; not the developer's environment.
INHERITED = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def program(cell: str, names_source: str = "", **more: Any) -> Program:
    shipped = (ShippedName("shipped", "function", names_source),) if names_source else ()
    return Program("# the magic line\n" + cell, names=shipped, **more)


def spec(cell: str, names_source: str = "", **more: Any) -> TrainSpec:
    shipped = {key: more.pop(key) for key in ("files", "requirements") if key in more}
    return TrainSpec(
        name="digits",
        program=program(cell, names_source, **shipped),
        namespace="research",
        run="r1",
        owner="ada",
        image="python:3.12",
        **more,
    )


@dataclass
class Ended:
    """How one pod has ended."""

    code: int
    log: str
    outcome: Outcome
    work: Path

    @property
    def lines(self) -> list[str]:
        return self.log.split("\n")

    def collector(self) -> Collector:
        collector = Collector(self.outcome)
        for line in self.lines:
            collector.add(line)
        return collector


@dataclass
class Pod:
    """One pod of a job: its directories, its environment, its process."""

    directory: Path
    spec: TrainSpec
    index: int = 0
    retry: int = 0
    python: str = os.environ.get("TEST_POD_PYTHON", sys.executable)  # another interpreter, to try the launcher under it
    port: int = 0
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Pod:
        config, _, job = render(self.spec)
        pod = job["spec"]["template"]["spec"]
        container = pod["containers"][0]
        program_directory, work = self.directory / "program", self.directory / "work"
        work.mkdir(parents=True)
        _mount(config, pod["volumes"][0]["configMap"]["items"], program_directory)
        paths = {
            contract.PROGRAM_DIRECTORY: str(program_directory),
            contract.WORK_DIRECTORY: str(work),
            contract.TERMINATION_LOG: str(self.directory / "termination"),
        }
        environment = dict(INHERITED)
        for variable in container["env"]:
            value = variable.get("value", str(self.retry or ""))
            environment[variable["name"]] = _rewrite(value, paths).replace("$$", "$")
        environment[contract.ENV_NODE_INDEX] = str(self.index)
        if self.port:
            environment[contract.ENV_COORDINATOR] = f"127.0.0.1:{self.port}"
        environment.update(self.extra)
        command = [_rewrite(word, paths) for word in container["command"]]
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.python, *command[1:]], cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def end(self, timeout: float = 120) -> Ended:
        assert self.process is not None
        try:
            code = self.process.wait(timeout)
        finally:
            self.process.kill()
            self.process.wait()
        log = (self.directory / "log").read_bytes().decode(errors="surrogateescape")
        termination = self.directory / "termination"
        outcome = decode_outcome(termination.read_text()) if termination.exists() else None
        assert outcome is not None, log
        assert termination.stat().st_size <= contract.TERMINATION_MESSAGE_LIMIT
        assert outcome.exit_code == code
        return Ended(code, log, outcome, self.directory / "work")


def run_pod(directory: Path, job: TrainSpec, **more: Any) -> Ended:
    return Pod(directory, job, **more).start().end()


def run_job(directory: Path, job: TrainSpec, **more: Any) -> list[Ended]:
    port = free_port()
    pods = [Pod(directory / str(i), job, index=i, port=port, **more).start() for i in range(job.nodes)]
    return [pod.end() for pod in pods]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _rewrite(text: str, paths: dict[str, str]) -> str:
    for inside, outside in paths.items():
        text = text.replace(inside, outside)
    return text


def _mount(config: dict[str, Any], items: list[dict[str, str]], target: Path) -> None:
    """Lay out a ConfigMap volume as the kubelet does: entries are links into a directory that `..data` points to."""
    data = {**{key: text.encode() for key, text in config["data"].items()}}
    data.update({key: base64.b64decode(text) for key, text in config.get("binaryData", {}).items()})
    real = target / "..2026_01_01"
    for item in items:
        path = real / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[item["key"]])
    (target / "..data").symlink_to("..2026_01_01")
    for entry in real.iterdir():
        (target / entry.name).symlink_to(f"..data/{entry.name}")
    assert config["metadata"]["labels"][names.MANAGED_BY] == names.MANAGER
