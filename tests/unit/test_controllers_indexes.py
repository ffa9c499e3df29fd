"""Compressed sets of indexes and the rules built on them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.controllers.indexes import Indexes
from gke_notebook.sandbox.controllers.job_policy import Backoff, remaining_backoff, success_message

START = datetime(2026, 11, 24, tzinfo=timezone.utc)
some = st.sets(st.integers(0, 60))


@pytest.mark.parametrize(
    ("indexes", "text"),
    [([], ""), ([5], "5"), ([1, 2], "1,2"), ([0, 1, 2, 3, 7], "0-3,7"), ([9, 1, 3, 4, 5], "1,3-5,9")],
)
def test_the_text_is_that_of_kubernetes(indexes: list[int], text: str) -> None:
    assert str(Indexes.of(indexes)) == text


def test_what_cannot_be_read_or_is_too_large_is_left_out() -> None:
    assert list(Indexes.parse("1,x,3-9,20,-4,8-6", 8)) == [1, 3, 4, 5, 6, 7]
    assert list(Indexes.parse(None, 8)) == []


@given(some)
def test_text_and_set_are_the_same(indexes: set[int]) -> None:
    made = Indexes.of(indexes)
    assert list(made) == sorted(indexes)
    assert Indexes.parse(str(made), 61) == made
    assert len(made) == len(indexes)
    assert {index for index in range(-1, 62) if index in made} == indexes
    assert all(low[1] + 1 < high[0] for low, high in zip(made.intervals, made.intervals[1:], strict=False))


@given(some, some)
def test_union_and_overlap_are_those_of_sets(first: set[int], second: set[int]) -> None:
    assert list(Indexes.of(first) | Indexes.of(second)) == sorted(first | second)
    assert Indexes.of(first).overlap(Indexes.of(second)) == len(first & second)


@given(some, st.integers(0, 70), st.integers(0, 70))
def test_missing_gives_the_first_free_ones(indexes: set[int], count: int, completions: int) -> None:
    free = [index for index in range(completions) if index not in indexes]
    assert Indexes.of(indexes).missing(count, completions) == free[:count]


@given(st.text(alphabet="0123456789,- x", max_size=20))
def test_any_text_can_be_read(text: str) -> None:
    assert all(0 <= index < 50 for index in Indexes.parse(text, 50))


@pytest.mark.parametrize(
    ("failures", "passed", "left"),
    [(0, 0, 0), (1, 0, 10), (1, 4, 6), (1, 11, 0), (2, 0, 20), (6, 0, 320), (7, 0, 600), (50, 0, 600)],
)
def test_the_back_off_doubles_up_to_ten_minutes(failures: int, passed: int, left: int) -> None:
    assert remaining_backoff(failures, START, START + timedelta(seconds=passed)) == left


def ended(second: int) -> dict[str, object]:
    time = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"containerStatuses": [{"name": "main", "state": {"terminated": {"finishedAt": time}}}]},
    }


def test_a_success_ends_the_back_off_of_failures_before_it() -> None:
    assert Backoff(4, START).after([ended(5)], []) == Backoff()
    assert Backoff(4, START).after([ended(5)], [ended(1), ended(9), ended(7)]) == Backoff(
        2, START + timedelta(seconds=9)
    )
    assert Backoff(1, START).after([], [ended(3), ended(1)]) == Backoff(3, START + timedelta(seconds=3))
    assert Backoff(1, START).after([], []) == Backoff(1, START)


@pytest.mark.parametrize(
    ("rule", "succeeded", "message"),
    [
        ({"succeededIndexes": "0-2"}, [0, 1], ""),
        ({"succeededIndexes": "0-2"}, [0, 1, 2, 5], "Matched rules at index 0"),
        ({"succeededIndexes": "0-2", "succeededCount": 2}, [0, 2], "Matched rules at index 0"),
        ({"succeededIndexes": "0-2", "succeededCount": 2}, [0, 5], ""),
        ({"succeededCount": 2}, [5, 6], "Matched rules at index 0"),
        ({"succeededIndexes": ""}, [0], ""),
    ],
)
def test_success_rules(rule: dict[str, object], succeeded: list[int], message: str) -> None:
    assert success_message({"rules": [rule]}, 8, Indexes.of(succeeded)) == message
