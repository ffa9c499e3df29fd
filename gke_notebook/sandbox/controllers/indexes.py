"""Sets of completion indexes in the compressed form of a Job's status, such as ``0-3,7``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Indexes:
    """A set of indexes as ordered, disjoint, non-adjacent intervals.

    Args:
        intervals: pairs of first and last index, both included.

    Example:
        >>> str(Indexes.of([0, 1, 2, 3, 7]))
        '0-3,7'
    """

    intervals: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, indexes: Iterable[int]) -> Indexes:
        """Make the set out of single indexes in any order."""
        return cls(_join([(index, index) for index in sorted(set(indexes))]))

    @classmethod
    def parse(cls, text: str | None, completions: int) -> Indexes:
        """Read the compressed form, leaving out what is not below the number of completions.

        Args:
            text: for example ``0-3,7``; parts that cannot be read are left out, as the real controller does.
            completions: how many indexes there are.
        """
        intervals = []
        for part in (text or "").split(","):
            first, _, last = part.strip().partition("-")
            try:
                low, high = int(first), int(last or first)
            except ValueError:
                continue
            if 0 <= low < completions and low <= high:
                intervals.append((low, min(high, completions - 1)))
        return cls(_join(sorted(intervals)))

    def __str__(self) -> str:
        return ",".join(_write(first, last) for first, last in self.intervals)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def __contains__(self, index: int) -> bool:
        place = bisect_left(self.intervals, index, key=lambda interval: interval[1])
        return place < len(self.intervals) and self.intervals[place][0] <= index

    def __iter__(self) -> Iterator[int]:
        for first, last in self.intervals:
            yield from range(first, last + 1)

    def __or__(self, other: Indexes) -> Indexes:
        return Indexes(_join(sorted(self.intervals + other.intervals)))

    def overlap(self, other: Indexes) -> int:
        """Say how many indexes both have."""
        count, mine, theirs = 0, 0, 0
        while mine < len(self.intervals) and theirs < len(other.intervals):
            first, last = self.intervals[mine]
            other_first, other_last = other.intervals[theirs]
            count += max(0, min(last, other_last) - max(first, other_first) + 1)
            if last <= other_last:
                mine += 1
            else:
                theirs += 1
        return count

    def missing(self, count: int, completions: int) -> list[int]:
        """Give the first `count` indexes below `completions` that are not in the set."""
        found: list[int] = []
        candidate = 0
        for first, last in (*self.intervals, (completions, completions)):
            for index in range(candidate, min(first, completions)):
                if len(found) >= count:
                    return found
                found.append(index)
            candidate = max(candidate, last + 1)
        return found


def _join(intervals: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for first, last in intervals:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def _write(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"
