"""How a value that cannot be used is shown in an error."""

from __future__ import annotations


def shown(value: object, limit: int = 60) -> str:
    """Show a value in an error, not too long.

    Args:
        value: what the user gave.
        limit: characters at most.
    """
    try:
        text = repr(value)
    except Exception:  # a foreign object's repr may fail, and its type says enough
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 3] + "..."
