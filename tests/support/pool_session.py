"""A session in this process for node pools: the sandbox's Google Cloud behind it, and no Kubernetes at all."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from google.oauth2.credentials import Credentials

from gke_notebook.cloud.target import Target
from gke_notebook.objects import Node, Pod
from gke_notebook.session.node_pools import NodePools
from tests.support.google import TOKEN


def target(url: str, token: str = TOKEN) -> Target:
    """The sandbox's cluster at an address."""
    return Target("sandbox", "us-central1", "sandbox", url, Credentials(token))


class PoolSession:
    """What `NodePools` needs of a session."""

    namespace = "default"
    owner = "ada"

    def __init__(
        self, url: str, nodes: Sequence[Node] | None = None, pods: Sequence[Pod] = (), token: str = TOKEN
    ) -> None:
        self.nodes, self.pods = nodes, pods
        self.capacity = SimpleNamespace(target=lambda: target(url, token), forget=lambda: None)

    def observer(self, namespace: str) -> Any:
        return SimpleNamespace(nodes=self.nodes)

    def call(self, work: Any) -> Any:
        return self.pods


def node_pools(url: str, said: list[str] | None = None, **more: Any) -> NodePools:
    """The node pools of the sandbox at an address."""
    return NodePools(PoolSession(url, **more), (said if said is not None else []).append)  # type: ignore[arg-type]
