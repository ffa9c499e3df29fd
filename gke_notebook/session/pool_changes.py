"""Changing node pools so that nothing is doubled: by name and digest, after lost answers, while others are at work."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gke_notebook import catalog, names
from gke_notebook.cloud.node_pools import ClusterBusy, NodePoolApi
from gke_notebook.cloud.rest import CloudError
from gke_notebook.errors import ClusterUnreachable, GkeNotebookError, InvalidInput
from gke_notebook.insight.node_pools import NodePool
from gke_notebook.insight.operations import OperationState, observe_operation
from gke_notebook.insight.text import count
from gke_notebook.manifests.node_pool import lease_labels
from gke_notebook.session.operation import NodePoolFailed, Operation

Object = dict[str, Any]

# A pool that waits for capacity keeps the cluster to itself for 35 to 40 minutes (seen in public reports).
PATIENCE_SECONDS = 3600.0
_TRIES = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_SHOWN = 4  # differences
_OURS = {names.LEASE, names.RESOURCE_LEASE, names.RESOURCE_DIGEST}


def create(api: NodePoolApi, request: Object, policy: Object | None = None) -> Operation:
    """Create a node pool, once: a pool or a running operation of the same digest is taken for what was asked.

    Args:
        api: the cluster's node pools.
        request: from `manifests.node_pool.create_request`.
        policy: the resource policy that it needs, None for none.

    Raises:
        InvalidInput: there is another pool of this name; the text has the difference.
        CloudError: the API refuses it.
        ClusterUnreachable: the API does not answer.
    """
    wanted: Object = request["nodePool"]
    name = str(wanted["name"])

    def settled() -> Operation | None:
        return _there(api, wanted)

    def ask() -> Operation:
        try:
            return Operation(api, observe_operation(api.create(request)))
        except CloudError as error:
            if error.status != 409:
                raise
            found = settled()
            if found is None:
                raise
            return found

    there = settled()
    if there is not None:
        return there
    if policy is not None:
        _ensure_policy(api, policy)
    return _once(api, f"create node pool {name}", ask, settled)


def set_size(api: NodePoolApi, pool: NodePool, nodes: int) -> Operation:
    """Change how many nodes a pool has.

    Args:
        api: the cluster's node pools.
        pool: as it stands.
        nodes: in all its zones together.

    Raises:
        InvalidInput: it cannot have so many; the text has the nearest number.
        CloudError: the API refuses it.
    """
    zones = len(pool.zones) or 1
    if pool.hosts > 1 and nodes not in (0, pool.hosts):
        near = 0 if nodes * 2 < pool.hosts else pool.hosts
        raise InvalidInput(
            f"node pool {pool.name!r} is one {pool.topology} slice of {pool.hosts} hosts: it has {pool.hosts} nodes or "
            f"none, not {nodes}: --nodes {near}"
        )
    if nodes % zones:
        near = max(1, round(nodes / zones)) * zones
        raise InvalidInput(f"{nodes} nodes cannot be spread evenly over {zones} zones; the nearest is --nodes {near}")
    if pool.autoscaling and not pool.least <= nodes <= pool.most:
        near = min(max(nodes, pool.least), pool.most)
        raise InvalidInput(
            f"node pool {pool.name!r} scales between {pool.least} and {pool.most} nodes, and {nodes} is outside: "
            f"--nodes {near}, or change the limits: --min {min(nodes, pool.least)} --max {max(nodes, pool.most)}"
        )
    if pool.size == nodes and pool.status == "running":
        return _already(api, pool.name, "resizing", f"it has {count(nodes, 'node')} already")
    ask = _asking(api, lambda: api.set_size(pool.name, nodes // zones))
    return _once(api, f"resize node pool {pool.name}", ask, lambda: _running(api, pool.name))


def set_limits(api: NodePoolApi, pool: NodePool, scaling: Mapping[str, Any], least: int, most: int) -> Operation:
    """Change the limits between which a pool scales.

    Args:
        api: the cluster's node pools.
        pool: as it stands.
        scaling: its ``NodePoolAutoscaling``.
        least: the fewest nodes in all.
        most: the most nodes in all.

    Raises:
        InvalidInput: they contradict each other, or the pool; the text has the nearest that fit.
        CloudError: the API refuses it.
    """
    if least > most:
        raise InvalidInput(f"--min {least} is more than --max {most}; write --min {most} --max {least}")
    if pool.hosts > 1 and most != pool.hosts:
        raise InvalidInput(f"node pool {pool.name!r} is one slice of {pool.hosts} hosts: --max {pool.hosts}")
    new: Object = {"enabled": True, "locationPolicy": scaling.get("locationPolicy") or "BALANCED"}
    if scaling.get("maxNodeCount"):  # limits for each zone
        zones = len(pool.zones) or 1
        if least % zones or most % zones:
            low, high = least // zones * zones, max(1, round(most / zones)) * zones
            raise InvalidInput(
                f"the limits of node pool {pool.name!r} are for each of its {zones} zones; the nearest are "
                f"--min {low} --max {high}"
            )
        new |= {"minNodeCount": least // zones, "maxNodeCount": most // zones}
    else:
        new |= {"totalMinNodeCount": least, "totalMaxNodeCount": most}
    ask = _asking(api, lambda: api.set_autoscaling(pool.name, new))
    return _once(api, f"change the limits of node pool {pool.name}", ask, lambda: _running(api, pool.name))


def delete(api: NodePoolApi, name: str) -> Operation:
    """Delete a pool; one that is being deleted already is followed.

    Args:
        api: the cluster's node pools.
        name: its name.

    Raises:
        CloudError: the API refuses it.
    """

    def settled() -> Operation | None:
        found = api.get(name)
        if found is None:
            return _already(api, name, "deleting", "it is gone")
        return _running(api, name, "DELETE_NODE_POOL") if found.get("status") == "STOPPING" else None

    def ask() -> Operation:
        try:
            return Operation(api, observe_operation(api.delete(name)))
        except CloudError as error:
            if error.status != 404:
                raise
            return _already(api, name, "deleting", "it is gone")

    return settled() or _once(api, f"delete node pool {name}", ask, settled)


def write_lease(api: NodePoolApi, pool: Mapping[str, Any], until: int) -> None:
    """Write a lease into the labels of a pool's nodes and into those of Compute Engine, and wait for both.

    Args:
        api: the cluster's node pools.
        pool: a ``NodePool`` of the Container API.
        until: when the lease is over, in seconds since 1970.

    Raises:
        NodePoolFailed: a change has failed.
        CloudError: the API refuses it.
    """
    name, config = str(pool["name"]), pool.get("config") or {}
    # One field for each call, as Terraform's provider does it; until both are written the later time counts.
    for field, new in zip(("labels", "resourceLabels"), lease_labels(until), strict=True):
        changes = {field: {"labels": {**(config.get(field) or {}), **new}}}
        ask = _asking(api, functools.partial(api.update, name, changes))
        _once(api, f"extend the lease of node pool {name}", ask, lambda: None).wait()


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Say in what a pool differs from the one that is asked for.

    Args:
        wanted: the ``NodePool`` of a request.
        found: the ``NodePool`` that is there.

    Example:
        >>> differences({"config": {"spot": True}}, {"config": {}})
        ['config.spot: asked for true, there is nothing']
    """
    there = dict(_leaves(found))
    said = []
    for path, value in _leaves(wanted):
        other = there.get(path)
        if path.rpartition(".")[2] in _OURS or any(path.endswith(f".{key}") for key in _OURS):
            continue
        if str(other).lower() != str(value).lower() and not (other is None and value in (False, 0, "0", "")):
            said.append(f"{path}: asked for {_said(value)}, there is {_said(other)}")
    return said


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    else:
        yield path, ", ".join(map(str, value)) if isinstance(value, list) else value


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _there(api: NodePoolApi, wanted: Mapping[str, Any]) -> Operation | None:
    """Give what stands for a pool that is there already; None when there is none."""
    name = str(wanted["name"])
    found = api.get(name)
    if found is None or found.get("status") == "STOPPING":
        return None
    digest = wanted["config"]["resourceLabels"][names.RESOURCE_DIGEST]
    if (found.get("config") or {}).get("resourceLabels", {}).get(names.RESOURCE_DIGEST) != digest:
        said = differences(wanted, found)
        more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
        raise InvalidInput(
            f"there is a node pool {name!r} already, and it is another one ({'; '.join(said[:_SHOWN])}{more}); use "
            f"another name, %gke_nodepool resize {name}, or %gke_nodepool delete {name} first"
        )
    running = _running(api, name, "CREATE_NODE_POOL")
    if running is not None:
        running.note = "it was asked for before: this follows the same operation"
        return running
    if found.get("status") == "ERROR":
        reasons = "; ".join(str(one.get("message", "")) for one in found.get("conditions") or ())
        raise InvalidInput(
            f"node pool {name!r} was asked for before and is in error: {reasons or 'no reason is given'}; "
            f"%gke_nodepool delete {name}, then create it again, perhaps elsewhere"
        )
    return _already(api, name, "creating", "it is there already, as asked for")


def _already(api: NodePoolApi, name: str, doing: str, note: str) -> Operation:
    return Operation(api, OperationState("", name, doing), note)


def _running(api: NodePoolApi, name: str, kind: str = "") -> Operation | None:
    for one in api.operations(name):
        if one.get("status") != "DONE" and kind in ("", one.get("operationType")):
            return Operation(api, observe_operation(one))
    return None


def _asking(api: NodePoolApi, call: Callable[[], Object]) -> Callable[[], Operation]:
    return lambda: Operation(api, observe_operation(call()))


def _once(
    api: NodePoolApi, what: str, ask: Callable[[], Operation], settled: Callable[[], Operation | None]
) -> Operation:
    """Ask until it is begun: wait while others are at work, and after a lost answer look before asking again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    wait, left, lost = _FIRST_WAIT, _TRIES, False
    while True:
        try:
            found = settled() if lost else None
            if found is not None:
                found.note = found.note or "the answer was lost, but it has begun"
                return found
            return ask()
        except ClusterBusy as busy:
            _wait_for_other(api, busy, what, deadline)
        except (CloudError, ClusterUnreachable) as error:
            left, lost = left - 1, True
            if (isinstance(error, CloudError) and error.status < 500) or left <= 0:
                raise
            api.say(f"{error}; looking whether it has begun all the same, then asking again")
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)


def _wait_for_other(api: NodePoolApi, busy: ClusterBusy, what: str, deadline: float) -> None:
    name = busy.operation
    if not name:
        running = [one for one in api.operations() if one.get("status") != "DONE"]
        name = str(running[0]["name"]) if running else ""
    if not name:
        time.sleep(_FIRST_WAIT)
        return
    said, wait = "", _FIRST_WAIT
    while True:
        other = observe_operation(api.operation(name))
        if other.done:
            return
        if time.monotonic() > deadline:
            raise NodePoolFailed(f"could not {what}: the cluster is still busy {other.sentence}; nothing was begun")
        if other.sentence != said:
            api.say(f"the cluster does one thing at a time, now {other.sentence}; after that: {what}")
            said = other.sentence
        time.sleep(wait)
        wait = min(wait * 1.3, 3.0)


def _ensure_policy(api: NodePoolApi, policy: Object) -> None:
    """Make the resource policy that places a TPU slice, unless it is there."""
    target = api.target
    path = f"/compute/v1/projects/{target.project}/regions/{catalog.region_of(target.location)}/resourcePolicies"
    compute = target.rest("compute")
    try:
        compute.call("POST", path, body=policy)
    except CloudError as error:
        if error.status != 409:
            raise
    for _ in range(60):
        try:
            if compute.call("GET", f"{path}/{policy['name']}").get("status", "READY") == "READY":
                return
        except CloudError as error:
            if error.status != 404:
                raise
        time.sleep(1.0)
    raise GkeNotebookError(f"the workload policy {policy['name']} did not become ready within a minute")
