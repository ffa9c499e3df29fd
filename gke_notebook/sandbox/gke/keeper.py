"""Keeps a fleet going: moves it as time passes, writes it to disk, wakes those who wait for a change."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import msgspec

from gke_notebook.sandbox.gke import fleet as fleets
from gke_notebook.sandbox.gke import seeds
from gke_notebook.sandbox.gke.clock import DEFAULT_FACTOR, Clock
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.home import write_private
from gke_notebook.sandbox.instances import Notice
from gke_notebook.sandbox.pools import default_pools

_log = logging.getLogger(__name__)
_WRITE_SECONDS = 0.3  # changes that come together are written together
_MOST_SLEEP = 60.0
MOST_WAIT = 60.0  # seconds of a long poll


def open_fleet(path: Path, simulated_nodes: int = 0, factor: float = 0.0) -> Fleet:
    """Give the fleet that a file holds, or a new one.

    Args:
        path: where an earlier run has kept it.
        simulated_nodes: how many nodes without processes there should be.
        factor: of the clock; 0 for the one of the earlier run.
    """
    try:
        fleet = fleets.restore(path.read_bytes(), time.time)
    except FileNotFoundError:
        return Fleet(seeds.new_state(simulated_nodes), Clock(factor or DEFAULT_FACTOR))
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        _log.error("%s cannot be read, so the node pools are the first ones again: %s", path, error)
        return Fleet(seeds.new_state(simulated_nodes), Clock(factor or DEFAULT_FACTOR))
    _follow_option(fleet, simulated_nodes)
    if factor:
        fleet.clock.set_factor(factor)
    return fleet


def _follow_option(fleet: Fleet, simulated_nodes: int) -> None:
    """Give the pool of pretended nodes the size of this run's option; an option of 0 takes it away."""
    wanted = next((pool for pool in default_pools(simulated_nodes) if not pool.runs_processes), None)
    name = "simulated-pool"
    there = fleet.state.pools.get(name)
    if wanted is not None:
        if there is None or sum(there.targets.values()) != wanted.count:
            seeds.add(fleet.state, wanted)
    elif there is not None:
        del fleet.state.pools[name]
        for one in [one.name for one in fleet.state.instances.values() if one.pool == name]:
            del fleet.state.instances[one]


class Keeper:
    """The task beside a fleet.

    Args:
        fleet: the fleet.
        path: the file that it is kept in; None for nowhere.
    """

    def __init__(self, fleet: Fleet, path: Path | None = None) -> None:
        self.fleet = fleet
        self._path = path
        self._changed = asyncio.Event()
        self._waiters: set[asyncio.Future[None]] = set()
        self._written = 0
        fleet.listeners.append(self._on_change)

    def _on_change(self) -> None:
        self._changed.set()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def run(self) -> None:
        """Go on until cancelled; then what is not written yet is written."""
        writer = asyncio.create_task(self._write_changes())
        try:
            while True:
                wait = self.fleet.advance()
                self._changed.clear()
                # A change may bring a nearer time; the event ends the sleep.
                await _either(self._changed, min(_MOST_SLEEP, _MOST_SLEEP if wait is None else wait + 0.002))
        finally:
            writer.cancel()
            self.write()

    async def _write_changes(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            self.write()

    def write(self) -> None:
        """Write the fleet if it has changed since it was last written."""
        if self._path is None or self._written == self.fleet.state.revision:
            return
        try:
            write_private(self._path, self.fleet.snapshot().decode())
        except OSError as error:  # a full disk: the sandbox goes on, and the next change tries again
            _log.error("%s cannot be written: %s", self._path, error)
        else:
            self._written = self.fleet.state.revision

    async def notice(self, since: int, timeout: float) -> Notice:
        """Give the machines, at once or at the next change.

        Args:
            since: the revision that the caller knows.
            timeout: seconds to wait at most.
        """
        self.fleet.advance()
        if since == self.fleet.state.revision and timeout > 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait({waiter}, timeout=min(timeout, MOST_WAIT))
            finally:
                self._waiters.discard(waiter)
        return self.fleet.notice()


async def _either(event: asyncio.Event, seconds: float) -> None:
    task = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
