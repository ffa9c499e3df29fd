"""The sandbox is killed at random moments while many write: what was acknowledged is there afterwards, all of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

from gke_notebook.cluster import kubeconfig
from gke_notebook.cluster.client import Client
from tests.support.home import SandboxHome, sandbox_home
from tests.support.writers import Writer, states

KILLS, WRITERS = 10, 12


async def load(path: str, pid: int, writers: list[Writer], luck: random.Random) -> None:
    async with Client(kubeconfig.load(None, path), concurrency=WRITERS) as client:
        tasks = [asyncio.create_task(writer.run(client, luck)) for writer in writers]
        await asyncio.sleep(luck.uniform(0.02, 1.2))
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*tasks)


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    luck = random.Random()
    writers = [Writer(f"writer-{number}") for number in range(WRITERS)]
    snapshots: set[str] = set()
    with sandbox_home(tmp_path) as home:
        status = home.up()
        for _ in range(KILLS):
            asyncio.run(load(status["kubeconfig"], status["pid"], writers, luck))
            snapshots |= {each.name for each in Path(status["home"], "data").glob("snapshot-*")}
            status = up_again(home, status)
            found, revision = asyncio.run(states(status["kubeconfig"]))
            for writer in writers:
                writer.check(found.get(writer.name))
                assert revision >= writer.version
        assert sum(writer.writes for writer in writers) > 10 * KILLS
        assert snapshots, "no snapshot was written, so no kill can have hit one"


def up_again(home: SandboxHome, before: dict[str, Any]) -> dict[str, Any]:
    status = home.up()
    assert status["pid"] != before["pid"]
    assert status["kubernetes"] == before["kubernetes"]
    return status
