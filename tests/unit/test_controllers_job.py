"""The life of a Job: which pods are made, counted and removed, driven in memory."""

from __future__ import annotations

from datetime import timedelta

from gke_notebook.sandbox.controllers.job import reconcile
from gke_notebook.sandbox.controllers.job_pods import FINALIZER, make_pod
from gke_notebook.sandbox.controllers.job_policy import Backoff
from gke_notebook.sandbox.controllers.job_status import clean, settle
from gke_notebook.sandbox.controllers.meta import clone, find_condition, timestamp
from tests.support.job_world import INDEX, START, World, index_of, indexed, indexes, make_job


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
