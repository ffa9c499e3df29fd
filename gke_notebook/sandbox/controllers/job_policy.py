"""The rules of a Job: pod failure policy, success policy, back-off; pure.

Semantics and texts: kubernetes 1.34, pkg/controller/job (pod_failure_policy.go, success_policy.go, backoff_utils.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gke_notebook.sandbox.controllers.indexes import Indexes
from gke_notebook.sandbox.controllers.meta import Object, finished_time

POD_BACKOFF = 10.0  # seconds after the first failure, doubled with each
MAX_POD_BACKOFF = 600.0


@dataclass(frozen=True)
class Verdict:
    """What a pod failure policy says of a failed pod.

    Args:
        counts: whether the failure counts towards the limits.
        action: the action of the rule that matched, empty when none did.
        message: why the Job fails, for the action FailJob.
    """

    counts: bool = True
    action: str = ""
    message: str = ""


def judge(policy: Object | None, pod: Object) -> Verdict:
    """Apply a pod failure policy to a failed pod; the first rule that matches decides.

    Args:
        policy: the Job's `spec.podFailurePolicy`, None when there is none.
        pod: the pod.
    """
    for index, rule in enumerate((policy or {}).get("rules") or ()):
        action = str(rule.get("action", ""))
        where = f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"
        if rule.get("onExitCodes") is not None:
            status = _match_exit_codes(pod.get("status") or {}, rule["onExitCodes"])
            if status is None:
                continue
            code = status["state"]["terminated"]["exitCode"]
            message = (
                f"Container {status['name']} for pod {where} failed with exit code {code} "
                f"matching {action} rule at index {index}"
            )
        else:
            condition = _match_conditions(pod.get("status") or {}, rule.get("onPodConditions") or ())
            if condition is None:
                continue
            message = f"Pod {where} has condition {condition['type']} matching {action} rule at index {index}"
        return Verdict(action != "Ignore", action, message if action == "FailJob" else "")
    return Verdict()


def _match_exit_codes(status: Object, requirement: Object) -> Object | None:
    values = set(requirement.get("values") or ())
    inside = requirement.get("operator") == "In"
    wanted = requirement.get("containerName")
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        terminated = (container.get("state") or {}).get("terminated")
        if not terminated or wanted not in (None, container.get("name")):
            continue
        code = terminated.get("exitCode", 0)
        if code != 0 and (code in values) == inside:
            found: Object = container
            return found
    return None


def _match_conditions(status: Object, patterns: Sequence[Object]) -> Object | None:
    for condition in status.get("conditions") or ():
        for pattern in patterns:
            if condition.get("type") == pattern.get("type") and condition.get("status") == pattern.get(
                "status", "True"
            ):
                found: Object = condition
                return found
    return None


def success_message(policy: Object | None, completions: int, succeeded: Indexes) -> str:
    """Say which rule of a success policy is met, or nothing.

    Args:
        policy: the Job's `spec.successPolicy`, None when there is none.
        completions: how many indexes there are.
        succeeded: the indexes that have succeeded.
    """
    for index, rule in enumerate((policy or {}).get("rules") or ()):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            required = Indexes.parse(rule["succeededIndexes"], completions)
            if not required:
                continue
            met = required.overlap(succeeded)
            if met == len(required) or (count is not None and met >= count):
                return f"Matched rules at index {index}"
        elif count is not None and len(succeeded) >= count:
            return f"Matched rules at index {index}"
    return ""


@dataclass(frozen=True)
class Backoff:
    """How often a Job's pods have failed since one last succeeded.

    Args:
        failures: consecutive failures.
        last: when the last one was.
    """

    failures: int = 0
    last: datetime | None = None

    def after(self, succeeded: Iterable[Object], failed: Iterable[Object]) -> Backoff:
        """Take newly finished pods into account.

        Args:
            succeeded: pods not yet counted that have succeeded.
            failed: pods not yet counted that have failed.
        """
        failures = sorted(finished_time(pod) for pod in failed)
        successes = [finished_time(pod) for pod in succeeded]
        if successes:
            failures = [time for time in failures if time > max(successes)]
            return Backoff(len(failures), failures[-1] if failures else None)
        if not failures:
            return self
        return Backoff(self.failures + len(failures), failures[-1])

    def remaining(self, now: datetime) -> float:
        """Say how many seconds to wait before the next pod."""
        return remaining_backoff(self.failures, self.last, now)


def remaining_backoff(failures: int, last: datetime | None, now: datetime) -> float:
    """Say how many seconds of a back-off are left: 10 s after one failure, doubled with each, at most 10 min.

    Args:
        failures: consecutive failures.
        last: when the last one was.
        now: the time.

    Example:
        >>> from datetime import timezone
        >>> start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        >>> remaining_backoff(3, start, start)
        40.0
    """
    if failures <= 0 or last is None:
        return 0.0
    wait = min(MAX_POD_BACKOFF, POD_BACKOFF * 2.0 ** min(failures - 1, 30))
    return max(0.0, wait - (now - last).total_seconds())
