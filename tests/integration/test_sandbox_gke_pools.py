"""Node pools of the sandbox's GKE through the official client, the real gcloud where it is installed, and bare HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import shutil

import pytest

from gke_notebook.sandbox.gke.keeper import Keeper, open_fleet
from tests.support.google import CLUSTER, LOCATION, TOKEN, google, official_client

POOLS = f"/v1/{CLUSTER}/nodePools"


def node_pool(name="new", machine="g2-standard-8", **more):
    return {"name": name, "config": {"machineType": machine, **more.pop("config", {})}, "initialNodeCount": 1, **more}


async def test_the_official_client_creates_scales_and_deletes():
    from google.cloud import container_v1 as v1

    def work(url):
        api = official_client(url)
        seen = []

        def wait(operation):
            while operation.status != v1.Operation.Status.DONE:
                operation = api.get_operation(name=f"{LOCATION}/operations/{operation.name}")
                seen.append([stage.name for stage in operation.progress.stages if stage.status.name == "RUNNING"])
            assert not operation.error.message
            return operation

        config = v1.NodeConfig(
            machine_type="g2-standard-12", spot=True,
            accelerators=[v1.AcceleratorConfig(accelerator_type="nvidia-l4", accelerator_count=1)],
            taints=[v1.NodeTaint(key="team", value="vision", effect=v1.NodeTaint.Effect.NO_SCHEDULE)],
            labels={"team": "vision"},
        )  # fmt: skip
        scaling = v1.NodePoolAutoscaling(enabled=True, total_max_node_count=4, location_policy="ANY")
        pool = v1.NodePool(name="mine", initial_node_count=2, config=config, autoscaling=scaling)
        made = wait(api.create_node_pool(parent=CLUSTER, node_pool=pool))
        assert made.operation_type == v1.Operation.Type.CREATE_NODE_POOL
        assert {m.name: m.int_value for m in made.progress.metrics} == {"nodes total": 2, "nodes done": 2}
        found = api.get_node_pool(name=f"{CLUSTER}/nodePools/mine")
        count = api.get_cluster(name=CLUSTER).current_node_count
        wait(api.set_node_pool_size(request={"name": f"{CLUSTER}/nodePools/mine", "node_count": 1}))
        wait(api.set_node_pool_autoscaling(request={
            "name": f"{CLUSTER}/nodePools/mine", "autoscaling": {"enabled": True, "max_node_count": 3},
        }))  # fmt: skip
        wait(api.set_node_pool_management(request={
            "name": f"{CLUSTER}/nodePools/mine", "management": {"auto_repair": True},
        }))  # fmt: skip
        wait(api.update_node_pool(request={
            "name": f"{CLUSTER}/nodePools/mine", "labels": {"labels": {"team": "audio"}}, "etag": "",
        }))  # fmt: skip
        changed = api.get_node_pool(name=f"{CLUSTER}/nodePools/mine")
        fewer = api.get_cluster(name=CLUSTER).current_node_count
        wait(api.delete_node_pool(name=f"{CLUSTER}/nodePools/mine"))
        left = [one.name for one in api.list_node_pools(parent=CLUSTER).node_pools]
        listed = api.list_operations(parent=LOCATION).operations
        return found, count, changed, fewer, left, listed, seen

    async with google() as cloud:
        found, count, changed, fewer, left, listed, seen = await asyncio.to_thread(work, cloud.url)
    assert found.status.name == "RUNNING"
    assert (found.config.spot, found.config.labels["team"]) == (True, "vision")
    assert [taint.key for taint in found.config.taints] == ["team", "nvidia.com/gpu"]
    assert found.instance_group_urls[0].endswith("-grp")
    assert (count, fewer) == (9 + 2, 9 + 1)
    assert (changed.autoscaling.max_node_count, changed.config.labels["team"]) == (3, "audio")
    assert changed.etag not in ("", found.etag)
    assert "mine" not in left
    assert [one.operation_type.name for one in listed] == [
        "DELETE_NODE_POOL", "UPDATE_CLUSTER", "SET_NODE_POOL_MANAGEMENT", "UPDATE_CLUSTER", "SET_NODE_POOL_SIZE",
        "CREATE_NODE_POOL",
    ]  # fmt: skip
    assert ["Creating the nodes"] in seen


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (node_pool("Big"), "Must be a match of regex"),
        (node_pool(machine="g2-standard-9"), 'type with name "g2-standard-9" does not exist in zone "us-central1-a".'),
        (node_pool(machine="a3-ultragpu-8g"), "does not exist in zone"),
        (node_pool(locations=["europe-west4-a"]), "is not a zone of region"),
        (
            node_pool(config={"accelerators": [{"acceleratorType": "nvidia-l4", "acceleratorCount": 3}]}),
            "3 x \"nvidia-l4\" cannot be attached",
        ),
        (
            node_pool(
                machine="n1-standard-8",
                config={"accelerators": [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 3}]},
            ),
            "must be one of: 1, 2, 4, not 3",
        ),
        (
            node_pool(
                machine="n1-standard-8", locations=["us-central1-a"],
                config={"accelerators": [{"acceleratorType": "nvidia-tesla-p100", "acceleratorCount": 1}]},
            ),
            'Accelerator type "nvidia-tesla-p100" does not exist in zone us-central1-a.',
        ),
        (node_pool(config={"spot": True, "flexStart": True}), "Spot VMs cannot be used with flex_start"),
        (node_pool(config={"flexStart": True}), "flex_start requires autoscaling"),
        (
            node_pool(initialNodeCount=0, config={"flexStart": True}, autoscaling={"enabled": True, "maxNodeCount": 2}),
            "requires node auto-repair to be disabled",
        ),
        (node_pool(config={"maxRunDuration": "700000s"}), "at most 604800s"),
        (node_pool(autoscaling={"enabled": True, "minNodeCount": 3, "maxNodeCount": 2}), "must not be greater"),
        (node_pool(autoscaling={"enabled": True, "maxNodeCount": 2, "totalMaxNodeCount": 2}), "exclude"),
        (
            node_pool(locations=["us-central1-a", "us-central1-b"], placementPolicy={"type": "COMPACT"}),
            "requires exactly one zone",
        ),
        (
            node_pool(machine="ct5lp-hightpu-4t", placementPolicy={"type": "COMPACT", "tpuTopology": "3x3"}),
            'Topology "3x3" is invalid for machine type "ct5lp-hightpu-4t".',
        ),
        (
            node_pool(machine="ct5lp-hightpu-4t", placementPolicy={"type": "COMPACT", "tpuTopology": "4x4"}),
            "has 4 nodes, not 1",
        ),
        (
            node_pool(config={"reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION"}}),
            "exactly one value",
        ),
        (
            node_pool(
                machine="g2-standard-24",
                config={"reservationAffinity": {
                    "consumeReservationType": "SPECIFIC_RESERVATION", "values": ["l4-reserved"],
                    "key": "compute.googleapis.com/reservation-name",
                }},
            ),
            'Reservation "l4-reserved" does not exist in us-central1-a; it is in zone us-central1-b.',
        ),
        (node_pool(config={"sport": True}), "Unknown name \"sport\" at 'node_pool.config': Cannot find field."),
        (node_pool(config={"spot": "yes"}), "Invalid value at 'node_pool.config.spot' (TYPE_BOOL), \"yes\""),
        (node_pool(config={"diskSizeGb": 1e30}), "Invalid value at 'node_pool.config.disk_size_gb' (TYPE_INT32)"),
        (node_pool(config={"taints": [{"effect": "NEVER"}]}), "google.container.v1.NodeTaint.Effect"),
        ({}, "Must be a match of regex"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(pool, said):
    async with google() as cloud:
        code, body = await cloud.ask("POST", POOLS, {"nodePool": pool})
        assert (code, body["error"]["status"]) == (400, "INVALID_ARGUMENT"), body
        assert said in body["error"]["message"]
        assert cloud.fleet.busy() is None


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff", b'{"nodePool": 1}', b"[" * 100_000, b'{"nodePool": {"config": []}}']
)
async def test_bodies_that_are_none(raw):
    async with google() as cloud:
        code, body = await cloud.ask("POST", POOLS, raw=raw)
        assert (code, body["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_one_operation_at_a_time():
    async with google(factor=1.0) as cloud:
        code, first = await cloud.ask("POST", POOLS, {"nodePool": node_pool()})
        assert code == 200
        for method, path, body in (
            ("POST", POOLS, {"nodePool": node_pool("other")}),
            ("DELETE", f"{POOLS}/new", None),
            ("POST", f"{POOLS}/t4-pool:setSize", {"nodeCount": 1}),
        ):
            code, refused = await cloud.ask(method, path, body)
            assert (code, refused["error"]["status"]) == (400, "FAILED_PRECONDITION")
            assert refused["error"]["message"] == f"Cluster is running incompatible operation {first['name']}."
        code, again = await cloud.ask("POST", POOLS, {"nodePool": node_pool()})
        assert (code, again["error"]["status"]) == (409, "ALREADY_EXISTS")


async def test_a_quota_that_does_not_suffice_is_refused_at_once():
    async with google() as cloud:
        code, body = await cloud.ask("POST", POOLS, {"nodePool": node_pool(initialNodeCount=9)})
        assert (code, body["error"]["status"]) == (403, "PERMISSION_DENIED")
        # 8 GPUs run and 4 are reserved of 20.
        assert body["error"]["message"].startswith(
            "Insufficient regional quota to satisfy request: resource \"NVIDIA_L4_GPUS\": request requires '9.0' and "
            "is short '1.0'. project has a quota of '20.0' with '8.0' available."
        )
        code, body = await cloud.ask("POST", f"{POOLS}/l4-pool:setSize", {"nodeCount": 9})
        assert code == 403
        await cloud.ask("POST", "/sandbox/v1/faults", {"kind": "quota", "metric": "NVIDIA_L4_GPUS", "limit": 0})
        code, body = await cloud.ask("POST", POOLS, {"nodePool": node_pool()})
        assert (code, "quota of '0.0'" in body["error"]["message"]) == (403, True)


async def test_a_stockout_ends_in_the_observed_words():
    async with google(factor=10_000.0) as cloud:
        await cloud.ask("POST", "/sandbox/v1/faults", {"kind": "stockout", "accelerator": "nvidia-l4", "spot": False})
        code, begun = await cloud.ask("POST", POOLS, {"nodePool": node_pool(initialNodeCount=2)})
        assert code == 200
        ended = await cloud.done(begun)
        name = next(iter(one.name for one in cloud.fleet.members("new")))
        assert ended["error"]["code"] == 8
        assert ended["error"]["message"] == (
            "Google Compute Engine: Not all instances running in IGM after 35m7s. Expected 2, running 0, transitioning "
            f"2. Current errors: [GCE_STOCKOUT]: Instance '{name}' creation failed: The zone "
            "'projects/sandbox/zones/us-central1-a' does not have enough resources available to fulfill the request. "
            "'(resource type:compute)'."
        )
        code, pool = await cloud.ask("GET", f"{POOLS}/new")
        assert (pool["status"], pool["conditions"][0]["code"]) == ("ERROR", "GCE_STOCKOUT")
        # Spot machines are still to be had, and the others as soon as the fault is gone.
        code, begun = await cloud.ask("POST", f"{POOLS}/l4-spot-pool:setSize", {"nodeCount": 1})
        assert "error" not in await cloud.done(begun)
        await cloud.ask("DELETE", "/sandbox/v1/faults")
        for _ in range(500):
            if all(one.booted for one in cloud.fleet.members("new")):
                break
            await asyncio.sleep(0.01)
        code, begun = await cloud.ask("DELETE", f"{POOLS}/new")
        assert "error" not in await cloud.done(begun)


async def test_a_zone_runs_out_in_part():
    async with google(factor=10_000.0) as cloud:
        await cloud.ask("POST", "/sandbox/v1/faults", {"kind": "quota", "metric": "NVIDIA_L4_GPUS", "limit": 100})
        _, begun = await cloud.ask("POST", POOLS, {"nodePool": node_pool(initialNodeCount=10)})
        ended = await cloud.done(begun)
        # The zone has 16, of which l4-pool has 8.
        assert "Expected 10, running 8, transitioning 2." in ended["error"]["message"]
        assert (await cloud.ask("GET", f"{POOLS}/new"))[1]["status"] == "RUNNING_WITH_ERROR"


async def test_a_pool_that_takes_what_there_is():
    async with google() as cloud:
        await cloud.ask("POST", "/sandbox/v1/faults", {"kind": "quota", "metric": "NVIDIA_L4_GPUS", "limit": 100})
        best = {"enabled": True, "minProvisionNodes": 4}
        spec = node_pool(initialNodeCount=10, bestEffortProvisioning=best)
        _, begun = await cloud.ask("POST", POOLS, {"nodePool": spec})
        ended = await cloud.done(begun)
        assert "error" not in ended


async def test_a_tpu_slice_comes_whole_or_not_at_all():
    async with google(factor=10_000.0) as cloud:
        _, begun = await cloud.ask("POST", f"{POOLS}/v5e-pool:setSize", {"nodeCount": 4})
        assert "error" not in await cloud.done(begun)
        assert {one.tpu_topology for one in cloud.fleet.members("v5e-pool")} == {"4x4"}
        code, refused = await cloud.ask("POST", f"{POOLS}/v5e-pool:setSize", {"nodeCount": 2})
        assert (code, "has 4 nodes, or none; not 2" in refused["error"]["message"]) == (400, True)
        _, begun = await cloud.ask("POST", f"{POOLS}/v5e-pool:setSize", {"nodeCount": 0})
        await cloud.done(begun)
        await cloud.ask("POST", "/sandbox/v1/faults", {"kind": "quota", "metric": "TPU_LITE_PODSLICE_V5", "limit": 12})
        code, refused = await cloud.ask("POST", f"{POOLS}/v5e-pool:setSize", {"nodeCount": 4})
        assert (code, "TPU_LITE_PODSLICE_V5" in refused["error"]["message"]) == (403, True)
        pool = cloud.fleet.pool("v5e-pool")
        cloud.fleet.resize(pool, "us-central1-a", 4)
        await asyncio.sleep(0.05)
        assert {one.error[0] for one in cloud.fleet.members("v5e-pool")} == {"QUOTA_EXCEEDED"}
        assert not any(one.admitted for one in cloud.fleet.members("v5e-pool"))


async def test_an_operation_is_cancelled():
    async with google(factor=1.0) as cloud:
        _, begun = await cloud.ask("POST", POOLS, {"nodePool": node_pool()})
        assert await cloud.ask("POST", f"/v1/{LOCATION}/operations/{begun['name']}:cancel", {}) == (200, {})
        await cloud.ask("PUT", "/sandbox/v1/clock", {"factor": 5000})
        ended = await cloud.done(begun)
        assert ended["error"]["code"] == 1
        code, refused = await cloud.ask("POST", f"/v1/{LOCATION}/operations/{begun['name']}:cancel", {})
        assert (code, refused["error"]["status"]) == (400, "FAILED_PRECONDITION")
        _, begun = await cloud.ask("DELETE", f"{POOLS}/new")
        code, refused = await cloud.ask("POST", f"/v1/{LOCATION}/operations/{begun['name']}:cancel", {})
        assert (code, "cannot be cancelled" in refused["error"]["message"]) == (400, True)


async def test_settings_change_with_and_without_new_machines():
    async with google() as cloud:
        before = {one.name: one.created for one in cloud.fleet.members("t4-pool")}
        _, begun = await cloud.ask("PUT", f"{POOLS}/t4-pool", {
            "labels": {"labels": {"team": "vision"}}, "taints": {"taints": [{"key": "a", "value": "b", "effect": 1}]},
        })  # fmt: skip
        assert (await cloud.done(begun))["operationType"] == "UPDATE_CLUSTER"
        for one in cloud.fleet.members("t4-pool"):
            assert one.labels["team"] == "vision"
            assert [taint.key for taint in one.taints] == ["a", "nvidia.com/gpu"]
        assert {one.name: one.created for one in cloud.fleet.members("t4-pool")} == before
        _, begun = await cloud.ask("PUT", f"{POOLS}/t4-pool", {"machineType": "n1-standard-16"})
        ended = await cloud.done(begun)
        assert (ended["operationType"], "error" in ended) == ("UPGRADE_NODES", False)
        after = cloud.fleet.members("t4-pool")
        assert {one.name for one in after} == set(before)
        assert {one.machine_type for one in after} == {"n1-standard-16"}
        code, refused = await cloud.ask("PUT", f"{POOLS}/t4-pool", {"machineType": "g2-standard-8"})
        assert (code, "cannot be attached" in refused["error"]["message"]) == (400, True)
        code, refused = await cloud.ask("PUT", f"{POOLS}/t4-pool", {"etag": "old", "machineType": "n1-standard-8"})
        assert (code, refused["error"]["status"]) == (409, "ABORTED")
        assert (await cloud.ask("PUT", f"{POOLS}/t4-pool", {}))[0] == 400
        _, begun = await cloud.ask("PUT", f"{POOLS}/t4-pool", {"locations": ["us-central1-a", "us-central1-b"]})
        await cloud.done(begun)
        assert [one.zone for one in cloud.fleet.members("t4-pool")].count("us-central1-b") == 2


async def test_a_restart_keeps_everything(tmp_path):
    path = tmp_path / "gke.json"
    async with google(path=path) as cloud:
        _, begun = await cloud.ask("POST", POOLS, {"nodePool": node_pool()})
        await cloud.done(begun)
        await cloud.ask("POST", "/sandbox/v1/faults", {"kind": "slow-pull", "seconds": 5})
        cloud.keeper.write()
        before = json.loads(path.read_bytes())
    assert path.stat().st_mode & 0o777 == 0o600
    again = open_fleet(path)
    kept = json.loads(again.snapshot())
    for part in ("pools", "instances", "operations", "reservations", "faults"):
        assert kept[part] == before[part]
    path.write_text("{broken")
    assert set(open_fleet(path).state.pools) == {"default-pool", "l4-pool", "t4-pool", "l4-spot-pool", "v5e-pool"}


async def test_pretended_nodes_follow_the_option(tmp_path):
    path = tmp_path / "gke.json"
    for count in (3, 5, 0):
        fleet = open_fleet(path, count)
        assert len(fleet.members("simulated-pool")) == count
        assert ("simulated-pool" in fleet.state.pools) == (count > 0)
        Keeper(fleet, path).write()


@pytest.mark.parametrize("code", [403, 429, 500, 503])
async def test_apis_fail_on_demand(code):
    async with google() as cloud:
        fault = {"kind": "api-errors", "code": code, "count": 2, "api": "container"}
        assert (await cloud.ask("POST", "/sandbox/v1/faults", fault))[1]["id"] == "fault-1"
        answers = [(await cloud.ask("GET", POOLS))[0] for _ in range(3)]
        assert answers == [code, code, 200]
        assert (await cloud.ask("GET", "/sandbox/v1/faults"))[1] == {"faults": []}


GCLOUD = shutil.which("gcloud")


@pytest.mark.skipif(GCLOUD is None, reason="gcloud is not installed")
async def test_the_real_gcloud_works_on_node_pools(tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)

    async def gcloud(url, *words, code=0):
        environment = {
            **os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"), "CLOUDSDK_CORE_PROJECT": "sandbox",
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER": f"{url}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{url}/compute/v1/",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            GCLOUD, *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == code, err.decode()
        return out.decode() or err.decode()

    here = ("--cluster=sandbox", "--location=us-central1")
    async with google() as cloud:
        pools = ("container", "node-pools")
        made = await gcloud(
            cloud.url, *pools, "create", "spotty", *here, "--machine-type=g2-standard-8", "--spot", "--num-nodes=1",
            "--node-locations=us-central1-b", "--accelerator=type=nvidia-l4,count=1,gpu-driver-version=latest",
            "--node-labels=team=vision", "--format=json",
        )  # fmt: skip
        assert json.loads(made)[0]["status"] == "RUNNING"
        assert [one.zone for one in cloud.fleet.members("spotty")] == ["us-central1-b"]
        await gcloud(
            cloud.url, "container", "clusters", "resize", "sandbox", "--node-pool=spotty", "--num-nodes=2", here[1]
        )
        assert len(cloud.fleet.members("spotty")) == 2
        await gcloud(
            cloud.url, *pools, "update", "spotty", *here, "--enable-autoscaling", "--min-nodes=0", "--max-nodes=3"
        )
        assert cloud.fleet.pool("spotty").spec["autoscaling"]["maxNodeCount"] == 3
        refused = await gcloud(cloud.url, *pools, "create", "spotty", *here, code=1)
        assert "Already exists" in refused
        await gcloud(cloud.url, *pools, "delete", "spotty", *here)
        assert "spotty" not in cloud.fleet.state.pools
        types = json.loads(await gcloud(cloud.url, "compute", "accelerator-types", "list", "--format=json"))
        assert {"nvidia-l4", "nvidia-tesla-t4"} <= {one["name"] for one in types}
        region = json.loads(await gcloud(cloud.url, "compute", "regions", "describe", "us-central1", "--format=json"))
        assert {one["metric"]: one["usage"] for one in region["quotas"]}["NVIDIA_L4_GPUS"] == 12.0
        machine = await gcloud(
            cloud.url, "compute", "machine-types", "describe", "g2-standard-8", "--zone=us-central1-a", "--format=json"
        )
        assert json.loads(machine)["guestCpus"] == 8
