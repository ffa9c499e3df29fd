"""From a spec to Kubernetes objects; pure."""

from __future__ import annotations

from gke_notebook.manifests.facts import ClassRule, ClusterFacts, ComputeClass
from gke_notebook.manifests.render import render
from gke_notebook.manifests.text import to_yaml

__all__ = ["ClassRule", "ClusterFacts", "ComputeClass", "render", "to_yaml"]
