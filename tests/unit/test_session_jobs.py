"""The pure parts of a job: its manifests without what the server added, its log's end, its result."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from gke_notebook.errors import GkeNotebookError, NotConnected
from gke_notebook.insight.state import JobState, NodeState
from gke_notebook.launch.records import Outcome, encode_outcome, make_payload
from gke_notebook.launch.results import encode_result
from gke_notebook.objects import LogLine
from gke_notebook.session import current, returned
from gke_notebook.session.job import as_written
from gke_notebook.session.logbook import last_of_each
from gke_notebook.session.plan import new_run

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)


def line(rank: int, number: int) -> LogLine:
    return LogLine(NOW + timedelta(seconds=number), rank // 2, rank, f"p{rank // 2}", 0, f"{rank}:{number}")


def test_the_last_lines_of_each_rank_in_their_order() -> None:
    lines = [line(rank, number) for number in range(5) for rank in range(3)]
    kept = last_of_each(lines, 2)
    assert [found.text for found in kept] == ["0:3", "1:3", "2:3", "0:4", "1:4", "2:4"]
    assert last_of_each(lines, 0) == []
    assert last_of_each(lines, 99) == lines


def test_what_the_server_added_is_taken_away() -> None:
    live = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "digits", "namespace": "research", "labels": {"a": "b"}, "uid": "u", "resourceVersion": "7",
            "generation": 1, "creationTimestamp": "2026-11-24T00:00:00Z", "managedFields": [],
        },
        "spec": {
            "completions": 2,
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {
                "metadata": {"labels": {"a": "b", "controller-uid": "u", "job-name": "digits"}},
                "spec": {"restartPolicy": "Never"},
            },
        },
        "status": {"active": 2},
    }  # fmt: skip
    assert as_written(live) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "digits", "namespace": "research", "labels": {"a": "b"}},
        "spec": {
            "completions": 2,
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never"}},
        },
    }
    assert "status" in live  # the object itself is left as it was


def ended(outcome: Outcome | None, owner: str = "ada") -> JobState:
    text = "" if outcome is None else encode_outcome(outcome)
    return JobState("digits", "research", owner=owner, phase="succeeded", nodes=(NodeState(0, termination=text),))


class Unplain:
    """Not a thing of JSON."""


def test_a_small_result_comes_from_the_termination_message() -> None:
    state = ended(Outcome(exit_code=0, result=make_payload(*encode_result({"accuracy": 0.97}))))
    found = returned.collector(state)
    assert not found.needs_log
    assert returned.read_result(found, state) == {"accuracy": 0.97}
    assert returned.read_output(found, state, Path("nowhere")) == {}
    assert not Path("nowhere").exists()


def test_no_outcome_is_said() -> None:
    with pytest.raises(GkeNotebookError, match="nothing came back"):
        returned.collector(ended(None))
    with pytest.raises(GkeNotebookError, match="nothing came back"):
        returned.collector(JobState("digits", "research", phase="succeeded"))


def test_only_our_own_pickles_are_read() -> None:
    kind, data = encode_result(1 + 2j)
    assert kind == "pickle"
    state = ended(Outcome(exit_code=0, result=make_payload(kind, data)), owner="mallory")
    with pytest.raises(GkeNotebookError, match="mallory"):
        returned.check_readable(state, "ada")
    returned.check_readable(state, "mallory")
    plain = ended(Outcome(exit_code=0, result=make_payload(*encode_result([1]))), owner="mallory")
    returned.check_readable(plain, "ada")


def test_runs_are_label_values_and_differ() -> None:
    runs = {new_run() for _ in range(50)}
    assert len(runs) == 50
    assert all(len(run) < 64 and run.replace("-", "").isalnum() for run in runs)


def test_without_a_session_it_says_how_to_get_one() -> None:
    import gke_notebook

    assert current._current is None
    with pytest.raises(NotConnected, match="%gke_connect"):
        gke_notebook.session()
