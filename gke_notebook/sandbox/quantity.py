"""Kubernetes quantities (``500m``, ``1Gi``, ``1e3``): parse, compare, write in the canonical form.

Source of the rules: k8s.io/apimachinery v0.34, package `api/resource` (documentation of Quantity).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_PATTERN = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4}|[KMGTPE]i|[numkMGTPE]?)")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_NANO = 10**9
_LIMIT = 2**63 - 1

ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class QuantityError(ValueError):
    """The text is no quantity; its message is the server's."""


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Fraction, str]:
    match = _PATTERN.fullmatch(text)
    if match is None or len(text) > 64:
        raise QuantityError(ERROR)
    sign, digits, suffix = match.groups()
    value = Fraction(digits if digits[0] != "." else "0" + digits)
    if suffix[:1] in {"e", "E"} and suffix not in {"E", "Ei"}:
        exponent = int(suffix[1:])
        # Beyond these nothing is left of the value, or it is over the limit anyway.
        value *= Fraction(10) ** max(-40, min(40, exponent))
        form = "e"
    elif suffix in _BINARY and suffix:
        value *= 1024 ** _BINARY.index(suffix)
        form = "i"
    else:
        value *= Fraction(1000) ** (_DECIMAL.index(suffix) - 3)
        form = ""
    nano = -(-value * _NANO // 1)  # smaller than a nano is rounded up
    value = min(Fraction(nano, _NANO), Fraction(_LIMIT))
    return (-value if sign == "-" else value), form


def parse(text: str | float) -> Fraction:
    """Give the value of a quantity.

    Args:
        text: for example ``500m``; a JSON number is accepted as the server accepts it.

    Raises:
        QuantityError: it is none.

    Example:
        >>> parse("1500m")
        Fraction(3, 2)
    """
    return _parse(str(text))[0]


def canonical(text: str | float) -> str:
    """Write a quantity as the server stores it.

    Args:
        text: any form of it.

    Raises:
        QuantityError: it is none.

    Example:
        >>> canonical("0.5"), canonical("1024Mi"), canonical("1000")
        ('500m', '1Gi', '1k')
    """
    return _canonical(str(text))


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    return _write(*_parse(text))


def add(first: str, second: str) -> str:
    """Add two quantities; the sum is written in the form of the first, or of the second where the first is zero.

    Args:
        first: a quantity.
        second: another.

    Raises:
        QuantityError: one is none.

    Example:
        >>> add("1Gi", "512Mi"), add("0", "1Gi"), add("500m", "1")
        ('1536Mi', '1Gi', '1500m')
    """
    (one, form), (two, other) = _parse(first), _parse(second)
    return _write(one + two, form if one else other)


def _write(value: Fraction, form: str) -> str:
    if value == 0:
        return "0"
    sign, value = ("-", -value) if value < 0 else ("", value)
    if form == "i" and value >= 1024 and value.denominator == 1:
        number = value.numerator
        power = 0
        while number % 1024 == 0 and power < len(_BINARY) - 1:
            number //= 1024
            power += 1
        return f"{sign}{number}{_BINARY[power]}"
    number, power = int(value * _NANO), 0
    while number % 1000 == 0 and power < len(_DECIMAL) - 1:
        number //= 1000
        power += 1
    if form == "e":
        exponent = 3 * power - 9
        return f"{sign}{number}e{exponent}" if exponent else f"{sign}{number}"
    return f"{sign}{number}{_DECIMAL[power]}"
