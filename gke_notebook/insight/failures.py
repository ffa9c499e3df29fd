"""Why a job failed: the first rank that failed, in time, with its exit code and traceback; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from gke_notebook.insight.state import Failure, JobState, NodeState
from gke_notebook.insight.text import count, duration, exit_text, named, one_line
from gke_notebook.launch.records import Outcome, decode_outcome
from gke_notebook.objects import Condition, Job

_LAST = datetime.max.replace(tzinfo=timezone.utc)
STOPPED = "stopped"  # the launcher's stage for a pod that was told to end: a consequence, not a cause
_STAGES = {
    "requirements": "installing its requirements failed",
    "files": "its included files could not be unpacked",
    "start": "the cell could not be started",
}
# Reasons of a Job's Failed condition (Kubernetes documentation, "Jobs", 2026-11), in words.
_CONDITIONS = {
    "BackoffLimitExceeded": "its pods failed more often than they may be retried",
    "FailedIndexes": "some of its nodes failed for good",
    "MaxFailedIndexesExceeded": "too many of its nodes failed",
    "PodFailurePolicy": "a pod failed in a way that is not retried",
}


@dataclass(frozen=True)
class _Candidate:
    node: NodeState
    outcome: Outcome | None
    time: datetime

    @property
    def stopped(self) -> bool:
        """Whether it only ended because it was told to."""
        return self.outcome is not None and self.outcome.stage == STOPPED


def find_failure(job: Job, nodes: Sequence[NodeState], condition: Condition) -> Failure:
    """Say why a job failed.

    Args:
        job: the Job.
        nodes: the newest pod of every index.
        condition: the Job's Failed or FailureTarget condition.
    """
    if condition.reason == "DeadlineExceeded":
        limit = job.spec.active_deadline_seconds
        allowed = f" of {duration(limit)}" if limit else ""
        return Failure(
            rank=None,
            pod="",
            exit_code=None,
            reason="DeadlineExceeded",
            message=f"it ran longer than its limit{allowed} (--max-duration) and was stopped",
        )
    candidates = sorted((_candidate(node) for node in nodes if node.phase == "failed"), key=_order)
    lost = _lost(job, nodes)
    if lost and all(candidate.stopped for candidate in candidates):
        return lost
    if not candidates:
        text = _CONDITIONS.get(condition.reason) or condition.message or "the Job controller gave up on it"
        return Failure(None, "", None, condition.reason or "failed", one_line(text))
    first = candidates[0]
    others = sum(1 for other in candidates[1:] if not other.stopped)
    return _failure(first, others, job)


def _lost(job: Job, nodes: Sequence[NodeState]) -> Failure | None:
    """Give the failure of a job whose pods went away under it: deleted, evicted or preempted; they leave no record."""
    failed = indexes(job.status.failed_indexes)
    gone = [node for node in nodes if node.index in failed and (node.phase != "failed" or was_stopped(node))]
    if not gone or any(node.index in failed and node not in gone for node in nodes):
        return None
    first = gone[0]
    alone = len(gone) == 1 and len(first.ranks) == 1
    pods = (
        "its pod" if alone else f"the {'pod' if len(gone) == 1 else 'pods'} of {named('node', [n.index for n in gone])}"
    )
    return Failure(
        rank=first.ranks[0] if alone else None,
        pod="",
        exit_code=None,
        reason=f"{pods} went away",
        message=one_line(first.message)
        or "deleted, or the node was drained or preempted; with --max-retries a pod is started again",
    )


def indexes(text: str) -> frozenset[int]:
    """Read a Job's list of completion indexes, in which ranges are written with a dash.

    Args:
        text: for example ``1,3-5,7``; empty for none.

    Example:
        >>> sorted(indexes("1,3-5,7"))
        [1, 3, 4, 5, 7]
    """
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def was_stopped(node: NodeState) -> bool:
    """Say whether a pod only ended because it was told to.

    Args:
        node: the node whose pod has ended.
    """
    outcome = decode_outcome(node.termination) if node.termination else None
    return outcome is not None and outcome.stage == STOPPED


def _candidate(node: NodeState) -> _Candidate:
    outcome = decode_outcome(node.termination) if node.termination else None
    failed_at = outcome.failed_at if outcome is not None else None
    return _Candidate(node, outcome, failed_at or node.finished or _LAST)


def _order(candidate: _Candidate) -> tuple[bool, datetime, int]:
    return (candidate.stopped, candidate.time, candidate.node.index)


def _failure(first: _Candidate, others: int, job: Job) -> Failure:
    node, outcome = first.node, first.outcome
    # One rank a node: whatever ended the container ended that rank.
    rank = outcome.rank if outcome is not None else node.ranks[0] if len(node.ranks) == 1 else None
    code = outcome.exit_code if outcome is not None else node.exit_code
    if node.reason == "OOMKilled":
        limit = next((c.resources.limits.get("memory") for c in job.spec.template.spec.containers), None)
        of = f" of {limit}" if limit else ""
        return Failure(
            rank=rank,
            pod=node.pod,
            exit_code=code,
            reason=f"out of memory (OOMKilled, exit code {node.exit_code})",
            message=f"its pod used more memory than the limit{of}; ask for more with --memory",
            others=others,
        )
    if code is None:
        return Failure(rank, node.pod, None, node.reason or "failed", one_line(node.message), others=others)
    reason = exit_text(code, outcome.signal if outcome is not None else 0)
    if outcome is None:
        # No launcher's record: the container was killed, or never got as far as the launcher.
        said = one_line(node.message or node.termination)
        extra = "" if node.reason in {"", "Error", "Completed"} else f" ({node.reason})"
        return Failure(rank, node.pod, code, reason + extra, said, others=others)
    stage = _STAGES.get(outcome.stage, "")
    error = outcome.error.removeprefix(reason).lstrip(" ,:")  # what has no exception says only how it ended
    message = ": ".join(part for part in (stage, error) if part)
    return Failure(rank, node.pod, code, reason, one_line(message, 2000), outcome.traceback.rstrip("\n"), others)


def who(failure: Failure) -> str:
    """Name what failed: the rank, or the pod when no rank can be named, or nothing.

    Args:
        failure: the failure.
    """
    if failure.rank is not None:
        return f"rank {failure.rank}"
    return f"pod {failure.pod}" if failure.pod else ""


def failure_line(failure: Failure) -> str:
    """Say in one line why a job failed.

    Args:
        failure: the failure.

    Example:
        >>> failure_line(Failure(1, "a-1", 1, "exit code 1", "ValueError: no"))
        'rank 1 failed with exit code 1: ValueError: no'
    """
    subject = who(failure)
    said = failure.reason
    if subject:
        verb = "was" if said.startswith("killed") else "failed with" if said.startswith("exit code") else "failed:"
        said = f"{subject} {verb} {said}"
    return one_line(f"{said}: {failure.message}" if failure.message else said, 600)


def failure_text(state: JobState) -> str:
    """Give the whole message of a failed job: one line, then the traceback with the cell's line numbers.

    Args:
        state: a job whose phase is ``failed``, ``cancelled`` or ``deleted``.
    """
    if state.failure is None:
        return f"job {state.name!r}: {state.sentence or state.phase}"
    lines = [f"job {state.name!r} failed: {failure_line(state.failure)}"]
    if state.failure.others:
        lines.append(f"({count(state.failure.others, 'other node')} failed after it)")
    if state.failure.traceback:
        lines += ["", state.failure.traceback]
    return "\n".join(lines)


def retry_line(node: NodeState) -> str:
    """Say which attempt a node is at.

    Args:
        node: a node whose attempt is above 0.
    """
    return f"{named('node', [node.index])} is at attempt {node.attempt + 1}"
