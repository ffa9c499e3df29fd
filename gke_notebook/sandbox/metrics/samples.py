"""Samples of metrics: from the Prometheus text format into series with a bounded memory."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NAME = "__name__"
LOOKBACK = 300.0  # how old a sample may be to count as the value now (Prometheus documentation, "Staleness")
KEPT = 720  # samples of each series: an hour at one every five seconds

Labels = dict[str, str]
Sample = tuple[Labels, float]

_LINE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPE = re.compile(r'\\(["\\n])')


def parse_text(text: str) -> list[Sample]:
    """Read the Prometheus text format; lines that are none of it are left out.

    Args:
        text: what an exporter serves.

    Returns:
        Labels, the name among them as ``__name__``, and value of every sample.
    """
    found = []
    for line in text.split("\n"):  # a label value may hold any other separator
        match = None if line.startswith("#") else _LINE.fullmatch(line)
        if match is None:
            continue
        labels = parse_labels(match["labels"] or "")
        value = parse_value(match["value"])
        if labels is not None and value is not None:
            found.append(({NAME: match["name"], **labels}, value))
    return found


def parse_labels(text: str) -> Labels | None:
    """Read what stands between the braces; None when it is malformed.

    Args:
        text: for example ``pod="a",namespace="b"``.
    """
    labels: Labels = {}
    position = 0
    while position < len(text):
        match = _LABEL.match(text, position)
        if match is None:
            return None
        labels[match[1]] = unescape(match[2])
        position = match.end()
    return labels


def unescape(text: str) -> str:
    """Undo the escapes of a label value."""
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def parse_value(text: str) -> float | None:
    """Read a value of the text format, which also knows ``+Inf`` and ``NaN``; None when it is no number."""
    try:
        return float(text)
    except ValueError:
        return None


@dataclass
class Series:
    """One series: its labels, and times and values side by side; a value NaN says that the series was gone."""

    labels: Labels
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def at(self, time: float) -> float | None:
        """Give the value at a time, None when there is none that young.

        Args:
            time: Unix time in seconds.
        """
        position = bisect_right(self.times, time) - 1
        if position < 0 or time - self.times[position] > LOOKBACK or math.isnan(self.values[position]):
            return None
        return self.values[position]

    def add(self, time: float, value: float) -> None:
        """Add a sample, and forget the oldest where there are too many."""
        self.times.append(time)
        self.values.append(value)
        if len(self.times) > KEPT:
            del self.times[:-KEPT], self.values[:-KEPT]


class Samples:
    """All series by their labels."""

    def __init__(self) -> None:
        self._series: dict[tuple[tuple[str, str], ...], Series] = {}

    def scraped(self, time: float, samples: Iterable[Sample]) -> None:
        """Take what one round of scraping has found; series that are missing have ended.

        Args:
            time: of the round, Unix time in seconds.
            samples: from all targets.
        """
        fresh = set()
        for labels, value in samples:
            key = tuple(sorted(labels.items()))
            fresh.add(key)
            self._series.setdefault(key, Series(labels)).add(time, value)
        for key, series in list(self._series.items()):
            if key not in fresh:
                if not math.isnan(series.values[-1]):
                    series.add(time, math.nan)
                elif time - series.times[-1] > KEPT * 5:
                    del self._series[key]

    def all(self) -> list[Series]:
        """Give every series."""
        return list(self._series.values())


def with_labels(samples: Iterable[Sample], more: Mapping[str, str]) -> list[Sample]:
    """Add the labels of a target to its samples; the samples' own win.

    Args:
        samples: as scraped.
        more: for example ``job`` and ``instance``.
    """
    return [({**more, **labels}, value) for labels, value in samples]
