"""Which nodes a job's pods may go to: node selector, tolerations and accelerators, on Standard and on Autopilot.

Labels and taints: gke_facts 1.1 and 3.8 (GKE's own autoscaler, GoogleCloudPlatform/cluster-autoscaler, 2026-08-21;
AI-Hypercomputer/xpk, 2026-06-25); Autopilot: GKE documentation, "Deploy GPU workloads in Autopilot" (2026).
"""

from __future__ import annotations

from typing import Any

from gke_notebook import catalog
from gke_notebook.errors import InvalidInput
from gke_notebook.manifests.facts import NOTHING_KNOWN, ClusterFacts, ComputeClass
from gke_notebook.manifests.hosts import slice_of
from gke_notebook.specs import TrainSpec

ACCELERATOR = "cloud.google.com/gke-accelerator"
ACCELERATOR_COUNT = "cloud.google.com/gke-accelerator-count"
SPOT = "cloud.google.com/gke-spot"
FLEX_START = "cloud.google.com/gke-flex-start"
PROVISIONING = "cloud.google.com/gke-provisioning"
RESERVATION_NAME = "cloud.google.com/reservation-name"
RESERVATION_AFFINITY = "cloud.google.com/reservation-affinity"
COMPUTE_CLASS = "cloud.google.com/compute-class"
MACHINE_TYPE = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
ARCHITECTURE = "kubernetes.io/arch"
NODE_POOL = "cloud.google.com/gke-nodepool"


def node_selector(spec: TrainSpec, facts: ClusterFacts = NOTHING_KNOWN) -> dict[str, str]:
    """Give the labels that a job's nodes must have.

    Args:
        spec: the job.
        facts: its cluster.

    Raises:
        InvalidInput: Autopilot does not let one choose that.
    """
    selector: dict[str, str] = {}
    shape = slice_of(spec)
    if spec.accelerator is not None:
        selector[ACCELERATOR] = catalog.accelerator(spec.accelerator.type).label
        if facts.autopilot:
            # Without node pools the count decides which machine is made; a node pool with more GPUs may be shared.
            selector[ACCELERATOR_COUNT] = str(spec.accelerator.count)
    if spec.tpu is not None and shape is not None:
        kind = catalog.tpu(spec.tpu.type)
        selector[catalog.TPU_LABEL] = kind.label
        selector[catalog.TOPOLOGY_LABEL] = shape.text
        if len(catalog.variants(kind, shape.text)) > 1:
            # One topology on two machine types: a pod must not take half of the larger one.
            selector[ACCELERATOR_COUNT] = str(shape.chips_per_host)
    if spec.machine_type:
        if facts.autopilot:
            raise InvalidInput(
                f"--machine-type {spec.machine_type}: Autopilot chooses the machine by the accelerators, CPUs and "
                "memory of the pod; leave it out, or name a ComputeClass that has it: --compute-class NAME"
            )
        selector[MACHINE_TYPE] = spec.machine_type
    if spec.zone:
        selector[ZONE] = spec.zone
    selector.update(_provisioning(spec, facts))
    if spec.compute_class:
        selector[COMPUTE_CLASS] = spec.compute_class
    elif facts.autopilot and spec.accelerator is not None and (0, 0) < facts.version < (1, 30):
        # Older Autopilot gives accelerators only by this class; from 1.29.4-gke.1427000 on it is not needed.
        selector[COMPUTE_CLASS] = "Accelerator"
    return selector


def _provisioning(spec: TrainSpec, facts: ClusterFacts) -> dict[str, str]:
    if spec.provisioning == "spot":
        return {SPOT: "true"}
    if spec.provisioning == "flex-start":
        return {FLEX_START: "true"}
    if spec.provisioning == "reservation":
        named = {RESERVATION_NAME: spec.reservation}
        # On Autopilot the pod says what on Standard the node pool says.
        return {**named, RESERVATION_AFFINITY: "specific"} if facts.autopilot else named
    # Autopilot's nodes are on demand unless the pod asks otherwise.
    return {PROVISIONING: "standard"} if spec.provisioning == "on-demand" and not facts.autopilot else {}


def tolerations(spec: TrainSpec) -> list[dict[str, str]]:
    """Give the taints that a job's pods tolerate: of its accelerators, and of the way its nodes are had.

    The taint of queued provisioning is not among them: its nodes were booked for another job, and GKE lets in the one
    that they were booked for.

    Args:
        spec: the job.
    """
    found: list[dict[str, str]] = []
    if spec.accelerator is not None:
        kind = catalog.accelerator(spec.accelerator.type)
        found.append(_exists(kind.resource))
        if kind.architecture == "arm64":
            found.append(_equals(ARCHITECTURE, "arm64"))
    if spec.tpu is not None:
        found.append(_exists(catalog.TPU_RESOURCE))
    if spec.provisioning == "spot":
        found.append(_equals(SPOT, "true"))
    if spec.provisioning == "flex-start":
        found.append(_equals(FLEX_START, "true"))
    if spec.compute_class:
        # Node pools made by hand join a class by this taint; those that GKE makes for it have it too.
        found.append(_equals(COMPUTE_CLASS, spec.compute_class))
    return found


def _exists(key: str) -> dict[str, str]:
    return {"key": key, "operator": "Exists", "effect": "NoSchedule"}


def _equals(key: str, value: str) -> dict[str, str]:
    return {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}


def accelerators(spec: TrainSpec) -> dict[str, str]:
    """Give the accelerators that one pod requests, by resource.

    Args:
        spec: the job.

    Example:
        >>> from gke_notebook.specs import Program, TpuRequest
        >>> spec = TrainSpec("a", Program(""), "default", "r", "me", nodes=4, tpu=TpuRequest("v5e", "4x4"))
        >>> accelerators(spec)
        {'google.com/tpu': '4'}
    """
    if spec.accelerator is not None:
        return {catalog.accelerator(spec.accelerator.type).resource: str(spec.accelerator.count)}
    shape = slice_of(spec)
    return {} if shape is None else {catalog.TPU_RESOURCE: str(shape.chips_per_host)}


def matching_classes(spec: TrainSpec, facts: ClusterFacts) -> tuple[ComputeClass, ...]:
    """Give the ComputeClasses one of whose priorities offers what a job asks for.

    Args:
        spec: the job.
        facts: its cluster.
    """
    return tuple(found for found in facts.compute_classes or () if any(_offers(rule, spec) for rule in found.rules))


def _offers(rule: Any, spec: TrainSpec) -> bool:
    shape = slice_of(spec)
    if spec.tpu is not None and shape is not None:
        machine = shape.machine_type
        return rule.machine_type == machine or (
            rule.tpu == catalog.tpu(spec.tpu.type).label and rule.topology in {"", shape.text}
        )
    if spec.accelerator is None:
        return False
    kind = catalog.accelerator(spec.accelerator.type)
    if rule.gpu:
        return bool(rule.gpu == kind.label and rule.gpu_count in {0, spec.accelerator.count})
    return rule.machine_type in kind.machine_types and not kind.attach
