"""Delete and deletecollection: grace periods, finalizers, preconditions.

Source: k8s.io/apiserver v0.34, pkg/registry/rest/delete.go and pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from . import admission, metadata, status, strategy
from .kinds import STATUS, Kind
from .options import DeleteOptions
from .paths import Target
from .status import StatusError
from .store import Entry, Store, encode_object

Object = dict[str, Any]

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(frozen=True)
class Deleted:
    """The outcome of a delete.

    Args:
        body: what is answered, as JSON; None when a Status of success is answered.
        gone: whether the object is gone already.
    """

    body: bytes | None
    gone: bool


def delete(store: Store, target: Target, options: DeleteOptions) -> Deleted:
    """Delete an object, or mark it for deletion.

    Args:
        store: the state.
        target: the object.
        options: what the client said.

    Raises:
        StatusError: as the server says it.
    """
    kind = target.kind
    admission.check_delete(kind, target.name)
    entry = store.get(kind, target.namespace, target.name)
    if entry is None:
        raise status.not_found(kind, target.name)
    obj = entry.object()
    if options.policies is not None:
        _check(kind, obj, options, namespace=kind.kind == "Namespace")
        options.policies(obj)
    if kind.kind == "Namespace":
        _check(kind, obj, options, namespace=True)
        pending = _terminate_namespace(store, kind, obj, options)
        if pending is not None:
            return Deleted(pending, gone=False)
    _check(kind, obj, options)
    return _delete(store, kind, entry, obj, options)


def _delete(store: Store, kind: Kind, entry: Entry, obj: Object, options: DeleteOptions) -> Deleted:
    meta = obj["metadata"]
    now = time.time()
    grace, graceful = None, False
    if kind.kind == "Pod":
        if meta.get("deletionTimestamp"):
            held = meta.get("deletionGracePeriodSeconds") or 0
            if held:
                if options.grace is None or options.grace >= held:
                    return Deleted(entry.body, gone=False)  # only a shorter period changes anything
                grace, graceful = _shorten(meta, held, options.grace, now), True
        else:
            grace, graceful = pod_grace(obj, options.grace), True
            metadata.mark_deleting(obj, grace, now)
    finalizers = _finalizers(kind, meta.get("finalizers") or [], options)
    if finalizers:
        changed = graceful or finalizers != (meta.get("finalizers") or [])
        meta["finalizers"] = finalizers
        if not graceful and not meta.get("deletionTimestamp"):
            metadata.mark_deleting(obj, 0, now)
            changed = True
        return Deleted(_put(store, kind, obj, options) if changed else entry.body, gone=False)
    meta.pop("finalizers", None)
    if graceful and grace:
        return Deleted(_put(store, kind, obj, options), gone=False)
    if graceful and not options.dry_run:
        entry = store.put(kind, obj)  # told as an end that is near, and then as the end
    body = encode_object(kind, obj) if options.dry_run else store.delete(kind, entry, obj).body
    return Deleted(body if kind.kind in strategy.RETURN_DELETED else None, gone=True)


def _put(store: Store, kind: Kind, obj: Object, options: DeleteOptions) -> bytes:
    if options.dry_run:
        return encode_object(kind, obj)
    return store.put(kind, obj).body


def warnings(kind: Kind, options: DeleteOptions) -> list[str]:
    """Give what a client that deletes should know.

    Args:
        kind: what is deleted.
        options: what the client said.
    """
    if kind.kind in strategy.ORPHANS_BY_DEFAULT and not options.propagation and options.orphan is None:
        return [strategy.ORPHANS_WARNING]
    return []


def pod_grace(pod: Object, asked: int | None) -> int:
    """Say how many seconds a pod has to end.

    Args:
        pod: the pod.
        asked: the client's `gracePeriodSeconds`, None when it named none.

    Returns:
        Seconds; 0 when no kubelet has it, or it has ended already.
    """
    spec, found = pod.get("spec") or {}, pod.get(STATUS) or {}
    if not spec.get("nodeName") or found.get("phase") in {"Failed", "Succeeded"}:
        return 0
    period = spec.get("terminationGracePeriodSeconds") or 0 if asked is None else asked
    return int(period) if period >= 0 else 1


def _shorten(meta: Object, held: int, asked: int, now: float) -> int:
    """Move the end of a pod that is ending already; gives the period that now holds."""
    end = metadata.parse_timestamp(meta["deletionTimestamp"]) - held + asked
    period = asked
    if end < now:
        end = now
        if period:
            period = 1
    meta["deletionTimestamp"] = metadata.timestamp(end)
    meta["deletionGracePeriodSeconds"] = period
    return period


def _finalizers(kind: Kind, found: list[str], options: DeleteOptions) -> list[str]:
    """Give the finalizers once the propagation policy is among them; without a policy they stay as they are."""
    if kind.kind in strategy.NEVER_OWNERS:
        wanted = ""
    elif options.orphan is not None:
        wanted = ORPHAN if options.orphan else ""
    elif options.propagation:
        wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(options.propagation, "")
    else:
        default = ORPHAN if kind.kind in strategy.ORPHANS_BY_DEFAULT else ""
        wanted = next((each for each in found if each in {ORPHAN, FOREGROUND}), default)
    if wanted and wanted in found:
        return [each for each in found if each == wanted or each not in {ORPHAN, FOREGROUND}]
    return [each for each in found if each not in {ORPHAN, FOREGROUND}] + ([wanted] if wanted else [])


def _terminate_namespace(store: Store, kind: Kind, obj: Object, options: DeleteOptions) -> bytes | None:
    """Begin or continue the end of a namespace; None when nothing is left to wait for."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = metadata.timestamp()
        obj.setdefault(STATUS, {})["phase"] = "Terminating"
        finalizers = _finalizers(kind, meta.get("finalizers") or [], options)
        if finalizers:
            meta["finalizers"] = finalizers
        else:
            meta.pop("finalizers", None)
        return encode_object(kind, obj) if options.dry_run else store.put(kind, obj).body
    if (obj.get("spec") or {}).get("finalizers"):
        return encode_object(kind, obj)
    return None


def _check(kind: Kind, obj: Object, options: DeleteOptions, *, namespace: bool = False) -> None:
    meta = obj["metadata"]
    name, uid, version = meta["name"], meta["uid"], meta["resourceVersion"]
    if options.uid and options.uid != uid:
        if namespace:
            raise status.precondition_uid(kind, name, options.uid, uid)
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
        raise _conflict(kind, name, why)
    if options.version and options.version != version:
        if namespace:
            raise status.precondition_version(kind, name, options.version, version)
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in record "
            f"({version}). The object might have been modified"
        )
        raise _conflict(kind, name, why)


def _conflict(kind: Kind, name: str, why: str) -> StatusError:
    # Here the server names the kind where it names the resource elsewhere.
    subject = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details = {"name": name, "kind": kind.kind, **({"group": kind.group} if kind.group else {})}
    text = f"Operation cannot be fulfilled on {subject} {status.quote(name)}: {why}"
    return StatusError(409, "Conflict", text, details)


def delete_collection(store: Store, target: Target, entries: list[Entry], options: DeleteOptions) -> None:
    """Delete many objects, each as `delete` does.

    Args:
        store: the state.
        target: the collection.
        entries: which objects.
        options: what the client said.

    Raises:
        StatusError: as the server says it.
    """
    for entry in entries:
        if store.get(target.kind, entry.namespace, entry.name) is not None:
            delete(store, replace(target, namespace=entry.namespace, name=entry.name), options)
