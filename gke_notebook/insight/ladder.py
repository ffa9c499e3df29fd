"""What comes next on a job's ladder, and how a Job is changed for it; pure.

A Job's scheduling directives may be changed while it is suspended and has no start time (Kubernetes documentation,
"Jobs", mutable scheduling directives, 2026-11).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from gke_notebook import names
from gke_notebook.insight.reasons import FAILED_ZONES, event_order
from gke_notebook.insight.rungs import Ladder, decode, encode
from gke_notebook.insight.state import JobState
from gke_notebook.insight.text import duration, one_line
from gke_notebook.objects import Event, Manifest, Pod

_SCALE_EVENTS = {"TriggeredScaleUp", "NotTriggerScaleUp", "FailedScaleUp"}
_NOT_TRIGGERED = "pod didn't trigger scale-up: "


@dataclass(frozen=True)
class Step:
    """What is to be done.

    Args:
        kind: ``stay``, ``move`` to the next rung, or ``settle``: nothing more need be tried.
        why: why to move.
        again: seconds until it is worth asking again, None when only a change of the job matters.
    """

    kind: Literal["stay", "move", "settle"]
    why: str = ""
    again: float | None = None


def observed(
    annotations: Mapping[str, str], pods: Iterable[Pod], events: Mapping[str, Sequence[Event]]
) -> Ladder | None:
    """Give a job's ladder, with what the autoscaler says of the present rung.

    Args:
        annotations: of the Job.
        pods: the pods that it has now.
        events: by the name of what they are about.
    """
    ladder = decode(annotations.get(names.LADDER, ""))
    if ladder is None or ladder.settled:
        return ladder
    # What is still told of pods of an earlier rung says nothing of this one.
    waiting = [
        pod for pod in pods if not pod.spec.node_name and pod.spec.node_selector == ladder.rung.selector and _lives(pod)
    ]
    return replace(ladder, trouble=trouble(waiting, events))


def _lives(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and pod.status.phase in {"", "Pending"}


def trouble(waiting: Iterable[Pod], events: Mapping[str, Sequence[Event]]) -> str:
    """Say why no machines come for pods that wait; empty when some may still come.

    Args:
        waiting: pods without a node.
        events: by the name of what they are about.
    """
    newest = []
    for pod in waiting:
        own = [
            event
            for event in events.get(pod.metadata.name, ())
            if event.reason in _SCALE_EVENTS and event.involved_object.uid in {"", pod.metadata.uid}
        ]
        if own:
            last = max(own, key=event_order)
            failures = [event for event in own if event.reason == "FailedScaleUp"]
            # Once a group has failed, the autoscaler only says that it waits; what failed says more.
            newest.append(max(failures, key=event_order) if failures and last.reason != "TriggeredScaleUp" else last)
    failed = next((event for event in newest if event.reason == "FailedScaleUp"), None)
    if failed is not None:
        match = FAILED_ZONES.search(failed.message)
        return one_line(f"{match.group(2)} in {match.group(1)}" if match else failed.message, 200)
    if not newest or any(event.reason == "TriggeredScaleUp" for event in newest):
        return ""
    return one_line(newest[0].message.removeprefix(_NOT_TRIGGERED), 200)


def step(state: JobState, now: datetime) -> Step:
    """Decide what comes next.

    Args:
        state: the job.
        now: the time, aware.
    """
    ladder = state.ladder
    if ladder is None or ladder.settled or state.ended:
        return Step("stay")
    waiting = [node for node in state.nodes if not node.node]
    if state.nodes and not waiting:
        return Step("settle")
    if ladder.next is None:
        return Step("stay")
    if state.framework == "none" and any(node.phase in {"running", "succeeded"} for node in state.nodes):
        return Step("stay")  # ranks that do not wait for each other would lose what they have done
    if ladder.trouble:
        return Step("move", ladder.trouble)
    begun = ladder.since or state.created
    if begun is None:
        return Step("stay", again=1.0)
    left = (begun + timedelta(seconds=ladder.rung.wait) - now).total_seconds()
    if left <= 0:
        return Step("move", f"no machines in {duration(ladder.rung.wait)}")
    return Step("stay", again=left)


def change(live: Manifest, ladder: Ladder, now: datetime) -> Manifest:
    """Give a suspended Job as it goes on: sent to where its ladder stands, and no longer suspended.

    Args:
        live: the Job as the server has it.
        ladder: where it stands.
        now: the time, aware.
    """
    job = copy.deepcopy(live)
    rung = ladder.rung
    pod = job["spec"]["template"]["spec"]
    pod["nodeSelector"] = dict(rung.selector)
    pod["tolerations"] = [dict(one) for one in rung.tolerations]
    affinity = {key: value for key, value in (pod.get("affinity") or {}).items() if key != "nodeAffinity"}
    if rung.affinity:
        affinity["nodeAffinity"] = dict(rung.affinity)
    pod.pop("affinity", None)
    if affinity:
        pod["affinity"] = affinity
    job["spec"]["suspend"] = False
    annotations = job["metadata"].setdefault("annotations", {})
    annotations[names.LADDER] = encode(replace(ladder, since=now, moving=False))
    if rung.usd_hour is not None:
        annotations[names.PRICE] = f"{rung.usd_hour:.4f}"
    else:
        annotations.pop(names.PRICE, None)
    return job


def lines(ladder: Ladder, now: datetime, *, ended: bool = False) -> list[str]:
    """Say where a job stands on its ladder, a line for each rung that was tried, and one for what comes.

    Args:
        ladder: the ladder.
        now: the time, aware.
        ended: whether the job has ended.
    """
    found = [f"{words}: {why}" for words, why in ladder.tried]
    place = f"{ladder.at + 1} of {len(ladder.rungs)}"
    if ladder.note:
        return [*found, f"{ladder.rung.words} ({place}): {ladder.note}"]
    if ladder.settled or ended:
        had = "it has its machines" if ladder.settled else "the last one tried"
        return [*found, f"{ladder.rung.words} ({place}): {had}"]
    if ladder.next is None:
        return [*found, f"{ladder.rung.words} ({place}): the last one, which waits as long as the job may"]
    begun = ladder.since
    left = ladder.rung.wait if begun is None else ladder.rung.wait - (now - begun).total_seconds()
    why = f"{ladder.trouble}; " if ladder.trouble else ""
    then = f"{ladder.next.words} comes next, in {duration(max(0.0, left))} at the latest"
    return [*found, f"{ladder.rung.words} ({place}): {why}{then}"]
