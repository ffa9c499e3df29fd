"""Create, update, patch and apply: from a decoded request to a stored object."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import admission, metadata, status, strategy
from .admission_plugins import quota
from .apply import server_side_apply, track
from .formats import IMMUTABLE
from .kinds import STATUS, Kind
from .options import WriteOptions
from .paths import Target
from .store import Entry, Store, encode_object
from .validation import check_unknown_fields, prepare_create, prepare_update, set_defaults

Object = dict[str, Any]

_NAME_ATTEMPTS = 8


@dataclass
class Written:
    """The outcome of a write.

    Args:
        body: the object as JSON, to be answered.
        code: the HTTP status code.
        warnings: for `Warning` headers.
    """

    body: bytes
    code: int = 200
    warnings: list[str] = field(default_factory=list)


def create(
    store: Store, target: Target, obj: Object, options: WriteOptions, duplicates: list[str] | None = None
) -> Written:
    """Store a new object.

    Args:
        store: the state.
        target: the collection.
        obj: the decoded body; becomes the object.
        options: the parameters.
        duplicates: fields that the body named twice.

    Raises:
        StatusError: as the server says it.
    """
    warnings = check_unknown_fields(target.kind, obj, options.validation, duplicates)
    with _said(warnings):
        _check_namespace_of(target, obj, creating=True)
        warnings += metadata.deduplicate_owners(obj["metadata"])
        body, more = _create(store, target, obj, options)
    return Written(body, 201, warnings + more)


@contextlib.contextmanager
def _said(warnings: list[str]) -> Iterator[None]:
    """Let a refusal carry the warnings that were found before it."""
    try:
        yield
    except status.StatusError as error:
        error.warnings[:0] = warnings
        raise


def _create(
    store: Store, target: Target, obj: Object, options: WriteOptions, *, owned: bool = False
) -> tuple[bytes, list[str]]:
    kind, meta = target.kind, obj["metadata"]
    if meta.get("resourceVersion") not in {None, "", "0"}:
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    set_defaults(kind, obj)  # before a name is generated: what is derived from the name then belongs to no client
    asked_for = meta.get("name") or ""
    if not asked_for and meta.get("generateName"):
        meta["name"] = _free_name(store, kind, target.namespace, str(meta["generateName"]))
    name = meta.get("name") or ""
    admission.check_namespace(store, kind, target.namespace, name, creating=True)
    if options.guard is not None:
        options.guard(obj, None)
    now = time.time()
    stamp = metadata.timestamp(now)
    if not owned:
        # What admission and the strategy add (a Job's selector, a pod's tolerations) belongs to no client.
        track(kind, None, obj, manager=options.manager, operation="Update", subresource="", now=stamp)
    admission.admit_create(store, kind, obj, account_required=options.account_required)
    metadata.begin(kind.kind, meta, stamp)
    strategy.prepare_create(kind, obj)
    warnings = prepare_create(kind, obj)
    more, charges = admission.validate_create(store, kind, obj, lambda: _policies(options, kind, obj, None, asked_for))
    warnings = more + warnings
    taken = store.get(kind, target.namespace, name)
    if taken is not None:
        raise status.already_exists(kind, name, deleting="deletionTimestamp" in taken.object()["metadata"])
    if options.dry_run:
        return encode_object(kind, obj), warnings
    quota.charge(store, charges)
    return store.put(kind, obj, now).body, warnings


def _policies(options: WriteOptions, kind: Kind, new: Object, old: Object | None, name: str) -> list[str]:
    if options.policies is None:
        return []
    shown = {"apiVersion": kind.api_version, "kind": kind.kind, **new}
    return options.policies(shown, old, name)


def _free_name(store: Store, kind: Kind, namespace: str, base: str) -> str:
    name = ""
    for _ in range(_NAME_ATTEMPTS):
        name = metadata.generate_name(base)
        if store.get(kind, namespace, name) is None:
            return name
    raise status.generate_name_conflict(kind, name)


def update(
    store: Store, target: Target, obj: Object, options: WriteOptions, duplicates: list[str] | None = None
) -> Written:
    """Replace an object, or its status.

    Args:
        store: the state.
        target: the object or its subresource.
        obj: the decoded body; becomes the object.
        options: the parameters.
        duplicates: fields that the body named twice.

    Raises:
        StatusError: as the server says it.
    """
    kind = target.kind
    warnings = check_unknown_fields(kind, obj, options.validation, duplicates)
    _check_namespace_of(target, obj)
    _check_name_of(target, obj)
    warnings += metadata.deduplicate_owners(obj["metadata"])
    entry = store.get(kind, target.namespace, target.name)
    if entry is None:
        if kind.kind not in strategy.CREATE_ON_UPDATE or target.subresource:
            raise status.not_found(kind, target.name)
        if obj["metadata"].get("uid"):
            raise status.other_uid(kind, target.namespace, target.name, obj["metadata"]["uid"])
        body, more = _create(store, target, obj, options)
        return Written(body, 201, warnings + more)
    uid, found = obj["metadata"].get("uid"), entry.object()["metadata"]["uid"]
    if uid and uid != found:
        raise status.other_uid(kind, target.namespace, target.name, uid, found)
    _check_version_of(target, obj)
    with _said(warnings):
        written = replace(store, target, entry, obj, options)
    written.warnings[:0] = warnings
    return written


def replace(
    store: Store, target: Target, entry: Entry, new: Object, options: WriteOptions, *, owned: bool = False
) -> Written:
    """Store a changed object: the common end of update, patch and apply.

    Args:
        store: the state.
        target: the object or its subresource.
        entry: the object as stored.
        new: the object after the change; changed in place.
        options: the parameters.
        owned: whether `managedFields` are up to date already (apply).

    Raises:
        StatusError: as the server says it.
    """
    kind = target.kind
    old = entry.object()
    meta, before = new["metadata"], old["metadata"]
    if meta.get("resourceVersion") not in {None, "", "0"} and meta["resourceVersion"] != before["resourceVersion"]:
        raise status.conflict(kind, target.name)
    if meta.get("uid") and meta["uid"] != before["uid"]:
        raise status.precondition_uid(kind, target.name, meta["uid"], before["uid"])
    meta["resourceVersion"] = before["resourceVersion"]
    metadata.carry_over(meta, before)
    if options.guard is not None:
        options.guard(new, old)
    if not target.subresource:
        admission.admit_update(kind, new, old)
    # The metadata that a writer of a custom kind's status sends is recorded as theirs, although it is not taken.
    early = kind.rules is not None and target.subresource == STATUS and not owned
    if early:
        stamp = metadata.timestamp()
        track(kind, old, new, manager=options.manager, operation="Update", subresource=STATUS, now=stamp)
    strategy.prepare_update(kind, new, old, target.subresource)
    warnings = prepare_update(kind, new, old, target.subresource)
    charges: list[tuple[Object, Object]] = []
    if not target.subresource:
        more, charges = admission.validate_update(
            store, kind, new, old, lambda: _policies(options, kind, new, old, target.name)
        )
        warnings = more + warnings
    else:
        warnings = _policies(options, kind, new, old, target.name) + warnings
    metadata.bump_generation(new, old)
    now = time.time()
    if not owned and not early:
        track(
            kind, old, new, manager=options.manager, operation="Update",
            subresource=target.subresource if target.subresource == STATUS else "", now=metadata.timestamp(now),
        )  # fmt: skip
    if _gone(kind, new, old):
        body = encode_object(kind, new)  # with the version it had: nothing is written but its end
        if not options.dry_run:
            store.delete(kind, entry)  # its end shows it as it was stored
        return Written(body, 200, warnings)
    if metadata.same(new, old):
        return Written(entry.body, 200, warnings)  # nothing has changed, so nobody is told
    if options.dry_run:
        return Written(encode_object(kind, new), 200, warnings)
    quota.charge(store, charges)
    return Written(store.put(kind, new, now).body, 200, warnings)


def _gone(kind: Kind, new: Object, old: Object) -> bool:
    """Tell whether an update has taken away the last thing that kept a deleted object."""
    before = old["metadata"]
    if new["metadata"].get("finalizers") or not before.get("deletionTimestamp"):
        return False
    if kind.kind == "Namespace" and (new.get("spec") or {}).get("finalizers"):
        return False
    return not before.get("deletionGracePeriodSeconds")


def patch(
    store: Store, target: Target, change: Callable[[Object], tuple[Object, list[str]]], options: WriteOptions
) -> Written:
    """Change an object by a patch; reading and writing cannot be separated, so there is nothing to retry.

    Args:
        store: the state.
        target: the object or its subresource.
        change: makes the new object out of the live one, with warnings.
        options: the parameters.

    Raises:
        StatusError: as the server says it.
    """
    entry = store.get(target.kind, target.namespace, target.name)
    if entry is None:
        raise status.not_found(target.kind, target.name)
    new, warnings = change(entry.object())
    with _said(warnings):
        _check_type_of(target, new)
        _check_namespace_of(target, new, creating=True)
        _check_name_of(target, new)
        warnings += metadata.deduplicate_owners(new["metadata"], patched=True)
        _check_version_of(target, new)
        _check_uid_of(target, new, entry)
        written = replace(store, target, entry, new, options)
    written.warnings[:0] = warnings
    return written


def apply(
    store: Store, target: Target, obj: Object, options: WriteOptions, duplicates: list[str] | None = None
) -> Written:
    """Create or change an object by server-side apply.

    Args:
        store: the state.
        target: the object or its subresource.
        obj: the decoded body.
        options: the parameters.
        duplicates: fields that the body named twice.

    Raises:
        StatusError: as the server says it.
    """
    kind = target.kind
    # The fields themselves are checked by `server_side_apply`, which must see the body as it was written.
    warnings = [f"key {status.quote(name)} already set in map" for name in duplicates or ()]
    if warnings and options.validation == "Strict":
        raise status.bad_request("error strict decoding YAML: " + ", ".join(warnings))
    _check_namespace_of(target, obj)
    entry = store.get(kind, target.namespace, target.name)
    if entry is None and target.subresource:
        raise status.not_found(kind, target.name)
    live = None if entry is None else entry.object()
    if entry is None and obj["metadata"].get("uid"):
        uid = obj["metadata"]["uid"]
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise status.conflict(kind, target.name, why)
    new = server_side_apply(
        kind, live, obj, manager=options.manager, force=options.force, now=metadata.timestamp(),
        subresource=target.subresource,
    )  # fmt: skip
    _check_name_of(target, new)
    check_unknown_fields(kind, new, "Ignore")
    if entry is None:
        body, more = _create(store, target, new, options, owned=True)
        return Written(body, 201, warnings + more)
    written = replace(store, target, entry, new, options, owned=True)
    written.warnings[:0] = warnings
    return written


def _check_namespace_of(target: Target, obj: Object, *, creating: bool = False) -> None:
    meta = obj.get("metadata")
    if meta is None:
        meta = obj["metadata"] = {}
    if not isinstance(meta, dict):
        raise status.bad_request("metadata must be an object")
    if not target.kind.namespaced:
        meta.pop("namespace", None)
        return
    named = meta.get("namespace")
    if named and named != target.namespace:
        if creating:
            text = "the namespace of the provided object does not match the namespace sent on the request"
        else:
            text = (
                f"the namespace of the object ({named}) does not match the namespace on the request "
                f"({target.namespace})"
            )
        raise status.bad_request(text)
    meta["namespace"] = target.namespace


def _check_type_of(target: Target, new: Object) -> None:
    """Refuse a patch that changes the type of a custom object; built-in kinds read their own into whatever comes."""
    kind = target.kind
    if kind.rules is None or kind.rules.strategic:
        return
    name, version = new.get("kind"), new.get("apiVersion")
    errors = [status.invalid_value("kind", name, f"must be {kind.kind}")] if name != kind.kind else []
    if version != kind.api_version:
        errors.append(status.invalid_value("apiVersion", version, f"must be {kind.api_version}"))
    if errors:
        group = str(version).rpartition("/")[0]
        raise status.invalid(dataclasses.replace(kind, group=group, kind=str(name)), target.name, errors)


def _check_version_of(target: Target, obj: Object) -> None:
    """Refuse a version that is no number, and none where the kind needs one."""
    version = obj["metadata"].get("resourceVersion") or "0"
    if not (version.isascii() and version.isdigit()):
        raise status.bad_request(f"strconv.ParseUint: parsing {status.quote(version)}: invalid syntax")
    if not int(version) and (target.kind.kind in strategy.NEEDS_VERSION or target.kind.rules is not None):
        raise status.version_needed(target.kind, target.name)


def _check_uid_of(target: Target, new: Object, entry: Entry) -> None:
    """Refuse a patch that changes the uid: unlike an update's, it is no precondition but a change of a field."""
    uid, found = new["metadata"].get("uid"), entry.object()["metadata"]
    if new["metadata"].get("resourceVersion") not in {None, "", "0", found["resourceVersion"]}:
        return  # the conflict is said first
    if uid and uid != found["uid"]:
        error = status.invalid_value("metadata.uid", uid, IMMUTABLE)
        raise status.invalid(target.kind, target.name, [error, error])  # two checks find it, and both are named


def _check_name_of(target: Target, obj: Object) -> None:
    name = obj["metadata"].get("name")
    if not name:
        text = f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(text)
    if name != target.name:
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
