"""Where a session stands: who we are, what is there, what we may do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gke_notebook import catalog
from gke_notebook.cluster.access import Check, can_i, whoami
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import ApiError
from gke_notebook.insight.node_pools import SOON_SECONDS
from gke_notebook.insight.pool_story import lease_warnings, pools_of_nodes
from gke_notebook.objects import Node, Pod
from gke_notebook.session.planning import ACCELERATOR_LABEL

if TYPE_CHECKING:
    from gke_notebook.session.session import Session

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class SessionStatus:
    """Where a session stands.

    Args:
        context: the name of the connection.
        server: the API server's URL.
        version: its Kubernetes version.
        namespace: where jobs go.
        user: who we are there.
        nodes: Ready nodes and all nodes, None when we may not see them.
        accelerators: label of each accelerator type to how many are free and how many there are.
        jobs: our jobs that have not ended.
        permissions: what we may do in the namespace, in words.
        leases: what is to be said of node pools whose lease is over, or nearly.
    """

    context: str
    server: str
    version: str
    namespace: str
    user: str
    nodes: tuple[int, int] | None
    accelerators: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    jobs: int = 0
    permissions: Mapping[str, bool] = field(default_factory=dict)
    leases: tuple[str, ...] = ()


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""


async def version_and_user(client: Client) -> tuple[str, str]:
    """Ask the server for its version and for who it takes us.

    Args:
        client: of the cluster.

    Raises:
        ApiError: it does not accept our credentials.
    """
    version = msgspec.json.decode(await client.request("GET", "/version"), type=_Version).git_version
    return version, await whoami(client)


def features(namespace: str) -> dict[str, tuple[Check, ...]]:
    """Give the rights that each thing we do needs, in words; pure.

    Args:
        namespace: where it is done.
    """

    def check(verb: str, resource: str, group: str = "", subresource: str = "") -> Check:
        return Check(verb, resource, group, namespace, subresource)

    return {
        "train": tuple(check("create", resource, group) for resource, group in
                       (("jobs", "batch"), ("configmaps", ""), ("services", ""))),
        "watch jobs": (check("watch", "jobs", "batch"), check("watch", "pods")),
        "read logs": (check("get", "pods", subresource="log"),),
        "see why a job waits": (check("watch", "events"),),
        "cancel": (check("patch", "jobs", "batch"),),
        "see nodes": (Check("watch", "nodes"),),
    }  # fmt: skip


async def permissions(client: Client, namespace: str) -> dict[str, bool]:
    """Say what we may do in a namespace.

    Args:
        client: of the cluster.
        namespace: the namespace.
    """
    needed = features(namespace)
    answers = await can_i(client, [check for checks in needed.values() for check in checks])
    return {feature: all(answers[check] for check in checks) for feature, checks in needed.items()}


def is_ready(node: Node) -> bool:
    """Say whether a node is Ready."""
    return any(found.type == "Ready" and found.status == "True" for found in node.status.conditions)


async def pods_everywhere(client: Client, namespace: str) -> Sequence[Pod]:
    """Give the pods of all namespaces, or, where that is not our right, of ours.

    Args:
        client: of the cluster.
        namespace: ours.
    """

    class Pods(msgspec.Struct):
        items: list[Pod] = []

    running = "status.phase!=Succeeded,status.phase!=Failed"
    try:
        raw = await client.list_raw(PODS, None, field_selector=running)
    except ApiError as error:
        if error.status != 403:
            raise
        raw = await client.list_raw(PODS, namespace, field_selector=running)
    return msgspec.json.decode(raw, type=Pods).items


def free_accelerators(nodes: Iterable[Node], pods: Iterable[Pod]) -> dict[str, tuple[int, int]]:
    """Count the accelerators of each type, free and all; pure.

    Args:
        nodes: the nodes of the cluster.
        pods: the pods that have not ended.
    """
    kind = {node.metadata.name: _accelerator(node) for node in nodes}
    total: dict[str, int] = {}
    used: dict[str, int] = {}
    for node in nodes:
        label = kind[node.metadata.name]
        if label:
            total[label] = total.get(label, 0) + _count(node.status.allocatable)
    for pod in pods:
        label = kind.get(pod.spec.node_name, "")
        if label:
            wanted = sum(_count(container.resources.limits) for container in pod.spec.containers)
            used[label] = used.get(label, 0) + wanted
    return {label: (count - used.get(label, 0), count) for label, count in sorted(total.items())}


def _accelerator(node: Node) -> str:
    labels = node.metadata.labels
    return labels.get(ACCELERATOR_LABEL) or labels.get(catalog.TPU_LABEL, "")


def _count(amounts: Mapping[str, str | int]) -> int:
    return int(amounts.get(GPU, 0) or 0) + int(amounts.get(catalog.TPU_RESOURCE, 0) or 0)


def status_of(session: Session, nodes: Sequence[Node] | None) -> SessionStatus:
    """Say where a session stands.

    Args:
        session: the session.
        nodes: the nodes of its cluster, None when they may not be seen.
    """
    may = session.call(lambda client: permissions(client, session.namespace))
    pods = session.call(lambda client: pods_everywhere(client, session.namespace)) if nodes else ()
    return SessionStatus(
        context=session.context,
        server=session.connection.server,
        version=session.version,
        namespace=session.namespace,
        user=session.user,
        nodes=None if nodes is None else (sum(map(is_ready, nodes)), len(nodes)),
        accelerators=free_accelerators(nodes or (), pods),
        jobs=sum(not job.state.ended for job in session.jobs()),
        permissions=may,
        # Off the nodes' labels: who may not see node pools is told too, and Google Cloud is not asked.
        leases=tuple(lease_warnings(pools_of_nodes(nodes or ()), time.time(), SOON_SECONDS)),
    )
