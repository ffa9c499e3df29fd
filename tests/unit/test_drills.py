"""Drills without a sandbox: from words to faults, and what is said of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.error import UsageError

from gke_notebook.cli import build_parser
from gke_notebook.errors import InvalidInput
from gke_notebook.magics import drill as magic
from gke_notebook.magics.options import parse
from gke_notebook.magics.table import drill_parser
from gke_notebook.sandbox import drills
from gke_notebook.sandbox.gke import faults
from gke_notebook.sandbox.gke.faults import Fault

Object = dict[str, Any]


class Sandbox:
    """The part of a sandbox that drills talk to, with the real rules of faults."""

    def __init__(self, *machines: Object) -> None:
        self.machines = machines
        self.faults: dict[str, Fault] = {}
        self.preempted: list[str] = []

    def __call__(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Object:
        if path == "instances":
            return {"instances": list(self.machines)}
        if path.endswith(":preempt"):
            self.preempted.append(path)
            return {}
        if method == "POST":
            fault = msgspec.convert(body, Fault)
            faults.check(fault)
            fault.id = f"fault-{len(self.faults) + 1}"
            self.faults[fault.id] = fault
        if method == "DELETE":
            del self.faults[path.removeprefix("faults/")]
        shown = [msgspec.to_builtins(one) for one in self.faults.values()]
        return dict(shown[-1]) if method == "POST" else {"faults": shown}


def drill(sandbox: Sandbox, *words: str) -> list[str]:
    return drills.run(build_parser().parse_args(["sandbox", "drill", *words]), sandbox)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            ["stockout", "--accelerator", "l4", "--zone", "us-central1-a", "--spot"],
            [Fault("stockout", accelerator="nvidia-l4", zone="us-central1-a", spot=True)],
        ),
        (["stockout", "--accelerator", "v5e"], [Fault("stockout", accelerator="tpu-v5-lite-podslice")]),
        (
            ["quota", "--accelerator", "l4", "--limit", "2"],
            [Fault("quota", metric=f"{way}NVIDIA_L4_GPUS", limit=2) for way in ("", "PREEMPTIBLE_")],
        ),
        (
            ["quota", "--accelerator", "t4", "--limit", "0", "--spot"],
            [Fault("quota", metric="PREEMPTIBLE_NVIDIA_T4_GPUS")],
        ),
        (["slow-pull"], [Fault("slow-pull", seconds=60)]),
        (["api-errors", "--rate", "0.3", "--api", "compute"], [Fault("api-errors", rate=0.3, api="compute")]),
    ],
)  # fmt: skip
def test_words_become_faults(words: list[str], wanted: list[Fault]) -> None:
    sandbox = Sandbox()
    lines = drill(sandbox, *words)
    made = list(sandbox.faults.values())
    assert len(lines) == len(wanted)
    assert [msgspec.structs.replace(one, id="") for one in made] == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stockout", "--accelerator", "l44"], "did you mean 'l4'"),
        (["stockout", "--accelerator", "l4", "--zone", "us-centrall-a"], "did you mean 'us-central1-a'"),
        (["stockout", "--accelerator", "h200", "--zone", "us-central1-a"], "it is in us-central1-b"),
        (["stockout", "--accelerator", "l4", "--machine-type", "g2-standard-9"], "did you mean 'g2-standard-"),
        (["quota", "--accelerator", "l4", "--limit", "-1"], "0 or more"),
        (["slow-pull", "--seconds", "4000"], "at most 3600"),
        (["api-errors", "--status", "502"], "the nearest is 503"),
        (["api-errors", "--rate", "1.5"], "at most 1"),
        (["api-errors", "--api", "computer"], "did you mean 'compute'"),
        (["stop", "stockot"], "did you mean 'stockout'"),
        (["preempt", "gke-l4-b"], "did you mean 'gke-l4-a'"),
        (["preempt", "gke-cpu"], "is not a spot node"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(words: list[str], said: str) -> None:
    sandbox = Sandbox({"name": "gke-l4-a", "provisioning": "spot"}, {"name": "gke-cpu"})
    sandbox("POST", "faults", {"kind": "stockout"})
    with pytest.raises(InvalidInput, match=said):
        drill(sandbox, *words)
    assert len(sandbox.faults) == 1


def test_drills_are_listed_and_stopped_by_name_by_kind_or_all() -> None:
    sandbox = Sandbox()
    assert drill(sandbox, "list") == drill(sandbox, "stop") == ["no drill is on"]
    drill(sandbox, "quota", "--accelerator", "l4", "--limit", "2")
    drill(sandbox, "slow-pull", "--image", "pytorch/*", "--seconds", "5")
    assert drill(sandbox, "list") == [
        "fault-1  the quota NVIDIA_L4_GPUS is 2",
        "fault-2  the quota PREEMPTIBLE_NVIDIA_L4_GPUS is 2",
        "fault-3  images pytorch/* take 5 s to pull",
    ]
    assert len(drill(sandbox, "stop", "quota")) == 2
    assert drill(sandbox, "stop") == ["stopped fault-3: images pytorch/* take 5 s to pull"]
    assert not sandbox.faults


def test_a_spot_node_is_preempted() -> None:
    sandbox = Sandbox({"name": "gke-l4-a", "provisioning": "spot"})
    drill(sandbox, "preempt", "gke-l4-a")
    assert sandbox.preempted == ["instances/gke-l4-a:preempt"]


LINES = [
    "stockout --accelerator l4 --zone us-central1-a --spot", "stockout --accelerator t4 --on-demand",
    "quota --accelerator l4 --limit 2", "preempt some-node", "slow-pull --seconds 60 --image 'pytorch/*'",
    "api-errors --rate 0.3 --status 429 --count 3 --api container", "list", "stop", "stop fault-1",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_the_magic_says_the_same_as_the_command(line: str) -> None:
    import shlex

    words = magic.words(parse(drill_parser(), line, {}))
    parser = build_parser()
    assert parser.parse_args(["sandbox", "drill", *words]) == parser.parse_args(
        ["sandbox", "drill", *shlex.split(line)]
    )


def test_the_magic_knows_every_drill() -> None:
    assert magic.DRILLS == drills.KINDS
    with pytest.raises(UsageError, match="did you mean 'stockout'"):
        magic.run(None, argparse.Namespace(drill="stockot", name=None))


@given(st.builds(
    Fault, st.sampled_from(faults.KINDS), accelerator=st.sampled_from(["", "nvidia-l4"]), zone=st.text(max_size=4),
    spot=st.sampled_from([None, True, False]), metric=st.text("QUOTA_", min_size=1, max_size=4), limit=st.floats(0, 9),
    rate=st.floats(0.01, 1), count=st.integers(0, 9),
))  # fmt: skip
def test_every_fault_can_be_said(fault: Fault) -> None:
    assert drills.describe(msgspec.to_builtins(fault)).strip()
