"""The fleet's clock: real delays, a factor faster."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

DEFAULT_FACTOR = 20.0
LEAST, MOST = 0.1, 10_000.0


class Clock:
    """Time as the fleet counts it: seconds that pass `factor` times as fast as those on the wall.

    Args:
        factor: how much faster.
        start: the fleet's time now, from an earlier run.
        wall: gives the seconds since 1970; injected by tests.
    """

    def __init__(
        self, factor: float = DEFAULT_FACTOR, start: float = 0.0, wall: Callable[[], float] = time.time
    ) -> None:
        self._wall = wall
        self._base = start
        self._since = wall()
        self._factor = factor

    @property
    def factor(self) -> float:
        """How much faster it goes than the clock on the wall."""
        return self._factor

    def set_factor(self, factor: float) -> None:
        """Go on at another pace; what is waited for keeps its distance on the fleet's clock.

        Args:
            factor: how much faster than the wall, 0.1 to 10,000.

        Raises:
            ValueError: it is outside of that.
        """
        if not LEAST <= factor <= MOST:
            raise ValueError(f"the clock's factor must be between {LEAST:g} and {MOST:,.0f}, not {factor:g}")
        self._base, self._since = self.now(), self._wall()
        self._factor = factor

    def now(self) -> float:
        """Give the fleet's time in seconds."""
        # A wall clock that is set back must not take the fleet back.
        return self._base + max(0.0, self._wall() - self._since) * self._factor

    def wall(self) -> float:
        """Give the time on the wall in seconds since 1970, the one that answers show."""
        return self._wall()

    def real(self, seconds: float) -> float:
        """Say how many of the fleet's seconds pass in some real seconds.

        Args:
            seconds: on the wall.
        """
        return seconds * self._factor

    def until(self, due: float) -> float:
        """Say how many real seconds it is until a time of the fleet.

        Args:
            due: on the fleet's clock.
        """
        return max(0.0, (due - self.now()) / self._factor)


def timestamp(seconds: float) -> str:
    """Write a time as Google's APIs do.

    Args:
        seconds: since 1970.

    Example:
        >>> timestamp(0.5)
        '1970-01-01T00:00:00.500000Z'
    """
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
