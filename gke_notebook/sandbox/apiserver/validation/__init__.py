"""What the API server checks and fills in before it stores an object."""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver import status
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.schema import type_of

from .fields import FieldTypeError, normalize

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


def check_unknown_fields(
    kind: Kind, obj: dict[str, Any], mode: str, duplicates: list[str] | None = None, *, patch: str | None = None
) -> list[str]:
    """Check names and JSON types of all fields against the schema, and bring the object into the stored form in place.

    Unknown fields are removed in every mode, nulls and empty optional values too, as the server's typed objects do.

    Args:
        kind: the object's kind.
        obj: the decoded body, or the object a patch has made.
        mode: the `fieldValidation` parameter: ``Strict``, ``Warn`` or ``Ignore``.
        duplicates: what `decode_body` found named twice.
        patch: the text the answer quotes when the object is the outcome of a patch (`patches.describe`).

    Returns:
        The warnings (mode Warn), for example ``unknown field "spec.foo"``.

    Raises:
        StatusError: 400 (422 for a patch) for a value of the wrong type in any mode, and for unknown or duplicate
            fields in mode Strict.
    """
    try:
        unknown = normalize(type_of(kind), obj)
    except FieldTypeError as error:
        raise _undecodable(kind, str(error), patch) from error
    if mode not in {STRICT, WARN}:
        return []
    found = [f"duplicate field {status.quote(path)}" for path in duplicates or ()]
    found += [f"unknown field {status.quote(path)}" for path in unknown]
    if found and mode == STRICT:
        raise _undecodable(kind, "strict decoding error: " + ", ".join(found), patch)
    return found


def _undecodable(kind: Kind, text: str, patch: str | None) -> status.StatusError:
    if patch is not None:
        error = status.invalid_value("patch", patch, text)
        return status.StatusError(422, "Invalid", f' "" is invalid: {error}', {"causes": [error.cause()]})
    version = status.quote(kind.version)
    return status.bad_request(f"{kind.kind} in version {version} cannot be handled as a {kind.kind}: {text}")


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
