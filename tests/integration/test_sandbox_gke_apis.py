"""What else the sandbox's Google Cloud answers: Compute Engine, quotas, billing, and what only the sandbox has."""

from __future__ import annotations

import asyncio
import io
import json

import aiohttp
import pytest

from gke_notebook.sandbox.gke import capacity, shapes
from tests.support.google import TOKEN, google

COMPUTE = "/compute/v1/projects/sandbox"
ZONE = f"{COMPUTE}/zones/us-central1-a"
GROUP = f"{ZONE}/instanceGroupManagers/{shapes.group_name('l4-spot-pool', 'us-central1-a')}"
QUOTAS = "/v1/projects/sandbox/locations/global/services/compute.googleapis.com/quotaInfos"


async def test_what_there_is():
    async with google() as cloud:

        async def get(path):
            code, body = await cloud.ask("GET", f"{COMPUTE}{path}")
            assert code == 200, body
            return body

        assert {one["name"] for one in (await get("/regions"))["items"]} == set(capacity.regions())
        zones = {one["name"] for one in (await get("/zones"))["items"]}
        assert {"us-central1-a", "us-central1-f", "europe-west4-b"} <= zones
        assert (await get("/zones/us-central1-b"))["region"].endswith("/regions/us-central1")
        machines = {one["name"]: one for one in (await get("/zones/us-central1-a/machineTypes"))["items"]}
        assert machines["g2-standard-24"]["accelerators"] == [
            {"guestAcceleratorType": "nvidia-l4", "guestAcceleratorCount": 2}
        ]
        assert (machines["g2-standard-24"]["guestCpus"], machines["g2-standard-24"]["memoryMb"]) == (24, 98304)
        assert "a3-ultragpu-8g" not in machines
        assert (await get("/zones/us-central1-a/machineTypes/n2-standard-80"))["guestCpus"] == 80
        everywhere = (await get("/aggregated/acceleratorTypes"))["items"]
        names = {one["name"] for one in everywhere["zones/us-central1-a"]["acceleratorTypes"]}
        assert {"nvidia-l4", "nvidia-tesla-t4", "ct5lp"} <= names
        assert "nvidia-h200-141gb" not in names
        assert (await get("/zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4"))["maximumCardsPerInstance"] == 4
        reserved = (await get("/aggregated/reservations"))["items"]["zones/us-central1-b"]["reservations"]
        assert [one["name"] for one in reserved] == ["l4-reserved"]
        assert reserved[0]["specificReservation"]["inUseCount"] == "0"
        instances = (await get("/zones/us-central1-a/instances"))["items"]
        assert len(instances) == 9
        assert {one["labels"]["goog-k8s-node-pool-name"] for one in instances} == {"default-pool", "l4-pool", "t4-pool"}
        one = next(one for one in instances if one["labels"]["goog-k8s-node-pool-name"] == "t4-pool")
        assert one["guestAccelerators"][0]["acceleratorCount"] == 1
        assert (await get(f"/zones/us-central1-a/instances/{one['name']}"))["status"] == "RUNNING"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", f"{COMPUTE}/regions/mars", 404), ("GET", f"{COMPUTE}/zones/mars-a/instances", 404),
        ("GET", f"{ZONE}/machineTypes/none", 404), ("GET", f"{ZONE}/instances/none", 404),
        ("GET", f"{COMPUTE}/global/images", 501), ("POST", f"{ZONE}/instances", 501),
        ("POST", f"{ZONE}/instanceGroupManagers/none/resize?size=1", 404), ("POST", f"{GROUP}/resize?size=-1", 400),
        ("POST", f"{GROUP}/resize", 400), ("POST", f"{GROUP}/resize?size=1001", 400),
        ("POST", f"{GROUP}/recreate", 501),
        ("POST", f"{GROUP}/deleteInstances", 400), ("POST", f"{ZONE}/reservations", 400),
        ("GET", "/compute/v1/projects/other/zones", 403), ("GET", "/compute/v2/projects/sandbox/zones", 501),
        ("DELETE", f"{ZONE}/reservations/none", 404),
    ],
)  # fmt: skip
async def test_compute_refuses(method, path, code):
    async with google() as cloud:
        got, body = await cloud.ask(method, path)
        assert got == code, body
        assert body["error"]["errors"][0]["reason"]


async def test_a_group_is_resized_and_shows_why_it_gets_nothing():
    async with google() as cloud:
        await cloud.ask("POST", "/sandbox/v1/faults", {"kind": "stockout", "zone": "us-central1-a", "spot": True})
        code, operation = await cloud.ask("POST", f"{GROUP}/resize?size=2")
        assert (code, operation["status"]) == (200, "DONE")
        for _ in range(500):
            _, managed = await cloud.ask("POST", f"{GROUP}/listManagedInstances")
            if all("lastAttempt" in one for one in managed["managedInstances"]):
                break
            await asyncio.sleep(0.01)
        assert {one["currentAction"] for one in managed["managedInstances"]} == {"CREATING"}
        errors = (await cloud.ask("GET", f"{GROUP}/listErrors"))[1]["items"]
        assert {one["error"]["code"] for one in errors} == {"ZONE_RESOURCE_POOL_EXHAUSTED"}
        group = (await cloud.ask("GET", GROUP))[1]
        assert (group["targetSize"], group["currentActions"]["creating"], group["status"]["isStable"]) == (2, 2, False)
        listed = (await cloud.ask("GET", f"{ZONE}/instances"))[1]["items"]
        assert "l4-spot-pool" not in {one["labels"]["goog-k8s-node-pool-name"] for one in listed}
        links = [one["instance"] for one in managed["managedInstances"]]
        code, body = await cloud.ask("POST", f"{GROUP}/deleteInstances", {"instances": [links[0], "strange"]})
        assert code == 400
        assert (await cloud.ask("GET", GROUP))[1]["targetSize"] == 2
        code, body = await cloud.ask("POST", f"{GROUP}/deleteInstances", {"instances": links[:1]})
        assert code == 200, body
        assert (await cloud.ask("GET", GROUP))[1]["targetSize"] == 1
        await cloud.ask("DELETE", "/sandbox/v1/faults")
        for _ in range(500):
            if all(one.booted for one in cloud.fleet.members("l4-spot-pool")):
                break
            await asyncio.sleep(0.01)
        _, managed = await cloud.ask("POST", f"{GROUP}/listManagedInstances")
        assert [one["currentAction"] for one in managed["managedInstances"]] == ["NONE"]


async def test_reservations_are_made_used_and_deleted():
    async with google() as cloud:
        zone = f"{COMPUTE}/zones/us-central1-c"
        wanted = {
            "name": "mine", "specificReservationRequired": True,
            "specificReservation": {"count": "2", "instanceProperties": {"machineType": "g2-standard-8"}},
        }  # fmt: skip
        assert (await cloud.ask("POST", f"{zone}/reservations", wanted))[0] == 200
        assert (await cloud.ask("POST", f"{zone}/reservations", wanted))[0] == 409
        many = {**wanted, "name": "many", "specificReservation": {**wanted["specificReservation"], "count": 900}}
        assert (await cloud.ask("POST", f"{zone}/reservations", many))[0] == 403
        affinity = {
            "consumeReservationType": "SPECIFIC_RESERVATION", "key": "compute.googleapis.com/reservation-name",
            "values": ["mine"],
        }  # fmt: skip
        config = {"machineType": "g2-standard-8", "reservationAffinity": affinity}
        spec = {"name": "reserved", "initialNodeCount": 2, "locations": ["us-central1-c"], "config": config}
        path = "/v1/projects/sandbox/locations/us-central1/clusters/sandbox/nodePools"
        _, begun = await cloud.ask("POST", path, {"nodePool": spec})
        assert "error" not in await cloud.done(begun)
        assert (await cloud.ask("GET", f"{zone}/reservations/mine"))[1]["specificReservation"]["inUseCount"] == "2"
        labels = {one.labels["cloud.google.com/reservation-name"] for one in cloud.fleet.members("reserved")}
        assert labels == {"mine"}
        code, refused = await cloud.ask("DELETE", f"{zone}/reservations/mine")
        assert (code, "already being used" in refused["error"]["message"]) == (400, True)
        cloud.fleet.resize(cloud.fleet.pool("reserved"), "us-central1-c", 3)
        for _ in range(500):
            errors = {one.error[0] for one in cloud.fleet.members("reserved")} - {""}
            if errors:
                break
            await asyncio.sleep(0.01)
        assert errors == {"RESERVATION_CAPACITY_EXCEEDED"}
        _, begun = await cloud.ask("DELETE", f"{path}/reserved")
        await cloud.done(begun)
        assert (await cloud.ask("DELETE", f"{zone}/reservations/mine"))[0] == 200


async def test_quotas_with_and_without_dimensions():
    async with google() as cloud:
        _, body = await cloud.ask("GET", QUOTAS)
        infos = {one["quotaId"]: one for one in body["quotaInfos"]}
        families = infos["GPUS-PER-GPU-FAMILY-per-project-region"]
        assert (families["metric"], families["dimensions"]) == (
            "compute.googleapis.com/gpus_per_gpu_family", ["region", "gpu_family"],
        )  # fmt: skip
        found = [
            one["details"]["value"]
            for one in families["dimensionsInfos"]
            if one["dimensions"] == {"region": "us-central1", "gpu_family": "NVIDIA_H100"}
        ]
        assert found == ["8"]
        assert "tpu_family" in infos["TPUS-PER-TPU-FAMILY-per-project-region"]["dimensions"]
        assert (await cloud.ask("GET", f"{QUOTAS}/NVIDIA-L4-GPUS-per-project-region"))[1]["dimensions"] == ["region"]
        assert (await cloud.ask("GET", f"{QUOTAS}/none"))[0] == 404
        assert (await cloud.ask("GET", QUOTAS.replace("sandbox", "other")))[0] == 403
        _, region = await cloud.ask("GET", f"{COMPUTE}/regions/us-central1")
        shown = {one["metric"]: (one["usage"], one["limit"]) for one in region["quotas"]}
        # Four machines with two GPUs each, and two reserved ones.
        assert shown["NVIDIA_L4_GPUS"] == (12.0, 20.0)
        assert not any(":" in metric or "FAMILY" in metric for metric in shown)
        _, project = await cloud.ask("GET", COMPUTE)
        assert project["quotas"] == [{"metric": "GPUS_ALL_REGIONS", "limit": 64.0, "usage": 16.0}]
        assert (await cloud.ask("GET", "/v1/services"))[1]["services"]


async def test_machines_are_told_as_soon_as_they_change():
    async with google(factor=20.0) as cloud:
        code, first = await cloud.ask("GET", "/sandbox/v1/instances")
        assert (code, len(first["instances"])) == (200, 9)
        path = f"/sandbox/v1/instances?since={first['revision']}&timeout=30"
        waiting = asyncio.create_task(cloud.ask("GET", path))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await cloud.ask("POST", f"{GROUP}/resize?size=1")
        _, second = await waiting
        assert second["revision"] > first["revision"]
        assert len(second["instances"]) == 10
        path = f"/sandbox/v1/instances?since={second['revision']}&timeout=0"
        assert (await cloud.ask("GET", path))[0] == 200
        for bad in ("since=x", "since=-1", "timeout=1e9", "timeout=nan"):
            assert (await cloud.ask("GET", f"/sandbox/v1/instances?{bad}"))[0] == 400


async def test_a_spot_machine_is_taken_back_and_made_again():
    async with google() as cloud:
        await cloud.ask("POST", f"{GROUP}/resize?size=1")
        for _ in range(500):
            (one,) = cloud.fleet.members("l4-spot-pool")
            if one.booted:
                break
            await asyncio.sleep(0.01)
        assert (await cloud.ask("POST", f"/sandbox/v1/instances/{one.name}:preempt")) == (200, {})
        assert (one.status, one.stopping) == ("STOPPING", "preempted")
        for _ in range(500):
            (again,) = cloud.fleet.members("l4-spot-pool")
            if again is not one and again.booted:
                break
            await asyncio.sleep(0.01)
        assert (again.name, again.status) == (one.name, "RUNNING")
        steady = cloud.fleet.members("l4-pool")[0].name
        code, refused = await cloud.ask("POST", f"/sandbox/v1/instances/{steady}:preempt")
        assert (code, "not a spot VM" in refused["error"]["message"]) == (400, True)
        assert (await cloud.ask("POST", "/sandbox/v1/instances/none:preempt"))[0] == 404
        assert (await cloud.ask("POST", "/sandbox/v1/instances/none:stopped"))[0] == 200
        assert (await cloud.ask("POST", f"/sandbox/v1/instances/{steady}:explode"))[0] == 404


async def test_the_clock_is_set():
    async with google(factor=1.0) as cloud:
        assert (await cloud.ask("GET", "/sandbox/v1/clock"))[1]["factor"] == 1.0
        assert (await cloud.ask("PUT", "/sandbox/v1/clock", {"factor": 500}))[1]["factor"] == 500.0
        for bad in ({"factor": 0}, {"factor": 1e9}, {"factor": "x"}, {}, {"factor": 1, "speed": 2}):
            assert (await cloud.ask("PUT", "/sandbox/v1/clock", bad))[0] == 400, bad
        assert cloud.fleet.clock.factor == 500.0


@pytest.mark.parametrize(
    "fault",
    [
        {}, {"kind": "fire"}, {"kind": "api-errors", "code": 200}, {"kind": "api-errors", "api": "mars"},
        {"kind": "quota"}, {"kind": "quota", "metric": "X", "limit": -1}, {"kind": "slow-pull", "seconds": -1},
        {"kind": "stockout", "spots": True}, [], "x",
    ],
)  # fmt: skip
async def test_faults_that_do_nothing_are_refused(fault):
    async with google() as cloud:
        assert (await cloud.ask("POST", "/sandbox/v1/faults", fault))[0] == 400
        assert (await cloud.ask("GET", "/sandbox/v1/faults"))[1] == {"faults": []}
        assert (await cloud.ask("DELETE", "/sandbox/v1/faults/none"))[0] == 404


PATHS = ["/v1/services", COMPUTE, QUOTAS, "/sandbox/v1/instances", "/sandbox/v1/faults", "/sandbox/v1/clock", GROUP]


@pytest.mark.parametrize("path", PATHS)
async def test_no_part_is_told_without_the_token(path):
    async with google() as cloud:
        assert (await cloud.ask("GET", path))[0] == 200
        for token in ("", "wrong", TOKEN[:-1]):
            code, body = await cloud.ask("GET", path, token=token)
            assert (code, body["error"]["status"]) == (401, "UNAUTHENTICATED")
            assert TOKEN not in json.dumps(body)
        for headers in ({"Host": "example.com"}, {"Origin": "https://example.com"}):
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}", **headers}) as http,
                http.get(f"{cloud.url}{path}") as response,
            ):
                assert response.status == 403


async def test_a_body_that_is_too_large_is_refused():
    async with (
        google() as cloud,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
        http.post(f"{cloud.url}/sandbox/v1/faults", data=io.BytesIO(b" " * (2**20 + 1))) as response,
    ):
        assert response.status == 413
