"""What the API server checks and fills in before it stores an object."""

from __future__ import annotations

from typing import Any

from ..kinds import Kind


def check_unknown_fields(kind: Kind, obj: dict[str, Any], mode: str, duplicates: list[str] | None = None) -> list[str]:
    """Check names and JSON types of all fields against the schema.

    Args:
        kind: the object's kind.
        obj: the decoded body; fields the schema does not know are removed from it in every mode, as the server drops them.
        mode: the `fieldValidation` parameter: ``Strict``, ``Warn`` or ``Ignore``.
        duplicates: what `decode_body` found named twice.

    Returns:
        The warnings (mode Warn), for example ``unknown field "spec.foo"``.

    Raises:
        StatusError: 400 for a value of the wrong type in any mode, and for unknown or duplicate fields in mode Strict.
    """
    raise NotImplementedError


def prepare_create(kind: Kind, obj: dict[str, Any]) -> list[str]:
    """Set the defaults in place and validate a new object.

    Args:
        kind: the object's kind.
        obj: the object; name, namespace and uid are set already.

    Returns:
        Warnings for the `Warning` header.

    Raises:
        StatusError: 422 with every error found.
    """
    raise NotImplementedError


def prepare_update(kind: Kind, new: dict[str, Any], old: dict[str, Any], subresource: str = "") -> list[str]:
    """Set the defaults in place and validate a changed object.

    Args:
        kind: the object's kind.
        new: the object after the change; metadata the client left out (uid, creationTimestamp) is filled in from `old`,
            and what the endpoint does not write (status, or all but status) is put back from `old`.
        old: the object as stored.
        subresource: for example ``status``, empty for the object itself.

    Returns:
        Warnings for the `Warning` header.

    Raises:
        StatusError: 422 with every error found.
    """
    raise NotImplementedError
