"""Observed objects of a job, written as short as a test can read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from gke_notebook import names, objects

START = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)


def at(second: float) -> str:
    """The API's text of a time so many seconds after the job was created."""
    return (START + timedelta(seconds=second)).isoformat()


def a_job(*conditions: tuple[str, str, float], nodes: int = 2, procs: int = 1, **more: Any) -> objects.Job:
    """A Job with the conditions (type, reason, second) and fields of its spec or metadata."""
    annotations = {
        names.PROCS_PER_NODE: str(procs),
        names.FRAMEWORK: "torch",
        names.PRICE: "2.5",
        **more.pop("annotations", {}),
    }
    metadata = {
        "name": "digits",
        "namespace": "team",
        "uid": "job-1",
        "labels": {names.JOB: "digits", names.RUN: "r1", names.OWNER: "ada"},
        "annotations": annotations,
        "creationTimestamp": at(0),
        **more.pop("metadata", {}),
    }
    status = {
        "conditions": [
            {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": at(second)}
            for kind, reason, second in conditions
        ],
        **more.pop("status", {}),
    }
    spec = {"completions": nodes, "parallelism": nodes, **more}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, objects.Job)


def a_pod(
    index: int,
    *,
    node: str = "",
    created: float = 1,
    suffix: str = "a",
    owner: str = "job-1",
    running: float | None = None,
    waiting: tuple[str, str] | None = None,
    ended: tuple[int, float, float] | None = None,
    termination: str = "",
    reason: str = "",
    unschedulable: str = "",
    selector: dict[str, str] | None = None,
    limits: dict[str, str] | None = None,
    phase: str = "",
    pod_reason: str = "",
    pod_message: str = "",
) -> objects.Pod:
    """A pod: `running` since, `waiting` (reason, message), or `ended` (exit code, started, finished)."""
    state: dict[str, Any] = {}
    if running is not None:
        state = {"running": {"startedAt": at(running)}}
    if waiting is not None:
        state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
    if ended is not None:
        state = {
            "terminated": {
                "exitCode": ended[0],
                "reason": reason or ("Error" if ended[0] else "Completed"),
                "message": termination,
                "startedAt": at(ended[1]),
                "finishedAt": at(ended[2]),
            }
        }
        phase = phase or ("Failed" if ended[0] else "Succeeded")
    conditions = []
    if unschedulable:
        conditions.append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        )
    elif node:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": at(created + 1)})
    return msgspec.convert(
        {
            "metadata": {
                "name": f"digits-{index}-{suffix}",
                "namespace": "team",
                "uid": f"pod-{index}-{suffix}",
                "annotations": {names.COMPLETION_INDEX: str(index)},
                "labels": {names.JOB: "digits"},
                "creationTimestamp": at(created),
                "ownerReferences": [{"kind": "Job", "name": "digits", "uid": owner}],
            },
            "spec": {
                "nodeName": node,
                "nodeSelector": selector or {},
                "containers": [{"name": "train", "image": "pytorch:2", "resources": {"limits": limits or {}}}],
            },
            "status": {
                "phase": phase or ("Running" if running is not None else "Pending"),
                "reason": pod_reason,
                "message": pod_message,
                "conditions": conditions,
                "containerStatuses": [{"name": "train", "state": state}] if state else [],
            },
        },
        objects.Pod,
    )


def an_event(
    reason: str, message: str = "", *, pod: str = "", second: float = 5, kind: str = "", uid: str = ""
) -> objects.Event:
    """An event about a pod, or about the Job when no pod is named."""
    return msgspec.convert(
        {
            "involvedObject": {"kind": kind or ("Pod" if pod else "Job"), "name": pod or "digits", "uid": uid},
            "reason": reason,
            "message": message,
            "lastTimestamp": at(second),
        },
        objects.Event,
    )


def a_node(name: str, allocatable: dict[str, str] | None = None, **labels: str) -> objects.Node:
    """A node; an underscore pair in a label's name stands for a slash."""
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": {key.replace("__", "/"): value for key, value in labels.items()}},
            "status": {"allocatable": allocatable or {"cpu": "8", "memory": "32Gi"}},
        },
        objects.Node,
    )
