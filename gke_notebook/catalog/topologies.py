"""TPU topologies: which exist, how many hosts they have, and the names that mean them.

Rules: AI-Hypercomputer/xpk (2026-06-25), GKE's own autoscaler (GoogleCloudPlatform/cluster-autoscaler, 2026-08-21) for
the machine types of one host. 2D generations have a list; 3D ones have the small shapes, then every AxBxC whose sides
are multiples of 4 within a number of 4x4x4 cubes.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from math import prod

from gke_notebook.catalog.tpus import Tpu, normal, tpu
from gke_notebook.errors import InvalidInput

_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SMALL = ("1x1x1", "2x2x1", "2x2x2", "2x2x4", "2x4x4")
# The topology of a machine that is a slice of its own, by its chips.
_ONE_HOST = {2: {1: "1x1", 4: "2x2", 8: "2x4"}, 3: {1: "1x1x1", 4: "2x2x1"}}
_SIDES = re.compile(r"\d{1,4}(?:x\d{1,4}){1,2}")
_SIZE = re.compile(r"\d{1,6}")


@dataclass(frozen=True)
class Topology:
    """One shape of a TPU slice on one machine type.

    Args:
        text: as the node label `cloud.google.com/gke-tpu-topology` has it, for example ``4x4``.
        chips: chips in the slice.
        hosts: machines (nodes) in the slice.
        machine_type: what each host is.
        chips_per_host: chips on each host, which one pod requests as `google.com/tpu`.
    """

    text: str
    chips: int
    hosts: int
    machine_type: str
    chips_per_host: int

    @property
    def multi_host(self) -> bool:
        """Whether it spans several hosts, so that its node pool is one slice of fixed size."""
        return self.hosts > 1


@cache
def topologies(kind: Tpu) -> tuple[Topology, ...]:
    """Give every topology of a TPU generation, fewest chips first; where machine types differ, that with fewest hosts.

    Args:
        kind: the generation, as `tpu` finds it.
    """
    texts = _FLAT if kind.dimensions == 2 else (*_SMALL, *_cubes(kind))
    shapes = [shape for text in texts for shape in variants(kind, text)[:1]]
    return tuple(sorted(shapes, key=lambda shape: (shape.chips, max(_sides(shape.text)))))


def variants(kind: Tpu, text: str) -> tuple[Topology, ...]:
    """Give the ways to have one topology: on each machine type that can make it, fewest hosts first.

    Args:
        kind: the generation.
        text: the topology, for example ``2x4``, which v5e has on one machine of 8 chips or two of 4.
    """
    chips = prod(_sides(text))
    found = []
    for machine in kind.machine_types:
        each = chips_of(machine)
        if _ONE_HOST[kind.dimensions].get(each) == text:
            found.append(Topology(text, chips, 1, machine, each))
        elif machine == kind.slice_machine and chips > each and chips % each == 0:
            found.append(Topology(text, chips, chips // each, machine, each))
    return tuple(sorted(found, key=lambda shape: (shape.hosts, kind.machine_types.index(shape.machine_type))))


def topology(kind: Tpu, text: str, machine_type: str = "") -> Topology:
    """Find a topology by what a user wrote.

    Args:
        kind: the generation, as `tpu` finds it.
        text: for example ``4x4``.
        machine_type: that of the hosts, where there is a choice; empty for the one with fewest hosts.

    Raises:
        InvalidInput: it does not exist for this generation, or not on this machine type; the text has the nearest one.

    Example:
        >>> topology(tpu("v5e"), "4x4").hosts
        4
    """
    word = normal(text)
    known = {shape.text: shape for shape in topologies(kind)}
    if word not in known:
        raise InvalidInput(f"{kind.title} has no topology {text!r}; {_suggest(kind, word, known)}")
    if not machine_type:
        return known[word]
    ways = {shape.machine_type: shape for shape in variants(kind, word)}
    if machine_type not in ways:
        raise InvalidInput(
            f"{machine_type} does not make a {word} slice of {kind.title}; "
            f"its hosts are {' or '.join(ways)}: --tpu {kind.name}:{word}"
        )
    return ways[machine_type]


def parse_tpu(text: str) -> tuple[Tpu, Topology]:
    """Read a TPU with its size: ``v5e:4x4``, ``v5e-4x4``, ``v5litepod-16``, ``v5p-8`` or ``v6e:16``.

    In the names of Cloud TPU, the number counts TensorCores for v4, v5p and later 3D generations (two on a chip), and
    chips for v5e and v6e (AI-Hypercomputer/xpk, 2026-06-25). After a colon, a number counts chips. Where several
    topologies have the number of chips, the one nearest to a cube is meant.

    Args:
        text: what a user wrote.

    Raises:
        InvalidInput: the generation or the topology does not exist, or there is no size; the text has the nearest one.

    Example:
        >>> parse_tpu("v5p-8")[1].text, parse_tpu("v5litepod-16")[1].text
        ('2x2x1', '4x4')
    """
    word = normal(text)
    head, colon, size = word.partition(":")
    if not colon:
        match = re.fullmatch(r"(.+?)-(\d+(?:x\d+)*)", word)
        head, size = (match[1], match[2]) if match else (word, "")
    kind = tpu(head)
    if _SIZE.fullmatch(size):
        cores = not colon and kind.counts == "cores"
        return kind, of_size(kind, int(size), cores=cores)
    if not size:
        first = next(shape for shape in topologies(kind) if shape.chips >= 4)
        raise InvalidInput(
            f"{text!r} names no size; write the topology too, for example --tpu {kind.name}:{first.text}"
        )
    machine = head if head in kind.machine_types else ""
    return kind, topology(kind, size, machine)


def of_size(kind: Tpu, number: int, *, cores: bool = False) -> Topology:
    """Find the topology with a number of chips; of several, the one nearest to a cube.

    Args:
        kind: the generation.
        number: chips, or TensorCores.
        cores: whether `number` counts TensorCores.

    Raises:
        InvalidInput: there is none; the text has the nearest ones.
    """
    chips = number / kind.cores_per_chip if cores else number
    fitting = [shape for shape in topologies(kind) if shape.chips == chips]
    if fitting:
        return min(fitting, key=lambda shape: max(_sides(shape.text)))
    what = f"{number} TensorCores ({chips:g} chips)" if cores else f"{number} chips"
    raise InvalidInput(f"{kind.title} has no slice of {what}; {_around(kind, chips)}")


def chips_of(machine: str) -> int:
    """Give how many chips a TPU machine type has; its name ends in it.

    Args:
        machine: for example ``ct5lp-hightpu-4t``.
    """
    match = re.search(r"-(\d+)t$", machine)
    return int(match[1]) if match else 0


def _suggest(kind: Tpu, word: str, known: dict[str, Topology]) -> str:
    if _SIZE.fullmatch(word):
        return f"a topology is written like {kind.name}:{_around(kind, int(word))}"
    if not _SIDES.fullmatch(word):
        return f"choose one of: {', '.join(list(known)[:8])}{', ...' if len(known) > 8 else ''}"
    sides = _sides(word)
    ordered = "x".join(map(str, sorted(sides)))
    if ordered in known:
        return f"did you mean {ordered!r}? Sides do not decrease: --tpu {kind.name}:{ordered}"
    if len(sides) != kind.dimensions:
        return f"its topologies have {kind.dimensions} sides; {_around(kind, prod(sides))}"
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.99)
    return f"did you mean {close[0]!r}?" if close else _around(kind, prod(sides))


def _around(kind: Tpu, chips: float) -> str:
    shapes = topologies(kind)
    below = [shape for shape in shapes if shape.chips <= chips]
    above = [shape for shape in shapes if shape.chips > chips]
    near = []
    if below:
        most = below[-1].chips
        near.append(min((s for s in below if s.chips == most), key=lambda s: max(_sides(s.text))))
    if above and not (near and near[0].chips == chips):
        near.append(above[0])
    said = " and ".join(f"{shape.text} ({shape.chips} chip{'s' if shape.chips > 1 else ''})" for shape in near)
    return f"the nearest {'are' if len(near) > 1 else 'is'} {said}: --tpu {kind.name}:{near[-1].text}"


def _cubes(kind: Tpu) -> list[str]:
    most = kind.max_cubes or 0
    sides = range(1, most + 1)
    found = []
    for first in sides:
        for second in range(1, most // first + 1):
            found += [(first, second, third) for third in range(1, most // (first * second) + 1)]
    return ["x".join(str(4 * side) for side in cube) for cube in found if kind.any_order or list(cube) == sorted(cube)]


def _sides(text: str) -> list[int]:
    return [int(side) for side in text.split("x")]
