"""What machines and reservations take, added up once and kept while machines come: a thousand may come at once."""

from __future__ import annotations

from collections import Counter

from gke_notebook.sandbox.gke import capacity, quotas, shapes
from gke_notebook.sandbox.gke.state import Reservation, State
from gke_notebook.sandbox.instances import Instance


class Ledger:
    """What is taken now.

    Args:
        state: the fleet's.
    """

    def __init__(self, state: State) -> None:
        self.usage = quotas.used(state.instances.values(), state.reservations.values())
        self.in_use: Counter[str] = Counter()
        self._stock: Counter[tuple[str, str]] = Counter()
        for instance in state.instances.values():
            if instance.admitted:
                self._take(instance)
        for reservation in state.reservations.values():
            self._reserve(reservation)

    def add(self, instance: Instance) -> None:
        """Take note of a machine that has been had.

        Args:
            instance: the machine.
        """
        region = capacity.region_of(instance.zone)
        for metric, number in quotas.taken(instance).items():
            self.usage[metric, "" if metric == quotas.GLOBAL else region] += int(number)
        self._take(instance)

    def _take(self, instance: Instance) -> None:
        if instance.reservation:
            self.in_use[instance.reservation] += 1
        else:
            label = instance.accelerator or instance.tpu_accelerator
            self._stock[label, instance.zone] += instance.accelerator_count

    def _reserve(self, reservation: Reservation) -> None:
        kind = shapes.machine(reservation.machine_type)
        if kind is not None:
            label = reservation.accelerator or kind.accelerator
            each = reservation.accelerator_count or kind.accelerator_count
            self._stock[label, reservation.zone] += each * reservation.count

    def free(self, accelerator: str, zone: str) -> int:
        """Say how many accelerators of a type a zone has left: what is reserved is taken, used or not.

        Args:
            accelerator: the GPU type or the TPU label value.
            zone: where.
        """
        return capacity.amount(accelerator, zone) - self._stock[accelerator, zone]
