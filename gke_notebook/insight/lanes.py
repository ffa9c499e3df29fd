"""Folding the log of many ranks: what every rank says is shown once, what differs side by side; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gke_notebook.insight.text import named
from gke_notebook.objects import LogLine

LINE_LIMIT = 300  # lines that are folded; the cost grows with its square
LANE_LIMIT = 16  # lanes between two common lines
LANE_LINES = 60  # lines shown of one lane

_Source = tuple[int, int]  # (0, index) for the launcher of a node, which comes first, (1, rank) for a rank


@dataclass(frozen=True)
class Lane:
    """Consecutive lines that the same ranks wrote.

    Args:
        ranks: the global ranks that wrote them, in order.
        lines: the texts.
        nodes: the completion indexes whose launcher wrote them, when no rank did.
        skipped: how many earlier lines of this lane are left out.
        whole: whether these are all the ranks that were asked for.
    """

    ranks: tuple[int, ...]
    lines: tuple[str, ...]
    nodes: tuple[int, ...] = ()
    skipped: int = 0
    whole: bool = False

    @property
    def label(self) -> str:
        """Who wrote them, for example ``ranks 0-3``."""
        parts = [named(word, which) for word, which in (("rank", self.ranks), ("node", self.nodes)) if which]
        return ", ".join(parts)


@dataclass
class _Entry:
    text: str
    time: datetime | None
    sources: frozenset[_Source]


def fold(
    lines: Sequence[LogLine],
    ranks: Iterable[int],
    *,
    line_limit: int = LINE_LIMIT,
    lane_limit: int = LANE_LIMIT,
    lane_lines: int = LANE_LINES,
) -> tuple[Lane, ...]:
    """Fold log lines into lanes that keep every rank's own order.

    Lines that several ranks wrote at the same place of their logs appear once. Between two such lines, each rank (or
    group of ranks that agree) has a lane of its own. Only the newest attempt of each node is shown.

    Args:
        lines: the lines, each rank's in the order in which it wrote them; the ranks may be interleaved in any way.
        ranks: the global ranks to show; lines of other ranks are left out.
        line_limit: how many of the last lines are folded.
        lane_limit: how many lanes are shown between two common lines; the rest become one lane without lines.
        lane_lines: how many lines of a lane are shown.

    Returns:
        The lanes, top to bottom.

    Example:
        >>> lanes = fold([LogLine(None, 0, 0, "a", 0, "hello"), LogLine(None, 1, 1, "b", 0, "hello")], range(2))
        >>> [(lane.label, lane.lines) for lane in lanes]
        [('ranks 0-1', ('hello',))]
    """
    wanted = frozenset(ranks)
    sequences = _sequences(lines, wanted, line_limit)
    groups: dict[tuple[str, ...], list[_Source]] = {}
    for source, own in sequences.items():
        groups.setdefault(tuple(line.text for line in own), []).append(source)
    merged: list[_Entry] = []
    for texts, sources in groups.items():
        own = sequences[sources[0]]
        entries = [_Entry(text, line.time, frozenset(sources)) for text, line in zip(texts, own, strict=True)]
        merged = _merge(merged, entries)
    everyone = frozenset(sequences)
    return tuple(_lanes(merged, everyone, wanted, lane_limit, lane_lines))


def _sequences(lines: Sequence[LogLine], wanted: frozenset[int], limit: int) -> dict[_Source, list[LogLine]]:
    chosen = [line for line in lines if line.rank is None or line.rank in wanted]
    newest: dict[int, int] = {}
    for line in chosen:
        newest[line.index] = max(newest.get(line.index, 0), line.attempt)
    chosen = [line for line in chosen if line.attempt == newest[line.index]][-limit:] if limit else []
    found: dict[_Source, list[LogLine]] = {}
    for line in chosen:
        source = (0, line.index) if line.rank is None else (1, line.rank)
        found.setdefault(source, []).append(line)
    return dict(sorted(found.items()))


def _merge(base: list[_Entry], new: list[_Entry]) -> list[_Entry]:
    """Merge two transcripts along their longest common subsequence of texts."""
    result: list[_Entry] = []
    i = j = 0
    for at, other in [*_common([e.text for e in base], [e.text for e in new]), (len(base), len(new))]:
        result += _by_time(base[i:at], new[j:other])
        if at < len(base):
            old = base[at]
            result.append(_Entry(old.text, old.time or new[other].time, old.sources | new[other].sources))
        i, j = at + 1, other + 1
    return result


def _by_time(left: list[_Entry], right: list[_Entry]) -> list[_Entry]:
    if not left or not right or any(entry.time is None for entry in (*left, *right)):
        return left + right
    result: list[_Entry] = []
    i = j = 0
    while i < len(left) and j < len(right):
        first, second = left[i].time, right[j].time
        if first is not None and second is not None and second < first:
            result.append(right[j])
            j += 1
        else:
            result.append(left[i])
            i += 1
    return result + left[i:] + right[j:]


def _common(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """Give the index pairs of a longest common subsequence; exact, so that folding is never worse than it could be."""
    start = 0
    while start < len(a) and start < len(b) and a[start] == b[start]:
        start += 1
    end = 0
    while end < len(a) - start and end < len(b) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    head = [(k, k) for k in range(start)]
    tail = [(len(a) - k, len(b) - k) for k in range(end, 0, -1)]
    left, right = a[start : len(a) - end], b[start : len(b) - end]
    if not set(left) & set(right):
        return head + tail
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        row, below, text = table[i], table[i + 1], left[i]
        for j in range(len(right) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if text == right[j] else max(below[j], row[j + 1])
    pairs = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            pairs.append((start + i, start + j))
            i, j = i + 1, j + 1
        elif table[i + 1][j] >= table[i][j + 1]:
            i += 1
        else:
            j += 1
    return head + pairs + tail


def _lanes(
    merged: list[_Entry], everyone: frozenset[_Source], wanted: frozenset[int], lane_limit: int, lane_lines: int
) -> Iterable[Lane]:
    at = 0
    while at < len(merged):
        end = at
        if merged[at].sources == everyone:
            while end < len(merged) and merged[end].sources == everyone:
                end += 1
            yield _lane(everyone, merged[at:end], wanted, lane_lines)
        else:
            while end < len(merged) and merged[end].sources != everyone:
                end += 1
            yield from _gap(merged[at:end], wanted, lane_limit, lane_lines)
        at = end


def _gap(entries: list[_Entry], wanted: frozenset[int], lane_limit: int, lane_lines: int) -> Iterable[Lane]:
    """Give the lanes between two lines of everyone: entries of the same ranks move together, no rank's order breaks."""
    blocks: list[tuple[frozenset[_Source], list[_Entry]]] = []
    for entry in entries:
        for sources, own in reversed(blocks):
            if sources == entry.sources:
                own.append(entry)
                break
            if sources & entry.sources:
                blocks.append((entry.sources, [entry]))
                break
        else:
            blocks.append((entry.sources, [entry]))
    blocks = _ordered(blocks)
    for sources, own in blocks[:lane_limit]:
        yield _lane(sources, own, wanted, lane_lines)
    rest = blocks[lane_limit:]
    if rest:
        sources = frozenset().union(*(block[0] for block in rest))
        yield _lane(sources, [entry for block in rest for entry in block[1]], wanted, 0)


def _ordered(
    blocks: list[tuple[frozenset[_Source], list[_Entry]]],
) -> list[tuple[frozenset[_Source], list[_Entry]]]:
    """Bring neighbours that share no rank into the order of their ranks, so that lanes do not jump about."""
    result: list[tuple[frozenset[_Source], list[_Entry]]] = []
    for block in blocks:
        at = len(result)
        while at and not (result[at - 1][0] & block[0]) and min(block[0]) < min(result[at - 1][0]):
            at -= 1
        result.insert(at, block)
    return result


def _lane(sources: frozenset[_Source], entries: list[_Entry], wanted: frozenset[int], limit: int) -> Lane:
    shown = entries[max(0, len(entries) - limit) :]
    ranks = tuple(sorted(number for kind, number in sources if kind == 1))
    return Lane(
        ranks=ranks,
        lines=tuple(entry.text for entry in shown),
        nodes=tuple(sorted(number for kind, number in sources if kind == 0)),
        skipped=len(entries) - len(shown),
        whole=bool(ranks) and frozenset(ranks) == wanted,
    )
