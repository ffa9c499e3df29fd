"""When a JobSet has succeeded, failed, or is to start anew.

Source of rules and texts: sigs.k8s.io/jobset v0.10.1 (`pkg/controllers/failure_policy.go`, `success_policy.go`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gke_notebook.sandbox.controllers.meta import Event, Object, find_condition

_NAME = "jobset.sigs.k8s.io/replicatedjob-name"
_ACTIONS = {
    "RestartJobSet": "applying RestartJobSet failure policy action",
    "RestartJobSetAndIgnoreMaxRestarts": "applying RestartJobSetAndIgnoreMaxRestarts failure policy action",
}


@dataclass
class Outcome:
    """What a failure leads to.

    Args:
        failed: reason and message of the condition `Failed`; None when the JobSet starts anew.
        counts: whether the new start counts towards the most allowed.
        events: what to record.
    """

    failed: tuple[str, str] | None = None
    counts: bool = True
    events: list[Event] = field(default_factory=list)


def succeeded(spec: Object, successful: Sequence[Object]) -> bool:
    """Say whether enough jobs have succeeded.

    Args:
        spec: the JobSet's spec, with its defaults.
        successful: the jobs that have succeeded.
    """
    policy = spec["successPolicy"]
    targets = policy.get("targetReplicatedJobs") or [each["name"] for each in spec["replicatedJobs"]]
    matching = sum(_parent(job) in targets for job in successful)
    if policy.get("operator") == "Any":
        return matching >= 1
    wanted = sum(int(each.get("replicas", 1)) for each in spec["replicatedJobs"] if each["name"] in targets)
    return matching >= wanted


def apply_failure_policy(jobset: Object, failed: Sequence[Object]) -> Outcome:
    """Decide what follows from failed jobs.

    Args:
        jobset: the JobSet.
        failed: its failed jobs of the current attempt; at least one.
    """
    policy = jobset["spec"].get("failurePolicy")
    if policy is None:
        return Outcome(("FailedJobs", _told("jobset failed due to one or more job failures", _first(failed))))
    action, job = "RestartJobSet", _first(failed)
    for rule in policy.get("rules") or ():
        matching = [each for each in failed if _applies(rule, each)]
        if matching:
            action, job = rule["action"], _first(matching)
            break
    if action == "FailJobSet":
        return Outcome(("FailJobSetFailurePolicyAction", _told("applying FailJobSet failure policy action", job)))
    counted = (jobset.get("status") or {}).get("restartsCountTowardsMax", 0)
    counts = action == "RestartJobSet"
    if counts and counted >= policy.get("maxRestarts", 0):
        return Outcome(("ReachedMaxRestarts", _told("jobset failed due to reaching max number of restarts", job)))
    event = Event("Warning", f"{action}FailurePolicyAction", _told(_ACTIONS[action], job))
    return Outcome(None, counts, [event])


def _parent(job: Object) -> str:
    return str((job["metadata"].get("labels") or {}).get(_NAME, ""))


def _first(jobs: Sequence[Object]) -> Object:
    return min(jobs, key=lambda job: str((find_condition(job, "Failed") or {}).get("lastTransitionTime", "")))


def _told(text: str, job: Object) -> str:
    return f"{text} (first failed job: {job['metadata']['name']})"


def _applies(rule: Object, job: Object) -> bool:
    condition = find_condition(job, "Failed") or {}
    reasons, patterns = rule.get("onJobFailureReasons"), rule.get("onJobFailureMessagePatterns")
    targets = rule.get("targetReplicatedJobs")
    if reasons and condition.get("reason") not in reasons:
        return False
    if patterns and not any(_matches(pattern, condition.get("message", "")) for pattern in patterns):
        return False
    return bool(_parent(job)) and (not targets or _parent(job) in targets)


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False  # the real controller logs a malformed pattern and goes on
