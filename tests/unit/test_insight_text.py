"""Numbers in words."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.insight import failures, lanes, reasons, text


@pytest.mark.parametrize("module", [text, reasons, failures, lanes])
def test_the_examples_of_the_documentation(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min 59 s"), (3600, "1 h"), (90000, "1 d 1 h")],
)
def test_durations(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


@pytest.mark.parametrize(
    ("code", "number", "said"),
    [
        (0, 0, "exit code 0"),
        (1, 0, "exit code 1"),
        (143, 0, "killed by signal 15 (SIGTERM)"),
        (-11, 0, "killed by signal 11 (SIGSEGV)"),
        (1, 9, "killed by signal 9 (SIGKILL)"),
        (255, 0, "exit code 255"),
        (126, 0, "exit code 126 (the command cannot be executed)"),
    ],
)
def test_exit_codes(code: int, number: int, said: str) -> None:
    assert text.exit_text(code, number) == said


@given(st.sets(st.integers(0, 300)))
def test_ranges_name_exactly_the_numbers(numbers: set[int]) -> None:
    found: set[int] = set()
    for part in filter(None, text.ranges(numbers).split(", ")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_bounded_line(words: str, limit: int) -> None:
    said = text.one_line(words, limit)
    assert "\n" not in said
    assert len(said) <= limit
