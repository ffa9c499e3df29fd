"""The objects that every cluster has from its first moment."""

from __future__ import annotations

from . import admission, metadata, strategy
from .store import Store

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def ensure(store: Store) -> None:
    """Create the standard namespaces where they are missing.

    Args:
        store: the state.
    """
    kind = admission.NAMESPACES
    for name in NAMESPACES:
        if store.get(kind, "", name) is None:
            obj = {"metadata": {"name": name}}
            admission.admit_create(store, kind, obj)
            metadata.begin(kind.kind, obj["metadata"], metadata.timestamp())
            strategy.prepare_create(kind, obj)
            store.put(kind, obj)
