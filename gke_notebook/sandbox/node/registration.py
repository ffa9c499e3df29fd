"""Brings the nodes into the API server and keeps saying that they live."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Sequence
from typing import Any

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.resources import LEASES, NAMESPACES, NODES
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.node import events, machines

Object = dict[str, Any]
_log = logging.getLogger(__name__)
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 10.0  # the kubelet renews at a quarter of the lease's 40 s (Kubernetes documentation, "Nodes", 2026)
STATUS_SECONDS = 300.0  # `nodeStatusReportFrequency` of a kubelet (KubeletConfiguration reference, 2026)
_CONCURRENCY = 32


async def register(client: Client, nodes: Sequence[Object]) -> dict[str, str]:
    """Create the nodes, or bring those that are there to what they are now; concurrently.

    Args:
        client: the client to write with.
        nodes: the Node objects, status included.

    Returns:
        The uid of each node by its name.

    Raises:
        ApiError: a node was refused.
        ClusterUnreachable: no answer.
    """
    limit = asyncio.Semaphore(_CONCURRENCY)

    async def one(node: Object) -> tuple[str, str]:
        async with limit:
            return node["metadata"]["name"], await _register(client, node)

    return dict(await asyncio.gather(*(one(node) for node in nodes)))


async def _register(client: Client, node: Object) -> str:
    name = node["metadata"]["name"]
    try:
        found = await client.create(NODES, node)
    except ApiError as error:
        if error.status != 409:
            raise
        found = await client.patch(
            NODES, name, {"metadata": {"labels": node["metadata"]["labels"]}}, content_type=STRATEGIC_PATCH
        )
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in found["status"].get("conditions") or [])
    port = (found["status"].get("daemonEndpoints") or {}).get("kubeletEndpoint", {}).get("Port")
    if (
        not ready
        or port != node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        or (found["status"].get("allocatable") != node["status"]["allocatable"])
    ):
        await write_status(client, node)
    taints = {taint["key"] for taint in node["spec"].get("taints") or []}
    now_tainted = found.get("spec", {}).get("taints") or []
    # The taints of a node that was lost are the node controller's to remove; those of ours must be there.
    if not taints <= {taint["key"] for taint in now_tainted}:
        await client.patch(NODES, name, {"spec": {"taints": node["spec"]["taints"]}}, content_type=STRATEGIC_PATCH)
    return str(found["metadata"].get("uid", ""))


async def write_status(client: Client, node: Object) -> None:
    """Write a node's whole status.

    Args:
        client: the client to write with.
        node: the Node object.
    """
    await client.patch(
        NODES,
        node["metadata"]["name"],
        {"status": node["status"]},
        subresource="status",
        content_type=STRATEGIC_PATCH,
    )


async def lease_namespace(client: Client) -> None:
    """Make the namespace of the nodes' leases.

    Args:
        client: the client to write with.
    """
    try:
        await client.create(NAMESPACES, {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE},
        })  # fmt: skip
    except (ApiError, ClusterUnreachable) as error:
        _log.debug("namespace %s: %s", LEASE_NAMESPACE, error)  # it is there as a rule


async def heartbeat(client: Client, node: Object, uid: str, share: float) -> None:
    """Renew a node's lease every 10 s and write its status every 5 min; until cancelled.

    Args:
        client: the client to write with.
        node: the Node object; the status written is the one it has then.
        uid: its uid.
        share: seconds before the first time, so that many nodes do not come at once.
    """
    name = node["metadata"]["name"]
    await asyncio.sleep(share)
    known = False
    written = asyncio.get_running_loop().time()
    while True:
        try:
            known = await _renew(client, name, uid, known=known)
            if asyncio.get_running_loop().time() - written >= STATUS_SECONDS:
                written = asyncio.get_running_loop().time()
                moment = events.now()
                for condition in node["status"]["conditions"]:
                    condition["lastHeartbeatTime"] = moment
                await write_status(client, node)
        except (ApiError, ClusterUnreachable) as error:
            _log.warning("node %s: %s", name, error)
            known = False
        await asyncio.sleep(LEASE_SECONDS)


async def _renew(client: Client, name: str, uid: str, *, known: bool) -> bool:
    moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease = machines.lease_object(name, moment, uid)
    if not known:
        try:
            await client.create(LEASES, lease, LEASE_NAMESPACE)
        except ApiError as error:
            if error.status != 409:
                raise
        else:
            return True
    await client.patch(LEASES, name, {"spec": lease["spec"]}, LEASE_NAMESPACE)
    return True
