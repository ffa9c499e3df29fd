"""Likely waits from scale-ups that were seen, and what ways to have machines risk."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from gke_notebook.insight.waits import delays, likely_wait, risk
from gke_notebook.insight.world import Fit, Growth
from gke_notebook.objects import Condition, Event, Metadata, ObjectReference, Pod, PodSpec, PodStatus

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
GROUP = "https://www.googleapis.com/compute/v1/projects/p/zones/z/instanceGroups/gke-c-l4-spot-pool-1a2b-grp"


def pod(name: str, scheduled: int | None) -> Pod:
    conditions = () if scheduled is None else (
        Condition("PodScheduled", "True", last_transition_time=NOW + timedelta(seconds=scheduled)),
    )  # fmt: skip
    return Pod(Metadata(name=name, uid=f"uid-{name}"), PodSpec("node"), PodStatus(conditions=conditions))


def grew(name: str, second: int, message: str = f"pod triggered scale-up: [{{{GROUP} 0->1 (max: 4)}}]") -> Event:
    return Event(
        involved_object=ObjectReference("Pod", name, uid=f"uid-{name}"), reason="TriggeredScaleUp", message=message,
        first_timestamp=NOW + timedelta(seconds=second),
    )  # fmt: skip


def test_delays() -> None:
    pods = [pod("a", 90), pod("b", 70), pod("waits", None), pod("free", 5), pod("odd", 9)]
    events = [grew("a", 0), grew("b", 20), grew("b", 30), grew("waits", 0), grew("odd", 0, "something else")]
    assert delays(pods, events) == {"gke-c-l4-spot-pool-1a2b-grp": [90.0, 50.0]}


GROWTH = (Growth("l4-spot-pool", 0, 1),)


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        (None, ("unknown", None)),
        (Fit("unknown", ""), ("unknown", None)),
        (Fit("fits", ""), ("starts at once", 0.0)),
        (Fit("cannot fit", ""), ("does not start as things are", None)),
        (Fit("fits after scale-up", "", growth=GROWTH), ("about 1 min 10 s, as 2 pods here", 70.0)),
        (Fit("fits after scale-up", "", growth=(Growth("spot", 0, 1),)),
         ("unknown: no growth of spot was seen here", None)),
    ],
)  # fmt: skip
def test_likely_wait(fit: Fit | None, expected: tuple[str, float | None]) -> None:
    seen = {"gke-c-l4-spot-pool-1a2b-grp": [90.0, 50.0], "gke-c-other-1a2b-grp": [5.0]}
    assert likely_wait(fit, seen, "spot") == expected


def test_risk() -> None:
    assert "ends the job" in risk("spot", retries=0, seconds=60)
    assert "starts again" in risk("spot", retries=1, seconds=60)
    assert risk("flex-start", retries=0, seconds=60) == "runs 7 days at most"
    assert "longer" in risk("flex-start", retries=0, seconds=None)
    assert "idle" in risk("reservation", retries=0, seconds=60)
