"""From the path of a request to what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from . import status
from .kinds import KINDS, Kind, find

_GROUPS = {kind.group for kind in KINDS}
_NAMESPACE = find("", "v1", "namespaces")


@dataclass(frozen=True)
class Target:
    """What a request below `/api` or `/apis` is about.

    Args:
        kind: the resource.
        namespace: its namespace; empty for kinds without, and for all namespaces.
        name: the object's name; empty for the collection.
        subresource: for example ``status``, empty for the object itself.
        watch: whether the path itself asks for a watch (`/api/v1/watch/...`).
    """

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watch: bool = False


def parse(raw_path: str, more: Sequence[Kind] = ()) -> Target | None:
    """Find what a path below `/api/VERSION/` or `/apis/GROUP/VERSION/` is about.

    Args:
        raw_path: the path as sent, still percent-encoded.
        more: the kinds that are served besides `KINDS`.

    Returns:
        The target; None when the path belongs to no group that is served.

    Raises:
        StatusError: 404: the group is served but has no such resource.

    Example:
        >>> parse("/apis/batch/v1/namespaces/a/jobs/x/status")
        ... # doctest: +ELLIPSIS
        Target(kind=Kind(group='batch', ...), namespace='a', name='x', subresource='status', watch=False)
    """
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    if parts[0] == "api":
        group, rest = "", parts[1:]
    elif parts[0] == "apis" and len(parts) > 1:
        group, rest = parts[1], parts[2:]
    else:
        return None
    if len(rest) < 2 or not all(rest) or not (group in _GROUPS or any(kind.group == group for kind in more)):
        return None
    target = _target(group, rest[0], rest[1:], more)
    if target is None:
        raise status.no_such_resource()
    return target


def _target(group: str, version: str, parts: list[str], more: Sequence[Kind]) -> Target | None:
    watch = parts[0] == "watch" and len(parts) > 1
    if watch:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and not (group == "" and parts[2] in {"status", "finalize"}):
        namespace, parts = parts[1], parts[2:]
    kind = find(group, version, parts[0]) or next(
        (kind for kind in more if (kind.group, kind.version, kind.plural) == (group, version, parts[0])), None
    )
    if kind is None or len(parts) > 3:
        return None
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if subresource and kind.subresource(subresource) is None:
        return None
    if kind.namespaced:
        if name and not namespace:
            return None
    elif namespace:
        return None
    return Target(kind, namespace, name, subresource, watch)
