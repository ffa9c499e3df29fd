"""A pod's status as a kubelet writes it, made from the states of its containers (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

# The kubelet's words for a pod that ends with its node (seen in public reports of spot nodes; reason as of 1.24).
NODE_SHUTDOWN = ("Terminated", "Pod was terminated in response to imminent node shutdown.")
VANISHED = "The container could not be located when the pod was terminated"


@dataclass
class ContainerRecord:
    """One container as the agent knows it.

    Args:
        name: its name.
        image: its image as declared.
        init: whether it is an init container.
        sidecar: whether it is an init container that goes on (``restartPolicy: Always``).
        state: its `state`, one key of waiting, running, terminated.
        last_state: its `lastState`.
        restarts: how often it was started again.
        container_id: the id of its newest instance.
        image_id: what stands for the image.
        final: whether it has ended and will not be started again.
    """

    name: str
    image: str = ""
    init: bool = False
    sidecar: bool = False
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: Object = field(default_factory=dict)
    restarts: int = 0
    container_id: str = ""
    image_id: str = ""
    final: bool = False

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """Its exit code when it has ended and was not started again."""
        terminated = self.state.get("terminated")
        return int(terminated["exitCode"]) if terminated else None


def terminated(
    exit_code: int,
    *,
    started: str = "",
    finished: str = "",
    container_id: str = "",
    message: str = "",
    reason: str = "",
) -> Object:
    """Make a `terminated` state.

    Args:
        exit_code: 128 and the signal's number when a signal ended it.
        started: when it was started, as RFC 3339; empty when never.
        finished: when it ended.
        container_id: the id of the instance.
        message: the termination message.
        reason: ``Completed`` or ``Error`` when empty.
    """
    state: Object = {
        "exitCode": exit_code,
        "reason": reason or ("Completed" if exit_code == 0 else "Error"),
    }
    known = {"startedAt": started, "finishedAt": finished, "message": message, "containerID": container_id}
    state.update({key: value for key, value in known.items() if value})
    return {"terminated": state}


def restarts_after(policy: str, exit_code: int) -> bool:
    """Say whether a container that has ended is started again.

    Args:
        policy: ``Always``, ``OnFailure`` or ``Never``.
        exit_code: how it ended.
    """
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def phase(records: Sequence[ContainerRecord], *, terminal: bool = False) -> str:
    """Compute a pod's phase.

    Args:
        records: its containers, init containers first.
        terminal: whether nothing of it will run again.

    Example:
        >>> phase([ContainerRecord("main", state={"running": {}})])
        'Running'
    """
    main = [record for record in records if not record.init]
    for record in records:
        if not record.init:
            continue
        if record.sidecar:
            if not (record.running or record.restarts or record.last_state or record.final):
                return "Failed" if terminal else "Pending"
        elif record.exit_code != 0:
            if terminal or (record.final and record.exit_code is not None):
                return "Failed"
            return "Pending"
    codes = [record.exit_code for record in main]
    ended = [record for record in main if record.exit_code is not None and (record.final or terminal)]
    # No final phase while a container still runs: a sidecar ends after the others.
    if len(ended) == len(main) and not any(record.running for record in records):
        return "Succeeded" if all(code == 0 for code in codes) else "Failed"
    if any(record.running or record.restarts or record.exit_code is not None or record.last_state for record in main):
        return "Running"
    return "Pending"


def container_status(record: ContainerRecord) -> Object:
    """Make the `containerStatuses` entry of one container.

    Args:
        record: the container.
    """
    ready = record.running or (record.init and not record.sidecar and record.exit_code == 0)
    status: Object = {
        "name": record.name,
        "image": record.image,
        "imageID": record.image_id,
        "ready": ready,
        "started": record.running,
        "restartCount": record.restarts,
        "state": record.state,
        "lastState": record.last_state,
    }
    if record.container_id:
        status["containerID"] = record.container_id
    return status


def conditions(
    records: Sequence[ContainerRecord], pod_phase: str, previous: Sequence[Object], now: str, *, sandbox_ready: bool
) -> list[Object]:
    """Make the conditions a kubelet owns; the time of one that keeps its status is kept.

    Args:
        records: the pod's containers, init containers first.
        pod_phase: the pod's phase.
        previous: the conditions so far.
        now: the time as RFC 3339.
        sandbox_ready: whether volumes are there and containers may start.
    """
    inits = [record for record in records if record.init]
    mains = [record for record in records if not record.init]
    open_inits = [r.name for r in inits if not (r.running if r.sidecar else r.exit_code == 0)]
    unready = [r.name for r in mains if not r.running]
    done = pod_phase == "Succeeded"
    if done:
        initialized = ("True", "PodCompleted", "")
        ready = ("False", "PodCompleted", "")
    else:
        initialized = (
            ("False", "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(open_inits)}]")
            if open_inits and not any(r.container_id for r in mains)
            else ("True", "", "")
        )
        if pod_phase == "Failed":
            ready = ("False", "PodFailed", "")
        elif unready:
            ready = ("False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
        else:
            ready = ("True", "", "")
    made = {
        "PodReadyToStartContainers": (
            "True" if sandbox_ready and pod_phase in ("Pending", "Running") else "False",
            "",
            "",
        ),
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
    }
    before = {condition.get("type"): condition for condition in previous}
    result: list[Object] = []
    for kind, (value, reason, message) in made.items():
        old = before.get(kind)
        kept = old is not None and old.get("status") == value and old.get("lastTransitionTime")
        condition: Object = {"type": kind, "status": value}
        condition["lastTransitionTime"] = old["lastTransitionTime"] if old is not None and kept else now
        for key, text in (("reason", reason), ("message", message)):
            if text:
                condition[key] = text
            elif old is not None and old.get(key):
                condition[key] = None  # the patch merges conditions by type: what no longer holds must be taken out
        result.append(condition)
    return result


def pod_status(
    records: Sequence[ContainerRecord],
    *,
    previous: Object,
    started: str,
    now: str,
    sandbox_ready: bool = True,
    terminal: bool = False,
    failed: tuple[str, str] | None = None,
) -> Object:
    """Make the status of a pod, as the body of a strategic merge patch.

    Args:
        records: its containers, init containers first.
        previous: the status so far, for the times of its conditions.
        started: when the kubelet took the pod, as RFC 3339.
        now: the time as RFC 3339.
        sandbox_ready: whether volumes are there.
        terminal: whether nothing of it will run again; containers that did not end are then reported as lost.
        failed: reason and message when the pod as a whole has failed (``DeadlineExceeded``).
    """
    if terminal:
        for record in records:
            if record.exit_code is None:
                record.state = terminated(137, message=VANISHED, reason="ContainerStatusUnknown")
                record.final = True
    pod_phase = "Failed" if failed else phase(records, terminal=terminal)
    status: Object = {
        "phase": pod_phase,
        "conditions": conditions(
            records, pod_phase, previous.get("conditions") or [], now, sandbox_ready=sandbox_ready
        ),
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "startTime": started,
        "containerStatuses": [container_status(record) for record in records if not record.init],
    }
    if sandbox_ready:
        status |= {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    if any(record.init for record in records):
        status["initContainerStatuses"] = [container_status(record) for record in records if record.init]
    if failed:
        status |= {"reason": failed[0], "message": failed[1]}
    if failed == NODE_SHUTDOWN:
        target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": failed[1]}
        status["conditions"] = [*status["conditions"], {**target, "lastTransitionTime": now}]
    return status


def vanished(record: ContainerRecord, previous: Object, policy: str) -> None:
    """Take over what an earlier agent has reported of a container that no longer runs.

    Args:
        record: the container, changed in place.
        previous: its entry in `containerStatuses`.
        policy: the pod's restart policy.
    """
    record.restarts = int(previous.get("restartCount") or 0)
    record.container_id = str(previous.get("containerID") or "")
    record.image_id = str(previous.get("imageID") or "")
    record.last_state = dict(previous.get("lastState") or {})
    state = previous.get("state") or {}
    if state.get("terminated"):
        record.state = {"terminated": state["terminated"]}
        record.final = not restarts_after(policy, int(state["terminated"].get("exitCode") or 0))
    elif state.get("running"):
        lost = terminated(137, container_id=record.container_id, message=VANISHED, reason="ContainerStatusUnknown")
        record.state = lost
        record.final = not restarts_after(policy, 137)


class Backoff:
    """The delay before a container is started again: none at first, then 10 s doubling to 5 min.

    A container that has run 10 min starts from the beginning (Kubernetes documentation, "Pod Lifecycle", 2026).
    """

    FIRST, MOST, FORGET = 10.0, 300.0, 600.0

    def __init__(self) -> None:
        self._delay = 0.0

    def next(self, ran: float) -> float:
        """Give the delay in seconds after a container has ended.

        Args:
            ran: how many seconds it had run.
        """
        if ran >= self.FORGET:
            self._delay = 0.0
        delay = self._delay
        self._delay = min(self.MOST, self._delay * 2 or self.FIRST)
        return delay
