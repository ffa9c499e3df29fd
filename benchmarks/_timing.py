"""How long a piece of work takes, for the benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def median_ms(work: Callable[[], int], runs: int) -> tuple[float, int]:
    """Do some work several times in this process.

    Args:
        work: what to do.
        runs: how often.

    Returns:
        The median of its times in milliseconds, and what it gave last.
    """
    times, result = [], 0
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times), result
