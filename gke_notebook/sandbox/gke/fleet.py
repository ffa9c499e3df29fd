"""The fleet: every pretended machine, pool and operation, and the one clock that moves them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from gke_notebook.sandbox.gke import faults as fault_rules
from gke_notebook.sandbox.gke import lifecycle, operations, pool_rules, shapes
from gke_notebook.sandbox.gke.clock import Clock
from gke_notebook.sandbox.gke.failures import ApiFailure, invalid, not_found, precondition
from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.sandbox.gke.ledger import Ledger
from gke_notebook.sandbox.gke.state import DONE, Operation, Pool, Reservation, State
from gke_notebook.sandbox.instances import DELETED, EXPIRED, PREEMPTED, STOPPING, Instance, Notice
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

Object = dict[str, Any]

CLUSTER_PATH = f"projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}"
MOST_NODES = 1000  # per node pool and zone (GKE documentation, "Quotas and limits")


class Fleet:
    """The machines of one project and what happens to them as time passes.

    Every method moves the fleet to the clock's time first; what changes raises `revision`. It does no input or output.

    Args:
        state: from an earlier run, or seeded (see `seeds`).
        clock: what its delays are counted with.
    """

    def __init__(self, state: State, clock: Clock) -> None:
        self.state = state
        self.clock = clock
        self.listeners: list[Callable[[], None]] = []
        self._ledger: Ledger | None = None

    # Time.

    def advance(self) -> float | None:
        """Do everything that is due.

        Returns:
            The real seconds until the next thing is due, None when nothing is.
        """
        changed = False
        while True:
            now = self.clock.now()
            machines = [one for one in self.state.instances.values() if one.due is not None and one.due <= now]
            for instance in sorted(machines, key=lambda one: (one.due, one.name)):
                lifecycle.step(self, instance)
            moved = operations.step_all(self)
            changed = changed or bool(machines) or moved
            if not machines and not moved:
                break
        if changed:
            self.changed()
        dues = [one.due for one in self.state.instances.values() if one.due is not None]
        dues += [time for one in self.state.operations.values() if one.status != DONE for time in operations.dues(one)]
        return self.clock.until(min(dues)) if dues else None

    def changed(self) -> None:
        """Say that something has changed."""
        self.state.revision += 1
        for listener in list(self.listeners):
            listener()

    def snapshot(self) -> bytes:
        """Give everything it knows, for `restore`."""
        self.state.time, self.state.factor = self.clock.now(), self.clock.factor
        return msgspec.json.encode(self.state)

    def set_factor(self, factor: float) -> None:
        """Let its time pass at another pace.

        Args:
            factor: how much faster than the clock on the wall.

        Raises:
            ApiFailure: it is out of bounds.
        """
        self.advance()
        try:
            self.clock.set_factor(factor)
        except ValueError as error:
            raise invalid(str(error)) from None
        self.changed()

    # Reading.

    @property
    def ledger(self) -> Ledger:
        """What is taken now."""
        if self._ledger is None:
            self._ledger = Ledger(self.state)
        return self._ledger

    def count_again(self) -> None:
        """Say that something is no longer taken, or that reservations have changed."""
        self._ledger = None

    def pool(self, name: str) -> Pool:
        """Find a node pool.

        Args:
            name: its name.

        Raises:
            ApiFailure: 404.
        """
        found = self.state.pools.get(name)
        if found is None:
            raise not_found(f"{CLUSTER_PATH}/nodePools/{name}")
        return found

    def members(self, pool: str, zone: str = "") -> list[Instance]:
        """Give the machines of a pool that are to stay, oldest first.

        Args:
            pool: its name.
            zone: only there; empty for all.
        """
        return [
            one
            for one in self.state.instances.values()
            if one.pool == pool and zone in ("", one.zone) and one.stopping not in (DELETED, EXPIRED)
        ]

    def notice(self) -> Notice:
        """Give what the node agent needs to know."""
        slow = tuple(
            (one.image, one.seconds) for one in self.state.faults.values() if one.kind == fault_rules.SLOW_PULL
        )
        return Notice(self.state.revision, tuple(self.state.instances.values()), slow)

    # Groups.

    def resize(self, pool: Pool, zone: str, target: int) -> None:
        """Set how many machines an instance group should have; what becomes of it shows in time.

        Args:
            pool: the pool.
            zone: the group's zone.
            target: the size.

        Raises:
            ApiFailure: it is no size.
        """
        if not 0 <= target <= max(MOST_NODES, pool.targets.get(zone, 0)):
            raise invalid(f"Invalid value for field 'size': '{target}'. Must be between 0 and {MOST_NODES}.")
        hosts = pool_rules.hosts(pool.spec)
        if hosts and target not in (0, hosts):
            raise invalid(f"Invalid value for field 'size': '{target}'. A TPU slice has {hosts} machines, or none.")
        there = self.members(pool.name, zone)
        for _ in range(target - len(there)):
            name = shapes.instance_name(pool.name, zone)
            while name in self.state.instances:
                name = shapes.instance_name(pool.name, zone)
            lifecycle.begin(self, pool, zone, name)
        surplus = sorted(there, key=lambda one: (not one.error[0], one.booted, -one.created, one.name))
        for instance in surplus[: max(0, len(there) - target)]:
            lifecycle.stop(self, instance, DELETED)
        pool.targets[zone] = target
        self.changed()

    def delete_instances(self, pool: Pool, names: Iterable[str]) -> None:
        """Take machines out of their group, which gets smaller by them.

        Args:
            pool: the pool.
            names: of the machines.

        Raises:
            ApiFailure: one is not a member of the pool; then none is deleted.
        """
        known = {one.name: one for one in self.members(pool.name)}
        wanted = list(dict.fromkeys(names))
        for name in wanted:
            if name not in known:
                raise invalid(f"Instance '{name}' is not a member of this instance group manager.")
        for name in wanted:
            lifecycle.stop(self, known[name], DELETED)
            pool.targets[known[name].zone] -= 1
        if wanted:
            self.changed()

    def preempt(self, name: str) -> None:
        """Take a spot machine back.

        Args:
            name: its name.

        Raises:
            ApiFailure: there is none, it is not spot, or it does not run.
        """
        instance = self.instance(name)
        if not instance.spot:
            raise precondition(f"Instance '{name}' is not a spot VM; only those are preempted.")
        if not instance.admitted or instance.status == STOPPING:
            raise precondition(f"Instance '{name}' does not run; its status is {instance.status}.")
        lifecycle.stop(self, instance, PREEMPTED)
        self.changed()

    def stopped(self, name: str) -> None:
        """Take note that the shutdown of a machine is done.

        Args:
            name: its name; one that is not there or does not stop is left alone.
        """
        instance = self.state.instances.get(name)
        if instance is not None and instance.status == STOPPING and instance.booted:
            instance.booted = False
            instance.due = min(instance.due or 0.0, self.clock.now() + lifecycle.REMOVAL_SECONDS)
            self.changed()

    def instance(self, name: str) -> Instance:
        """Find a machine.

        Args:
            name: its name.

        Raises:
            ApiFailure: 404.
        """
        found = self.state.instances.get(name)
        if found is None:
            raise ApiFailure(404, f"The resource 'projects/{PROJECT}/instances/{name}' was not found")
        return found

    # Operations.

    def begin(self, kind: str, pool: str, **more: Any) -> Operation:
        """Begin an operation, unless another one is at work.

        Args:
            kind: its type.
            pool: the pool it works on.
            more: other fields of the `Operation`.

        Raises:
            ApiFailure: 400, another operation is at work.
        """
        busy = self.busy()
        if busy is not None:
            raise precondition(f"Cluster is running incompatible operation {busy.name}.")
        wall = self.clock.wall()
        operation = Operation(
            name=f"operation-{int(wall * 1000)}-{secrets.token_hex(4)}",
            type=kind, pool=pool, started=wall, due=self.clock.now() + operations.PENDING_SECONDS, **more,
        )  # fmt: skip
        self.state.operations[operation.name] = operation
        operations.forget_old(self.state.operations)
        self.changed()
        return operation

    def busy(self) -> Operation | None:
        """Give the operation that is at work, None when there is none."""
        return next((one for one in self.state.operations.values() if one.status != DONE), None)

    # Faults and reservations.

    def add_fault(self, fault: Fault) -> Fault:
        """Let something go wrong from now on.

        Args:
            fault: what; its id is given here.

        Raises:
            ApiFailure: it can never do anything.
        """
        fault_rules.check(fault)
        self.state.serial += 1
        fault.id = f"fault-{self.state.serial}"
        self.state.faults[fault.id] = fault
        self.changed()
        return fault

    def remove_fault(self, name: str = "") -> None:
        """End a fault; machines that wait for it are tried again at once.

        Args:
            name: its id; empty for all.

        Raises:
            ApiFailure: 404.
        """
        if name and name not in self.state.faults:
            raise not_found(f"faults/{name}")
        for one in [name] if name else list(self.state.faults):
            del self.state.faults[one]
        for instance in self.state.instances.values():
            if instance.error[0]:
                instance.due = self.clock.now()
        self.changed()

    def failing(self, api: str, method: str) -> Fault | None:
        """Say whether a request is to fail, and count it.

        Args:
            api: ``container``, ``compute``, ``cloudquotas`` or ``billing``.
            method: the HTTP method.
        """
        for fault in self.state.faults.values():
            if fault.fails(api, method) and (fault.rate >= 1 or secrets.randbelow(10_000) < fault.rate * 10_000):
                if fault.count:
                    fault.count -= 1
                    if fault.count == 0:
                        del self.state.faults[fault.id]
                    self.changed()
                return fault
        return None

    def add_reservation(self, reservation: Reservation) -> None:
        """Reserve capacity.

        Args:
            reservation: what.

        Raises:
            ApiFailure: 409, the name is taken.
        """
        if reservation.name in self.state.reservations:
            path = f"projects/{PROJECT}/zones/{reservation.zone}/reservations/{reservation.name}"
            raise ApiFailure(409, f"The resource '{path}' already exists")
        self.state.reservations[reservation.name] = reservation
        self.count_again()
        self.changed()

    def free(self, accelerator: str, zone: str) -> int:
        """Say how many accelerators of a type a zone has left: what is reserved is taken, used or not.

        Args:
            accelerator: the GPU type or the TPU label value.
            zone: where.
        """
        return self.ledger.free(accelerator, zone)

    def in_use(self, reservation: str) -> int:
        """Count the machines that use a reservation.

        Args:
            reservation: its name.
        """
        return self.ledger.in_use[reservation]


def restore(raw: bytes, wall: Callable[[], float]) -> Fleet:
    """Make the fleet of an earlier run; the time between the runs has not passed for it.

    Args:
        raw: from `Fleet.snapshot`.
        wall: gives the seconds since 1970.

    Raises:
        msgspec.DecodeError: it is not what `snapshot` wrote.
    """
    state = msgspec.json.decode(raw, type=State)
    return Fleet(state, Clock(state.factor, state.time, wall))
