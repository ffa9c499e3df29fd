"""Telling subscribers that something has changed, at most so often, whatever the rate of changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

Unsubscribe = Callable[[], None]

REPAINTS_PER_SECOND = 5

_log = logging.getLogger("gke_notebook")


class Notifier:
    """Calls its subscribers on the event loop: at once after a quiet time, then no more often than the interval.

    The last change is never lost: a change within the interval is told at its end.

    Args:
        interval: the shortest time between two calls, in seconds.
    """

    def __init__(self, interval: float = 1 / REPAINTS_PER_SECOND) -> None:
        self._interval = interval
        self._subscribers: dict[object, Callable[[], None]] = {}
        self._last = float("-inf")
        self._timer: asyncio.Handle | None = None

    def subscribe(self, callback: Callable[[], None]) -> Unsubscribe:
        """Add a subscriber; the answer removes it again.

        Args:
            callback: called on the event loop; it must not block.
        """
        key = object()
        self._subscribers[key] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    def changed(self) -> None:
        """Say that something has changed; called on the event loop."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait = self._last + self._interval - loop.time()
            self._timer = loop.call_later(wait, self._fire) if wait > 0 else loop.call_soon(self._fire)

    def close(self) -> None:
        """Forget the subscribers and whatever was still to be told."""
        self._subscribers.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._last = asyncio.get_running_loop().time()
        for callback in list(self._subscribers.values()):
            try:
                callback()
            except Exception:  # one view that fails must not stop the watch or the other views
                _log.exception("a subscriber failed")
