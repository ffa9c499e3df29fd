"""Durations, memory and CPUs as people write them; pure."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from gke_notebook.errors import InvalidInput
from gke_notebook.request.text import shown

MAX_CPU = 1000.0  # cores; the largest machine types have some 900
MAX_MEMORY_GIB = 32768.0  # 32 TiB
MAX_DURATION = 365 * 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(d|h|m|s))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|m|s)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# Quantities (Kubernetes documentation, "Resource Management for Pods and Containers"); a bare number is GiB here.
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.ASCII | re.IGNORECASE)


def parse_duration(value: object, what: str = "--max-duration") -> int:
    """Read a duration.

    Args:
        value: seconds as a number, or text such as ``90m``, ``2h`` or ``1h30m``; timedelta.
        what: the option's name, for the error.

    Returns:
        Whole seconds, at least 1.

    Raises:
        InvalidInput: it is no duration, or longer than a year.

    Example:
        >>> parse_duration("1h30m"), parse_duration(3600)
        (5400, 3600)
    """
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        text = value.strip().lower().replace(" ", "")
        if _NUMBER.fullmatch(text):
            seconds = float(text)
        elif _DURATION.fullmatch(text):
            parts = _DURATION_PART.findall(text)
            order = [list(_UNITS).index(unit) for _, unit in parts]
            if order == sorted(set(order), reverse=True):
                seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    elif _is_number(value):
        seconds = _float(value)
    if seconds is None or not math.isfinite(seconds):
        raise InvalidInput(f"{what} {shown(value)} is no duration; write for example 90s, 30m, 2h or 1h30m")
    if not 1 <= seconds <= MAX_DURATION:
        raise InvalidInput(f"{what} {shown(value)} is out of range: 1s to {MAX_DURATION // 86400}d")
    return math.ceil(seconds)


def parse_memory(value: object, what: str = "--memory") -> float:
    """Read an amount of memory.

    Args:
        value: GiB as a number, or text such as ``8Gi``, ``8GiB``, ``8G`` (10^9 bytes) or ``512Mi``.
        what: the option's name, for the error.

    Returns:
        GiB.

    Raises:
        InvalidInput: it is no amount of memory, or out of range.

    Example:
        >>> parse_memory("8Gi"), parse_memory(8), parse_memory("512MiB")
        (8.0, 8.0, 0.5)
    """
    gib: float | None = None
    if isinstance(value, str):
        found = _MEMORY.fullmatch(value.strip())
        if found:
            number, prefix, binary = found[1], found[2].upper(), bool(found[3])
            power = " KMGT".index(prefix) if prefix else 0
            if prefix:
                gib = _float(number) * (1024.0 if binary else 1000.0) ** power / 2**30
            elif _NUMBER.fullmatch(value.strip()):
                gib = _float(number)
    elif _is_number(value):
        gib = _float(value)
    if gib is None or math.isnan(gib):
        raise InvalidInput(f"{what} {shown(value)} is no amount of memory; write for example 16Gi or 512Mi")
    if not 1 / 16 <= gib <= MAX_MEMORY_GIB:
        raise InvalidInput(f"{what} {shown(value)} is out of range: 64Mi to {MAX_MEMORY_GIB / 1024:g}Ti")
    return gib


def parse_cpu(value: object, what: str = "--cpu") -> float:
    """Read a number of CPUs.

    Args:
        value: cores as a number or text, or thousandths such as ``500m``.
        what: the option's name, for the error.

    Returns:
        Cores.

    Raises:
        InvalidInput: it is no number of CPUs, or out of range.

    Example:
        >>> parse_cpu("500m"), parse_cpu(4)
        (0.5, 4.0)
    """
    cores: float | None = None
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text.removesuffix("m")):
            cores = _float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
    elif _is_number(value):
        cores = _float(value)
    if cores is None or math.isnan(cores):
        raise InvalidInput(f"{what} {shown(value)} is no number of CPUs; write for example 4 or 500m")
    if not 0.1 <= cores <= MAX_CPU:
        raise InvalidInput(f"{what} {shown(value)} is out of range: 0.1 to {MAX_CPU:g}")
    return cores


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and (isinstance(value, (int, float)) or hasattr(value, "__index__"))


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # the callers have seen to its type
    except (OverflowError, ValueError):
        return math.inf
