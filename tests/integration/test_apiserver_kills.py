"""The sandbox is killed at random moments while many write: what was acknowledged is there afterwards, all of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gke_notebook.cluster import kubeconfig
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import CONFIG_MAPS
from gke_notebook.errors import ClusterUnreachable
from tests.support.home import SandboxHome, sandbox_home

KILLS, WRITERS = 10, 12
# Large enough for the log to be replaced by a snapshot every second or so: kills must hit that too.
PADDING = "x" * 40_000
Value = str | None
"""The data of one ConfigMap; None when there is none."""


@dataclass
class Writer:
    """One client with a ConfigMap of its own.

    Args:
        name: the ConfigMap's.
        known: what the server has acknowledged last.
        asked: what was asked for last, which may or may not have come to pass.
        version: the resourceVersion acknowledged last.
        writes: how many writes were acknowledged.
    """

    name: str
    known: Value = None
    asked: Value = None
    version: int = 0
    writes: int = 0

    async def run(self, client: Client, luck: random.Random) -> None:
        """Write until the server is gone."""
        number = 0
        while True:
            number += 1
            value = f"{self.name}-{self.version}-{number}"
            try:
                await self._once(client, value, luck)
            except (ClusterUnreachable, aiohttp.ClientError, OSError):
                return
            self.known = self.asked
            self.writes += 1

    async def _once(self, client: Client, value: str, luck: random.Random) -> None:
        if self.known is None:
            self.asked = value
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}}
            done = await client.create(CONFIG_MAPS, {**body, "data": {"value": value, "padding": PADDING}}, "default")
        elif luck.random() < 0.15:
            self.asked = None
            await client.delete(CONFIG_MAPS, self.name, "default")
            return
        else:
            self.asked = value
            done = await client.patch(CONFIG_MAPS, self.name, {"data": {"value": value}}, "default")
        version = int(done["metadata"]["resourceVersion"])
        assert version > self.version
        self.version = version

    def check(self, found: Value) -> None:
        """See that the state after a restart is what was acknowledged, or what was under way."""
        assert found in {self.known, self.asked}, f"{self.name}: {self.known!r} was acknowledged, {found!r} is there"
        self.known = self.asked = found


async def load(path: str, pid: int, writers: list[Writer], luck: random.Random) -> None:
    async with Client(kubeconfig.load(None, path), concurrency=WRITERS) as client:
        tasks = [asyncio.create_task(writer.run(client, luck)) for writer in writers]
        await asyncio.sleep(luck.uniform(0.02, 1.2))
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*tasks)


async def states(path: str) -> tuple[dict[str, str], int]:
    async with Client(kubeconfig.load(None, path)) as client:
        listed: dict[str, Any] = json.loads(await client.list_raw(CONFIG_MAPS, "default"))
    items = {
        item["metadata"]["name"]: item["data"]["value"] for item in listed["items"] if "value" in item.get("data", {})
    }
    return items, int(listed["metadata"]["resourceVersion"])


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
