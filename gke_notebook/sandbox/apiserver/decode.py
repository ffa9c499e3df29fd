"""Request bodies to plain dicts: JSON, YAML and Kubernetes' protobuf."""

from __future__ import annotations

from typing import Any

from .kinds import Kind


def decode_body(body: bytes, content_type: str, kind: Kind, duplicates: list[str] | None = None) -> dict[str, Any]:
    """Decode a request body.

    Args:
        body: the bytes as received.
        content_type: the `Content-Type` header, possibly empty (JSON is then meant).
        kind: the kind the path is about; protobuf bodies say their own kind and are decoded as that.
        duplicates: if given, the paths of fields that a JSON or YAML body names twice are added to it.

    Raises:
        StatusError: 400 when the body is malformed, 415 when its type is not known.
    """
    raise NotImplementedError
