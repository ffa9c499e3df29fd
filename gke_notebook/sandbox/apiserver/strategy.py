"""What each kind resets when it is created or changed.

Source: kubernetes v1.34, pkg/registry/*/*/strategy.go.
"""

from __future__ import annotations

import uuid
from typing import Any

from .kinds import STATUS, Kind

Object = dict[str, Any]

# Kinds that a PUT to a name that is free creates, and kinds that must be updated with a resourceVersion.
CREATE_ON_UPDATE = frozenset(
    {"Lease", "Event", "Service", "Endpoints", "LimitRange", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
)
NEEDS_VERSION = frozenset({"Lease", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})

# Kinds whose DELETE answers the object even when it is gone at once; the others answer a Status.
RETURN_DELETED = frozenset({"Pod", "Namespace", "ResourceQuota", "Service", "ServiceAccount"})

# Kinds whose dependents stay when a client that deletes says nothing of them, and kinds that never have any.
ORPHANS_BY_DEFAULT = frozenset({"Job"})
NEVER_OWNERS = frozenset({"Event"})
ORPHANS_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)

# Requests on these are answered with a warning (kubernetes v1.34, k8s.io/api, zz_generated.prerelease-lifecycle.go).
_DEPRECATED = {("", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}

EVENT_SECONDS = 3600.0
"""How long an event is kept after it was last written."""


def deprecation(kind: Kind) -> list[str]:
    """Give the warning that every answer about a kind carries, if there is one.

    Args:
        kind: what the request is about.
    """
    text = _DEPRECATED.get((kind.group, kind.plural))
    return [text] if text else []


def prepare_create(kind: Kind, obj: Object) -> None:
    """Set the status a new object begins with.

    Args:
        kind: its kind.
        obj: changed in place.
    """
    if kind.rules is not None:
        kind.rules.begin(obj)
    elif kind.kind == "Pod":
        obj["status"] = {"phase": "Pending"}
    elif kind.kind == "LimitRange":
        if not obj["metadata"].get("name"):
            # The one kind that needs no name.
            obj["metadata"] = {"name": str(uuid.uuid4()), **obj["metadata"]}
    elif kind.kind in {"Job", "ResourceQuota", "ValidatingAdmissionPolicy"}:
        obj["status"] = {}
    elif kind.kind == "Service":
        obj["status"] = {"loadBalancer": {}}
    elif kind.kind == "Namespace":
        obj["status"] = {"phase": "Active"}
        spec = obj.get("spec")
        finalizers = spec.get("finalizers") if isinstance(spec, dict) else None
        obj["spec"] = {"finalizers": finalizers if finalizers and "kubernetes" in finalizers else ["kubernetes"]}


def prepare_update(kind: Kind, new: Object, old: Object, subresource: str) -> None:
    """Put back what the endpoint does not write.

    Args:
        kind: the object's kind.
        new: the object after the change, changed in place.
        old: the object as stored.
        subresource: ``status``, ``finalize``, or empty for the object itself.
    """
    if kind.rules is not None:
        kind.rules.carry_over(new, old, subresource)
        return
    if subresource == STATUS:
        for key in (set(new) | set(old)) - {"metadata", STATUS, "kind", "apiVersion"}:
            _put_back(new, old, key)
        if kind.kind == "ValidatingAdmissionPolicy":
            for key in ("labels", "annotations", "finalizers", "ownerReferences"):
                _put_back(new["metadata"], old["metadata"], key)
        if kind.kind == "Pod":
            _put_back(new["metadata"], old["metadata"], "ownerReferences")
            if isinstance(new.get(STATUS), dict) and "qosClass" in old.get(STATUS, {}):
                new[STATUS].setdefault("qosClass", old[STATUS]["qosClass"])
        return
    if kind.subresource(STATUS) is not None:
        _put_back(new, old, STATUS)
    if kind.kind == "Namespace" and subresource != "finalize":
        _put_back(new, old, "spec")


def _put_back(new: Object, old: Object, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)
