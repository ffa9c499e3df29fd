"""A JobSet observed as one Job: nodes numbered through, failures by the slice's own Job, restarts, earlier sets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gke_notebook import insight, names, objects
from gke_notebook.insight.state import JobState
from tests.support.observed import START, a_job, a_node, a_pod, an_event, at

MARKS = {names.JOB: "digits", names.RUN: "r1", names.OWNER: "ada"}


def jobset(*conditions: tuple[str, str, float], uid: str = "set-1", **spec: Any) -> objects.JobSet:
    template = {"spec": {"completions": 2, "parallelism": 2, "activeDeadlineSeconds": 600}}
    body = {
        "metadata": {
            "name": "digits", "namespace": "team", "uid": uid, "labels": MARKS, "creationTimestamp": at(0),
            "annotations": {names.NODES_PER_SLICE: "2", names.FRAMEWORK: "jax", **spec.pop("annotations", {})},
        },
        "spec": {"replicatedJobs": [{"name": "slice", "replicas": 2, "template": template}], **spec},
        "status": {"conditions": [
            {"type": kind, "status": "True", "reason": reason, "message": "set", "lastTransitionTime": at(second)}
            for kind, reason, second in conditions
        ]},
    }  # fmt: skip
    return msgspec.convert(body, objects.JobSet)


def job(number: int, *conditions: tuple[str, str, float], uid: str = "set-1", **status: Any) -> objects.Job:
    labels = {**MARKS, names.JOBSET_NAME: "digits", names.JOBSET_UID: uid, names.JOBSET_JOB_INDEX: str(number)}
    body = {
        "metadata": {"name": f"digits-slice-{number}", "namespace": "team", "uid": f"job-{number}", "labels": labels},
        "spec": {"completions": 2},
        "status": {"conditions": [
            {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": at(second)}
            for kind, reason, second in conditions
        ], **status},
    }  # fmt: skip
    return msgspec.convert(body, objects.Job)


def pod(number: int, index: int, *, uid: str = "set-1", **more: Any) -> objects.Pod:
    found = a_pod(index, owner=f"job-{number}", suffix=f"s{number}", **more)
    metadata = msgspec.structs.replace(
        found.metadata,
        labels={**found.metadata.labels, names.JOBSET_UID: uid, names.JOBSET_JOB_INDEX: str(number)},
        annotations={**found.metadata.annotations, names.NODES_PER_SLICE: "2"},
    )
    return msgspec.structs.replace(found, metadata=metadata)


def look(
    found: objects.JobSet, jobs: list[objects.Job], pods: list[objects.Pod], *events: objects.Event, second: float = 60
) -> JobState:
    whole, own, about = insight.as_job(found, insight.jobs_of(found, jobs), pods, events)
    return insight.observe(whole, own, about, [a_node("n")], START + timedelta(seconds=second))


def running() -> list[objects.Pod]:
    return [pod(number, index, node="n", running=5) for number in range(2) for index in range(2)]


def test_nodes_are_numbered_over_the_slices() -> None:
    state = look(jobset(), [job(1), job(0)], running())
    assert [(node.index, node.ranks, node.pod) for node in state.nodes] == [
        (0, (0,), "digits-0-s0"), (1, (1,), "digits-1-s0"), (2, (2,), "digits-0-s1"), (3, (3,), "digits-1-s1"),
    ]  # fmt: skip
    assert (state.phase, state.sentence, state.slices, state.run) == ("running", "running on 4 nodes", 2, "r1")


def test_a_job_has_one_slice() -> None:
    assert insight.observe(a_job(), [], [], [], START).slices == 1


def test_the_first_slice_that_failed_says_why() -> None:
    jobs = [job(0), job(1, ("Failed", "FailedIndexes", 20), failedIndexes="1")]
    pods = running()
    pods[3] = pod(1, 1, node="n", ended=(3, 5, 19))
    state = look(jobset(("Failed", "FailedJobs", 21)), jobs, pods)
    assert state.failure is not None
    assert (state.phase, state.failure.rank, state.failure.exit_code) == ("failed", 3, 3)
    assert state.sentence == "rank 3 failed with exit code 3"
    assert state.finished == START + timedelta(seconds=21)
    assert [node.phase for node in state.nodes] == ["stopped", "stopped", "stopped", "failed"]


def test_a_deadline_and_what_only_the_set_knows() -> None:
    late = look(jobset(("Failed", "FailedJobs", 601)), [job(0, ("Failed", "DeadlineExceeded", 600))], [])
    assert late.failure is not None
    assert late.failure.reason == "DeadlineExceeded"
    assert "limit of 10 min" in late.failure.message
    alone = look(jobset(("Failed", "ReachedMaxRestarts", 9)), [], [])
    assert alone.failure is not None
    assert (alone.failure.reason, alone.failure.message) == ("ReachedMaxRestarts", "set")


def test_a_failed_job_of_a_set_that_starts_again_is_no_failure() -> None:
    state = look(jobset(), [job(0, ("Failed", "FailedIndexes", 9)), job(1)], running())
    assert (state.phase, state.failure) == ("running", None)


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        (jobset(("Completed", "AllJobsCompleted", 30)), "succeeded"),
        (jobset(("Failed", "FailedJobs", 30), annotations={names.CANCELLED: at(29)}), "cancelled"),
        (jobset(suspend=True, annotations={names.CANCELLED: at(29)}), "cancelled"),
        (jobset(suspend=True), "queued"),
        (jobset(), "queued"),
    ],
)
def test_phases(found: objects.JobSet, phase: str) -> None:
    assert look(found, [job(0), job(1)], []).phase == phase


def test_what_belongs_to_an_earlier_set_is_passed_over() -> None:
    old = pod(0, 0, uid="set-0", node="n", running=1)
    state = look(jobset(), [job(0, ("Failed", "FailedIndexes", 3), uid="set-0")], [old])
    assert (state.phase, [node.pod for node in state.nodes]) == ("queued", ["", "", "", ""])


def test_events_of_its_jobs_are_its_own() -> None:
    refused = msgspec.structs.replace(
        an_event("FailedCreate", "Error creating: exceeded quota"),
        involved_object=objects.ObjectReference("Job", "digits-slice-1", "team", "job-1"),
    )
    assert look(jobset(), [job(0), job(1)], [], refused).sentence == "no pod can be created: exceeded quota"


def test_a_set_without_jobs_has_one_node() -> None:
    empty = msgspec.convert({"metadata": {"name": "digits", "uid": "u", "creationTimestamp": at(0)}}, objects.JobSet)
    assert [node.index for node in look(empty, [], []).nodes] == [0]
