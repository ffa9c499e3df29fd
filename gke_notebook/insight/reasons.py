"""Why a pod waits, in one sentence, from its conditions, its container's state, its events and the nodes; pure.

The texts that are taken apart here are those of kube-scheduler, kubelet and GKE's cluster autoscaler (Kubernetes and
GKE documentation and observed events, 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from gke_notebook.insight.text import count, one_line
from gke_notebook.objects import ContainerStatus, Event, Node, Pod

_NONE_FITS = re.compile(r"^0/(\d+) nodes are available: (.*)$", re.DOTALL)
_FRAGMENT = re.compile(r"(\d+) (.+?)(?=, \d+ |\.?\s*$)", re.DOTALL)
_TAINT = re.compile(r"\{([^}:]+)")
FAILED_ZONES = re.compile(r"Node scale up in zones (.+?) associated with this pod failed: (.*?)\.? Pod is at risk")
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"}
_SETUP_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
_SCALE_EVENTS = {"TriggeredScaleUp", "NotTriggerScaleUp", "FailedScaleUp"}
_RESOURCE_WORDS = {"nvidia.com/gpu": "GPUs", "google.com/tpu": "TPU chips", "cpu": "CPUs", "memory": "memory"}
_SUFFIXES = {
    "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


def container_status(pod: Pod) -> ContainerStatus | None:
    """Give the status of the pod's own container; a sidecar that a webhook injected is passed over.

    Args:
        pod: the pod.
    """
    wanted = pod.spec.containers[0].name if pod.spec.containers else ""
    for status in pod.status.container_statuses:
        if status.name == wanted:
            return status
    return pod.status.container_statuses[0] if pod.status.container_statuses else None


def why_waiting(pod: Pod, events: Sequence[Event], nodes: Sequence[Node]) -> tuple[str, str]:
    """Say why a pod does not run yet.

    Args:
        pod: a pod whose container has not started.
        events: the events about that pod.
        nodes: the nodes of the cluster, empty when they may not be seen.

    Returns:
        The machine-readable reason (empty when nothing is wrong) and a sentence without a full stop.
    """
    if not pod.spec.node_name:
        return _unscheduled(pod, events, nodes)
    status = container_status(pod)
    waiting = status.state.waiting if status is not None else None
    reason = waiting.reason if waiting is not None else ""
    message = waiting.message if waiting is not None else ""
    image = pod.spec.containers[0].image if pod.spec.containers else ""
    if reason in _IMAGE_REASONS:
        failed = newest(events, {"Failed"}, containing="image")
        detail = failed.message if failed is not None else message
        said = f": {one_line(detail, 240)}" if detail else ""
        return reason, f"the image {image!r} cannot be pulled{said}"
    if reason in _CONFIG_REASONS:
        return reason, f"its container cannot be created: {one_line(message) or reason}"
    if reason == "CrashLoopBackOff":
        return reason, "its container keeps failing and is started again after a pause"
    setup = newest(events, _SETUP_EVENTS | {"Pulling", "Pulled", "Started"})
    if setup is not None and setup.reason in _SETUP_EVENTS:
        what = (
            "its sandbox cannot be created"
            if setup.reason == "FailedCreatePodSandBox"
            else "a volume cannot be mounted"
        )
        return setup.reason, f"{what}: {one_line(setup.message, 300)}"
    if setup is not None and setup.reason == "Pulling":
        return "", f"the image {image!r} is being pulled"
    return "", "its container is being created"


def newest(events: Iterable[Event], reasons: Iterable[str], containing: str = "") -> Event | None:
    """Give the newest event with one of some reasons.

    Args:
        events: the events.
        reasons: the reasons.
        containing: a text that its message must contain.
    """
    wanted = set(reasons)
    found = [event for event in events if event.reason in wanted and containing in event.message]
    return max(found, key=event_order, default=None)


def event_time(event: Event) -> datetime:
    """Give the time at which an event was last seen.

    Args:
        event: the event.
    """
    return event.last_timestamp or event.event_time or event.metadata.creation_timestamp or _EARLIEST


def event_order(event: Event) -> tuple[datetime, int]:
    """Give what orders events: their times are whole seconds, within which the resource version decides.

    Args:
        event: the event.
    """
    version = event.metadata.resource_version
    return event_time(event), int(version) if version.isascii() and version.isdigit() else 0


def _unscheduled(pod: Pod, events: Sequence[Event], nodes: Sequence[Node]) -> tuple[str, str]:
    condition = next((c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "False"), None)
    if condition is not None and condition.reason == "SchedulingGated":
        return "SchedulingGated", "its pod is held back by a scheduling gate (a queue decides when it may start)"
    failed = newest(events, {"FailedScheduling"})
    message = condition.message if condition is not None and condition.message else failed.message if failed else ""
    if not message:
        return "", "the scheduler has not placed it yet"
    sentence = impossible(pod, nodes) or scheduling_sentence(message, pod.spec.node_selector)
    scaling = newest(events, _SCALE_EVENTS)
    return "Unschedulable", sentence + (_scaling(scaling) if scaling is not None else "")


def impossible(pod: Pod, nodes: Sequence[Node]) -> str:
    """Say why no node of the cluster could ever hold a pod, however idle; empty when one could or none may be seen.

    Args:
        pod: the pod.
        nodes: the nodes of the cluster.
    """
    if not nodes:
        return ""
    fitting = list(nodes)
    for label, value in pod.spec.node_selector.items():
        kept = [node for node in fitting if node.metadata.labels.get(label) == value]
        if not kept:
            others = sorted({node.metadata.labels[label] for node in nodes if label in node.metadata.labels})
            having = f" (it has {', '.join(others[:6])})" if others else ""
            among = "" if len(fitting) == len(nodes) else " besides the other labels asked for"
            return f"no node of the cluster has {label}={value}{among}{having}"
        fitting = kept
    for resource, wanted in requests(pod).items():
        largest = max(quantity(node.status.allocatable.get(resource, 0)) for node in fitting)
        if wanted > largest:
            return (
                f"it asks for {amount(resource, wanted)} on one node, "
                f"the largest such node has {amount(resource, largest)}"
            )
    return ""


def scheduling_sentence(message: str, selector: dict[str, str]) -> str:
    """Put the scheduler's message into words.

    Args:
        message: its text, for example ``0/2 nodes are available: 2 Insufficient cpu. preemption: ...``.
        selector: the pod's node selector.

    Example:
        >>> scheduling_sentence("0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.", {})
        'no node is free for it: of 3 nodes 1 has too few free CPUs, 2 are full (pods per node)'
    """
    match = _NONE_FITS.match(message.strip())
    if match is None:
        return one_line(message, 300)
    total, rest = match.groups()
    own = rest.split(" preemption: ")[0].removesuffix("no new claims to deallocate,").rstrip()
    parts = [_fragment(int(number), text.strip(), selector) for number, text in _FRAGMENT.findall(own)]
    if not parts:
        return one_line(message, 300)
    return f"no node is free for it: of {count(int(total), 'node')} {', '.join(parts)}"


def _fragment(number: int, text: str, selector: dict[str, str]) -> str:
    have, are = ("has", "is") if number == 1 else ("have", "are")
    if text.startswith("Insufficient "):
        resource = text.removeprefix("Insufficient ")
        few = "too little" if resource in {"memory", "ephemeral-storage"} else "too few"
        return f"{number} {have} {few} free {_RESOURCE_WORDS.get(resource, resource)}"
    if "affinity/selector" in text:
        asked = ", ".join(f"{key.rpartition('/')[2]}={value}" for key, value in selector.items())
        return f"{number} {are} of another kind" + (f" (not {asked})" if asked else "")
    if "anti-affinity" in text:
        return f"{number} {are} kept for other slices or jobs"
    if "pod affinity" in text:
        return f"{number} {are} not where the rest of its slice is"
    if "taint" in text:
        taint = _TAINT.search(text)
        return f"{number} {are} tainted" + (f" ({taint.group(1).strip()})" if taint else "")
    if "were unschedulable" in text or "was unschedulable" in text:
        return f"{number} {are} cordoned"
    if text.startswith("Too many pods"):
        return f"{number} {are} full (pods per node)"
    return f"{number}: {one_line(text, 120)}"


def _scaling(event: Event) -> str:
    if event.reason == "TriggeredScaleUp":
        return "; the cluster autoscaler is adding a node"
    if event.reason == "FailedScaleUp":
        match = FAILED_ZONES.search(event.message)
        why = f"{match.group(2)} in {match.group(1)}" if match else event.message
        return f"; adding a node failed: {one_line(why, 250)}"
    why = event.message.removeprefix("pod didn't trigger scale-up: ").strip()
    return "; the cluster autoscaler adds no node" + (f": {one_line(why, 200)}" if why else "")


def requests(pod: Pod) -> dict[str, float]:
    """Give what the containers of a pod request in all, by resource (cores, bytes or a count).

    Args:
        pod: the pod.
    """
    total: dict[str, float] = {}
    for container in pod.spec.containers:
        # For an extended resource only the limit need be given (Kubernetes documentation, "Schedule GPUs").
        asked = {**container.resources.limits, **container.resources.requests}
        for resource, value in asked.items():
            total[resource] = total.get(resource, 0.0) + quantity(value)
    return total


def quantity(value: str | int) -> float:
    """Read a Kubernetes quantity; 0 when it cannot be read.

    Args:
        value: for example ``"1500m"``, ``"2Gi"`` or ``4``.

    Example:
        >>> quantity("1500m"), quantity("2Ki")
        (1.5, 2048.0)
    """
    match = re.fullmatch(r"\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)([a-zA-Z]*)\s*", str(value))
    if match is None or match.group(2) not in _SUFFIXES:
        return 0.0
    return float(match.group(1)) * _SUFFIXES[match.group(2)]


def amount(resource: str, value: float) -> str:
    """Put an amount of a resource into words.

    Args:
        resource: its name.
        value: cores, bytes or a count.

    Example:
        >>> amount("memory", 2**31), amount("nvidia.com/gpu", 1)
        ('2 GiB memory', '1 GPU')
    """
    if resource in {"memory", "ephemeral-storage"}:
        return f"{value / 2**30:.3g} GiB {resource}"
    word = _RESOURCE_WORDS.get(resource, resource)
    return f"{value:g} {word.removesuffix('s') if value == 1 else word}"
