"""The part of the Compute Engine API v1 that shows what there is, and works on the groups of node pools."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gke_notebook.sandbox.gke import capacity, compute_groups, compute_resources, quotas, reservations
from gke_notebook.sandbox.gke.compute_resources import ROOT, zone_url
from gke_notebook.sandbox.gke.failures import ApiFailure
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.pools import PROJECT

Object = dict[str, Any]

PATH = re.compile(r"/compute/v1/projects/(?P<project>[^/]+)(?P<rest>(?:/.*)?)")
_ZONAL = re.compile(
    r"/zones/(?P<zone>[^/]+)/(?P<kind>machineTypes|acceleratorTypes|reservations|instanceGroupManagers|instances)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<verb>[A-Za-z]+))?)?"
)
_AGGREGATED = re.compile(
    r"/aggregated/(?P<kind>machineTypes|acceleratorTypes|reservations|instanceGroupManagers|instances)"
)


def answer(fleet: Fleet, method: str, path: str, query: Mapping[str, str], raw: bytes = b"") -> Object:
    """Answer one request that has been authenticated.

    Args:
        fleet: what there is.
        method: the HTTP method.
        path: the path, decoded.
        query: the query's parameters.
        raw: the body.

    Returns:
        The body of the answer.

    Raises:
        ApiFailure: the error to answer.
    """
    found = PATH.fullmatch(path)
    if found is None:
        raise ApiFailure(501, f"The sandbox does not serve {path[:200]}.")
    if found["project"] != PROJECT:
        what = f"projects/{found['project']}"
        raise ApiFailure(403, f"Required 'compute.projects.get' permission for '{what}'")
    fleet.advance()
    rest = found["rest"].rstrip("/")
    if method in ("GET", "HEAD"):
        shown = _read(fleet, rest)
        if shown is not None:
            return shown
    zonal = _ZONAL.fullmatch(rest)
    if zonal is None:
        raise ApiFailure(501, f"The sandbox does not serve {method} {path[:200]}.")
    return _in_zone(fleet, method, zonal, query, raw)


def missing(path: str) -> ApiFailure:
    """Make Compute Engine's answer to a name that does not exist.

    Args:
        path: below the project, without a leading slash.
    """
    return ApiFailure(404, f"The resource 'projects/{PROJECT}/{path}' was not found")


def _read(fleet: Fleet, rest: str) -> Object | None:
    if rest == "":
        return _project(fleet)
    if rest == "/regions":
        return listing("region", "regions", [region(fleet, name) for name in capacity.regions()])
    if rest.startswith("/regions/") and rest.count("/") == 2:
        name = rest.rpartition("/")[2]
        if name not in capacity.regions():
            raise missing(f"regions/{name}")
        return region(fleet, name)
    every = [zone for name in capacity.regions() for zone in capacity.zones_of(name)]
    if rest == "/zones":
        return listing("zone", "zones", [compute_resources.zone(name) for name in every])
    if rest.startswith("/zones/") and rest.count("/") == 2:
        name = rest.rpartition("/")[2]
        if name not in every:
            raise missing(f"zones/{name}")
        return compute_resources.zone(name)
    aggregated = _AGGREGATED.fullmatch(rest)
    if aggregated is None:
        return None
    kind = aggregated["kind"]
    items = {}
    for zone in every:
        there = _items(fleet, kind, zone)
        if there:
            items[f"zones/{zone}"] = {kind: there}
    return {
        "kind": f"compute#{kind[:-1]}AggregatedList",
        "id": f"projects/{PROJECT}/aggregated/{kind}",
        "items": items,
        "selfLink": f"{ROOT}/projects/{PROJECT}/aggregated/{kind}",
    }


def listing(kind: str, path: str, items: Iterable[Object]) -> Object:
    """Make a list as Compute Engine answers it.

    Args:
        kind: of the items, for example ``zone``.
        path: below the project.
        items: what is in it; an empty list is left out, as there.
    """
    items = list(items)
    shown: Object = {
        "kind": f"compute#{kind}List",
        "id": f"projects/{PROJECT}/{path}",
        "selfLink": f"{ROOT}/projects/{PROJECT}/{path}",
    }
    return {**shown, "items": items} if items else shown


def _project(fleet: Fleet) -> Object:
    usage = fleet.ledger.usage
    return {
        "kind": "compute#project",
        "id": compute_resources.number(PROJECT),
        "name": PROJECT,
        "selfLink": f"{ROOT}/projects/{PROJECT}",
        "quotas": [_quota(fleet, quotas.GLOBAL, "", usage[quotas.GLOBAL, ""])],
    }


def _quota(fleet: Fleet, metric: str, region_name: str, usage: int) -> Object:
    limit = quotas.limit(metric, region_name, fleet.state.faults.values())
    return {"metric": metric, "limit": float(limit), "usage": float(usage)}


def region(fleet: Fleet, name: str) -> Object:
    """Give a ``Region`` with its quotas: those without dimensions only, as the real one does.

    Args:
        fleet: what there is.
        name: the region.
    """
    usage = fleet.ledger.usage
    metrics = ["CPUS", *(metric for metric in quotas.metrics() if ":" not in metric)]
    return {
        "kind": "compute#region",
        "id": compute_resources.number(name),
        "name": name,
        "description": name,
        "status": "UP",
        "zones": [zone_url(zone) for zone in capacity.zones_of(name)],
        "quotas": [_quota(fleet, metric, name, usage[metric, name]) for metric in metrics],
        "selfLink": f"{ROOT}/projects/{PROJECT}/regions/{name}",
    }


def _items(fleet: Fleet, kind: str, zone: str) -> list[Object]:
    if kind == "machineTypes":
        return [compute_resources.machine_type(one, zone) for one in capacity.machine_types_in(zone)]
    if kind == "acceleratorTypes":
        return [compute_resources.accelerator_type(one, zone) for one in capacity.accelerators_in(zone)]
    if kind == "reservations":
        found = fleet.state.reservations.values()
        return [reservations.resource(fleet, one) for one in found if one.zone == zone]
    if kind == "instances":
        there = fleet.state.instances.values()
        return [compute_resources.instance(fleet, one) for one in there if one.zone == zone and one.admitted]
    pools = fleet.state.pools.values()
    return [compute_groups.resource(fleet, pool, zone) for pool in pools if zone in pool.targets]


_CHANGES: dict[tuple[str, str], Callable[..., Object]] = {
    ("POST", "resize"): compute_groups.resize,
    ("POST", "deleteInstances"): compute_groups.delete_instances,
    ("POST", "listManagedInstances"): compute_groups.managed_instances,
    ("GET", "listErrors"): compute_groups.errors,
}


def _in_zone(fleet: Fleet, method: str, found: re.Match[str], query: Mapping[str, str], raw: bytes) -> Object:
    zone, kind, name, verb = found["zone"], found["kind"], found["name"], found["verb"]
    if not capacity.region_of(zone):
        raise missing(f"zones/{zone}")
    path = f"zones/{zone}/{kind}"
    if method in ("GET", "HEAD") and name is None:
        return listing(kind[:-1], path, _items(fleet, kind, zone))
    if method in ("GET", "HEAD") and verb is None:
        for item in _items(fleet, kind, zone):
            if item["name"] == name:
                return item
        if kind == "machineTypes":
            made = compute_resources.named_machine_type(str(name), zone)
            if made is not None:
                return made
        raise missing(f"{path}/{name}")
    if kind == "reservations" and method == "POST" and name is None:
        return reservations.insert(fleet, zone, raw)
    if kind == "reservations" and method == "DELETE" and verb is None:
        return reservations.delete(fleet, zone, str(name))
    change = _CHANGES.get((method, verb or ""))
    if kind == "instanceGroupManagers" and change is not None:
        pool = compute_groups.pool_of(fleet, zone, str(name))
        if pool is None:
            raise missing(f"{path}/{name}")
        return change(fleet, pool, zone, query, raw)
    raise ApiFailure(501, f"The sandbox does not serve {method} of {path}/{name or ''}/{verb or ''}.")
