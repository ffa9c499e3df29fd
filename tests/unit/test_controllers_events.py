"""What becomes of events before they are written."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from gke_notebook.sandbox.controllers.events import Correlator, Write
from gke_notebook.sandbox.controllers.meta import Event

START = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=timezone.utc)
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "name": "digits",
    "namespace": "research",
    "uid": "u",
    "resourceVersion": "7",
}


def observe(
    correlator: Correlator, event: Event, seconds: float = 0.0, component: str = "job-controller"
) -> Write | None:
    return correlator.observe(component, JOB, event, START + timedelta(seconds=seconds))


def created(number: int) -> Event:
    return Event("Normal", "SuccessfulCreate", f"Created pod: digits-{number}")


def test_an_event_of_a_controller() -> None:
    write = observe(Correlator(), created(0))
    assert write is not None
    assert write.create
    name = write.body["metadata"].pop("name")
    assert name.startswith("digits.")
    assert write.body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "research"},
        "involvedObject": JOB,
        "type": "Normal",
        "reason": "SuccessfulCreate",
        "message": "Created pod: digits-0",
        "source": {"component": "job-controller"},
        "reportingComponent": "job-controller",
        "reportingInstance": "",
        "firstTimestamp": "2026-11-24T12:00:00Z",
        "lastTimestamp": "2026-11-24T12:00:00Z",
        "count": 1,
    }


def test_an_equal_event_raises_the_count() -> None:
    correlator = Correlator()
    event = Event("Warning", "FailedCreate", "Error creating: no")
    first, second, third = (observe(correlator, event, seconds) for seconds in (0, 1, 2))
    assert first is not None
    assert second is not None
    assert third is not None
    assert not second.create
    assert second.name == first.body["metadata"]["name"]
    assert third.body == {"count": 3, "lastTimestamp": "2026-11-24T12:00:02Z", "message": "Error creating: no"}


def test_many_similar_events_are_combined_and_leave_room_for_the_last_word() -> None:
    correlator = Correlator()
    writes = [observe(correlator, created(number)) for number in range(1000)]
    made = [write for write in writes if write is not None and write.create]
    assert len(made) == 10
    assert made[8].body["message"] == "Created pod: digits-8"
    assert made[9].body["message"] == "(combined from similar events): Created pod: digits-9"
    last = writes[-1]
    assert last is not None
    assert (last.name, last.body["count"]) == (made[9].name, 991)
    completed = observe(correlator, Event("Normal", "Completed", "Job completed"))
    assert completed is not None
    assert completed.create


def test_similar_events_long_apart_are_not_combined() -> None:
    correlator = Correlator()
    writes = [observe(correlator, created(number), number * 700) for number in range(12)]
    assert all(write is not None and write.create and "combined" not in write.body["message"] for write in writes)


def test_one_object_gets_25_new_events_at_once_and_one_more_every_five_minutes() -> None:
    correlator = Correlator()
    reasons = [Event("Warning", f"Reason{number}", "text") for number in range(30)]
    assert sum(observe(correlator, event) is not None for event in reasons) == 25
    later = Event("Warning", "Later", "text")
    assert observe(correlator, later, 299) is None
    assert observe(correlator, later, 301) is not None


def test_names_differ_even_at_the_same_moment() -> None:
    correlator = Correlator()
    names = {write.name for number in range(9) if (write := observe(correlator, created(number))) is not None}
    assert len(names) == 9


def test_an_event_of_the_scheduler_becomes_a_series() -> None:
    correlator = Correlator()
    event = Event("Warning", "FailedScheduling", "x" * 2000, "Scheduling")
    first, second, third = (observe(correlator, event, seconds, "default-scheduler") for seconds in (0, 1, 2))
    assert first is not None
    assert first.body["eventTime"] == "2026-11-24T12:00:00.123456Z"
    assert first.body["action"] == "Scheduling"
    assert first.body["reportingComponent"] == "default-scheduler"
    assert first.body["reportingInstance"].startswith("default-scheduler-")
    assert first.body["firstTimestamp"] is None
    assert "count" not in first.body
    assert first.body["message"] == "x" * 1020 + " ..."
    assert second is not None
    assert second.name == first.name
    assert second.body == {"series": {"count": 2, "lastObservedTime": "2026-11-24T12:00:01.123456Z"}}
    assert third is None
