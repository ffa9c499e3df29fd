"""Where the two servers differ by intent."""

from __future__ import annotations

from typing import Any


def as_mistakes(transcript: list[Any]) -> list[Any]:
    """Call what a real server answers 500 to, because its code trips over it, the mistake of the client that it is.

    The embedded server answers 400 with the same text: a client that sees a 5xx tries again.

    Args:
        transcript: what a side wrote down.
    """
    return [
        _mistake(answer) if isinstance(answer, dict) and answer.get("status") == 500 else answer
        for answer in transcript
    ]


def _mistake(answer: dict[str, Any]) -> dict[str, Any]:
    body = {key: value for key, value in answer["body"].items() if key != "details"}
    return {**answer, "status": 400, "body": {**body, "reason": "BadRequest", "code": 400}}
