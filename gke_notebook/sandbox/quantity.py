"""Kubernetes quantities (``500m``, ``1Gi``, ``1e3``): parse, compare, write in the canonical form.

Source of the rules: k8s.io/apimachinery v0.34, package `api/resource` (documentation of Quantity).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_PATTERN = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[+-]?[0-9]*)")
_EXPONENT = re.compile(r"[eE][+-]?0*[0-9]{1,4}")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_NANO, _MILLI = 10**9, 10**3
_LIMIT = 2**63 - 1
_DIGITS = 18  # so many fit into 64 bits in any case
_LONGEST = 64  # characters; the server has no such limit

ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_ERROR = "unable to parse quantity's suffix"


class QuantityError(ValueError):
    """The text is no quantity; its message is the server's."""


class _Quantity(NamedTuple):
    """A quantity as it was read.

    Args:
        value: its value, in whole nanos.
        form: how it is written: ``i`` with binary suffixes, ``e`` with exponents, else empty.
        text: what it was read from, where the server takes that for the canonical form.
        exact: whether no digit of what it was read from is smaller than a thousandth.
    """

    value: Fraction
    form: str
    text: str = ""
    exact: bool = False


@lru_cache(maxsize=4096)
def _parse(text: str) -> _Quantity:
    match = _PATTERN.fullmatch(text)
    if match is None or not 0 < len(text) <= _LONGEST:
        raise QuantityError(ERROR)
    sign, whole, rest, suffix = match.groups()
    whole, rest = whole or "0", rest or ""
    form, base, exponent = _suffix(suffix)
    digits = int(whole + rest)
    value = Fraction(digits, 10 ** len(rest)) * Fraction(base) ** exponent
    if base == 10:
        scale = exponent - len(rest)
        short = len(whole + rest) <= _DIGITS and scale >= -9
        # Close to the canonical form, but not always it: the server looks no further.
        kept = short and scale % 3 == 0 and not (whole + rest).endswith("000") and whole[0] != "0"
    else:
        scale, short = 0, not rest and len(whole) + exponent * 3 // 10 < 15 and value <= _LIMIT
        kept = short and digits & 7 != 0
    if not short:
        value = _up(value, _NANO)
        if form == "i":
            value, form = min(value, Fraction(_LIMIT)), "" if 0 < value < 1 else "i"
    return _Quantity(-value if sign == "-" else value, form, text if kept else "", short and scale >= -3)


def _suffix(suffix: str) -> tuple[str, int, int]:
    """Give the form, the base and the exponent that a suffix stands for."""
    if suffix in _DECIMAL:
        return "", 10, 3 * _DECIMAL.index(suffix) - 9
    if suffix in _BINARY:
        return "i", 2, 10 * _BINARY.index(suffix)
    if _EXPONENT.fullmatch(suffix):
        return "e", 10, int(suffix[1:])
    raise QuantityError(SUFFIX_ERROR)


def _up(value: Fraction, parts: int) -> Fraction:
    """Round what is not negative up to whole parts of one."""
    return Fraction(-(-value * parts // 1), parts)


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
    return _parse(str(text).strip()).value


def canonical(text: str | float, *, milli: bool = False) -> str:
    """Write a quantity as the server stores it.

    Args:
        text: any form of it.
        milli: whether it is an amount of a resource, of which no less than a thousandth can be asked for.

    Raises:
        QuantityError: it is none.

    Example:
        >>> canonical("0.5"), canonical("1024Mi"), canonical("1000"), canonical("1n"), canonical("1n", milli=True)
        ('500m', '1Gi', '1k', '1n', '1m')
    """
    return _canonical(str(text).strip(), milli)


@lru_cache(maxsize=4096)
def _canonical(text: str, milli: bool) -> str:
    found = _parse(text)
    if milli and not found.exact:
        value = _up(abs(found.value), _MILLI)
        return _write(-value if found.value < 0 else value, found.form)
    return found.text or _write(found.value, found.form)


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
    one, two = _parse(first), _parse(second)
    return _write(one.value + two.value, one.form if one.value else two.form)


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
    number, exponent = int(value * _NANO), -9
    while number % 1000 == 0:
        number //= 1000
        exponent += 3
    if form == "e":
        return f"{sign}{number}e{exponent}" if exponent else f"{sign}{number}"
    place = exponent // 3 + 3
    return f"{sign}{number}{_DECIMAL[place] if place < len(_DECIMAL) else ''}"  # beyond E the server drops it too
