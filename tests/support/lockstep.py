"""The same scenarios on two servers side by side, compared whenever both have come to the same point.

A point is compared once what the scenario waits for is true on both; the two then have a while to become equal, because
controllers work at their own pace. No time is asserted.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import secrets
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import NODES
from gke_notebook.sandbox import controllers
from tests.support.apiserver import running_server
from tests.support.settled import Object, World, add_node, heartbeat

Scenario = Callable[[World], Awaitable[None]]
Note = Callable[[str, str], None]
"""Writes down that a feature of a kind was compared; skips the test where there is no real control plane."""
ALIKE_WITHIN = 20.0  # seconds both have to become equal; only a difference takes so long
NODE = "contract"


@dataclass
class Outcome:
    """What came of one scenario.

    Args:
        points: the points that were compared.
        differences: what differed, by point.
        error: what stopped it.
    """

    points: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    error: str = ""


def verify(outcome: Outcome) -> None:
    """Check that a scenario came to its end on both servers and was the same at every point."""
    assert not outcome.error, outcome.error
    assert outcome.points
    assert not outcome.differences, "\n".join(outcome.differences[:60])


def scenarios_of(module: Mapping[str, Any]) -> dict[str, Scenario]:
    """Give the scenarios of a module: its public functions of a world."""
    return {
        name: item
        for name, item in module.items()
        if inspect.iscoroutinefunction(item) and item.__module__ == module["__name__"] and not name.startswith("_")
    }


def selected_in(request: pytest.FixtureRequest, scenarios: Mapping[str, Scenario]) -> dict[str, Scenario]:
    """Give those scenarios of a module that this run of the tests asks for."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = {item.callspec.params.get("name") for item in items if item.module is request.module}
    return {name: scenario for name, scenario in scenarios.items() if name in asked}


class _Meeting:
    """Where the two worlds of a scenario wait for each other."""

    def __init__(self, worlds: list[World], outcome: Outcome) -> None:
        self.worlds, self.outcome = worlds, outcome
        self.here: dict[int, asyncio.Future[None]] = {}

    async def meet(self, world: World, what: str) -> None:
        arrived = asyncio.get_running_loop().create_future()
        self.here[id(world)] = arrived
        if len(self.here) < len(self.worlds):
            await arrived
            return
        waiting, self.here = self.here, {}
        self.outcome.points.append(what)
        found = await self._compare()
        self.outcome.differences += [f"at {what!r}: {line}" for line in found]
        for future in waiting.values():
            if not future.done():
                future.set_result(None)

    async def _compare(self) -> list[str]:
        if len(self.worlds) == 1:
            return []
        deadline = asyncio.get_running_loop().time() + ALIKE_WITHIN
        while True:
            embedded, real = (world.snapshot() for world in self.worlds)
            found = differences(embedded, real)
            if not found or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(0.1)


def differences(embedded: Any, real: Any, path: str = "") -> list[str]:
    """Name every place in which two snapshots differ."""
    if isinstance(embedded, dict) and isinstance(real, dict):
        found = []
        for key in [*embedded, *(key for key in real if key not in embedded)]:
            found += differences(embedded.get(key, "<absent>"), real.get(key, "<absent>"), f"{path}/{key}")
        return found
    if isinstance(embedded, list) and isinstance(real, list) and len(embedded) == len(real):
        pairs = enumerate(zip(embedded, real, strict=True))
        return [line for place, (one, two) in pairs for line in differences(one, two, f"{path}/{place}")]
    return [] if embedded == real else [f"{path}\n    embedded {embedded!r}\n    real     {real!r}"]


async def run_together(scenario: Scenario, worlds: list[World]) -> Outcome:
    """Run a scenario in its worlds, which have been made and not opened."""
    outcome = Outcome()
    meeting = _Meeting(worlds, outcome)

    async def one(world: World) -> None:
        world.meet = meeting.meet
        async with world.open():
            await scenario(world)

    tasks = [asyncio.create_task(one(world)) for world in worlds]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task, side in zip(tasks, ("embedded", "real"), strict=False):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                outcome.error += f"on the {side} server: {''.join(traceback.format_exception(error)[-3:])}"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return outcome


@contextlib.asynccontextmanager
async def clients(real: Connection | None) -> AsyncIterator[list[Client]]:
    """Give a client of an embedded server with its controllers and, where there is one, of the real server."""
    async with contextlib.AsyncExitStack() as stack:
        embedded = await stack.enter_async_context(running_server(controllers=True))
        work = asyncio.create_task(controllers.run(embedded))
        stack.push_async_callback(_end, work)
        found = [embedded] if real is None else [embedded, real]
        yield [await stack.enter_async_context(Client(connection, field_manager="test")) for connection in found]


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def clear_nodes(client: Client) -> None:
    """Delete every node, whoever made it."""
    for node in (await client.list(NODES))["items"]:
        await client.delete(NODES, node["metadata"]["name"])


async def run_jobs(scenarios: Mapping[str, Scenario], real: Connection | None) -> dict[str, Outcome]:
    """Run scenarios of Jobs all at once, each in a namespace of its own, on one large node.

    Args:
        scenarios: by name; the namespaces are named after them.
        real: the real control plane, None to run on the embedded server alone.
    """
    run = secrets.token_hex(3)
    async with clients(real) as found:
        for client in found:
            await clear_nodes(client)
            await add_node(client, NODE, cpu="1000", memory="1000Gi", pods="2000")
        beat = asyncio.create_task(_beat(found))
        try:
            worlds = {
                name: [World(client, f"{name.replace('_', '-')}-{run}") for client in found] for name in scenarios
            }
            outcomes = await asyncio.gather(*(run_together(scenarios[name], worlds[name]) for name in scenarios))
        finally:
            await _end(beat)
        return dict(zip(scenarios, outcomes, strict=True))


async def run_scheduler(scenarios: Mapping[str, Scenario], real: Connection | None) -> dict[str, Outcome]:
    """Run scenarios of the scheduler one after the other, each with the nodes it adds and no others.

    Args:
        scenarios: by name.
        real: the real control plane, None to run on the embedded server alone.
    """
    run = secrets.token_hex(3)
    outcomes = {}
    async with clients(real) as found:
        for name, scenario in scenarios.items():
            for client in found:
                await clear_nodes(client)
            namespace = f"{name.replace('_', '-')}-{run}"
            outcomes[name] = await run_together(scenario, [World(client, namespace, runs=False) for client in found])
        for client in found:
            await clear_nodes(client)
    return outcomes


async def _beat(found: list[Client]) -> None:
    turn = 0
    while True:  # a node that says nothing for 40 s is taken for lost
        await asyncio.sleep(10)
        turn += 1
        for client in found:
            status: Object = {"nodeInfo": {"bootID": str(turn)}}
            await heartbeat(client, NODE, status)
