"""What the built-in admission plugins do to new objects: namespaces, priorities, service accounts, tolerations.

Source: kubernetes v1.34, plugin/pkg/admission and apiserver/pkg/admission/plugin/namespace/lifecycle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gke_notebook.sandbox.quotas import is_extended

from . import status
from .admission_plugins import limit_ranges, pod_security, queues, quota, service_accounts
from .kinds import Kind, find
from .status import StatusError
from .store import Store

Object = dict[str, Any]

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_TOLERATED_SECONDS = 300
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def _kind(group: str, plural: str) -> Kind:
    found = find(group, "v1", plural)
    assert found is not None
    return found


NAMESPACES = _kind("", "namespaces")
PRIORITY_CLASSES = _kind("scheduling.k8s.io", "priorityclasses")

# The classes that every cluster has (kubernetes v1.34, pkg/apis/scheduling).
_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def check_namespace(store: Store, kind: Kind, namespace: str, name: str, *, creating: bool) -> None:
    """Refuse to write into a namespace that is not there, or to create in one that is going away.

    Args:
        store: the state.
        kind: the kind that is written.
        namespace: where; empty for kinds without namespaces.
        name: the object's name.
        creating: whether the object is new.

    Raises:
        StatusError: 404 or 403.
    """
    if not namespace:
        return
    entry = store.get(NAMESPACES, "", namespace)
    if entry is None:
        raise status.not_found(NAMESPACES, namespace)
    if creating and (entry.head.get("status") or {}).get("phase") == "Terminating":
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        error = status.forbidden(kind, name, why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise StatusError(403, "Forbidden", error.message, {**(error.details or {}), "causes": [cause]})


def check_delete(kind: Kind, name: str) -> None:
    """Refuse to delete the namespaces that a cluster cannot be without.

    Args:
        kind: the kind.
        name: the object's name.

    Raises:
        StatusError: 403.
    """
    if kind is NAMESPACES and name in IMMORTAL:
        raise status.forbidden(kind, name, "this namespace may not be deleted")


def admit_create(store: Store, kind: Kind, obj: Object, *, account_required: bool = False) -> None:
    """Change a new object as the default admission plugins do.

    Args:
        store: the state.
        kind: its kind.
        obj: changed in place; fields of wrong types are left for validation to refuse.
        account_required: whether a pod's service account must be there, also the one that it gets by default.

    Raises:
        StatusError: 403.
    """
    queues.admit(store, kind, obj)
    if kind.kind == "Namespace":
        _admit_namespace(obj)
    elif kind.kind == "Node" and isinstance(obj.get("spec"), (dict, type(None))):
        _admit_node(obj)
    elif kind.kind == "Pod" and isinstance(obj.get("spec"), dict):
        limit_ranges.set_defaults(store, obj)
        service_accounts.admit(store, kind, obj, required=account_required)
        _admit_priority(store, kind, obj)
        _admit_tolerations(obj["spec"])
        _tolerate_extended_resources(obj["spec"])


Policies = Callable[[], list[str]]


def validate_create(
    store: Store, kind: Kind, obj: Object, policies: Policies
) -> tuple[list[str], list[tuple[Object, Object]]]:
    """Refuse a new object as the validating plugins do.

    Args:
        store: the state.
        kind: its kind.
        obj: the object, valid, as it would be stored.
        policies: asks the admission policies; gives warnings.

    Returns:
        Warnings, and the quotas to charge when it is stored (`quota.charge`).

    Raises:
        StatusError: 403, or 422 for labels of a namespace that say nothing.
    """
    if kind.kind == "Pod":
        limit_ranges.check(store, kind, obj)
    queues.check(store, kind, obj)
    warnings = pod_security.check_create(store, kind, obj) + policies()
    return warnings, quota.charges(store, kind, obj)


def validate_update(
    store: Store, kind: Kind, new: Object, old: Object, policies: Policies
) -> tuple[list[str], list[tuple[Object, Object]]]:
    """Refuse a changed object as the validating plugins do.

    Args:
        store: the state.
        kind: its kind.
        new: the object after the change, valid.
        old: the object as stored.
        policies: as in `validate_create`.

    Returns:
        As `validate_create`.

    Raises:
        StatusError: 403 or 422.
    """
    queues.check(store, kind, new, old)
    warnings = pod_security.check_update(store, kind, new, old) + policies()
    return warnings, quota.charges(store, kind, new, old)


def admit_update(kind: Kind, new: Object, old: Object) -> None:
    """Change an updated object as the default admission plugins do.

    Args:
        kind: its kind.
        new: the object after the change, changed in place.
        old: the object as stored.
    """
    spec, before = new.get("spec"), old.get("spec")
    if kind.kind == "Pod" and isinstance(spec, dict) and isinstance(before, dict):
        for key in ("priority", "preemptionPolicy"):
            if spec.get(key) is None and before.get(key) is not None:
                spec[key] = before[key]
        _admit_tolerations(spec)
        _tolerate_extended_resources(spec)


def _admit_namespace(obj: Object) -> None:
    name = obj["metadata"].get("name", "")
    labels = obj["metadata"].get("labels")
    if labels is None:
        labels = obj["metadata"]["labels"] = {}
    labels["kubernetes.io/metadata.name"] = name


def _admit_node(obj: Object) -> None:
    """Keep pods off a new node until it has said that it is ready."""
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    taints = spec.get("taints") or []
    if isinstance(taints, list) and _NOT_READY not in taints:
        spec["taints"] = [*taints, dict(_NOT_READY)]


def _admit_priority(store: Store, kind: Kind, obj: Object) -> None:
    spec = obj["spec"]
    wanted = spec.get("priorityClassName") or ""
    name, value, preemption = "", 0, "PreemptLowerPriority"
    if wanted in _SYSTEM_PRIORITIES:
        name, value = wanted, _SYSTEM_PRIORITIES[wanted]
    elif wanted:
        entry = store.get(PRIORITY_CLASSES, "", wanted)
        if entry is None:
            raise status.forbidden(kind, _name_asked_for(obj), f"no PriorityClass with name {wanted} was found")
        found = entry.object()
        name, value, preemption = wanted, found.get("value", 0), found.get("preemptionPolicy") or preemption
    else:
        defaults = [each.object() for each in store.of(PRIORITY_CLASSES).all() if each.head.get("globalDefault")]
        if defaults:
            lowest = min(defaults, key=lambda each: each.get("value", 0))
            name, value = lowest["metadata"]["name"], lowest.get("value", 0)
            preemption = lowest.get("preemptionPolicy") or preemption
    given = spec.get("priority")
    if given is not None and given != value:
        why = (
            f"the integer value of priority ({given}) must not be provided in pod spec; priority admission controller "
            f"computed {value} from the given PriorityClass name"
        )
        raise status.forbidden(kind, obj["metadata"].get("name", ""), why)
    if name:
        spec["priorityClassName"] = name
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", preemption)


def _name_asked_for(obj: Object) -> str:
    # A name that is to be generated has not been yet when these plugins are asked.
    return str(obj["metadata"].get("generateName") or obj["metadata"].get("name", ""))


def _admit_tolerations(spec: Object) -> None:
    tolerations = spec.get("tolerations") or []
    if not isinstance(tolerations, list):
        return
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(each, key) for each in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}
            )
    spec["tolerations"] = tolerations


def _tolerate_extended_resources(spec: Object) -> None:
    """Let pods that ask for accelerators onto the nodes that are kept for them; GKE runs this plugin."""
    tolerations = spec.get("tolerations")
    if not isinstance(tolerations, list):
        return
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    names = {
        name
        for each in containers
        if isinstance(each, dict)
        for name in ((each.get("resources") or {}).get("requests") or {})
    }
    for name in sorted(names):
        wanted = {"key": name, "operator": "Exists", "effect": "NoSchedule"}
        if is_extended(name) and wanted not in tolerations:
            tolerations.append(wanted)


def _tolerates(toleration: object, key: str) -> bool:
    if not isinstance(toleration, dict):
        return False
    named = toleration.get("key") == key or not toleration.get("key")
    return named and toleration.get("effect") in {"NoExecute", "", None}
