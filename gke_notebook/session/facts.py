"""What a cluster is and serves, as far as manifests depend on it: read when a plan needs it, kept for a while."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import Resource
from gke_notebook.errors import ApiError, InvalidInput
from gke_notebook.manifests import ClassRule, ClusterFacts, ComputeClass, gpudirect, placement
from gke_notebook.objects import Manifest, Node
from gke_notebook.session.observer import serves_jobsets
from gke_notebook.specs import TrainSpec

if TYPE_CHECKING:
    from gke_notebook.session.session import Session

NETWORKS = Resource("networking.gke.io", "v1", "networks", "Network", namespaced=False)
COMPUTE_CLASSES = Resource("cloud.google.com", "v1", "computeclasses", "ComputeClass", namespaced=False)
_KEPT_SECONDS = 20.0
_AUTOPILOT_NODE = "gk3-"  # how the nodes of Autopilot clusters are named (gke_facts 3.7)


class Facts:
    """Reads a cluster for a session.

    Args:
        session: the session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: dict[str, tuple[float, Any]] = {}

    def of(self, spec: TrainSpec, nodes: Sequence[Node] | None) -> ClusterFacts:
        """Say what a cluster is and serves, as far as a job depends on it.

        Args:
            spec: the job.
            nodes: the nodes of the cluster, None when we may not see them.

        Raises:
            ClusterUnreachable: the cluster does not answer.
            InvalidInput: it serves JobSets, but not to us.
        """
        accelerated = bool(placement.accelerators(spec))
        wanted = {
            "jobsets": spec.slices > 1,
            "networks": gpudirect.wanted(spec) is not None,
            "classes": accelerated or bool(spec.compute_class),
        }
        now = time.monotonic()
        stale = [
            what
            for what, needed in wanted.items()
            if needed and (what not in self._kept or now - self._kept[what][0] > _KEPT_SECONDS)
        ]
        if stale:
            found = self._session.call(lambda client: _read(client, stale))
            self._kept.update({what: (now, value) for what, value in found.items()})
        if wanted["jobsets"] and self._kept["jobsets"][1]:
            self._watch_jobsets(spec.namespace)
        known = {what: kept for what, (_, kept) in self._kept.items() if wanted[what]}
        return ClusterFacts(
            autopilot=is_autopilot(self._session.connection.autopilot, nodes),
            version=version_of(self._session.version),
            jobsets=bool(known.get("jobsets")),
            networks=known.get("networks") or (),
            compute_classes=known.get("classes"),
        )

    def _watch_jobsets(self, namespace: str) -> None:
        """See that JobSets are watched, because they may have come to the cluster after us."""
        observer = self._session.observer(namespace)
        if not self._session.call(lambda _: observer.watch_jobsets()):
            raise InvalidInput(
                f"several TPU slices take a JobSet, and you may not see those of namespace {namespace}: ask for the "
                "verbs get, list, watch, create, patch and delete on jobsets.jobset.x-k8s.io, or take one slice"
            )


async def _read(client: Client, what: Sequence[str]) -> dict[str, Any]:
    readers = {"jobsets": serves_jobsets, "networks": _networks, "classes": _classes}
    return dict(zip(what, await asyncio.gather(*(readers[each](client) for each in what)), strict=True))


async def _networks(client: Client) -> tuple[str, ...]:
    found = await _list(client, NETWORKS)
    names = [str(one["metadata"]["name"]) for one in found or ()]
    return tuple(name for name in names if name not in {"default", "pod-network"})


async def _classes(client: Client) -> tuple[ComputeClass, ...] | None:
    found = await _list(client, COMPUTE_CLASSES)
    return None if found is None else tuple(map(compute_class, found))


async def _list(client: Client, resource: Resource) -> list[Manifest] | None:
    try:
        found: list[Manifest] = (await client.list(resource))["items"]
    except ApiError as error:
        if error.status in {403, 404}:  # it is not there, or not for us to see
            return None
        raise
    return found


def compute_class(found: Manifest) -> ComputeClass:
    """Read a ComputeClass; what it has besides is passed over. Pure.

    Args:
        found: the object as the server gives it.
    """
    rules = []
    for rule in (found.get("spec") or {}).get("priorities") or ():
        gpu, tpu = rule.get("gpu") or {}, rule.get("tpu") or {}
        rules.append(
            ClassRule(
                gpu=str(gpu.get("type", "")),
                gpu_count=int(gpu.get("count") or 0),
                tpu=str(tpu.get("type", "")),
                topology=str(tpu.get("topology", "")),
                machine_type=str(rule.get("machineType", "")),
                spot=bool(rule.get("spot")),
            )
        )
    return ComputeClass(str(found["metadata"]["name"]), tuple(rules))


def is_autopilot(told: bool | None, nodes: Sequence[Node] | None) -> bool:
    """Say whether a cluster is an Autopilot one. Pure.

    Args:
        told: what the GKE API has said, None when it was not asked.
        nodes: the cluster's nodes, whose names tell it otherwise.
    """
    if told is not None:
        return told
    return bool(nodes) and all(node.metadata.name.startswith(_AUTOPILOT_NODE) for node in nodes or ())


def version_of(text: str) -> tuple[int, int]:
    """Read a cluster's version, (0, 0) when it cannot be read. Pure.

    Args:
        text: for example ``v1.34.1-gke.1829001``.

    Example:
        >>> version_of("v1.34.1-gke.1829001")
        (1, 34)
    """
    match = re.match(r"v?(\d{1,4})\.(\d{1,4})", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)
