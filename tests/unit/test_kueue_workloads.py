"""What is written on Workloads, and how jobs are held, started and stopped."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gke_notebook.sandbox import kueue
from gke_notebook.sandbox.controllers import kueue_jobs as jobs
from gke_notebook.sandbox.controllers.kueue_cache import Cache
from gke_notebook.sandbox.controllers.kueue_status import Draft
from gke_notebook.sandbox.controllers.kueue_workload import cluster_status, local_status, reconcile

Object = dict[str, Any]
AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def workload(**status: Any) -> Object:
    pod = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
    owner = {"kind": "Job", "name": "j", "uid": "u", "controller": True}
    return {
        "metadata": {"namespace": "ns", "name": "w", "generation": 3, "ownerReferences": [owner]},
        "spec": {"queueName": "lq", "podSets": [{"name": "main", "count": 1, "template": {"spec": pod}}]},
        "status": status,
    }


def conditions(status: Object) -> dict[str, tuple[str, str, str]]:
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}


def after(item: Object, draft: Draft, **spec: Any) -> Object:
    return {**item, "spec": {**item["spec"], **spec}, "status": draft.status}


def admitted() -> Object:
    draft = Draft(workload(), AT)
    draft.reserve("cq", [{"name": "main", "count": 1, "flavors": {"cpu": "f"}, "resourceUsage": {"cpu": "1"}}])
    return after(workload(), draft)


def test_the_life_of_a_status():
    item = admitted()
    assert conditions(item["status"]) == {
        "QuotaReserved": ("True", "QuotaReserved", "Quota reserved in ClusterQueue cq"),
        "Admitted": ("True", "Admitted", "The workload is admitted"),
    }
    draft = Draft(item, AT + timedelta(seconds=5))
    draft.evict("Deactivated", "The workload is deactivated")
    draft.requeue("Deactivated", "The workload is deactivated", ready=False)
    draft.release("Pending", "The workload is deactivated")
    found = conditions(draft.status)
    assert found["Evicted"] == ("True", "Deactivated", "The workload is deactivated")
    assert found["Admitted"] == ("False", "NoReservation", "The workload has no reservation")
    assert draft.status["accumulatedPastExexcutionTimeSeconds"] == 5
    assert draft.status["schedulingStats"]["evictions"] == [
        {"reason": "Deactivated", "underlyingCause": "", "count": 1}
    ]
    assert "admission" not in draft.status
    again = Draft(after(item, draft), AT + timedelta(seconds=9))
    again.reserve("cq", [])
    assert conditions(again.status)["Evicted"] == ("False", "QuotaReserved", "Previously: The workload is deactivated")
    again.finish("Succeeded", "done")
    assert conditions(again.status)["Finished"] == ("True", "Succeeded", "done")
    assert conditions(again.status)["Admitted"] == ("False", "Finished", "Workload has finished")


def test_a_condition_that_stays_keeps_its_time():
    item = admitted()
    draft = Draft(item, AT + timedelta(seconds=5))
    draft.set("Admitted", "True", "Other", "words")
    assert draft.changed
    assert next(each for each in draft.status["conditions"] if each["type"] == "Admitted")["lastTransitionTime"] == (
        "2026-01-01T00:00:00Z"
    )
    same = Draft(item, AT + timedelta(seconds=5))
    same.reserve("cq", item["status"]["admission"]["podSetAssignments"])
    assert not same.changed


LOCAL: Object = {"metadata": {"namespace": "ns", "name": "lq", "generation": 1}, "spec": {"clusterQueue": "cq"}}


def queues(*, local: Object | None = LOCAL, cluster: Object | None = None, flavor: bool = True) -> Cache:
    found = Cache(lambda key: None)
    if flavor:
        found.flavor("f", {"metadata": {"name": "f"}})
    if cluster is not None:
        flavors = [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": "4"}]}]
        spec = {"resourceGroups": [{"coveredResources": ["cpu"], "flavors": flavors}], **cluster}
        found.cluster_queue("cq", {"metadata": {"name": "cq", "generation": 1}, "spec": spec})
    if local is not None:
        found.local_queue(("ns", "lq"), local)
    return found


@pytest.mark.parametrize(
    ("cache", "text"),
    [
        (queues(local=None), "LocalQueue lq doesn't exist"),
        (queues(), "ClusterQueue cq doesn't exist"),
        (queues(cluster={}, flavor=False), "ClusterQueue cq is inactive"),
        (queues(cluster={"stopPolicy": "Hold"}), "ClusterQueue cq is inactive"),
        (queues(cluster={}, local={**LOCAL, "spec": {"clusterQueue": "cq", "stopPolicy": "Hold"}}),
         "LocalQueue lq is inactive"),
    ],
)  # fmt: skip
def test_why_a_workload_is_not_even_tried(cache: Cache, text: str):
    plan = reconcile(workload(), cache, AT)
    assert plan.status is not None
    assert conditions(plan.status)["QuotaReserved"] == ("False", "Inadmissible", text)
    assert reconcile(after(workload(), Draft({**workload(), "status": plan.status}, AT)), cache, AT).status is None


def test_a_workload_that_can_be_tried_is_left_alone():
    assert reconcile(workload(), queues(cluster={}), AT).status is None


@pytest.mark.parametrize(
    ("cache", "reason", "text"),
    [
        (queues(cluster={"stopPolicy": "HoldAndDrain"}), "ClusterQueueStopped", "The ClusterQueue is stopped"),
        (queues(cluster={}, local={**LOCAL, "spec": {"clusterQueue": "cq", "stopPolicy": "HoldAndDrain"}}),
         "LocalQueueStopped", "The LocalQueue is stopped"),
    ],
)  # fmt: skip
def test_draining_evicts_what_runs(cache: Cache, reason: str, text: str):
    plan = reconcile(admitted(), cache, AT)
    assert plan.status is not None
    assert conditions(plan.status)["Evicted"] == ("True", reason, text)
    assert [(each.type, each.reason, each.message) for each in plan.events] == [
        ("Normal", f"EvictedDueTo{reason}", text)
    ]


def test_holding_lets_run_what_runs():
    assert reconcile(admitted(), queues(cluster={"stopPolicy": "Hold"}), AT).status is None


@pytest.mark.parametrize(
    ("reason", "becomes"),
    [("ClusterQueueStopped", "ClusterQueueRestarted"), ("LocalQueueStopped", "LocalQueueRestarted")],
)
def test_what_was_drained_is_queued_again(reason: str, becomes: str):
    draft = Draft(workload(), AT)
    draft.requeue(reason, "stopped", ready=False)
    plan = reconcile(after(workload(), draft), queues(cluster={}), AT)
    assert plan.status is not None
    assert conditions(plan.status)["Requeued"][:2] == ("True", becomes)


def test_deactivation_and_reactivation():
    item = admitted()
    item["spec"]["active"] = False
    plan = reconcile(item, queues(cluster={}), AT)
    assert plan.status is not None
    assert conditions(plan.status)["Evicted"][1] == "Deactivated"
    assert plan.events[0].reason == "EvictedDueToDeactivated"
    draft = Draft(item, AT)
    draft.requeue("Deactivated", "The workload is deactivated", ready=False)
    plan = reconcile(after(item, draft, active=True), queues(cluster={}), AT)
    assert plan.status is not None
    assert conditions(plan.status)["Requeued"] == ("True", "Reactivated", "The workload was reactivated")


def test_the_longest_time_of_a_workload():
    item = admitted()
    item["spec"]["maximumExecutionTimeSeconds"] = 10
    early = reconcile(item, queues(cluster={}), AT + timedelta(seconds=4))
    assert (early.status, early.again) == (None, 6)
    late = reconcile(item, queues(cluster={}), AT + timedelta(seconds=10))
    assert late.status is not None
    assert late.events[0].message == "The maximum execution time (10s) exceeded"
    item["status"] = late.status
    assert reconcile(item, queues(cluster={}), AT).deactivate
    item["spec"]["active"] = False
    evicted = reconcile(item, queues(cluster={}), AT).status
    assert evicted is not None
    assert conditions(evicted)["Evicted"] == (
        "True", "DeactivatedDueToMaximumExecutionTimeExceeded",
        "The workload is deactivated due to exceeding the maximum execution time",
    )  # fmt: skip


def test_a_workload_that_nobody_owns_is_let_go():
    item = workload()
    item["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", ownerReferences=[])
    assert reconcile(item, queues(), AT).release


def test_the_status_of_queues():
    cache = queues(cluster={})
    cache.workload(("ns", "a"), admitted())
    cache.workload(("ns", "b"), workload())
    found = cluster_status(cache.clusters["cq"], AT)
    usage = [{"name": "f", "resources": [{"name": "cpu", "total": "1", "borrowed": "0"}]}]
    assert found["flavorsReservation"] == found["flavorsUsage"] == usage
    assert (found["pendingWorkloads"], found["reservingWorkloads"], found["admittedWorkloads"]) == (1, 1, 1)
    queue = local_status(cache.locals["ns", "lq"], cache, AT)
    assert conditions(queue)["Active"][1] == "ClusterQueueIsInactive"  # until the ClusterQueue says that it is active
    assert queue["flavorUsage"] == [{"name": "f", "resources": [{"name": "cpu", "total": "1"}]}]


def job(**spec: Any) -> Object:
    labels = {"batch.kubernetes.io/job-name": "j", "job-name": "j", "controller-uid": "u", "own": "yes"}
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}]
    pod = {"containers": [{"name": "c", "env": env}], "nodeSelector": {"zone": "a"}}
    template = {"metadata": {"labels": labels}, "spec": pod}
    meta = {"name": "j", "namespace": "ns", "uid": "u", "labels": {kueue.QUEUE_LABEL: "lq"}}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
        "spec": {"parallelism": 3, "completions": 2, "suspend": True, "template": template, **spec},
    }  # fmt: skip


def test_the_workload_of_a_job():
    found = jobs.new_workload(job(), (5, "high", "source"))
    assert found["metadata"]["finalizers"] == [kueue.FINALIZER]
    assert found["spec"]["priority"] == 5
    (main,) = found["spec"]["podSets"]
    assert main["count"] == 2
    assert main["template"]["metadata"]["labels"] == {"batch.kubernetes.io/job-name": "j", "own": "yes"}
    env = main["template"]["spec"]["containers"][0]["env"]
    assert {each["name"]: each["value"] for each in env} == {"A": "3", "B": "2"}
    assert jobs.equivalent(job(), found)
    assert not jobs.equivalent(job(parallelism=1), found)


def test_a_job_is_started_and_restored():
    item = workload()
    item["status"] = admitted()["status"]
    tolerations = [{"key": "spot", "operator": "Exists"}]
    flavors = {"f": {"spec": {"nodeLabels": {"pool": "spot"}, "tolerations": tolerations}}}
    before = job()
    kept = copy.deepcopy(before)
    started = jobs.started(before, jobs.placements(item, flavors))
    template = started["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"zone": "a", "pool": "spot"}
    assert template["spec"]["tolerations"] == tolerations
    assert template["metadata"]["labels"][kueue.POD_SET_LABEL] == "main"
    assert template["metadata"]["annotations"] == {kueue.WORKLOAD_ANNOTATION: "w"}
    assert started["spec"]["suspend"] is False
    sets = jobs.new_workload(before, (0, "", ""))["spec"]["podSets"]
    restored = jobs.restored({**started, "spec": {**started["spec"], "suspend": True}}, sets)
    assert restored == kept == before


def test_a_flavor_that_contradicts_a_job_cannot_start_it():
    item = workload()
    item["status"] = admitted()["status"]
    with pytest.raises(jobs.StartError, match="conflict for key=zone, value1=a, value2=b"):
        jobs.started(job(), jobs.placements(item, {"f": {"spec": {"nodeLabels": {"zone": "b"}}}}))


@pytest.mark.parametrize(
    ("status", "count"), [({}, []), ({"succeeded": 1}, [{"name": "main", "count": 2}]), ({"succeeded": 0}, [])]
)
def test_pods_that_are_done_give_their_quota_back(status: Object, count: list[Object]):
    assert jobs.reclaimable({**job(), "status": status}) == count


def test_a_stopped_job_is_suspended_only_when_all_is_done():
    item = job()
    assert jobs.is_suspended(item)
    item["metadata"]["annotations"] = {kueue.STOPPING_ANNOTATION: "true"}
    assert not jobs.is_suspended(item)


def test_jobsets():
    def replicated(name: str, replicas: int) -> Object:
        pod = {"spec": {"containers": [{"name": "c"}]}}
        return {"name": name, "replicas": replicas, "template": {"spec": {"parallelism": 2, "template": pod}}}

    states = [{"name": "a", "succeeded": 1, "active": 0}, {"name": "b", "succeeded": 0, "active": 1}]
    item = {
        "kind": "JobSet", "metadata": {"name": "s", "namespace": "ns", "uid": "u"},
        "spec": {"replicatedJobs": [replicated("a", 1), replicated("b", 3)]},
        "status": {"replicatedJobsStatus": states},
    }  # fmt: skip
    assert [(each["name"], each["count"]) for each in jobs.pod_sets(item)] == [("a", 2), ("b", 6)]
    assert jobs.is_running(item)
    assert jobs.reclaimable(item) == [{"name": "a", "count": 2}]
    assert jobs.finished(item) is None
    item["status"]["conditions"] = [{"type": "Completed", "status": "True", "message": "all"}]
    assert jobs.finished(item) == jobs.Finished(True, "all")
