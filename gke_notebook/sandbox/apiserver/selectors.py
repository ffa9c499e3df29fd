"""Label and field selectors: text to predicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .kinds import Kind

Predicate = Callable[[dict[str, Any]], bool]


def parse_labels(text: str) -> Predicate:
    """Read a `labelSelector` parameter.

    Args:
        text: for example ``app=web,tier in (a, b),!canary``; empty matches everything.

    Returns:
        A function of an object (the whole object, not its labels).

    Raises:
        StatusError: 400 in the server's words.
    """
    raise NotImplementedError


def parse_fields(kind: Kind, text: str) -> Predicate:
    """Read a `fieldSelector` parameter.

    Args:
        kind: the kind that is listed; each kind has its own fields.
        text: for example ``metadata.name=x,status.phase!=Running``; empty matches everything.

    Returns:
        A function of an object.

    Raises:
        StatusError: 400 in the server's words.
    """
    raise NotImplementedError
