"""TPUs: names, topologies by their rules, and the picker."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook import catalog
from gke_notebook.catalog import parse_tpu, pick_tpu, topologies, topology, tpu, tpu_by_label, tpus, variants
from gke_notebook.errors import InvalidInput

SHAPES = st.sampled_from(tpus()).flatmap(
    lambda kind: st.tuples(st.just(kind), st.sampled_from([shape.text for shape in topologies(kind)]))
)


def sides(text):
    return [int(side) for side in text.split("x")]


@given(SHAPES)
def test_the_chips_of_a_topology_are_its_product_and_its_hosts_divide_them(pair):
    kind, text = pair
    for shape in variants(kind, text):
        assert shape.chips == prod(sides(text))
        assert shape.hosts * shape.chips_per_host == shape.chips
        assert shape.multi_host == (shape.hosts > 1)
        machine = catalog.machine_type(shape.machine_type)
        assert (machine.accelerator, machine.accelerator_count) == (kind.label, shape.chips_per_host)
        if shape.multi_host:
            assert shape.machine_type == kind.slice_machine
    assert topology(kind, text) == variants(kind, text)[0]
    assert len(sides(text)) == kind.dimensions


@given(SHAPES)
def test_large_3d_topologies_are_made_of_cubes(pair):
    kind, text = pair
    shape = topology(kind, text)
    if kind.dimensions == 2 or shape.chips < 64:
        return
    assert all(side % 4 == 0 for side in sides(text))
    assert shape.chips <= 64 * kind.max_cubes
    assert kind.any_order or sides(text) == sorted(sides(text))


@given(SHAPES)
def test_every_topology_is_read_back_from_each_way_to_write_it(pair):
    kind, text = pair
    shape = topology(kind, text)
    assert parse_tpu(f"{kind.name}:{text}") == (kind, shape)
    assert parse_tpu(f"{kind.name.upper()}-{text}") == (kind, shape)
    number = shape.chips * (kind.cores_per_chip if kind.counts == "cores" else 1)
    named, found = parse_tpu(f"{kind.name}-{number}")
    assert named is kind
    assert found.chips == shape.chips
    assert max(sides(found.text)) <= max(sides(text))  # the one nearest to a cube
    assert parse_tpu(f"{kind.name}:{shape.chips}")[1] == found


@given(st.text(max_size=20))
def test_whatever_is_written_is_read_or_refused_in_words(text):
    try:
        kind, shape = parse_tpu(text)
    except InvalidInput:
        return
    assert shape in variants(kind, shape.text)


@pytest.mark.parametrize(
    ("written", "label", "text", "hosts", "machine"),
    [
        ("v5e:4x4", "tpu-v5-lite-podslice", "4x4", 4, "ct5lp-hightpu-4t"),
        ("v5litepod-16", "tpu-v5-lite-podslice", "4x4", 4, "ct5lp-hightpu-4t"),
        ("v5litepod-1", "tpu-v5-lite-podslice", "1x1", 1, "ct5lp-hightpu-1t"),
        ("v5litepod-256", "tpu-v5-lite-podslice", "16x16", 64, "ct5lp-hightpu-4t"),
        ("v5e:2x4", "tpu-v5-lite-podslice", "2x4", 1, "ct5lp-hightpu-8t"),
        ("ct5lp-hightpu-4t:2x4", "tpu-v5-lite-podslice", "2x4", 2, "ct5lp-hightpu-4t"),
        ("v5p-8", "tpu-v5p-slice", "2x2x1", 1, "ct5p-hightpu-4t"),
        ("v5p-16", "tpu-v5p-slice", "2x2x2", 2, "ct5p-hightpu-4t"),
        ("v5p-256", "tpu-v5p-slice", "4x4x8", 32, "ct5p-hightpu-4t"),
        ("V4-8", "tpu-v4-podslice", "2x2x1", 1, "ct4p-hightpu-4t"),
        ("v4:8x4x4", "tpu-v4-podslice", "8x4x4", 32, "ct4p-hightpu-4t"),  # v4 takes any order
        ("trillium:8x8", "tpu-v6e-slice", "8x8", 16, "ct6e-standard-4t"),
        ("v6e-8", "tpu-v6e-slice", "2x4", 1, "ct6e-standard-8t"),
        ("tpu7x-8", "tpu7x", "2x2x1", 1, "tpu7x-standard-4t"),
        ("ironwood:4x4x4", "tpu7x", "4x4x4", 16, "tpu7x-standard-4t"),
        ("tpu-v5p-slice:2x2x4", "tpu-v5p-slice", "2x2x4", 4, "ct5p-hightpu-4t"),
    ],
)
def test_names_that_people_type(written, label, text, hosts, machine):
    kind, shape = parse_tpu(written)
    assert (kind.label, shape.text, shape.hosts, shape.machine_type) == (label, text, hosts, machine)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("v5e:4x5", r"no topology '4x5'; the nearest are 4x4 \(16 chips\) and 4x8 \(32 chips\): --tpu v5e:4x8"),
        ("v5e:8x4", r"did you mean '4x8'\? Sides do not decrease: --tpu v5e:4x8"),
        ("v5p:8x4x4", r"did you mean '4x4x8'"),
        ("v5p:4x4", r"its topologies have 3 sides; the nearest is 2x2x4 \(16 chips\): --tpu v5p:2x2x4"),
        ("v5e:2x2x1", r"its topologies have 2 sides; the nearest is 2x2 \(4 chips\): --tpu v5e:2x2"),
        ("v5e:12", r"no slice of 12 chips; the nearest are 2x4 \(8 chips\) and 4x4 \(16 chips\): --tpu v5e:4x4"),
        ("v5p-10", r"no slice of 10 TensorCores \(5 chips\); the nearest are 2x2x1 .* and 2x2x2"),
        ("v5p:64x64x64", r"the nearest is 16x20x28 \(8960 chips\)"),
        ("tpu7:4x4x20", r"no topology '4x4x20'; the nearest is"),
        ("v5e", r"'v5e' names no size; write the topology too, for example --tpu v5e:2x2"),
        ("v5e:banana", r"choose one of: 1x1, 2x2, 2x4"),
        ("v5f:2x2", r"no TPU 'v5f'; did you mean 'v5"),
        ("l4:2", r"no TPU 'l4'"),
        ("ct5lp-hightpu-8t:4x4", r"does not make a 4x4 slice .*hosts are ct5lp-hightpu-4t: --tpu v5e:4x4"),
    ],
)
def test_what_cannot_be_is_refused_with_the_nearest(written, said):
    with pytest.raises(InvalidInput, match=said):
        parse_tpu(written)


def test_a_suggestion_can_be_pasted():
    for written in ("v5e:4x5", "v5e:8x4", "v5p:4x4", "v5p-10", "tpu7:4x4x20", "v5e", "ct5lp-hightpu-8t:4x4"):
        with pytest.raises(InvalidInput) as said:
            parse_tpu(written)
        parse_tpu(str(said.value).rpartition("--tpu ")[2])


def test_how_many_topologies_there_are():
    assert [len(topologies(tpu(name))) for name in ("v5e", "v6e")] == [8, 8]
    largest = {kind.name: topologies(kind)[-1].chips for kind in tpus()}
    assert largest == {"v4": 4096, "v5e": 256, "v5p": 8960, "v6e": 256, "tpu7x": 9216, "tpu7": 256}


def test_labels_and_machines_belong_to_one_generation():
    labels = [label for kind in tpus() for label in (kind.label, *kind.other_labels)]
    assert len(labels) == len(set(labels))
    assert all(tpu_by_label(label) is kind for kind in tpus() for label in (kind.label, *kind.other_labels))
    assert tpu_by_label("nvidia-l4") is None
    words = [word for kind in tpus() for word in {kind.name, kind.label, *kind.aliases, *kind.machine_types}]
    assert len(words) == len(set(words))
    assert all(tpu(word).machine_types for word in words)


@given(st.integers(1, 9000), st.sampled_from(tpus()))
def test_the_picker_gives_the_smallest_slice_that_is_large_enough(chips, kind):
    large_enough = [shape.chips for shape in topologies(kind) if shape.chips >= chips]
    if not large_enough:
        with pytest.raises(InvalidInput, match="the largest is"):
            pick_tpu(chips=chips, types=[kind.name])
        return
    assert {shape.topology.chips for shape in pick_tpu(chips=chips, types=[kind.name])} == {min(large_enough)}


def test_the_picker_counts_memory_and_prices_all_hosts():
    (shape,) = pick_tpu(memory_gib=500, types=["v5e"], location="us-central1-a")
    assert (shape.topology.text, shape.hbm_gib, shape.option) == ("4x8", 512, "--tpu v5e:4x8")
    assert shape.usd_hour == pytest.approx(8 * 4.8)
    assert shape.spot_usd_hour == pytest.approx(8 * 1.19084)
    assert shape.zones == ("us-central1-a",)
    assert [found.tpu.name for found in pick_tpu(chips=16)][:4] == ["v5e", "v6e", "v4", "v5p"]  # cheapest first
    assert all(found.usd_hour is None for found in pick_tpu(chips=16) if found.tpu.name.startswith("tpu7"))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, "say how many chips or how much memory"),
        ({"chips": 0}, "0 is too few"),
        ({"memory_gib": -1}, "-1 is too few"),
        ({"chips": 300, "types": ["v5e", "v6e"]}, r"no slice of v5e, v6e has 300 chips; the largest is 256 .*:16x16"),
        ({"chips": 4, "types": ["v4"], "location": "us-central1"}, r"it has them in us-central2-b"),
        ({"chips": 4, "types": ["v9"]}, "no TPU 'v9'"),
        ({"memory_gib": 64, "types": ["tpu7"]}, "the largest is"),  # no source states its memory
    ],
)  # fmt: skip
def test_the_picker_refuses_in_words(wanted, said):
    with pytest.raises(InvalidInput, match=said):
        pick_tpu(**wanted)
