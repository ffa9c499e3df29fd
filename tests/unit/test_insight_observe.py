"""From observed objects to a job's state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gke_notebook import names, objects
from gke_notebook.insight import JobState, Span, failure_line, failure_text, observe
from gke_notebook.launch.records import Outcome, encode_outcome
from tests.support.observed import START, a_job, a_node, a_pod, an_event, at


def see(
    job: objects.Job | None,
    pods: list[objects.Pod] | None = None,
    events: list[objects.Event] | None = None,
    nodes: list[objects.Node] | None = None,
    *,
    second: float = 100,
    previous: JobState | None = None,
) -> JobState:
    return observe(job, pods or [], events or [], nodes or [], START + timedelta(seconds=second), previous=previous)


def outcome(rank: int | None, code: int = 1, failed_at: float = 50, **more: Any) -> str:
    return encode_outcome(Outcome(code, rank=rank, failed_at=START + timedelta(seconds=failed_at), **more))


def test_a_running_job_has_its_facts_and_spans() -> None:
    state = see(a_job(procs=2), [a_pod(0, node="n1", running=12), a_pod(1, node="n2", running=15)], second=40)
    assert (state.name, state.namespace, state.run, state.owner) == ("digits", "team", "r1", "ada")
    assert (state.phase, state.framework, state.price_usd_hour, state.ranks) == ("running", "torch", 2.5, 4)
    assert state.spans == (Span("queued", 2), Span("starting", 10), Span("running", 28))
    assert [node.ranks for node in state.nodes] == [(0, 1), (2, 3)]
    assert [node.node for node in state.nodes] == ["n1", "n2"]
    assert state.sentence == "running on 2 nodes (4 ranks)"
    assert state.failure is None
    assert not state.ended


def test_a_new_job_waits_for_its_pods() -> None:
    state = see(a_job(), second=3)
    assert state.phase == "queued"
    assert state.spans == (Span("queued", 3),)
    assert [node.phase for node in state.nodes] == ["waiting", "waiting"]
    assert state.sentence == "the Job controller is creating its pods"


def test_pods_that_may_not_be_created_are_explained_by_the_jobs_event() -> None:
    message = (
        'Error creating: pods "digits-0-x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1'
    )
    state = see(a_job(), events=[an_event("FailedCreate", message)])
    assert state.sentence.startswith('no pod can be created: pods "digits-0-x" is forbidden: exceeded quota: gpus')
    assert state.phase == "queued"


def test_one_of_two_nodes_that_waits_is_named() -> None:
    waits = a_pod(1, unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes ...")
    state = see(a_job(), [a_pod(0, node="n1", running=10), waits])
    assert state.phase == "running"
    assert state.sentence == (
        "1 node of 2 not running yet; node 1: no node is free for it: of 3 nodes 3 have too few free GPUs"
    )
    assert state.nodes[1].reason == "Unschedulable"
    assert state.nodes[1].phase == "waiting"


def test_the_same_reason_of_many_nodes_is_said_once() -> None:
    waits = [a_pod(i, unschedulable="0/3 nodes are available: 3 Insufficient cpu.") for i in range(40)]
    state = see(a_job(nodes=40), waits)
    assert state.sentence == "no node is free for it: of 3 nodes 3 have too few free CPUs"


def test_a_trouble_comes_before_what_only_takes_time() -> None:
    pods = [
        a_pod(0, node="n", waiting=("ContainerCreating", "")),
        a_pod(1, node="n", waiting=("ImagePullBackOff", 'Back-off pulling image "pytorch:2"')),
    ]
    state = see(a_job(), pods)
    assert state.phase == "starting"
    assert state.sentence.startswith("node 1: the image 'pytorch:2' cannot be pulled")
    assert state.sentence.endswith("node 0: its container is being created")


def test_a_bound_pod_without_status_is_scheduled() -> None:
    assert see(a_job(nodes=1), [a_pod(0, node="n")]).nodes[0].phase == "scheduled"


def test_a_suspended_job_says_so() -> None:
    assert see(a_job(suspend=True)).sentence.startswith("suspended: ")


def test_success_ends_the_spans() -> None:
    job = a_job(("Complete", "", 61), status={"completionTime": at(60)})
    job = msgspec.structs.replace(
        job, status=msgspec.structs.replace(job.status, conditions=a_job(("Complete", "", 61)).status.conditions)
    )
    pods = [a_pod(0, node="n1", ended=(0, 10, 58)), a_pod(1, node="n2", ended=(0, 11, 59))]
    state = see(job, pods, second=5000)
    assert state.phase == "succeeded"
    assert state.ended
    assert state.finished == START + timedelta(seconds=60)
    assert state.spans == (Span("queued", 2), Span("starting", 8), Span("running", 50))
    assert state.sentence == "succeeded after 1 min on 2 nodes"


def test_the_first_failing_rank_in_time_is_named_not_the_first_by_number() -> None:
    pods = [
        a_pod(0, node="a", ended=(1, 10, 60), termination=outcome(1, failed_at=55.5, error="RuntimeError: lost peer")),
        a_pod(
            1, node="b", ended=(3, 10, 60),
            termination=outcome(2, 3, 55.1, error="ValueError: no", traceback="Traceback\n  line 4\n"),
        ),
    ]  # fmt: skip
    state = see(a_job(("Failed", "FailedIndexes", 70), procs=2), pods)
    assert state.phase == "failed"
    assert state.failure is not None
    assert (state.failure.rank, state.failure.exit_code, state.failure.others) == (2, 3, 1)
    assert state.failure.pod == "digits-1-a"
    assert state.sentence == "rank 2 failed with exit code 3: ValueError: no"
    text = failure_text(state)
    assert text.splitlines()[0] == "job 'digits' failed: rank 2 failed with exit code 3: ValueError: no"
    assert text.endswith("Traceback\n  line 4")


def test_a_pod_that_was_told_to_stop_is_no_cause() -> None:
    pods = [
        a_pod(0, node="a", ended=(143, 10, 50), termination=outcome(0, 143, 40, stage="stopped", signal=15)),
        a_pod(1, node="b", ended=(1, 10, 60), termination=outcome(1, 1, 55, stage="cell", error="KeyError: 'x'")),
    ]
    failure = see(a_job(("Failed", "BackoffLimitExceeded", 70)), pods).failure
    assert failure is not None
    assert (failure.rank, failure.others) == (1, 0)


def test_nodes_that_ended_with_their_job_are_stopped_not_failed_nor_waiting() -> None:
    stopped = outcome(0, 143, 58, stage="stopped", signal=15)
    pods = [
        a_pod(0, node="a", ended=(143, 10, 61), termination=stopped),
        a_pod(1, node="b", ended=(1, 10, 60), termination=outcome(1, error="E: x")),
    ]
    state = see(a_job(("Failed", "FailedIndexes", 70), nodes=3), pods)
    assert [node.phase for node in state.nodes] == ["stopped", "failed", "stopped"]
    alone = see(a_job(("Failed", "FailedIndexes", 70), nodes=1), pods[:1])
    assert alone.nodes[0].phase == "failed"  # told to end, and nothing else has failed: that is the cause
    assert alone.failure is not None


def test_a_killed_rank_is_named_with_its_signal() -> None:
    pods = [a_pod(0, node="a", ended=(137, 10, 50), termination=outcome(0, 137, signal=9))]
    failure = see(a_job(("Failed", "FailedIndexes", 70), nodes=1), pods).failure
    assert failure is not None
    assert failure_line(failure) == "rank 0 was killed by signal 9 (SIGKILL)"


@pytest.mark.parametrize(
    ("pod", "rank", "said"),
    [
        (
            a_pod(0, node="a", ended=(137, 10, 50), reason="OOMKilled"),
            0,
            (
                "rank 0 failed: out of memory (OOMKilled, exit code 137): its pod used more memory than the limit; "
                "ask for more with --memory"
            ),
        ),
        (a_pod(0, node="a", ended=(127, 10, 50)), 0, "rank 0 failed with exit code 127 (the command was not found)"),
        (
            a_pod(0, node="a", phase="Failed", pod_reason="Evicted", pod_message="The node was low on memory."),
            0,
            "rank 0 failed: Evicted: The node was low on memory.",
        ),
        (
            a_pod(0, node="a", ended=(70, 10, 50), termination=outcome(None, 70, stage="requirements", error="no")),
            None,
            "pod digits-0-a failed with exit code 70: installing its requirements failed: no",
        ),
        (
            a_pod(0, node="a", ended=(1, 10, 50), termination="a log tail\nof another program"),
            0,
            "rank 0 failed with exit code 1: a log tail of another program",
        ),
    ],
)  # fmt: skip
def test_failures_without_a_cell_of_their_own(pod: objects.Pod, rank: int | None, said: str) -> None:
    state = see(a_job(("Failed", "FailedIndexes", 70), nodes=1), [pod])
    assert state.failure is not None
    assert state.failure.rank == rank
    assert state.sentence == said


def test_with_several_ranks_in_a_killed_pod_no_rank_is_guessed() -> None:
    state = see(a_job(("Failed", "FailedIndexes", 70), nodes=1, procs=4), [a_pod(0, node="a", ended=(137, 1, 2))])
    assert state.sentence == "pod digits-0-a was killed by signal 9 (SIGKILL)"


def test_a_deadline_is_explained_by_the_option() -> None:
    state = see(a_job(("Failed", "DeadlineExceeded", 600), activeDeadlineSeconds=600))
    assert state.failure is not None
    assert state.failure.reason == "DeadlineExceeded"
    assert "its limit of 10 min (--max-duration)" in state.sentence


def test_a_failure_without_any_pod_says_what_the_controller_says() -> None:
    assert see(a_job(("Failed", "FailedIndexes", 9))).sentence == "FailedIndexes: some of its nodes failed for good"


def test_while_a_failing_job_ends_the_cause_is_known() -> None:
    pods = [
        a_pod(0, node="a", running=10),
        a_pod(1, node="b", ended=(1, 10, 60), termination=outcome(1, error="E: x")),
    ]
    state = see(a_job(("FailureTarget", "FailedIndexes", 61)), pods)
    assert state.phase == "running"
    assert state.sentence == "rank 1 failed with exit code 1: E: x; the other nodes are being stopped"


def test_cancelled_by_its_user() -> None:
    cancelled = {names.CANCELLED: at(30)}
    pods = [a_pod(0, node="a", running=10), a_pod(1, node="b", running=10)]
    going = see(a_job(annotations=cancelled), pods)
    assert (going.phase, going.sentence) == ("running", "being cancelled: 2 nodes are being stopped")
    # A deadline is how a Job of any kind is ended; the annotation says that it was wanted.
    ended = see(a_job(("Failed", "DeadlineExceeded", 33), annotations=cancelled), pods)
    assert (ended.phase, ended.failure) == ("cancelled", None)
    assert ended.sentence == "cancelled after 33 s on 2 nodes"
    suspended = see(a_job(annotations=cancelled, suspend=True))
    assert suspended.phase == "cancelled"
    assert suspended.finished == START + timedelta(seconds=30)
    assert (
        see(a_job(annotations=cancelled, suspend=True, status={"active": 2, "conditions": []}), pods).phase == "running"
    )


def test_a_job_whose_pods_went_with_it_keeps_its_spans_and_nodes() -> None:
    before = see(a_job(), [a_pod(0, node="n1", running=12), a_pod(1, node="n2", running=15)], second=20)
    job = a_job(("Failed", "DeadlineExceeded", 40), annotations={names.CANCELLED: at(38)})
    after = see(job, previous=before)
    assert after.spans == (Span("queued", 2), Span("starting", 10), Span("running", 28))
    assert [(node.phase, node.pod, node.node) for node in after.nodes] == [
        ("stopped", "digits-0-a", "n1"),
        ("stopped", "digits-1-a", "n2"),
    ]
    # Without that memory no more is claimed than is known.
    assert see(job).spans == (Span("total", 40),)
    assert see(job, previous=replace(before, run="r0")).spans == (Span("total", 40),)
    assert see(job, previous=see(a_job(), second=20)).spans == (Span("queued", 40),)


def test_a_job_that_ended_before_its_cancel_keeps_its_end() -> None:
    assert see(a_job(("Complete", "", 20), annotations={names.CANCELLED: at(30)})).phase == "succeeded"


def test_a_retry_shows_the_newest_pod() -> None:
    pods = [
        a_pod(0, node="a", running=40, created=35, suffix="b"),
        a_pod(0, node="a", ended=(1, 10, 30), created=1, suffix="z"),
    ]
    state = see(a_job(nodes=1), pods)
    assert (state.nodes[0].pod, state.nodes[0].attempt, state.nodes[0].phase) == ("digits-0-b", 1, "running")
    assert state.sentence == "running on 1 node, node 0 is at attempt 2"
    assert state.started == START + timedelta(seconds=10)
    waiting = see(a_job(nodes=1), pods[1:])
    assert waiting.sentence.startswith("node 0 failed; the Job controller decides")
    assert waiting.failure is None


def test_pods_of_an_earlier_job_of_the_same_name_are_passed_over() -> None:
    state = see(a_job(nodes=1), [a_pod(0, node="a", ended=(1, 1, 2), owner="job-0")])
    assert state.nodes[0].pod == ""
    assert state.phase == "queued"


def test_a_deleted_job_keeps_what_was_known() -> None:
    before = see(a_job(), [a_pod(0, node="a", running=10)])
    gone = see(None, previous=before, second=120)
    assert (gone.phase, gone.name, gone.run, len(gone.nodes)) == ("deleted", "digits", "r1", 2)
    assert gone.finished == START + timedelta(seconds=120)
    done = replace(before, phase="succeeded")
    assert see(None, previous=done) == done
    assert see(None).phase == "deleted"
    assert see(a_job(metadata={"deletionTimestamp": at(50)})).phase == "deleted"


def test_simulated_follows_the_node_label() -> None:
    real, pretended = a_node("n1", pool="x"), a_node("n2", **{names.SIMULATED: "true"}, pool="x")
    assert not see(a_job(nodes=1), [a_pod(0, node="n1", running=5)], nodes=[real, pretended]).simulated
    assert see(a_job(nodes=1), [a_pod(0, node="n2", running=5)], nodes=[real, pretended]).simulated


def test_strange_annotations_do_no_harm() -> None:
    state = see(a_job(annotations={names.PROCS_PER_NODE: "many", names.PRICE: "cheap"}))
    assert (state.procs_per_node, state.price_usd_hour) == (1, None)
