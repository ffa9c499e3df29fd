"""JSON patch, merge patch and strategic merge patch over plain dicts."""

from __future__ import annotations

from typing import Any

from .kinds import Kind

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def apply_patch(kind: Kind, live: dict[str, Any], body: bytes, content_type: str) -> dict[str, Any]:
    """Give the object after a patch; `live` is left as it was.

    Args:
        kind: the object's kind, whose schema holds the merge keys.
        live: the object as stored.
        body: the patch as received.
        content_type: the `Content-Type` header.

    Raises:
        StatusError: 400 for a malformed patch, 415 for an unknown type, 422 for a patch that does not fit the object.
    """
    raise NotImplementedError
