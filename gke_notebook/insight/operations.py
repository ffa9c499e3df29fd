"""A long-running operation of the GKE API in words, with how far it has come; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from gke_notebook.insight.text import count

Object = Mapping[str, Any]

_KINDS = {
    "CREATE_NODE_POOL": "creating",
    "DELETE_NODE_POOL": "deleting",
    "SET_NODE_POOL_SIZE": "resizing",
    "SET_NODE_POOL_MANAGEMENT": "changing",
    "UPDATE_CLUSTER": "changing",
    "UPGRADE_NODES": "replacing the nodes of",
    "AUTO_UPGRADE_NODES": "upgrading",
    "AUTO_REPAIR_NODES": "repairing",
}
_ADVICE = (
    ("GCE_STOCKOUT", "other zones, another provisioning model or a smaller type may be there: %gke_accelerators"),
    ("does not have enough resources", "other zones, another provisioning model or a smaller type may be there"),
    ("quota", "%gke_quota shows what the project may have, and what to ask for"),
    ("capacity in your reservation", "the reservation is used up: fewer nodes, or another reservation"),
)


@dataclass(frozen=True)
class Stage:
    """One step of an operation.

    Args:
        name: the API's own name for it.
        status: ``pending``, ``running``, ``done`` or ``aborting``.
    """

    name: str
    status: str


@dataclass(frozen=True)
class OperationState:
    """Where an operation stands.

    Args:
        name: the API's name for it; empty for one that was not needed.
        pool: the node pool it works on.
        doing: what it does, as a participle, for example ``creating``.
        status: ``pending``, ``running``, ``aborting`` or ``done``.
        stages: its steps.
        nodes_done: nodes that are as they should be.
        nodes_total: nodes that it is about.
        detail: what it does at the moment.
        error: what has gone wrong, empty when nothing has.
        started: when it began.
        ended: when it ended, None while it goes on.
    """

    name: str
    pool: str
    doing: str
    status: str = "done"
    stages: tuple[Stage, ...] = ()
    nodes_done: int = 0
    nodes_total: int = 0
    detail: str = ""
    error: str = ""
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status == "done"

    @property
    def fraction(self) -> float:
        """How far it has come, from 0 to 1: by its stages, and within one that waits for nodes by the nodes."""
        if self.done and not self.error:
            return 1.0
        if not self.stages:
            return 0.0
        finished = sum(stage.status == "done" for stage in self.stages)
        share = self.nodes_done / self.nodes_total if finished == 1 and self.nodes_total else 0.0
        return min(1.0, (finished + min(1.0, share)) / len(self.stages))

    @property
    def sentence(self) -> str:
        """What is to be said of it, in one line."""
        what = f"{self.doing} node pool {self.pool}"
        if self.done:
            return f"{what}: failed: {self.error}" if self.error else f"{what}: done"
        nodes = f", {self.nodes_done} of {count(self.nodes_total, 'node')}" if self.nodes_total else ""
        return f"{what}: {self.detail or self.status}{nodes}"

    @property
    def advice(self) -> str:
        """What may help after an error; empty when nothing is known to."""
        return next((text for word, text in _ADVICE if word.lower() in self.error.lower()), "")

    def seconds(self, now: datetime) -> float:
        """Give how long it has taken.

        Args:
            now: the time, aware.
        """
        return max(0.0, ((self.ended or now) - self.started).total_seconds()) if self.started else 0.0


def observe_operation(operation: Object) -> OperationState:
    """Make the view of an operation.

    Args:
        operation: an ``Operation`` of the Container API.

    Example:
        >>> observe_operation({"name": "o", "operationType": "DELETE_NODE_POOL", "status": "RUNNING"}).doing
        'deleting'
    """
    progress: Object = operation.get("progress") or {}
    numbers = {str(one.get("name")): int(one.get("intValue") or 0) for one in progress.get("metrics") or ()}
    error: Object = operation.get("error") or {}
    text = str(error.get("message") or "") if error.get("code") or error.get("message") else ""
    stages = tuple(
        Stage(str(one.get("name") or ""), str(one.get("status") or "pending").lower())
        for one in progress.get("stages") or ()
    )
    running = next((stage.name for stage in stages if stage.status in {"running", "aborting"}), "")
    return OperationState(
        name=str(operation.get("name") or ""),
        pool=str(operation.get("targetLink") or "").rpartition("/nodePools/")[2],
        doing=_KINDS.get(str(operation.get("operationType")), "changing"),
        status=str(operation.get("status") or "pending").lower(),
        stages=stages,
        nodes_done=numbers.get("nodes done", 0),
        nodes_total=numbers.get("nodes total", 0),
        detail=str(operation.get("detail") or "") or running,
        error=" ".join(text.split()),
        started=_time(operation.get("startTime")),
        ended=_time(operation.get("endTime")),
    )


def _time(text: object) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    head, dot, fraction = text.removesuffix("Z").partition(".")
    if "+" in text:
        return datetime.fromisoformat(text)
    # The API gives nanoseconds; Python before 3.11 reads no more than microseconds.
    micros = f".{fraction[:6].ljust(6, '0')}" if dot else ""
    return datetime.fromisoformat(f"{head}{micros}").replace(tzinfo=timezone.utc)
