"""Observed Kubernetes objects, holding only the fields in use; decoded straight from the server's bytes.

Decoding into these costs a thirtieth of typed client models (measured by benchmarks/list_pods.py).
They hold no cycles, so the cyclic collector need not walk them (`gc=False`): a list of 5,000 pods takes half the time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gke_notebook import names


class OwnerReference(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Who owns an object."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Metadata(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of `ObjectMeta` in use."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    owner_references: tuple[OwnerReference, ...] = ()


class Condition(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A condition of a Job, a Pod or a Node."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class ContainerStateRunning(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A container that runs."""

    started_at: datetime | None = None


class ContainerStateWaiting(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A container that waits, and why."""

    reason: str = ""
    message: str = ""


class ContainerStateTerminated(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A container that has ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One of running, waiting or terminated."""

    running: ContainerStateRunning | None = None
    waiting: ContainerStateWaiting | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What a kubelet says of one container."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class ResourceRequirements(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Requests and limits as quantities."""

    requests: dict[str, str | int] = {}
    limits: dict[str, str | int] = {}


class Container(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a container in use."""

    name: str = ""
    image: str = ""
    resources: ResourceRequirements = ResourceRequirements()


class PodSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a pod's spec in use."""

    node_name: str = ""
    node_selector: dict[str, str] = {}
    containers: tuple[Container, ...] = ()


class PodStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a pod's status in use."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A pod as observed."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplate(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Job's pod template."""

    spec: PodSpec = PodSpec()


class JobSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a Job's spec in use."""

    completions: int | None = None
    parallelism: int | None = None
    suspend: bool = False
    active_deadline_seconds: int | None = None
    backoff_limit_per_index: int | None = None
    template: PodTemplate = PodTemplate()


class JobStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a Job's status in use."""

    active: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    start_time: datetime | None = None
    completion_time: datetime | None = None
    completed_indexes: str = ""
    failed_indexes: str = ""
    conditions: tuple[Condition, ...] = ()


class Job(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Job as observed."""

    metadata: Metadata = Metadata()
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class JobTemplate(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A JobSet's template of its Jobs."""

    spec: JobSpec = JobSpec()


class ReplicatedJob(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Equal Jobs of a JobSet."""

    name: str = ""
    replicas: int = 1
    template: JobTemplate = JobTemplate()


class JobSetSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a JobSet's spec in use."""

    suspend: bool = False
    replicated_jobs: tuple[ReplicatedJob, ...] = ()


class JobSetStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a JobSet's status in use."""

    restarts: int = 0
    conditions: tuple[Condition, ...] = ()


class JobSet(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A JobSet as observed."""

    metadata: Metadata = Metadata()
    spec: JobSetSpec = JobSetSpec()
    status: JobSetStatus = JobSetStatus()


class ObjectReference(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class EventSource(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Who reported an event."""

    component: str = ""


class Event(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An event; new-API events carry `event_time` in place of the first and last timestamps."""

    metadata: Metadata = Metadata()
    involved_object: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    source: EventSource = EventSource()
    count: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


class Taint(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What keeps pods off a node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a node's spec in use."""

    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a node's status in use."""

    allocatable: dict[str, str | int] = {}
    capacity: dict[str, str | int] = {}
    conditions: tuple[Condition, ...] = ()


class Node(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A node as observed."""

    metadata: Metadata = Metadata()
    status: NodeStatus = NodeStatus()
    spec: NodeSpec = NodeSpec()


Manifest = dict[str, Any]


def node_index(pod: Metadata) -> int:
    """Give the number of a pod's node in its job: its completion index, counted over all slices of a JobSet.

    Args:
        pod: the pod's metadata; of another pod it is 0.

    Example:
        >>> node_index(Metadata(annotations={names.COMPLETION_INDEX: "1", names.JOBSET_JOB_INDEX: "2",
        ...                                  names.NODES_PER_SLICE: "4"}))
        9
    """
    index = _number(pod, names.COMPLETION_INDEX)
    return _number(pod, names.JOBSET_JOB_INDEX) * _number(pod, names.NODES_PER_SLICE) + index


def _number(pod: Metadata, name: str) -> int:
    text = pod.annotations.get(name) or pod.labels.get(name) or ""
    return int(text) if text.isascii() and text.isdigit() else 0


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a job's log.

    `time` is the kubelet's timestamp, `index` the completion index of the pod, `rank` the global rank that wrote it
    (None for the launcher itself when several ranks share the pod), `attempt` counts the pods of that index from 0.
    """

    time: datetime | None
    index: int
    rank: int | None
    pod: str
    attempt: int
    text: str
