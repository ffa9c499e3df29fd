"""How long a group that could not get machines is left alone; pure.

Five minutes, doubled with each failure up to thirty, forgotten after three hours (kubernetes/autoscaler,
`--initial-node-group-backoff-duration` and its neighbours).
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST, MOST, RESET = 300.0, 1800.0, 10_800.0


@dataclass(frozen=True)
class Failure:
    """What went wrong with a group the last time.

    Args:
        code: Compute Engine's code.
        message: its text.
        reason: the autoscaler's words for it.
        since: when, on the fleet's clock.
        seconds: for how long the group is left alone.
    """

    code: str
    message: str
    reason: str
    since: float
    seconds: float

    @property
    def until(self) -> float:
        """When the group is tried again, on the fleet's clock."""
        return self.since + self.seconds


class Backoff:
    """The failures of all groups.

    Example:
        >>> backoff = Backoff()
        >>> backoff.fail("a", "QUOTA_EXCEEDED", "", "GCE quota exceeded", 0.0).until
        300.0
        >>> backoff.active("a", 299.0) is None, backoff.active("a", 300.0) is None
        (False, True)
    """

    def __init__(self) -> None:
        self._failures: dict[str, Failure] = {}

    def fail(self, group: str, code: str, message: str, reason: str, now: float) -> Failure:
        """Take note of a failure.

        Args:
            group: the group.
            code: Compute Engine's code.
            message: its text.
            reason: the autoscaler's words for it.
            now: the time on the fleet's clock.
        """
        last = self._failures.get(group)
        seconds = FIRST
        if last is not None and now - last.since <= RESET:
            # Failures of one attempt come one after the other and count once.
            seconds = last.seconds if now < last.until else min(MOST, last.seconds * 2)
        made = Failure(code, message, reason, now, seconds)
        self._failures[group] = made
        return made

    def active(self, group: str, now: float) -> Failure | None:
        """Give the failure because of which a group is left alone now.

        Args:
            group: the group.
            now: the time on the fleet's clock.
        """
        found = self._failures.get(group)
        return found if found is not None and now < found.until else None

    def succeed(self, group: str) -> None:
        """Forget the failures of a group that has got what it asked for.

        Args:
            group: the group.
        """
        self._failures.pop(group, None)

    def next_end(self, now: float) -> float | None:
        """Say when the next group may be tried again, on the fleet's clock.

        Args:
            now: the time on the fleet's clock.
        """
        return min((one.until for one in self._failures.values() if one.until > now), default=None)
