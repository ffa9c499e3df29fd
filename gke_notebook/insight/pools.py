"""Node pools as the GKE API tells them, seen by a job that looks for room; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gke_notebook import catalog
from gke_notebook.errors import InvalidInput
from gke_notebook.insight.demand import GPU, POOL_LABEL, TPU, Amounts, amount_of
from gke_notebook.objects import Manifest, Node, Taint

ZONE_LABEL = "topology.kubernetes.io/zone"
MACHINE_LABEL = "node.kubernetes.io/instance-type"
ACCELERATOR_LABEL = "cloud.google.com/gke-accelerator"
COUNT_LABEL = "cloud.google.com/gke-accelerator-count"
PROVISIONING_LABEL = "cloud.google.com/gke-provisioning"
_OF_ONE_NODE = {ZONE_LABEL, "kubernetes.io/hostname", "failure-domain.beta.kubernetes.io/zone"}
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}
_MAX_PODS = 110.0  # GKE's default


@dataclass(frozen=True)
class Pool:
    """A node pool.

    Args:
        name: its name.
        labels: of its nodes, but for the zone.
        taints: of its nodes.
        allocatable: what an idle node has for pods, by resource (cores, bytes or a count).
        zones: where it may have nodes.
        sizes: nodes by zone, as they are now.
        most: how many nodes it may have in all; its size when it does not scale, None for no limit.
        most_per_zone: how many in each zone, None when only the sum is limited.
        machine_type: of its nodes.
        accelerator: the label of the GPU or TPU, empty for none.
        each: accelerators on one node.
        provisioning: ``on-demand``, ``spot``, ``flex-start`` or ``reservation``.
        scales: whether the autoscaler changes its size.
        hosts: nodes that come and go together, as those of a TPU slice do; 1 for others.
        status: as the API has it.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    allocatable: Amounts = field(default_factory=dict)
    zones: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    most: int | None = 0
    most_per_zone: int | None = None
    machine_type: str = ""
    accelerator: str = ""
    each: int = 0
    provisioning: str = "on-demand"
    scales: bool = False
    hosts: int = 1
    status: str = "RUNNING"

    @property
    def size(self) -> int:
        """How many nodes it has now."""
        return sum(self.sizes.values())

    def room_for_nodes(self, zone: str) -> int:
        """Say how many nodes may still come in a zone.

        Args:
            zone: one of its zones.
        """
        if not self.scales:
            return 0
        left = 10**6 if self.most is None else self.most - self.size
        if self.most_per_zone is not None:
            left = min(left, self.most_per_zone - self.sizes.get(zone, 0))
        return max(0, left)


def pools_of(cluster: Manifest, nodes: Iterable[Node]) -> tuple[Pool, ...]:
    """Give the node pools of a cluster.

    Args:
        cluster: the GKE API's `Cluster`, as JSON.
        nodes: the cluster's nodes, which tell how many of each pool there are.
    """
    there: dict[str, list[Node]] = {}
    for node in nodes:
        there.setdefault(node.metadata.labels.get(POOL_LABEL, ""), []).append(node)
    return tuple(_pool(one, there.get(one["name"], ())) for one in cluster.get("nodePools") or ())


def _pool(api: Manifest, nodes: Sequence[Node]) -> Pool:
    config, scaling = api.get("config") or {}, api.get("autoscaling") or {}
    machine_type = config.get("machineType", "")
    given = (config.get("accelerators") or [{}])[0]
    zones = tuple(api.get("locations") or ())
    sizes: dict[str, int] = {}
    for node in nodes:
        zone = node.metadata.labels.get(ZONE_LABEL, "")
        sizes[zone] = sizes.get(zone, 0) + 1
    accelerator, each = given.get("acceleratorType", ""), int(given.get("acceleratorCount") or 0)
    machine = _machine(machine_type, accelerator, each)
    if machine is not None and not accelerator:
        accelerator, each = machine.accelerator, machine.accelerator_count
    provisioning = _provisioning(config, api)
    topology = (api.get("placementPolicy") or {}).get("tpuTopology", "")
    hosts = _hosts(accelerator, topology, machine_type)
    labels, taints, allocatable = _of_nodes(nodes)
    labels = {**_labels(api, machine_type, accelerator, each, provisioning, topology), **labels}
    scales = bool(scaling.get("enabled"))
    per_zone = int(scaling["maxNodeCount"]) if scales and scaling.get("maxNodeCount") else None
    total = int(scaling["totalMaxNodeCount"]) if scales and scaling.get("totalMaxNodeCount") else None
    size = sum(sizes.values())
    most = size if not scales else total if total is not None else (per_zone or 0) * max(1, len(zones))
    return Pool(
        name=api["name"],
        labels=labels,
        taints=tuple(dict.fromkeys((*_taints(config, accelerator, provisioning), *taints))),
        allocatable=allocatable or (_allocatable(machine, accelerator, each) if machine is not None else {}),
        zones=zones,
        sizes=sizes,
        most=most,
        most_per_zone=per_zone,
        machine_type=machine_type,
        accelerator=accelerator,
        each=each,
        provisioning=provisioning,
        scales=scales,
        hosts=hosts,
        status=api.get("status", "RUNNING"),
    )


def _machine(name: str, accelerator: str, count: int) -> catalog.MachineType | None:
    try:
        return catalog.attached(name, accelerator, count)
    except InvalidInput:
        return None


def _provisioning(config: Mapping[str, Any], api: Mapping[str, Any]) -> str:
    if config.get("spot") or config.get("preemptible"):
        return "spot"
    if config.get("flexStart") or (api.get("queuedProvisioning") or {}).get("enabled"):
        return "flex-start"
    affinity = (config.get("reservationAffinity") or {}).get("consumeReservationType", "")
    return "reservation" if affinity == "SPECIFIC_RESERVATION" else "on-demand"


def _hosts(accelerator: str, topology: str, machine_type: str) -> int:
    kind = catalog.tpu_by_label(accelerator)
    if kind is None or not topology:
        return 1
    try:
        return catalog.topology(kind, topology, machine_type).hosts
    except InvalidInput:
        return 1


def _labels(  # noqa: PLR0917 - what a pool is
    api: Mapping[str, Any], machine_type: str, accelerator: str, each: int, provisioning: str, topology: str
) -> dict[str, str]:
    config = api.get("config") or {}
    labels = {POOL_LABEL: api["name"], MACHINE_LABEL: machine_type, **(config.get("labels") or {})}
    labels["cloud.google.com/machine-family"] = machine_type.partition("-")[0]
    labels[PROVISIONING_LABEL] = {"on-demand": "standard", "reservation": "standard"}.get(provisioning, provisioning)
    if provisioning == "spot":
        labels["cloud.google.com/gke-spot"] = "true"
    if provisioning == "flex-start":
        labels["cloud.google.com/gke-flex-start"] = "true"
    if provisioning == "reservation":
        names = (config.get("reservationAffinity") or {}).get("values") or [""]
        labels["cloud.google.com/reservation-name"] = str(names[0]).rpartition("/")[2]
    if catalog.tpu_by_label(accelerator) is not None:
        labels["cloud.google.com/gke-tpu-accelerator"] = accelerator
        labels[COUNT_LABEL] = str(each)
        if topology:
            labels["cloud.google.com/gke-tpu-topology"] = topology
        else:
            labels.update(_one_host(accelerator, machine_type))
    elif accelerator:
        labels[ACCELERATOR_LABEL] = accelerator
        labels[COUNT_LABEL] = str(each)
    return labels


def _one_host(accelerator: str, machine_type: str) -> dict[str, str]:
    kind = catalog.tpu_by_label(accelerator)
    shapes = () if kind is None else catalog.topologies(kind)
    found = next((shape.text for shape in shapes if shape.hosts == 1 and shape.machine_type == machine_type), "")
    return {"cloud.google.com/gke-tpu-topology": found} if found else {}


def _taints(config: Mapping[str, Any], accelerator: str, provisioning: str) -> Iterable[Taint]:
    for taint in config.get("taints") or ():
        yield Taint(taint.get("key", ""), taint.get("value", ""), _EFFECTS.get(taint.get("effect", ""), ""))
    # GKE adds these itself (gke_facts 1.1: GKE documentation, 2026).
    if catalog.tpu_by_label(accelerator) is not None:
        yield Taint(TPU, "present", "NoSchedule")
    elif accelerator:
        yield Taint(GPU, "present", "NoSchedule")
    if provisioning == "flex-start" and config.get("flexStart") is None:
        yield Taint("cloud.google.com/gke-queued", "true", "NoSchedule")


def _of_nodes(nodes: Sequence[Node]) -> tuple[dict[str, str], tuple[Taint, ...], dict[str, float]]:
    """Give what a living node tells of its pool, which is nearer to the truth than what was asked for."""
    if not nodes:
        return {}, (), {}
    node = nodes[0]
    labels = {key: value for key, value in node.metadata.labels.items() if key not in _OF_ONE_NODE}
    passing = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/unschedulable"}
    taints = tuple(
        taint
        for taint in node.spec.taints
        if taint.key not in passing and not taint.key.startswith("cloud.google.com/impending")
    )
    return labels, taints, {key: amount_of(value) for key, value in node.status.allocatable.items()}


def _allocatable(machine: catalog.MachineType, accelerator: str, each: int) -> dict[str, float]:
    cpus, memory = catalog.allocatable(machine)
    found = {"cpu": cpus, "memory": memory * 2**30, "pods": _MAX_PODS, "ephemeral-storage": 40.0 * 2**30}
    if accelerator:
        found[TPU if catalog.tpu_by_label(accelerator) is not None else GPU] = float(each)
    return found


def whole(pool: Pool, nodes: int) -> int:
    """Round a number of nodes up to what comes together.

    Args:
        pool: the pool.
        nodes: how many are needed.
    """
    return -(-nodes // pool.hosts) * pool.hosts
