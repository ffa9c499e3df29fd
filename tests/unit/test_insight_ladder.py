"""The ladder of ways to have machines: reading it, what comes next, and how a Job is changed for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook import names
from gke_notebook.errors import InvalidInput
from gke_notebook.insight.ladder import change, lines, observed, step
from gke_notebook.insight.rungs import Ladder, Rung, decode, encode, moved
from gke_notebook.insight.state import JobState, NodeState
from gke_notebook.objects import Event, Metadata, ObjectReference, Pod, PodSpec, PodStatus
from gke_notebook.request.fallback import parse_fallback

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
RUNGS = (
    Rung("spot:l4", 60, "spot", "l4", selector={"a": "spot"}, tolerations=({"key": "spot"},), usd_hour=0.4),
    Rung("l4", 120, selector={"a": "l4"}, usd_hour=0.7),
    Rung("t4", 300, selector={"a": "t4"}, affinity={"x": 1}),
)


def ladder(at: int = 0, **more: Any) -> Ladder:
    return Ladder(RUNGS, at, **{"since": NOW, **more})


def state(*phases: str, **more: Any) -> JobState:
    nodes = tuple(
        NodeState(index, phase=phase, node="" if phase == "waiting" else "n")  # type: ignore[arg-type]
        for index, phase in enumerate(phases)
    )
    return JobState("digits", "default", **{"nodes": nodes, "created": NOW, "ladder": ladder(), **more})


@pytest.mark.parametrize(
    ("job", "seconds", "kind", "why"),
    [
        (state("waiting"), 10, "stay", ""),
        (state("waiting"), 60, "move", "no machines in 1 min"),
        (state("waiting", ladder=ladder(trouble="GCE out of resources")), 1, "move", "GCE out of resources"),
        (state("waiting", ladder=ladder(2, trouble="GCE out of resources")), 1000, "stay", ""),
        (state("scheduled", "running"), 1000, "settle", ""),
        (state("scheduled", "waiting"), 1000, "move", "no machines in 1 min"),
        (state("running", "waiting"), 1000, "stay", ""),
        (state("running", "waiting", framework="torch"), 1000, "move", "no machines in 1 min"),
        (state("waiting", phase="cancelled"), 1000, "stay", ""),
        (state("waiting", ladder=ladder(settled=True)), 1000, "stay", ""),
        (state("waiting", ladder=None), 1000, "stay", ""),
        (state("waiting", ladder=ladder(since=None)), 61, "move", "no machines in 1 min"),
        (state(), 10, "stay", ""),
    ],
)
def test_what_comes_next(job: JobState, seconds: float, kind: str, why: str) -> None:
    found = step(job, NOW + timedelta(seconds=seconds))
    assert (found.kind, found.why) == (kind, why)


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.integers(0, 2)), max_size=30))
def test_a_ladder_only_goes_up_and_ends(steps: list[tuple[int, bool, int]]) -> None:
    """Whatever happens, no rung is tried twice, each failure has its reason, and the last one is never left."""
    found, now = ladder(), NOW
    for seconds, failed, waiting in steps:
        now += timedelta(seconds=seconds)
        nodes = ["waiting"] * waiting + ["scheduled"] * (2 - waiting)
        job = state(*nodes, framework="torch", ladder=replace(found, trouble="no room" if failed else ""))
        done = step(job, now)
        if done.kind == "settle":
            assert waiting == 0
            break
        if done.kind == "move":
            assert waiting
            assert done.why
            found = moved(found, done.why, now)
        else:
            assert found.next is None or (done.again is not None and done.again > 0)
        assert found.at == len(found.tried) < len(RUNGS)
        assert [words for words, _ in found.tried] == [rung.words for rung in RUNGS[: found.at]]
        assert decode(encode(found)) == found


@given(
    st.text(max_size=40) | st.sampled_from(['{"rungs":[]}', '{"rungs":[{}],"at":0}', '{"rungs":[],"at":"x"}', "[1]"])
)
def test_an_annotation_of_anybody_s(text: str) -> None:
    assert decode(text) is None


def pod(name: str, selector: dict[str, str], node: str = "", **meta: Any) -> Pod:
    return Pod(Metadata(name=name, uid=name, **meta), PodSpec(node, selector), PodStatus("Pending"))


def event(about: str, reason: str, message: str, second: int = 0, version: str = "") -> Event:
    return Event(
        metadata=Metadata(resource_version=version),
        involved_object=ObjectReference("Pod", about, uid=about), reason=reason, message=message,
        last_timestamp=NOW + timedelta(seconds=second),
    )  # fmt: skip


STOCKOUT = ("Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources. "
            "Pod is at risk of not being scheduled.")  # fmt: skip


@pytest.mark.parametrize(
    ("pods", "events", "trouble"),
    [
        ([pod("a", {"a": "spot"})], [event("a", "FailedScaleUp", STOCKOUT)], "GCE out of resources in us-central1-a"),
        ([pod("a", {"a": "spot"})],
         [event("a", "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")],
         "1 max node group size reached"),
        ([pod("a", {"a": "spot"})],
         [event("a", "FailedScaleUp", STOCKOUT), event("a", "TriggeredScaleUp", "pod triggered", 5)], ""),
        ([pod("a", {"a": "spot"})],
         [event("a", "FailedScaleUp", STOCKOUT),
          event("a", "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 in backoff after failed scale-up", 5)],
         "GCE out of resources in us-central1-a"),
        # Events have whole seconds; within one, the version says which came later.
        ([pod("a", {"a": "spot"})],
         [event("a", "TriggeredScaleUp", "pod triggered", 0, "9"), event("a", "FailedScaleUp", STOCKOUT, 0, "10")],
         "GCE out of resources in us-central1-a"),
        ([pod("a", {"a": "spot"}), pod("b", {"a": "spot"})],
         [event("a", "TriggeredScaleUp", "pod triggered"), event("b", "NotTriggerScaleUp", "x")], ""),
        # What is told of pods of another rung, of pods that go, or of pods that have a node, says nothing.
        ([pod("a", {"a": "l4"})], [event("a", "FailedScaleUp", STOCKOUT)], ""),
        ([pod("a", {"a": "spot"}, deletion_timestamp=NOW)], [event("a", "FailedScaleUp", STOCKOUT)], ""),
        ([pod("a", {"a": "spot"}, "node")], [event("a", "FailedScaleUp", STOCKOUT)], ""),
        ([pod("a", {"a": "spot"})], [event("a", "FailedScheduling", "0/3 nodes are available")], ""),
    ],
)  # fmt: skip
def test_trouble(pods: list[Pod], events: list[Event], trouble: str) -> None:
    by_name: dict[str, list[Event]] = {}
    for one in events:
        by_name.setdefault(one.involved_object.name, []).append(one)
    found = observed({names.LADDER: encode(ladder())}, pods, by_name)
    assert found is not None
    assert found.trouble == trouble
    settled = observed({names.LADDER: encode(ladder(settled=True))}, pods, by_name)
    assert settled is not None
    assert settled.trouble == ""


def test_how_a_job_is_changed() -> None:
    live = {
        "metadata": {"annotations": {names.PRICE: "0.4000", "kept": "yes"}},
        "spec": {
            "suspend": True,
            "template": {"spec": {
                "nodeSelector": {"a": "spot"}, "tolerations": [{"key": "spot"}],
                "affinity": {"podAffinity": {"y": 2}, "nodeAffinity": {"old": 1}}, "containers": ["same"],
            }},
        },
    }  # fmt: skip
    changed = change(live, ladder(2), NOW)
    assert changed["spec"] == {
        "suspend": False,
        "template": {"spec": {
            "nodeSelector": {"a": "t4"}, "tolerations": [],
            "affinity": {"podAffinity": {"y": 2}, "nodeAffinity": {"x": 1}}, "containers": ["same"],
        }},
    }  # fmt: skip
    assert names.PRICE not in changed["metadata"]["annotations"]  # nobody knows it
    assert changed["metadata"]["annotations"]["kept"] == "yes"
    assert live["spec"]["suspend"] is True  # the given one stays as it is
    moving = moved(ladder(), "stockout", NOW)
    assert moving.moving
    written = decode(change(live, moving, NOW)["metadata"]["annotations"][names.LADDER])
    assert written == replace(moving, moving=False)
    assert change(live, ladder(1), NOW)["metadata"]["annotations"][names.PRICE] == "0.7000"


def test_what_is_said() -> None:
    later = NOW + timedelta(seconds=20)
    assert lines(ladder(), later) == ["spot:l4 (1 of 3): l4 comes next, in 40 s at the latest"]
    second = moved(ladder(), "GCE out of resources", NOW)
    assert lines(second, later) == [
        "spot:l4: GCE out of resources", "l4 (2 of 3): t4 comes next, in 1 min 40 s at the latest",
    ]  # fmt: skip
    assert lines(replace(second, settled=True), later)[1] == "l4 (2 of 3): it has its machines"
    assert "waits as long" in lines(ladder(2), later)[0]


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("spot:l4@5m, l4, t4", {}, [("spot", "l4", 300), ("on-demand", "l4", 300), ("on-demand", "t4", 300)]),
        ("reservation, spot:l4, flex:l4, l4", {"reservation": "mine"},
         [("reservation", "l4", 120), ("spot", "l4", 300), ("flex-start", "l4", 900), ("on-demand", "l4", 300)]),
        ("spot, on-demand@90s", {"gpu": "l4:2"}, [("spot", "l4", 300), ("on-demand", "l4", 90)]),
        ("Spot:L4 , nvidia-l4", {}, [("spot", "l4", 300), ("on-demand", "l4", 300)]),
    ],
)  # fmt: skip
def test_reading_a_ladder(text: str, more: dict[str, str], expected: list[tuple[str, str, int]]) -> None:
    rungs, count = parse_fallback(text, **more)
    assert [(rung.model, rung.accelerator, rung.wait) for rung in rungs] == expected
    assert count == (2 if more.get("gpu") else 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("l4", "2 to 10 rungs"),
        ("l4,,t4", "nothing between two commas"),
        ("spot, flex", "names no accelerator"),
        ("spot:l5, l4", "'l5'"),
        ("spott:l4, l4", "did you mean 'spot'?"),
        ("sport, l4", "did you mean 'spot'?"),
        ("spot:l4:1, t4:2", "1 and 2"),
        ("h100:3, l4:3", "1, 2, 4, 8"),
        ("l4, nvidia-l4", "twice"),
        ("reservation:l4, l4", "--reservation NAME"),
        ("l4@soon, t4", "no duration"),
        ("spot:l4/mars, l4", "no zone"),
        ("h200:8, l4:8", "cannot be had on demand"),
        ("v5e, l4", "v5e"),
        ("l4:x, t4", "x"),
        (7, "write the ways"),
    ],
)
def test_what_cannot_be_is_refused(text: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_fallback(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="spotflexl4t4:@/,-0123 ab", max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        rungs, count = parse_fallback(text)
    except InvalidInput:
        with pytest.raises(InvalidInput, match=r"\A[^\n]*\Z"):
            parse_fallback(text)
    else:
        assert len({(rung.model, rung.accelerator, rung.zone) for rung in rungs}) == len(rungs) >= 2
        assert count >= 1
