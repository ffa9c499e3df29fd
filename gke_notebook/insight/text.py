"""Small pure helpers that put numbers into words: durations, ranges of ranks, exit codes, counts."""

from __future__ import annotations

import signal
from collections.abc import Iterable

# What a shell and the kernel mean by these codes (POSIX; the shell adds 128 to a signal's number).
_EXIT_MEANINGS = {126: "the command cannot be executed", 127: "the command was not found"}


def duration(seconds: float) -> str:
    """Put a duration into words, to two units.

    Args:
        seconds: how long; a negative duration (clocks differ) counts as 0.

    Example:
        >>> duration(0.4), duration(75), duration(7384)
        ('0 s', '1 min 15 s', '2 h 3 min')
    """
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def ranges(numbers: Iterable[int]) -> str:
    """Put a set of numbers into ranges.

    Args:
        numbers: ranks or indexes, in any order.

    Example:
        >>> ranges([0, 1, 2, 5, 7, 8])
        '0-2, 5, 7-8'
    """
    parts: list[str] = []
    first = last = -2
    for number in sorted(set(numbers)):
        if number == last + 1:
            last = number
            continue
        if first >= 0:
            parts.append(_range(first, last))
        first = last = number
    if first >= 0:
        parts.append(_range(first, last))
    return ", ".join(parts)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def named(word: str, numbers: Iterable[int]) -> str:
    """Name a set of ranks or nodes.

    Args:
        word: the singular, for example ``rank``.
        numbers: which ones.

    Example:
        >>> named("rank", [0, 1]), named("node", [3])
        ('ranks 0-1', 'node 3')
    """
    which = sorted(set(numbers))
    return f"{word}{'' if len(which) == 1 else 's'} {ranges(which)}"


def count(number: int, word: str) -> str:
    """Count things in the singular or plural.

    Args:
        number: how many.
        word: the singular, whose plural takes an s.

    Example:
        >>> count(1, "node"), count(2, "node")
        ('1 node', '2 nodes')
    """
    return f"{number} {word}{'' if number == 1 else 's'}"


def size(octets: int) -> str:
    """Put a number of bytes into words, in the decimal units of storage.

    Args:
        octets: how many bytes.

    Example:
        >>> size(412), size(15360)
        ('412 B', '15.4 kB')
    """
    if octets < 1000:
        return f"{octets} B"
    value, unit = octets / 1000, "kB"
    for larger in ("MB", "GB"):
        if value >= 999.95:
            value, unit = value / 1000, larger
    return f"{value:.1f} {unit}"


def exit_text(code: int, number: int = 0) -> str:
    """Say how a process ended.

    Args:
        code: its exit code; above 128 it stands for a signal, as a shell says it, and below 0 as Python says it.
        number: the signal that ended it, where it is known.

    Example:
        >>> exit_text(1), exit_text(137)
        ('exit code 1', 'killed by signal 9 (SIGKILL)')
    """
    name = _signal_name(number or (-code if code < 0 else code - 128 if 128 < code < 160 else 0))
    if name:
        return f"killed by {name}"
    meaning = _EXIT_MEANINGS.get(code)
    return f"exit code {code} ({meaning})" if meaning else f"exit code {code}"


def _signal_name(number: int) -> str:
    if number <= 0:
        return ""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def one_line(text: str, limit: int = 400) -> str:
    """Bring a text from elsewhere onto one line of bounded length.

    Args:
        text: the text.
        limit: characters at most.
    """
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
