"""What a Job needs next: which pods to create, delete and count, and its status; pure.

Semantics and texts: kubernetes 1.34, pkg/controller/job/job_controller.go (`syncJob`, `manageJob`,
`trackJobStatusAndRemoveFinalizers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gke_notebook.sandbox.controllers import job_pods
from gke_notebook.sandbox.controllers.indexes import Indexes
from gke_notebook.sandbox.controllers.job_policy import Backoff, judge, remaining_backoff, success_message
from gke_notebook.sandbox.controllers.job_status import (
    clean,
    condition,
    count_released,
    ensure,
    is_finished,
    true_condition,
)
from gke_notebook.sandbox.controllers.meta import (
    Event,
    Object,
    clone,
    finished_time,
    is_active,
    is_deleting,
    is_terminating,
    is_true,
    parse_time,
    phase,
    timestamp,
)

MAX_PODS_PER_SYNC = 500  # created, deleted or counted at once (kubernetes: MaxPodCreateDeletePerSync, MaxUncountedPods)
DEFAULT_BACKOFF_LIMIT = 6


@dataclass
class Actions:
    """What to do for a Job, in this order: delete, create, write the status, release, settle.

    Args:
        create: pods to create.
        delete: pods to delete.
        delete_releases: whether the finalizer is taken off before, so that the pods are not counted as failed.
        status: the status to write; equal to the present one when nothing has changed.
        release: pods to take the finalizer off once the status is written.
        tracked: uids of the pods that have the finalizer before that.
        finished: the condition that ends the Job once every pod is counted.
        events: what to record.
        again: seconds after which to look again, None when only a change can matter.
        backoff: the back-off to remember once the status is written.
    """

    create: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    delete_releases: bool = False
    status: Object = field(default_factory=dict)
    release: list[Object] = field(default_factory=list)
    tracked: set[str] = field(default_factory=set)
    finished: Object | None = None
    events: list[Event] = field(default_factory=list)
    again: float | None = None
    backoff: Backoff = field(default_factory=Backoff)


def reconcile(job: Object, pods: Sequence[Object], now: datetime, backoff: Backoff | None = None) -> Actions:
    """Decide what a Job needs next.

    Args:
        job: the Job.
        pods: every pod it controls, those being deleted included.
        now: the time.
        backoff: what was remembered of its pods' failures.

    Example:
        >>> from datetime import timezone
        >>> job = {"metadata": {"name": "digits"}, "spec": {"parallelism": 2, "completions": 2}}
        >>> len(reconcile(job, [], datetime(2026, 1, 1, tzinfo=timezone.utc)).create)
        2
    """
    return _Sync(job, pods, now, backoff or Backoff()).run()


class _Sync:
    """One look at one Job; its fields are what the steps hand on."""

    def __init__(self, job: Object, pods: Sequence[Object], now: datetime, backoff: Backoff) -> None:
        self.job, self.spec, self.now = job, job["spec"], now
        self.indexed, self.per_index = job_pods.is_indexed(job), job_pods.per_index(job)
        self.completions: int | None = self.spec.get("completions")
        if self.completions is None and self.spec.get("parallelism") is None:
            self.completions = 1  # the API server's default, should the object have come without
        self.pods = sorted(pods, key=job_pods.completion_index) if self.indexed else list(pods)
        self.active_pods = [pod for pod in self.pods if is_active(pod)]
        self.status: Object = clone(job.get("status") or {})
        self.uncounted = {
            outcome: set((self.status.get("uncountedTerminatedPods") or {}).get(outcome) or ())
            for outcome in ("succeeded", "failed")
        }
        self.suspended = bool(self.spec.get("suspend"))
        self.policy = self.spec.get("podFailurePolicy")
        self.finished: Object | None = None
        self.succeeded_indexes = self.previous_indexes = Indexes()
        self.failed_indexes: Indexes | None = None
        self.delayed: dict[int, Object] = {}
        self.actions = Actions(backoff=backoff)

    def run(self) -> Actions:
        actions = self.actions
        if is_finished(self.job):
            actions.status = clean(self.status)
            return actions
        self._count()
        self._judge_end()
        if self.finished is not None:
            self._delete(self.active_pods, releases=False)
        else:
            managed = not is_deleting(self.job)
            if managed:
                self._manage()
            self._judge_completion(managed)
        self._track()
        return actions

    # What has happened.

    def _count(self) -> None:
        succeeded = self._new(lambda pod: phase(pod) == "Succeeded", self.uncounted["succeeded"])
        failed = self._new(lambda pod: job_pods.is_failed(pod, self.job), self.uncounted["failed"])
        counting = [pod for pod in failed if judge(self.policy, pod).counts]
        self.succeeded = (self.status.get("succeeded") or 0) + len(succeeded) + len(self.uncounted["succeeded"])
        self.failed = (self.status.get("failed") or 0) + len(counting) + len(self.uncounted["failed"])
        self.active = len(self.active_pods)
        self.ready = sum(1 for pod in self.active_pods if is_true(pod, "Ready"))
        self.terminating = sum(1 for pod in self.pods if is_terminating(pod))
        self.actions.backoff = self.actions.backoff.after(succeeded, failed)
        if not self.status.get("startTime") and not self.suspended:
            self.status["startTime"] = timestamp(self.now)

    def _new(self, matches: Callable[[Object], bool], counted: set[str]) -> list[Object]:
        return [
            pod
            for pod in self.pods
            if job_pods.is_tracked(pod)
            and pod["metadata"].get("uid") not in counted
            and (not self.indexed or self._valid(job_pods.completion_index(pod)))
            and matches(pod)
        ]

    def _valid(self, index: int) -> bool:
        return index != job_pods.UNKNOWN_INDEX and index < (self.completions or 0)

    # Whether the Job ends.

    def _judge_end(self) -> None:
        self.finished = true_condition(self.status, "SuccessCriteriaMet")
        if self.finished is None:
            target = true_condition(self.status, "FailureTarget")
            if target is not None:
                self.finished = condition("Failed", target.get("reason", ""), target.get("message", ""), self.now)
            else:
                self._judge_policy()
        if self.finished is None:
            self._judge_limits()
        if self.indexed:
            self._judge_indexes()

    def _fail(self, reason: str, message: str) -> None:
        self.finished = condition("FailureTarget", reason, message, self.now)

    def _judge_policy(self) -> None:
        if self.policy is None:
            return
        for pod in self.pods:
            message = judge(self.policy, pod).message if job_pods.is_failed(pod, self.job) else ""
            if message:
                self._fail("PodFailurePolicy", message)
                return

    def _judge_limits(self) -> None:
        limit = self.spec.get("backoffLimit")
        if limit is None:
            limit = 2**31 - 1 if self.per_index else DEFAULT_BACKOFF_LIMIT
        deadline = self.spec.get("activeDeadlineSeconds")
        started = parse_time(self.status.get("startTime"))
        if self.failed > limit or self._too_many_restarts(limit):
            self._fail("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif deadline is not None and started is not None and not self.suspended:
            left = deadline - (self.now - started).total_seconds()
            if left <= 0:
                self._fail("DeadlineExceeded", "Job was active longer than specified deadline")
            else:
                self._look_again(left)

    def _too_many_restarts(self, limit: int) -> bool:
        if ((self.spec.get("template") or {}).get("spec") or {}).get("restartPolicy") != "OnFailure":
            return False
        restarts = 0
        for pod in self.pods:
            status = pod.get("status") or {}
            if phase(pod) in ("Running", "Pending"):
                statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
                restarts += sum(item.get("restartCount", 0) for item in statuses)
        return restarts > 0 if limit == 0 else restarts >= limit

    def _judge_indexes(self) -> None:
        completions = self.completions or 0
        self.previous_indexes = Indexes.parse(self.status.get("completedIndexes"), completions)
        self.succeeded_indexes = self.previous_indexes | self._indexes(lambda pod: phase(pod) == "Succeeded")
        self.succeeded = len(self.succeeded_indexes)
        if self.per_index:
            failed = Indexes.parse(self.status.get("failedIndexes"), completions)
            failed |= self._indexes(lambda pod: job_pods.is_index_failed(pod, self.job))
            self.failed_indexes = failed
            most = self.spec.get("maxFailedIndexes")
            if self.finished is None and most is not None and len(failed) > most:
                text = "Job has exceeded the specified maximal number of failed indexes"
                self._fail("MaxFailedIndexesExceeded", text)
            elif self.finished is None and failed and len(failed) + self.succeeded >= completions:
                self._fail("FailedIndexes", "Job has failed indexes")
            active = {job_pods.completion_index(pod) for pod in self.active_pods}
            settled = {*active, *self.succeeded_indexes, *failed}
            self.delayed = job_pods.delayed_pods(self.job, self.pods, settled, set())
        if self.finished is None:
            message = success_message(self.spec.get("successPolicy"), completions, self.succeeded_indexes)
            if message:
                self.finished = condition("SuccessCriteriaMet", "SuccessPolicy", message, self.now)

    def _indexes(self, matches: Callable[[Object], bool]) -> Indexes:
        return Indexes.of(
            job_pods.completion_index(pod)
            for pod in self.pods
            if self._valid(job_pods.completion_index(pod)) and job_pods.is_tracked(pod) and matches(pod)
        )

    # How many pods there should be.

    def _delete(self, pods: Sequence[Object], *, releases: bool) -> None:
        self.actions.delete = list(pods)
        self.actions.delete_releases = releases
        self.active -= len(pods)
        self.terminating += len(pods)
        self.ready -= sum(1 for pod in pods if is_true(pod, "Ready"))

    def _manage(self) -> None:
        if self.suspended:
            self._delete(job_pods.pods_to_remove(self.job, self.active_pods, self.active), releases=True)
            return
        parallelism = self.spec.get("parallelism", 1)
        if self.completions is not None:
            wanted = max(0, min(self.completions - self.succeeded, parallelism))
        else:
            wanted = self.active if self.succeeded > 0 else parallelism
        surplus = job_pods.pods_to_remove(self.job, self.active_pods, max(0, self.active - wanted))
        if surplus:
            self._delete(surplus[:MAX_PODS_PER_SYNC], releases=True)
            return
        waiting = self.terminating if job_pods.only_replaces_failed(self.job) else 0
        missing = wanted - waiting - self.active
        if missing > 0:
            self._create(min(missing, MAX_PODS_PER_SYNC))

    def _create(self, count: int) -> None:
        if not self.per_index:
            wait = self.actions.backoff.remaining(self.now)
            if wait > 0:
                self._look_again(wait)
                return
        if not self.indexed:
            self.actions.create = [job_pods.make_pod(self.job) for _ in range(count)]
            self.active += count
            return
        taken = self.succeeded_indexes | Indexes.of(
            index for pod in self.active_pods if (index := job_pods.completion_index(pod)) >= 0
        )
        if job_pods.only_replaces_failed(self.job):
            taken |= Indexes.of(
                index for pod in self.pods if is_terminating(pod) and (index := job_pods.completion_index(pod)) >= 0
            )
        if self.failed_indexes is not None:
            taken |= self.failed_indexes
        indexes = taken.missing(count, self.completions or 0)
        if self.per_index:
            indexes = self._out_of_backoff(indexes)
        self.actions.create = [job_pods.make_pod(self.job, index, self.delayed.get(index)) for index in indexes]
        self.active += len(indexes)

    def _out_of_backoff(self, indexes: Sequence[int]) -> list[int]:
        free = []
        for index in indexes:
            pod = self.delayed.get(index)
            wait = 0.0
            if pod is not None:
                failures = job_pods.absolute_failure_count(pod) + 1
                wait = remaining_backoff(failures, finished_time(pod), self.now)
            if wait > 0:
                self._look_again(wait)
            else:
                free.append(index)
        return free

    def _look_again(self, seconds: float) -> None:
        self.actions.again = min(seconds, self.actions.again if self.actions.again is not None else seconds)

    def _judge_completion(self, managed: bool) -> None:
        if self.completions is None:
            complete = self.succeeded > 0 and self.active == 0
        else:
            complete = self.succeeded >= self.completions and self.active == 0
        if complete:
            text = "Reached expected number of succeeded pods"
            self.finished = condition("SuccessCriteriaMet", "CompletionsReached", text, self.now)
        elif managed:
            status, reason, text = (
                ("True", "JobSuspended", "Job suspended") if self.suspended else ("False", "JobResumed", "Job resumed")
            )
            wanted = condition("Suspended", reason, text, self.now, status)
            conditions, changed = ensure(self.status.get("conditions") or [], wanted)
            if changed:
                self.status["conditions"] = conditions
                self.actions.events.append(Event("Normal", text.removeprefix("Job ").capitalize(), text))
                if not self.suspended:
                    self.status["startTime"] = timestamp(self.now)

    # What is written down.

    def _track(self) -> None:
        actions, status = self.actions, self.status
        tracked_pods = [pod for pod in self.pods if job_pods.is_tracked(pod)]
        actions.tracked = {str(pod["metadata"].get("uid")) for pod in tracked_pods}
        status.update(active=self.active, ready=self.ready, terminating=self.terminating)
        status = count_released(status, actions.tracked)
        uncounted = status["uncountedTerminatedPods"]
        new_indexes: list[int] = []
        overflow = False
        for pod in tracked_pods:
            failed = job_pods.is_failed(pod, self.job)
            if not self._can_release(pod, failed):
                continue
            actions.release.append(pod)
            uid, index = str(pod["metadata"].get("uid")), job_pods.completion_index(pod)
            ends_as_failed = self.finished is not None and self.finished["type"] != "SuccessCriteriaMet"
            if phase(pod) == "Succeeded" and uid not in self.uncounted["failed"]:
                if self.indexed:
                    if self._valid(index) and index not in self.previous_indexes:
                        new_indexes.append(index)
                elif uid not in self.uncounted["succeeded"]:
                    uncounted["succeeded"].append(uid)
            elif (
                (failed or ends_as_failed)
                and uid not in self.uncounted["failed"]
                and (not self.indexed or self._valid(index))
                and judge(self.policy, pod).counts
            ):
                uncounted["failed"].append(uid)
            if len(new_indexes) + len(uncounted["succeeded"]) + len(uncounted["failed"]) >= MAX_PODS_PER_SYNC:
                overflow = True
                break
        if self.indexed:
            status["completedIndexes"] = str(self.succeeded_indexes)
            status["succeeded"] = len(self.succeeded_indexes)
            status["failedIndexes"] = None if self.failed_indexes is None else str(self.failed_indexes)
        self._track_end(status, overflow)
        actions.status = clean(status)

    def _track_end(self, status: Object, overflow: bool) -> None:
        finished = self.finished
        if finished is None:
            return
        interim = finished["type"]
        if interim in ("FailureTarget", "SuccessCriteriaMet"):
            if true_condition(status, interim) is None:
                status["conditions"] = [*(status.get("conditions") or ()), finished]
            final = "Failed" if interim == "FailureTarget" else "Complete"
            finished = condition(final, finished.get("reason", ""), finished.get("message", ""), self.now)
        if overflow:
            self._look_again(0.0)
        else:
            self.actions.finished = finished

    def _can_release(self, pod: Object, failed: bool) -> bool:
        if is_deleting(self.job) or self.finished is not None or phase(pod) == "Succeeded":
            return True
        if not failed:
            return False
        last = self.delayed.get(job_pods.completion_index(pod))
        return last is None or last["metadata"].get("uid") != pod["metadata"].get("uid")
