"""Node pools from option words to the request: what is refused and with what advice, and what is sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook import catalog, names
from gke_notebook.errors import InvalidInput
from gke_notebook.manifests.node_pool import create_request, digest, resource_value, workload_policy
from gke_notebook.request.node_pool import Place, build_node_pool
from gke_notebook.request.node_pool_rules import Reserved, check_reservation
from gke_notebook.sandbox.gke import pool_rules, wire
from gke_notebook.specs import AcceleratorRequest, NodePoolSpec, NodeTaint

PLACE = Place("us-central1", ("us-central1-a", "us-central1-b", "us-central1-c"))
NOW = 1_000_000.0


def build(name: object = "mine", place: Place = PLACE, **options: object) -> NodePoolSpec:
    return build_node_pool(name, place, owner="Ada", now=NOW, **options)  # type: ignore[arg-type]


def accepted(spec: NodePoolSpec) -> dict:
    """What the sandbox's API makes of the request; it raises when it refuses it."""
    pool = wire.checked("CreateNodePoolRequest", create_request(spec))["nodePool"]
    made = pool_rules.completed(pool)
    pool_rules.check(made)
    return made


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "--gpu TYPE:COUNT, --tpu TYPE:TOPOLOGY or --machine-type NAME"),
        ({"gpu": "l4:3"}, "a node can have 1, 2, 4, 8; the nearest is l4:4"),
        ({"gpu": "l4", "tpu": "v5e:2x2"}, "keep one of them"),
        ({"gpu": "l4:1", "machine_type": "g2-standard-24"}, "--machine-type g2-standard-4"),
        ({"tpu": "v5e:4x5"}, "--tpu v5e:4x8"),
        ({"tpu": "v5e:4x4*2"}, "make 2 pools, each with --tpu v5e:4x4"),
        ({"tpu": "v5e:4x4", "nodes": 3}, "4 nodes or none, not 3: --nodes 4"),
        ({"tpu": "v5e:4x4", "max_nodes": 8}, "from 0 to 4, not 8: --max 4"),
        ({"tpu": "v5e:4x4", "min_nodes": 1}, "--min 0 or --min 4"),
        ({"tpu": "v6e:4x4", "zones": "us-central1-a,us-central1-b"}, "one zone, not 2; the nearest is --zone us-"),
        ({"tpu": "v5p:2x2x2", "zones": "us-central1-f"}, "--zone us-central1-a"),
        ({"gpu": "h200:8"}, "choose one of: spot, flex-start, reservation"),
        ({"gpu": "b200:8"}, "choose one of: spot, flex-start, reservation"),
        ({"gpu": "l4", "min_nodes": 5, "max_nodes": 2}, "write --min 2 --max 5"),
        ({"gpu": "l4", "nodes": 9, "max_nodes": 2}, "the nearest is --nodes 2"),
        ({"gpu": "l4", "nodes": 0, "max_nodes": 0}, "out of range"),
        ({"gpu": "l4", "nodes": 0}, "write --nodes 1, or --max 1"),
        ({"gpu": "l4", "nodes": 3, "zones": "us-central1-a,us-central1-b"}, "the nearest is --nodes 4, or name one"),
        ({"gpu": "l4", "nodes": 2, "per_zone": True}, "write --max too"),
        ({"gpu": "l4", "zones": "europe-west4-a"}, "the nearest is --zone us-central1-a"),
        ({"gpu": "l4", "zones": "us-central1"}, "is a region; name a zone of it"),
        ({"gpu": "l4", "zones": "us-central1-a,us-central1-a"}, "twice; write us-central1-a"),
        ({"gpu": "l4", "spot": True, "flex": True}, "exclude each other"),
        ({"gpu": "l4", "spot": True, "reservation": "r"}, "exclude each other"),
        ({"gpu": "l4", "spot": True, "queued": True}, "leave --spot out"),
        ({"gpu": "l4", "reservation": "r", "queued": True}, "leave --reservation out"),
        ({"gpu": "l4", "queued": True, "min_nodes": 1}, "leave --min and --nodes out"),
        ({"gpu": "l4", "flex": True, "nodes": 2}, "leave --nodes out and write --max 2"),
        ({"gpu": "l4", "flex": True, "max_run_duration": "8d"}, "the nearest is --max-run-duration 7d"),
        ({"gpu": "l4", "flex": True, "compact": True}, "leave --compact out"),
        ({"gpu": "l4", "compact": True, "queued": True}, "leave --compact out"),
        ({"gpu": "l4", "compact": True, "max_nodes": 500}, "the nearest is --max 150"),
        ({"gpu": "l4", "compact": True, "nodes": 151}, "the nearest is --nodes 150"),
        ({"machine_type": "e2-standard-8", "compact": True}, "leave --compact out"),
        ({"gpu": "l4", "reservation": "No Such"}, "projects/PROJECT/reservations/NAME, or any"),
        ({"gpu": "a100", "partition": "1g.6gb"}, "did you mean '1g.5gb'?"),
        ({"gpu": "l4", "partition": "1g.5gb"}, "leave --mig out"),
        ({"gpu": "l4", "sharing": "time-sharing:100"}, "the nearest is --sharing time-sharing:48"),
        ({"gpu": "l4", "sharing": "mps:1"}, "the nearest is --sharing mps:2"),
        ({"gpu": "l4", "sharing": "mpz:4"}, "'mps'"),
        ({"machine_type": "e2-standard-8", "sharing": "mps:2"}, "--sharing is for GPUs"),
        ({"tpu": "v5e:2x2", "driver": "latest"}, "--driver is for GPUs"),
        ({"gpu": "l4", "driver": "newest"}, "choose one of: default, disabled, latest"),
        ({"gpu": "l4", "local_ssds": 9}, "the nearest is --local-ssd 1"),
        ({"gpu": "a100-80gb", "local_ssds": 4}, "always comes with 1 local SSD"),
        ({"gpu": "h200", "spot": True, "disk_type": "pd-ssd"}, "write --disk-type hyperdisk-balanced"),
        ({"gpu": "l4", "disk": "5GB"}, "the nearest is --disk 10GB"),
        ({"gpu": "l4", "labels": ["team vision"]}, "write for example team=vision"),
        ({"gpu": "l4", "labels": {"team": "a b"}}, "the nearest is team=a-b"),
        ({"gpu": "l4", "taints": ["team=vision:Never"]}, "choose one of: NoExecute, NoSchedule, PreferNoSchedule"),
        ({"gpu": "l4", "taints": ["team"]}, "write for example team=vision:NoSchedule"),
        ({"gpu": "l4", "lease": "soon"}, "--lease 'soon' is no duration"),
        ({"gpu": "l4", "workload_metadata": "secure"}, "choose one of: gce, gke"),
        ({"name": "My Pool", "gpu": "l4"}, "use 'my-pool'"),
        ({"name": "p" * 41, "gpu": "l4"}, "at most 40"),
        ({"gpu": "l4", "place": Place("us-central1", autopilot=True)}, "Autopilot"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_nearest_that_can(options: dict, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        build(**options)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "again"),
    [
        ({"gpu": "l4", "min_nodes": 5, "max_nodes": 2}, {"gpu": "l4", "min_nodes": 2, "max_nodes": 5}),
        ({"tpu": "v5e:4x4", "nodes": 3}, {"tpu": "v5e:4x4", "nodes": 4}),
        ({"tpu": "v5p:2x2x2", "zones": "us-central1-f"}, {"tpu": "v5p:2x2x2", "zones": "us-central1-a"}),
        ({"gpu": "l4", "sharing": "mps:1"}, {"gpu": "l4", "sharing": "mps:2"}),
        ({"gpu": "l4", "flex": True, "nodes": 2}, {"gpu": "l4", "flex": True, "max_nodes": 2}),
        ({"gpu": "l4", "compact": True, "max_nodes": 500}, {"gpu": "l4", "compact": True, "max_nodes": 150}),
    ],
    ids=str,
)
def test_what_is_suggested_can_be_had(written: dict, again: dict) -> None:
    with pytest.raises(InvalidInput):
        build(**written)
    accepted(build(**again))


def test_the_request_of_a_spot_pool_is_the_documented_one() -> None:
    spec = build(
        gpu="l4", spot=True, machine_type="g2-standard-12", labels={"team": "vision"}, taints="team=v:NoExecute"
    )
    pool = create_request(spec)["nodePool"]
    config = pool["config"]
    assert config["machineType"] == "g2-standard-12"
    assert config["accelerators"] == [
        {
            "acceleratorCount": "1",
            "acceleratorType": "nvidia-l4",
            "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"},
        }
    ]
    assert (config["spot"], config["gvnic"], config["gcfsConfig"]) == (True, {"enabled": True}, {"enabled": True})
    assert config["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert config["shieldedInstanceConfig"] == {"enableSecureBoot": True, "enableIntegrityMonitoring": True}
    assert config["reservationAffinity"] == {"consumeReservationType": "NO_RESERVATION"}
    assert config["taints"] == [
        {"key": "team", "value": "v", "effect": "NO_EXECUTE"},
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"},
    ]
    assert pool["locations"] == ["us-central1-a", "us-central1-b", "us-central1-c"]
    assert pool["autoscaling"] == {
        "enabled": True, "totalMinNodeCount": 0, "totalMaxNodeCount": 4, "locationPolicy": "ANY",
    }  # fmt: skip
    assert pool["initialNodeCount"] == 0
    lease = str(int(NOW) + 8 * 3600)
    assert config["labels"] == {
        "team": "vision", names.MANAGED_BY: "gke-notebook", names.OWNER: "Ada", names.LEASE: lease,
    }  # fmt: skip
    assert config["resourceLabels"][names.RESOURCE_LEASE] == lease
    assert config["resourceLabels"][names.RESOURCE_OWNER] == "ada"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"gpu": "h200", "flex": True}, {"flexStart": True, "maxRunDuration": "604800s"}),
        ({"gpu": "l4", "reservation": "any"}, {"reservationAffinity": {"consumeReservationType": "ANY_RESERVATION"}}),
        (
            {"gpu": "l4", "reservation": "projects/shared-one/reservations/r"},
            {"reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION",
                                     "key": "compute.googleapis.com/reservation-name",
                                     "values": ["projects/shared-one/reservations/r"]}},
        ),
        ({"gpu": "l4", "local_ssds": 1}, {"ephemeralStorageLocalSsdConfig": {"localSsdCount": 1}}),
        ({"gpu": "l4", "disk": "200GB", "disk_type": "pd-ssd"}, {"diskSizeGb": 200, "diskType": "pd-ssd"}),
        ({"gpu": "l4", "secure_boot": False}, {"shieldedInstanceConfig": {"enableSecureBoot": False,
                                                                          "enableIntegrityMonitoring": True}}),
        ({"machine_type": "e2-standard-8"}, {"machineType": "e2-standard-8"}),
    ],
    ids=str,
)  # fmt: skip
def test_options_become_fields(options: dict, expected: dict) -> None:
    config = create_request(build(**options))["nodePool"]["config"]
    assert {key: config[key] for key in expected} == expected


def test_shared_gpus_and_partitions() -> None:
    [entry] = create_request(build(gpu="a100:8", sharing="mps:4", partition="1g.5gb"))["nodePool"]["config"][
        "accelerators"
    ]
    assert entry["gpuSharingConfig"] == {"gpuSharingStrategy": "MPS", "maxSharedClientsPerGpu": "4"}
    assert entry["gpuPartitionSize"] == "1g.5gb"


def test_a_slice_of_several_hosts_is_one_pool_of_fixed_size_in_one_zone() -> None:
    spec = build(tpu="v5e:4x4")
    assert (spec.hosts, spec.zones, spec.min_nodes, spec.max_nodes) == (4, ("us-central1-a",), 0, 4)
    pool = create_request(spec)["nodePool"]
    assert pool["placementPolicy"] == {"type": "COMPACT", "tpuTopology": "4x4"}
    assert "accelerators" not in pool["config"]
    assert accepted(spec)["config"]["taints"][0]["key"] == "google.com/tpu"


def test_a_single_host_needs_no_placement() -> None:
    pool = create_request(build(tpu="v5e:2x4", max_nodes=3))["nodePool"]
    assert "placementPolicy" not in pool
    assert pool["config"]["machineType"] == "ct5lp-hightpu-8t"


def test_slices_of_the_newest_generation_are_placed_by_a_workload_policy() -> None:
    spec = build(tpu="tpu7x:2x2x2", zones="us-central1-c", nodes=2)
    assert create_request(spec)["nodePool"]["placementPolicy"] == {"policyName": "mine-2x2x2"}
    policy = workload_policy(spec)
    assert policy is not None
    assert policy["workloadPolicy"] == {"type": "HIGH_THROUGHPUT", "acceleratorTopology": "2x2x2"}
    assert workload_policy(build(tpu="v5e:4x4")) is None


def test_a_tpu_by_flex_start_has_limits_for_each_zone() -> None:
    scaling = create_request(build(tpu="v5e:4x4", flex=True))["nodePool"]["autoscaling"]
    assert (scaling["maxNodeCount"], scaling["locationPolicy"]) == (4, "ANY")


def test_the_digest_is_of_what_is_asked_for_and_not_of_the_lease() -> None:
    def digest_of(**options: object) -> str:
        return create_request(build(gpu="l4", **options))["nodePool"]["config"]["resourceLabels"][names.RESOURCE_DIGEST]

    assert digest_of() == digest_of(lease="2h")
    assert len({digest_of(), digest_of(spot=True), digest_of(max_nodes=2), digest_of(labels={"a": "b"})}) == 4
    pool = create_request(build(gpu="l4"))["nodePool"]
    assert digest(pool) == pool["config"]["resourceLabels"][names.RESOURCE_DIGEST]


RESERVATIONS = (
    Reserved("l4-reserved", "us-central1-b", "g2-standard-24", 2),
    Reserved("far", "europe-west4-a", "g2-standard-4", 2),
)


@pytest.mark.parametrize(
    ("options", "named", "said"),
    [
        ({"gpu": "l4:2", "reservation": "l4-reservd"}, (), "did you mean 'l4-reserved'?"),
        ({"gpu": "l4:1", "reservation": "l4-reserved"}, (), "--machine-type g2-standard-24 --reservation l4-reserved"),
        ({"gpu": "l4:2", "reservation": "l4-reserved"}, ("us-central1-a",), "--zone us-central1-b"),
        ({"gpu": "l4:1", "reservation": "far"}, (), "outside the cluster's region"),
    ],
)
def test_a_reservation_that_does_not_fit_is_refused(options: dict, named: tuple, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_reservation(build(**options), RESERVATIONS, "us-central1", named)
    assert said in str(refused.value)


def test_a_reservation_puts_the_pool_into_its_zone() -> None:
    spec = build(gpu="l4:2", reservation="l4-reserved")
    assert check_reservation(spec, RESERVATIONS, "us-central1").zones == ("us-central1-b",)
    anyone = build(gpu="l4:2", reservation="any")
    assert check_reservation(anyone, (), "us-central1") == anyone


@pytest.mark.parametrize(
    ("options", "zones", "each"),
    [
        ({"nodes": 2}, 1, 2),
        ({"nodes": 2, "max_nodes": 6}, 1, 2),
        ({"nodes": 3, "max_nodes": 6}, 3, 1),
        ({"max_nodes": 6}, 3, 0),
        ({"nodes": 4, "zones": "us-central1-a,us-central1-b"}, 2, 2),
    ],
)
def test_so_many_nodes_are_so_many_in_all(options: dict, zones: int, each: int) -> None:
    pool = create_request(build(gpu="l4", **options))["nodePool"]
    assert (len(pool["locations"]), pool["initialNodeCount"]) == (zones, each)


def test_python_values_are_taken_too() -> None:
    spec = build(gpu=AcceleratorRequest("l4", 2), zones=["us-central1-b"], labels=[("a", "b")], taints=[NodeTaint("k")])
    assert (spec.machine_type, spec.zones, spec.labels, spec.taints) == (
        "g2-standard-24", ("us-central1-b",), (("a", "b"),), (NodeTaint("k"),),
    )  # fmt: skip


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "gpu": st.sampled_from([f"{one.name}:{count}" for one in catalog.accelerators() for count in one.counts]),
        "tpu": st.sampled_from(["v5e:2x2", "v5e:4x4", "v5e:2x4", "v6e:4x8", "v5p:2x2x2", "v4:2x2x4"]),
        "spot": st.booleans(),
        "flex": st.booleans(),
        "queued": st.booleans(),
        "compact": st.booleans(),
        "per_zone": st.booleans(),
        "nodes": st.integers(0, 6),
        "min_nodes": st.integers(0, 4),
        "max_nodes": st.integers(1, 8),
        "zones": st.lists(st.sampled_from(["us-central1-a", "us-central1-b", "us-central1-c"]), max_size=2),
        "sharing": st.sampled_from(["time-sharing:4", "mps:2"]),
        "local_ssds": st.integers(0, 4),
        "reservation": st.just("any"),
        "max_run_duration": st.sampled_from(["1h", "7d"]),
    },
)


@settings(max_examples=300, deadline=None)
@given(OPTIONS)
def test_what_is_not_refused_here_is_not_refused_by_the_api(options: dict) -> None:
    try:
        spec = build(**options)
    except InvalidInput:
        return
    # The price list knows zones that the sandbox does not have.
    if spec.machine_type.startswith(("g4-", "a4x", "tpu7", "ct4p", "a3-edge")):
        return
    accepted(spec)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_owner_is_a_label(text: str) -> None:
    value = resource_value(text)
    assert len(value) <= 63
    assert value == value.lower()
    assert resource_value(value) == value
