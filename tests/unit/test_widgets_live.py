"""The live card: painted when something has changed, and its last state stays."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from gke_notebook.errors import ClusterUnreachable, GkeNotebookError, StillRunning
from gke_notebook.insight.state import JobState
from gke_notebook.objects import LogLine
from gke_notebook.widgets.canvas import TerminalCanvas, new_lines
from gke_notebook.widgets.controls import VIEW_MIME, Controls
from gke_notebook.widgets.live import JobCard
from gke_notebook.widgets.view import View
from tests.support.fake_session import FakeJob, Step, job_state, line


class Paper:
    """A canvas that keeps every view."""

    def __init__(self) -> None:
        self.views: list[View] = []

    def paint(self, view: View, state: JobState, tail: Any, *, final: bool) -> None:
        self.views.append(view)


def steps(*more: Step) -> list[Step]:
    return [Step(job_state(phase="queued")), Step(job_state(), [line(0, "hello"), line(1, "hello")]), *more]


def test_it_follows_to_the_end_and_shows_the_result(tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(b"12345")
    job = FakeJob(steps(Step(job_state(phase="succeeded"))), result=42, output={"model.npz": tmp_path / "model.npz"})
    paper = Paper()
    assert JobCard(job, paper, variable="digits").follow().phase == "succeeded"
    last = paper.views[-1].text
    assert "ranks 0-1 | hello" in last
    assert "digits.result: 42" in last
    assert "digits.output: model.npz (5 B)" in last
    assert job._callbacks == []


def test_nothing_is_painted_when_nothing_has_changed() -> None:
    paper = Paper()
    card = JobCard(FakeJob(steps()), paper)
    card.paint()
    card.paint()
    assert len(paper.views) == 1


def test_it_stops_at_its_timeout_and_lets_the_job_go_on() -> None:
    job = FakeJob(steps())
    state = JobCard(job, Paper()).follow(timeout=0.05)
    assert not state.ended
    assert job._callbacks == []


def test_a_result_that_cannot_be_had_is_said_and_does_no_harm() -> None:
    class Refusing(FakeJob):
        @property
        def result(self) -> Any:
            raise GkeNotebookError("the result is too large: 2 MiB")

        @result.setter
        def result(self, value: Any) -> None:
            pass

    paper = Paper()
    JobCard(Refusing(steps(Step(job_state(phase="succeeded")))), paper).follow()
    assert "not returned: result: the result is too large: 2 MiB" in paper.views[-1].text


def test_a_failed_job_shows_its_failure_and_raises_nothing_itself() -> None:
    paper = Paper()
    assert JobCard(FakeJob(steps(Step(job_state(phase="failed")))), paper).follow().phase == "failed"
    assert "ValueError: loss is not finite" in paper.views[-1].text


def test_a_log_can_be_narrowed_to_one_rank() -> None:
    paper = Paper()
    job = FakeJob([Step(job_state(), [line(0, "zero"), line(1, "one")])])
    card = JobCard(job, paper)
    card.paint()
    card.select(1)
    card.paint()
    assert "rank 0 | zero" in paper.views[0].text
    assert "zero" not in paper.views[1].text
    assert "rank 1 | one" in paper.views[1].text


def test_in_the_background_a_lost_cluster_is_said_on_the_card() -> None:
    class Lost(FakeJob):
        def subscribe(self, callback: Any) -> Any:
            raise ClusterUnreachable("the cluster does not answer")

    paper = Paper()
    JobCard(Lost(steps()), paper).follow_in_background().join()
    assert "this card is no longer updated: the cluster does not answer" in paper.views[-1].text


def test_the_hint_goes_when_the_job_has_ended() -> None:
    paper = Paper()
    job = FakeJob(steps(Step(job_state(phase="succeeded"))))
    job.hold()
    card = JobCard(job, paper)
    card.hint = "interrupted"
    card.paint()
    assert "interrupted" in paper.views[-1].text
    job.release()
    card.follow()
    assert "interrupted" not in paper.views[-1].text


def test_a_terminal_gets_what_is_new_and_the_card_at_the_end() -> None:
    written: list[str] = []
    job = FakeJob(
        [
            Step(job_state(phase="queued", sentence="waits")),
            Step(job_state(sentence="runs"), [line(0, "\x1b[2Ja")]),
            Step(job_state(phase="succeeded"), [line(0, "b")]),
        ]
    )
    card = JobCard(job, TerminalCanvas(written.append))
    for _ in range(3):
        card.paint()
        card.paint()
        job._at = min(job._at + 1, 2)
    card.paint(final=True)
    assert written[:4] == ["digits: waits", "rank 0 | a", "digits: runs", "rank 0 | b"]
    assert written[4].startswith("JOB digits")
    assert len(written) == 5


@pytest.mark.parametrize(
    ("seen", "tail", "new"),
    [
        ("", "ab", "ab"),
        ("ab", "ab", ""),
        ("ab", "abc", "c"),
        ("abc", "cd", "d"),
        ("abc", "xy", "xy"),
        ("aa", "aaa", "a"),
    ],
)
def test_new_lines_of_a_tail(seen: str, tail: str, new: str) -> None:
    def lines(text: str) -> tuple[LogLine, ...]:
        return tuple(line(0, one) for one in text)

    assert [one.text for one in new_lines(lines(seen), lines(tail))] == list(new)


class Shown:
    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundles = [bundle]

    def update(self, bundle: dict[str, Any], raw: bool) -> None:
        assert raw
        self.bundles.append(bundle)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Shown]:
    found: list[Shown] = []

    def show(bundle: dict[str, Any]) -> Shown:
        found.append(Shown(bundle))
        return found[-1]

    monkeypatch.setattr("gke_notebook.widgets.controls.show_bundle", show)
    return found


def test_the_controls_go_with_the_job_and_leave_nothing(shown: list[Shown]) -> None:
    job = FakeJob(steps(Step(job_state(phase="succeeded"))))
    card = JobCard(job, Paper())
    Controls(card, 2).show()
    assert shown[0].bundles[0]["text/plain"] == ""
    assert VIEW_MIME in shown[0].bundles[0]
    card.follow()
    assert shown[0].bundles[-1] == {"text/plain": ""}


def test_the_cancel_button_cancels_and_the_selector_selects(shown: list[Shown]) -> None:
    job = FakeJob([Step(job_state(), [line(0, "zero"), line(1, "one")])])
    paper = Paper()
    card = JobCard(job, paper)
    controls = Controls(card, 2)
    controls._rank.value = 1
    card.paint()
    assert "zero" not in paper.views[-1].text
    controls._rank.value = -1
    card.paint()
    assert "zero" in paper.views[-1].text
    before = set(threading.enumerate())
    controls._cancel.click()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert job.cancelled
    assert card.follow().phase == "cancelled"


def test_a_cancel_that_fails_is_said_and_can_be_tried_again(shown: list[Shown]) -> None:
    class Stubborn(FakeJob):
        def cancel(self) -> None:
            raise StillRunning("no right to patch jobs")

    paper = Paper()
    card = JobCard(Stubborn([Step(job_state())]), paper)
    controls = Controls(card, 1)
    controls._stop()
    card.paint()
    assert "could not be cancelled: no right to patch jobs" in paper.views[-1].text
    assert not controls._cancel.disabled
