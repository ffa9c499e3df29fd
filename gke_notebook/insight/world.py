"""What is known of a cluster when a job asks for room, and what comes of it, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gke_notebook.insight.demand import Amounts
from gke_notebook.insight.pools import Pool
from gke_notebook.insight.quota import CloudQuota, Limit
from gke_notebook.objects import Manifest, Node

Verdict = Literal["fits", "fits after scale-up", "cannot fit", "unknown"]


@dataclass(frozen=True)
class World:
    """What is known of a cluster when a job asks for room.

    Args:
        nodes: its nodes, None when they may not be seen.
        used: what the pods on each node request, by the node's name.
        pools: its node pools, None when the GKE API does not tell.
        autopilot: whether GKE makes whatever nodes pods need.
        provisions: limits of node auto-provisioning by resource or accelerator label, None without it.
        classes: names of the ComputeClasses that may make node pools of their own.
        quotas: the project's quotas, None when they may not be seen.
        resource_quotas: of the namespace.
        limit_ranges: of the namespace.
        local_queues: Kueue's queues of the namespace.
        cluster_queues: Kueue's queues of the cluster, as far as they may be seen.
        region: of the cluster.
        project: of the cluster, empty when it is not known.
        notes: what could not be seen, in words.
    """

    nodes: Sequence[Node] | None = None
    used: Mapping[str, Amounts] = field(default_factory=dict)
    pools: Sequence[Pool] | None = None
    autopilot: bool = False
    provisions: Mapping[str, float] | None = None
    classes: frozenset[str] = frozenset()
    quotas: Sequence[CloudQuota] | None = None
    resource_quotas: Sequence[Manifest] = ()
    limit_ranges: Sequence[Manifest] = ()
    local_queues: Sequence[Manifest] = ()
    cluster_queues: Sequence[Manifest] = ()
    region: str = ""
    project: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Growth:
    """How one node pool grows for a job.

    Args:
        pool: its name.
        now: nodes it has.
        nodes: nodes that come.
        machine_type: of its nodes.
        provisioning: how its machines are had.
        zone: where they come, empty where that is open.
    """

    pool: str
    now: int
    nodes: int
    machine_type: str = ""
    provisioning: str = "on-demand"
    zone: str = ""


@dataclass(frozen=True)
class Fit:
    """Whether a job fits.

    Args:
        verdict: the answer.
        sentence: why, in one sentence without a full stop.
        binding: the name of the limit that binds, empty when none does.
        ask: whom to ask for what, empty when nobody need be asked.
        request: a command to paste, empty when there is none.
        free: pods that have room at once.
        growth: how the cluster grows for the rest.
        limits: every limit that the job takes from, with how much.
        queued: whether the job waits in a queue first, and why; empty when it does not.
    """

    verdict: Verdict
    sentence: str
    binding: str = ""
    ask: str = ""
    request: str = ""
    free: int = 0
    growth: tuple[Growth, ...] = ()
    limits: tuple[Limit, ...] = ()
    queued: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.sentence}" if self.sentence else self.verdict


@dataclass
class Search:
    """What a look for room has found."""

    free: int = 0
    matching: int = 0  # nodes on which the pods may stand
    largest: tuple[str, float, float] | None = None  # what of a pod is larger than every such node
    free_nodes: int = 0
    pools: dict[str, int] = field(default_factory=dict)  # slots by pool
    growth: list[Growth] = field(default_factory=list)
    slots: int = 0  # of the growth
    short: Limit | None = None
    full: Pool | None = None
    fixed: str = ""
