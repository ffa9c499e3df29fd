"""What is written on a Workload as it is queued, admitted, evicted and finished; pure.

Source of conditions, reasons and texts: sigs.k8s.io/kueue v0.15.0 (`pkg/workload/workload.go`, `admissionchecks.go`).
"""

from __future__ import annotations

from datetime import datetime

from gke_notebook.sandbox.controllers.meta import Object, clone, condition_in, parse_time, timestamp

RESERVED, ADMITTED, FINISHED = "QuotaReserved", "Admitted", "Finished"
EVICTED, REQUEUED, DEACTIVATION = "Evicted", "Requeued", "DeactivationTarget"
PAST_SECONDS = "accumulatedPastExexcutionTimeSeconds"  # as v1beta1 spells it


def holds(workload: Object, type_: str) -> bool:
    """Say whether a condition of a Workload is true.

    Args:
        workload: the Workload.
        type_: the condition's type.
    """
    return value(workload, type_) == "True"


def value(workload: Object, type_: str) -> str:
    """Give the status of a condition: ``True``, ``False`` or empty."""
    return str(_find(workload, type_).get("status", ""))


def _find(workload: Object, type_: str) -> Object:
    return condition_in((workload.get("status") or {}).get("conditions") or (), type_) or {}


def is_active(workload: Object) -> bool:
    """Say whether a Workload may be queued."""
    return bool(workload["spec"].get("active", True))


class Draft:
    """A Workload's status while it is changed.

    Args:
        workload: the Workload; it is left as it is.
        at: the time.
    """

    def __init__(self, workload: Object, at: datetime) -> None:
        self.workload = workload
        self.status: Object = clone(workload.get("status") or {})
        self._at = at
        self._before = clone(self.status)

    @property
    def changed(self) -> bool:
        """Whether it differs from the status as stored."""
        return bool(self.status != self._before)

    def set(self, type_: str, status: str, reason: str, message: str, *, observed: bool = True) -> None:
        """Set a condition; its time moves only when its status does.

        Args:
            type_: its type.
            status: ``True`` or ``False``.
            reason: its reason.
            message: its text.
            observed: whether it says which generation it was judged by.
        """
        conditions: list[Object] = self.status.setdefault("conditions", [])
        old = condition_in(conditions, type_)
        moved = old is None or old["status"] != status
        new: Object = {"type": type_, "status": status, "reason": reason, "message": message[: 32 * 1024]}
        new["lastTransitionTime"] = timestamp(self._at) if old is None or moved else old["lastTransitionTime"]
        if observed:
            new["observedGeneration"] = self.workload["metadata"].get("generation", 1)
        if old is None:
            conditions.append(new)
        else:
            conditions[conditions.index(old)] = new

    def drop(self, type_: str) -> None:
        """Take a condition away."""
        self.status["conditions"] = [each for each in self.status.get("conditions") or () if each["type"] != type_]

    def _now(self, type_: str) -> Object:
        return condition_in(self.status.get("conditions") or (), type_) or {}

    def reserve(self, cluster_queue: str, assignments: list[Object]) -> None:
        """Write that quota is reserved, and that the Workload is admitted with it.

        Args:
            cluster_queue: where.
            assignments: the flavors and the usage of each pod set.
        """
        self.status["admission"] = {"clusterQueue": cluster_queue, "podSetAssignments": assignments}
        self.status.pop("resourceRequests", None)
        self.set(RESERVED, "True", "QuotaReserved", f"Quota reserved in ClusterQueue {cluster_queue}")
        evicted = self._now(EVICTED)
        if evicted.get("status") == "True":
            self.set(EVICTED, "False", "QuotaReserved", "Previously: " + evicted["message"])
        self.sync_admitted()

    def release(self, reason: str, message: str) -> None:
        """Write that no quota is reserved.

        Args:
            reason: why.
            message: in words.
        """
        self.set(RESERVED, "False", reason, message)
        self.status.pop("admission", None)
        self.sync_admitted()

    def sync_admitted(self) -> None:
        """Bring the condition Admitted in line with the reservation."""
        reserved = self._now(RESERVED).get("status") == "True"
        old = self._now(ADMITTED)
        admitted = old.get("status") == "True"
        if reserved == admitted:
            return
        if reserved:
            self.set(ADMITTED, "True", "Admitted", "The workload is admitted")
            return
        since = parse_time(old.get("lastTransitionTime"))
        if since is not None:
            seconds = int((self._at - since).total_seconds())
            self.status[PAST_SECONDS] = self.status.get(PAST_SECONDS, 0) + seconds
        if self._now(FINISHED).get("status") == "True":
            self.set(ADMITTED, "False", "Finished", "Workload has finished")
        else:
            self.set(ADMITTED, "False", "NoReservation", "The workload has no reservation")

    def requeue(self, reason: str, message: str, *, ready: bool) -> None:
        """Write whether the Workload may be queued again.

        Args:
            reason: why.
            message: in words.
            ready: whether it may.
        """
        self.set(REQUEUED, str(ready), reason, message)

    def evict(self, reason: str, message: str, cause: str = "") -> None:
        """Write that the Workload must give up its quota, and count it.

        Args:
            reason: why, for example ``Deactivated``.
            message: in words.
            cause: what lies behind it, empty for nothing.
        """
        self.set(EVICTED, "True", f"{reason}DueTo{cause}" if cause else reason, message)
        counts: list[Object] = self.status.setdefault("schedulingStats", {}).setdefault("evictions", [])
        for each in counts:
            if (each["reason"], each["underlyingCause"]) == (reason, cause):
                each["count"] += 1
                return
        counts.append({"reason": reason, "underlyingCause": cause, "count": 1})

    def finish(self, reason: str, message: str) -> None:
        """Write that the Workload has finished and gives up its quota.

        Args:
            reason: ``Succeeded``, ``Failed`` or why it could not be started.
            message: in words.
        """
        self.set(FINISHED, "True", reason, message)
        self.release("Finished", "Workload has finished")
