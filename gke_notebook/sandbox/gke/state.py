"""What the fleet knows, as it is kept on disk; plain data."""

from __future__ import annotations

from typing import Any

import msgspec

from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.sandbox.instances import Instance

Object = dict[str, Any]

PENDING, RUNNING, DONE, ABORTING = "PENDING", "RUNNING", "DONE", "ABORTING"


class Pool(msgspec.Struct):
    """One node pool.

    Args:
        spec: the API's ``NodePool`` as it was asked for, defaults filled in, without what the server alone says.
        status: PROVISIONING, RUNNING, RUNNING_WITH_ERROR, RECONCILING, STOPPING or ERROR.
        targets: how many machines each zone's instance group should have.
        created: in seconds since 1970.
        generation: counts the changes that need new machines.
        conditions: ``StatusCondition`` entries.
        runs_processes: whether pods on it run as local processes.
    """

    spec: Object
    status: str = "PROVISIONING"
    targets: dict[str, int] = {}
    created: float = 0.0
    generation: int = 0
    conditions: list[Object] = []
    runs_processes: bool = True

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["name"])

    @property
    def config(self) -> Object:
        """Its ``NodeConfig``."""
        config: Object = self.spec["config"]
        return config

    @property
    def atomic(self) -> bool:
        """Whether it is one TPU slice of several hosts, which is had as a whole or not at all."""
        return bool((self.spec.get("placementPolicy") or {}).get("tpuTopology"))


class Operation(msgspec.Struct):
    """One long-running operation.

    Args:
        name: ``operation-<milliseconds>-<random>``.
        type: as the API names it, for example ``CREATE_NODE_POOL``.
        pool: the node pool it works on.
        status: PENDING, RUNNING, ABORTING or DONE.
        started: in seconds since 1970.
        ended: in seconds since 1970, 0 while it goes on.
        error: the google.rpc.Code and the text when it failed or was cancelled.
        stage: which of its stages it is in; its stages follow from the type.
        done: nodes that are as they should be.
        total: nodes that should be.
        wanted: how many machines each zone should have in the end.
        change: what becomes of the pool's spec, by its field's path.
        due: when it goes on by itself, on the fleet's clock; None when it waits for machines only.
        deadline: when it gives up, on the fleet's clock.
        begun: when it began to wait for machines, on the fleet's clock.
    """

    name: str
    type: str
    pool: str
    status: str = PENDING
    started: float = 0.0
    ended: float = 0.0
    error: tuple[str, str] = ("", "")
    stage: int = 0
    done: int = 0
    total: int = 0
    wanted: dict[str, int] = {}
    change: Object = {}
    due: float | None = None
    deadline: float | None = None
    begun: float = 0.0


class Reservation(msgspec.Struct):
    """Capacity that the project pays for whether it is used or not.

    Args:
        name: its name.
        zone: where.
        machine_type: of which machines.
        count: how many machines.
        accelerator: the GPU type attached to N1 machines, else empty.
        accelerator_count: how many of them per machine.
        specific: whether it is used only by who names it.
        created: in seconds since 1970.
    """

    name: str
    zone: str
    machine_type: str
    count: int
    accelerator: str = ""
    accelerator_count: int = 0
    specific: bool = False
    created: float = 0.0


class State(msgspec.Struct):
    """Everything the fleet knows.

    Args:
        revision: counts its changes.
        time: the fleet's clock.
        factor: how fast it goes.
        pools: by name.
        instances: by name.
        operations: by name, oldest first.
        reservations: by name.
        faults: by id.
        serial: counts the faults.
    """

    revision: int = 1
    time: float = 0.0
    factor: float = 20.0
    pools: dict[str, Pool] = {}
    instances: dict[str, Instance] = {}
    operations: dict[str, Operation] = {}
    reservations: dict[str, Reservation] = {}
    faults: dict[str, Fault] = {}
    serial: int = 0
