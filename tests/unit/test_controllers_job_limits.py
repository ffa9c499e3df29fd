"""How a Job ends otherwise than by all its pods succeeding: limits, deadlines and policies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gke_notebook.sandbox.controllers.job import reconcile
from gke_notebook.sandbox.controllers.job_controller import seconds_to_live
from gke_notebook.sandbox.controllers.job_pods import FINALIZER
from tests.support.job_world import START, World, indexed, make_job


def test_failures_wait_longer_each_time_until_the_limit() -> None:
    world = World(make_job(backoffLimit=2)).sync()
    for failures, wait in ((1, 10), (2, 20)):
        (pod,) = [pod for pod in world.pods.values() if pod["status"]["phase"] == "Pending"]
        world.set(pod, "Failed", code=1).sync()
        assert world.status["failed"] == failures
        assert world.again == wait
        assert "active" not in world.status
        world.wait(wait - 1).sync()
        assert world.again == 1
        world.wait(2).sync()
        assert world.status["active"] == 1
    (pod,) = [pod for pod in world.pods.values() if pod["status"]["phase"] == "Pending"]
    world.set(pod, "Failed", code=1).sync()
    text = "Job has reached the specified backoff limit"
    assert world.conditions() == [
        ("FailureTarget", "BackoffLimitExceeded", text),
        ("Failed", "BackoffLimitExceeded", text),
    ]
    assert world.status["failed"] == 3
    assert "completionTime" not in world.status
    assert world.events[-1] == ("Warning", "BackoffLimitExceeded", text)


def test_a_failed_job_stops_its_other_pods_and_ends_only_when_they_have() -> None:
    world = World(indexed(2, backoffLimit=0)).sync()
    world.set(world.of(1), "Running", ready=True)
    world.end(0, code=1)
    actions = reconcile(world.job, list(world.pods.values()), world.now)
    assert len(actions.delete) == 1
    assert not actions.delete_releases, "the finalizer stays until the status is written"
    world.sync()
    assert [name for name, *_ in world.conditions()] == ["FailureTarget"]
    assert world.status["terminating"] == 1
    assert "active" not in world.status
    assert world.status["failed"] == 2, "what had to be stopped counts as failed"
    world.stopped().sync()
    assert [name for name, *_ in world.conditions()] == ["FailureTarget", "Failed"]


def test_the_deadline_ends_the_job() -> None:
    world = World(indexed(1, activeDeadlineSeconds=30)).sync()
    assert world.again == 30
    world.wait(31).sync()
    text = "Job was active longer than specified deadline"
    assert world.conditions() == [("FailureTarget", "DeadlineExceeded", text), ("Failed", "DeadlineExceeded", text)]
    assert world.events[-1] == ("Warning", "DeadlineExceeded", text)


def test_restarts_in_place_count_for_on_failure() -> None:
    job = indexed(1, backoffLimit=2)
    job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    world = World(job).sync()
    pod = world.of(0)
    pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "main", "restartCount": 1}]}
    world.sync()
    assert not world.conditions()
    pod["status"]["containerStatuses"][0]["restartCount"] = 2
    world.sync().stopped().sync()
    assert [reason for _, reason, _ in world.conditions()] == ["BackoffLimitExceeded"] * 2


def test_an_index_is_tried_again_and_the_new_pod_carries_the_count() -> None:
    world = World(indexed(2, backoffLimitPerIndex=2)).sync()
    assert world.of(0)["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "0"
    assert world.status["failedIndexes"] == ""
    failed = world.of(0)
    world.end(0, code=1).sync()
    assert failed["metadata"]["finalizers"] == [FINALIZER], "kept until its count is carried on"
    assert world.again == 10
    world.wait(11).sync()
    assert world.of(0)["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"
    assert failed["metadata"]["finalizers"] == []
    assert world.status["failed"] == 1


def test_failed_indexes_fail_the_job_once_all_have_ended() -> None:
    world = World(indexed(2, backoffLimitPerIndex=0)).sync()
    world.end(1, code=1).sync()
    assert world.status["failedIndexes"] == "1"
    assert not world.conditions()
    assert world.status["active"] == 1
    world.end(0).sync()
    text = "Job has failed indexes"
    assert world.conditions() == [("FailureTarget", "FailedIndexes", text), ("Failed", "FailedIndexes", text)]
    assert world.status["completedIndexes"] == "0"


def test_too_many_failed_indexes_end_the_job_early() -> None:
    world = World(indexed(4, backoffLimitPerIndex=0, maxFailedIndexes=1)).sync()
    world.end(0, code=1).end(1, code=1).sync().stopped().sync()
    text = "Job has exceeded the specified maximal number of failed indexes"
    assert [c[1:] for c in world.conditions()] == [("MaxFailedIndexesExceeded", text)] * 2


def policy(action: str, **match: Any) -> dict[str, Any]:
    return {"rules": [{"action": action, **match}]}


def test_the_pod_failure_policy_can_fail_the_job_at_once() -> None:
    rule = policy("FailJob", onExitCodes={"operator": "In", "values": [42], "containerName": "main"})
    world = World(indexed(2, podFailurePolicy=rule)).sync()
    name = world.of(0)["metadata"]["name"]
    world.end(0, code=42).sync().stopped().sync()
    text = f"Container main for pod research/{name} failed with exit code 42 matching FailJob rule at index 0"
    assert world.conditions() == [("FailureTarget", "PodFailurePolicy", text), ("Failed", "PodFailurePolicy", text)]


def test_the_pod_failure_policy_can_ignore_a_disruption() -> None:
    rule = policy("Ignore", onPodConditions=[{"type": "DisruptionTarget", "status": "True"}])
    world = World(indexed(1, backoffLimit=0, podFailurePolicy=rule)).sync()
    pod = world.of(0)
    pod["status"] = {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}
    world.sync().wait(11).sync()
    assert "failed" not in world.status
    assert world.of(0)["metadata"]["uid"] == "pod-2"


def test_the_pod_failure_policy_can_fail_one_index() -> None:
    rule = policy("FailIndex", onExitCodes={"operator": "NotIn", "values": [3]})
    world = World(indexed(2, backoffLimitPerIndex=5, podFailurePolicy=rule)).sync()
    world.end(0, code=7).end(1, code=3).sync()
    assert world.status["failedIndexes"] == "0"
    assert world.status["failed"] == 1, "index 1 awaits its next pod"


def test_an_ignored_failure_of_an_index_is_counted_apart() -> None:
    rule = policy("Ignore", onExitCodes={"operator": "In", "values": [3]})
    world = World(indexed(1, backoffLimitPerIndex=0, podFailurePolicy=rule)).sync()
    world.end(0, code=3).sync().wait(11).sync()
    annotations = world.of(0)["metadata"]["annotations"]
    assert annotations["batch.kubernetes.io/job-index-failure-count"] == "0"
    assert annotations["batch.kubernetes.io/job-index-ignored-failure-count"] == "1"


def test_the_success_policy_ends_the_job_and_stops_the_rest() -> None:
    rules = {"rules": [{"succeededCount": 3}, {"succeededIndexes": "0"}]}
    world = World(indexed(3, successPolicy=rules)).sync()
    world.end(0).sync().stopped().sync()
    text = "Matched rules at index 1"
    assert world.conditions() == [("SuccessCriteriaMet", "SuccessPolicy", text), ("Complete", "SuccessPolicy", text)]
    assert world.status["succeeded"] == 1
    assert "failed" not in world.status, "pods stopped by a success have not failed"


@pytest.mark.parametrize(("ttl", "left"), [(None, None), (100, 60.0), (0, -40.0)])
def test_the_time_to_live_begins_with_the_end(ttl: int | None, left: float | None, monkeypatch: Any) -> None:
    world = World(indexed(1, ttlSecondsAfterFinished=ttl)).sync()
    assert seconds_to_live(world.job) is None
    world.end(0).sync()
    monkeypatch.setattr("gke_notebook.sandbox.controllers.job_controller.now", lambda: START + timedelta(seconds=40))
    assert seconds_to_live(world.job) == left
