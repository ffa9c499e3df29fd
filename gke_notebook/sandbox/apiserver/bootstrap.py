"""The objects that every cluster has from its first moment: namespaces, priority classes, roles and their bindings."""

from __future__ import annotations

from typing import Any

from . import admission, metadata, strategy
from .authorization import defaults
from .authorization.resolver import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from .kinds import Kind
from .store import Store

# pkg/apis/scheduling/v1 of kubernetes 1.34.
_PRIORITIES = {
    "system-node-critical": (
        2_000_001_000, "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
}  # fmt: skip
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def ensure(store: Store) -> None:
    """Create what is missing of them.

    Args:
        store: the state.
    """
    for name in NAMESPACES:
        _ensure(store, admission.NAMESPACES, {"metadata": {"name": name}})
    for name, (value, described) in _PRIORITIES.items():
        found = {"metadata": {"name": name}, "value": value, "description": described}
        _ensure(store, admission.PRIORITY_CLASSES, {**found, "preemptionPolicy": "PreemptLowerPriority"})
    for role in defaults.roles():
        _ensure(store, CLUSTER_ROLES, role)
    for binding in defaults.bindings():
        _ensure(store, CLUSTER_ROLE_BINDINGS, binding)


def _ensure(store: Store, kind: Kind, obj: dict[str, Any]) -> None:
    if store.get(kind, "", obj["metadata"]["name"]) is None:
        admission.admit_create(store, kind, obj)
        metadata.begin(kind.kind, obj["metadata"], metadata.timestamp())
        strategy.prepare_create(kind, obj)
        store.put(kind, obj)
