"""Reservations of machines, as the Compute Engine API v1 shows, makes and deletes them."""

from __future__ import annotations

import json
import re
from typing import Any

from gke_notebook.sandbox.gke import capacity, compute_groups, quotas, shapes
from gke_notebook.sandbox.gke.clock import timestamp
from gke_notebook.sandbox.gke.compute_resources import number, zone_url
from gke_notebook.sandbox.gke.failures import ApiFailure, invalid
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.gke.state import Reservation
from gke_notebook.sandbox.pools import PROJECT

Object = dict[str, Any]

_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")


def resource(fleet: Fleet, one: Reservation) -> Object:
    """Give a ``Reservation``.

    Args:
        fleet: what there is.
        one: the reservation.
    """
    used = fleet.in_use(one.name)
    properties: Object = {"machineType": one.machine_type}
    if one.accelerator:
        properties["guestAccelerators"] = [
            {"acceleratorType": one.accelerator, "acceleratorCount": one.accelerator_count}
        ]
    return {
        "kind": "compute#reservation",
        "id": number(one.name),
        "name": one.name,
        "zone": zone_url(one.zone),
        "creationTimestamp": timestamp(one.created),
        "specificReservation": {
            "count": str(one.count),
            "inUseCount": str(used),
            "assuredCount": str(one.count),
            "instanceProperties": properties,
        },
        "specificReservationRequired": one.specific,
        "status": "READY",
        "selfLink": f"{zone_url(one.zone)}/reservations/{one.name}",
    }


def insert(fleet: Fleet, zone: str, raw: bytes) -> Object:
    """Make a reservation, whose machines take quota and capacity from now on.

    Args:
        fleet: what there is.
        zone: where.
        raw: a ``Reservation``.

    Raises:
        ApiFailure: 400, 403 for quota, 409.
    """
    made = _read(zone, raw)
    made.created = fleet.clock.wall()
    kind = shapes.machine(made.machine_type)
    assert kind is not None  # `_read` has looked
    label = made.accelerator or kind.accelerator
    each = made.accelerator_count or kind.accelerator_count
    region = capacity.region_of(zone)
    wanted = {metric: float(n) for (metric, _), n in quotas.used((), (made,)).items()}
    short = quotas.short(wanted, region, fleet.ledger.usage, fleet.state.faults.values())
    if short is not None:
        raise ApiFailure(403, f"Quota '{short[0]}' exceeded.  Limit: {short[2]:.1f} in region {region}.")
    if label and each * made.count > fleet.free(label, zone):
        where = f"projects/{PROJECT}/zones/{zone}"
        raise ApiFailure(503, f"The zone '{where}' does not have enough resources available to fulfill the request.")
    fleet.add_reservation(made)
    return compute_groups.done(fleet, "insert", zone, f"reservations/{made.name}")


def _read(zone: str, raw: bytes) -> Reservation:
    try:
        body = json.loads(raw or b"{}")
        name = str(body["name"])
        specific = body["specificReservation"]
        properties = specific["instanceProperties"]
        count = int(specific["count"])
        machine = str(properties["machineType"]).rpartition("/")[2]
        guests = properties.get("guestAccelerators") or [{}]
        accelerator = str(guests[0].get("acceleratorType", "")).rpartition("/")[2]
        each = int(guests[0].get("acceleratorCount", 0))
        required = bool(body.get("specificReservationRequired"))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise invalid(
            "Invalid value for field 'resource': it needs name, specificReservation.count and "
            "specificReservation.instanceProperties.machineType."
        ) from None
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Invalid value for field 'resource.name': '{name[:80]}'. Must be a match of regex '{_NAME.pattern}'"
        )
    if not 1 <= count <= 1000:
        raise invalid(f"Invalid value for field 'resource.specificReservation.count': '{count}'. Must be 1 to 1000.")
    kind = shapes.machine(machine)
    if kind is None or (kind.accelerator and machine not in {one.name for one in capacity.machine_types_in(zone)}):
        raise invalid(f"Machine type with name '{machine[:80]}' does not exist in zone '{zone}'.")
    if accelerator and accelerator not in capacity.accelerators_in(zone):
        raise invalid(f"Accelerator type '{accelerator[:80]}' does not exist in zone '{zone}'.")
    return Reservation(name, zone, machine, count, accelerator, max(0, each), specific=required)


def delete(fleet: Fleet, zone: str, name: str) -> Object:
    """Delete a reservation that no machine uses.

    Args:
        fleet: what there is.
        zone: where.
        name: its name.

    Raises:
        ApiFailure: 404, or 400 while it is in use.
    """
    found = fleet.state.reservations.get(name)
    path = f"projects/{PROJECT}/zones/{zone}/reservations/{name}"
    if found is None or found.zone != zone:
        raise ApiFailure(404, f"The resource '{path}' was not found")
    if fleet.in_use(name):
        raise invalid(f"The reservation resource '{path}' is already being used by machines of the project.")
    del fleet.state.reservations[name]
    fleet.count_again()
    fleet.changed()
    return compute_groups.done(fleet, "delete", zone, f"reservations/{name}")
