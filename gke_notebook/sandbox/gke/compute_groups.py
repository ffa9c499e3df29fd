"""The managed instance groups of node pools, as the Compute Engine API v1 shows and changes them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from gke_notebook.sandbox.gke import shapes
from gke_notebook.sandbox.gke.clock import timestamp
from gke_notebook.sandbox.gke.compute_resources import ROOT, number, zone_url
from gke_notebook.sandbox.gke.failures import ApiFailure, invalid
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.gke.state import Pool
from gke_notebook.sandbox.instances import DELETED, PREEMPTED, REPLACED, RUNNING, STOPPING, Instance
from gke_notebook.sandbox.pools import PROJECT

Object = dict[str, Any]


def pool_of(fleet: Fleet, zone: str, name: str) -> Pool | None:
    """Find the pool that a group belongs to.

    Args:
        fleet: what there is.
        zone: the group's zone.
        name: the group's name.
    """
    for pool in fleet.state.pools.values():
        if zone in pool.targets and shapes.group_name(pool.name, zone) == name:
            return pool
    return None


def _members(fleet: Fleet, pool: Pool, zone: str) -> list[Instance]:
    """Give the machines of a group, those that stop included."""
    return [one for one in fleet.state.instances.values() if one.pool == pool.name and one.zone == zone]


def _action(instance: Instance) -> str:
    if instance.status == STOPPING:
        return {DELETED: "DELETING", PREEMPTED: "RECREATING", REPLACED: "RECREATING"}.get(instance.stopping, "DELETING")
    return "NONE" if instance.status == RUNNING else "CREATING"


def resource(fleet: Fleet, pool: Pool, zone: str) -> Object:
    """Give an ``InstanceGroupManager``.

    Args:
        fleet: what there is.
        pool: its pool.
        zone: its zone.
    """
    name = shapes.group_name(pool.name, zone)
    actions = [_action(one) for one in _members(fleet, pool, zone)]
    counts = {kind: actions.count(kind.upper()) for kind in ("none", "creating", "deleting", "recreating")}
    return {
        "kind": "compute#instanceGroupManager",
        "id": number(name),
        "name": name,
        "zone": zone_url(zone),
        "baseInstanceName": name.removesuffix("-grp"),
        "instanceTemplate": f"{ROOT}/projects/{PROJECT}/global/instanceTemplates/{name.removesuffix('-grp')}",
        "instanceGroup": f"{zone_url(zone)}/instanceGroups/{name}",
        "targetSize": pool.targets[zone],
        "currentActions": counts,
        "status": {"isStable": all(action == "NONE" for action in actions)},
        "creationTimestamp": timestamp(pool.created),
        "selfLink": f"{zone_url(zone)}/instanceGroupManagers/{name}",
    }


def managed_instances(fleet: Fleet, pool: Pool, zone: str, query: Mapping[str, str], raw: bytes) -> Object:  # noqa: ARG001
    """Give the machines of a group with what is done with each, and why the last attempt at one failed.

    Args:
        fleet: what there is.
        pool: the group's pool.
        zone: the group's zone.
        query: not looked at.
        raw: not looked at.
    """
    shown = []
    for one in _members(fleet, pool, zone):
        entry: Object = {
            "instance": f"{zone_url(zone)}/instances/{one.name}",
            "name": one.name,
            "currentAction": _action(one),
        }
        if one.admitted:
            entry.update(id=number(f"{one.name}/{one.created}"), instanceStatus=one.status)
        if one.error[0]:
            entry["lastAttempt"] = {"errors": {"errors": [_error(one)]}}
        shown.append(entry)
    return {"managedInstances": shown} if shown else {}


def _error(instance: Instance) -> Object:
    return {"code": instance.error[0], "message": instance.error[1]}


def errors(fleet: Fleet, pool: Pool, zone: str, query: Mapping[str, str], raw: bytes) -> Object:  # noqa: ARG001
    """Give the errors of a group's last attempts.

    Args:
        fleet: what there is.
        pool: the group's pool.
        zone: the group's zone.
        query: not looked at.
        raw: not looked at.
    """
    items = [
        {
            "error": _error(one),
            "instanceActionDetails": {"instance": f"{zone_url(zone)}/instances/{one.name}", "action": "CREATING"},
            "timestamp": timestamp(fleet.clock.wall()),
        }
        for one in _members(fleet, pool, zone)
        if one.error[0]
    ]
    return {"items": items} if items else {}


def resize(fleet: Fleet, pool: Pool, zone: str, query: Mapping[str, str], raw: bytes) -> Object:  # noqa: ARG001
    """Set a group's size.

    Args:
        fleet: what there is.
        pool: the group's pool.
        zone: the group's zone.
        query: has ``size``.
        raw: not looked at.

    Raises:
        ApiFailure: 400.
    """
    text = query.get("size", "")
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise invalid(f"Invalid value for field 'size': '{text[:60]}'. Must be a number of at least 0.")
    if pool.status == "STOPPING":
        raise ApiFailure(400, f"The node pool {pool.name} is being deleted.", "FAILED_PRECONDITION")
    fleet.resize(pool, zone, int(text))
    return done(fleet, "compute.instanceGroupManagers.resize", zone, f"instanceGroupManagers/{_name(pool, zone)}")


def delete_instances(fleet: Fleet, pool: Pool, zone: str, query: Mapping[str, str], raw: bytes) -> Object:  # noqa: ARG001
    """Take machines out of a group, which gets smaller by them.

    Args:
        fleet: what there is.
        pool: the group's pool.
        zone: the group's zone.
        query: not looked at.
        raw: ``{"instances": [links or names]}``.

    Raises:
        ApiFailure: 400.
    """
    try:
        body = json.loads(raw or b"{}")
        names = [str(link).rpartition("/")[2] for link in body["instances"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise invalid("Invalid value for field 'instances'. Must be a list of instances.") from None
    skip = bool(body.get("skipInstancesOnValidationError"))
    there = {one.name for one in fleet.members(pool.name, zone)}
    if skip:
        names = [name for name in names if name in there]
    for name in names:
        if name not in there:
            raise invalid(f"Instance '{name[:80]}' is not a member of {_name(pool, zone)}.")
    fleet.delete_instances(pool, names)
    return done(
        fleet, "compute.instanceGroupManagers.deleteInstances", zone, f"instanceGroupManagers/{_name(pool, zone)}"
    )


def _name(pool: Pool, zone: str) -> str:
    return shapes.group_name(pool.name, zone)


def done(fleet: Fleet, kind: str, zone: str, target: str) -> Object:
    """Give an ``Operation`` that is done: what it began shows in the resource itself.

    Args:
        fleet: for the time.
        kind: its type.
        zone: where.
        target: below the zone.
    """
    wall = fleet.clock.wall()
    name = f"operation-{int(wall * 1000)}-{secrets.token_hex(6)}"
    return {
        "kind": "compute#operation",
        "id": number(name),
        "name": name,
        "zone": zone_url(zone),
        "operationType": kind,
        "targetLink": f"{zone_url(zone)}/{target}",
        "status": "DONE",
        "progress": 100,
        "insertTime": timestamp(wall),
        "startTime": timestamp(wall),
        "endTime": timestamp(wall),
        "selfLink": f"{zone_url(zone)}/operations/{name}",
    }
