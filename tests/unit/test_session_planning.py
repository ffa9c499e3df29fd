"""Plans: what is said of nodes and prices, and that what is shown is what is rendered."""

from __future__ import annotations

import pytest

from gke_notebook import catalog, names
from gke_notebook.insight.world import Growth
from gke_notebook.objects import Condition, Container, Metadata, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from gke_notebook.session import planning
from gke_notebook.session.status import features, free_accelerators, is_ready
from gke_notebook.specs import AcceleratorRequest, Program, TrainSpec


def node(
    name: str, machine: str, *, gpus: int = 0, label: str = "", zone: str = "us-central1-a", **labels: str
) -> Node:
    found = {planning.MACHINE_TYPE_LABEL: machine, planning.ZONE_LABEL: zone, **labels}
    if label:
        found[planning.ACCELERATOR_LABEL] = label
    allocatable: dict[str, str | int] = {"cpu": "8", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return Node(Metadata(name=name, labels=found), NodeStatus(allocatable=allocatable))


def spec(accelerator: AcceleratorRequest | None = None, nodes: int = 2, max_duration: int | None = 1800) -> TrainSpec:
    return TrainSpec(
        name="digits", program=Program(cell="#\nprint(1)\n"), namespace="research", run="r1", owner="ada", nodes=nodes,
        accelerator=accelerator, image="python:3.11-slim", max_duration=max_duration,
    )  # fmt: skip


L4 = AcceleratorRequest("l4", 1)
LABEL = "nvidia-l4"


def test_the_price_is_that_of_the_nodes_that_are_there() -> None:
    nodes = [node("cpu", "e2-standard-8"), node("big", "g2-standard-24", gpus=2, label=LABEL)]
    plan = planning.make_plan(spec(L4), context="here", nodes=nodes)
    listed = catalog.price("g2-standard-24", "us-central1")
    assert listed is not None
    assert plan.price is not None
    assert plan.price.usd_hour == pytest.approx(2 * listed.usd_hour)
    assert not plan.price.simulated
    assert "g2-standard-24" in plan.price.basis
    assert str(listed.source_date) in plan.price.basis
    assert plan.max_cost() == pytest.approx(listed.usd_hour)
    job = plan.manifests[-1]
    assert float(job["metadata"]["annotations"][names.PRICE]) == pytest.approx(plan.price.usd_hour, abs=1e-4)


def test_spot_and_simulated_nodes_are_said_to_be() -> None:
    nodes = [
        node(
            "spot", "g2-standard-24", gpus=2, label=LABEL,
            **{planning.SPOT_LABEL: "true", names.SIMULATED: "true"},
        )
    ]  # fmt: skip
    plan = planning.make_plan(spec(L4), context="here", nodes=nodes)
    assert plan.price is not None
    assert plan.price.simulated
    assert "spot" in plan.price.basis
    assert any("nothing is billed" in note for note in plan.notes)


def test_machines_that_come_are_priced_as_what_they_are() -> None:
    full = node("t4", "n1-standard-8", gpus=1, label="nvidia-tesla-t4", **{names.SIMULATED: "true"})
    growth = [Growth("l4-spot", 0, 2, "g2-standard-8", "spot", "us-central1-a")]
    plan = planning.make_plan(spec(L4), context="here", nodes=[full], growth=growth)
    listed = catalog.price("g2-standard-8", "us-central1", spot=True)
    assert listed is not None
    assert plan.price is not None
    assert plan.price.usd_hour == pytest.approx(2 * listed.usd_hour)
    assert plan.price.simulated
    assert "on g2-standard-8" in plan.placement
    assert not any("wait until" in note for note in plan.notes)
    assert any("pretended" in note for note in plan.notes)
    other = Growth("other", 0, 1, "g2-standard-4", "spot", "us-central1-a")
    assert planning.grown_price(spec(L4), [*growth, other], [full]) is None, "two kinds have no one price"


def test_the_cheapest_fitting_machine_counts() -> None:
    nodes = [node("big", "g2-standard-96", gpus=8, label=LABEL), node("small", "g2-standard-4", gpus=1, label=LABEL)]
    price = planning.estimate_price(spec(L4), planning.fitting_nodes(spec(L4), nodes))
    assert price is not None
    assert "g2-standard-4," in price.basis
    two = spec(AcceleratorRequest("l4", 2))
    price = planning.estimate_price(two, planning.fitting_nodes(two, nodes))
    assert price is not None
    assert "g2-standard-96" in price.basis


def test_no_such_node_is_a_note_and_the_catalog_gives_the_price() -> None:
    plan = planning.make_plan(spec(AcceleratorRequest("h100", 8)), context="here", nodes=[node("cpu", "e2-standard-8")])
    assert any("nvidia-h100-80gb" in note and "will wait" in note for note in plan.notes)
    assert plan.price is not None
    assert "a3-highgpu-8g" in plan.price.basis


def test_invisible_nodes_are_a_note() -> None:
    plan = planning.make_plan(spec(L4), context="here", nodes=None)
    assert any("not visible" in note for note in plan.notes)
    assert plan.price is not None


def test_cpu_jobs_have_no_price_and_say_so() -> None:
    plan = planning.make_plan(spec(), context="here", nodes=[node("cpu", "e2-standard-8")])
    assert plan.price is None
    assert plan.max_cost() is None
    assert any("price unknown" in note for note in plan.notes)


def test_without_a_cap_there_is_no_highest_cost() -> None:
    plan = planning.make_plan(spec(L4, max_duration=None), context="here", nodes=None)
    assert plan.price is not None
    assert plan.max_cost() is None


def pod(name: str, on: str, gpus: int) -> Pod:
    resources = ResourceRequirements(limits={"nvidia.com/gpu": str(gpus)} if gpus else {})
    return Pod(Metadata(name=name), PodSpec(node_name=on, containers=(Container(resources=resources),)))


def test_free_accelerators_by_type() -> None:
    nodes = [
        node("a", "g2-standard-24", gpus=2, label=LABEL),
        node("b", "g2-standard-24", gpus=2, label=LABEL),
        node("c", "n1-standard-8", gpus=1, label="nvidia-tesla-t4"),
        node("d", "e2-standard-8"),
    ]
    pods = [pod("one", "a", 1), pod("two", "b", 2), pod("cpu", "d", 0), pod("waits", "", 4)]
    assert free_accelerators(nodes, pods) == {LABEL: (1, 4), "nvidia-tesla-t4": (1, 1)}
    assert free_accelerators([], pods) == {}


def test_ready_nodes() -> None:
    ready = Node(status=NodeStatus(conditions=(Condition(type="Ready", status="True"),)))
    lost = Node(status=NodeStatus(conditions=(Condition(type="Ready", status="Unknown"),)))
    assert [is_ready(found) for found in (ready, lost, Node())] == [True, False, False]


def test_every_feature_names_its_rights() -> None:
    found = features("research")
    assert all(found.values())
    assert {check.namespace for check in found["train"]} == {"research"}
    assert {str(check).split()[0] for check in found["train"]} == {"create"}
