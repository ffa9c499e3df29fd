"""What a job looks like at one moment, as plain data: what `observe` returns and every view shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gke_notebook.insight.rungs import Ladder

Phase = Literal["queued", "starting", "running", "succeeded", "failed", "cancelled", "deleted"]
NodePhase = Literal["waiting", "scheduled", "starting", "running", "succeeded", "failed", "stopped"]
ENDED: tuple[Phase, ...] = ("succeeded", "failed", "cancelled", "deleted")


@dataclass(frozen=True)
class Span:
    """How long the job was in one phase.

    Args:
        phase: its name, as shown: ``queued``, ``starting``, ``running``, or ``total`` when no more is known.
        seconds: how long, up to now for the phase that lasts.
    """

    phase: str
    seconds: float


@dataclass(frozen=True)
class NodeState:
    """One node of the job: the newest pod of one completion index.

    Args:
        index: the completion index, from 0, counted over all slices.
        ranks: the global ranks that run in it.
        phase: where it stands; ``stopped`` when it did not fail itself but was told to end, with its job.
        pod: the pod's name, empty when there is none yet.
        node: the Kubernetes node it is bound to.
        attempt: 0 for the first pod of this index, 1 for the second, and so on.
        reason: the machine-readable reason of a wait or failure, for example ``ImagePullBackOff``.
        message: its text, for example the scheduler's.
        exit_code: of the container, once it has ended.
        started: when the container started.
        finished: when it ended.
        termination: the container's termination message, as the launcher wrote it.
    """

    index: int
    ranks: tuple[int, ...] = ()
    phase: NodePhase = "waiting"
    pod: str = ""
    node: str = ""
    attempt: int = 0
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    termination: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a job failed: the first rank that failed, in time.

    Args:
        rank: the global rank, None when no rank can be named (a deadline, for example).
        pod: its pod.
        exit_code: its exit code, if it had one.
        reason: a short text: ``exit code 1``, ``killed by signal 9 (SIGKILL)``, ``DeadlineExceeded``.
        message: the exception's own line, or the cluster's message.
        traceback: the traceback with the cell's line numbers, empty when there is none.
        others: how many other ranks failed after it.
    """

    rank: int | None
    pod: str
    exit_code: int | None
    reason: str
    message: str
    traceback: str = ""
    others: int = 0


@dataclass(frozen=True)
class JobState:
    """A job at one moment.

    Args:
        name: the job's name.
        namespace: where it runs.
        run: the id of the run.
        owner: who submitted it.
        phase: where it stands.
        sentence: the state in one sentence, with the reason of a wait if it is known.
        spans: the phases so far, in order.
        nodes: one entry a completion index, in order.
        procs_per_node: processes on each node.
        framework: whose rendezvous is wired.
        created: when the Job was created.
        scheduled: when its first pod was given a node.
        started: when the first container started.
        finished: when the job ended.
        failure: why it failed, None otherwise.
        price_usd_hour: the planned price, None when unknown.
        simulated: whether the accelerators it runs on are pretended.
        ladder: the ways its machines are to be had, and where it stands; None without a fallback.
        slices: how many TPU slices its nodes make up; with more than one it is a JobSet.
    """

    name: str
    namespace: str
    run: str = ""
    owner: str = ""
    phase: Phase = "queued"
    sentence: str = ""
    spans: tuple[Span, ...] = ()
    nodes: tuple[NodeState, ...] = ()
    procs_per_node: int = 1
    framework: str = "none"
    created: datetime | None = None
    scheduled: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    failure: Failure | None = None
    price_usd_hour: float | None = None
    simulated: bool = False
    ladder: Ladder | None = None
    slices: int = 1

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ENDED

    @property
    def ranks(self) -> int:
        """How many processes run in all."""
        return len(self.nodes) * self.procs_per_node
