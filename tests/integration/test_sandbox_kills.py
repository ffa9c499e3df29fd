"""The whole sandbox is killed at random moments: what was acknowledged stays, no process stays, and jobs go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gke_notebook.cluster import kubeconfig
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import JOBS
from gke_notebook.errors import ApiError, ClusterUnreachable
from tests.support.home import SandboxHome, sandbox_home
from tests.support.writers import Writer, states

WRITERS = 6
SLEEP = "765432"  # seconds that nothing else on this machine sleeps


def job(name: str, command: list[str]) -> dict[str, Any]:
    """A job whose containers are started again in place, so that its pods outlive the loss of their processes."""
    container = {"name": "main", "image": "python:3.11-slim", "command": command}
    template = {"spec": {"restartPolicy": "OnFailure", "containers": [container]}}
    spec = {"completions": 2, "parallelism": 2, "backoffLimit": 100, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def processes(home: SandboxHome, wanted: str) -> list[int]:
    found = []
    for pid in home.processes():
        with contextlib.suppress(OSError):
            if wanted.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


async def eventually(condition: Callable[[], Awaitable[Any] | Any], what: str) -> None:
    for _ in range(1200):
        answer = condition()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never came true: {what}")


async def until_ended(pids: list[int]) -> None:
    def ended() -> bool:
        return not any(Path(f"/proc/{pid}/fd").exists() and _alive(pid) for pid in pids)

    await eventually(ended, f"the end of {pids}")


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def strike(home: SandboxHome, status: dict[str, Any], victim: str, writers: list[Writer], number: int) -> None:
    """Write, start a job, and kill in the midst of it."""
    luck = random.Random()
    async with Client(kubeconfig.load(None, status["kubeconfig"]), concurrency=WRITERS + 4) as client:
        tasks = [asyncio.create_task(writer.run(client, luck)) for writer in writers]
        await client.create(JOBS, job(f"short-{number}", ["python3", "-c", "import time; time.sleep(0.2)"]), "default")
        await client.create(JOBS, job(f"long-{number}", ["sleep", SLEEP]), "default")
        if number % 2:  # else whatever is under way is hit
            await eventually(lambda: processes(home, SLEEP), "a pod that runs")
        await asyncio.sleep(luck.uniform(0.0, 0.8))
        before = processes(home, SLEEP)
        agents = processes(home, "gke_notebook.sandbox.agents")
        os.kill(status["pid"] if victim == "main" else agents[0], signal.SIGKILL)
        if victim == "main":
            await asyncio.gather(*tasks)
            await eventually(lambda: not home.processes(), "the end of every process")
        else:
            await until_ended([*before, *agents])
            await client.delete(JOBS, f"long-{number}", "default")  # the API server answers all the while
            for writer in writers:
                writer.stopped = True
            await asyncio.gather(*tasks)


async def complete(client: Client, name: str) -> bool:
    try:
        found = await client.get(JOBS, name, "default")
    except (ApiError, ClusterUnreachable):
        return False
    return any(each["type"] == "Complete" for each in (found.get("status") or {}).get("conditions") or ())


def test_killed_at_any_moment(tmp_path: Path) -> None:
    writers = [Writer(f"writer-{number}") for number in range(WRITERS)]
    victims = ["main", "agents", "main", "main", "agents", "main"]
    with sandbox_home(tmp_path) as home:
        status = home.up()
        for number, victim in enumerate(victims):
            asyncio.run(strike(home, status, victim, writers, number))
            status = home.up()
            found, revision = asyncio.run(states(status["kubeconfig"]))
            for writer in writers:
                writer.check(found.get(writer.name))
                assert revision >= writer.version
        asyncio.run(jobs_go_on(home, status["kubeconfig"], victims))
        home.run("down")
        assert home.processes() == []
        assert not home.directory.exists()


async def jobs_go_on(home: SandboxHome, path: str, victims: list[str]) -> None:
    async with Client(kubeconfig.load(None, path)) as client:
        for number, victim in enumerate(victims):
            await eventually(lambda name=f"short-{number}": complete(client, name), f"the end of job {number}")  # type: ignore[misc]
            if victim == "main":
                await client.delete(JOBS, f"long-{number}", "default", grace_period=0)
        await eventually(lambda: not processes(home, SLEEP), "the end of the pods of deleted jobs")
