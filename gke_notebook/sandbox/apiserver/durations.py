"""How long ago something was, in the few characters `kubectl get` shows.

Source of the steps: k8s.io/apimachinery v0.34 (`util/duration`).
"""

from __future__ import annotations

from datetime import datetime, timezone

UNKNOWN = "<unknown>"


def moment(text: str) -> datetime | None:
    """Read an RFC 3339 time; None when it is none.

    Args:
        text: the time.
    """
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def human_seconds(seconds: float) -> str:
    """Write a duration with two or three significant figures.

    Args:
        seconds: the duration.

    Example:
        >>> human_seconds(119), human_seconds(601), human_seconds(90000)
        ('119s', '10m', '25h')
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(high: int, high_unit: str, low: int, low_unit: str) -> str:
    return f"{high}{high_unit}{low}{low_unit}" if low else f"{high}{high_unit}"


def human(start: str, end: str | datetime) -> str:
    """Write the time between two moments.

    Args:
        start: RFC 3339 text.
        end: the same, or a datetime with a time zone.
    """
    begin = moment(start)
    finish = moment(end) if isinstance(end, str) else end
    return UNKNOWN if begin is None or finish is None else human_seconds((finish - begin).total_seconds())


def since(start: str | None, now: datetime) -> str:
    """Write how long ago something was.

    Args:
        start: RFC 3339 text, None when it is not known.
        now: the present, with a time zone.
    """
    return human(start, now) if start else UNKNOWN
