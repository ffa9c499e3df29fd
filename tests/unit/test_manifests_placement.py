"""Selectors and tolerations of Standard and Autopilot, matching ComputeClasses, GPUDirect where it can be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gke_notebook import catalog, names
from gke_notebook.errors import InvalidInput
from gke_notebook.manifests import ClassRule, ClusterFacts, ComputeClass, gpudirect, placement, render
from gke_notebook.specs import AcceleratorRequest, TpuRequest
from tests.support.manifest_cases import AUTOPILOT, CASES, FACTS, H100, L4, STANDARD, make


def test_on_standard_any_node_with_the_gpu_will_do_and_on_autopilot_the_count_makes_the_node() -> None:
    assert placement.node_selector(make(accelerator=L4), STANDARD) == {placement.ACCELERATOR: "nvidia-l4"}
    assert placement.node_selector(make(accelerator=L4), AUTOPILOT) == {
        placement.ACCELERATOR: "nvidia-l4",
        placement.ACCELERATOR_COUNT: "1",
    }
    old = replace(AUTOPILOT, version=(1, 28))
    assert placement.node_selector(make(accelerator=L4), old)[placement.COMPUTE_CLASS] == "Accelerator"
    assert placement.node_selector(make(), AUTOPILOT) == {}


def test_on_demand_is_asked_for_only_where_spot_nodes_could_take_it() -> None:
    spec = make(accelerator=L4, provisioning="on-demand")
    assert placement.node_selector(spec, STANDARD)[placement.PROVISIONING] == "standard"
    assert placement.PROVISIONING not in placement.node_selector(spec, AUTOPILOT)


def test_autopilot_chooses_machines_itself() -> None:
    with pytest.raises(InvalidInput, match="--compute-class NAME"):
        placement.node_selector(make(accelerator=L4, machine_type="g2-standard-8"), AUTOPILOT)


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_privileged_and_autopilot_gets_no_paths_of_the_node(case: str) -> None:
    work = render(CASES[case], FACTS[case])[-1]
    job = work if work["kind"] == "Job" else work["spec"]["replicatedJobs"][0]["template"]
    pod = job["spec"]["template"]["spec"]
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        assert not container["securityContext"].get("privileged")
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    paths = [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume]
    assert not (paths and FACTS[case].autopilot)
    assert bool(paths) == (case in {"h100-tcpx", "h100-mega-tcpxo"})
    assert pod["terminationGracePeriodSeconds"] <= 25


def test_every_accelerator_is_tolerated_and_limited() -> None:
    kinds = [make(accelerator=AcceleratorRequest(one.name, one.counts[0])) for one in catalog.accelerators()]
    kinds += [make(tpu=TpuRequest(one.name, catalog.topologies(one)[0].text)) for one in catalog.tpus()]
    for spec in kinds:
        pod = render(spec)[-1]["spec"]["template"]["spec"]
        limits = pod["containers"][0]["resources"]["limits"]
        (resource,) = set(limits) - {"memory"}
        assert {"key": resource, "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
        assert {volume["name"] for volume in pod["volumes"]} >= {"shared-memory"}


def test_several_slices_need_jobset() -> None:
    spec = make(nodes=8, tpu=TpuRequest("v5e", "4x4", 2))
    with pytest.raises(InvalidInput, match="take one slice: --tpu v5e:4x4"):
        render(spec, ClusterFacts())
    jobset = render(spec, STANDARD)[-1]
    assert jobset["metadata"]["annotations"][names.EXCLUSIVE_TOPOLOGY] == placement.NODE_POOL
    single = render(make(nodes=2, tpu=TpuRequest("v5e", "2x2", 2)), STANDARD)[-1]
    assert names.EXCLUSIVE_TOPOLOGY not in single["metadata"]["annotations"], "hosts of one machine share a node pool"


def test_classes_that_offer_the_job() -> None:
    classes = (
        ComputeClass("any-l4", (ClassRule(machine_type="e2-standard-8"), ClassRule(gpu="nvidia-l4", spot=True))),
        ComputeClass("two-l4", (ClassRule(gpu="nvidia-l4", gpu_count=2),)),
        ComputeClass("machine", (ClassRule(machine_type="g2-standard-8"),)),
        ComputeClass("slices", (ClassRule(tpu="tpu-v5-lite-podslice", topology="4x4"),)),
    )
    facts = replace(STANDARD, compute_classes=classes)

    def offered(**more: object) -> list[str]:
        return [one.name for one in placement.matching_classes(make(**more), facts)]

    assert offered(accelerator=L4) == ["any-l4", "machine"]
    assert offered(accelerator=AcceleratorRequest("t4", 1)) == []
    assert offered(nodes=4, tpu=TpuRequest("v5e", "4x4")) == ["slices"]
    assert offered(nodes=2, tpu=TpuRequest("v5e", "2x2", 2)) == []
    assert offered() == []


NETWORKS = ("vpc1", "vpc2", "vpc3", "vpc4")


def test_gpudirect_only_where_the_cluster_has_its_networks() -> None:
    spec = make(nodes=2, accelerator=H100)
    facts = replace(STANDARD, networks=NETWORKS)
    assert gpudirect.usable(spec, facts) is not None
    assert "is wired; the DaemonSet nccl-tcpx-installer" in gpudirect.note(spec, facts)
    for other, text in (
        (STANDARD, "has none of the networks"),
        (replace(STANDARD, networks=("one",)), "has 1 of the 4 networks"),
        (replace(AUTOPILOT, networks=NETWORKS), "Autopilot allows no paths"),
    ):
        assert gpudirect.usable(spec, other) is None
        assert text in gpudirect.note(spec, other)
    for alone in (make(accelerator=H100), make(nodes=2, accelerator=AcceleratorRequest("h100", 4)), make(nodes=2)):
        assert gpudirect.wanted(alone) is None
        assert gpudirect.note(alone, facts) == ""


def test_the_cluster_s_own_names_of_networks_are_used_in_order() -> None:
    spec = make(nodes=2, accelerator=AcceleratorRequest("h100-mega", 8))
    facts = replace(STANDARD, networks=tuple(f"net-{number}" for number in (10, 9, 8, 7, 6, 5, 4, 3)))
    job = render(spec, facts)[-1]
    listed = json.loads(job["spec"]["template"]["metadata"]["annotations"]["networking.gke.io/interfaces"])
    assert [one["network"] for one in listed] == ["default", *(f"net-{number}" for number in range(3, 11))]
    assert "networking.gke.io/interfaces" not in job["metadata"]["annotations"]


def test_a_variable_of_the_user_s_goes_before_that_of_the_network() -> None:
    job = render(CASES["h100-tcpx"], FACTS["h100-tcpx"])[-1]
    pod = job["spec"]["template"]["spec"]
    values = [one["value"] for one in pod["containers"][0]["env"] if one["name"] == "NCCL_ALGO"]
    assert values == ["Ring"]
    assert pod["containers"][0]["securityContext"]["capabilities"]["add"] == ["IPC_LOCK"]
    (daemon,) = pod["initContainers"]
    assert daemon["restartPolicy"] == "Always"
    assert {mount["mountPath"] for mount in daemon["volumeMounts"]} == {"/run/tcpx", "/usr/local/nvidia/lib64"}
