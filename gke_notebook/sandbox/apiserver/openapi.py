"""OpenAPI v3 documents made from the schema table."""

from __future__ import annotations

from typing import Any


def index() -> dict[str, Any]:
    """Give the document of `/openapi/v3`: one relative address per group and version."""
    raise NotImplementedError


def document(path: str) -> dict[str, Any] | None:
    """Give the document of `/openapi/v3/PATH`, None when there is none.

    Args:
        path: for example ``api/v1`` or ``apis/batch/v1``.
    """
    raise NotImplementedError
