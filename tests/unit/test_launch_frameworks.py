"""Rendezvous with the real frameworks on CPU, and with the arguments that would reach those that are not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from gke_notebook.launch import jax_hook
from gke_notebook.launch.wiring import Settings, peers, rank_environment, read_settings
from gke_notebook.manifests.job import environment
from gke_notebook.specs import AcceleratorRequest
from tests.support.pods import run_job, spec

SYSTEM_PYTHON = "/usr/bin/python3"

JAX_CELL = """
    import os
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    from jax.experimental import multihost_utils
    jax.distributed.initialize()
    assert jax.process_count() == 2, jax.process_count()
    rank = jax.process_index()
    assert rank == int(os.environ["RANK"])
    devices = jax.devices()
    mesh = jax.sharding.Mesh(devices, ("i",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
    import numpy as np
    x = jax.make_array_from_process_local_data(sharding, np.array([rank + 1.0], dtype=np.float32))
    psum = jax.jit(jax.shard_map(
        lambda v: jax.lax.psum(v, "i"), mesh=mesh,
        in_specs=jax.sharding.PartitionSpec("i"), out_specs=jax.sharding.PartitionSpec(),
    ))
    result = float(psum(x)[0])
    print("sum", result)
"""

TORCH_CELL = """
    import os
    import torch
    import torch.distributed as dist
    dist.init_process_group("gloo")
    assert dist.get_world_size() == 2
    assert dist.is_torchelastic_launched()
    x = torch.tensor([dist.get_rank() + 1.0])
    dist.all_reduce(x)
    print("sum", x.item())
    result = x.item()
    dist.destroy_process_group()
"""


@pytest.mark.parametrize(("nodes", "procs"), [(2, 1), (1, 2)])
def test_jax_initializes_without_arguments(tmp_path: Path, nodes: int, procs: int) -> None:
    job = spec(textwrap.dedent(JAX_CELL), nodes=nodes, procs_per_node=procs, framework="jax")
    # As on GKE, where JAX would otherwise go and ask the API server.
    ended = run_job(tmp_path, job, extra={"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"})
    assert [pod.code for pod in ended] == [0] * nodes, "\n".join(pod.log for pod in ended)
    assert ended[0].collector().result() == 3.0


@pytest.mark.parametrize(("nodes", "procs"), [(2, 1), (1, 2)])
def test_torch_initializes_from_the_environment(tmp_path: Path, nodes: int, procs: int) -> None:
    if (
        not shutil.which(SYSTEM_PYTHON)
        or subprocess.run([SYSTEM_PYTHON, "-c", "import torch"], check=False, capture_output=True).returncode
    ):
        pytest.skip("the system's Python has no torch")
    job = spec(textwrap.dedent(TORCH_CELL), nodes=nodes, procs_per_node=procs, framework="torch")
    ended = run_job(tmp_path, job, python=SYSTEM_PYTHON)
    assert [pod.code for pod in ended] == [0] * nodes, "\n".join(pod.log for pod in ended)
    assert ended[0].collector().result() == 3.0


def settings(node: int = 0, **more: object) -> Settings:
    """What the launcher of one pod reads from what the manifest sets."""
    variables = environment(spec("1", **more))
    return read_settings({v["name"]: v.get("value", "") for v in variables} | {"JOB_COMPLETION_INDEX": str(node)})


def test_torch_gets_the_variables_of_torchrun() -> None:
    found = rank_environment(settings(1, nodes=2, procs_per_node=4, framework="torch"), 3, {})
    assert {name: found[name] for name in sorted(found)} == {
        "GKE_NOTEBOOK_OUTPUT": "/gke-notebook/work/output",
        "GROUP_RANK": "1",
        "GROUP_WORLD_SIZE": "2",
        "LOCAL_RANK": "3",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "digits-0.digits",
        "MASTER_PORT": "29500",
        "NODE_RANK": "1",
        "OMP_NUM_THREADS": "1",
        "RANK": "7",
        "ROLE_NAME": "default",
        "ROLE_RANK": "7",
        "ROLE_WORLD_SIZE": "8",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_RUN_ID": "r1",
        "TORCHELASTIC_USE_AGENT_STORE": "False",
        "WORLD_SIZE": "8",
    }


def test_tensorflow_gets_every_worker_and_its_own_index() -> None:
    found = rank_environment(settings(1, nodes=2, procs_per_node=2, framework="tensorflow"), 0, {})
    assert json.loads(found["TF_CONFIG"]) == {
        "cluster": {
            "worker": ["digits-0.digits:2222", "digits-0.digits:2223", "digits-1.digits:2222", "digits-1.digits:2223"]
        },
        "task": {"type": "worker", "index": 2},
    }


def test_devices_are_split_where_the_framework_takes_all_it_sees() -> None:
    more = {"procs_per_node": 2, "accelerator": AcceleratorRequest("l4", 4)}
    split = [
        rank_environment(settings(framework=name, **more), 1, {}).get("CUDA_VISIBLE_DEVICES")
        for name in ("jax", "tensorflow", "torch", "none")
    ]
    assert split == ["2,3", "2,3", None, None]


def test_what_the_user_has_set_wins_where_it_only_tunes() -> None:
    mine = {"OMP_NUM_THREADS": "8", "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "mpi", "RANK": "99"}
    found = rank_environment(settings(framework="jax", procs_per_node=2), 1, mine)
    assert "OMP_NUM_THREADS" not in found
    assert "JAX_CPU_COLLECTIVES_IMPLEMENTATION" not in found
    assert found["RANK"] == "1"


def test_the_coordinator_listens_on_loopback_only_when_all_ranks_are_here() -> None:
    variables = {"GKE_NOTEBOOK_FRAMEWORK": "jax", "GKE_NOTEBOOK_COORDINATOR": "127.0.0.1:4000"}
    assert rank_environment(read_settings(variables), 0, {})["JAX_COORDINATOR_BIND_ADDRESS"] == "127.0.0.1:4000"
    assert "JAX_COORDINATOR_BIND_ADDRESS" not in rank_environment(settings(nodes=2, framework="jax"), 0, {})


def test_pods_that_the_rendezvous_needs() -> None:
    assert peers(settings(nodes=3, framework="torch")) == tuple(f"digits-{node}.digits" for node in range(3))
    assert peers(settings(nodes=1, framework="torch")) == ()
    assert peers(settings(nodes=3)) == ()
    local = {"GKE_NOTEBOOK_NODES": "2", "GKE_NOTEBOOK_FRAMEWORK": "jax", "GKE_NOTEBOOK_COORDINATOR": "127.0.0.1:1"}
    assert peers(read_settings(local)) == ()


def initialize(  # the order of JAX 0.10.2
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    local_device_ids: object = None,
    cluster_detection_method: str | None = None,
) -> tuple[object, ...]:
    return coordinator_address, num_processes, process_id, local_device_ids, cluster_detection_method


def test_only_missing_arguments_are_filled_in() -> None:
    filled = jax_hook.fill(initialize, {"coordinator_address": "a:1", "num_processes": 4, "process_id": 3})
    assert filled() == ("a:1", 4, 3, None, "deactivate")
    assert filled("b:2", 2, 0) == ("b:2", 2, 0, None, "deactivate")
    assert filled(num_processes=1, local_device_ids=[0]) == ("a:1", 1, 3, [0], "deactivate")
    assert filled(process_id=0) == ("a:1", 4, 0, None, "deactivate")
    assert filled(cluster_detection_method="mpi4py") == (None, None, None, None, "mpi4py")
    assert filled.__name__ == "initialize"
