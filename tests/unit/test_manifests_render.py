"""What a spec becomes: golden manifests, and the API server's own rules for them.

Run with UPDATE_GOLDEN=1 to write the golden files anew; read the difference before it is committed.
"""

from __future__ import annotations

import base64
import copy
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook import names
from gke_notebook.errors import InvalidInput
from gke_notebook.launch import archive, contract
from gke_notebook.manifests import render, to_yaml
from gke_notebook.manifests.job import cpu_quantity, environment, escape, memory_quantity
from gke_notebook.manifests.program import DATA_LIMIT
from gke_notebook.objects import Manifest
from gke_notebook.sandbox import jobsets
from gke_notebook.sandbox.apiserver import kinds, validation
from gke_notebook.sandbox.controllers.jobset_jobs import child
from gke_notebook.sandbox.node.environment import expand
from gke_notebook.specs import Program, ShippedFile, ShippedName
from tests.support.manifest_cases import CASES, CELL, FACTS, make

GOLDEN = Path(__file__).parent / "golden"


def readable(manifests: tuple[Manifest, ...]) -> str:
    """As YAML, with the launcher's own sources left out: they change with the launcher, not with the manifests."""
    shown = copy.deepcopy(manifests)
    data = shown[0]["data"]
    for key in data:
        if key.startswith("launcher__") or key == contract.BOOTSTRAP_FILE:
            data[key] = "(the launcher's source)"
    return to_yaml(shown)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    path = GOLDEN / f"{case}.yaml"
    text = readable(render(CASES[case], FACTS[case]))
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("case", CASES)
def test_yaml_says_the_same_as_the_objects(case: str) -> None:
    manifests = render(CASES[case], FACTS[case])
    assert list(yaml.safe_load_all(to_yaml(manifests))) == list(manifests)


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_them(case: str) -> None:
    for manifest in render(CASES[case], FACTS[case]):
        stored = copy.deepcopy(manifest)
        if manifest["kind"] == "JobSet":
            stored = only_job(stored)
        stored["metadata"]["uid"] = "0f2b3c6e-0000-4000-8000-000000000001"
        kind = kinds.find_kind(str(stored["apiVersion"]), str(stored["kind"]))
        assert kind is not None
        assert validation.check_unknown_fields(kind, stored, validation.STRICT) == []
        assert validation.prepare_create(kind, stored) == []


def only_job(jobset: Manifest) -> Manifest:
    """The first Job of a JobSet that JobSet's webhook takes."""
    jobsets.set_defaults(jobset)
    assert jobsets.check_create(jobset) == []
    jobset["metadata"]["uid"], jobset["status"] = "1f2b3c6e-0000-4000-8000-000000000001", {"restarts": 0}
    return dict(child(jobset, jobset["spec"]["replicatedJobs"][0], 0))


def test_every_object_carries_the_labels_and_so_do_the_pods() -> None:
    manifests = render(CASES["jax-4-ranks"])
    metadata = [manifest["metadata"] for manifest in manifests]
    metadata.append(manifests[2]["spec"]["template"]["metadata"])
    for one in metadata:
        assert one["labels"] == {
            names.MANAGED_BY: "gke-notebook",
            names.JOB: "digits",
            names.RUN: "20260901-1a2b",
            names.OWNER: "ada",
        }
        assert one["annotations"][names.PRICE] == "0.9612"
        assert one["annotations"][names.PROCS_PER_NODE] == "2"
        assert one["annotations"][names.SHIPPED] == "function normalize, value batch"
    # Changing one must not change another.
    metadata[0]["labels"]["x"] = "y"
    assert all("x" not in one["labels"] for one in metadata[1:])


def test_the_volume_holds_every_key_once() -> None:
    config, _, job = render(make(program=Program(CELL, files=(ShippedFile("a/b.csv", b"1,2"),))))
    volume = job["spec"]["template"]["spec"]["volumes"][0]["configMap"]
    keys = [item["key"] for item in volume["items"]]
    assert sorted(keys) == sorted([*config["data"], *config["binaryData"]])
    assert len({item["path"] for item in volume["items"]}) == len(keys)
    assert all(set(key) <= set("-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for key in keys)


def test_included_files_travel(tmp_path: Path) -> None:
    config = render(make(program=Program(CELL, files=(ShippedFile("a/b.csv", b"1,2"),))))[0]
    archive.unpack(base64.b64decode(config["binaryData"][contract.INCLUDE_FILE]), str(tmp_path))
    assert (tmp_path / "a" / "b.csv").read_bytes() == b"1,2"


def test_a_program_that_is_too_large_names_its_largest_parts() -> None:
    values = tuple(ShippedName(f"v{n}", "value", f"v{n} = '{'x' * n * 100_000}'\n") for n in range(1, 7))
    with pytest.raises(InvalidInput) as caught:
        render(make(program=Program(CELL, names=values)))
    text = str(caught.value)
    assert "more than the 1024 KiB" in text
    assert text.index("value v6 (586 KiB)") < text.index("value v5 (488 KiB)") < text.index("value v2 (195 KiB)")
    assert "value v1 " not in text
    assert "\n" not in text


def test_a_program_just_small_enough_is_shipped() -> None:
    spare = DATA_LIMIT - sum(len(text.encode()) for text in render(make())[0]["data"].values())
    render(make(program=Program(CELL + "#" * (spare - 1) + "\n")))
    with pytest.raises(InvalidInput):
        render(make(program=Program(CELL + "#" * spare + "\n")))


@pytest.mark.parametrize(
    "name", ["GKE_NOTEBOOK_JOB", "GKE_NOTEBOOK_ANYTHING", "RANK", "MASTER_ADDR", "JOB_COMPLETION_INDEX"]
)
def test_variables_of_the_launcher_are_taken(name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        render(make(env=((name, "1"),)))


def test_the_user_may_buffer() -> None:
    variables = [(entry["name"], entry.get("value")) for entry in environment(make(env=(("PYTHONUNBUFFERED", ""),)))]
    assert [value for name, value in variables if name == "PYTHONUNBUFFERED"] == [""]


@given(st.text("$()aH", max_size=12))
def test_a_value_reaches_the_container_as_it_was_written(value: str) -> None:
    assert expand(escape(value), {"a": "expanded", "H": "expanded"}) == value


@given(st.integers(1, 10_000))
def test_quantities_are_exact(thousandths: int) -> None:
    quantity = cpu_quantity(thousandths / 1000)
    cores = int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000
    assert cores == thousandths
    memory = memory_quantity(thousandths / 1024)
    assert int(memory[:-2]) * {"Gi": 1024, "Mi": 1}[memory[-2:]] == thousandths
