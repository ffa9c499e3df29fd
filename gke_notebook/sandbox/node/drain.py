"""Empties a node before its machine is taken away, as GKE does: cordoned, then its pods evicted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.resources import NODES, PODS
from gke_notebook.errors import ApiError, ClusterUnreachable

Object = dict[str, Any]
_log = logging.getLogger(__name__)
_RETRY_SECONDS = 2.0


async def cordon(client: Client, node: str) -> None:
    """Let no more pods be scheduled to a node.

    Args:
        client: the client to write with.
        node: its name.

    Raises:
        ApiError: it was refused.
        ClusterUnreachable: no answer.
    """
    await client.patch(NODES, node, {"spec": {"unschedulable": True}}, content_type=STRATEGIC_PATCH)


async def evict_all(client: Client, node: str, left: Awaitable[None]) -> None:
    """Evict the pods of a node, but not those of DaemonSets, and wait until none runs.

    Args:
        client: the client to write with.
        node: its name.
        left: done when no pod of the node runs.

    Raises:
        ApiError: the pods cannot be listed.
        ClusterUnreachable: no answer.
    """
    listed = await client.list(PODS, field_selector=f"spec.nodeName={node}")
    pods = [pod for pod in listed["items"] if evictable(pod)]
    await asyncio.gather(*(_evict(client, pod) for pod in pods))
    await left


def evictable(pod: Object) -> bool:
    """Say whether a drain evicts a pod.

    Args:
        pod: the pod.
    """
    owners = pod["metadata"].get("ownerReferences") or []
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and not any(owner.get("kind") == "DaemonSet" for owner in owners)


async def _evict(client: Client, pod: Object) -> None:
    metadata = pod["metadata"]
    namespace = metadata.get("namespace", "default")
    body = {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": metadata["name"], "namespace": namespace},
    }  # fmt: skip
    path = f"{PODS.path(namespace, metadata['name'])}/eviction"
    while True:
        try:
            await client.request("POST", path, body=body)
        except ApiError as error:
            if error.status == 429:  # a disruption budget does not allow it yet
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if error.status != 404:
                _log.warning("pod %s/%s not evicted: %s", namespace, metadata["name"], error)
        except ClusterUnreachable as error:
            _log.warning("pod %s/%s not evicted: %s", namespace, metadata["name"], error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        return
