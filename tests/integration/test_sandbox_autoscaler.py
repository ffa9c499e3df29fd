"""The autoscaler of a running sandbox: pools follow the pods, and drills show what happens when they cannot."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.test_sandbox_gke_nodes import POOLS, World, wait
from tests.support.home import sandbox_home

Object = dict[str, Any]
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-spot": "true"}
GROUP = "/compute/v1/projects/sandbox/zones/us-central1-a/instanceGroupManagers/"
LOG = 'log_id("container.googleapis.com/cluster-autoscaler-visibility")'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with sandbox_home(tmp_path) as home:
        made = World(home)
        made.up()
        yield made


def job(
    world: World, name: str, selector: Object, resource: str = "nvidia.com/gpu", count: int = 1, **more: Any
) -> None:
    container = {
        "name": "main", "image": more.pop("image", "python:3.12"), "resources": {"limits": {resource: str(count)}},
        "command": ["python3", "-c", more.pop("code", "print('hello')")],
    }  # fmt: skip
    pods = more.pop("pods", 1)
    spec = {
        "restartPolicy": "Never", "nodeSelector": selector, "containers": [container],
        "tolerations": [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}], **more,
    }  # fmt: skip
    world.kube("/apis/batch/v1/namespaces/default/jobs", "POST", {
        "metadata": {"name": name},
        "spec": {"completions": pods, "parallelism": pods, "backoffLimit": 0, "template": {"spec": spec}},
    })  # fmt: skip


def succeeded(world: World, name: str, pods: int = 1) -> bool:
    found = world.kube(f"/apis/batch/v1/namespaces/default/jobs/{name}")
    return bool(found["status"].get("succeeded") == pods)


def events(world: World, reason: str, namespace: str = "default") -> list[str]:
    found = world.kube(f"/api/v1/namespaces/{namespace}/events?fieldSelector=reason%3D{reason}")
    return [one["message"] for one in found["items"]]


def entries(world: World) -> list[Object]:
    asked = {"resourceNames": ["projects/sandbox"], "filter": LOG, "pageSize": 500}
    return [one["jsonPayload"] for one in world.gke("/v2/entries:list", "POST", asked).get("entries", [])]


def status(world: World) -> Object:
    found = world.kube("/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status")
    return dict(yaml.safe_load(found["data"]["status"]))


def target(world: World, pool: str) -> int:
    managers = world.gke(GROUP.rstrip("/"))["items"]
    return sum(one["targetSize"] for one in managers if f"-{pool}-" in one["name"])


def test_a_pool_grows_for_a_spot_job_and_is_empty_again_after_a_while(world: World) -> None:
    job(world, "spotty", L4, pods=2)
    wait(lambda: succeeded(world, "spotty", 2))
    told = events(world, "TriggeredScaleUp")
    url = "https://www.googleapis.com/compute/v1/projects/sandbox/zones/us-central1-a/instanceGroups/"
    assert len(told) == 2
    assert set(told) == {told[0]}
    assert re.fullmatch(
        rf"pod triggered scale-up: \[{{{url}gke-sandbox-l4-spot-pool-\w+-grp 0->2 \(max: 4\)}}\]", told[0]
    )
    wait(lambda: not world.nodes("l4-spot-pool"))
    assert target(world, "l4-spot-pool") == 0
    assert events(world, "ScaleDown") == ["marked the node as toBeDeleted/unschedulable"] * 2
    wait(lambda: len(events(world, "ScaleDownEmpty", "kube-system")) == 2)
    decisions = [one["decision"] for one in entries(world) if "decision" in one]
    assert "scaleUp" in decisions[0]
    removed = [one["node"]["name"] for each in decisions[1:] for one in each["scaleDown"]["nodesToBeRemoved"]]
    assert len(set(removed)) == len(removed) == 2
    assert decisions[0]["scaleUp"]["triggeringPodsTotalCount"] == 2
    results = [one["resultInfo"]["results"] for one in entries(world) if "resultInfo" in one]
    assert [{"eventId": decisions[0]["eventId"]}] in results
    (shown,) = [one for one in status(world)["nodeGroups"] if "l4-spot-pool" in one["name"]]
    wait(lambda: status(world)["clusterWide"]["scaleDown"]["status"] == "NoCandidates")
    assert (shown["health"]["minSize"], shown["health"]["maxSize"]) == (0, 4)


def test_a_stockout_is_told_backed_off_from_and_got_over(world: World) -> None:
    world.home.run("drill", "stockout", "--accelerator", "l4", "--zone", "us-central1-a", "--spot")
    job(world, "unlucky", L4)
    failed = wait(lambda: events(world, "FailedScaleUp"))
    where = "Node scale up in zones us-central1-a associated with this pod failed"
    assert failed == [f"{where}: GCE out of resources. Pod is at risk of not being scheduled."]
    skipped = wait(lambda: events(world, "NotTriggerScaleUp"))
    assert skipped == [
        "pod didn't trigger scale-up: 1 in backoff after failed scale-up, 1 node(s) had untolerated taint(s)"
    ]
    assert target(world, "l4-spot-pool") == 0
    errors = [
        result["errorMsg"]["messageId"]
        for one in entries(world)
        for result in one.get("resultInfo", {}).get("results", ())
        if "errorMsg" in result
    ]
    assert set(errors) == {"scale.up.error.out.of.resources"}
    backed = wait(lambda: [one for one in status(world)["nodeGroups"] if one["scaleUp"]["status"] == "Backoff"])
    assert backed[0]["scaleUp"]["backoffInfo"]["errorCode"] == "RESOURCE_POOL_EXHAUSTED"
    assert "stopped fault-1" in world.home.run("drill", "stop", "stockout").stdout
    wait(lambda: succeeded(world, "unlucky"))


def test_a_tpu_slice_comes_and_goes_as_a_whole(world: World) -> None:
    selector = {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice", "cloud.google.com/gke-tpu-topology": "4x4",
    }  # fmt: skip
    job(world, "slice", selector, "google.com/tpu", 4, pods=4)
    wait(lambda: succeeded(world, "slice", 4))
    assert all("0->4 (max: 4)" in text for text in events(world, "TriggeredScaleUp"))
    wait(lambda: not world.nodes("v5e-pool"))
    assert target(world, "v5e-pool") == 0


def test_a_node_is_preempted_on_demand_and_its_group_makes_it_again(world: World) -> None:
    job(world, "long", L4, code="import time; time.sleep(600)")
    (node,) = wait(lambda: world.ready("l4-spot-pool"))
    name, before = node["metadata"]["name"], node["metadata"]["uid"]
    pods = "/api/v1/namespaces/default/pods?labelSelector=job-name%3Dlong"
    wait(lambda: [one for one in world.kube(pods)["items"] if one["status"].get("phase") == "Running"])
    refused = world.home.run("drill", "preempt", name + "x", check=False)
    assert refused.returncode == 1
    assert f"did you mean {name!r}" in refused.stderr
    world.home.run("drill", "preempt", name)
    (ended,) = wait(lambda: [one for one in world.kube(pods)["items"] if one["status"].get("phase") == "Failed"])
    assert ended["status"]["reason"] == "Terminated"
    wait(lambda: [one for one in world.nodes("l4-spot-pool") if one["metadata"]["uid"] != before])


def test_a_slow_pull_has_the_events_of_one(world: World) -> None:
    world.home.run("drill", "slow-pull", "--seconds", "2", "--image", "heavy/*")
    world.run("pulls", "default-pool", "print('hello')", image="heavy/torch:2")
    world.phase("pulls", "Succeeded")
    wait(lambda: events(world, "Pulling") == ['Pulling image "heavy/torch:2"'])
    (pulled,) = wait(lambda: events(world, "Pulled"))
    assert re.match(r'Successfully pulled image "heavy/torch:2" in 2(\.\d+)?s ', pulled)


def test_it_goes_on_where_it_was_when_it_is_killed(world: World) -> None:
    world.home.run("clock", "30")
    job(world, "twice", L4)
    wait(lambda: target(world, "l4-spot-pool") == 1)
    (agents,) = [
        pid for pid in world.home.processes()
        if b"gke_notebook.sandbox.agents" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]  # fmt: skip
    os.kill(agents, signal.SIGKILL)
    sizes: set[int] = set()

    def done() -> bool:
        sizes.add(target(world, "l4-spot-pool"))
        return succeeded(world, "twice")

    wait(done)
    assert max(sizes) == 1
    world.home.run("clock", "1000")
    wait(lambda: target(world, "l4-spot-pool") == 0)


def test_it_tries_again_when_google_cloud_fails_now_and_then(world: World) -> None:
    world.home.run("drill", "api-errors", "--rate", "0.5", "--status", "503", "--api", "compute")
    job(world, "patient", L4)
    wait(lambda: succeeded(world, "patient"))


def test_the_priorities_of_a_compute_class_are_tried_in_order_and_pools_are_made_for_them(world: World) -> None:
    priorities = [
        {"machineType": "g2-standard-8", "spot": True, "gpu": {"type": "nvidia-l4", "count": 1},
         "location": {"zones": ["us-central1-a"]}},
        {"gpu": {"type": "nvidia-tesla-t4", "count": 1}},
    ]  # fmt: skip
    wait(lambda: "cloud.google.com" in {one["name"] for one in world.kube("/apis")["groups"]})
    spec = {
        "whenUnsatisfiable": "DoNotScaleUp", "nodePoolAutoCreation": {"enabled": True}, "priorities": priorities,
    }  # fmt: skip
    world.kube("/apis/cloud.google.com/v1/computeclasses", "POST", {
        "apiVersion": "cloud.google.com/v1", "kind": "ComputeClass", "metadata": {"name": "ladder"}, "spec": spec,
    })  # fmt: skip
    world.home.run("drill", "stockout", "--accelerator", "l4", "--spot")
    job(world, "classy", {"cloud.google.com/compute-class": "ladder"})
    wait(lambda: succeeded(world, "classy"))
    told = events(world, "TriggeredScaleUp")
    assert any("nap-g2-standard-8" in text for text in told)
    assert any("nap-n1-standard" in text for text in told)
    assert len(events(world, "FailedScaleUp")) == 1
    pools = {one["name"]: one for one in world.gke(POOLS)["nodePools"]}
    (made,) = [one for name, one in pools.items() if name.startswith("nap-n1-standard")]
    assert made["config"]["labels"] == {"cloud.google.com/compute-class": "ladder"}
    assert made["autoscaling"]["autoprovisioned"]
