"""Objects as metav1 Tables, with the columns `kubectl get` shows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .kinds import Kind


def table(
    kind: Kind,
    objects: Iterable[dict[str, Any]],
    *,
    metadata: dict[str, Any],
    now: datetime,
    include_object: str = "Metadata",
    columns: bool = True,
) -> dict[str, Any]:
    """Give the Table of a list, of one object or of one watch event.

    Args:
        kind: the objects' kind.
        objects: whole objects.
        metadata: the `metadata` of the Table: the list's (resourceVersion, continue), or the single object's
            resourceVersion.
        now: the time ages are counted from, with a time zone.
        include_object: the `includeObject` parameter: ``None``, ``Metadata`` or ``Object``; empty means Metadata.
        columns: whether to send the column definitions (a watch sends them with its first event only).

    Raises:
        StatusError: 400 for another `includeObject`.
    """
    raise NotImplementedError
