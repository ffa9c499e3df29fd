"""How machines of the fleet come and go, second by second on a clock that stands still until it is moved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gke_notebook.sandbox.gke import container, fleet, operations, seeds
from gke_notebook.sandbox.gke.clock import Clock
from gke_notebook.sandbox.gke.failures import ApiFailure
from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.gke.resources import Settings

SETTINGS = Settings("127.0.0.1:6443", "", "token")
POOLS = "/v1/projects/sandbox/locations/us-central1/clusters/sandbox/nodePools"
ZONE = "us-central1-a"


class World:
    """A fleet whose time is moved by hand."""

    def __init__(self, factor: float = 1.0) -> None:
        self.wall = 1_800_000_000.0
        self.fleet = Fleet(seeds.new_state(), Clock(factor, wall=lambda: self.wall))

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return container.answer(self.fleet, SETTINGS, method, path, json.dumps(body or {}).encode())

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.fleet.advance()

    def one(self, pool: str = "l4-spot-pool") -> Any:
        (found,) = self.fleet.members(pool)
        return found


def booted(world: World, pool: str = "l4-spot-pool", seconds: float = 120.0) -> Any:
    world.fleet.resize(world.fleet.pool(pool), ZONE, 1)
    world.wait(seconds)
    return world.one(pool)


def test_a_machine_goes_through_the_states_of_compute_engine() -> None:
    world = World()
    world.fleet.resize(world.fleet.pool("l4-spot-pool"), ZONE, 1)
    seen = []
    for _ in range(90):
        world.wait(1)
        one = world.one()
        state = (one.status, one.admitted, one.booted)
        if not seen or seen[-1] != state:
            seen.append(state)
    assert seen == [
        ("PROVISIONING", False, False), ("PROVISIONING", True, False), ("STAGING", True, False),
        ("RUNNING", True, False), ("RUNNING", True, True),
    ]  # fmt: skip


def test_a_faster_clock_shortens_the_delays() -> None:
    world = World(factor=20.0)
    assert booted(world, seconds=4.0).booted


def test_a_late_look_is_no_delay() -> None:
    world = World()
    world.fleet.resize(world.fleet.pool("l4-spot-pool"), ZONE, 1)
    world.wait(56)  # in one step: each state began when it was due, not when it was looked at
    assert world.one().booted


def test_preemption_gives_thirty_real_seconds_at_most() -> None:
    world = World(factor=20.0)
    one = booted(world)
    world.fleet.preempt(one.name)
    world.wait(29)
    assert world.one() is one
    world.wait(2)
    again = world.one()
    assert (again.name, again.status, again.booted) == (one.name, "PROVISIONING", False)
    assert world.fleet.pool("l4-spot-pool").targets == {ZONE: 1}


def test_a_shutdown_that_is_done_is_not_waited_for() -> None:
    world = World()
    one = booted(world)
    world.fleet.resize(world.fleet.pool("l4-spot-pool"), ZONE, 0)
    assert (one.status, one.stopping) == ("STOPPING", "deleted")
    world.fleet.stopped(one.name)
    world.wait(11)
    assert one.name not in world.fleet.state.instances


def test_a_machine_with_a_time_limit_goes_at_its_end() -> None:
    world = World(factor=20.0)
    spec = {
        "name": "flex", "management": {}, "autoscaling": {"enabled": True, "maxNodeCount": 2},
        "config": {"machineType": "g2-standard-8", "flexStart": True, "maxRunDuration": "600s"},
    }  # fmt: skip
    world.ask("POST", POOLS, {"nodePool": spec})
    world.wait(10)
    one = booted(world, "flex", seconds=10.0)
    assert one.provisioning == "flex-start"
    assert one.termination == pytest.approx(world.wall + 600, abs=10)
    world.wait(580)
    assert world.one("flex").status == "RUNNING"
    world.wait(20)
    assert (one.status, one.stopping) == ("STOPPING", "expired")
    assert world.fleet.members("flex") == []
    assert world.fleet.pool("flex").targets == {ZONE: 0}
    world.wait(100)
    assert one.name not in world.fleet.state.instances


def test_who_stops_first_when_a_group_gets_smaller() -> None:
    world = World()
    world.fleet.add_fault(Fault("stockout", accelerator="nvidia-l4", spot=True))
    pool = world.fleet.pool("l4-spot-pool")
    world.fleet.resize(pool, ZONE, 1)
    world.wait(30)
    failed = world.one()
    assert failed.error[0] == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert failed.name in failed.error[1]
    world.fleet.remove_fault()
    world.wait(120)
    assert world.one().booted
    world.fleet.add_fault(Fault("stockout", zone=ZONE))
    world.fleet.resize(pool, ZONE, 3)
    world.wait(30)
    world.fleet.resize(pool, ZONE, 1)
    assert world.one() is failed  # which runs by now; those that were never had go first


def test_the_rest_of_an_operation_is_done_after_a_restart() -> None:
    world = World()
    spec = {"name": "new", "config": {"machineType": "e2-standard-4"}, "initialNodeCount": 2}
    begun = world.ask("POST", POOLS, {"nodePool": spec})
    world.wait(30)
    again = World()
    again.wall = world.wall + 10_000  # the time while nothing runs does not pass for it
    again.fleet = fleet.restore(world.fleet.snapshot(), lambda: again.wall)
    operation = operations.find(again.fleet, begun["name"])
    assert operation.status == "RUNNING"
    again.wait(1)
    assert operation.status == "RUNNING"
    again.wait(100)
    again.wait(20)
    assert (operation.status, operation.error) == ("DONE", ("", ""))
    assert len(again.fleet.members("new")) == 2


def test_an_upgrade_that_gets_no_machine_gives_up() -> None:
    world = World()
    world.fleet.add_fault(Fault("stockout", zone=ZONE))
    begun = world.ask("PUT", f"{POOLS}/l4-pool", {"machineType": "g2-standard-24"})
    for _ in range(50):
        world.wait(100)
    operation = operations.find(world.fleet, begun["name"])
    assert operation.status == "DONE"
    assert "[GCE_STOCKOUT]" in operation.error[1]
    assert world.fleet.pool("l4-pool").status == "RUNNING_WITH_ERROR"
    # One at a time is replaced, so the others still run.
    assert sum(one.booted for one in world.fleet.members("l4-pool")) == 3


def test_an_operation_shows_its_stages() -> None:
    world = World()
    spec = {"name": "new", "config": {"machineType": "e2-standard-4"}, "initialNodeCount": 1}
    begun = world.ask("POST", POOLS, {"nodePool": spec})
    path = f"/v1/projects/sandbox/locations/us-central1/operations/{begun['name']}"
    seen = []
    for _ in range(100):
        world.wait(1)
        shown = world.ask("GET", path)
        stages = [stage["status"] for stage in shown["progress"]["stages"]]
        if not seen or seen[-1] != stages:
            seen.append(stages)
    assert seen == [
        ["PENDING", "PENDING", "PENDING"], ["RUNNING", "PENDING", "PENDING"], ["DONE", "RUNNING", "PENDING"],
        ["DONE", "DONE", "RUNNING"], ["DONE", "DONE", "DONE"],
    ]  # fmt: skip
    assert (shown["status"], shown["detail"]) == ("DONE", "")
    assert shown["endTime"] > shown["startTime"]


def test_groups_take_what_they_can_have() -> None:
    world = World()
    pool = world.fleet.pool("l4-pool")
    for bad in (-1, 1001):
        with pytest.raises(ApiFailure, match="Must be between 0 and 1000"):
            world.fleet.resize(pool, ZONE, bad)
    with pytest.raises(ApiFailure, match="A TPU slice has 4 machines, or none"):
        world.fleet.resize(world.fleet.pool("v5e-pool"), ZONE, 3)
    with pytest.raises(ApiFailure, match="not a member"):
        world.fleet.delete_instances(pool, ["strange"])
