"""What the node agent is told at its start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gke_notebook.sandbox.pools import NodePool


@dataclass(frozen=True)
class NodeConfig:
    """Settings of the node agent.

    Args:
        pools: the node pools whose nodes are pretended where no GKE is named.
        directory: where volumes, logs and working directories of pods lie.
        runtimes: pairs of an image pattern (as of a shell) and the interpreter that stands for such images; the first
            match counts, and without one the interpreter is the one that runs the agent.
        kubelet_token: the bearer token that the kubelet's server demands.
        tls_certificate: PEM file of the kubelet's server certificate.
        tls_key: PEM file of its key.
        registered: called once all nodes are Ready in the API server.
        kubelet_port: the port of the kubelet's server, 0 for any free one.
        client_authority: PEM file of an authority whose client certificates are accepted in place of the token, as
            a real kube-apiserver presents one (``--kubelet-client-certificate``).
        kubernetes_version: the version the nodes claim.
        gke: the address of the sandbox's GKE, whose machines the nodes are; empty for `pools`.
        gke_token: the bearer token for it.
    """

    pools: tuple[NodePool, ...]
    directory: Path
    runtimes: tuple[tuple[str, str], ...] = ()
    kubelet_token: str = field(default="", repr=False)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    registered: Callable[[], None] | None = None
    kubelet_port: int = 0
    client_authority: Path | None = None
    kubernetes_version: str = "v1.34.4"
    gke: str = ""
    gke_token: str = field(default="", repr=False)
