"""What is read off a cluster, and what plans say about TPUs, provisioning, classes and Autopilot."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gke_notebook import catalog, names
from gke_notebook.errors import InvalidInput
from gke_notebook.manifests import ClassRule, ClusterFacts, ComputeClass
from gke_notebook.objects import Container, Metadata, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from gke_notebook.session import planning
from gke_notebook.session.facts import compute_class, is_autopilot, version_of
from gke_notebook.session.status import free_accelerators
from gke_notebook.specs import AcceleratorRequest, TpuRequest
from gke_notebook.widgets.plan_card import plan_view
from tests.support.manifest_cases import AUTOPILOT, STANDARD, make

L4 = AcceleratorRequest("l4", 1)
V5E = TpuRequest("v5e", "4x4")


def node(name: str, machine: str, resource: str = "", count: int = 0, **labels: str) -> Node:
    found = {planning.MACHINE_TYPE_LABEL: machine, planning.ZONE_LABEL: "us-central1-a"}
    found.update(labels)
    return Node(Metadata(name=name, labels=found), NodeStatus(allocatable={resource: str(count)} if resource else {}))


TPU_NODE = node(
    "t", "ct5lp-hightpu-4t", "google.com/tpu", 4,
    **{catalog.TPU_LABEL: "tpu-v5-lite-podslice", catalog.TOPOLOGY_LABEL: "4x4", names.SIMULATED: "true"},
)  # fmt: skip
CPU_NODE = node("c", "e2-standard-8")


def plan(facts: ClusterFacts = STANDARD, nodes: Any = (CPU_NODE,), **more: Any) -> planning.Plan:
    return planning.make_plan(make(**more), context="here", nodes=nodes, facts=facts)


def test_versions_and_autopilot() -> None:
    assert [version_of(text) for text in ("v1.34.1-gke.18", "1.29", "", "odd")] == [(1, 34), (1, 29), (0, 0), (0, 0)]
    auto, standard = Node(Metadata(name="gk3-train-pool-1")), Node(Metadata(name="gke-train-pool-1"))
    assert [is_autopilot(None, nodes) for nodes in ([auto], [auto, standard], [], None)] == [True, False, False, False]
    assert is_autopilot(True, [standard])
    assert not is_autopilot(False, [auto])


def test_compute_classes_are_read_as_far_as_they_are_used() -> None:
    found = {
        "metadata": {"name": "gpus"},
        "spec": {
            "whenUnsatisfiable": "DoNotScaleUp",
            "priorities": [
                {"gpu": {"type": "nvidia-l4", "count": 2}, "spot": True},
                {"machineType": "g2-standard-8", "reservations": {"affinity": "AnyBestEffort"}},
                {"tpu": {"type": "tpu-v6e-slice", "count": 4, "topology": "4x4"}, "flexStart": {"enabled": True}},
            ],
        },
    }
    assert compute_class(found) == ComputeClass(
        "gpus",
        (
            ClassRule(gpu="nvidia-l4", gpu_count=2, spot=True),
            ClassRule(machine_type="g2-standard-8"),
            ClassRule(tpu="tpu-v6e-slice", topology="4x4"),
        ),
    )
    assert compute_class({"metadata": {"name": "empty"}}) == ComputeClass("empty")


def test_a_slice_on_nodes_that_are_there() -> None:
    found = plan_of_slice((CPU_NODE, TPU_NODE))
    assert found.price is not None
    assert found.price.usd_hour == pytest.approx(4 * 4 * 1.2)
    assert found.price.simulated
    assert found.placement.startswith("1 x v5e 4x4, 4 nodes, 4 ranks (4 chips, ")
    assert any("nothing is billed" in note for note in found.notes)


def plan_of_slice(nodes: Any, facts: ClusterFacts = STANDARD, **more: Any) -> planning.Plan:
    spec = make(nodes=4, tpu=V5E, cpu=84, memory_gib=144, **more)
    return planning.make_plan(spec, context="here", nodes=nodes, facts=facts)


def test_a_slice_that_is_not_there_yet() -> None:
    found = plan_of_slice((CPU_NODE,), provisioning="spot", zone="us-central1-a")
    assert found.price is not None
    assert found.price.usd_hour == pytest.approx(4 * 4 * 0.2977, abs=0.001)
    assert found.placement.endswith("on ct5lp-hightpu-4t, spot, us-central1-a")
    assert any("tpu-v5-lite-podslice in a slice of 4x4 (spot) in us-central1-a" in note for note in found.notes)
    auto = plan_of_slice((Node(Metadata(name="gk3-a")),), AUTOPILOT)
    assert any("Autopilot makes them" in note for note in auto.notes)


def test_cpu_jobs_go_past_nodes_with_tpus() -> None:
    assert planning.fitting_nodes(make(), [CPU_NODE, TPU_NODE]) == [CPU_NODE]


def test_flex_start_has_no_price_and_says_so() -> None:
    found = plan(accelerator=L4, provisioning="flex-start")
    assert found.price is None
    assert any("no list price of flex-start is known" in note for note in found.notes)


def test_what_is_not_sold_on_demand_is_said() -> None:
    found = plan(accelerator=AcceleratorRequest("h200", 8))
    assert any("a3-ultragpu-8g cannot be had on demand" in note and "--flex" in note for note in found.notes)


def test_gpus_attached_to_a_machine_are_priced_with_it() -> None:
    attached = node(
        "t4", "n1-standard-8", "nvidia.com/gpu", 1,
        **{planning.ACCELERATOR_LABEL: "nvidia-tesla-t4", planning.ACCELERATOR_COUNT_LABEL: "1"},
    )  # fmt: skip
    found = plan(nodes=(attached,), accelerator=AcceleratorRequest("t4", 1))
    assert found.price is not None
    assert found.price.usd_hour == pytest.approx(0.38 + 0.35, abs=0.001)


def test_compute_classes_are_proposed_and_checked() -> None:
    facts = replace(STANDARD, compute_classes=(ComputeClass("gpus", (ClassRule(gpu="nvidia-l4"),)),))
    assert any("--compute-class gpus" in note for note in plan(facts, accelerator=L4).notes)
    assert not any("--compute-class" in note for note in plan(facts, accelerator=L4, compute_class="gpus").notes)
    with pytest.raises(InvalidInput, match="did you mean 'gpus'"):
        plan(facts, accelerator=L4, compute_class="gpu")
    assert plan(accelerator=L4, compute_class="unseen").placement.endswith("class unseen")


def test_slices_that_start_again_cost_each_time() -> None:
    found = planning.make_plan(
        make(nodes=8, tpu=TpuRequest("v5e", "4x4", 2), max_retries=2, max_duration=3600),
        context="here", nodes=(TPU_NODE,), facts=STANDARD,
    )  # fmt: skip
    assert found.price is not None
    assert found.max_cost() == pytest.approx(3 * found.price.usd_hour)
    assert any("3 attempts" in note for note in found.notes)


def test_the_card_says_what_a_jobset_is() -> None:
    spec = make(nodes=8, tpu=TpuRequest("v5e", "4x4", 2))
    shown = plan_view(planning.make_plan(spec, context="here", nodes=(TPU_NODE,), facts=STANDARD)).text
    assert re.search(r"JobSet +digits +2 Indexed Jobs of 4 pods, one for each slice", shown)
    assert "8 ranks = 8 nodes x 1 process" in shown


def test_chips_of_tpus_are_counted_among_what_is_free() -> None:
    pods = [Pod(Metadata(name="p"), PodSpec("t", containers=(Container(resources=ResourceRequirements(
        limits={catalog.TPU_RESOURCE: "4"})),)))]  # fmt: skip
    other = msgspec.structs.replace(TPU_NODE, metadata=msgspec.structs.replace(TPU_NODE.metadata, name="u"))
    assert free_accelerators([TPU_NODE, other, CPU_NODE], pods) == {"tpu-v5-lite-podslice": (4, 8)}
