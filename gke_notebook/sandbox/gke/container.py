"""The Container API v1: the cluster, its node pools, operations; paths of google.cloud.container_v1 and of gcloud.

Both forms of a path are served: ``locations/`` with ``:verb``, and the older ``zones/`` with ``/verb``.
"""

from __future__ import annotations

import re
from typing import Any

from gke_notebook.sandbox.gke import operations, pool_rules, pool_update, quotas, resources, shapes, wire
from gke_notebook.sandbox.gke.failures import ApiFailure, invalid, not_found, precondition
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.gke.resources import ROOT, Settings
from gke_notebook.sandbox.gke.state import Operation, Pool
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

Object = dict[str, Any]

PATH = re.compile(
    r"/v1(?:alpha1|beta1)?/projects/(?P<project>[^/:]+)/(?P<form>locations|zones)/(?P<location>[^/:]+)/(?P<rest>.+)"
)
_BELOW = re.compile(
    r"(?P<config>server[cC]onfig)"
    r"|operations(?:/(?P<operation>[^/:]+)(?P<cancel>:cancel)?)?"
    r"|clusters(?:/(?P<cluster>[^/:]+)(?P<pools>/nodePools(?:/(?P<pool>[^/:]+)(?:[/:](?P<verb>[A-Za-z]+))?)?)?)?"
)
_VERBS = ("setSize", "setAutoscaling", "autoscaling", "setManagement", "update")


def answer(fleet: Fleet, settings: Settings, method: str, path: str, raw: bytes = b"") -> Object:
    """Answer one request that has been authenticated.

    Args:
        fleet: what there is.
        settings: where the cluster is.
        method: the HTTP method.
        path: the path, decoded.
        raw: the body.

    Returns:
        The body of the answer.

    Raises:
        ApiFailure: the error to answer.
    """
    found = PATH.fullmatch(path)
    below = _BELOW.fullmatch(found["rest"]) if found else None
    if found is None or below is None:
        raise ApiFailure(501, f"The sandbox does not serve {path[:200]}.")
    project, location = found["project"], found["location"]
    if project != PROJECT:
        message = f'Permission denied on project "{project}"; the sandbox has one project, "{PROJECT}".'
        raise ApiFailure(403, message)
    fleet.advance()
    parent = f"projects/{project}/{found['form']}/{location}"
    if below["config"]:
        _only(method, "GET", path)
        return resources.server_config()
    if found["rest"].startswith("operations"):
        return _operations(fleet, method, location, below, parent)
    if below["cluster"] is None:
        _only(method, "GET", path)
        return {"clusters": [resources.cluster(fleet.state, settings)]} if location in (LOCATION, "-") else {}
    if location != LOCATION or below["cluster"] != CLUSTER:
        raise not_found(f"{parent}/clusters/{below['cluster']}")
    if below["pools"] is None:
        if method == "PUT":
            return _update_cluster(fleet, raw)
        _only(method, "GET", path)
        return resources.cluster(fleet.state, settings)
    if below["pool"] is None:
        if method == "POST":
            return create(fleet, raw)
        _only(method, "GET", path)
        return {"nodePools": [resources.node_pool(pool) for pool in fleet.state.pools.values()]}
    return _pool(fleet, method, path, below, raw)


def _only(method: str, allowed: str, path: str) -> None:
    if method != allowed and not (method == "HEAD" and allowed == "GET"):
        raise ApiFailure(501, f"The sandbox does not serve {method} {path[:200]}.")


def _operations(fleet: Fleet, method: str, location: str, below: re.Match[str], parent: str) -> Object:
    name = below["operation"]
    here = location in (LOCATION, "-")
    if name is None:
        _only(method, "GET", f"{parent}/operations")
        shown = [operations.resource(one, ROOT) for one in fleet.state.operations.values()] if here else []
        return {"operations": shown[::-1]} if shown else {}
    if not here:
        raise not_found(f"{parent}/operations/{name}")
    if below["cancel"]:
        _only(method, "POST", f"{parent}/operations/{name}:cancel")
        operations.cancel(fleet, name)
        return {}
    _only(method, "GET", f"{parent}/operations/{name}")
    return operations.resource(operations.find(fleet, name), ROOT)


def _pool(fleet: Fleet, method: str, path: str, below: re.Match[str], raw: bytes) -> Object:
    pool = fleet.pool(below["pool"])
    verb = below["verb"]
    if verb is None and method == "DELETE":
        return _shown(_begin(fleet, pool, operations.DELETE, "STOPPING"))
    if (verb is None and method == "PUT") or (verb == "update" and method == "POST"):
        return _update(fleet, pool, raw)
    if verb is None:
        _only(method, "GET", path)
        return resources.node_pool(pool)
    if verb not in _VERBS:
        raise ApiFailure(501, f"The sandbox does not serve {path[:200]}.")
    _only(method, "POST", path)
    if verb == "setSize":
        return _set_size(fleet, pool, raw)
    if verb == "setManagement":
        management = wire.parse("SetNodePoolManagementRequest", raw).get("management")
        if management is None:
            raise invalid("management must be specified.")
        _check({**pool.spec, "management": management})
        return _shown(_begin(fleet, pool, operations.MANAGEMENT, change={"management": management}))
    scaling = wire.parse("SetNodePoolAutoscalingRequest", raw).get("autoscaling")
    if scaling is None:
        raise invalid("autoscaling must be specified.")
    return _set_autoscaling(fleet, pool, scaling)


def _set_autoscaling(fleet: Fleet, pool: Pool, scaling: Object) -> Object:
    pool_rules.check_autoscaling({**pool.spec, "initialNodeCount": 0, "autoscaling": scaling})
    return _shown(_begin(fleet, pool, operations.UPDATE, change={"autoscaling": scaling}))


def _update_cluster(fleet: Fleet, raw: bytes) -> Object:
    """Change what gcloud changes of a node pool by way of its cluster: the autoscaling."""
    update = wire.load(raw).get("update")
    known = {"desiredNodePoolId", "desiredNodePoolAutoscaling"}
    if (
        not isinstance(update, dict)
        or set(update) != known
        or not isinstance(update["desiredNodePoolAutoscaling"], dict)
    ):
        raise ApiFailure(501, "The sandbox changes nothing of a cluster but the autoscaling of one node pool.")
    scaling = wire.checked(
        "NodePoolAutoscaling", update["desiredNodePoolAutoscaling"], "update.desired_node_pool_autoscaling"
    )
    return _set_autoscaling(fleet, fleet.pool(str(update["desiredNodePoolId"])), scaling)


def _check(spec: Object) -> None:
    """Check a pool that is there already: how many nodes it began with binds it no more."""
    pool_rules.check({**spec, "initialNodeCount": 0})


def _begin(fleet: Fleet, pool: Pool, kind: str, status: str = "RECONCILING", **more: Any) -> Operation:
    operation = fleet.begin(kind, pool.name, **more)
    pool.status = status
    return operation


def _shown(operation: Operation) -> Object:
    return operations.resource(operation, ROOT)


def create(fleet: Fleet, raw: bytes) -> Object:
    """Create a node pool.

    Args:
        fleet: what there is.
        raw: a ``CreateNodePoolRequest``.

    Raises:
        ApiFailure: 400, 403 for quota, 409.
    """
    spec = wire.parse("CreateNodePoolRequest", raw).get("nodePool")
    if spec is None:
        raise invalid("node_pool must be specified.")
    spec = pool_rules.completed(spec)
    pool_rules.check(spec)
    if spec["name"] in fleet.state.pools:
        raise ApiFailure(
            409, f"Already exists: projects/{PROJECT}/zones/{LOCATION}/clusters/{CLUSTER}/nodePools/{spec['name']}."
        )
    _check_reservation(fleet, spec)
    pool = Pool(spec, created=fleet.clock.wall(), targets=dict.fromkeys(spec["locations"], 0))
    wanted = dict.fromkeys(spec["locations"], int(spec["initialNodeCount"]))
    _check_quota(fleet, pool, wanted)
    operation = fleet.begin(operations.CREATE, pool.name, wanted=wanted, total=sum(wanted.values()))
    fleet.state.pools[pool.name] = pool
    return _shown(operation)


def _check_reservation(fleet: Fleet, spec: Object) -> None:
    affinity = spec["config"].get("reservationAffinity") or {}
    if affinity.get("consumeReservationType") != "SPECIFIC_RESERVATION":
        return
    name = str(affinity["values"][0]).rpartition("/")[2]
    found = fleet.state.reservations.get(name)
    if found is None or found.zone not in spec["locations"]:
        where = f"; it is in zone {found.zone}" if found else ""
        raise invalid(f'Reservation "{name}" does not exist in {", ".join(spec["locations"])}{where}.')
    if found.machine_type != spec["config"]["machineType"]:
        raise invalid(
            f'Reservation "{name}" is for machine type "{found.machine_type}", not "{spec["config"]["machineType"]}".'
        )


def _check_quota(fleet: Fleet, pool: Pool, wanted: dict[str, int]) -> None:
    """Refuse what the quota does not suffice for, as the API does at once."""
    affinity = (pool.config.get("reservationAffinity") or {}).get("consumeReservationType", "NO_RESERVATION")
    if affinity != "NO_RESERVATION":
        return
    more = sum(max(0, number - pool.targets.get(zone, 0)) for zone, number in wanted.items())
    if more <= 0:
        return
    each = quotas.taken(shapes.new_instance(pool, next(iter(wanted)), "new"))
    usage = fleet.ledger.usage
    short = quotas.short(
        {metric: number * more for metric, number in each.items()}, LOCATION, usage, fleet.state.faults.values()
    )
    if short is not None:
        raise ApiFailure(403, quota_text(*short))


def quota_text(metric: str, wanted: float, limit: float, used: float) -> str:
    """Give the API's words for a quota that does not suffice.

    Args:
        metric: its name.
        wanted: what the request takes.
        limit: its limit.
        used: what is taken already.

    Example:
        >>> quota_text("NVIDIA_L4_GPUS", 4, 8, 6)[:60]
        'Insufficient regional quota to satisfy request: resource "NV'
    """
    free = max(0.0, limit - used)
    return (
        f"Insufficient regional quota to satisfy request: resource \"{metric}\": request requires '{float(wanted)}' "
        f"and is short '{wanted - free:.1f}'. project has a quota of '{float(limit)}' with '{free:.1f}' available. "
        f"View and manage quotas at https://console.cloud.google.com/iam-admin/quotas?usage=USED&project={PROJECT}."
    )


def _set_size(fleet: Fleet, pool: Pool, raw: bytes) -> Object:
    count = int(wire.parse("SetNodePoolSizeRequest", raw).get("nodeCount") or 0)
    if not 0 <= count <= 1000:
        raise invalid(f"node_count must be between 0 and 1000, not {count}.")
    hosts = pool_rules.hosts(pool.spec)
    if hosts and count not in (0, hosts):
        topology = pool.spec["placementPolicy"]["tpuTopology"]
        raise invalid(f'A TPU slice of topology "{topology}" has {hosts} nodes, or none; not {count}.')
    wanted = dict.fromkeys(pool.spec["locations"], count)
    _check_quota(fleet, pool, wanted)
    return _shown(_begin(fleet, pool, operations.SIZE, wanted=wanted, total=sum(wanted.values())))


def _update(fleet: Fleet, pool: Pool, raw: bytes) -> Object:
    request = wire.parse("UpdateNodePoolRequest", raw)
    if request.get("etag") and request["etag"] != resources.etag(pool):
        raise ApiFailure(409, f"Node pool {pool.name} was changed by somebody else: etag mismatch.", "ABORTED")
    kind, change = pool_update.change(request)
    spec = pool_update.applied(pool.spec, change)
    _check(spec)
    wanted = {}
    if kind == operations.MOVE:
        size = max([pool.targets.get(zone, 0) for zone in pool.spec["locations"]] or [0])
        if pool.atomic:
            raise precondition("The zone of a TPU slice cannot be changed.")
        wanted = {
            **dict.fromkeys(pool.targets, 0),
            **{zone: pool.targets.get(zone, size) for zone in spec["locations"]},
        }
        _check_quota(fleet, pool, wanted)
    return _shown(_begin(fleet, pool, kind, change=change, wanted=wanted, total=sum(wanted.values())))
