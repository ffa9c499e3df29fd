"""A queue of keys to work on: each key at most once at a time, merged while it waits, retried with back-off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from gke_notebook.errors import ApiError, ClusterUnreachable

K = TypeVar("K", bound=Hashable)
LOG = logging.getLogger(__name__)

CONFLICT_RETRY = 0.05  # seconds; what we decided on was no longer true, and the watch brings what is


class WorkQueue(Generic[K]):
    """Runs one function over keys.

    A key that is added while it is being worked on is worked on once more afterwards.

    Args:
        name: for the log.
        work: what is done for a key; an `ApiError` or a lost connection is tried again later.
        workers: how many keys are worked on at once.
        retry: seconds before the first new try and at most before a later one; doubled with each failure.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[K], Awaitable[None]],
        *,
        workers: int = 4,
        retry: tuple[float, float] = (0.1, 30.0),
    ) -> None:
        self.name = name
        self._retry_bounds = retry
        self._work = work
        self._workers = workers
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K, delay: float = 0.0) -> None:
        """Have a key worked on, now or after a delay; the earliest of several requests counts.

        Args:
            key: which.
            delay: seconds.
        """
        if delay <= 0:
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.cancel()
            self._enqueue(key)
            return
        if key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        present = self._timers.get(key)
        if present is not None:
            if present.when() <= loop.time() + delay:
                return
            present.cancel()
        self._timers[key] = loop.call_later(delay, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self._enqueue(key)

    def _enqueue(self, key: K) -> None:
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    async def run(self) -> None:
        """Work until cancelled."""
        workers = [asyncio.create_task(self._worker()) for _ in range(self._workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            for timer in self._timers.values():
                timer.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._running.add(key)
            try:
                await self._work(key)
                self._failures.pop(key, None)
            except (ApiError, ClusterUnreachable) as error:
                self._retry(key, error, conflict=isinstance(error, ApiError) and error.status == 409)
            except Exception as error:  # one object that cannot be handled must not stop the controller for all others
                LOG.exception("%s: %r failed", self.name, key)
                self._retry(key, error, conflict=False)
            finally:
                self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._enqueue(key)

    def _retry(self, key: K, error: Exception, *, conflict: bool) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        if not conflict:
            LOG.info("%s: %r: %s", self.name, key, error)
        first, last = self._retry_bounds
        delay = min(last, (CONFLICT_RETRY if conflict else first) * 2 ** min(failures - 1, 20))
        asyncio.get_running_loop().call_later(delay, self._enqueue, key)
