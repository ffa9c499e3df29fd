"""From the observed objects of one job to its state; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gke_notebook import names
from gke_notebook.insight.failures import failure_line, find_failure, retry_line, was_stopped
from gke_notebook.insight.ladder import observed
from gke_notebook.insight.reasons import container_status, newest, why_waiting
from gke_notebook.insight.state import Failure, JobState, NodePhase, NodeState, Phase, Span
from gke_notebook.insight.text import count, duration, named, one_line
from gke_notebook.objects import Condition, Event, Job, Node, Pod, node_index


def observe(
    job: Job | None,
    pods: Sequence[Pod],
    events: Sequence[Event],
    nodes: Sequence[Node],
    now: datetime,
    *,
    previous: JobState | None = None,
) -> JobState:
    """Give the state of a job.

    Args:
        job: the Job, None when it is not (or no longer) on the cluster.
        pods: its pods; pods of an earlier Job of the same name are passed over.
        events: the events of its namespace, or those about it and its pods.
        nodes: the nodes of the cluster, empty when they may not be seen.
        now: the time, aware.
        previous: the last state that was known, so that a deleted job keeps what is known of it.
    """
    if job is None:
        return _gone(pods, previous, now)
    meta = job.metadata
    procs = _integer(meta.annotations.get(names.PROCS_PER_NODE), 1)
    attempts = _attempts(job, pods)
    size = job.spec.completions or job.spec.parallelism or 1
    by_name: dict[str, list[Event]] = {}
    for event in events:
        by_name.setdefault(event.involved_object.name, []).append(event)
    states = tuple(_node(index, attempts.get(index, ()), procs, by_name, nodes) for index in range(size))
    own = [pod for group in attempts.values() for pod in group]
    conditions = {condition.type: condition for condition in job.status.conditions if condition.status == "True"}
    failed = conditions.get("Failed") or conditions.get("FailureTarget")
    started = min((time for pod in own if (time := _container_times(pod)[0])), default=None)
    scheduled = min((time for pod in own if (time := _scheduled(pod))), default=None)
    remembered = previous is not None and previous.run == meta.labels.get(names.RUN, "")
    if previous is not None and remembered:
        # A job that ends early takes its pods with it: what was seen of them is kept.
        started = _earlier(started, previous.started)
        scheduled = _earlier(scheduled, previous.scheduled)
        states = tuple(_remembered(node, previous) for node in states)
    phase = _phase(job, conditions, own, started, scheduled)
    finished = _finished(job, conditions, phase)
    failing = failed is not None and phase != "deleted" and names.CANCELLED not in meta.annotations
    failure = find_failure(job, states, failed) if failed is not None and failing else None
    states = tuple(_stopped(node, phase, failure) for node in states)
    state = JobState(
        name=meta.name,
        namespace=meta.namespace,
        run=meta.labels.get(names.RUN, ""),
        owner=meta.labels.get(names.OWNER, ""),
        phase=phase,
        spans=_spans(meta.creation_timestamp, scheduled, started, finished, now, watched=remembered or bool(own)),
        nodes=states,
        procs_per_node=procs,
        framework=meta.annotations.get(names.FRAMEWORK, "none"),
        created=meta.creation_timestamp,
        scheduled=scheduled,
        started=started,
        finished=finished,
        failure=failure,
        price_usd_hour=_number(meta.annotations.get(names.PRICE)),
        simulated=_simulated(states, job, nodes),
        ladder=observed(meta.annotations, (group[-1] for group in attempts.values()), by_name),
        slices=max(1, size // (_integer(meta.annotations.get(names.NODES_PER_SLICE), size) or size)),
    )
    return replace(state, sentence=_sentence(state, job, by_name))


def _gone(pods: Sequence[Pod], previous: JobState | None, now: datetime) -> JobState:
    if previous is not None and previous.ended:
        return previous
    if previous is not None:
        finished = previous.finished or now
        spans = _spans(previous.created, None, None, finished, now) if not previous.spans else previous.spans
        return replace(previous, phase="deleted", finished=finished, spans=spans, sentence="deleted from the cluster")
    labels = next((pod.metadata.labels for pod in pods), {})
    namespace = next((pod.metadata.namespace for pod in pods), "")
    return JobState(labels.get(names.JOB, ""), namespace, phase="deleted", sentence="not on the cluster")


def _attempts(job: Job, pods: Iterable[Pod]) -> Mapping[int, Sequence[Pod]]:
    """Give the pods of every completion index, oldest first."""
    found: dict[int, list[Pod]] = {}
    for pod in pods:
        owners = {owner.uid for owner in pod.metadata.owner_references if owner.kind == "Job"}
        if owners and job.metadata.uid and job.metadata.uid not in owners:
            continue
        found.setdefault(node_index(pod.metadata), []).append(pod)
    for group in found.values():
        group.sort(key=_age)
    return found


def _age(pod: Pod) -> tuple[bool, datetime | int, str]:
    created = pod.metadata.creation_timestamp
    return (created is not None, created or 0, pod.metadata.name)


def _node(
    index: int, group: Sequence[Pod], procs: int, events: Mapping[str, Sequence[Event]], nodes: Sequence[Node]
) -> NodeState:
    ranks = tuple(range(index * procs, (index + 1) * procs))
    if not group:
        return NodeState(index=index, ranks=ranks)
    pod = group[-1]
    own = [event for event in events.get(pod.metadata.name, ()) if _about(event, pod)]
    status = container_status(pod)
    ended = status.state.terminated if status is not None else None
    started, finished = _container_times(pod)
    reason = message = ""
    phase: NodePhase
    if ended is not None or pod.status.phase in {"Succeeded", "Failed"}:
        phase = (
            "succeeded" if pod.status.phase == "Succeeded" or (ended is not None and not ended.exit_code) else "failed"
        )
        if phase == "failed":
            # The pod's own reason (Evicted, NodeShutdown ...) says more than the container's "Error".
            reason = pod.status.reason or (ended.reason if ended is not None else "")
            message = pod.status.message
    elif status is not None and status.state.running is not None:
        phase = "running"
    else:
        reason, message = why_waiting(pod, own, nodes)
        phase = "waiting" if not pod.spec.node_name else "scheduled" if status is None else "starting"
    return NodeState(
        index=index,
        ranks=ranks,
        phase=phase,
        pod=pod.metadata.name,
        node=pod.spec.node_name,
        attempt=len(group) - 1,
        reason=reason,
        message=message,
        exit_code=ended.exit_code if ended is not None else None,
        started=started,
        finished=finished,
        termination=ended.message if ended is not None else "",
    )


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((time for time in (one, other) if time is not None), default=None)


def _remembered(node: NodeState, previous: JobState) -> NodeState:
    if node.pod or node.index >= len(previous.nodes):
        return node
    before = previous.nodes[node.index]
    return replace(node, pod=before.pod, node=before.node, attempt=before.attempt, started=before.started)


def _stopped(node: NodeState, phase: Phase, failure: Failure | None) -> NodeState:
    """Tell a node that was ended with its job from one that waits or has failed itself."""
    if phase in {"failed", "cancelled"} and node.phase in {"waiting", "scheduled", "starting", "running"}:
        return replace(node, phase="stopped", reason="", message="")
    if node.phase == "failed" and was_stopped(node) and (failure is None or failure.pod != node.pod):
        return replace(node, phase="stopped", reason="", message="")
    return node


def _about(event: Event, pod: Pod) -> bool:
    about = event.involved_object
    return about.kind in {"", "Pod"} and (not about.uid or not pod.metadata.uid or about.uid == pod.metadata.uid)


def _container_times(pod: Pod) -> tuple[datetime | None, datetime | None]:
    status = container_status(pod)
    if status is None:
        return None, None
    if status.state.running is not None:
        return status.state.running.started_at, None
    ended = status.state.terminated
    return (ended.started_at, ended.finished_at) if ended is not None else (None, None)


def _scheduled(pod: Pod) -> datetime | None:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "True" and condition.last_transition_time:
            return condition.last_transition_time
    return (pod.status.start_time or pod.metadata.creation_timestamp) if pod.spec.node_name else None


def _phase(
    job: Job,
    conditions: Mapping[str, Condition],
    pods: Sequence[Pod],
    started: datetime | None,
    scheduled: datetime | None,
) -> Phase:
    if "Complete" in conditions:
        return "succeeded"
    cancelled = names.CANCELLED in job.metadata.annotations
    if "Failed" in conditions:
        return "cancelled" if cancelled else "failed"
    if cancelled and job.spec.suspend and not job.status.active and not any(_alive(pod) for pod in pods):
        return "cancelled"
    if job.metadata.deletion_timestamp is not None:
        return "deleted"
    if started is not None:
        return "running"
    return "starting" if scheduled is not None else "queued"


def _alive(pod: Pod) -> bool:
    return pod.status.phase not in {"Succeeded", "Failed"} and bool(pod.spec.node_name)


def _finished(job: Job, conditions: Mapping[str, Condition], phase: Phase) -> datetime | None:
    if phase == "succeeded":
        return job.status.completion_time or conditions["Complete"].last_transition_time
    if phase in {"failed", "cancelled"} and "Failed" in conditions:
        return conditions["Failed"].last_transition_time
    if phase == "cancelled":
        return _time(job.metadata.annotations[names.CANCELLED])
    return job.metadata.deletion_timestamp if phase == "deleted" else None


def _spans(
    created: datetime | None,
    scheduled: datetime | None,
    started: datetime | None,
    finished: datetime | None,
    now: datetime,
    *,
    watched: bool = True,
) -> tuple[Span, ...]:
    until = finished or now
    if finished is not None and created is not None and not watched:
        # Whether it ever ran is not known any more: its pods are gone.
        return (Span("total", max(0.0, (finished - created).total_seconds())),)
    spans = []
    marks = [("queued", created), ("starting", scheduled), ("running", started)]
    known = [(name, time) for name, time in marks if time is not None and time <= until]
    for (name, time), (_, end) in zip(known, [*known[1:], ("", until)], strict=True):
        spans.append(Span(name, max(0.0, (end - time).total_seconds())))
    return tuple(spans)


def _simulated(states: Sequence[NodeState], job: Job, nodes: Sequence[Node]) -> bool:
    bound = {state.node for state in states if state.node}
    selector = job.spec.template.spec.node_selector
    if bound:
        used = [node for node in nodes if node.metadata.name in bound]
    else:
        used = [node for node in nodes if selector.items() <= node.metadata.labels.items()] if selector else []
    return any(node.metadata.labels.get(names.SIMULATED) == "true" for node in used)


def _sentence(state: JobState, job: Job, events: Mapping[str, Sequence[Event]]) -> str:
    whole = count(len(state.nodes), "node")
    if state.ended:
        seconds = (state.finished - state.created).total_seconds() if state.finished and state.created else None
        after = "" if seconds is None else f" after {duration(seconds)}"
        if state.phase == "failed":
            return failure_line(state.failure) if state.failure is not None else f"failed{after}"
        if state.phase == "deleted":
            return "it is being deleted from the cluster"
        return f"{state.phase}{after} on {whole}"
    if names.CANCELLED in job.metadata.annotations:
        return f"being cancelled: {whole} {'are' if len(state.nodes) > 1 else 'is'} being stopped"
    if state.failure is not None:
        return f"{failure_line(state.failure)}; the other nodes are being stopped"
    if job.spec.suspend:
        return "suspended: no pod starts until a queue or an administrator resumes the Job"
    waiting = [node for node in state.nodes if node.phase in {"waiting", "scheduled", "starting"}]
    if not waiting:
        return _progress(state)
    if all(not node.pod for node in waiting):
        return _uncreated(
            state, waiting, [e for e in events.get(job.metadata.name, ()) if e.involved_object.kind == "Job"]
        )
    prefix = (
        ""
        if len(waiting) == len(state.nodes)
        else f"{count(len(waiting), 'node')} of {len(state.nodes)} not running yet; "
    )
    return prefix + _waits(waiting, len(state.nodes))


def _progress(state: JobState) -> str:
    done = sum(1 for node in state.nodes if node.phase == "succeeded")
    failed = [node.index for node in state.nodes if node.phase == "failed"]
    parts = []
    if failed:
        parts.append(f"{named('node', failed)} failed; the Job controller decides whether to try again")
    elif done == len(state.nodes):
        parts.append("all nodes have finished; the Job is being closed")
    else:
        running = f"running on {count(len(state.nodes), 'node')}"
        parts.append(f"{running} ({count(state.ranks, 'rank')})" if state.ranks != len(state.nodes) else running)
        if done:
            parts.append(f"{done} finished")
    parts += [retry_line(node) for node in state.nodes if node.attempt and node.phase == "running"][:3]
    return ", ".join(parts)


def _uncreated(state: JobState, waiting: Sequence[NodeState], events: Sequence[Event]) -> str:
    refused = newest(events, {"FailedCreate"})
    if refused is not None:
        return f"no pod can be created: {one_line(refused.message.removeprefix('Error creating: '), 300)}"
    which = (
        "its pods" if len(waiting) == len(state.nodes) else f"the pods of {named('node', [n.index for n in waiting])}"
    )
    return f"the Job controller is creating {which}"


def _waits(waiting: Sequence[NodeState], total: int) -> str:
    """Say what the waiting nodes wait for: each reason once, troubles first."""
    groups: dict[str, list[NodeState]] = {}
    for node in waiting:
        groups.setdefault(node.message or "its pod is being created", []).append(node)
    ordered = sorted(groups.items(), key=lambda item: (not item[1][0].reason, item[1][0].index))
    parts = []
    for message, nodes in ordered[:2]:
        alone = len(nodes) == total
        parts.append(message if alone else f"{named('node', [node.index for node in nodes])}: {message}")
    if len(ordered) > 2:
        parts.append(f"and {count(len(ordered) - 2, 'other reason')}")
    return "; ".join(parts)


def _integer(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
