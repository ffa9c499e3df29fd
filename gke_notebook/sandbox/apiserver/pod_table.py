"""The row of a pod: what its containers do, in one word.

Source of the rules: Kubernetes 1.34 (`pkg/printers/internalversion`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .durations import since

Object = dict[str, Any]

_NONE = "<none>"


class _Restarts:
    """Counts restarts and remembers the last."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, container: Object) -> None:
        self.count += container.get("restartCount", 0)
        ended = (container.get("lastState") or {}).get("terminated") or {}
        self.last = max(self.last, ended.get("finishedAt") or "")

    def text(self, now: datetime) -> str:
        return f"{self.count} ({since(self.last, now)} ago)" if self.count and self.last else str(self.count)


def _ended(terminated: Object, prefix: str = "") -> str:
    if terminated.get("reason"):
        return prefix + str(terminated["reason"])
    if terminated.get("signal"):
        return f"{prefix}Signal:{terminated['signal']}"
    return f"{prefix}ExitCode:{terminated.get('exitCode', 0)}"


def _is_true(pod_status: Object, kind: str) -> bool:
    return any(each.get("type") == kind and each.get("status") == "True" for each in pod_status.get("conditions") or ())


class _Summary:
    """What a pod's row says, gathered container by container."""

    def __init__(self, pod: Object) -> None:
        self.spec, self.status = pod.get("spec") or {}, pod.get("status") or {}
        self.reason = self.status.get("reason") or self.status.get("phase", "")
        for condition in self.status.get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
                self.reason = "SchedulingGated"
        self.ready = 0
        self.restarts = _Restarts()
        self.sidecars = {
            each.get("name") for each in self.spec.get("initContainers") or () if each.get("restartPolicy") == "Always"
        }
        self.total = len(self.spec.get("containers") or ()) + len(self.sidecars)
        if not self._initializing() or _is_true(self.status, "Initialized"):
            self._containers()

    def _initializing(self) -> bool:
        """Look at the init containers; tell whether one of them is still what the pod waits for."""
        of_sidecars = _Restarts()
        init = self.spec.get("initContainers") or ()
        for index, container in enumerate(self.status.get("initContainerStatuses") or ()):
            self.restarts.add(container)
            sidecar = container.get("name") in self.sidecars
            if sidecar:
                of_sidecars.add(container)
            state = container.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if terminated is not None and terminated.get("exitCode", 0) == 0:
                continue
            if sidecar and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            if terminated is not None:
                self.reason = _ended(terminated, "Init:")
            elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{index}/{len(init)}"
            self.of_sidecars = of_sidecars
            return True
        self.of_sidecars = of_sidecars
        return False

    def _containers(self) -> None:
        self.restarts = self.of_sidecars
        running = False
        for container in reversed(self.status.get("containerStatuses") or ()):
            self.restarts.add(container)
            state = container.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                self.reason = waiting["reason"]
            elif terminated is not None:
                self.reason = _ended(terminated)
            elif container.get("ready") and state.get("running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if _is_true(self.status, "Ready") else "NotReady"


def _gates(spec: Object, pod_status: Object) -> str:
    gates = [each.get("conditionType", "") for each in spec.get("readinessGates") or ()]
    return f"{sum(_is_true(pod_status, gate) for gate in gates)}/{len(gates)}" if gates else _NONE


def pod_cells(pod: Object, now: datetime) -> list[Any]:
    """Give the cells of a pod's row.

    Args:
        pod: the pod.
        now: the present, with a time zone.
    """
    found = _Summary(pod)
    metadata, phase = pod["metadata"], found.status.get("phase", "")
    state = found.reason
    if metadata.get("deletionTimestamp"):
        if found.status.get("reason") == "NodeLost":
            state = "Unknown"
        elif phase not in {"Succeeded", "Failed"}:
            state = "Terminating"
    addresses = found.status.get("podIPs") or ()
    return [
        metadata.get("name", ""),
        f"{found.ready}/{found.total}",
        state,
        found.restarts.text(now),
        since(metadata.get("creationTimestamp"), now),
        (addresses[0].get("ip") if addresses else "") or _NONE,
        found.spec.get("nodeName") or _NONE,
        found.status.get("nominatedNodeName") or _NONE,
        _gates(found.spec, found.status),
    ]
