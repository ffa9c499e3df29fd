"""From a spec to Kubernetes objects; pure."""

from __future__ import annotations

from gke_notebook.manifests.render import render
from gke_notebook.manifests.text import to_yaml

__all__ = ["render", "to_yaml"]
