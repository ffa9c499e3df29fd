"""What the autoscaler decides, without a server: who fits where, what grows, what goes, what is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.autoscaler import failures, scale_down, texts
from gke_notebook.sandbox.autoscaler.backoff import FIRST, MOST, RESET, Backoff
from gke_notebook.sandbox.autoscaler.fitting import Kind, Room, estimate, place
from gke_notebook.sandbox.autoscaler.groups import FLEX_WAIT, REGISTER_SECONDS, TPU_WAIT, Group, of_pool, room
from gke_notebook.sandbox.autoscaler.scale_down import Candidate, blocking, find
from gke_notebook.sandbox.autoscaler.scale_up import AT_MAXIMUM, IN_BACKOFF, Decision, decide
from gke_notebook.sandbox.autoscaler.view import Machine, View, is_unschedulable, machines, of_specs
from gke_notebook.sandbox.controllers.pod_requirements import Requirements
from gke_notebook.sandbox.controllers.scheduling import NodeState
from gke_notebook.sandbox.gke import pool_rules

Object = dict[str, Any]
ZONES = ["us-central1-a", "us-central1-b", "us-central1-c"]

FLEX = {"machineType": "g2-standard-8", "flexStart": True}


def pool(name: str = "p", machine: str = "e2-standard-4", **more: Any) -> Object:
    """A node pool as the API gives it."""
    spec = {"name": name, "config": {"machineType": machine}, "autoscaling": {"enabled": True, "maxNodeCount": 4}}
    spec.update(more)
    return {**pool_rules.completed(spec), "status": "RUNNING"}


def spot_l4(**more: Any) -> Object:
    accelerators = [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}]
    config = {"machineType": "g2-standard-8", "spot": True, "accelerators": accelerators}
    return pool("l4", config=config, **more)


def slice_of_tpus(**more: Any) -> Object:
    placement = {"type": "COMPACT", "tpuTopology": "4x4"}
    return pool("tpu", "ct5lp-hightpu-4t", placementPolicy=placement, **more)


def groups(*specs: Object, targets: dict[str, int] | None = None) -> list[Group]:
    return [
        group for spec in specs for group in of_pool(spec, {z: (targets or {}).get(z, 0) for z in spec["locations"]})
    ]


def pod(name: str = "x", requests: Object | None = None, **spec: Any) -> Object:
    container = {"name": "main", "resources": {"requests": requests or {"cpu": "1"}}}
    owner = {"kind": "Job", "name": "j", "uid": "j", "controller": True}
    return {
        "metadata": {"name": name, "uid": name, "namespace": "default", "ownerReferences": [owner]},
        "spec": {"containers": [container], **spec},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
    }


def gpu_pod(name: str = "x", key: str = "nvidia.com/gpu", count: int = 1, **spec: Any) -> Object:
    tolerations = [{"key": key, "operator": "Exists", "effect": "NoSchedule"}]
    return pod(name, {key: count}, tolerations=tolerations, **spec)


def kind(count: int, one: Object) -> Kind:
    pods = [{**one, "metadata": {**one["metadata"], "name": f"x{i}", "uid": f"x{i}"}} for i in range(count)]
    return Kind(Requirements.of(one), pods)


def grown(decision: Decision) -> dict[str, int]:
    found: dict[str, int] = {}
    for increase in decision.increases:
        for group, target in increase.groups:
            found[f"{group.pool}/{group.zone[-1]}"] = target
    return found


def test_a_pool_grows_by_what_its_pods_need() -> None:
    decision = decide([kind(7, pod())], groups(pool()))
    assert grown(decision) == {"p/a": 3}  # three pods of one CPU on a machine that leaves 3.92
    assert sum(len(increase.pods) for increase in decision.increases) == 7
    assert not decision.unhelped


def test_accelerators_go_where_they_are_and_where_they_are_cheapest() -> None:
    on_demand = pool("dear", "g2-standard-24")
    decision = decide([kind(2, gpu_pod())], groups(on_demand, spot_l4(), pool("cpu")))
    assert grown(decision) == {"l4/a": 2}


def test_what_nothing_can_hold_is_told_why_group_by_group() -> None:
    full = pool("full", locations=ZONES[:2])
    decision = decide(
        [kind(1, gpu_pod(count=9))],
        [*groups(full, targets={"us-central1-a": 4, "us-central1-b": 4}), *groups(spot_l4(), pool("cpu"))],
        blocked=lambda group: IN_BACKOFF if group.pool == "cpu" else "",
    )
    assert not decision.increases
    (unhelped,) = decision.unhelped
    assert unhelped.message() == (
        "1 Insufficient nvidia.com/gpu, 1 in backoff after failed scale-up, 2 max node group size reached"
    )


def test_a_group_that_failed_is_not_tried_and_another_zone_is() -> None:
    both = groups(spot_l4(locations=ZONES[:2]))
    decision = decide([kind(2, gpu_pod())], both, blocked=lambda g: IN_BACKOFF if g.zone.endswith("a") else "")
    assert grown(decision) == {"l4/b": 2}


@pytest.mark.parametrize(("policy", "wanted"), [("BALANCED", [2, 2, 2]), ("ANY", [4, 2])])
def test_zones_are_balanced_or_filled_one_by_one(policy: str, wanted: list[int]) -> None:
    scaling = {"enabled": True, "maxNodeCount": 4, "locationPolicy": policy}
    decision = decide([kind(6, pod(requests={"cpu": "3"}))], groups(pool(locations=ZONES, autoscaling=scaling)))
    assert sorted(grown(decision).values(), reverse=True) == wanted


def test_the_most_of_all_zones_together_holds() -> None:
    scaling = {"enabled": True, "totalMaxNodeCount": 3, "locationPolicy": "ANY"}
    decision = decide([kind(9, pod(requests={"cpu": "3"}))], groups(pool(locations=ZONES, autoscaling=scaling)))
    assert sum(grown(decision).values()) == 3
    assert [len(one.pods) for one in decision.unhelped] == [6]
    assert set(decision.unhelped[0].skipped.values()) == {AT_MAXIMUM}


def test_a_tpu_slice_comes_as_a_whole_or_not_at_all() -> None:
    chips = gpu_pod(key="google.com/tpu", count=4)
    assert grown(decide([kind(1, chips)], groups(slice_of_tpus()))) == {"tpu/a": 4}
    there = groups(slice_of_tpus(), targets={"us-central1-a": 4})
    assert not decide([kind(1, chips)], there).increases
    small = slice_of_tpus(autoscaling={"enabled": True, "maxNodeCount": 3})
    assert not decide([kind(4, chips)], groups(small)).increases


def test_a_pool_that_an_operation_works_on_is_not_touched() -> None:
    (unhelped,) = decide([kind(1, pod())], groups({**pool(), "status": "RECONCILING"})).unhelped
    assert unhelped.message() == "1 not ready for scale-up"


amounts = st.integers(1, 40)


@given(
    st.lists(st.tuples(st.integers(100, 9000), st.integers(1, 60)), min_size=1, max_size=5),
    st.integers(0, 5), st.integers(0, 4), st.booleans(),
)  # fmt: skip
def test_never_above_the_most_and_no_pod_twice(
    wanted: list[tuple[int, int]], high: int, there: int, balanced: bool
) -> None:
    scaling = {"enabled": True, "maxNodeCount": high, "locationPolicy": "BALANCED" if balanced else "ANY"}
    kinds = []
    for index, (cpu, count) in enumerate(wanted):
        made = kind(count, pod(requests={"cpu": f"{cpu}m"}))
        for number, one in enumerate(made.pods):
            one["metadata"]["uid"] = f"{index}-{number}"
        kinds.append(made)
    target = min(there, high)
    before = groups(pool(locations=ZONES, autoscaling=scaling), targets=dict.fromkeys(ZONES, target))
    decision = decide(kinds, before)
    for increase in decision.increases:
        for group, size in increase.groups:
            assert group.target < size <= high
    told = [p["metadata"]["uid"] for i in decision.increases for p in i.pods]
    told += [p["metadata"]["uid"] for one in decision.unhelped for p in one.pods]
    assert sorted(told) == sorted(p["metadata"]["uid"] for one in kinds for p in one.pods)


@given(st.lists(st.tuples(st.integers(100, 4000), st.integers(1, 30)), min_size=1, max_size=4), st.integers(1, 9))
def test_the_estimate_is_what_placing_the_pods_one_by_one_gives(wanted: list[tuple[int, int]], limit: int) -> None:
    template = groups(pool())[0].template
    kinds = [(Requirements.of(pod(requests={"cpu": f"{cpu}m"})), count) for cpu, count in wanted]
    nodes, helped = estimate(kinds, template, limit)
    assert nodes <= limit
    rooms: list[Room] = []
    for (one, count), expected in zip(kinds, helped, strict=True):
        placed = 0
        for _ in range(count):
            if place([(one, 1)], rooms) == [0]:
                placed += 1
            elif len(rooms) < limit:
                fresh = Room(template)
                if place([(one, 1)], [fresh]) == [0]:
                    rooms.append(fresh)
                    placed += 1
        assert placed == expected
    assert len(rooms) == nodes


# Back-off.


def test_back_off_doubles_to_half_an_hour_and_is_forgotten() -> None:
    backoff = Backoff()
    at, waits = 0.0, []
    for _ in range(5):
        failure = backoff.fail("g", "QUOTA_EXCEEDED", "", "", at)
        waits.append(failure.seconds)
        at = failure.until
    assert waits == [FIRST, 600.0, 1200.0, MOST, MOST]
    assert backoff.fail("g", "QUOTA_EXCEEDED", "", "", at + RESET).seconds == FIRST
    backoff.succeed("g")
    assert backoff.active("g", at + RESET) is None


def test_failures_of_one_attempt_count_once() -> None:
    backoff = Backoff()
    assert backoff.fail("g", "X", "", "", 0.0).seconds == backoff.fail("g", "X", "", "", 1.0).seconds == FIRST


def _waiting(spec: Object, machine: Machine) -> tuple[View, Group]:
    (group,) = groups(spec, targets={"us-central1-a": 4})
    return View({group.name: group}, {}, {group.name: [machine]}), group


@pytest.mark.parametrize(
    ("spec", "code", "patience"),
    [
        (spot_l4(), "ZONE_RESOURCE_POOL_EXHAUSTED", 0.0),
        (slice_of_tpus(), "ZONE_RESOURCE_POOL_EXHAUSTED", TPU_WAIT),
        (slice_of_tpus(), "QUOTA_EXCEEDED", 0.0),
        (pool("f", config=FLEX), "ZONE_RESOURCE_POOL_EXHAUSTED", FLEX_WAIT),
        (spot_l4(), "", REGISTER_SECONDS),
    ],
)  # fmt: skip
def test_how_long_capacity_is_waited_for(spec: Object, code: str, patience: float) -> None:
    view, group = _waiting(spec, Machine("m", code))
    waits = failures.Waits()
    if patience:
        assert waits.failed(view, 0.0) == []
        assert waits.failed(view, patience - 1) == []
        assert waits.next_end(view.groups.values(), view.coming) == patience
    else:
        assert waits.failed(view, 0.0)
        return
    (failed,) = waits.failed(view, patience)
    assert (failed.group.name, failed.machines, failed.code) == (group.name, ("m",), code or texts.TIMEOUT)


def test_one_machine_that_is_missing_gives_a_whole_slice_up() -> None:
    view, group = _waiting(slice_of_tpus(), Machine("a", "QUOTA_EXCEEDED", "no"))
    view.coming[group.name].append(Machine("b"))
    (failed,) = failures.Waits().failed(view, 0.0)
    assert (failed.machines, failed.message) == (("a", "b"), "no")


# Shrinking.


def node(name: str, group: Group, *pods: Object) -> Candidate:
    template = group.template
    state = NodeState(name, template.labels, template.taints, False, template.allocatable)
    for one in pods:
        state.add(one["metadata"]["uid"], Requirements.of(one))
    return Candidate(state, group, pods)


def unneeded(*candidates: Candidate, others: tuple[NodeState, ...] = ()) -> scale_down.Unneeded:
    sizes: dict[str, int] = {}
    totals: dict[str, int] = {}
    for one in candidates:
        sizes[one.group.name] = sizes.get(one.group.name, 0) + 1
        totals[one.group.pool] = totals.get(one.group.pool, 0) + 1
    return find(candidates, lambda: (*others, *(one.node for one in candidates)), sizes, totals)


def test_empty_nodes_go_but_not_below_the_least() -> None:
    (group,) = groups(pool(autoscaling={"enabled": True, "minNodeCount": 1, "maxNodeCount": 4}))
    found = unneeded(*(node(f"n{i}", group) for i in range(3)))
    assert sorted(found.nodes) == ["n0", "n1"]
    assert found.kept == {"n2": scale_down.MINIMUM}


def test_pods_move_together_when_there_is_room_for_all_of_them() -> None:
    (group,) = groups(pool())
    little = pod("a", {"cpu": "500m"})
    found = unneeded(node("n0", group, little), node("n1", group, pod("b", {"cpu": "3"})))
    assert {name: [p["metadata"]["name"] for p in pods] for name, pods in found.nodes.items()} == {"n0": ["a"]}
    alone = unneeded(node("n0", group, little))
    assert alone.kept == {"n0": scale_down.NO_PLACE}


def test_a_slice_goes_when_nothing_is_on_any_of_its_nodes() -> None:
    (group,) = groups(slice_of_tpus(), targets={"us-central1-a": 4})
    empty = [node(f"n{i}", group) for i in range(3)]
    assert len(unneeded(*empty, node("n3", group)).nodes) == 4
    assert unneeded(*empty, node("n3", group, pod("log", {"cpu": "1m"}, tolerations=[]))).nodes == {}


def _with(one: Object, annotations: Object | None = None, **more: Any) -> Object:
    return {**one, "metadata": {**one["metadata"], "annotations": annotations or {}, **more}}


EMPTY_DIR = [{"name": "scratch", "emptyDir": {}}]
SAFE_VOLUMES = {scale_down.SAFE_VOLUMES: "scratch"}


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (pod(), ""),
        (_with(pod(), {scale_down.SAFE: "false"}), scale_down.UNSAFE),
        (_with(pod(), ownerReferences=[]), scale_down.BARE),
        (_with(pod(), {scale_down.SAFE: "true"}, ownerReferences=[]), ""),
        (_with(pod(), namespace="kube-system"), scale_down.SYSTEM),
        (pod(volumes=EMPTY_DIR), scale_down.LOCAL),
        (_with(pod(volumes=EMPTY_DIR), SAFE_VOLUMES), ""),
        (pod(volumes=[{"name": "shm", "emptyDir": {"medium": "Memory"}}]), ""),
        (_with(pod(), ownerReferences=[{"kind": "DaemonSet", "controller": True}], namespace="kube-system"), ""),
        ({**_with(pod(), {scale_down.SAFE: "false"}), "status": {"phase": "Succeeded"}}, ""),
    ],
)
def test_which_pods_keep_their_node(one: Object, reason: str) -> None:
    assert blocking(one) == reason


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 1300), st.sampled_from(["", "true", "false"]), st.booleans()), max_size=3),
        min_size=1, max_size=5,
    ),
    st.integers(0, 3),
)  # fmt: skip
def test_no_pod_that_may_not_be_evicted_loses_its_node(layout: list[list[tuple[int, str, bool]]], low: int) -> None:
    (group,) = groups(pool(autoscaling={"enabled": True, "minNodeCount": low, "maxNodeCount": 9}))
    candidates = []
    for index, pods in enumerate(layout):
        made = []
        for number, (cpu, safe, owned) in enumerate(pods):
            annotations = {scale_down.SAFE: safe} if safe else {}
            one = _with(pod(f"{index}-{number}", {"cpu": f"{cpu}m"}), annotations)
            if not owned:
                one["metadata"]["ownerReferences"] = []
            made.append(one)
        candidates.append(node(f"n{index}", group, *made))
    found = unneeded(*candidates)
    assert len(candidates) - len(found.nodes) >= min(low, len(candidates))
    for one in candidates:
        if one.node.name in found.nodes:
            assert all(not blocking(p) for p in one.pods)
            assert scale_down.utilization(one) < scale_down.THRESHOLD
    # What moves fits into what stays.
    rooms = [Room(one.node) for one in candidates if one.node.name not in found.nodes]
    moving = [(Requirements.of(p), 1) for pods in found.nodes.values() for p in pods]
    free = sum(r.free["cpu"] for r in rooms)
    assert sum(wanted.requests["cpu"] for wanted, _ in moving) <= free


# What there is.


def test_pods_that_wait_for_anything_but_a_node_do_not_count() -> None:
    assert is_unschedulable(pod())
    assert not is_unschedulable({**pod(), "status": {}})
    assert not is_unschedulable(pod(nodeName="n"))
    gated = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}
    assert not is_unschedulable({**pod(), "status": gated})
    assert not is_unschedulable({**pod(), "status": {**pod()["status"], "nominatedNodeName": "n"}})
    assert not is_unschedulable(_with(pod(), deletionTimestamp="2026-01-01T00:00:00Z"))


def test_pools_without_autoscaling_and_those_that_go_are_no_groups() -> None:
    managers = {group.name: {"targetSize": 2} for group in groups(pool("a"), pool("b"), pool("c"))}
    specs = [pool("a"), pool("b", autoscaling={}), {**pool("c"), "status": "STOPPING"}]
    view = of_specs(specs, managers, [])
    assert [(group.pool, group.target) for group in view.groups.values()] == [("a", 2)]
    (group,) = view.groups.values()
    assert room(group, [group]) == 2


def test_a_node_that_takes_no_pods_yet_is_still_waited_for() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    new = {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}, "status": ready}
    listed = [{"name": "n", "currentAction": "NONE"}, {"name": "m", "currentAction": "CREATING"}]
    listed.append({"name": "gone", "currentAction": "DELETING"})
    assert machines(listed, [new]) == [Machine("n", registered=True), Machine("m")]
    assert machines(listed, [{**new, "spec": {}}]) == [Machine("m")]
