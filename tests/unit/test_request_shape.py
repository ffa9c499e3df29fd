"""Which machines a job is to have: what is understood, and the nearest valid choice for what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook import catalog, request
from gke_notebook.errors import InvalidInput
from gke_notebook.manifests.hosts import host_of, slice_of
from gke_notebook.request import shape
from gke_notebook.specs import PROVISIONING, AcceleratorRequest, TpuRequest, TrainSpec


def spec(**options: Any) -> TrainSpec:
    return request.build_spec(options.pop("name", "digits"), "print(1)", **options)


def refusal(**options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        spec(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected", "hosts", "chips"),
    [
        ("v5e:4x4", TpuRequest("v5e", "4x4"), 4, 4),
        ("v5litepod-16", TpuRequest("v5e", "4x4"), 4, 4),
        ("V5E:4x4 * 2", TpuRequest("v5e", "4x4", 2), 8, 4),
        ("v5e:2x4", TpuRequest("v5e", "2x4"), 1, 8),
        ("ct5lp-hightpu-4t:2x4", TpuRequest("v5e", "2x4"), 2, 4),
        ("v5p-8", TpuRequest("v5p", "2x2x1"), 1, 4),
        ("v6e:16*3", TpuRequest("v6e", "4x4", 3), 12, 4),
        (TpuRequest("v5e", "8x8", 2), TpuRequest("v5e", "8x8", 2), 32, 4),
    ],
)
def test_tpu_slices(text: object, expected: TpuRequest, hosts: int, chips: int) -> None:
    found = spec(tpu=text)
    assert (found.tpu, found.nodes, found.procs_per_node) == (expected, hosts, 1)
    whole = slice_of(found)
    assert whole is not None
    assert (whole.chips_per_host, whole.hosts) == (chips, hosts // expected.slices)
    machine = host_of(found)
    assert machine is not None
    left = catalog.allocatable(machine)
    assert found.cpu <= left[0]
    assert found.memory_gib <= left[1]


@given(st.sampled_from(catalog.tpus()), st.data())
def test_every_slice_of_the_catalog_can_be_asked_for(kind: catalog.Tpu, data: st.DataObject) -> None:
    shapes = [one for one in catalog.topologies(kind) if one.hosts <= 64]
    topology = data.draw(st.sampled_from(shapes))
    slices = data.draw(st.integers(1, 8))
    found = shape.parse_tpu(f"{kind.name}:{topology.text}*{slices}")
    assert found == (TpuRequest(kind.name, topology.text, slices), topology)
    assert shape.parse_tpu(found[0]) == found
    assert shape.tpu_nodes(*found, nodes=None) == topology.hosts * slices
    with pytest.raises(InvalidInput, match=f"--nodes {topology.hosts * slices}"):
        shape.tpu_nodes(*found, nodes=topology.hosts * slices + 1)


def said(parse: Callable[[str], object], text: str) -> str:
    """What is said of a text, empty when it is taken."""
    try:
        parse(text)
    except InvalidInput as error:
        return str(error)
    return ""


@given(st.text(max_size=30))
def test_whatever_is_written_is_taken_or_refused_in_one_line(text: str) -> None:
    for word, parse in (
        ("--tpu", shape.parse_tpu),
        ("--zone", shape.parse_zone),
        ("--compute-class", shape.parse_compute_class),
        ("--machine-type", lambda value: shape.parse_machine_type(value, None, None)),
        ("--reservation", lambda value: shape.parse_provisioning(reservation=value)),
    ):
        answer = said(parse, text)
        assert "\n" not in answer
        assert answer == "" or word in answer


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("", "")),
        ({"spot": True}, ("spot", "")),
        ({"flex": True}, ("flex-start", "")),
        ({"reservation": "ours"}, ("reservation", "ours")),
        ({"reservation": "projects/p/reservations/ours"}, ("reservation", "ours")),
        ({"provisioning": "spot", "spot": True}, ("spot", "")),
        ({"provisioning": "Flex"}, ("flex-start", "")),
        ({"provisioning": "on demand"}, ("on-demand", "")),
        ({"provisioning": "reserved", "reservation": "ours"}, ("reservation", "ours")),
    ],
)
def test_how_machines_are_had(options: dict[str, Any], expected: tuple[str, str]) -> None:
    found = spec(gpu="l4", **options)
    assert (found.provisioning, found.reservation) == expected


def test_machine_type_and_place_go_into_the_spec() -> None:
    found = spec(gpu="l4:2", machine_type="G2-Standard-24", zone="us-central1-a")
    assert (found.machine_type, found.zone, found.accelerator) == (
        "g2-standard-24",
        "us-central1-a",
        AcceleratorRequest("l4", 2),
    )
    assert found.cpu == 18.0
    assert spec(gpu="t4", machine_type="n1-standard-16").cpu == 12.0
    assert spec(tpu="v5e:2x4", machine_type="ct5lp-hightpu-4t").nodes == 2
    assert spec(machine_type="e2-standard-8").cpu == 1.0
    assert spec(gpu="l4", compute_class="gpus").compute_class == "gpus"
    assert spec(gpu="l4", compute_class="Accelerator", spot=True).compute_class == "Accelerator"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tpu": "v5e:4x5"}, "the nearest"),
    ({"tpu": "v5e"}, "--tpu v5e:2x2"),
    ({"tpu": "l4"}, "--tpu 'l4'"),
    ({"tpu": "v5e:4x4*"}, "write for example v5e:4x4*2"),
    ({"tpu": "v5e:4x4*0"}, "1 to 256"),
    ({"tpu": "v5e:16x16*100"}, "6400 nodes"),
    ({"tpu": 16}, "v5e:4x4"),
    ({"gpu": "v5e"}, "--tpu v5e:2x2"),
    ({"gpu": "l4", "tpu": "v5e:2x2"}, "exclude each other"),
    ({"tpu": "v5e:4x4", "nodes": 2}, "--nodes 4"),
    ({"tpu": "v5e:4x4", "nodes": 8}, "8 nodes are --tpu v5e:4x4*2"),
    ({"tpu": "v5e:4x4*2", "nodes": 4}, "--nodes 8"),
    ({"tpu": "v5e:4x4", "procs_per_node": 4}, "leave it out"),
    ({"tpu": "v5e:4x4*2", "name": "a" * 50}, f"use '{'a' * 47}'"),
    ({"tpu": "v5e:2x2", "cpu": 200}, "at most 111 CPUs"),
    ({"spot": True, "flex": True}, "--spot and --flex exclude each other"),
    ({"spot": True, "reservation": "ours"}, "exclude each other"),
    ({"provisioning": "spto"}, "did you mean 'spot'?"),
    ({"provisioning": "reservation"}, "--reservation NAME"),
    ({"reservation": "Not_OK"}, "is no reservation's name"),
    ({"gpu": "h200:8", "provisioning": "on-demand"}, "choose one of: spot, flex-start, reservation"),
    ({"flex": True}, "Dynamic Workload Scheduler"),
    ({"gpu": "l4", "flex": True, "max_duration": "none"}, "--max-duration 168h"),
    ({"gpu": "l4", "flex": True, "max_duration": "200h"}, "--max-duration 168h"),
    ({"zone": "us-central1"}, "us-central1-a"),
    ({"zone": "here"}, "is no zone"),
    ({"tpu": "v5p-8", "zone": "us-central1-f"}, "--zone us-central1-a"),
    ({"gpu": "l4", "machine_type": "g2-standard-24"}, "--machine-type g2-standard-4"),
    ({"gpu": "l4", "machine_type": "g2-standard-9"}, "did you mean"),
    ({"gpu": "l4", "machine_type": "e2-standard-8"}, "has no accelerators"),
    ({"machine_type": "g2-standard-24"}, "--gpu l4:2"),
    ({"machine_type": "ct5lp-hightpu-4t"}, "--tpu v5e:TOPOLOGY"),
    ({"tpu": "v5e:4x4", "machine_type": "ct5lp-hightpu-8t"}, "its hosts are ct5lp-hightpu-4t"),
    ({"gpu": "t4:4", "machine_type": "n1-standard-16", "cpu": 20}, "at most 15 CPUs"),
    ({"compute_class": "my_class"}, "is no ComputeClass's name"),
    ({"gpu": "l4", "compute_class": "gpus", "spot": True}, "leave --spot out"),
    ({"gpu": "l4", "compute_class": "gpus", "machine_type": "g2-standard-8"}, "leave --machine-type out"),
]


@pytest.mark.parametrize(("options", "text"), REFUSED, ids=[str(options) for options, _ in REFUSED])
def test_refused(options: dict[str, Any], text: str) -> None:
    assert text in refusal(**options)


def test_every_way_of_the_catalog_has_a_word() -> None:
    assert set(PROVISIONING) == set(catalog.PROVISIONING)


def test_a_class_must_be_there() -> None:
    request.check_class_exists("gpus", ["gpus"])
    request.check_class_exists("Performance", [])
    with pytest.raises(InvalidInput, match="did you mean 'gpus'"):
        request.check_class_exists("gpu", ["gpus"])
    with pytest.raises(InvalidInput, match="it has none"):
        request.check_class_exists("gpu", [])


def test_what_a_framework_lacks_on_tpus_is_said() -> None:
    assert any("jax[tpu]" in note for note in request.notes(spec(tpu="v5e:4x4", framework="jax")))
    given = spec(tpu="v5e:4x4", framework="jax", requirements="jax[tpu]")
    assert not any("jax[" in note for note in request.notes(given))
    assert any("--image" in note for note in request.notes(spec(tpu="v5e:4x4", framework="torch")))
    assert any("jax[cuda12]" in note for note in request.notes(spec(gpu="l4", framework="jax")))
