"""What the scheduler says and does, the same on both servers; each scenario has nodes of its own."""

from __future__ import annotations

import asyncio

import pytest

from gke_notebook.cluster.connection import Connection
from tests.support.lockstep import Note, Outcome, run_scheduler, scenarios_of, selected_in, verify
from tests.support.settled import Object, World, requests


async def _says(w: World, name: str, **spec: object) -> None:
    """Wait for a pod to be told that it cannot be scheduled, and compare the words."""
    await w.pod(name, **spec)
    await w.unschedulable(name)
    await w.compare(name)


async def too_large(w: World) -> None:
    await w.node("a", cpu="2", memory="2Gi")
    await w.node("b", cpu="4", memory="1Gi")
    await _says(w, "cpu", containers=requests(cpu="5"))
    await _says(w, "memory", containers=requests(memory="3Gi"))
    await _says(w, "both", containers=requests(cpu="3", memory="1500Mi"))
    gpus = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]  # GKE's own plugin adds it
    await _says(w, "gpu", containers=requests(limits={"nvidia.com/gpu": "1"}), tolerations=gpus)
    await _says(w, "disk", containers=requests(**{"ephemeral-storage": "200Gi"}))


async def no_node(w: World) -> None:
    await _says(w, "p")


async def full(w: World) -> None:
    await w.node("a", cpu="2")
    await w.node("b", cpu="2", pods="1")
    await w.pod("first", containers=requests(cpu="1500m"), nodeSelector={"kubernetes.io/hostname": "a"})
    await w.bound("first")
    await w.pod("second", containers=requests(cpu="100m"), nodeSelector={"kubernetes.io/hostname": "b"})
    await w.bound("second")
    await _says(w, "third", containers=requests(cpu="1"))


async def tainted(w: World) -> None:
    await w.node("a", taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}])
    await w.node("b", taints=[{"key": "team", "value": "x", "effect": "NoExecute"}])
    await w.node("c", unschedulable=True)
    await _says(w, "plain")
    await _says(w, "wrong", tolerations=[{"key": "team", "value": "y"}])
    await w.pod("right", tolerations=[{"key": "team", "value": "x"}])
    await w.bound("right")
    await w.compare("right")
    await w.pod("exists", tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}])
    await w.bound("exists")
    await w.compare("exists")


def affinity(**requirement: object) -> Object:
    terms = [{"matchExpressions": [requirement]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


async def selected(w: World) -> None:
    await w.node("a", labels={"pool": "t4", "size": "2"}, cpu="1")
    await w.node("b", labels={"pool": "l4", "size": "8"}, taints=[{"key": "k", "effect": "NoSchedule"}])
    await _says(w, "none", nodeSelector={"pool": "a100"})
    await _says(w, "tainted", nodeSelector={"pool": "l4"})
    await _says(w, "too-small", nodeSelector={"pool": "t4"}, containers=requests(cpu="2"))
    await _says(w, "not-in", affinity=affinity(key="pool", operator="NotIn", values=["t4"]))
    await _says(w, "greater", affinity=affinity(key="size", operator="Gt", values=["8"]))
    for name, rule in (
        ("in", affinity(key="pool", operator="In", values=["t4", "h100"])),
        ("less", affinity(key="size", operator="Lt", values=["3"])),
        ("exists", affinity(key="pool", operator="Exists")),
    ):
        await w.pod(name, affinity=rule)
        await w.bound(name)
    await w.compare("bound")


async def gated(w: World) -> None:
    await w.node("a")
    await w.pod("p", schedulingGates=[{"name": "example.com/wait"}])
    await w.until(lambda: w.pods.objects, "the pod")
    await w.compare("gated")
    await w.patch_pod("p", {"spec": {"schedulingGates": []}})
    await w.bound("p")
    await w.compare("bound")


async def never_preempts(w: World) -> None:
    await w.node("a", cpu="1")
    await w.pod("first", containers=requests(cpu="800m"))
    await w.bound("first")
    await _says(w, "second", containers=requests(cpu="500m"))
    await w.priority("high", 1000, preemptionPolicy="Never")
    await _says(w, "patient", containers=requests(cpu="500m"), priorityClassName=f"high-{w.run}")


async def freed(w: World) -> None:
    """A pod that waits is bound once there is room."""
    await w.node("a", cpu="1")
    await w.pod("first", containers=requests(cpu="800m"))
    await w.bound("first")
    await _says(w, "second", containers=requests(cpu="800m"))
    await w.patch_pod("first", {"status": {"phase": "Succeeded"}}, "status")
    await w.bound("second")
    await w.compare("bound")


async def added_node(w: World) -> None:
    await w.node("a", cpu="1")
    await _says(w, "p", containers=requests(cpu="2"))
    await w.node("b", cpu="4")
    await w.bound("p")  # between the two it may be refused for the taint of a new node


async def host_ports(w: World) -> None:
    await w.node("a")
    ports = [{"containerPort": 80, "hostPort": 80}]
    await w.pod("first", containers=[{**requests(cpu="1")[0], "ports": ports}])
    await w.bound("first")
    await _says(w, "second", containers=[{**requests(cpu="1")[0], "ports": ports}])


async def preempts(w: World) -> None:
    """Pods of less priority make room: those of the node where least is lost."""
    await w.node("a", cpu="2")
    await w.node("b", cpu="2")
    for name, node in (("little", "a"), ("much", "b")):
        size = requests(cpu="500m" if name == "little" else "1900m")
        await w.pod(name, containers=size, nodeSelector={"kubernetes.io/hostname": node})
        await w.bound(name)
    await w.pod("more", containers=requests(cpu="1400m"), nodeSelector={"kubernetes.io/hostname": "a"})
    await w.bound("more")
    await w.priority("vital", 1000)
    await w.pod("urgent", containers=requests(cpu="1800m"), priorityClassName=f"vital-{w.run}")
    await w.unschedulable("urgent")
    await w.until(lambda: any(event["reason"] == "Preempted" for event in w.events.seen.values()), "a victim")
    await w.compare("nominated")
    await w.patch_pod("much", {"status": {"phase": "Failed"}}, "status")
    await w.bound("urgent")
    await w.compare("bound")


async def missing_claim(w: World) -> None:
    await w.node("a")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "nothing"}}
    await _says(w, "p", volumes=[volume])


async def spread_over_nodes(w: World) -> None:
    await w.node("a", cpu="4", memory="8Gi")
    await w.node("b", cpu="9", memory="18Gi")  # no two scores are equal: then the real one would draw lots
    for number in range(5):
        await w.pod(f"p{number}", containers=requests(cpu="1", memory="2Gi"))
        await w.bound(f"p{number}")
    await w.compare("bound")


SCENARIOS = scenarios_of(globals())


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_connection: Connection | None) -> dict[str, Outcome]:
    return asyncio.run(run_scheduler(selected_in(request, SCENARIOS), real_connection))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scheduler_is_the_same(name: str, outcomes: dict[str, Outcome], note: Note) -> None:
    verify(outcomes[name])
    note("Pod", f"scheduling: {name.replace('_', ' ')}")
