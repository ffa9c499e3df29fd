"""The status of policies: that they were seen, as the controller of a real cluster says it.

Source: kubernetes v1.34 (`pkg/controller/validatingadmissionpolicystatus`).
"""

from __future__ import annotations

from gke_notebook.sandbox.apiserver import writes
from gke_notebook.sandbox.apiserver.kinds import STATUS
from gke_notebook.sandbox.apiserver.options import WriteOptions
from gke_notebook.sandbox.apiserver.paths import Target
from gke_notebook.sandbox.apiserver.store import Store

from .policies import POLICIES

_MANAGER = WriteOptions(manager="validatingadmissionpolicy-status", force=True)


def settle(store: Store) -> None:
    """Write the status of every policy whose generation it does not tell yet.

    The types of expressions were checked when the policy was created; they are not checked again here against the
    schemas of the kinds that it matches, which on a real cluster adds warnings to the status.

    Args:
        store: the state.
    """
    for entry in list(store.of(POLICIES).all()):
        obj = entry.object()
        generation = obj["metadata"].get("generation", 0)
        if (obj.get(STATUS) or {}).get("observedGeneration") == generation:
            continue
        told = {
            "apiVersion": POLICIES.api_version,
            "kind": POLICIES.kind,
            "metadata": {"name": entry.name},
            STATUS: {"observedGeneration": generation, "typeChecking": {}},
        }
        writes.apply(store, Target(POLICIES, "", entry.name, STATUS), told, _MANAGER)
