"""Clients that write until the server is gone, and know what it has acknowledged."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import aiohttp

from gke_notebook.cluster import kubeconfig
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import CONFIG_MAPS
from gke_notebook.errors import ClusterUnreachable

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
        stopped: set to end it when the server stays.
    """

    name: str
    known: Value = None
    asked: Value = None
    version: int = 0
    writes: int = 0
    stopped: bool = False

    async def run(self, client: Client, luck: random.Random) -> None:
        """Write until the server is gone."""
        number = 0
        self.stopped = False
        while not self.stopped:
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


async def states(path: str) -> tuple[dict[str, str], int]:
    async with Client(kubeconfig.load(None, path)) as client:
        listed: dict[str, Any] = json.loads(await client.list_raw(CONFIG_MAPS, "default"))
    items = {
        item["metadata"]["name"]: item["data"]["value"] for item in listed["items"] if "value" in item.get("data", {})
    }
    return items, int(listed["metadata"]["resourceVersion"])
