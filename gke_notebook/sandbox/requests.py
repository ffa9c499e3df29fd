"""What a pod requests of its node, counted as the scheduler and the kubelet count; pure.

Rules: kubernetes 1.34, component-helpers/resource.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gke_notebook.sandbox.quantity import QuantityError, parse

Object = dict[str, Any]

Amounts = dict[str, int]
"""Resource name to amount: cpu in thousandths of a core, all else in its base unit (bytes, pieces)."""


@lru_cache(maxsize=4096)
def amount(resource: str, quantity: str | int | float) -> int:
    """Read a quantity as the scheduler counts it, rounded up.

    Args:
        resource: the resource's name.
        quantity: for example ``500m`` or ``2Gi``; what cannot be read counts as nothing.

    Example:
        >>> amount("cpu", "1500m"), amount("memory", "1Ki")
        (1500, 1024)
    """
    try:
        value = parse(quantity)
    except QuantityError:
        return 0
    return math.ceil(value * 1000 if resource == "cpu" else value)


def amounts(quantities: Mapping[str, str | int] | None) -> Amounts:
    """Read a map of quantities."""
    return {name: amount(name, quantity) for name, quantity in (quantities or {}).items()}


def requests(spec: Object) -> Amounts:
    """Sum what a pod requests of its node.

    Containers and sidecars together, or an ordinary init container with the sidecars started before it where that is
    more; plus the pod's overhead. Requests of the pod as a whole replace those of its containers.

    Args:
        spec: the pod's spec.

    Example:
        >>> requests({"containers": [{"resources": {"requests": {"cpu": "500m"}}}] * 2})
        {'cpu': 1000}
    """
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _requested(container))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers") or ():
        wanted = _requested(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, wanted)
            continue
        _add(wanted, sidecars)
        for name, value in wanted.items():
            starting[name] = max(starting.get(name, 0), value)
    _add(total, sidecars)
    for name, value in starting.items():
        total[name] = max(total.get(name, 0), value)
    total.update(amounts((spec.get("resources") or {}).get("requests")))
    _add(total, amounts(spec.get("overhead")))
    return total


def _requested(container: Object) -> Amounts:
    resources = container.get("resources") or {}
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value
