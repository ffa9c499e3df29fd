"""The objects that every cluster has from its first moment: namespaces, roles and their bindings."""

from __future__ import annotations

from typing import Any

from . import admission, metadata, strategy
from .authorization import defaults
from .authorization.resolver import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from .kinds import Kind
from .store import Store

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def ensure(store: Store) -> None:
    """Create what is missing of them.

    Args:
        store: the state.
    """
    for name in NAMESPACES:
        _ensure(store, admission.NAMESPACES, {"metadata": {"name": name}})
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
