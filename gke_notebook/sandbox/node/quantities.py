"""Kubernetes quantities as exact numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]))?")
_UNITS = {
    "": Decimal(1),
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** (power + 1) for power, letter in enumerate("kMGTPE")},
    **{f"{letter}i": Decimal(1024) ** (power + 1) for power, letter in enumerate("KMGTPE")},
}  # fmt: skip


def parse(quantity: str | int | float) -> Decimal:
    """Read a quantity in its base unit: cores, bytes or pieces.

    Args:
        quantity: for example ``500m``, ``2Gi`` or ``1``.

    Raises:
        ValueError: it is no quantity.

    Example:
        >>> parse("500m"), parse("1Ki")
        (Decimal('0.500'), Decimal('1024'))
    """
    matched = _QUANTITY.fullmatch(str(quantity).strip())
    if matched is None:
        raise ValueError(f"{quantity!r} is no quantity; write for example 500m, 2 or 4Gi")
    number, exponent, unit = matched.groups()
    return Decimal(number + (exponent or "")) * _UNITS[unit or ""]


def divided(quantity: Decimal, divisor: Decimal) -> int:
    """Divide and round up, as the downward API gives a resource.

    Args:
        quantity: what there is, in its base unit.
        divisor: the unit asked for, not zero.

    Example:
        >>> divided(Decimal("1.5"), Decimal(1))
        2
    """
    return int((quantity / divisor).to_integral_value(ROUND_CEILING))


def pod_requests(spec: Mapping[str, object]) -> dict[str, Decimal]:
    """Sum what a pod requests: its containers together, or its largest init container where that is more.

    Args:
        spec: the pod's spec; a limit without a request counts as the request.
    """
    total: dict[str, Decimal] = {}
    for container in _containers(spec, "containers"):
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in _containers(spec, "initContainers"):
        for name, amount in _requests(container).items():
            total[name] = max(total.get(name, Decimal(0)), amount)
    return total


def _containers(spec: Mapping[str, object], field: str) -> list[dict[str, object]]:
    containers = spec.get(field)
    return containers if isinstance(containers, list) else []


def _requests(container: Mapping[str, object]) -> dict[str, Decimal]:
    resources = container.get("resources")
    if not isinstance(resources, dict):
        return {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse(amount) for name, amount in merged.items()}
