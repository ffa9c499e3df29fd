"""What ranks on TPU hosts find in their environment: their place in the slice, and their slice among others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.launch import contract
from gke_notebook.launch.wiring import peers, rank_environment, read_settings
from gke_notebook.manifests.job import environment
from gke_notebook.specs import Program, TpuRequest, TrainSpec


def pod(slices: int, hosts: int, number: int, index: int, framework: str = "jax") -> dict[str, str]:
    """The variables of one pod as its manifest sets them and the cluster fills them in."""
    spec = TrainSpec(
        name="digits", program=Program("x = 1"), namespace="team", run="r1", owner="ada", nodes=slices * hosts,
        framework=framework, tpu=TpuRequest("v5e", {1: "2x2", 2: "2x4", 4: "4x4"}[hosts], slices),  # type: ignore[arg-type]
        machine_type="ct5lp-hightpu-4t",
    )  # fmt: skip
    found = {one["name"]: one.get("value", "") for one in environment(spec)}
    if slices > 1:
        found[contract.ENV_SLICE] = str(number)
    return {**found, contract.ENV_NODE_INDEX: str(index)}


def test_the_hosts_of_one_slice() -> None:
    settings = read_settings(pod(1, 4, 0, 2))
    found = rank_environment(settings, 0, {})
    assert found["TPU_WORKER_ID"] == "2"
    assert found["TPU_WORKER_HOSTNAMES"] == ",".join(f"digits-{host}.digits" for host in range(4))
    assert "MEGASCALE_NUM_SLICES" not in found
    assert (found["JAX_PROCESS_ID"], found["JAX_NUM_PROCESSES"]) == ("2", "4")
    assert found["JAX_COORDINATOR_ADDRESS"] == "digits-0.digits:29500"
    assert peers(settings) == tuple(f"digits-{host}.digits" for host in range(4))


def test_a_slice_among_others() -> None:
    settings = read_settings(pod(2, 4, 1, 2))
    found = rank_environment(settings, 0, {})
    assert (found["RANK"], found["WORLD_SIZE"]) == ("6", "8")
    assert found["TPU_WORKER_ID"] == "2"
    assert found["TPU_WORKER_HOSTNAMES"] == ",".join(f"digits-slice-1-{host}.digits" for host in range(4))
    assert (found["MEGASCALE_SLICE_ID"], found["MEGASCALE_NUM_SLICES"]) == ("1", "2")
    assert found["MEGASCALE_COORDINATOR_ADDRESS"] == "digits-slice-0-0.digits"
    assert found["MASTER_ADDR"] == "digits-slice-0-0.digits"
    assert peers(settings)[5] == "digits-slice-1-1.digits"
    assert len(peers(settings)) == 8


def test_what_the_cluster_itself_has_set_stays() -> None:
    own = {"TPU_WORKER_ID": "9", "TPU_WORKER_HOSTNAMES": "a,b", "MEGASCALE_SLICE_ID": "7"}
    found = rank_environment(read_settings(pod(2, 4, 0, 0)), 0, own)
    assert not set(own) & set(found)
    assert found["MEGASCALE_NUM_SLICES"] == "2"


def test_a_slice_of_one_host_is_alone() -> None:
    found = rank_environment(read_settings(pod(1, 1, 0, 0)), 0, {})
    assert (found["TPU_WORKER_ID"], found["TPU_WORKER_HOSTNAMES"]) == ("0", "localhost")


def test_without_a_tpu_nothing_of_it_is_set() -> None:
    found = rank_environment(read_settings({contract.ENV_JOB: "digits"}), 0, {})
    assert not [name for name in found if name.startswith(("TPU_", "MEGASCALE_"))]


def test_tensorflow_knows_every_host_by_name() -> None:
    workers = read_settings(pod(2, 2, 0, 0, "tensorflow")).workers
    assert [worker.split(".")[0] for worker in workers] == [
        "digits-slice-0-0", "digits-slice-0-1", "digits-slice-1-0", "digits-slice-1-1",
    ]  # fmt: skip


@given(st.integers(2, 6), st.sampled_from([1, 2, 4]), st.data())
def test_every_host_has_a_rank_of_its_own(slices: int, hosts: int, data: st.DataObject) -> None:
    settings = [read_settings(pod(slices, hosts, number, index)) for number in range(slices) for index in range(hosts)]
    assert [one.node for one in settings] == list(range(slices * hosts))
    one = data.draw(st.sampled_from(settings))
    assert one.slice == one.node // hosts
    assert peers(one)[one.node].startswith(f"digits-slice-{one.slice}-{one.node % hosts}.")


def test_a_place_that_cannot_be_is_refused() -> None:
    for more, text in (
        ({contract.ENV_NODE_INDEX: "4"}, "node 4 of slice 0"),
        ({contract.ENV_SLICE: "2"}, "of slice 2"),
        ({contract.ENV_SLICES: "3"}, "3 slices cannot share"),
    ):
        try:
            read_settings({**pod(2, 4, 0, 0), **more})
        except ValueError as error:
            said = str(error)
        else:
            said = ""
        assert text in said
