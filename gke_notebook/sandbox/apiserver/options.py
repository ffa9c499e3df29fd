"""The query parameters of the verbs, checked as the server checks them."""

from __future__ import annotations

import base64
import json
import posixpath
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import status
from .authorization.requests import is_set
from .decode import syntax_error
from .status import FieldError, StatusError

_MANAGER_LENGTH = 128
_PROPAGATION = ("Foreground", "Background", "Orphan")
_BAD_CONTINUE = "invalid continue token: continue key is not valid"
_INTEGER = re.compile("[+-]?[0-9]+")
_BASE64 = frozenset(string.ascii_letters + string.digits + "-_")


@dataclass(frozen=True)
class WriteOptions:
    """The parameters of create, update and patch.

    Args:
        dry_run: whether only to say what would happen.
        manager: who writes, for `managedFields`.
        validation: ``Strict``, ``Warn`` or ``Ignore``.
        force: whether an apply takes over conflicting fields.
        guard: looks at the object after and before the write, and may refuse it for who writes.
        policies: tells what the admission policies say of the object, the one before and the name that was asked for:
            gives warnings, or refuses.
        account_required: whether a new pod's service account must be there, also the one that it gets by default.
    """

    dry_run: bool = False
    manager: str = "unknown"
    validation: str = "Warn"
    force: bool = False
    guard: Callable[[dict[str, Any], dict[str, Any] | None], None] | None = None
    policies: Callable[[dict[str, Any], dict[str, Any] | None, str], list[str]] | None = None
    account_required: bool = False


@dataclass(frozen=True)
class ListOptions:
    """The parameters of list and watch.

    Args:
        labels: the `labelSelector`.
        fields: the `fieldSelector`.
        version: the `resourceVersion`, empty when unset.
        match: the `resourceVersionMatch`.
        limit: how many objects at most, 0 for all.
        token: the `continue` parameter.
        watch: whether a watch is asked for.
        bookmarks: whether a watch may send BOOKMARK events.
        initial_events: the `sendInitialEvents` parameter, None when unset.
        timeout: after how many seconds the server ends a watch, 0 for its own choice.
    """

    labels: str = ""
    fields: str = ""
    version: str = ""
    match: str = ""
    limit: int = 0
    token: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout: int = 0


@dataclass(frozen=True)
class DeleteOptions:
    """What a delete may say.

    Args:
        dry_run: whether only to say what would happen.
        grace: the grace period in seconds, None for the object's own.
        propagation: ``Orphan``, ``Background``, ``Foreground`` or empty.
        orphan: the older `orphanDependents`, None when unset.
        uid: the uid the object must have, empty for any.
        version: the resourceVersion it must have, empty for any.
        policies: asks the admission policies about an object that is to be deleted; may refuse.
    """

    dry_run: bool = False
    grace: int | None = None
    propagation: str = ""
    orphan: bool | None = None
    uid: str = ""
    version: str = ""
    policies: Callable[[dict[str, Any]], None] | None = None


def write_options(query: Mapping[str, str], user_agent: str, kind: str) -> WriteOptions:
    """Read the parameters of create, update and patch.

    Args:
        query: the parameters.
        user_agent: the `User-Agent` header; its first word is the manager when none is named.
        kind: the kind of the options in errors, for example ``CreateOptions``.

    Raises:
        StatusError: 422 for values that are not known.
    """
    if not query:
        return WriteOptions(manager=_agent(user_agent))
    errors = _check_dry_run(_all(query, "dryRun"))
    manager = query.get("fieldManager", "")
    if len(manager.encode(errors="replace")) > _MANAGER_LENGTH:
        errors.append(status.too_long("fieldManager", _MANAGER_LENGTH))
    odd = next((index for index, each in enumerate(manager) if not each.isprintable()), None)
    if odd is not None:
        at = len(manager[:odd].encode(errors="replace"))
        text = f"invalid character U+{ord(manager[odd]):04X} (at position {at})"
        errors.append(status.invalid_value("fieldManager", manager, text))
    validation = query.get("fieldValidation", "") or "Warn"
    if validation not in {"Strict", "Warn", "Ignore"}:
        errors.append(status.not_supported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]))
    if errors:
        raise _invalid(kind, errors)
    return WriteOptions("dryRun" in query, manager or _agent(user_agent), validation, is_set(query, "force"))


def _agent(user_agent: str) -> str:
    first = "".join(each for each in user_agent.partition("/")[0] if each.isprintable())
    return first[:_MANAGER_LENGTH] or "unknown"


def list_options(query: Mapping[str, str], *, single: bool = False) -> ListOptions:
    """Read the parameters of list and watch.

    Args:
        query: the parameters.
        single: whether one object is read.

    Raises:
        StatusError: 400 or 422 for values that make no sense.
    """
    if not query:
        return ListOptions()
    watch = is_set(query, "watch")
    initial = is_set(query, "sendInitialEvents") if "sendInitialEvents" in query else None
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    token = query.get("continue", "")
    limit, timeout = max(0, integer(query, "limit")), max(0, integer(query, "timeoutSeconds"))
    errors = _watch_errors(match, token, initial) if watch else _list_errors(version, match, token, initial)
    if errors:
        raise _invalid("ListOptions", errors)
    if version and not (version.isascii() and version.isdigit() and len(version) <= 20 and int(version) < 2**64):
        error = status.invalid_value("resourceVersion", version, _number_error("ParseUint", version))
        raise status.bad_request(str(error) if watch or single else f"invalid resource version: {error}")
    if token and version not in {"", "0"} and not watch:
        raise status.bad_request("specifying resource version is not allowed when using continue")
    if version == "0" and match != "Exact":
        limit = 0  # what any version will do for comes out of the server's cache, as a whole
    return ListOptions(
        query.get("labelSelector", ""), query.get("fieldSelector", ""), version, match, limit, token, watch,
        is_set(query, "allowWatchBookmarks"), initial, timeout,
    )  # fmt: skip


def _list_errors(version: str, match: str, token: str, initial: bool | None) -> list[FieldError]:
    errors = []
    if match:
        if not version:
            text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            errors.append(status.field_forbidden("resourceVersionMatch", text))
        if token:
            text = "resourceVersionMatch is forbidden when continue is provided"
            errors.append(status.field_forbidden("resourceVersionMatch", text))
        if match not in {"Exact", "NotOlderThan"}:
            errors.append(status.not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and version == "0":
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(status.field_forbidden("resourceVersionMatch", text))
    if initial is not None:
        errors.append(status.field_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errors


def _watch_errors(match: str, token: str, initial: bool | None) -> list[FieldError]:
    errors = []
    if initial is not None and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(status.field_forbidden("resourceVersionMatch", text))
    if match:
        if initial is None:
            text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            errors.append(status.field_forbidden("resourceVersionMatch", text))
        if match != "NotOlderThan":
            errors.append(status.not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
        if token:
            text = "resourceVersionMatch is forbidden when continue is provided"
            errors.append(status.field_forbidden("resourceVersionMatch", text))
    return errors


def delete_options(body: Mapping[str, Any] | None, query: Mapping[str, str]) -> DeleteOptions:
    """Read the options of a delete: from its body, or, without one, from its parameters.

    Args:
        body: the decoded `DeleteOptions`, already checked for the types of its fields; None when there was no body.
        query: the parameters.

    Raises:
        StatusError: 422 for values that are not known, 400 for numbers that are none.
    """
    if body is not None:
        dry_run = list(body.get("dryRun") or [])
        grace, propagation = body.get("gracePeriodSeconds"), body.get("propagationPolicy")
        orphan, preconditions = body.get("orphanDependents"), body.get("preconditions") or {}
    else:
        dry_run = _all(query, "dryRun")
        grace = integer(query, "gracePeriodSeconds") if "gracePeriodSeconds" in query else None
        propagation, preconditions = query.get("propagationPolicy"), query
        orphan = is_set(query, "orphanDependents") if "orphanDependents" in query else None
    errors = []
    if propagation is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(status.invalid_value("propagationPolicy", propagation, text))
    if propagation not in {None, *_PROPAGATION}:
        errors.append(status.not_supported("propagationPolicy", propagation, [*_PROPAGATION, "nil"]))
    errors += _check_dry_run(dry_run)
    if errors:
        raise _invalid("DeleteOptions", errors)
    if grace is not None and grace < 0:
        grace = 1  # the server takes a negative period as one second
    return DeleteOptions(
        bool(dry_run), grace, propagation or "", orphan, preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
    )  # fmt: skip


@dataclass(frozen=True)
class Continue:
    """Where a list goes on.

    Args:
        revision: the revision the first page was read at; -1 goes on with the current state.
        start: the last key read, ``NAMESPACE/NAME`` or ``NAME``, and a NUL.
    """

    revision: int
    start: str


def encode_continue(token: Continue) -> str:
    """Write a `continue` token.

    Args:
        token: where the list goes on.
    """
    content = json.dumps(
        {"v": "meta.k8s.io/v1", "rv": token.revision, "start": token.start}, separators=(",", ":")
    )  # the very bytes of a real server's, so that tokens can be compared
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_continue(text: str) -> Continue:
    """Read a `continue` token.

    Args:
        text: the parameter.

    Raises:
        StatusError: 400 when it is none of ours.

    Example:
        >>> decode_continue(encode_continue(Continue(7, "default/x\\0")))
        Continue(revision=7, start='default/x\\x00')
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        at = next((index for index, each in enumerate(text) if each not in _BASE64), len(text) - len(text) % 4)
        raise status.bad_request(f"{_BAD_CONTINUE}: illegal base64 data at input byte {at}") from error
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise status.bad_request(f"{_BAD_CONTINUE}: {syntax_error(raw)}") from error
    if not isinstance(found, dict) or found.get("v") != "meta.k8s.io/v1":
        version = (found or {}).get("v", "") if (found is None or isinstance(found, dict)) else ""
        raise status.bad_request(f"{_BAD_CONTINUE}: server does not recognize this encoded version {version}")
    revision, start = found.get("rv"), found.get("start")
    if not isinstance(revision, int) or isinstance(revision, bool) or not 0 < abs(revision) < 2**63:
        raise status.bad_request(f"{_BAD_CONTINUE}: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise status.bad_request(f"{_BAD_CONTINUE}: encoded start key empty (version meta.k8s.io/v1)")
    key = start if start.startswith("/") else "/" + start
    if posixpath.normpath(key) != key or key.startswith("//"):
        raise status.bad_request(f"{_BAD_CONTINUE}: {start}")
    return Continue(revision, start)


def _all(query: Mapping[str, str], name: str) -> list[str]:
    several = getattr(query, "getall", None)
    if several is not None:
        return list(several(name, []))
    return [query[name]] if name in query else []


def _check_dry_run(values: list[Any]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    return [status.not_supported("dryRun", values, ["All"])]


def integer(query: Mapping[str, str], name: str) -> int:
    """Read a whole number.

    Args:
        query: the parameters.
        name: which one; 0 where it is not there.

    Raises:
        StatusError: 400.
    """
    if name not in query:
        return 0
    text = query[name]
    try:
        value = int(text) if _INTEGER.fullmatch(text) else None
    except ValueError:
        value = None  # of more digits than are read
    if value is None or not -(2**63) <= value < 2**63:
        raise status.bad_request(_number_error("ParseInt", text))
    return value


def _number_error(function: str, text: str) -> str:
    digits = text if function == "ParseUint" else text.removeprefix("-" if text.startswith("-") else "+")
    reason = "value out of range" if digits.isdigit() and text.isascii() else "invalid syntax"
    return f"strconv.{function}: parsing {status.quote(text)}: {reason}"


def _invalid(kind: str, errors: list[FieldError]) -> StatusError:
    texts = list(dict.fromkeys(map(str, errors)))
    said = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = {"group": "meta.k8s.io", "kind": kind, "causes": [error.cause() for error in errors]}
    return StatusError(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {said}', details)
