"""The sandbox's Google Cloud on a free port, and the official clients against it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from gke_notebook.sandbox.gke import seeds
from gke_notebook.sandbox.gke.app import create_app
from gke_notebook.sandbox.gke.clock import Clock
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.gke.keeper import Keeper
from gke_notebook.sandbox.gke.resources import Settings
from gke_notebook.sandbox.instances import STOPPING
from tests.support.apps import serving

TOKEN = "sandbox-token"
SETTINGS = Settings("127.0.0.1:6443", "-----BEGIN CERTIFICATE-----\n", TOKEN)
LOCATION = "projects/sandbox/locations/us-central1"
CLUSTER = f"{LOCATION}/clusters/sandbox"
FAST = 2000.0  # what takes GKE a minute is done in 30 ms

Object = dict[str, Any]


class Google(NamedTuple):
    """A running one."""

    url: str
    fleet: Fleet
    keeper: Keeper

    async def ask(
        self, method: str, path: str, body: object = None, *, token: str = TOKEN, raw: bytes | None = None
    ) -> tuple[int, Any]:
        """Send one request; gives the status and the decoded answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent = {"data": raw} if raw is not None else {"json": body} if body is not None else {}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.request(method, f"{self.url}{path}", **sent) as response,
        ):
            return response.status, await response.json()

    async def done(self, operation: Object, seconds: float = 60.0) -> Object:
        """Wait for the end of an operation of the Container API."""
        for _ in range(int(seconds / 0.01)):
            code, found = await self.ask("GET", f"/v1/{LOCATION}/operations/{operation['name']}")
            assert code == 200, found
            if found["status"] == "DONE":
                return dict(found)
            await asyncio.sleep(0.01)
        raise AssertionError(f"not done: {found}")


def new_fleet(factor: float = FAST, simulated_nodes: int = 0) -> Fleet:
    """Give a fleet as a new sandbox has it."""
    return Fleet(seeds.new_state(simulated_nodes), Clock(factor))


@contextlib.asynccontextmanager
async def google(
    *, factor: float = FAST, settings: Settings = SETTINGS, path: Path | None = None, simulated_nodes: int = 0
) -> AsyncIterator[Google]:
    """Serve a new fleet and move it."""
    keeper = Keeper(new_fleet(factor, simulated_nodes), path)
    tasks = [asyncio.create_task(keeper.run()), asyncio.create_task(_shut_down_at_once(keeper))]
    try:
        async with serving(create_app(keeper, settings)) as url:
            yield Google(url, keeper.fleet, keeper)
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _shut_down_at_once(keeper: Keeper) -> None:
    """Stand for a node agent whose nodes have no pods."""
    revision = -1
    while True:
        notice = await keeper.notice(revision, 30)
        revision = notice.revision
        for instance in notice.instances:
            if instance.status == STOPPING:
                keeper.fleet.stopped(instance.name)


def official_client(url: str, token: str = TOKEN) -> Any:
    """Give the official client of the Container API over REST; it blocks, so it is used in a thread."""
    from google.api_core.client_options import ClientOptions
    from google.cloud import container_v1
    from google.oauth2.credentials import Credentials

    return container_v1.ClusterManagerClient(
        transport="rest", credentials=Credentials(token), client_options=ClientOptions(api_endpoint=url)
    )
