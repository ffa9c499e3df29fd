"""Where pods go, and the words when they go nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.controllers.pod_requirements import (
    Requirements,
    matches_expression,
    tolerates,
)
from gke_notebook.sandbox.controllers.scheduling import Placement, Unschedulable
from gke_notebook.sandbox.controllers.snapshot import Snapshot, schedule
from gke_notebook.sandbox.requests import amount, requests

NO_CLAIMS = "no new claims to deallocate"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


def node(name: str, *, labels: dict[str, str] | None = None, ready: str = "True", **more: Any) -> dict[str, Any]:
    spec = {key: more.pop(key) for key in ("taints", "unschedulable") if key in more}
    allocatable = {"cpu": "4", "memory": "16Gi", "pods": "110", **more}
    status = {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status}


def pod(name: str = "p", *, priority: int | None = None, ports: Any = (), **more: Any) -> dict[str, Any]:
    spec = {
        key: more.pop(key)
        for key in ("nodeSelector", "affinity", "tolerations", "nodeName", "topologySpreadConstraints", "volumes")
        if key in more
    }
    if priority is not None:
        spec["priority"] = priority
    if "preemptionPolicy" in more:
        spec["preemptionPolicy"] = more.pop("preemptionPolicy")
    container = {"name": "main", "resources": {"requests": {k.replace("__", "/"): v for k, v in more.items()}}}
    if ports:
        container["ports"] = list(ports)
    return {"metadata": {"name": name, "uid": name}, "spec": {"containers": [container], **spec}}


def gpu(count: int) -> dict[str, str]:
    return {"nvidia.com/gpu": str(count)}


def why(wanted: dict[str, Any], nodes: list[dict[str, Any]], bound: dict[str, Any] | None = None) -> str:
    result = schedule(wanted, nodes, bound or {})
    assert isinstance(result, Unschedulable), f"went to {result.node}"
    return result.message


def where(wanted: dict[str, Any], nodes: list[dict[str, Any]], bound: dict[str, Any] | None = None) -> str:
    result = schedule(wanted, nodes, bound or {})
    assert isinstance(result, Placement), result.message
    assert not result.victims
    return result.node


def test_the_text_of_the_reference_word_for_word() -> None:
    nodes = [node(f"gpu-{i}", labels={"acc": "l4"}, **gpu(1)) for i in range(3)] + [node(f"cpu-{i}") for i in range(4)]
    bound = {f"gpu-{i}": [pod(f"old-{i}", **gpu(1))] for i in range(3)}
    assert why(pod(nodeSelector={"acc": "l4"}, **gpu(1)), nodes, bound) == (
        "0/7 nodes are available: 3 Insufficient nvidia.com/gpu, 4 node(s) didn't match Pod's node affinity/selector. "
        f"{NO_CLAIMS}, preemption: 0/7 nodes are available: 3 {NO_VICTIMS}, 4 {NOT_HELPFUL}."
    )


def test_no_node_at_all() -> None:
    assert why(pod(), []) == "no nodes available to schedule pods"


def test_more_than_a_node_has_cannot_be_helped_by_preemption() -> None:
    assert why(pod(cpu="5"), [node("a")]) == (
        f"0/1 nodes are available: 1 Insufficient cpu. {NO_CLAIMS}, preemption: "
        f"0/1 nodes are available: 1 {NOT_HELPFUL}."
    )


def test_one_node_may_lack_several_things_and_reasons_are_sorted() -> None:
    nodes = [node("a", pods="1"), node("b")]
    bound = {"a": [pod("old", cpu="3", memory="1Gi")], "b": [pod("older", cpu="3", memory="15Gi")]}
    assert why(pod(cpu="2", memory="2Gi"), nodes, bound).startswith(
        "0/2 nodes are available: 1 Insufficient memory, 1 Too many pods, 2 Insufficient cpu. "
        f"{NO_CLAIMS}, preemption: "
    )


@pytest.mark.parametrize(
    ("wanted", "target", "reason"),
    [
        (pod(), node("a", unschedulable=True), "node(s) were unschedulable"),
        (pod(nodeName="b"), node("a"), "node(s) didn't match the requested node name"),
        (
            pod(),
            node("a", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
            "node(s) had untolerated taint(s)",
        ),
        (pod(), node("a", taints=[{"key": "k", "effect": "NoExecute"}]), "node(s) had untolerated taint(s)"),
        (pod(), node("a", ready="Unknown"), "node(s) had untolerated taint(s)"),
        (
            pod(nodeSelector={"zone": "b"}),
            node("a", labels={"zone": "a"}),
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (pod(google__x="1"), node("a"), "Insufficient google/x"),
    ],
)
def test_each_filter_has_its_text(wanted: dict[str, Any], target: dict[str, Any], reason: str) -> None:
    assert why(wanted, [target]) == (
        f"0/1 nodes are available: 1 {reason}. {NO_CLAIMS}, preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}."
    )


def test_a_cordoned_node_is_judged_before_its_taints() -> None:
    target = node("a", unschedulable=True, taints=[{"key": "k", "effect": "NoSchedule"}])
    assert "node(s) were unschedulable" in why(pod(), [target])


def test_host_ports_clash_by_address_and_protocol() -> None:
    def port(number: int, **more: str) -> dict[str, Any]:
        return {"containerPort": number, "hostPort": number, **more}

    bound = {"a": [pod("old", ports=[port(80), port(81, hostIP="127.0.0.1")])]}
    text = "node(s) didn't have free ports for the requested pod ports"
    assert text in why(pod(ports=[port(80, hostIP="10.0.0.1")]), [node("a")], bound)
    assert text in why(pod(ports=[port(81)]), [node("a")], bound)
    assert where(pod(ports=[port(81, hostIP="10.0.0.1")]), [node("a")], bound) == "a"
    assert where(pod(ports=[port(80, protocol="UDP")]), [node("a")], bound) == "a"


def test_ended_pods_take_no_room() -> None:
    ended = pod("old", cpu="4")
    ended["status"] = {"phase": "Succeeded"}
    assert where(pod(cpu="4"), [node("a")], {"a": [ended]}) == "a"


def test_cpu_pods_spread_and_accelerator_pods_pack() -> None:
    nodes = [node("a", **gpu(4)), node("b", **gpu(4))]
    bound = {"a": [pod("old", cpu="2", memory="4Gi", **gpu(2))]}
    assert where(pod(cpu="1", memory="1Gi"), nodes, bound) == "b"
    assert where(pod(cpu="1", **gpu(1)), nodes, bound) == "a"
    assert where(pod(cpu="1", **gpu(4)), nodes, bound) == "b"


def affinity(kind: str, *terms: Any) -> dict[str, Any]:
    return {"nodeAffinity": {kind: list(terms) if kind.startswith("pref") else {"nodeSelectorTerms": list(terms)}}}


def test_required_affinity_is_one_of_the_terms_and_all_of_its_expressions() -> None:
    nodes = [node("a", labels={"zone": "a", "n": "5"}), node("b", labels={"zone": "b", "n": "9"})]
    required = "requiredDuringSchedulingIgnoredDuringExecution"

    def term(*expressions: tuple[str, str, list[str]]) -> dict[str, Any]:
        return {"matchExpressions": [{"key": k, "operator": o, "values": v} for k, o, v in expressions]}

    assert where(pod(affinity=affinity(required, term(("n", "Gt", ["6"])))), nodes) == "b"
    either = affinity(required, term(("zone", "In", ["x"])), term(("zone", "NotIn", ["b"]), ("n", "Exists", [])))
    assert where(pod(affinity=either), nodes) == "a"
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
    assert where(pod(affinity=affinity(required, field)), nodes) == "b"
    assert "affinity/selector" in why(pod(affinity=affinity(required, {})), nodes)


def test_preferred_affinity_outweighs_spreading() -> None:
    nodes = [node("a"), node("b", labels={"ssd": "yes"})]
    wanted = {"weight": 1, "preference": {"matchExpressions": [{"key": "ssd", "operator": "Exists"}]}}
    preferred = affinity("preferredDuringSchedulingIgnoredDuringExecution", wanted)
    bound = {"b": [pod("old", cpu="2", memory="8Gi")]}
    assert where(pod(cpu="1"), nodes, bound) == "a"
    assert where(pod(cpu="1", affinity=preferred), nodes, bound) == "b"


def test_prefer_no_schedule_is_avoided_but_no_obstacle() -> None:
    taint = {"key": "k", "effect": "PreferNoSchedule"}
    assert where(pod(), [node("a", taints=[taint]), node("b")]) == "b"
    assert where(pod(), [node("a", taints=[taint])]) == "a"


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], tolerated: bool) -> None:
    assert tolerates([toleration], {"key": "k", "value": "v", "effect": "NoSchedule"}) is tolerated


@pytest.mark.parametrize(
    ("operator", "values", "matched"),
    [("In", ["5"], True), ("NotIn", ["5"], False), ("Exists", [], True), ("DoesNotExist", [], False),
     ("Gt", ["4"], True), ("Gt", ["5"], False), ("Lt", ["6"], True), ("Lt", ["x"], False), ("Near", ["5"], False)],
)  # fmt: skip
def test_expressions(operator: str, values: list[str], matched: bool) -> None:
    assert matches_expression({"key": "n", "operator": operator, "values": values}, {"n": "5"}) is matched


def test_requests_count_init_containers_and_sidecars_as_kubernetes_does() -> None:
    def container(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    main = [container("1"), {"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]
    assert requests({"containers": main}) == {"cpu": 1500, "memory": 2**30}
    assert requests({"containers": main, "initContainers": [container("3")]})["cpu"] == 3000
    sidecar = container("2", restartPolicy="Always")
    assert requests({"containers": main, "initContainers": [sidecar]})["cpu"] == 3500
    assert requests({"containers": main, "initContainers": [sidecar, container("3")]})["cpu"] == 5000
    assert requests({"containers": main, "initContainers": [container("3"), sidecar]})["cpu"] == 3500
    assert requests({"containers": main, "overhead": {"cpu": "1"}})["cpu"] == 2500
    assert requests({"containers": main, "resources": {"requests": {"cpu": "1"}}})["cpu"] == 1000


@given(st.integers(0, 10**6))
def test_amounts_are_whole_and_never_too_small(thousandths: int) -> None:
    assert amount("cpu", f"{thousandths}m") == thousandths
    assert amount("memory", f"{thousandths}m") == -(-thousandths // 1000)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "x"}]}}},
         "the sandbox's scheduler does not implement required pod anti-affinity"),
        ({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "x"}]}}},
         "the sandbox's scheduler does not implement required pod affinity"),
        ({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]},
         "the sandbox's scheduler does not implement topology spread constraints with DoNotSchedule"),
        ({"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}, 'persistentvolumeclaim "data" not found'),
    ],
)  # fmt: skip
def test_what_is_not_implemented_is_said_and_never_passed_over(more: dict[str, Any], text: str) -> None:
    assert why(pod(**more), [node("a")]) == (
        f"0/1 nodes are available: {text}." + (" not found" if "claim" in text.split()[0] else "")
    )


def test_preferences_between_pods_are_no_obstacle() -> None:
    wanted = pod(
        affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}},
        topologySpreadConstraints=[{"whenUnsatisfiable": "ScheduleAnyway"}],
    )
    assert where(wanted, [node("a")]) == "a"


def test_pods_of_less_priority_make_room_as_few_and_as_low_as_possible() -> None:
    nodes = [node("a"), node("b")]
    bound = {
        "a": [pod("a-low", cpu="2", priority=1), pod("a-mid", cpu="2", priority=5)],
        "b": [pod("b-mid", cpu="4", priority=5)],
    }
    result = schedule(pod(cpu="2", priority=9), nodes, bound)
    assert result == Placement("a", ("a-low",), "0/2 nodes are available: 2 Insufficient cpu.")
    text = why(pod(cpu="2", priority=1), nodes, bound)
    assert text.endswith(f"preemption: 0/2 nodes are available: 2 {NO_VICTIMS}.")
    text = why(pod(cpu="2", priority=9, preemptionPolicy="Never"), nodes, bound)
    assert text.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_victims_that_are_not_enough_are_spared() -> None:
    bound = {"a": [pod("low", cpu="1", priority=1), pod("high", cpu="3", priority=9)]}
    text = why(pod(cpu="2", priority=5), [node("a")], bound)
    assert text.endswith("preemption: 0/1 nodes are available: 1 Insufficient cpu.")


def test_the_snapshot_follows_changes() -> None:
    snapshot = Snapshot()
    wanted = Requirements.of(pod(cpu="3"))
    snapshot.add_pod("a", "early", wanted)  # seen before its node
    assert snapshot.set_node(node("a"))
    assert isinstance(snapshot.place(wanted), Unschedulable)
    assert snapshot.remove_pod("early")
    assert snapshot.place(wanted) == Placement("a")
    snapshot.add_pod("a", "first", wanted)
    assert isinstance(snapshot.place(wanted), Unschedulable)
    assert not snapshot.set_node(node("a")), "nothing that matters has changed"
    assert snapshot.set_node(node("a", cpu="8"))
    assert snapshot.place(wanted) == Placement("a")
    snapshot.remove_node("a")
    assert snapshot.place(wanted) == Unschedulable("no nodes available to schedule pods")
    snapshot.set_node(node("a"))
    assert isinstance(snapshot.place(wanted), Unschedulable), "the pod was not forgotten with its node"
    assert not snapshot.remove_pod("stranger")


@given(st.lists(st.tuples(st.integers(1, 4000), st.booleans()), max_size=40), st.integers(1, 5))
def test_nodes_are_never_overcommitted_and_books_balance(pods: list[tuple[int, bool]], count: int) -> None:
    snapshot = Snapshot()
    for index in range(count):
        snapshot.set_node(node(f"n{index}", pods="6"))
    placed = []
    for number, (cpu, leaves) in enumerate(pods):
        wanted = Requirements.of(pod(f"p{number}", cpu=f"{cpu}m"))
        result = snapshot.place(wanted)
        if isinstance(result, Placement):
            snapshot.add_pod(result.node, f"p{number}", wanted)
            placed.append((f"p{number}", cpu))
        else:
            assert all(
                state.used.get("cpu", 0) + cpu > 4000 or len(state.pods) >= 6 for state in snapshot.nodes.values()
            )
        if leaves and placed:
            snapshot.remove_pod(placed.pop(0)[0])
    assert all(state.used.get("cpu", 0) <= 4000 and len(state.pods) <= 6 for state in snapshot.nodes.values())
    assert sum(state.used.get("cpu", 0) for state in snapshot.nodes.values()) == sum(cpu for _, cpu in placed)


def exclusive(name: str, job: str) -> dict[str, Any]:
    found = pod(name)
    found["metadata"]["annotations"] = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "pool"}
    found["metadata"]["labels"] = {"jobset.sigs.k8s.io/job-key": job}
    return found


def test_each_job_of_an_exclusive_set_has_its_domain_to_itself() -> None:
    nodes = [node(f"{pool}{number}", labels={"pool": pool}) for pool in "ab" for number in range(2)]
    nodes.append(node("elsewhere"))
    bound = {"a0": [exclusive("p0", "one")]}
    assert schedule(exclusive("p1", "one"), nodes, bound) == Placement("a1")
    assert schedule(exclusive("q0", "two"), nodes, bound) in (Placement("b0"), Placement("b1"))
    bound["b1"] = [exclusive("q0", "two")]
    third = schedule(exclusive("r0", "three"), nodes, bound)
    assert isinstance(third, Unschedulable)
    assert "1 node(s) didn't match pod affinity rules" in third.message
    assert "4 node(s) didn't match pod anti-affinity rules" in third.message
    assert schedule(pod("plain"), nodes, bound) != third  # others may go anywhere


def test_the_affinity_that_jobset_s_own_webhook_gives_is_what_exclusive_placement_says() -> None:
    first = exclusive("p0", "one")
    selector = {"matchExpressions": [{"key": "jobset.sigs.k8s.io/job-key", "operator": "In", "values": ["one"]}]}
    terms = [{"labelSelector": selector, "topologyKey": "pool", "namespaceSelector": {}}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    first["spec"]["affinity"] = {"podAffinity": required}
    nodes = [node("a0", labels={"pool": "a"})]
    assert schedule(first, nodes, {}) == Placement("a0")
    terms.append({"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "pool"})
    refused = schedule(first, nodes, {})
    assert isinstance(refused, Unschedulable)
    assert "does not implement required pod affinity" in refused.message
