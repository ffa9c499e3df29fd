"""Folding logs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.insight.lanes import Lane, fold
from gke_notebook.objects import LogLine

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)


def line(
    rank: int | None, text: str, *, index: int | None = None, second: float | None = None, attempt: int = 0
) -> LogLine:
    time = None if second is None else NOW + timedelta(seconds=second)
    return LogLine(time, index if index is not None else rank or 0, rank, f"pod-{rank}", attempt, text)


def shown(lanes: tuple[Lane, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(lane.label, lane.lines) for lane in lanes]


def test_lines_of_every_rank_are_shown_once_and_differences_in_lanes() -> None:
    lines = [line(rank, text) for text in ("start", "step 1") for rank in range(4)]
    lines += [line(rank, "odd" if rank % 2 else "even") for rank in range(4)]
    lines += [line(rank, "end") for rank in range(4)]
    lanes = fold(lines, range(4))
    assert shown(lanes) == [
        ("ranks 0-3", ("start", "step 1")),
        ("ranks 0, 2", ("even",)),
        ("ranks 1, 3", ("odd",)),
        ("ranks 0-3", ("end",)),
    ]
    assert [lane.whole for lane in lanes] == [True, False, False, True]


def test_a_rank_that_lags_is_told_apart_until_it_has_caught_up() -> None:
    lines = [line(0, "a"), line(1, "a"), line(0, "b")]
    assert shown(fold(lines, range(2))) == [("ranks 0-1", ("a",)), ("rank 0", ("b",))]
    assert shown(fold([*lines, line(1, "b")], range(2))) == [("ranks 0-1", ("a", "b"))]


def test_repeated_lines_are_counted_not_lost() -> None:
    lines = [line(0, "x"), line(0, "x"), line(1, "x")]
    assert shown(fold(lines, range(2))) == [("ranks 0-1", ("x",)), ("rank 0", ("x",))]


def test_the_launchers_own_lines_are_those_of_the_node() -> None:
    lines = [line(None, "installing", index=0), line(None, "installing", index=1), line(0, "hi", index=0)]
    assert shown(fold(lines, range(2))) == [("nodes 0-1", ("installing",)), ("rank 0", ("hi",))]


def test_only_the_newest_attempt_is_shown() -> None:
    lines = [line(0, "first"), line(0, "second", attempt=1), line(1, "first")]
    assert shown(fold(lines, range(2))) == [("rank 0", ("second",)), ("rank 1", ("first",))]


def test_one_rank_can_be_chosen() -> None:
    assert shown(fold([line(0, "a"), line(1, "b")], [1])) == [("rank 1", ("b",))]


def test_it_is_bounded() -> None:
    lines = [line(rank, f"{rank} says {number}") for number in range(3) for rank in range(100)]
    lanes = fold(lines, range(100), lane_limit=4, lane_lines=2)
    assert [lane.label for lane in lanes] == ["rank 0", "rank 1", "rank 2", "rank 3", "ranks 4-99"]
    assert lanes[0] == Lane((0,), ("0 says 1", "0 says 2"), skipped=1)
    assert (lanes[-1].lines, lanes[-1].skipped) == ((), 96 * 3)
    assert sum(len(lane.lines) for lane in fold(lines, range(100), line_limit=50)) <= 50


logs = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc"), st.none() | st.integers(0, 9)), max_size=40)


@given(logs)
@settings(max_examples=300, deadline=None)
def test_every_ranks_log_can_be_read_back(entries: list[tuple[int, str, int | None]]) -> None:
    lines = [line(rank, text, second=second) for rank, text, second in entries]
    lanes = fold(lines, range(5), lane_limit=1000, lane_lines=1000)
    for rank in range(5):
        own = [text for who, text, _ in entries if who == rank]
        assert [text for lane in lanes if rank in lane.ranks for text in lane.lines] == own
    assert all(lane.lines and lane.ranks and not lane.skipped for lane in lanes)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=30), st.integers(1, 6), st.randoms())
def test_equal_logs_become_one_lane_however_they_are_interleaved(texts: list[str], ranks: int, random: object) -> None:
    queues = {rank: list(texts) for rank in range(ranks)}
    lines = []
    while any(queues.values()):
        rank = random.choice([rank for rank, left in queues.items() if left])  # type: ignore[attr-defined]
        lines.append(line(rank, queues[rank].pop(0)))
    assert fold(lines, range(ranks), lane_lines=1000, line_limit=1000) == (
        Lane(tuple(range(ranks)), tuple(texts), whole=True),
    )


@given(logs, st.integers(0, 5), st.integers(0, 3), st.integers(1, 20))
def test_nothing_is_lost_silently(
    entries: list[tuple[int, str, int | None]], lane_limit: int, lane_lines: int, line_limit: int
) -> None:
    lines = [line(rank, text) for rank, text, _ in entries]
    lanes = fold(lines, range(5), lane_limit=lane_limit, lane_lines=lane_lines, line_limit=line_limit)
    kept = lines[-line_limit:]
    # Every line of the tail is in a lane of its rank, shown or counted.
    for rank in range(5):
        mine = sum(1 for one in kept if one.rank == rank)
        assert sum(len(lane.lines) + lane.skipped for lane in lanes if rank in lane.ranks) >= mine
