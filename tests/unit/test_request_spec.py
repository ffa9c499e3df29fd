"""The whole request: what a user leaves out, and what is refused before anything is made."""

# ruff: noqa: E501 - a table reads better with a case on a line

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gke_notebook import catalog, program, request
from gke_notebook.errors import InvalidInput
from gke_notebook.request import defaults
from gke_notebook.specs import AcceleratorRequest, Program, TrainSpec

SLIM = f"python:3.{sys.version_info.minor}-slim"


def spec(name: str = "digits", cell: str = "print(1)", **options: Any) -> TrainSpec:
    return request.build_spec(name, cell, **options)


def refusal(**options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        spec(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults() -> None:
    assert spec() == TrainSpec(
        name="digits", program=Program("# %%gke_train\nprint(1)"), namespace="default", run="", owner="", image=SLIM,
        cpu=1.0, memory_gib=4.0, max_duration=3600,
    )  # fmt: skip


def test_as_text_and_as_values_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    text = spec(
        variables={"x": 1}, cell="print(x)", gpu="l4:2", nodes="2", procs_per_node="4", framework="torch", env=["A=1"],
        requirements="numpy,jax", include=["a.csv"], image="me/train:1", namespace="team", cpu="8", memory="16Gi",
        max_duration="2h", max_retries="3", owner="ada@example.org", run="r1", base=tmp_path,
    )  # fmt: skip
    values = spec(
        variables={"x": 1}, cell="print(x)", gpu=AcceleratorRequest("l4", 2), nodes=2, procs_per_node=4, framework="torch",
        env={"A": 1}, requirements=["numpy", "jax"], include=Path("a.csv"), image="me/train:1", namespace="team", cpu=8,
        memory=16, max_duration=7200, max_retries=3, owner="ada@example.org", run="r1", base=tmp_path,
    )  # fmt: skip
    assert text == values
    assert (text.ranks, text.owner, text.accelerator, text.memory_gib) == (
        8,
        "ada-example.org",
        AcceleratorRequest("l4", 2),
        16.0,
    )
    assert [file.path for file in text.program.files] == ["a.csv"]
    assert [name.source for name in text.program.names] == ["x = 1\n"]


def test_ranks_by_default() -> None:
    assert spec(gpu="l4:2", framework="torch").procs_per_node == 2
    assert spec(gpu="l4:2").procs_per_node == 1
    assert spec(framework="torch").procs_per_node == 1
    assert spec(gpu="l4:2", framework="jax", procs_per_node=1).procs_per_node == 1


def test_images() -> None:
    assert spec(framework="torch").image.startswith("pytorch/pytorch:")
    assert spec(framework="torch").image.endswith("-runtime")
    assert spec(framework="tensorflow").image.startswith("tensorflow/tensorflow:")
    assert spec(framework="tensorflow", gpu="t4").image.endswith("-gpu")
    assert spec(framework="jax").image == SLIM
    assert spec(framework="jax", image="me/jax").image == "me/jax"


def test_the_framework_is_asked_for_where_the_image_lacks_it() -> None:
    assert spec(framework="jax", requirements="numpy").program.requirements == ("jax", "numpy")
    assert spec(framework="jax", requirements="jax[cuda12]>=0.4").program.requirements == ("jax[cuda12]>=0.4",)
    assert spec(framework="jax", image="me/jax").program.requirements == ()
    assert spec(framework="torch").program.requirements == ()


def test_duration() -> None:
    assert spec(max_duration="none").max_duration is None
    assert spec(max_duration=None).max_duration == 3600
    assert "--max-duration 'soon'" in refusal(max_duration="soon")


@pytest.mark.parametrize("known", catalog.accelerators(), ids=lambda known: known.name)
def test_default_resources_fit_some_machine(known: catalog.Accelerator) -> None:
    for count in known.counts:
        found = spec(gpu=f"{known.name}:{count}")
        machine = catalog.machine_for(known, count, found.cpu, found.memory_gib)
        assert machine is not None
        assert machine.accelerator_count == count


def test_resources_that_no_machine_has() -> None:
    assert refusal(gpu="l4:1", cpu=64) == (
        "no machine with 1 x NVIDIA L4 leaves 64 CPUs and 12 GiB to one pod; at most 31 CPUs and 118 GiB"
    )
    assert "at most" in refusal(gpu="h100:8", memory="10Ti")
    spec(cpu=500, memory="8Ti")  # of machines without accelerators clusters may hold others than the catalog


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "My_Job"}, "use 'my-job'"),
    ({"nodes": 0}, "--nodes 0"),
    ({"nodes": 10**9}, "--nodes 1000000000"),
    ({"procs_per_node": 65}, "--procs-per-node 65"),
    ({"max_retries": -1}, "--max-retries -1"),
    ({"gpu": "l5"}, "did you mean 'l4'?"),
    ({"framework": "pytroch"}, "did you mean"),
    ({"env": ["=x"]}, "--env"),
    ({"cpu": "x"}, "--cpu"),
    ({"memory": "x"}, "--memory"),
    ({"image": "a b"}, "--image"),
    ({"namespace": "A"}, "namespace 'A'"),
    ({"include": ["gone.csv"]}, "--include gone.csv"),
    ({"include": 3}, "--include takes paths"),
    ({"requirements": "a=1"}, "--requirements"),
    ({"cell": "x = = 1"}, "cell line 2"),
    ({"cell": "print(gone)"}, "'gone' (line 2)"),
    ({"cell": ""}, "the cell is empty"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in refusal(base=tmp_path, **options)


def test_notes_on_what_the_image_lacks() -> None:
    def notes(**options: Any) -> str:
        return " ".join(request.notes(spec(**options)))

    cell = "import json, numpy as np\nfrom sklearn.svm import SVC\nimport pandas.core"
    assert (
        f"{SLIM} holds nothing but Python: name what the cell imports with --requirements numpy,pandas,scikit-learn"
        in notes(cell=cell)
    )
    assert notes(cell=cell, requirements="NumPy>1,pandas,Scikit_Learn") == ""
    assert notes(cell=cell, image="me/all") == ""
    assert notes(cell="import json") == ""
    assert "jax[cuda12]" in notes(framework="jax", gpu="l4")
    assert notes(framework="jax", gpu="l4", requirements="jax[cuda12]") == ""
    assert "built for arm64" in notes(gpu="gb200", image="me/train")
    assert "may be a secret" in notes(cell="print(token)", variables={"token": "abc-12345"})
    assert "--env WANDB_API_KEY may be a secret" in notes(env={"WANDB_API_KEY": "abc-12345", "SEED": "1"})


def test_what_travels_is_looked_through_too() -> None:
    import numpy as np

    shipped = program.build("print(x)", {"x": np.float32(1)})
    assert defaults.lacking_packages(shipped) == ("numpy",)


def test_without_a_magic_line_line_numbers_are_the_files_own() -> None:
    spec = request.build_spec("digits", "x = 1\nprint(x)\n", magic_line=False)
    assert spec.program.cell == "x = 1\nprint(x)\n"
    with pytest.raises(InvalidInput, match=r"'gone' \(line 2\)"):
        request.build_spec("digits", "x = 1\nprint(gone)\n", magic_line=False)
