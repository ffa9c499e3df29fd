"""What the Job controller decides, driven through whole lives of Jobs in memory."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gke_notebook.sandbox.controllers.job import reconcile
from gke_notebook.sandbox.controllers.job_controller import seconds_to_live
from gke_notebook.sandbox.controllers.job_pods import FINALIZER, make_pod
from gke_notebook.sandbox.controllers.job_policy import Backoff
from gke_notebook.sandbox.controllers.job_status import clean, settle
from gke_notebook.sandbox.controllers.meta import clone, find_condition, timestamp

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=timezone.utc)
INDEX = "batch.kubernetes.io/job-completion-index"


def make_job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}}
    return {
        "metadata": {"name": "digits", "namespace": "research", "uid": "job-uid"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template, **spec},
    }


def indexed(count: int, **spec: Any) -> dict[str, Any]:
    return make_job(**{"completionMode": "Indexed", "completions": count, "parallelism": count, **spec})


class World:
    """A Job and its pods, changed as the server and the controller change them."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.pods = job, {}
        self.now, self.backoff, self.events, self.again, self.made = START, Backoff(), [], None, 0

    def sync(self) -> World:
        """Carry out one decision, then those that follow of themselves."""
        for _ in range(12):
            before = clone([self.job, self.pods])
            self._sync_once()
            if before == [self.job, self.pods]:
                return self
        raise AssertionError("never comes to rest")

    def _sync_once(self) -> None:
        snapshot = clone([self.job, list(self.pods.values())])
        actions = reconcile(self.job, list(self.pods.values()), self.now, self.backoff)
        assert snapshot == [self.job, list(self.pods.values())], "reconcile changed its arguments"
        self.again = actions.again
        for pod in actions.delete:
            if actions.delete_releases:
                self._release(pod)
            self.delete(pod["metadata"]["uid"])
        for pod in actions.create:
            self.made += 1
            made = clone(pod)
            made["metadata"].update(uid=f"pod-{self.made}", name=f"{pod['metadata']['generateName']}{self.made:05}")
            made["metadata"]["creationTimestamp"] = timestamp(self.now)
            made["status"] = {"phase": "Pending"}
            self.pods[made["metadata"]["uid"]] = made
        self.job = {**self.job, "status": actions.status}
        self.events += [(event.type, event.reason, event.message) for event in actions.events]
        self.backoff = actions.backoff
        for pod in actions.release:
            self._release(pod)
        left = actions.tracked - {pod["metadata"]["uid"] for pod in actions.release}
        status, events = settle(actions.status, actions.finished, left, self.job["spec"].get("completions"), self.now)
        self.job = {**self.job, "status": status}
        self.events += [(event.type, event.reason, event.message) for event in events]

    def _release(self, pod: dict[str, Any]) -> None:
        stored = self.pods.get(pod["metadata"]["uid"])
        if stored is not None:
            stored["metadata"]["finalizers"] = []
            if stored["metadata"].get("deletionTimestamp"):
                self._maybe_gone(stored)

    def delete(self, uid: str) -> None:
        pod = self.pods[uid]
        pod["metadata"]["deletionTimestamp"] = timestamp(self.now)
        self._maybe_gone(pod)

    def _maybe_gone(self, pod: dict[str, Any]) -> None:
        scheduled = pod["status"]["phase"] == "Running"  # a running pod stays until its kubelet lets go of it
        if not pod["metadata"]["finalizers"] and not scheduled:
            del self.pods[pod["metadata"]["uid"]]

    def stopped(self) -> World:
        """Let the kubelet end what is being deleted."""
        for pod in list(self.pods.values()):
            if pod["metadata"].get("deletionTimestamp"):
                if pod["status"]["phase"] == "Running":
                    pod["status"]["phase"] = "Failed"
                self._maybe_gone(pod)
        return self

    def of(self, index: int, phase: str = "Pending") -> dict[str, Any]:
        found = [p for p in self.pods.values() if index_of(p) == index and p["status"]["phase"] == phase]
        assert len(found) == 1, f"{len(found)} pods of index {index} are {phase}"
        return found[0]

    def set(self, pod: dict[str, Any], phase: str, *, code: int | None = None, ready: bool = False) -> World:
        status: dict[str, Any] = {"phase": phase}
        if code is not None:
            terminated = {"exitCode": code, "finishedAt": timestamp(self.now)}
            status["containerStatuses"] = [{"name": "main", "state": {"terminated": terminated}}]
        if ready:
            status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": timestamp(self.now)}]
        pod["status"] = status
        return self

    def end(self, index: int, code: int = 0) -> World:
        return self.set(self.of(index), "Failed" if code else "Succeeded", code=code)

    def wait(self, seconds: float) -> World:
        self.now += timedelta(seconds=seconds)
        return self

    @property
    def status(self) -> dict[str, Any]:
        return self.job["status"]

    def conditions(self) -> list[tuple[str, str, str]]:
        return [
            (c["type"], c["reason"], c["message"]) for c in self.status.get("conditions", []) if c["status"] == "True"
        ]


def index_of(pod: dict[str, Any]) -> int:
    return int(pod["metadata"].get("annotations", {}).get(INDEX, -1))


def indexes(world: World) -> list[int]:
    return sorted(index_of(pod) for pod in world.pods.values())


def test_an_indexed_pod_looks_as_the_real_controller_makes_it() -> None:
    job = indexed(2)
    job["spec"]["template"] = {
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "x"}},
        "spec": {
            "initContainers": [{"name": "first"}],
            "containers": [
                {"name": "main"},
                {"name": "own", "env": [{"name": "JOB_COMPLETION_INDEX", "value": "mine"}]},
            ],
        },
    }
    pod = make_pod(job, 1)
    variable = {
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}},
    }
    assert pod["spec"] == {
        "hostname": "digits-1",
        "initContainers": [{"name": "first", "env": [variable]}],
        "containers": [
            {"name": "main", "env": [variable]},
            {"name": "own", "env": [{"name": "JOB_COMPLETION_INDEX", "value": "mine"}]},
        ],
    }
    assert pod["metadata"] == {
        "generateName": "digits-1-",
        "namespace": "research",
        "labels": {
            "team": "a",
            "controller-uid": "job-uid",
            "job-name": "digits",
            "batch.kubernetes.io/controller-uid": "job-uid",
            "batch.kubernetes.io/job-name": "digits",
            INDEX: "1",
        },
        "annotations": {"note": "x", INDEX: "1"},
        "finalizers": [FINALIZER],
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": "digits",
                "uid": "job-uid",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    assert "env" not in job["spec"]["template"]["spec"]["containers"][0], "the template was changed"


def test_a_pod_without_index_has_no_index_anywhere() -> None:
    pod = make_pod(make_job())
    assert pod["metadata"]["generateName"] == "digits-"
    assert INDEX not in pod["metadata"]["labels"]
    assert "annotations" not in pod["metadata"]
    assert "hostname" not in pod["spec"]


def test_a_long_name_keeps_the_index_in_the_prefix() -> None:
    job = indexed(1)
    job["metadata"]["name"] = "x" * 60
    assert make_pod(job, 12)["metadata"]["generateName"] == "x" * 54 + "-12-"


def test_an_indexed_job_runs_to_completion() -> None:
    world = World(indexed(3)).sync()
    assert indexes(world) == [0, 1, 2]
    assert world.status == {
        "active": 3,
        "ready": 0,
        "terminating": 0,
        "startTime": timestamp(START),
        "uncountedTerminatedPods": {},
    }
    for index in range(3):
        world.set(world.of(index), "Running", ready=True)
    world.sync()
    assert (world.status["active"], world.status["ready"]) == (3, 3)
    world.set(world.of(2, "Running"), "Succeeded", code=0)
    world.set(world.of(0, "Running"), "Succeeded", code=0)
    world.wait(5).sync()
    assert world.status["completedIndexes"] == "0,2"
    assert (world.status["active"], world.status["succeeded"]) == (1, 2)
    assert not world.conditions()
    world.set(world.of(1, "Running"), "Succeeded", code=0)
    world.wait(5).sync()
    assert world.status["completedIndexes"] == "0-2"
    text = "Reached expected number of succeeded pods"
    assert world.conditions() == [
        ("SuccessCriteriaMet", "CompletionsReached", text),
        ("Complete", "CompletionsReached", text),
    ]
    assert world.status["completionTime"] == timestamp(world.now)
    assert "active" not in world.status
    assert world.events == [("Normal", "Completed", "Job completed")]
    assert all(not pod["metadata"]["finalizers"] for pod in world.pods.values())


def test_parallelism_bounds_what_runs_and_free_indexes_follow() -> None:
    world = World(indexed(5, parallelism=2)).sync()
    assert indexes(world) == [0, 1]
    world.end(0).sync()
    assert [index_of(pod) for pod in world.pods.values() if pod["status"]["phase"] == "Pending"] == [1, 2]


def test_elastic_parallelism_removes_and_adds_pods() -> None:
    world = World(indexed(4)).sync()
    world.set(world.of(3), "Running", ready=True)
    world.job["spec"]["parallelism"] = 2
    world.sync()
    assert 3 in indexes(world), "a ready pod goes last"
    assert len([p for p in world.pods.values() if not p["metadata"].get("deletionTimestamp")]) == 2
    assert "failed" not in world.status, "pods removed because they are too many have not failed"
    world.job["spec"]["parallelism"] = 4
    world.sync()
    assert sorted(set(indexes(world))) == [0, 1, 2, 3]


def test_a_thousand_pods_are_made_in_two_rounds() -> None:
    actions = reconcile(indexed(1000), [], START)
    assert len(actions.create) == 500
    world = World(indexed(1000)).sync()
    assert indexes(world) == list(range(1000))
    assert world.status["active"] == 1000


def test_counting_many_pods_is_bounded_and_comes_to_its_end() -> None:
    world = World(indexed(1200)).sync()
    for pod in world.pods.values():
        world.set(pod, "Succeeded", code=0)
    first = reconcile(world.job, list(world.pods.values()), world.now)
    assert len(first.release) == 500
    assert first.finished is None
    assert first.again == 0.0
    world.sync()
    assert world.status["completedIndexes"] == "0-1199"
    assert world.conditions()[-1][0] == "Complete"


def test_a_job_without_completions_ends_when_one_pod_succeeds_and_none_is_left() -> None:
    job = make_job(parallelism=2)
    del job["spec"]["completions"]
    world = World(job).sync()
    first, second = world.pods.values()
    world.set(first, "Succeeded", code=0).sync()
    assert not world.conditions()
    assert len(world.pods) == 2, "after a success no pod is replaced"
    world.set(second, "Succeeded", code=0).sync()
    assert world.conditions()[-1][0] == "Complete"
    assert world.status["succeeded"] == 2


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
    world.end(0, code=1).sync()
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


def test_suspending_stops_the_pods_and_resuming_starts_anew() -> None:
    world = World(indexed(2)).sync()
    world.set(world.of(0), "Running", ready=True)
    world.job["spec"]["suspend"] = True
    world.sync()
    assert world.conditions() == [("Suspended", "JobSuspended", "Job suspended")]
    assert world.status["terminating"] == 1
    world.stopped().sync()
    assert not world.pods
    assert world.status == clean({**world.status, "active": 0, "ready": 0, "terminating": 0})
    assert "failed" not in world.status
    world.job["spec"]["suspend"] = False
    world.wait(60).sync()
    assert indexes(world) == [0, 1]
    assert world.status["startTime"] == timestamp(world.now)
    condition = find_condition(world.job, "Suspended")
    assert condition is not None
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "JobResumed", "Job resumed")
    assert world.events == [("Normal", "Suspended", "Job suspended"), ("Normal", "Resumed", "Job resumed")]


def test_a_job_born_suspended_has_no_start() -> None:
    world = World(indexed(1, suspend=True, activeDeadlineSeconds=5)).sync()
    assert "startTime" not in world.status
    assert not world.pods
    world.wait(60).sync()
    assert world.conditions() == [("Suspended", "JobSuspended", "Job suspended")]


def test_a_deleted_pod_is_replaced_at_once_by_default() -> None:
    world = World(indexed(1)).sync()
    world.set(world.of(0), "Running", ready=True)
    world.delete("pod-1")
    world.sync().wait(11).sync()
    assert world.of(0)["metadata"]["uid"] == "pod-2"
    assert world.status["failed"] == 1


def test_a_deleted_pod_is_replaced_once_it_has_ended_when_so_asked() -> None:
    world = World(indexed(1, podReplacementPolicy="Failed")).sync()
    world.set(world.of(0), "Running", ready=True)
    world.delete("pod-1")
    world.sync().wait(11).sync()
    assert world.made == 1
    assert world.status["terminating"] == 1
    world.stopped().sync().wait(11).sync()
    assert world.made == 2


def test_doubled_and_foreign_indexes_are_removed() -> None:
    world = World(indexed(2)).sync()
    double = clone(world.of(1))
    double["metadata"].update(uid="double", name="double")
    double["metadata"]["creationTimestamp"] = timestamp(START + timedelta(seconds=9))
    foreign = clone(double)
    foreign["metadata"].update(uid="foreign", name="foreign", annotations={INDEX: "7"})
    world.pods.update(double=double, foreign=foreign)
    actions = reconcile(world.job, list(world.pods.values()), START)
    assert sorted(pod["metadata"]["uid"] for pod in actions.delete) == ["double", "foreign"]
    assert actions.delete_releases


def test_a_job_that_is_being_deleted_lets_its_pods_go() -> None:
    world = World(indexed(2)).sync()
    world.job["metadata"]["deletionTimestamp"] = timestamp(START)
    world.delete("pod-1")
    actions = reconcile(world.job, list(world.pods.values()), START)
    assert not actions.create
    assert len(actions.release) == 2


def test_a_pod_whose_finalizer_could_not_be_taken_is_counted_later_but_once() -> None:
    world = World(make_job(backoffLimit=3)).sync()
    (pod,) = world.pods.values()
    world.set(pod, "Failed", code=1)
    actions = reconcile(world.job, [pod], START)
    assert actions.status["uncountedTerminatedPods"] == {"failed": ["pod-1"]}
    status, events = settle(actions.status, actions.finished, {"pod-1"}, 1, START)
    assert status == actions.status
    assert not events
    again = reconcile({**world.job, "status": status}, [pod], START, actions.backoff)
    assert again.status["uncountedTerminatedPods"] == {"failed": ["pod-1"]}
    assert again.backoff == Backoff(1, START), "a failure counts once for the back-off"
    status, _ = settle(again.status, again.finished, set(), 1, START)
    assert (status["failed"], status["uncountedTerminatedPods"]) == (1, {})


def test_a_finished_job_is_left_alone() -> None:
    world = World(indexed(1)).sync()
    world.end(0).sync()
    actions = reconcile(world.job, list(world.pods.values()), START)
    assert (actions.create, actions.delete, actions.release) == ([], [], [])
    assert actions.status == world.status


@pytest.mark.parametrize(("ttl", "left"), [(None, None), (100, 60.0), (0, -40.0)])
def test_the_time_to_live_begins_with_the_end(ttl: int | None, left: float | None, monkeypatch: Any) -> None:
    world = World(indexed(1, ttlSecondsAfterFinished=ttl)).sync()
    assert seconds_to_live(world.job) is None
    world.end(0).sync()
    monkeypatch.setattr("gke_notebook.sandbox.controllers.job_controller.now", lambda: START + timedelta(seconds=40))
    assert seconds_to_live(world.job) == left


def test_the_least_advanced_and_newest_pods_go_first() -> None:
    world = World(make_job(parallelism=4, completions=4)).sync()
    pods = list(world.pods.values())
    world.set(pods[0], "Running", ready=True)
    pods[0]["spec"]["nodeName"] = pods[1]["spec"]["nodeName"] = "n"
    world.set(pods[1], "Running")
    pods[3]["metadata"]["creationTimestamp"] = timestamp(START + timedelta(seconds=5))
    world.job["spec"]["parallelism"] = 1
    actions = reconcile(world.job, pods, START)
    assert [pod["metadata"]["uid"] for pod in actions.delete] == ["pod-4", "pod-3", "pod-2"]
