"""The subresources of pods that are written to: binding and eviction."""

from __future__ import annotations

from typing import Any

from . import admission, deletes, metadata, status
from .options import DeleteOptions, WriteOptions, delete_options
from .paths import Target
from .status import StatusError
from .store import Store

Object = dict[str, Any]


def bind(store: Store, target: Target, binding: Object, options: WriteOptions) -> None:
    """Assign a pod to a node.

    Args:
        store: the state.
        target: the pod's `binding`.
        binding: the decoded body.
        options: the parameters.

    Raises:
        StatusError: as the server says it.
    """
    kind, meta = target.kind, binding.get("metadata") or {}
    _check_meta(target, meta, "Binding")
    node = binding.get("target") or {}
    if node.get("kind") not in {None, "", "Node"}:
        error = status.not_supported("target.kind", node.get("kind"), ["Node", "<empty>"])
        raise StatusError(400, "BadRequest", str(error))
    if not node.get("name"):
        raise status.bad_request(str(status.required("target.name")))
    admission.check_namespace(store, kind, target.namespace, target.name, creating=True)
    entry = store.get(kind, target.namespace, target.name)
    if entry is None:
        raise status.not_found(kind, target.name)
    pod = entry.object()
    spec, found = pod["spec"], pod["metadata"]
    _check_preconditions(target, found, meta.get("uid") or "", meta.get("resourceVersion") or "")
    if found.get("deletionTimestamp"):
        raise _refused(target, f"pod {target.name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _refused(target, f"pod {target.name} is already assigned to node {status.quote(spec['nodeName'])}")
    if spec.get("schedulingGates"):
        raise _refused(target, f"pod {target.name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = node["name"]
    if meta.get("annotations"):
        found["annotations"] = {**(found.get("annotations") or {}), **meta["annotations"]}
    if meta.get("labels"):
        found["labels"] = {**(found.get("labels") or {}), **meta["labels"]}
    set_condition(pod, {"type": "PodScheduled", "status": "True"})
    if not options.dry_run:
        store.put(kind, pod)


def evict(store: Store, target: Target, eviction: Object, options: WriteOptions) -> None:
    """Evict a pod: tell it why, then delete it with its grace period. There are no disruption budgets to ask.

    Args:
        store: the state.
        target: the pod's `eviction`.
        eviction: the decoded body.
        options: the parameters.

    Raises:
        StatusError: as the server says it.
    """
    kind = target.kind
    _check_meta(target, eviction.get("metadata") or {}, "Eviction")
    wanted = eviction.get("deleteOptions")
    how = delete_options(wanted, {}) if wanted else DeleteOptions()
    entry = store.get(kind, target.namespace, target.name)
    if entry is None:
        raise status.not_found(kind, target.name)
    pod = entry.object()
    _check_preconditions(target, pod["metadata"], how.uid, how.version)
    dry_run = options.dry_run or how.dry_run
    if not dry_run:
        set_condition(
            pod,
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            },
        )
        store.put(kind, pod)
    how = DeleteOptions(dry_run, how.grace, how.propagation, how.orphan, how.uid)
    deletes.delete(store, target, how)


def set_condition(pod: Object, condition: Object) -> None:
    """Set a condition of a pod; its transition time moves only when its status does.

    Args:
        pod: changed in place.
        condition: the condition without times.
    """
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    now = metadata.timestamp()
    for index, each in enumerate(conditions):
        if each.get("type") == condition["type"]:
            moved = each.get("status") != condition["status"]
            time = now if moved else each.get("lastTransitionTime")
            conditions[index] = {"lastProbeTime": None, "lastTransitionTime": time, **condition}
            return
    conditions.append({"lastProbeTime": None, "lastTransitionTime": now, **condition})


def _check_meta(target: Target, meta: Object, kind: str) -> None:
    if meta.get("namespace") not in {None, "", target.namespace}:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise status.bad_request(text)
    if meta.get("name") != target.name:
        raise status.bad_request(f"name in URL does not match name in {kind} object")


def _check_preconditions(target: Target, found: Object, uid: str, version: str) -> None:
    if uid and uid != found["uid"]:
        raise status.precondition_uid(target.kind, target.name, uid, found["uid"])
    if version and version != found["resourceVersion"]:
        raise status.precondition_version(target.kind, target.name, version, found["resourceVersion"])


def _refused(target: Target, why: str) -> StatusError:
    text = f"Operation cannot be fulfilled on pods/binding {status.quote(target.name)}: {why}"
    return StatusError(409, "Conflict", text, {"name": target.name, "kind": "pods/binding"})
