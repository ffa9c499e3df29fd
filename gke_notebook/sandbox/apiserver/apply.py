"""Server-side apply and field ownership (`metadata.managedFields`)."""

from __future__ import annotations

from typing import Any

from .kinds import Kind


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

    Args:
        kind: the object's kind.
        live: the object as stored, None to create it.
        applied: the body of the apply, decoded.
        manager: the `fieldManager` parameter.
        force: whether conflicting fields are taken over.
        now: the time as RFC 3339 text.
        subresource: for example ``status``, empty for the object itself.

    Raises:
        StatusError: 409 with one cause per conflicting field; 400 when the body cannot be applied.
    """
    raise NotImplementedError


def track(
    kind: Kind,
    live: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    operation: str,
    subresource: str,
    now: str,
) -> None:
    """Record in `new` (in place) who owns the fields that an ordinary write has set.

    Args:
        kind: the object's kind.
        live: the object before the write, None for a create.
        new: the object about to be stored, defaults included.
        manager: the `fieldManager` parameter or the first word of the user agent.
        operation: ``Update`` (``Apply`` is written by `server_side_apply`).
        subresource: for example ``status``, empty for the object itself.
        now: the time as RFC 3339 text.
    """
    raise NotImplementedError
