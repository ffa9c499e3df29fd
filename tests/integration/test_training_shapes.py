"""Jobs on TPU slices against a real sandbox: hosts that meet, several slices as a JobSet, what the server says."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gke_notebook import names
from gke_notebook.cluster import kubeconfig
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, JOBSETS, PODS, SERVICES, Resource, resource_of
from gke_notebook.errors import ApiError, InvalidInput, JobFailed
from gke_notebook.manifests import render
from gke_notebook.session import planning
from gke_notebook.session.facts import COMPUTE_CLASSES, NETWORKS, Facts
from gke_notebook.session.session import Session
from tests.support.home import SandboxHome, sandbox_home
from tests.support.live import eventually
from tests.support.manifest_cases import CASES, FACTS

# A session that is closed leaves the last goodbyes of its TLS connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

# Every rank tells rank 0 who it is and where it thinks it stands.
MEET = """
import os, socket, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
mine = [os.environ.get(name, "") for name in ("TPU_WORKER_ID", "MEGASCALE_SLICE_ID", "MEGASCALE_NUM_SLICES")]
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
print("rank", rank, "is here")
if rank == 0:
    with socket.create_server(address) as server:
        met = {0: mine}
        while len(met) < size:
            with server.accept()[0] as peer:
                words = peer.recv(1000).decode().split(",")
                met[int(words[0])] = words[1:]
    result = [met[number] for number in range(size)]
else:
    for _ in range(600):
        try:
            with socket.create_connection(address) as peer:
                peer.sendall(",".join([str(rank), *mine]).encode())
            break
        except OSError:
            time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHome]:
    with sandbox_home(tmp_path_factory.mktemp("shapes")) as found:
        found.up("--clock", "60")
        yield found


def connect(home: SandboxHome) -> Session:
    session = Session(kubeconfig.load("sandbox", str(home.status()["kubeconfig"])))
    session.open()
    return session


@pytest.fixture
def session(home: SandboxHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(home.directory))
    session = connect(home)
    yield session
    session.close()
    del session
    gc.collect()  # while the warnings are expected


@pytest.mark.parametrize("case", CASES)
def test_the_server_takes_every_golden_manifest(session: Session, case: str) -> None:
    async def ask(client: Client) -> None:
        for manifest in render(CASES[case], FACTS[case]):
            manifest["metadata"]["namespace"] = "default"
            await client.create(resource_of(manifest), manifest, dry_run=True)

    session.call(ask)


def test_the_hosts_of_a_slice_meet(session: Session) -> None:
    plan = session.plan("slice", MEET, tpu="v5litepod-16", framework="torch", image="python:3.12")
    assert plan.placement.startswith("1 x v5e 4x4, 4 nodes, 4 ranks (4 chips, ")
    assert plan.price is not None
    assert plan.price.usd_hour == pytest.approx(4 * 4 * 1.2)
    job = session.apply(plan)
    state = job.wait(120)
    assert job.result == [[str(host), "", ""] for host in range(4)]
    assert state.simulated
    assert len({node.node for node in state.nodes}) == 4


def test_two_slices_are_a_job_like_any_other(home: SandboxHome, session: Session) -> None:
    with pytest.raises(InvalidInput, match="contradicts --tpu"):
        session.plan("pair", MEET, tpu="v5e:4x4*2", nodes=4)
    session.node_pools().create("second", tpu="v5e:4x4", zones="us-central1-a", nodes=4).wait(120)
    plan = session.plan("pair", MEET, tpu="v5e:4x4*2", framework="torch", image="python:3.12", max_retries=1)
    assert [manifest["kind"] for manifest in plan.manifests] == ["ConfigMap", "JobSet"]
    assert plan.price is not None
    assert plan.max_cost() == pytest.approx(plan.price.usd_hour * 2)  # two attempts of one hour each
    job = session.apply(plan)
    other = connect(home)  # another notebook, at the same time
    try:
        found = other.job("pair")
        assert found.run == job.run
        state = found.wait(120)
        assert [one.name for one in other.jobs() if one.name.startswith("pair")] == ["pair"]
        lines = [line for line in found.logs(rank=6) if line.text == "rank 6 is here"]
        assert [(line.index, line.rank, line.pod.startswith("pair-slice-1-2-")) for line in lines] == [(6, 6, True)]
    finally:
        other.close()
    assert job.result == [[str(number % 4), str(number // 4), "2"] for number in range(8)]
    assert (state.slices, len(state.nodes), state.simulated) == (2, 8, True)
    pools = [{node.node.rsplit("-", 2)[0] for node in state.nodes[first : first + 4]} for first in (0, 4)]
    assert [len(pool) for pool in pools] == [1, 1]
    assert pools[0] != pools[1], "each slice has a node pool to itself"
    assert [manifest["kind"] for manifest in job.manifests()] == ["ConfigMap", "JobSet"]


def test_a_failing_slice_is_named_and_the_job_replaced_and_cancelled(session: Session) -> None:
    pools = session.node_pools()
    if not any(pool.name == "second" for pool in pools):
        pools.create("second", tpu="v5e:4x4", zones="us-central1-a", nodes=4).wait(120)
    cell = "import os, time\nif os.environ['RANK'] == '5':\n    raise ValueError('no')\ntime.sleep(300)"
    job = session.apply(session.plan("pair", cell, tpu="v5e:4x4*2", image="python:3.12"), replace=has(session, "pair"))
    with pytest.raises(JobFailed, match="rank 5 failed with exit code 1: ValueError: no"):
        job.wait(120)
    state = job.state
    assert state.failure is not None
    assert (state.failure.rank, state.failure.pod.startswith("pair-slice-1-1-")) == (5, True)
    assert {node.phase for node in state.nodes} == {"failed", "stopped"}

    eventually(lambda: fits(session), 60)  # the stopped hosts have left their nodes
    again = session.apply(session.plan("pair", "import time\ntime.sleep(300)", tpu="v5e:4x4*2"), replace=True)
    eventually(lambda: all(node.phase == "running" for node in again.state.nodes), 60)
    assert again.explain() == "running on 8 nodes"
    again.cancel()
    eventually(lambda: again.state.ended, 60)
    assert again.phase == "cancelled"

    async def delete(client: Client) -> None:
        await client.delete(JOBSETS, "pair", "default")

    async def left(client: Client) -> list[str]:
        found = []
        for resource in (JOBSETS, JOBS, PODS, SERVICES, CONFIG_MAPS):
            listed = await client.list(resource, "default", label_selector=names.selector("pair"))
            found += [item["metadata"]["name"] for item in listed["items"]]
        return found

    session.call(delete)
    eventually(lambda: not session.call(left), 60)


NETWORK_DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "networks.networking.gke.io"},
    "spec": {
        "group": "networking.gke.io", "scope": "Cluster",
        "names": {"plural": "networks", "singular": "network", "kind": "Network", "listKind": "NetworkList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
    },
}  # fmt: skip
DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)


def test_networks_and_compute_classes_of_the_cluster_shape_the_job(session: Session) -> None:
    rules = [{"gpu": {"type": "nvidia-h100-80gb", "count": 8}}]
    gpus = {"priorities": rules, "whenUnsatisfiable": "DoNotScaleUp"}

    async def furnish(client: Client) -> None:
        await client.create(DEFINITIONS, NETWORK_DEFINITION)
        for number in range(1, 5):
            body = {"apiVersion": "networking.gke.io/v1", "kind": "Network", "metadata": {"name": f"vpc{number}"}}
            while True:
                try:
                    await client.create(NETWORKS, body)
                    break
                except ApiError as error:
                    if error.status != 404:  # the definition is not established yet
                        raise
                    await asyncio.sleep(0.05)
        named = {"apiVersion": "cloud.google.com/v1", "kind": "ComputeClass", "metadata": {"name": "hoppers"}}
        await client.create(COMPUTE_CLASSES, {**named, "spec": gpus})

    before = session.plan("big", "print(1)", gpu="h100:8", nodes=2)
    assert any("the cluster has none of the networks" in note for note in before.notes)
    session.call(furnish)
    fresh = Facts(session)
    plan = planning.make_plan(before.spec, context="here", nodes=(), facts=fresh.of(before.spec, ()))
    assert any("GPUDirect-TCPX is wired" in note for note in plan.notes)
    assert any("--compute-class hoppers" in note for note in plan.notes)
    template = plan.manifests[-1]["spec"]["template"]
    assert template["spec"]["initContainers"][0]["name"] == "tcpx-daemon"
    session.check(plan)
    with pytest.raises(InvalidInput, match="did you mean 'hoppers'"):
        planning.make_plan(
            replace(before.spec, compute_class="hopper"), context="here", nodes=(), facts=fresh.of(before.spec, ())
        )


def fits(session: Session) -> bool:
    found = session.plan("pair", "print(1)", tpu="v5e:4x4*2").fit
    return found is not None and found.verdict == "fits"


def has(session: Session, name: str) -> bool:
    async def look(client: Client) -> bool:
        try:
            await client.get(JOBSETS, name, "default")
        except ApiError:
            return False
        return True

    return session.call(look)
