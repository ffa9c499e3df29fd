"""How long scale-ups took that have been seen here, and what a way to have machines risks; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import median

from gke_notebook.insight.text import count, duration
from gke_notebook.insight.world import Fit
from gke_notebook.objects import Event, Pod

# `pod triggered scale-up: [{https://.../instanceGroups/gke-c-l4-pool-1a2b3c4d-grp 0->1 (max: 4)}]`
_GROUP = re.compile(r"\{(\S+) \d+->\d+ \(max: \d+\)\}")

_ENDING = re.compile(r"-[0-9a-f]+-grp$")


def delays(pods: Iterable[Pod], events: Iterable[Event]) -> dict[str, list[float]]:
    """Give how long pods waited from the moment that they made a node pool grow until they had their node.

    Args:
        pods: pods that are there, ended ones too.
        events: of their namespace.

    Returns:
        Seconds, by the instance group that grew.
    """
    begun: dict[str, tuple[datetime, str]] = {}
    for event in events:
        if event.reason != "TriggeredScaleUp":
            continue
        when = event.first_timestamp or event.event_time or event.metadata.creation_timestamp
        group = _GROUP.search(event.message)
        key = event.involved_object.uid or event.involved_object.name
        if when is not None and group is not None and (key not in begun or when < begun[key][0]):
            begun[key] = when, group.group(1).rpartition("/")[2]
    found: dict[str, list[float]] = {}
    for pod in pods:
        known = begun.get(pod.metadata.uid) or begun.get(pod.metadata.name)
        had = next(
            (one.last_transition_time for one in pod.status.conditions
             if one.type == "PodScheduled" and one.status == "True"), None,
        )  # fmt: skip
        if known is not None and had is not None and had >= known[0]:
            found.setdefault(known[1], []).append((had - known[0]).total_seconds())
    return found


def likely_wait(found: Fit | None, seen: Mapping[str, list[float]], provisioning: str) -> tuple[str, float | None]:
    """Say how long a job would probably wait for machines.

    Args:
        found: whether it fits, None when nobody has looked.
        seen: delays by instance group, from `delays`.
        provisioning: how its machines are had.

    Returns:
        Words, and seconds where they are known.
    """
    if found is None or found.verdict == "unknown":
        return "unknown", None
    if found.verdict == "cannot fit":
        return "does not start as things are", None
    if found.verdict == "fits":
        return "starts at once", 0.0
    pools = {one.pool for one in found.growth}
    own = [seconds for group, each in seen.items() for seconds in each if _of(group, pools)]
    if own:
        middle = median(own)
        return f"about {duration(middle)}, as {count(len(own), 'pod')} here", middle
    queues = "; flex-start waits until there is capacity" if provisioning == "flex-start" else ""
    return f"unknown: no growth of {' or '.join(sorted(pools))} was seen here{queues}", None


def _of(group: str, pools: Iterable[str]) -> bool:
    stem = _ENDING.sub("", group)  # gke-CLUSTER-POOL
    return any(stem.endswith(f"-{name}") for name in pools)


def risk(provisioning: str, *, retries: int, seconds: int | None) -> str:
    """Say what may go wrong with machines that are had one way.

    Args:
        provisioning: ``on-demand``, ``spot``, ``flex-start``, ``reservation``, or empty for whatever the nodes are.
        retries: how often a node may be started again.
        seconds: for how long the job runs at most, None for no limit.
    """
    if provisioning == "spot":
        return "may be taken back at any time, " + ("then starts again" if retries else "which ends the job")
    if provisioning == "flex-start":
        long = seconds is None or seconds > 7 * 86400
        return "runs 7 days at most" + (", the job may run longer" if long else "")
    if provisioning == "reservation":
        return "none; paid for also when it stands idle"
    return "none of its own" if provisioning == "on-demand" else "that of the nodes it gets"
