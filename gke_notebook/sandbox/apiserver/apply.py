"""Server-side apply and field ownership (`metadata.managedFields`).

Source of the rules and texts: the Kubernetes documentation "Server-Side Apply", k8s.io/apimachinery v0.34
(`util/managedfields`) and sigs.k8s.io/structured-merge-diff v6.3.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import msgspec

from . import fieldset, status
from .fieldset import FieldSet
from .kinds import Kind
from .merge import merge_struct, prune_struct
from .owners import APPLY, UPDATE, Manager, Owned, Owners, cap, entries, read
from .schema import Type, empty, type_of
from .validation.fields import FieldTypeError, normalize

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BEFORE = "before-first-apply"

# Fields nobody owns.
_STRIPPED: FieldSet = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        ".": {},
        **{
            f"f:{name}": {}
            for name in (
                "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
                "managedFields", "resourceVersion",
            )
        },
    },
}  # fmt: skip


def _written(kind: Kind, fields: FieldSet, subresource: str) -> FieldSet:
    """Leave out what the endpoint does not write, and what nobody owns."""
    if subresource:
        fields = fieldset.without(fields, "f:spec")
        if kind.kind == "Pod":
            fields = fieldset.without(fields, "f:metadata", "f:deletionTimestamp")
            fields = fieldset.without(fields, "f:metadata", "f:ownerReferences")
    elif kind.subresource("status") is not None:
        fields = fieldset.without(fields, "f:status")
    return fields


def _store(obj: dict[str, Any], owners: Owners) -> None:
    metadata = obj["metadata"]
    if owners:
        metadata["managedFields"] = entries(owners)
    else:
        metadata.pop("managedFields", None)


def _is_reset(entries: Any) -> bool:
    return isinstance(entries, list) and (not entries or entries[0] == {})


def track(
    kind: Kind,
    live: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    operation: str = UPDATE,
    subresource: str = "",
    now: str,
) -> None:
    """Record in `new` (in place) who owns the fields that an ordinary write has set.

    A real server does this after `validation.set_defaults` and before what `validation.prepare_create` adds.

    Args:
        kind: the object's kind.
        live: the object before the write, None for a create.
        new: the object about to be stored, defaults included.
        manager: the `fieldManager` parameter or the first word of the user agent.
        operation: ``Update`` (``Apply`` is written by `server_side_apply`).
        subresource: for example ``status``, empty for the object itself.
        now: the time as RFC 3339 text.
    """
    sent = new["metadata"].pop("managedFields", None)
    stored = live["metadata"].get("managedFields") if live is not None else None
    if not subresource and _is_reset(sent):
        owners: Owners = {}
    else:
        owners = {} if subresource or sent is None or sent == stored else read(sent, trusted=False)
        owners = owners or read(stored)
    if live is not None and not owners:
        return  # nobody has tracked this object so far, or its owners were just reset
    me = Manager(manager or "unknown", operation, kind.api_version, subresource)
    _update(kind, live, new, owners, me=me, now=now)
    _store(new, owners)


def _update(
    kind: Kind, live: dict[str, Any] | None, new: dict[str, Any], owners: Owners, *, me: Manager, now: str
) -> None:
    type_ = type_of(kind)
    before = _unmanaged(live) if live is not None else empty(type_)
    changed, removed = fieldset.compare(type_, before, _unmanaged(new))
    changed = _written(kind, changed, me.subresource)
    removed = _written(kind, removed, me.subresource)
    for manager, owned in list(owners.items()):
        _keep(owners, manager, owned, fieldset.difference(fieldset.difference(owned.fields, changed), removed))
    mine = fieldset.difference(changed, _STRIPPED)
    if not mine:
        return
    previous = owners.get(me)
    fields = fieldset.union(mine, previous.fields) if previous is not None else mine
    owners[me] = Owned(fields, now, me.api_version)
    cap(owners)


def _unmanaged(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata", {})
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _keep(owners: Owners, manager: Manager, owned: Owned, fields: FieldSet) -> None:
    if not fields:
        del owners[manager]
    elif fields is not owned.fields:
        owners[manager] = replace(owned, fields=fields)


def server_side_apply(
    kind: Kind,
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    manager: str,
    force: bool,
    now: str,
    subresource: str = "",
) -> dict[str, Any]:
    """Give the object after a server-side apply; `live` and `applied` are left as they were.

    Defaults are not set: that is `validation.prepare_create` or `prepare_update`.

    Args:
        kind: the object's kind.
        live: the object as stored, None to create it.
        applied: the body of the apply, decoded.
        manager: the `fieldManager` parameter.
        force: whether conflicting fields are taken over.
        now: the time as RFC 3339 text.
        subresource: for example ``status``, empty for the object itself.

    Raises:
        StatusError: 409 with one cause per conflicting field; 400, 422 or 500 when the body cannot be applied.
    """
    type_ = type_of(kind)
    config = _checked(kind, type_, applied, manager)
    owners = read(live["metadata"].get("managedFields")) if live is not None else {}
    if live is not None and not owners:
        before = Manager(_BEFORE, UPDATE, kind.api_version)
        _update(kind, None, live, owners, me=before, now=now)
    start = copy.deepcopy(_unmanaged(live)) if live is not None else empty(type_)
    me = Manager(manager, APPLY, "", subresource)
    try:
        result, found = _apply(kind, start, config, dict(owners), me=me, force=force, now=now)
    except _ConflictError as conflict:
        rest = conflict.conflicts
        if manager == "kubectl" and live is not None:
            rest = _not_from_client_side(type_, live, rest)
        if rest:
            raise _conflict_status(rest) from conflict
        result, found = _apply(kind, start, config, dict(owners), me=me, force=True, now=now)
    _refresh_last_applied(result, applied, manager)
    _store(result, found)
    return result


def _checked(kind: Kind, type_: Type, applied: dict[str, Any], manager: str) -> dict[str, Any]:
    if not manager:
        error = status.required("fieldManager", "is required for apply patch")
        text = f'PatchOptions.meta.k8s.io "" is invalid: {error}'
        details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [error.cause()]}
        raise status.StatusError(422, "Invalid", text, details)
    config = copy.deepcopy(applied)
    version = str(config.get("apiVersion", ""))
    if version != kind.api_version:
        raise status.bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version}, expected: {kind.api_version}"
        )
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise status.bad_request("metadata.managedFields must be nil")
    try:
        unknown = kind.rules.check_applied(config) if kind.rules is not None else normalize(type_, config, exact=True)
        problems = [f".{path}: field not declared in schema" for path in unknown]
    except FieldTypeError as error:
        problems = [str(error)]
    if problems:
        names = metadata if isinstance(metadata, dict) else {}
        where = f"{names.get('namespace', '')}/{names.get('name', '')}; {kind.api_version}, Kind={kind.kind}"
        said = problems[0] if len(problems) == 1 else "errors:\n  " + "\n  ".join(problems)
        raise status.StatusError(500, "", f"failed to create typed patch object ({where}): {said}")
    config.setdefault("metadata", {})
    return config


class _ConflictError(Exception):
    def __init__(self, conflicts: list[tuple[Manager, FieldSet]]) -> None:
        super().__init__()
        self.conflicts = conflicts


def _apply(
    kind: Kind,
    live: dict[str, Any],
    config: dict[str, Any],
    owners: Owners,
    *,
    me: Manager,
    force: bool,
    now: str,
) -> tuple[dict[str, Any], Owners]:
    type_ = type_of(kind)
    fields = _written(kind, fieldset.collect(type_, config), me.subresource)
    last = owners.get(me)
    others = {manager: owned for manager, owned in owners.items() if manager != me}
    result: dict[str, Any] = merge_struct(type_, live, config)
    if last is not None:
        kept = fields
        for owned in others.values():
            kept = fieldset.union(kept, owned.fields)
        prune_struct(type_, result, last.fields, kept)
    changed, removed = fieldset.compare(type_, live, result)
    changed = _written(kind, changed, me.subresource)
    removed = _written(kind, removed, me.subresource)
    clashes = [(manager, fieldset.intersection(owned.fields, changed)) for manager, owned in others.items()]
    clashes = [(manager, clash) for manager, clash in clashes if clash]
    if clashes and not force:
        raise _ConflictError(clashes)
    for manager, owned in list(others.items()):
        left = fieldset.difference(fieldset.difference(owned.fields, changed), removed)
        _keep(others, manager, owned, left)
    mine = fieldset.difference(fields, _STRIPPED)
    if mine:
        # Who applies what is there already changes no object and so has no time.
        time = now if live != result else last.time if last is not None else ""
        others[me] = Owned(mine, time, kind.api_version)
    return result, others


def _conflict_status(conflicts: list[tuple[Manager, FieldSet]]) -> status.StatusError:
    found = [(str(manager), path) for manager, fields in conflicts for path in fieldset.paths(fields)]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in found
    ]
    if len(found) == 1:
        manager, path = found[0]
        return status.apply_conflict(causes, f"Apply failed with 1 conflict: conflict with {manager}: {path}")
    lines = []
    for manager in sorted({manager for manager, _ in found}):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {path}" for owner, path in found if owner == manager]
    return status.apply_conflict(causes, f"Apply failed with {len(found)} conflicts: " + "\n".join(lines))


def _not_from_client_side(
    type_: Type, live: dict[str, Any], conflicts: list[tuple[Manager, FieldSet]]
) -> list[tuple[Manager, FieldSet]]:
    """Leave out conflicts about fields that kubectl's client-side apply has set and nobody changed since."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        applied = msgspec.json.decode(text, type=dict)
        normalize(type_, applied, exact=True)
    except (msgspec.MsgspecError, FieldTypeError, RecursionError):
        return conflicts
    if applied.get("apiVersion") != live.get("apiVersion"):
        return conflicts
    allowed = fieldset.collect(type_, applied)
    changed, removed = fieldset.compare(type_, applied, _unmanaged(live))
    allowed = fieldset.difference(fieldset.difference(allowed, changed), removed)
    rest = [(manager, fieldset.difference(fields, allowed)) for manager, fields in conflicts]
    return [(manager, fields) for manager, fields in rest if fields]


def _refresh_last_applied(result: dict[str, Any], config: dict[str, Any], manager: str) -> None:
    annotations = result["metadata"].get("annotations") or {}
    if manager != "kubectl" or not annotations.get(LAST_APPLIED):
        return
    plain = copy.deepcopy(config)
    ((plain.get("metadata") or {}).get("annotations") or {}).pop(LAST_APPLIED, None)
    annotations[LAST_APPLIED] = json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n"
