"""Pods that find each other by the cluster's names, several jobs with the same port, real frameworks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gke_notebook.cluster.resources import PODS, SERVICES
from tests.support.node import POOL, Bench, bench, pod

SYSTEM_PYTHON = "/usr/bin/python3"


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "pods", POOL, runtimes=(("pytorch/*", SYSTEM_PYTHON),)) as made:
        yield made


async def service(here: Bench, name: str, **spec: object) -> None:
    body = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"clusterIP": "None", "selector": {"job": name}, **spec},
    }  # fmt: skip
    await here.client.create(SERVICES, body, "default")


def members(job: str, code: str, size: int = 2, image: str = "python:3.12", **env: str) -> list[dict]:
    made = []
    for index in range(size):
        variables = {
            "MASTER_ADDR": f"{job}-0.{job}",
            "MASTER_PORT": "29500",
            "RANK": str(index),
            "WORLD_SIZE": str(size),
        }
        container = {
            "env": [{"name": key, "value": value} for key, value in {**variables, **env}.items()],
            "image": image,
        }
        made.append(
            pod(
                f"{job}-{index}",
                code,
                hostname=f"{job}-{index}",
                subdomain=job,
                labels={"job": job},
                container=container,
            )
        )
    return made


SUM = """
import os, socket, time
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if os.environ["RANK"] == "0":
    with socket.create_server(("", address[1])) as server:
        connection, _ = server.accept()
        print("got", connection.recv(100).decode(), flush=True)
        connection.close()
else:
    for attempt in range(200):
        try:
            with socket.create_connection(address) as client:
                client.sendall(os.environ["SECRET"].encode())
            break
        except OSError:
            time.sleep(0.05)
    else:
        raise SystemExit("nobody listens")
"""


async def test_two_jobs_with_the_same_port_do_not_meet(here: Bench) -> None:
    await service(here, "left")
    await service(here, "right")
    await here.create(*members("left", SUM, SECRET="L"), *members("right", SUM, SECRET="R"))
    for name in ("left-0", "left-1", "right-0", "right-1"):
        assert (await here.ended(name))["status"]["phase"] == "Succeeded"
    assert await here.logs("left-0") == "got L\n"
    assert await here.logs("right-0") == "got R\n"


async def test_names_that_a_program_computes(here: Bench) -> None:
    """Nothing of this is in a variable: the shim must resolve the names and map the port on both sides."""
    code = """
import asyncio, os, socket, sys, time
host, index = socket.gethostname().rsplit("-", 1)
peer = ".".join([f"{host}-0", host, "default", "svc", "cluster", "local"])
assert socket.gethostbyname(peer) == "127.0.0.1"
if index == "0":
    server = socket.create_server(("0.0.0.0", 8080))
    print("got", server.accept()[0].recv(9).decode())
else:
    async def send():
        for attempt in range(200):
            try:
                reader, writer = await asyncio.open_connection(peer, 8080)
                break
            except OSError:
                await asyncio.sleep(0.05)
        writer.write(host.encode())
        writer.close()
        await writer.wait_closed()
    asyncio.run(send())
"""
    await here.create(*members("one", code), *members("two", code))
    for job in ("one", "two"):
        assert (await here.ended(f"{job}-0"))["status"]["phase"] == "Succeeded", await here.logs(f"{job}-0")
        assert await here.logs(f"{job}-0") == f"got {job}\n"


async def test_ports_are_given_back_when_the_job_is_gone(here: Bench) -> None:
    await here.create(*members("brief", "import os; print(os.environ['MASTER_PORT'])"))
    for name in ("brief-0", "brief-1"):
        await here.ended(name)
    assert await here.logs("brief-0") == await here.logs("brief-1")
    keys = here.directory / ".ports" / "keys" / "default"
    assert [path.name for path in keys.iterdir()] == ["brief-0.brief"]
    await here.client.delete(PODS, "brief-0", "default")
    await here.client.delete(PODS, "brief-1", "default")
    await here.gone("brief-0")
    await here.gone("brief-1")
    await _empty(keys)


async def _empty(directory: Path) -> None:
    import asyncio

    for _ in range(100):
        if not list(directory.iterdir()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(list(directory.iterdir()))


def _imports(interpreter: str, module: str) -> bool:
    return subprocess.run([interpreter, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


JAX = """
import os, socket
import jax
place = (ADDRESS, int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"]))
# Else JAX, where `kubernetes` is installed, wants the token of a service account, which these pods have none of.
jax.distributed.initialize(*place, cluster_detection_method="deactivate")
from jax.experimental import multihost_utils
import numpy as np
print("sum", int(multihost_utils.process_allgather(np.array(jax.process_index() + 1)).sum()))
"""


@pytest.mark.parametrize("address", ['os.environ["COORDINATOR"]', 'socket.gethostname()[:-1] + "0.JOB:29500"'])
async def test_jax_in_two_jobs(here: Bench, address: str) -> None:
    if not _imports(sys.executable, "jax"):
        pytest.skip("jax is not installed")
    for job in ("ja", "jb"):
        code = JAX.replace("ADDRESS", address.replace("JOB", job))
        await here.create(*members(job, code, COORDINATOR=f"{job}-0.{job}:29500"))
    for name in ("ja-0", "ja-1", "jb-0", "jb-1"):
        assert (await here.ended(name))["status"]["phase"] == "Succeeded", await here.logs(name)
        assert "sum 3" in await here.logs(name)


TORCH = """
import os, socket
SETUP
import torch, torch.distributed as dist
dist.init_process_group("gloo")
value = torch.tensor([float(os.environ["RANK"]) + 1])
dist.all_reduce(value)
print("sum", int(value))
"""
IN_PROCESS = 'os.environ["MASTER_ADDR"] = socket.gethostname()[:-1] + "0.JOB"; os.environ["MASTER_PORT"] = "29500"'


@pytest.mark.parametrize("setup", ["", IN_PROCESS])
async def test_torch_in_two_jobs(here: Bench, setup: str) -> None:
    if not _imports(SYSTEM_PYTHON, "torch"):
        pytest.skip("torch is not installed for the system's Python")
    for job in ("ta", "tb"):
        code = TORCH.replace("SETUP", setup.replace("JOB", job))
        await here.create(*members(job, code, image="pytorch/pytorch:2.4"))
    for name in ("ta-0", "ta-1", "tb-0", "tb-1"):
        assert (await here.ended(name))["status"]["phase"] == "Succeeded", await here.logs(name)
        assert "sum 3" in await here.logs(name)


ELASTIC = """
import socket, sys
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler
whole = [socket.gethostname()[:-1] + "0", "JOB", "default", "svc", "cluster", "local:29500"]
endpoint = sys.argv[1] if len(sys.argv) > 1 else ".".join(whole)
handler = get_rendezvous_handler(RendezvousParameters("c10d", endpoint, "JOB", 2, 2))
store, rank, size = handler.next_rendezvous()
store.set(f"seen-{rank}", "JOB")
store.wait([f"seen-{1 - rank}"])
print("size", size, store.get(f"seen-{1 - rank}").decode())
store.set(f"left-{rank}", "JOB")
store.wait(["left-0", "left-1"])
import time; time.sleep(1)  # either may keep the store
"""


@pytest.mark.parametrize("computed", [False, True])
async def test_the_rendezvous_of_torchrun_in_two_jobs(here: Bench, computed: bool) -> None:
    """What torchrun does before it starts the ranks; in torch 1.13 torchrun itself does not run on Python 3.11."""
    if not _imports(SYSTEM_PYTHON, "torch"):
        pytest.skip("torch is not installed for the system's Python")
    for job in ("ra", "rb"):
        made = members(job, ELASTIC.replace("JOB", job), image="pytorch/pytorch")
        if not computed:
            for body in made:
                body["spec"]["containers"][0]["command"].append(f"{job}-0.{job}:29500")
        await here.create(*made)
    for name in ("ra-0", "ra-1", "rb-0", "rb-1"):
        assert (await here.ended(name))["status"]["phase"] == "Succeeded", await here.logs(name)
        assert f"size 2 {name[:2]}\n" in await here.logs(name)


SHIM = Path(__file__).parents[2] / "gke_notebook" / "sandbox" / "node" / "shim"


def test_the_shim_hands_on_and_never_breaks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the other one')")
    code = (
        "import socket, sys; print(sorted(n for n in sys.modules if 'sandbox' in n), socket.gethostbyname('127.0.0.1'))"
    )
    environment = {"PYTHONPATH": f"{SHIM}:{tmp_path}", "GKE_NOTEBOOK_SANDBOX_NAMES": str(tmp_path / "missing.json")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "the other one"
    assert "127.0.0.1" in done.stdout
    assert done.stderr == ""
    outside = subprocess.run(
        [sys.executable, "-c", "import sys; print('socket' in sys.modules)"], env={"PYTHONPATH": str(SHIM)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert outside.stdout == "False\n"
