"""A kubelet for many pretended nodes in one process: a client of the API server that runs pods as processes."""

from __future__ import annotations

from gke_notebook.sandbox.node.agent import run
from gke_notebook.sandbox.node.config import NodeConfig

__all__ = ["NodeConfig", "run"]
