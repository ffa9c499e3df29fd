"""Node pools in words: what they are, how large, what they cost, whose jobs run on them, how long they stay; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gke_notebook import catalog, names
from gke_notebook.errors import InvalidInput
from gke_notebook.insight.text import count, duration
from gke_notebook.objects import Node, Pod

Object = Mapping[str, Any]

POOL_LABEL = "cloud.google.com/gke-nodepool"
_ENDED = {"Succeeded", "Failed"}
_NO_JOBS = {"DaemonSet", "ReplicaSet", "StatefulSet", "Node"}
_CODES = {
    "GCE_STOCKOUT": "no capacity",
    "GCE_QUOTA_EXCEEDED": "no quota",
    "GKE_SERVICE_ACCOUNT_DELETED": "GKE's service account is gone",
    "CLOUD_KMS_KEY_ERROR": "the disk's key cannot be used",
    "NODE_SERVICE_ACCOUNT_MISSING_PERMISSIONS": "the nodes' service account lacks rights",
}
_STATUS = {
    "PROVISIONING": "being created",
    "RUNNING": "running",
    "RUNNING_WITH_ERROR": "running, with an error",
    "RECONCILING": "being changed",
    "STOPPING": "being deleted",
    "ERROR": "in error",
}
SOON_SECONDS = 3600.0  # a lease that is over so soon is said loudly


@dataclass(frozen=True)
class PoolJob:
    """A job with pods on a pool.

    Args:
        name: the job's name.
        namespace: where it is.
        owner: who made it, empty when nothing says.
        pods: how many of its pods are on the pool.
    """

    name: str
    namespace: str
    owner: str
    pods: int

    def __str__(self) -> str:
        whose = f"of {self.owner}" if self.owner else f"in namespace {self.namespace}"
        return f"{self.name} ({whose}, {count(self.pods, 'pod')})"


@dataclass(frozen=True)
class NodePool:
    """A node pool as it stands.

    Args:
        name: its name.
        machine_type: what each node is.
        accelerator: what each node has, for people; empty without accelerators.
        provisioning: ``on-demand``, ``spot``, ``flex-start`` or ``reservation``.
        zones: where its nodes may be.
        size: how many machines are asked for now, ready or not.
        ready: how many nodes are ready, None when nodes are not visible to us.
        autoscaling: whether its size follows the pods that wait.
        least: the fewest nodes in all.
        most: the most nodes in all.
        status: its state, in words.
        conditions: what is wrong with it, in words.
        usd_hour_each: the list price of one node in USD per hour, None when unknown.
        price_basis: where the price comes from, or why there is none.
        lease_until: when its lease is over, in seconds since 1970; None without one.
        owner: who made it from a notebook, empty otherwise.
        digest: of what was asked for, empty for a pool not made from here.
        jobs: jobs with pods on it.
        topology: of the TPU slice that it is, empty otherwise.
        hosts: nodes of that slice, 0 otherwise.
        simulated: whether its nodes are pretended, so that nothing is billed.
        label: the node label's value of its accelerator, empty without accelerators.
        each: accelerators of one node.
    """

    name: str
    machine_type: str
    accelerator: str = ""
    provisioning: str = "on-demand"
    zones: tuple[str, ...] = ()
    size: int = 0
    ready: int | None = None
    autoscaling: bool = False
    least: int = 0
    most: int = 0
    status: str = "running"
    conditions: tuple[str, ...] = ()
    usd_hour_each: float | None = None
    price_basis: str = ""
    lease_until: float | None = None
    owner: str = ""
    digest: str = ""
    jobs: tuple[PoolJob, ...] = ()
    topology: str = ""
    hosts: int = 0
    simulated: bool = False
    label: str = ""
    each: int = 0

    @property
    def usd_hour(self) -> float | None:
        """What it costs now by list price, in USD per hour; None when unknown."""
        if not self.size:
            return 0.0
        return None if self.usd_hour_each is None else round(self.usd_hour_each * self.size, 5)

    def lease_left(self, now: float) -> float | None:
        """Give the seconds until its lease is over, negative afterwards; None without a lease.

        Args:
            now: the time in seconds since 1970.
        """
        return None if self.lease_until is None else self.lease_until - now

    def expired(self, now: float) -> bool:
        """Say whether its lease is over.

        Args:
            now: the time in seconds since 1970.
        """
        left = self.lease_left(now)
        return left is not None and left <= 0

    def orphaned(self, now: float) -> str:
        """Say why nobody seems to want it any more; empty when somebody does.

        Args:
            now: the time in seconds since 1970.
        """
        if self.expired(now):
            return f"its lease is over since {duration(now - (self.lease_until or now))}"
        if self.size and not self.jobs and (self.accelerator or self.digest):
            return f"no job has a pod on its {count(self.size, 'node')}"
        return ""

    def lease_words(self, now: float) -> str:
        """Put the lease into words.

        Args:
            now: the time in seconds since 1970.
        """
        left = self.lease_left(now)
        if left is None:
            return "none"
        return f"OVER since {duration(-left)}" if left <= 0 else f"{duration(left)} left"


def observe(
    pool: Object,
    sizes: Mapping[str, int] | None = None,
    nodes: Sequence[Node] | None = None,
    pods: Iterable[Pod] = (),
) -> NodePool:
    """Make the view of a pool.

    Args:
        pool: a ``NodePool`` of the Container API.
        sizes: machines asked for by zone, of its instance groups; None when they may not be seen.
        nodes: the cluster's nodes, None when they may not be seen.
        pods: pods that have not ended.

    Example:
        >>> observe({"name": "cpu", "config": {"machineType": "e2-standard-8"}}).status
        'running'
    """
    config: Object = pool.get("config") or {}
    name = str(pool.get("name", ""))
    mine = None if nodes is None else [node for node in nodes if node.metadata.labels.get(POOL_LABEL) == name]
    zones = tuple(pool.get("locations") or ())
    asked = sum(sizes.values()) if sizes is not None else len(mine or ())
    machine, label, number = _machine(config)
    words = _words(config, label, number)
    each, basis = _price(machine, str(config.get("machineType", "")), zones, provisioning_of(config))
    scaling: Object = pool.get("autoscaling") or {}
    scaled = bool(scaling.get("enabled"))
    times = len(zones) or 1
    labels, resources = config.get("labels") or {}, config.get("resourceLabels") or {}
    topology = str((pool.get("placementPolicy") or {}).get("tpuTopology") or "")
    return NodePool(
        name=name,
        machine_type=str(config.get("machineType", "")),
        accelerator=f"{words}, one {topology} slice" if topology else words,
        provisioning=provisioning_of(config),
        zones=zones,
        size=max(asked, len(mine or ())),
        ready=None if mine is None else sum(_is_ready(node) for node in mine),
        autoscaling=scaled,
        least=_limit(scaling, "totalMinNodeCount", "minNodeCount", times) if scaled else asked,
        most=_limit(scaling, "totalMaxNodeCount", "maxNodeCount", times) if scaled else asked,
        status=_STATUS.get(str(pool.get("status", "RUNNING")), str(pool.get("status", "")).lower()),
        conditions=tuple(_condition(one) for one in pool.get("conditions") or ()),
        usd_hour_each=each,
        price_basis=basis,
        lease_until=lease_of(pool),
        owner=str(labels.get(names.OWNER) or resources.get(names.RESOURCE_OWNER) or ""),
        digest=str(resources.get(names.RESOURCE_DIGEST) or ""),
        jobs=jobs_on(mine or (), pods),
        topology=topology,
        hosts=_hosts(machine, topology),
        label=label,
        each=number,
        simulated=bool(mine) and all(node.metadata.labels.get(names.SIMULATED) == "true" for node in mine or ()),
    )


def lease_of(pool: Object) -> float | None:
    """Give when the lease of a pool is over, in seconds since 1970; None without one.

    Extending writes two labels, one after the other; the later time counts.

    Args:
        pool: a ``NodePool`` of the Container API.
    """
    config: Object = pool.get("config") or {}
    found = [
        (config.get("labels") or {}).get(names.LEASE),
        (config.get("resourceLabels") or {}).get(names.RESOURCE_LEASE),
    ]
    times = [int(text) for text in found if isinstance(text, str) and text.isascii() and text.isdigit()]
    return float(max(times)) if times else None


def provisioning_of(config: Object) -> str:
    """Say how the nodes of a pool are had.

    Args:
        config: a ``NodeConfig`` of the Container API.
    """
    if config.get("spot") or config.get("preemptible"):
        return "spot"
    if config.get("flexStart"):
        return "flex-start"
    kind = str((config.get("reservationAffinity") or {}).get("consumeReservationType", ""))
    return (
        "reservation"
        if kind in {"SPECIFIC_RESERVATION", "ANY_RESERVATION", "ANY_RESERVATION_THEN_FAIL"}
        else "on-demand"
    )


def jobs_on(nodes: Iterable[Node], pods: Iterable[Pod]) -> tuple[PoolJob, ...]:
    """Give the jobs with pods on some nodes, by name.

    Args:
        nodes: the nodes.
        pods: the pods of the cluster.
    """
    here = {node.metadata.name for node in nodes}
    found: dict[tuple[str, str], list[Pod]] = {}
    for pod in pods:
        job = _job_of(pod)
        if pod.spec.node_name in here and pod.status.phase not in _ENDED and job:
            found.setdefault((pod.metadata.namespace, job), []).append(pod)
    return tuple(
        PoolJob(job, namespace, group[0].metadata.labels.get(names.OWNER, ""), len(group))
        for (namespace, job), group in sorted(found.items())
    )


def _job_of(pod: Pod) -> str:
    labels = pod.metadata.labels
    named = labels.get(names.JOB) or labels.get(names.JOBSET_NAME) or labels.get(names.JOB_NAME)
    owners = (owner.name for owner in pod.metadata.owner_references if owner.kind not in _NO_JOBS)
    return named or next((name for name in owners if name), "")


def _is_ready(node: Node) -> bool:
    return any(found.type == "Ready" and found.status == "True" for found in node.status.conditions)


def _machine(config: Object) -> tuple[catalog.MachineType | None, str, int]:
    accelerators = config.get("accelerators") or ()
    label = str(accelerators[0].get("acceleratorType", "")) if accelerators else ""
    number = int(accelerators[0].get("acceleratorCount", 0) or 0) if accelerators else 0
    try:
        machine = catalog.attached(str(config.get("machineType", "")), label, number)
    except InvalidInput:
        return None, label, number
    return machine, label or machine.accelerator, number or machine.accelerator_count


def _words(config: Object, label: str, number: int) -> str:
    if not label:
        return ""
    gpu, tpu = catalog.by_label(label), catalog.tpu_by_label(label)
    title = gpu.name if gpu is not None else tpu.name if tpu is not None else label
    accelerators = config.get("accelerators") or ()
    return f"{number} x {title}" + (_shared(accelerators[0]) if accelerators else "")


def _shared(entry: Object) -> str:
    partition = str(entry.get("gpuPartitionSize") or "")
    sharing: Object = entry.get("gpuSharingConfig") or {}
    said = f" in {partition}" if partition else ""
    if sharing:
        strategy = str(sharing.get("gpuSharingStrategy", "TIME_SHARING")).lower().replace("_", "-")
        said += f", shared by {sharing.get('maxSharedClientsPerGpu', 2)} ({strategy})"
    return said


def _price(machine: catalog.MachineType | None, name: str, zones: Sequence[str], how: str) -> tuple[float | None, str]:
    if machine is None or not zones:
        return None, f"no price of {name} is known"
    found = catalog.rate(machine, zones[0], how)
    if found is None:
        return None, catalog.no_rate(machine, zones[0], how)
    return found.usd_hour, found.basis + (", STALE" if found.stale else "")


def _limit(scaling: Object, total: str, each: str, zones: int) -> int:
    return int(scaling.get(total) or 0) or int(scaling.get(each) or 0) * zones


def _hosts(machine: catalog.MachineType | None, topology: str) -> int:
    kind = catalog.tpu_by_label(machine.accelerator) if machine is not None and topology else None
    if kind is None or machine is None:
        return 0
    try:
        return catalog.topology(kind, topology, machine.name).hosts
    except InvalidInput:
        return 0


def _condition(one: Object) -> str:
    code = str(one.get("code") or one.get("canonicalCode") or "")
    message = " ".join(str(one.get("message") or "").split())
    said = _CODES.get(code, code.lower().replace("_", " "))
    return f"{said}: {message}" if said and message else said or message
