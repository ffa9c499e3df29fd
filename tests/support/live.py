"""A notebook on a sandbox of its own: a real kernel in its own process, and kubectl beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.support.home import SandboxHome, sandbox_home
from tests.support.kubectl import find_kubectl

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
CONNECT = "%load_ext gke_notebook\n%gke_connect sandbox"


@dataclass
class Reply:
    """What a cell has given so far."""

    cell: str
    answered: bool = False
    idle: bool = False
    ename: str = ""
    evalue: str = ""
    out: str = ""
    err: str = ""
    traceback: str = ""
    value: str = ""
    displays: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the cell has run."""
        return self.answered and self.idle

    @property
    def text(self) -> str:
        """Everything that a reader sees, as plain text."""
        shown = [str(data.get("text/plain", "")) for data in self.displays.values()]
        return "\n".join(part for part in (self.out, *shown, self.err, self.traceback, self.value) if part)

    @property
    def mistake(self) -> str:
        """The one line of a mistake; nothing else may have been shown."""
        assert self.ename == "UsageError", self.text
        assert self.traceback == "", self.traceback
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("UsageError: "), self.err
        return lines[0].removeprefix("UsageError: ")


class Notebook:
    """A kernel and the conversation with it.

    Args:
        home: whose sandbox it finds.
        directory: where it runs.
    """

    def __init__(self, home: SandboxHome, directory: Path, **environment: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        own = {"IPYTHONDIR": str(directory / ".ipython"), "XDG_CACHE_HOME": str(directory / ".cache"), **environment}
        self.directory = directory
        # Sockets in files: no ports to be taken by others, and with a relative path the two sides would not meet.
        self.manager = KernelManager(
            kernel_name="python3", transport="ipc", connection_file=str(directory / ".kernel.json")
        )
        self.manager.start_kernel(
            env={**home.environment, **own}, cwd=str(directory), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self._replies: dict[str, Reply] = {}
        self._by_display: dict[str, Reply] = {}

    def start(self, cell: str) -> Reply:
        """Send a cell to the kernel."""
        reply = Reply(cell)
        self._replies[self.client.execute(cell, store_history=True)] = reply
        return reply

    def run(self, cell: str, timeout: float = 120) -> Reply:
        """Run a cell to its end."""
        reply = self.start(cell)
        self.until(lambda: reply.ended, reply, timeout)
        return reply

    def ok(self, cell: str, timeout: float = 120) -> Reply:
        """Run a cell that must succeed."""
        reply = self.run(cell, timeout)
        assert not reply.ename, f"{cell}\n{reply.text}"
        return reply

    def value(self, expression: str) -> str:
        """Give the representation of an expression's value."""
        reply = self.ok(expression)
        return reply.value

    def until(self, condition: Callable[[], Any], reply: Reply, timeout: float = 60) -> None:
        """Take what the kernel sends until something is true."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"it did not come true:\n{reply.cell}\n{reply.text}"
            with contextlib.suppress(Empty):
                self._take(self.client.get_iopub_msg(timeout=0.2))
            with contextlib.suppress(Empty):
                while True:
                    self._answer(self.client.get_shell_msg(timeout=0))

    def interrupt(self) -> None:
        """Press the stop button."""
        self.manager.interrupt_kernel()

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
        self.manager.context.destroy(linger=0)

    def _answer(self, message: dict[str, Any]) -> None:
        reply = self._replies.get(message["parent_header"].get("msg_id", ""))
        if reply is not None and message["msg_type"] == "execute_reply":
            content = message["content"]
            # A UsageError is only here and on stderr; other errors are published too.
            reply.ename, reply.evalue = content.get("ename", ""), content.get("evalue", "")
            reply.answered = True

    def _take(self, message: dict[str, Any]) -> None:
        reply = self._replies.get(message["parent_header"].get("msg_id", ""))
        content, kind = message["content"], message["msg_type"]
        if kind in {"display_data", "update_display_data"}:
            name = content.get("transient", {}).get("display_id", message["header"]["msg_id"])
            reply = self._by_display.setdefault(name, reply) if reply is not None else self._by_display.get(name)
            if reply is not None:
                reply.displays[name] = content["data"]
        elif reply is None:
            return
        elif kind == "stream":
            text = _ESCAPES.sub("", content["text"])
            if content["name"] == "stdout":
                reply.out += text
            else:
                reply.err += text
        elif kind == "execute_result":
            reply.value = content["data"]["text/plain"]
        elif kind == "error":
            reply.traceback = _ESCAPES.sub("", "\n".join(content["traceback"]))
        elif kind == "status" and content["execution_state"] == "idle":
            reply.idle = True


@contextlib.contextmanager
def notebook(home: SandboxHome, directory: Path, *, connect: bool = True, **environment: str) -> Iterator[Notebook]:
    """Open a notebook and end its kernel afterwards."""
    opened = Notebook(home, directory, **environment)
    try:
        if connect:
            opened.ok(CONNECT)
        yield opened
    finally:
        opened.close()


@dataclass(frozen=True)
class Cluster:
    """The sandbox as kubectl sees it."""

    home: SandboxHome

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl."""
        program = find_kubectl()
        assert program is not None, "no kubectl: run `make control-plane`"
        environment = {**self.home.environment, "KUBECONFIG": str(self.home.status()["kubeconfig"])}
        done = subprocess.run(
            [program, "--cache-dir", str(self.home.directory.parent / "kubectl"), *arguments],
            env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout + ("" if check else done.stderr)

    def objects(self, what: str = "jobs,configmaps,services,pods", selector: str = "") -> list[dict[str, Any]]:
        """List objects of every namespace."""
        chosen = ["-l", selector] if selector else []
        return list(json.loads(self.kubectl("get", what, "-A", "-o", "json", *chosen))["items"])

    def names(self, what: str = "jobs,configmaps,services,pods", selector: str = "") -> set[str]:
        """Name the objects of every namespace."""
        found = self.objects(what, selector)
        return {f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}" for item in found}


def processes_with(text: str) -> list[int]:
    """Give the processes whose environment or command line has a text, this one left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if any(text.encode() in (entry / file).read_bytes() for file in ("environ", "cmdline")):
                    found.append(int(entry.name))
    return found


def eventually(condition: Callable[[], Any], timeout: float = 30) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


@dataclass(frozen=True)
class World:
    """A sandbox, a notebook on it and kubectl."""

    home: SandboxHome
    notebook: Notebook
    cluster: Cluster
    directory: Path


@contextlib.contextmanager
def open_world(directory: Path, *options: str) -> Iterator[World]:
    """Bring a sandbox up and open a connected notebook on it."""
    with sandbox_home(directory) as home:
        home.up(*options)
        with notebook(home, directory / "notebook") as opened:
            yield World(home, opened, Cluster(home), directory)
