"""What holds of the fleet whatever is asked of it, in whatever order: quotas, capacity, sizes, operations, the disk."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gke_notebook.sandbox.gke import capacity, container, fleet, operations, quotas, seeds
from gke_notebook.sandbox.gke.clock import Clock
from gke_notebook.sandbox.gke.failures import ApiFailure
from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.gke.ledger import Ledger
from gke_notebook.sandbox.gke.resources import Settings
from gke_notebook.sandbox.instances import DELETED, STOPPING

SETTINGS = Settings("127.0.0.1:6443", "", "token")
PARENT = "/v1/projects/sandbox/locations/us-central1/clusters/sandbox/nodePools"
ZONES = capacity.zones_of("us-central1")
MACHINES = ("g2-standard-8", "g2-standard-24", "e2-standard-4", "ct5lp-hightpu-4t", "a2-highgpu-1g", "a3-highgpu-8g")
NAMES = ("one", "two", "l4-pool", "l4-spot-pool", "v5e-pool", "t4-pool")
GROUPS = ("us-central1-a", "us-central1-a", *ZONES)
LONG = operations.GIVE_UP_SECONDS * 3


def pool(*, name: str, machine: str, zones: list[str], count: int, spot: bool, flex: bool, most: int) -> dict[str, Any]:
    config: dict[str, Any] = {"machineType": machine}
    if spot:
        config["spot"] = True
    spec: dict[str, Any] = {"name": name, "config": config, "locations": zones, "initialNodeCount": count}
    if flex:
        config["flexStart"] = True
        config["maxRunDuration"] = "600s"
        spec["management"] = {"autoUpgrade": True}
    if most:
        spec["autoscaling"] = {"enabled": True, "maxNodeCount": most}
    return spec


POOLS = st.builds(
    pool, name=st.sampled_from(NAMES), machine=st.sampled_from(MACHINES),
    zones=st.lists(st.sampled_from(ZONES), max_size=2), count=st.integers(0, 9), spot=st.booleans(),
    flex=st.sampled_from([False, False, True]), most=st.sampled_from([0, 0, 4]),
)  # fmt: skip
FAULTS = st.one_of(
    st.builds(
        Fault, kind=st.just("stockout"), zone=st.sampled_from(["", *ZONES]), spot=st.sampled_from([None, True, False]),
        accelerator=st.sampled_from(["", "nvidia-l4", "tpu-v5-lite-podslice"]),
    ),
    st.builds(Fault, kind=st.just("api-errors"), code=st.sampled_from([403, 429, 500, 503]), count=st.integers(0, 3)),
    st.builds(Fault, kind=st.just("slow-pull"), seconds=st.floats(0, 60)),
)  # fmt: skip


@contextlib.contextmanager
def refusals(*codes: int) -> Iterator[None]:
    """Take a refusal for an answer, if it is one of these."""
    try:
        yield
    except ApiFailure as failure:
        if failure.code not in codes:
            raise


class Anything(RuleBasedStateMachine):
    """A fleet to which anything is done."""

    @initialize()
    def start(self) -> None:
        self.wall = 1_800_000_000.0
        self.fleet = Fleet(seeds.new_state(), Clock(1.0, wall=lambda: self.wall))

    def ask(self, method: str, path: str, body: Any = None) -> None:
        with refusals(400, 403, 404, 409):
            container.answer(self.fleet, SETTINGS, method, path, b"" if body is None else json.dumps(body).encode())

    @rule(spec=POOLS)
    def create(self, spec: dict[str, Any]) -> None:
        self.ask("POST", PARENT, {"nodePool": spec})

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        self.ask("DELETE", f"{PARENT}/{name}")

    @rule(name=st.sampled_from(NAMES), count=st.integers(-1, 20))
    def set_size(self, name: str, count: int) -> None:
        self.ask("POST", f"{PARENT}/{name}:setSize", {"nodeCount": count})

    @rule(name=st.sampled_from(NAMES), zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=3))
    def move(self, name: str, zones: list[str]) -> None:
        self.ask("PUT", f"{PARENT}/{name}", {"locations": zones})

    @rule(name=st.sampled_from(NAMES), machine=st.sampled_from(MACHINES))
    def change_machine(self, name: str, machine: str) -> None:
        self.ask("PUT", f"{PARENT}/{name}", {"machineType": machine})

    @rule(name=st.sampled_from(NAMES))
    def label(self, name: str) -> None:
        self.ask("PUT", f"{PARENT}/{name}", {"labels": {"labels": {"team": "vision"}}})

    @rule()
    def cancel(self) -> None:
        busy = self.fleet.busy()
        if busy is not None:
            path = f"/v1/projects/sandbox/locations/us-central1/operations/{busy.name}:cancel"
            self.ask("POST", path)

    @rule(name=st.sampled_from(NAMES), zone=st.sampled_from(GROUPS), size=st.integers(0, 20))
    def scale_group(self, name: str, zone: str, size: int) -> None:
        found = self.fleet.state.pools.get(name)
        if found is not None and zone in found.targets and found.status != "STOPPING":
            with refusals(400) if found.atomic else contextlib.nullcontext():
                self.fleet.resize(found, zone, size)

    @rule(data=st.data())
    def take_machine(self, data: st.DataObject) -> None:
        names = sorted(self.fleet.state.instances)
        if names:
            name = data.draw(st.sampled_from(names))
            with refusals(400):
                data.draw(st.sampled_from([self.fleet.preempt, self.fleet.stopped]))(name)

    @rule(fault=FAULTS)
    def break_something(self, fault: Fault) -> None:
        self.fleet.add_fault(fault)

    @rule()
    def repair(self) -> None:
        self.fleet.remove_fault()

    @rule(seconds=st.sampled_from([1.0, 7.0, 30.0, 120.0, LONG]))
    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.fleet.advance()

    @rule()
    def restart(self) -> None:
        raw = self.fleet.snapshot()
        again = fleet.restore(raw, lambda: self.wall)
        assert again.snapshot() == raw
        self.fleet = again

    @invariant()
    def quotas_are_never_exceeded(self) -> None:
        state = self.fleet.state
        for (metric, region), used in quotas.used(state.instances.values(), state.reservations.values()).items():
            assert used <= quotas.limit(metric, region), metric

    @invariant()
    def what_is_taken_is_known(self) -> None:
        kept, fresh = self.fleet.ledger, Ledger(self.fleet.state)
        assert (kept.usage, kept.in_use) == (fresh.usage, fresh.in_use)
        for zone in ZONES:
            assert all(kept.free(label, zone) == fresh.free(label, zone) for label in capacity.accelerators_in(zone))

    @invariant()
    def zones_never_have_more_than_there_is(self) -> None:
        for zone in ZONES:
            for label in capacity.accelerators_in(zone):
                assert self.fleet.free(label, zone) >= 0, (label, zone)

    @invariant()
    def sizes_agree(self) -> None:
        # A machine that is preempted or replaced stays a member: it is made again.
        state = self.fleet.state
        for name, found in state.pools.items():
            for zone, target in found.targets.items():
                assert len(self.fleet.members(name, zone)) == target >= 0, (name, zone)
        assert {one.pool for one in state.instances.values()} <= set(state.pools)

    @invariant()
    def the_hosts_of_a_slice_come_together(self) -> None:
        for found in self.fleet.state.pools.values():
            hosts = [one for one in self.fleet.members(found.name) if one.status != STOPPING]
            if found.atomic and len({one.created for one in hosts}) == 1:  # none of them was made again
                assert len({one.admitted for one in hosts}) == 1

    @invariant()
    def at_most_one_operation_is_at_work(self) -> None:
        assert sum(one.status != "DONE" for one in self.fleet.state.operations.values()) <= 1

    @invariant()
    def machines_are_what_they_say(self) -> None:
        for one in self.fleet.state.instances.values():
            assert (one.stopping != "") == (one.status == STOPPING)
            assert not one.booted or one.admitted
            assert not (one.error[0] and one.admitted)
            assert one.stopping != DELETED or one.due is not None

    def teardown(self) -> None:
        """Whatever happened, every operation ends, and nothing is left to do but to try again what cannot be had."""
        for _ in range(40):
            self.wall += LONG
            self.fleet.advance()
        assert self.fleet.busy() is None
        for one in self.fleet.state.instances.values():
            assert one.booted or one.error[0] or one.due is not None


Anything.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_anything = Anything.TestCase
