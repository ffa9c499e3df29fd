"""Which kubelets there are: read from the nodes, through the API like any other client."""

from __future__ import annotations

import asyncio
import time

import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import NODES
from gke_notebook.errors import ApiError, ClusterUnreachable

FRESH_SECONDS = 60.0  # how long the list is used while all of them answer


class Address(msgspec.Struct):
    """One of a node's addresses."""

    type: str = ""
    address: str = ""


class Endpoint(msgspec.Struct):
    """A port of a node."""

    port: int = msgspec.field(name="Port", default=0)


class Endpoints(msgspec.Struct, rename="camel"):
    """The ports of a node's daemons."""

    kubelet_endpoint: Endpoint = msgspec.field(default_factory=Endpoint)


class NodeStatus(msgspec.Struct, rename="camel"):
    """Where a node's kubelet is."""

    addresses: list[Address] = []
    daemon_endpoints: Endpoints = msgspec.field(default_factory=Endpoints)


class Node(msgspec.Struct):
    """A node, as far as it matters here."""

    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class Nodes(msgspec.Struct):
    """A list of nodes."""

    items: list[Node] = []


def targets(raw: bytes) -> list[str]:
    """Name the kubelets, each once, by address and port.

    Args:
        raw: a NodeList as JSON.
    """
    found = []
    for node in msgspec.json.decode(raw, type=Nodes).items:
        port = node.status.daemon_endpoints.kubelet_endpoint.port
        address = next((one.address for one in node.status.addresses if one.type == "InternalIP"), "")
        if port and address:
            found.append(f"{address}:{port}")
    return list(dict.fromkeys(found))


class Kubelets:
    """The kubelets of a cluster, asked for again when they may have changed.

    Args:
        client: the client to read with.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: list[str] = []
        self._until = 0.0

    async def find(self) -> list[str]:
        """Give their addresses; those known before when the API server does not answer."""
        if not self._known or time.monotonic() > self._until:
            try:
                self._known = targets(await self._client.list_raw(NODES))
                self._until = time.monotonic() + FRESH_SECONDS
            except (ApiError, ClusterUnreachable, asyncio.TimeoutError):
                self._until = 0.0
        return self._known

    def doubt(self) -> None:
        """Say that one of them did not answer."""
        self._until = 0.0
