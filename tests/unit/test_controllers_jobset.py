"""What a JobSet needs next, without a server; the real controller's answers are in tests/contract."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gke_notebook.sandbox import jobsets
from gke_notebook.sandbox.controllers.jobset import reconcile
from gke_notebook.sandbox.controllers.meta import clone

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
PREFIX = "jobset.sigs.k8s.io/"


def jobset(**spec: Any) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    names = [("leader", 1), ("workers", 2)]
    replicated = [{"name": n, "replicas": r, "template": {"spec": {"template": clone(pod)}}} for n, r in names]
    meta = {"name": "js", "namespace": "ns", "uid": "u"}
    return {"metadata": meta, "spec": {"replicatedJobs": replicated, **spec}}


def after(found: dict[str, Any], plan: Any, *, ended: str = "", name: str = "") -> list[dict[str, Any]]:
    """Give the created jobs, one of them ended."""
    found["status"] = plan.status
    jobs = [{**clone(job), "status": {}} for job in plan.create]
    for job in jobs:
        if job["metadata"]["name"] == name:
            condition = {"type": ended, "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}
            job["status"]["conditions"] = [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    return jobs


def plan_of(found: dict[str, Any], jobs: list[dict[str, Any]], at: datetime = NOW) -> Any:
    return reconcile(found, jobs, has_service=True, at=at)


def test_the_jobset_itself_is_left_as_it_was():
    found = jobset()
    before = clone(found)
    plan = reconcile(found, [], has_service=False, at=NOW)
    assert found == before
    assert [job["metadata"]["name"] for job in plan.create] == ["js-leader-0", "js-workers-0", "js-workers-1"]
    assert plan.service["metadata"]["name"] == "js"
    assert plan.create[0]["spec"]["template"]["spec"]["subdomain"] == "js"


def test_what_is_there_is_not_created_again():
    found = jobset()
    jobs = after(found, plan_of(found, []))
    plan = plan_of(found, jobs)
    assert (plan.create, plan.delete, plan.events) == ([], [], [])


def test_indexes_run_over_the_whole_set_and_over_its_groups():
    found = jobset()
    found["spec"]["replicatedJobs"][0]["groupName"] = "control"
    marks = [job["metadata"]["labels"] for job in plan_of(found, []).create]
    assert [each[PREFIX + "job-global-index"] for each in marks] == ["0", "1", "2"]
    assert [each[PREFIX + "job-group-index"] for each in marks] == ["0", "0", "1"]
    assert [each[PREFIX + "group-replicas"] for each in marks] == ["1", "2", "2"]


@pytest.mark.parametrize(
    ("policy", "restarts", "failed"),
    [(None, 0, True), ({"maxRestarts": 0}, 0, True), ({"maxRestarts": 1}, 1, False)],
)
def test_a_failed_job(policy: dict[str, Any] | None, restarts: int, failed: bool):
    found = jobset(**({} if policy is None else {"failurePolicy": policy}))
    jobs = after(found, plan_of(found, []), ended="Failed", name="js-workers-1")
    plan = plan_of(found, jobs)
    assert plan.status["restarts"] == restarts
    assert (plan.status.get("terminalState") == "Failed") is failed
    assert "(first failed job: js-workers-1)" in plan.events[0].message


def test_a_new_start_waits_for_the_old_jobs_when_it_is_to():
    found = jobset(failurePolicy={"maxRestarts": 1, "restartStrategy": "BlockingRecreate"})
    jobs = after(found, plan_of(found, []), ended="Failed", name="js-workers-1")
    found["status"] = plan_of(found, jobs).status
    plan = plan_of(found, jobs[1:])
    assert ([job["metadata"]["name"] for job in plan.delete], plan.create) == (["js-workers-0", "js-workers-1"], [])
    found["spec"]["failurePolicy"]["restartStrategy"] = "Recreate"
    assert [job["metadata"]["name"] for job in plan_of(found, jobs[1:]).create] == ["js-leader-0"]


def test_a_finished_set_goes_when_its_time_has_come():
    found = jobset(ttlSecondsAfterFinished=60)
    condition = {"type": "Completed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    found["status"] = {"conditions": [condition]}
    early = plan_of(found, [], NOW + timedelta(seconds=20))
    assert (early.remove, early.again) == (False, 40.0)
    assert plan_of(found, [], NOW + timedelta(seconds=60)).remove


def test_exclusive_placement_by_node_selector_and_without():
    found = jobset()
    found["metadata"]["annotations"] = {jobsets.EXCLUSIVE: "pool"}
    jobsets.set_defaults(found)
    assert jobsets.check_create(found) == []
    template = plan_of(found, []).create[0]["spec"]["template"]
    assert template["metadata"]["annotations"][jobsets.EXCLUSIVE] == "pool"
    assert "nodeSelector" not in template["spec"]
    found["metadata"]["annotations"][jobsets.NODE_SELECTOR] = "true"
    assert jobsets.check_create(found) == []
    pod = plan_of(found, []).create[0]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"alpha.jobset.sigs.k8s.io/namespaced-job": "ns_js-leader-0"}


def test_only_a_suspended_set_may_have_its_templates_changed():
    old, new = jobset(), jobset()
    pod = new["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    pod["spec"]["nodeSelector"] = {"a": "b"}
    assert "field is immutable" in jobsets.check_update(new, old)[0]
    old["spec"]["suspend"] = new["spec"]["suspend"] = True
    assert jobsets.check_update(new, old) == []
    pod["spec"]["containers"][0]["image"] = "other"
    assert jobsets.check_update(new, old)
