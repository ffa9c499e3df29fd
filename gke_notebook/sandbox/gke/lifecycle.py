"""How a machine comes and goes: asked for, had or not, booted, stopped, gone or made again.

Delays are those of real GKE in seconds on the fleet's clock: a node is Ready about a minute after it was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_notebook.sandbox.gke import capacity, quotas, shapes
from gke_notebook.sandbox.instances import (
    DELETED,
    EXPIRED,
    PREEMPTED,
    PROVISIONING,
    REPLACED,
    RUNNING,
    STAGING,
    STOPPING,
    Instance,
)  # fmt: skip
from gke_notebook.sandbox.pools import PROJECT

if TYPE_CHECKING:
    from gke_notebook.sandbox.gke.fleet import Fleet
    from gke_notebook.sandbox.gke.state import Pool, Reservation

REQUEST_SECONDS = 5.0  # until Compute Engine has decided
PROVISIONING_SECONDS = 10.0
STAGING_SECONDS = 10.0
BOOT_SECONDS = 30.0  # from the start of the machine to its kubelet
RETRY_SECONDS = 60.0  # until a group tries again to make a machine that it could not get
REMOVAL_SECONDS = 10.0
# Real seconds, whatever the clock's factor: the processes of pods that are told to end are real. Compute Engine gives a
# spot VM 30 s, and a VM that is deleted about 90 s (Compute Engine documentation, "Spot VMs", "Instance life cycle").
NOTICE_SECONDS = {PREEMPTED: 30.0, DELETED: 90.0, EXPIRED: 90.0, REPLACED: 90.0}

QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
STOCKOUT = "ZONE_RESOURCE_POOL_EXHAUSTED"


def begin(fleet: Fleet, pool: Pool, zone: str, name: str) -> Instance:
    """Ask for a machine.

    Args:
        fleet: the fleet.
        pool: its pool.
        zone: where.
        name: its name.
    """
    instance = shapes.new_instance(pool, zone, name)
    instance.created = fleet.clock.wall()
    instance.due = fleet.clock.now() + REQUEST_SECONDS
    fleet.state.instances[name] = instance
    return instance


def step(fleet: Fleet, instance: Instance) -> None:
    """Take a machine whose time has come one step further.

    Args:
        fleet: the fleet.
        instance: the machine; its `due` is not in the future.
    """
    now = instance.due or 0.0  # not the clock's time: a fleet that was not looked at for long must not be late
    if instance.name not in fleet.state.instances:
        return
    if instance.status == STOPPING:
        _remove(fleet, instance)
    elif not instance.admitted:
        _admit(fleet, instance)
    elif instance.status == PROVISIONING:
        instance.status, instance.due = STAGING, now + STAGING_SECONDS
    elif instance.status == STAGING:
        instance.status, instance.due = RUNNING, now + BOOT_SECONDS
    elif not instance.booted:
        instance.booted = True
        instance.due = _expiry(fleet, instance, now)
    else:
        stop(fleet, instance, EXPIRED)
        fleet.state.pools[instance.pool].targets[instance.zone] -= 1


def _expiry(fleet: Fleet, instance: Instance, now: float) -> float | None:
    text = fleet.state.pools[instance.pool].config.get("maxRunDuration")
    if not text:
        return None
    # The user's own number, so it is kept in real seconds whatever the clock's factor.
    seconds = shapes.duration(text)
    instance.termination = fleet.clock.wall() + seconds
    return now + fleet.clock.real(seconds)


def stop(fleet: Fleet, instance: Instance, reason: str) -> None:
    """Begin the end of a machine.

    Args:
        fleet: the fleet.
        instance: the machine; one that stops already is only told the reason if that takes it out of its group.
        reason: why.
    """
    if instance.status == STOPPING:
        if reason == DELETED:
            instance.stopping = DELETED
        return
    instance.status, instance.stopping = STOPPING, reason
    wait = fleet.clock.real(NOTICE_SECONDS[reason]) if instance.booted else REMOVAL_SECONDS
    instance.due = fleet.clock.now() + (wait if instance.admitted else 0.0)


def _remove(fleet: Fleet, instance: Instance) -> None:
    del fleet.state.instances[instance.name]
    fleet.count_again()
    if instance.stopping in (PREEMPTED, REPLACED):
        pool = fleet.state.pools[instance.pool]
        begin(fleet, pool, instance.zone, instance.name)


def _admit(fleet: Fleet, instance: Instance) -> None:
    """Give a machine its quota and capacity; the hosts of a TPU slice together or not at all."""
    pool = fleet.state.pools[instance.pool]
    waiting = [instance]
    if pool.atomic:
        waiting = [one for one in fleet.members(pool.name) if not one.admitted and one.status != STOPPING]
    had: list[Instance] = []
    problem = ("", "")
    for one in waiting:
        problem = _obstacle(fleet, pool, one)
        if problem[0]:
            break
        one.admitted, one.error = True, ("", "")
        fleet.ledger.add(one)
        had.append(one)
    now = fleet.clock.now()
    if problem[0]:
        for one in had:
            one.admitted, one.reservation = False, ""
            fleet.count_again()
        for one in waiting:
            one.error, one.due = (problem[0], problem[1].replace(instance.name, one.name)), now + RETRY_SECONDS
        return
    for one in had:
        one.due = (instance.due or now) + PROVISIONING_SECONDS


def _obstacle(fleet: Fleet, pool: Pool, instance: Instance) -> tuple[str, str]:
    """Say why a machine cannot be had, by Compute Engine's code and text; empty when it can. Sets its reservation."""
    affinity = pool.config.get("reservationAffinity") or {}
    kind = affinity.get("consumeReservationType", "NO_RESERVATION")
    if kind == "SPECIFIC_RESERVATION":
        name = str((affinity.get("values") or [""])[0]).rpartition("/")[2]
        return _reserved(fleet, instance, name)
    if kind in ("ANY_RESERVATION", "ANY_RESERVATION_THEN_FAIL"):
        for reservation in fleet.state.reservations.values():
            there = not reservation.specific and _matches(reservation, instance)
            if there and fleet.in_use(reservation.name) < reservation.count:
                instance.reservation = reservation.name
                return "", ""
        if kind == "ANY_RESERVATION_THEN_FAIL":
            text = (
                f"Instance '{instance.name}' creation failed: no automatic reservation of the project has room for it."
            )
            return "AUTOMATIC_RESERVATIONS_NO_CAPACITY", text
    region = capacity.region_of(instance.zone)
    short = quotas.short(quotas.taken(instance), region, fleet.ledger.usage, fleet.state.faults.values())
    if short is not None:
        metric, _, limit, _ = short
        where = "globally" if metric == quotas.GLOBAL else f"in region {region}"
        return QUOTA_EXCEEDED, (
            f"Instance '{instance.name}' creation failed: Quota '{metric.partition(':')[0]}' exceeded.  "
            f"Limit: {limit:.1f} {where}."
        )
    return ("", "") if _in_stock(fleet, instance) else (STOCKOUT, stockout_text(instance))


def stockout_text(instance: Instance) -> str:
    """Give Compute Engine's words for a zone that has no more of something.

    Args:
        instance: the machine that could not be had.
    """
    return (
        f"Instance '{instance.name}' creation failed: The zone 'projects/{PROJECT}/zones/{instance.zone}' does not "
        "have enough resources available to fulfill the request. '(resource type:compute)'."
    )


def _in_stock(fleet: Fleet, instance: Instance) -> bool:
    label = instance.accelerator or instance.tpu_accelerator
    if any(
        fault.stocks_out(
            accelerator=label,
            machine_type=instance.machine_type,
            zone=instance.zone,
            spot=instance.provisioning != "standard",
        )
        for fault in fleet.state.faults.values()
    ):
        return False
    return not label or instance.accelerator_count <= fleet.free(label, instance.zone)


def _matches(reservation: Reservation, instance: Instance) -> bool:
    return (
        reservation.zone == instance.zone
        and reservation.machine_type == instance.machine_type
        and reservation.accelerator in ("", instance.accelerator)
        and reservation.accelerator_count in (0, instance.accelerator_count)
        and instance.provisioning == "standard"
    )


def _reserved(fleet: Fleet, instance: Instance, name: str) -> tuple[str, str]:
    reservation = fleet.state.reservations.get(name)
    start = f"Instance '{instance.name}' creation failed: "
    if reservation is None or reservation.zone != instance.zone:
        return "RESERVATION_NOT_FOUND", f"{start}Reservation '{name}' was not found in zone {instance.zone}."
    if not _matches(reservation, instance):
        return "RESERVATION_INCOMPATIBLE", f"{start}Reservation '{name}' is incompatible with the machine."
    if fleet.in_use(name) >= reservation.count:
        text = f"{start}it cannot be created now due to lack of capacity in your reservation."
        return "RESERVATION_CAPACITY_EXCEEDED", text
    instance.reservation = name
    return "", ""
