"""What Compute Engine knows of node pools: how many machines are asked for, and which reservations there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gke_notebook.cloud.rest import CloudError
from gke_notebook.cloud.target import Target
from gke_notebook.errors import ClusterUnreachable
from gke_notebook.request.node_pool_rules import Reserved

_PART = "/zones/"


def sizes(target: Target, pools: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Give how many machines each pool is asked to have, by zone: the target size of its instance groups.

    Args:
        target: the cluster.
        pools: the pools, as the Container API has them.

    Returns:
        By pool and zone; nothing of a pool whose groups may not be seen.
    """
    groups: dict[str, tuple[str, str]] = {}
    for pool in pools:
        for url in pool.get("instanceGroupUrls") or ():
            zone, _, group = str(url).partition(_PART)[2].partition("/")
            groups[f"{zone}/{group.rpartition('/')[2]}"] = (str(pool["name"]), zone)
    found: dict[str, dict[str, int]] = {}
    try:
        api = target.rest("compute")
        for zone in sorted({zone for _, zone in groups.values()}):
            path = f"/compute/v1/projects/{target.project}/zones/{zone}/instanceGroupManagers"
            for one in api.pages(path, "items"):
                known = groups.get(f"{zone}/{one.get('name')}")
                if known is not None:
                    found.setdefault(known[0], {})[zone] = int(one.get("targetSize") or 0)
    except (CloudError, ClusterUnreachable):
        return {}  # the right to see machines is one of its own; ready nodes are counted instead
    return found


def reservations(target: Target) -> tuple[tuple[Reserved, ...], str]:
    """Give the reservations of the project.

    Args:
        target: the cluster.

    Returns:
        The reservations, and why they are not known, empty when they are.
    """
    found: list[Reserved] = []
    api, token = target.rest("compute"), ""
    path = f"/compute/v1/projects/{target.project}/aggregated/reservations"
    while True:
        try:
            answer = api.call("GET", path, query={"pageToken": token} if token else None)
        except CloudError as error:
            return (), f"reservations are not visible to you ({error}): whether this one fits is not checked"
        for scope in (answer.get("items") or {}).values():
            found += [_reserved(one) for one in scope.get("reservations") or ()]
        token = str(answer.get("nextPageToken") or "")
        if not token:
            return tuple(found), ""


def _reserved(one: Mapping[str, Any]) -> Reserved:
    specific = one.get("specificReservation") or {}
    free = int(specific.get("count") or 0) - int(specific.get("inUseCount") or 0)
    machine = str((specific.get("instanceProperties") or {}).get("machineType", "")).rpartition("/")[2]
    zone = str(one.get("zone", "")).rpartition("/")[2]
    return Reserved(str(one.get("name")), zone, machine, free, bool(one.get("specificReservationRequired")))
