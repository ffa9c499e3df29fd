"""Values of expressions, and what holds between them.

JSON values stand for themselves: None, bool, int, float, str, list and dict; bytes for bytes. The classes here are what
JSON has not. Source of rules and texts: cel-go 0.26 (`common/types`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

SECOND = 1_000_000_000
_MAX_DURATION = 2**63


class CelError(Exception):
    """What an evaluation has come to instead of a value."""


class OutOfBudget(Exception):  # noqa: N818 - it ends an evaluation and is no error of the expression's own
    """An evaluation has cost more than it may."""


class UInt(int):
    """An unsigned integer of 64 bits."""


@dataclass(frozen=True, order=True)
class Timestamp:
    """A time, in nanoseconds since the epoch."""

    nanos: int

    def moment(self) -> datetime:
        """Give the time without its nanoseconds, in UTC."""
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=self.nanos // SECOND)

    def __str__(self) -> str:
        rest = self.nanos % SECOND
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return self.moment().strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


@dataclass(frozen=True, order=True)
class Duration:
    """A length of time in nanoseconds."""

    nanos: int

    def __str__(self) -> str:
        whole, rest = divmod(abs(self.nanos), SECOND)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return f"{'-' if self.nanos < 0 else ''}{whole}{fraction}s"


@dataclass(frozen=True)
class Optional:
    """A value that may be missing."""

    value: Any = None
    present: bool = False


class Unordered(list[Any]):
    """A list whose order does not count: a set, or items told apart by keys.

    Args:
        items: the items.
        keys: the names of the keys; None for a set.
    """

    def __init__(self, items: list[Any], keys: tuple[str, ...] | None) -> None:
        super().__init__(items)
        self.keys = keys

    def same(self, one: Any, other: Any) -> bool:
        """Tell whether two items stand for the same place.

        Args:
            one: an item.
            other: another.
        """
        if self.keys is None or not isinstance(one, dict) or not isinstance(other, dict):
            return equal(one, other)
        return all(equal(one.get(key), other.get(key)) for key in self.keys)

    def __add__(self, more: list[Any]) -> Unordered:
        """Put items in, each in the place of the one that it stands for."""
        found = list(self)
        for item in more:
            at = next((index for index, each in enumerate(found) if self.same(each, item)), None)
            if at is None:
                found.append(item)
            else:
                found[at] = item
        return Unordered(found, self.keys)


@dataclass(frozen=True)
class TypeValue:
    """A type as a value, for example of ``type(1)``."""

    name: str


@dataclass(frozen=True, order=True)
class Quantity:
    """A Kubernetes quantity."""

    amount: Decimal


@dataclass(frozen=True)
class Url:
    """An address, as its parts."""

    scheme: str
    host: str
    hostname: str
    port: str
    path: str
    query: str
    text: str


Ip = IPv4Address, IPv6Address
Cidr = IPv4Interface, IPv6Interface


@dataclass(frozen=True, order=True)
class Semver:
    """A semantic version; `rank` orders it, `numbers` are major, minor and patch."""

    rank: tuple[Any, ...]
    numbers: tuple[int, int, int]


@dataclass(frozen=True)
class Format:
    """A format of the library ``format``."""

    name: str


_NAMES: tuple[tuple[Any, str], ...] = (
    (bool, "bool"), (UInt, "uint"), (int, "int"), (float, "double"), (str, "string"), (bytes, "bytes"),
    (list, "list"), (dict, "map"), (type(None), "null_type"), (Timestamp, "google.protobuf.Timestamp"),
    (Duration, "google.protobuf.Duration"), (Optional, "optional_type"), (TypeValue, "type"),
    (Quantity, "kubernetes.Quantity"), (Url, "kubernetes.URL"), (Cidr, "net.CIDR"), (Ip, "net.IP"),
    (Semver, "kubernetes.Semver"), (Format, "kubernetes.NamedFormat"),
)  # fmt: skip


def type_name(value: Any) -> str:
    """Name the type of a value.

    Args:
        value: the value.

    Example:
        >>> type_name([1])
        'list'
    """
    return next((name for kind, name in _NAMES if isinstance(value, kind)), type(value).__name__)


def is_number(value: Any) -> bool:
    """Tell whether a value is an int, a uint or a double.

    Args:
        value: the value.
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """Compare two values; numbers of different types are equal when they are the same number.

    Args:
        left: one value.
        right: the other.

    Example:
        >>> equal(1, 1.0), equal(1, True)
        (True, False)
    """
    if isinstance(left, str) or isinstance(right, str):
        return type(left) is type(right) and bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Unordered) and isinstance(right, list) and len(left) == len(right):
        return all(any(equal(one, other) for other in right) for one in left)
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        if not isinstance(right, dict) or len(left) != len(right):
            return False
        return all(key in right and equal(value, right[key]) for key, value in left.items())
    if isinstance(left, Optional) and isinstance(right, Optional):
        return left.present == right.present and (not left.present or equal(left.value, right.value))
    if is_number(left) and is_number(right):
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def in_range(value: int, *, unsigned: bool = False) -> int:
    """Give an integer of 64 bits.

    Args:
        value: what a calculation has come to.
        unsigned: whether it is a uint.

    Raises:
        CelError: it has more bits.
    """
    if unsigned:
        if not 0 <= value < 2**64:
            raise CelError("unsigned integer overflow")
        return UInt(value)
    if not -(2**63) <= value < 2**63:
        raise CelError("integer overflow")
    return value


def duration_in_range(nanos: int) -> Duration:
    """Give a duration.

    Args:
        nanos: its length.

    Raises:
        CelError: it is too long.
    """
    if not -_MAX_DURATION <= nanos < _MAX_DURATION:
        raise CelError("duration overflow")
    return Duration(nanos)


_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:[.,](\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # fmt: skip


def timestamp(text: str) -> Timestamp:
    """Read a time in the form of RFC 3339.

    Args:
        text: the time.

    Raises:
        CelError: it is none.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'")
    zone = "+00:00" if match[4] in "Zz" else match[4]
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
    except ValueError as error:
        raise CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'") from error
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    nanos = int((match[3] or "0")[:9].ljust(9, "0"))
    return Timestamp((since.days * 86_400 + since.seconds) * SECOND + nanos)


_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND}
_UNITS["h"] = 3_600 * SECOND
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def duration(text: str) -> Duration:
    """Read a duration as Go writes it.

    Args:
        text: for example ``1h30m``.

    Raises:
        CelError: it is none.

    Example:
        >>> str(duration("1h30m"))
        '5400s'
    """
    body = text[1:] if text[:1] in {"+", "-"} else text
    if body == "0":
        return Duration(0)
    if not body or _PART.sub("", body):
        raise CelError("type conversion error from 'string' to 'google.protobuf.Duration'")
    total = sum(Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(body))
    return duration_in_range(int(-total if text[0] == "-" else total))


def shown_double(value: float) -> str:
    """Write a double as ``string()`` does.

    Args:
        value: the number.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    if -5 < int(exponent) < 21:
        return format(Decimal(repr(value)), "f")
    return f"{mantissa}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"
