"""The long-running operations: their stages, how they go on as machines come and go, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_notebook.sandbox.gke import lifecycle, shapes
from gke_notebook.sandbox.gke.clock import timestamp
from gke_notebook.sandbox.gke.failures import NUMBERS, not_found, precondition
from gke_notebook.sandbox.gke.state import ABORTING, DONE, PENDING, RUNNING, Operation, Pool
from gke_notebook.sandbox.instances import DELETED, REPLACED, STOPPING, Instance
from gke_notebook.sandbox.instances import RUNNING as MACHINE_RUNNING
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

if TYPE_CHECKING:
    from gke_notebook.sandbox.gke.fleet import Fleet

Object = dict[str, Any]

CREATE, DELETE, SIZE = "CREATE_NODE_POOL", "DELETE_NODE_POOL", "SET_NODE_POOL_SIZE"
MANAGEMENT, UPDATE, UPGRADE = "SET_NODE_POOL_MANAGEMENT", "UPDATE_CLUSTER", "UPGRADE_NODES"
MOVE = "UPDATE_CLUSTER of the zones"  # which the API shows as UPDATE_CLUSTER

PENDING_SECONDS = 2.0
SETTING_SECONDS = 8.0  # a change of settings only
PREPARE_SECONDS = {CREATE: 12.0, DELETE: 4.0, SIZE: 4.0, MOVE: 8.0, UPGRADE: 10.0}
HEALTH_SECONDS = {CREATE: 10.0, DELETE: 15.0, SIZE: 4.0, MOVE: 4.0, UPGRADE: 6.0}
# Observed in public reports of stockouts: 35 minutes and some seconds.
GIVE_UP_SECONDS = 35 * 60 + 7.0
KEPT = 60  # operations that are done and still listed

STAGES = {
    CREATE: ("Creating the instance groups", "Creating the nodes", "Checking the nodes"),
    DELETE: ("Draining the nodes", "Deleting the nodes", "Deleting the instance groups"),
    SIZE: ("Resizing the instance groups", "Waiting for the nodes", "Checking the nodes"),
    MOVE: ("Resizing the instance groups", "Waiting for the nodes", "Checking the nodes"),
    UPGRADE: ("Preparing the nodes", "Replacing the nodes", "Checking the nodes"),
}
CANCELLABLE = (CREATE, SIZE, UPGRADE)
_ERRORS = {
    lifecycle.STOCKOUT: ("GCE_STOCKOUT", "RESOURCE_EXHAUSTED"),
    lifecycle.QUOTA_EXCEEDED: ("GCE_QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"),
}


def dues(operation: Operation) -> list[float]:
    """Give the times at which an operation goes on by itself.

    Args:
        operation: the operation.
    """
    return [time for time in (operation.due, operation.deadline) if time is not None]


def step_all(fleet: Fleet) -> bool:
    """Take every operation as far as it can go now.

    Args:
        fleet: the fleet.

    Returns:
        Whether anything has changed.
    """
    changed = False
    for operation in list(fleet.state.operations.values()):
        if operation.status != DONE:
            before = (operation.status, operation.stage, operation.done, operation.due)
            _step(fleet, operation)
            changed = changed or before != (operation.status, operation.stage, operation.done, operation.due)
    return changed


def _step(fleet: Fleet, operation: Operation) -> None:
    now = fleet.clock.now()
    if operation.due is not None:
        if operation.due > now:
            return
        at, operation.due = operation.due, None
        if operation.status == PENDING:
            operation.status = RUNNING
            operation.due = at + PREPARE_SECONDS.get(operation.type, SETTING_SECONDS)
            return
        if operation.type not in STAGES:
            _apply(fleet, operation)
            _finish(fleet, operation)
            return
        if operation.stage == 0:
            _start_work(fleet, operation, at)
            return
        _finish(fleet, operation)
        return
    if operation.status == ABORTING:
        _abort(fleet, operation)
        return
    if operation.stage == 1:
        _wait(fleet, operation, now)


def _start_work(fleet: Fleet, operation: Operation, at: float) -> None:
    pool = fleet.state.pools[operation.pool]
    operation.stage, operation.begun, operation.deadline = 1, at, at + GIVE_UP_SECONDS
    if operation.type == DELETE:
        operation.total = len(fleet.members(pool.name))
        operation.deadline = None
        for instance in fleet.members(pool.name):
            lifecycle.stop(fleet, instance, DELETED)
        pool.targets = dict.fromkeys(pool.targets, 0)
    elif operation.type == UPGRADE:
        _apply(fleet, operation)
        pool.generation += 1
        operation.total = len(fleet.members(pool.name))
    else:
        _apply(fleet, operation)
        for zone, target in operation.wanted.items():
            fleet.resize(pool, zone, target)
        operation.total = sum(operation.wanted.values())


def _wait(fleet: Fleet, operation: Operation, now: float) -> None:
    pool = fleet.state.pools[operation.pool]
    there = [one for one in fleet.state.instances.values() if one.pool == pool.name]
    if operation.type == DELETE:
        operation.done = operation.total - len(there)
        complete = not there
    elif operation.type == UPGRADE:
        before = operation.done
        operation.done = sum(_ready(one) and one.generation == pool.generation for one in there)
        if operation.done > before:
            operation.deadline = now + GIVE_UP_SECONDS
        complete = all(_ready(one) and one.generation == pool.generation for one in there)
        if not complete:
            _replace_next(fleet, pool, there)
    else:
        operation.done = sum(map(_ready, there))
        complete = operation.done >= operation.total == len(there) or _enough(pool, operation, there)
    if complete:
        operation.stage, operation.deadline = 2, None
        operation.due = now + HEALTH_SECONDS[operation.type]
    elif operation.deadline is not None and now >= operation.deadline:
        if any(not _ready(one) and one.status != STOPPING for one in there):
            _give_up(fleet, operation, pool, there)
        else:  # what stops takes real seconds, however fast the clock goes
            operation.deadline = now + GIVE_UP_SECONDS


def _ready(instance: Instance) -> bool:
    return instance.booted and instance.status == MACHINE_RUNNING


def _enough(pool: Pool, operation: Operation, there: list[Instance]) -> bool:
    """Say whether a pool that takes what it can get has got all that it can."""
    best = pool.spec.get("bestEffortProvisioning") or {}
    failing = sum(bool(one.error[0]) for one in there)
    return (
        bool(best.get("enabled"))
        and operation.done >= int(best.get("minProvisionNodes") or 0)
        and failing > 0
        and operation.done + failing >= operation.total
    )


def _replace_next(fleet: Fleet, pool: Pool, there: list[Instance]) -> None:
    """Replace as many old machines at a time as the pool's settings let be away, at least one."""
    settings = pool.spec.get("upgradeSettings") or {}
    most = max(1, int(settings.get("maxSurge") or 0) + int(settings.get("maxUnavailable") or 0))
    if pool.atomic:
        most = len(there)
    away = sum(not _ready(one) for one in there)
    old = [one for one in there if one.generation != pool.generation and one.status != STOPPING]
    for instance in old[: max(0, most - away)]:
        lifecycle.stop(fleet, instance, REPLACED)


def _give_up(fleet: Fleet, operation: Operation, pool: Pool, there: list[Instance]) -> None:
    failed = next((one for one in there if one.error[0]), None)
    waited = GIVE_UP_SECONDS
    code, status = _ERRORS.get(failed.error[0] if failed else "", (failed.error[0] if failed else "", "INTERNAL"))
    current = f" Current errors: [{code}]: {failed.error[1].rstrip('.')}." if failed else ""
    booted = sum(map(_ready, there))
    text = (
        f"Google Compute Engine: Not all instances running in IGM after {int(waited // 60)}m{int(waited % 60)}s. "
        f"Expected {operation.total}, running {booted}, transitioning {operation.total - booted}.{current}"
    )
    if pool.atomic and failed:
        text = f"Google Compute Engine: Atomic resize failed with [{code}]: {failed.error[1].rstrip('.')}."
    operation.error = (status or "INTERNAL", text)
    pool.conditions = [{"canonicalCode": status, "message": text}]
    if code in ("GCE_STOCKOUT", "GCE_QUOTA_EXCEEDED"):
        pool.conditions[0]["code"] = code
    _finish(fleet, operation)


def _apply(fleet: Fleet, operation: Operation) -> None:
    """Write an operation's change into the pool's spec, and into its machines where they need not be made again."""
    pool = fleet.state.pools[operation.pool]
    for path, value in operation.change.items():
        parent, _, last = path.rpartition(".")
        target = pool.spec[parent] if parent else pool.spec
        target[last] = value
    for instance in fleet.members(pool.name) if operation.type == UPDATE else ():
        instance.labels, instance.taints = shapes.labels(pool), shapes.taints(pool)


def _finish(fleet: Fleet, operation: Operation) -> None:
    pool = fleet.state.pools.get(operation.pool)
    operation.status, operation.ended = DONE, fleet.clock.wall()
    operation.due = operation.deadline = None
    if operation.type == DELETE:
        if not operation.error[0]:
            fleet.state.pools.pop(operation.pool, None)
        return
    if pool is None:
        return
    if not operation.error[0]:
        pool.status, pool.conditions = "RUNNING", []
    else:
        running = any(map(_ready, fleet.members(pool.name)))
        pool.status = "RUNNING_WITH_ERROR" if running or operation.type != CREATE else "ERROR"


def cancel(fleet: Fleet, name: str) -> None:
    """Ask for the end of an operation.

    Args:
        fleet: the fleet.
        name: its name.

    Raises:
        ApiFailure: there is none, it is done, or its type cannot be cancelled.
    """
    operation = find(fleet, name)
    if operation.status == DONE:
        raise precondition(f"Operation {name} has already completed and cannot be cancelled.")
    if operation.type not in CANCELLABLE:
        raise precondition(f"Operation {name} of type {operation.type} cannot be cancelled.")
    if operation.status == ABORTING:
        return
    operation.status, operation.due, operation.deadline = ABORTING, None, None
    pool = fleet.state.pools[operation.pool]
    if operation.type in (CREATE, SIZE):
        # Machines that run already stay; what is not had yet is given up.
        for zone in pool.targets:
            pending = [one.name for one in fleet.members(pool.name, zone) if not one.booted]
            fleet.delete_instances(pool, pending)
    fleet.changed()


def _abort(fleet: Fleet, operation: Operation) -> None:
    pool = fleet.state.pools[operation.pool]
    # Machines that do not come for another reason are none of its business.
    if not any(one.pool == pool.name and one.status == STOPPING for one in fleet.state.instances.values()):
        operation.error = ("CANCELLED", "Operation was aborted: it was cancelled by the user.")
        _finish(fleet, operation)


def find(fleet: Fleet, name: str) -> Operation:
    """Find an operation.

    Args:
        fleet: the fleet.
        name: its name.

    Raises:
        ApiFailure: 404.
    """
    found = fleet.state.operations.get(name)
    if found is None:
        raise not_found(f"projects/{PROJECT}/locations/{LOCATION}/operations/{name}")
    return found


def forget_old(known: dict[str, Operation]) -> None:
    """Forget the oldest operations that are done.

    Args:
        known: the operations, oldest first; changed in place.
    """
    done = [name for name, operation in known.items() if operation.status == DONE]
    for name in done[: max(0, len(done) - KEPT)]:
        del known[name]


def resource(operation: Operation, root: str) -> Object:
    """Give an operation as the API shows it.

    Args:
        operation: the operation.
        root: the API's address and version.
    """
    parent = f"{root}/projects/{PROJECT}/locations/{LOCATION}"
    shown: Object = {
        "name": operation.name,
        "zone": LOCATION,
        "location": LOCATION,
        "operationType": operation.type.partition(" ")[0],
        "status": operation.status,
        "selfLink": f"{parent}/operations/{operation.name}",
        "targetLink": f"{parent}/clusters/{CLUSTER}/nodePools/{operation.pool}",
        "startTime": timestamp(operation.started),
    }
    if operation.ended:
        shown["endTime"] = timestamp(operation.ended)
    if operation.error[0]:
        code, text = operation.error
        shown["error"] = {"code": NUMBERS[code], "message": text}
        shown["statusMessage"] = text
    if operation.type in STAGES:
        shown["progress"] = _progress(operation)
        shown["detail"] = STAGES[operation.type][min(operation.stage, 2)] if operation.status != DONE else ""
    return shown


def _progress(operation: Operation) -> Object:
    stages = []
    for index, name in enumerate(STAGES[operation.type]):
        status = PENDING
        if operation.status == DONE and not operation.error[0]:
            status = DONE
        elif operation.status != PENDING and index <= operation.stage:
            status = DONE if index < operation.stage else operation.status
        stages.append({"name": name, "status": status})
    return {
        "status": operation.status,
        "metrics": [
            {"name": "nodes total", "intValue": str(operation.total)},
            {"name": "nodes done", "intValue": str(max(0, operation.done))},
        ],
        "stages": stages,
    }
