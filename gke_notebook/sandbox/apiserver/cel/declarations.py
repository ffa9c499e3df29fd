"""How functions are declared: their names, types, what they do and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .types import Type, is_loose, is_parameter, read, read_list
from .values import CelError, type_name

Implementation = Callable[..., Any]


@dataclass(frozen=True)
class Overload:
    """One form of a function.

    Args:
        name: its name.
        method: whether it is called on a target, which then is the first parameter.
        parameters: the types of its parameters.
        result: the type of what it gives.
        run: what it does.
        factor: what each character or item of its arguments costs, 0 for nothing.
    """

    name: str
    method: bool
    parameters: tuple[Type, ...]
    result: Type
    run: Implementation
    factor: float = 0.0

    def takes(self, values: list[Any]) -> bool:
        """Tell whether values have the types of the parameters.

        Args:
            values: as many as there are parameters.
        """
        return all(_has(wanted, value) for wanted, value in zip(self.parameters, values, strict=True))

    def cost(self, values: list[Any]) -> int:
        """Give what a call costs.

        Args:
            values: its arguments.
        """
        if not self.factor:
            return 1
        return max(1, math.ceil(self.factor * sum(map(size, values))))


def size(value: Any) -> int:
    """Give the length of a string, a list or a map, and 1 for all else.

    Args:
        value: any value.
    """
    return len(value) if isinstance(value, (str, bytes, list, dict)) else 1


def _has(wanted: Type, value: Any) -> bool:
    if is_loose(wanted) or is_parameter(wanted):
        return True
    if type_name(value) != wanted.name:
        return False
    if wanted.name == "list" and wanted.of and value:
        return _has(wanted.of[0], value[0])
    return True


class Functions:
    """A table of functions, filled by the libraries."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[Overload]] = {}

    def add(self, name: str, parameters: str, result: str, run: Implementation, factor: float = 0.0) -> None:
        """Declare a function, or a method when its name begins with a dot.

        Args:
            name: for example ``size``, ``.contains`` or ``_+_``.
            parameters: the types, with commas between them.
            result: the type of what it gives.
            run: what it does.
            factor: as `Overload.factor`.
        """
        plain = name[1:] if name[0] == "." and len(name) > 1 else name
        overload = Overload(plain, name != plain, read_list(parameters), read(result), run, factor)
        self.by_name.setdefault(plain, []).append(overload)


def succeeds(read: Callable[[Any], Any], value: Any) -> bool:
    """Tell whether a function takes a value.

    Args:
        read: the function.
        value: the value.
    """
    try:
        read(value)
    except CelError:
        return False
    return True
