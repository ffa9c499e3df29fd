"""The operators and functions that every CEL has, and the optional types.

Source: the language definition of CEL (github.com/google/cel-spec, doc/langdef.md), texts of cel-go 0.26.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from . import regex
from .declarations import Functions
from .values import (
    SECOND,
    CelError,
    Duration,
    Optional,
    Timestamp,
    TypeValue,
    UInt,
    duration,
    duration_in_range,
    equal,
    in_range,
    shown_double,
    timestamp,
    type_name,
)

_TRAVERSAL = 0.1
_NUMBERS = ("int", "uint", "double")
_INT = re.compile(r"[+-]?\d+", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)


def declare(table: Functions) -> None:
    """Add these functions to a table.

    Args:
        table: the table.
    """
    _operators(table)
    _conversions(table)
    _texts(table)
    _times(table)
    _optionals(table)


def _operators(table: Functions) -> None:
    add = table.add
    add("_?_:_", "bool, A, A", "A", _never)
    for name in ("_&&_", "_||_"):
        add(name, "bool, bool", "bool", _never)
    add("!_", "bool", "bool", lambda value: not value)
    add("_==_", "A, A", "bool", equal, _TRAVERSAL)
    add("_!=_", "A, A", "bool", lambda left, right: not equal(left, right), _TRAVERSAL)
    add("@in", "A, list(A)", "bool", lambda item, items: any(equal(item, each) for each in items), 1.0)
    add("@in", "A, map(A, B)", "bool", has_key)
    add("_[_]", "list(A), int", "A", index)
    add("_[_]", "map(A, B), A", "B", key)
    ordered = [("bool", "bool"), ("string", "string"), ("bytes", "bytes"), ("timestamp", "timestamp")]
    ordered += [("duration", "duration"), *((one, other) for one in _NUMBERS for other in _NUMBERS)]
    for left, right in ordered:
        parameters = f"{left}, {right}"
        add("_<_", parameters, "bool", lambda one, other: one < _ordered(one, other), _TRAVERSAL)
        add("_<=_", parameters, "bool", lambda one, other: one <= _ordered(one, other), _TRAVERSAL)
        add("_>_", parameters, "bool", lambda one, other: one > _ordered(one, other), _TRAVERSAL)
        add("_>=_", parameters, "bool", lambda one, other: one >= _ordered(one, other), _TRAVERSAL)
    for name in ("string", "bytes", "list(A)"):
        add("_+_", f"{name}, {name}", name, lambda left, right: left + right, _TRAVERSAL)
    for name in _NUMBERS:
        add("_+_", f"{name}, {name}", name, lambda left, right: _number(left, left + right))
        add("_-_", f"{name}, {name}", name, lambda left, right: _number(left, left - right))
        add("_*_", f"{name}, {name}", name, lambda left, right: _number(left, left * right))
        add("_/_", f"{name}, {name}", name, _divide)
    for name in ("int", "uint"):
        add("_%_", f"{name}, {name}", name, _modulus)
    for name in ("int", "double"):
        add("-_", name, name, lambda value: _number(value, -value))
    add("_+_", "duration, duration", "duration", lambda left, right: duration_in_range(left.nanos + right.nanos))
    add("_-_", "duration, duration", "duration", lambda left, right: duration_in_range(left.nanos - right.nanos))
    add("_+_", "timestamp, duration", "timestamp", lambda left, right: _time(left.nanos + right.nanos))
    add("_+_", "duration, timestamp", "timestamp", lambda left, right: _time(left.nanos + right.nanos))
    add("_-_", "timestamp, duration", "timestamp", lambda left, right: _time(left.nanos - right.nanos))
    add("_-_", "timestamp, timestamp", "duration", lambda left, right: duration_in_range(left.nanos - right.nanos))


def _never(*_: Any) -> Any:
    raise AssertionError("evaluated by the program itself")


def _ordered(left: Any, right: Any) -> Any:
    for each in (left, right):
        if isinstance(each, float) and math.isnan(each):
            raise CelError("NaN values cannot be ordered")
    return right


def _number(left: Any, value: Any) -> Any:
    return value if isinstance(left, float) else in_range(value, unsigned=isinstance(left, UInt))


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        if right == 0:
            return (
                math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)
            )
        return left / right
    if right == 0:
        raise CelError("division by zero")
    whole = abs(left) // abs(right)
    return _number(left, whole if (left < 0) == (right < 0) else -whole)


def _modulus(left: int, right: int) -> Any:
    if right == 0:
        raise CelError("modulus by zero")
    rest = abs(left) % abs(right)
    return _number(left, -rest if left < 0 else rest)


def _time(nanos: int) -> Timestamp:
    found = Timestamp(nanos)
    if not -62_135_596_800 * SECOND <= nanos < 253_402_300_800 * SECOND:
        raise CelError("timestamp overflow")
    return found


def index(items: list[Any], at: Any) -> Any:
    """Give an item of a list.

    Args:
        items: the list.
        at: its number; a double that is whole will do.

    Raises:
        CelError: there is none.
    """
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise CelError(f"unsupported index type '{type_name(at)}' in list")
    if isinstance(at, float) and not at.is_integer():
        raise CelError(f"unsupported index value {shown_double(at)} in list")
    if not 0 <= at < len(items):
        raise CelError(f"index out of bounds: {int(at)}")
    return items[int(at)]


def has_key(name: Any, entries: dict[Any, Any]) -> bool:
    """Tell whether a map has a key.

    Args:
        name: the key.
        entries: the map.
    """
    return _find(entries, name) is not None


def key(entries: dict[Any, Any], name: Any) -> Any:
    """Give the value of a key.

    Args:
        entries: the map.
        name: the key.

    Raises:
        CelError: the map has no such key.
    """
    found = _find(entries, name)
    if found is None:
        raise CelError(f"no such key: {shown(name)}")
    return entries[found[0]]


def _find(entries: dict[Any, Any], name: Any) -> tuple[Any] | None:
    """Look a key up; Python takes True for 1, CEL does not."""
    try:
        if name not in entries:
            return None
    except TypeError as error:
        raise CelError(f"unsupported key type: {type_name(name)}") from error
    if isinstance(name, (bool, int, float)) and not any(equal(each, name) for each in entries):
        return None
    return (name,)


def shown(value: Any) -> str:
    """Write a value as it stands in texts of errors.

    Args:
        value: the value.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return shown_double(value) if isinstance(value, float) else str(value)


def _conversions(table: Functions) -> None:
    add = table.add
    for name in ("string", "bytes", "list(A)", "map(A, B)"):
        add("size", name, "int", len)
        add(".size", name, "int", len)
    for name in _NUMBERS:
        add("int", name, "int", _int)
        add("uint", name, "uint", _uint)
        add("double", name, "double", float)
    add("int", "string", "int", _int_of_text)
    add("int", "timestamp", "int", lambda value: value.nanos // SECOND)
    add("uint", "string", "uint", _uint_of_text)
    add("double", "string", "double", _double_of_text)
    add("bool", "bool", "bool", lambda value: value)
    add("bool", "string", "bool", _bool_of_text)
    for name in ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"):
        add("string", name, "string", text_of)
    add("bytes", "bytes", "bytes", lambda value: value)
    add("bytes", "string", "bytes", lambda value: value.encode("utf-8", "surrogatepass"), _TRAVERSAL)
    add("dyn", "A", "dyn", lambda value: value)
    add("type", "A", "type(A)", lambda value: TypeValue(type_name(value)))
    add("timestamp", "timestamp", "timestamp", lambda value: value)
    add("timestamp", "int", "timestamp", lambda value: _time(value * SECOND))
    add("timestamp", "string", "timestamp", timestamp)
    add("duration", "duration", "duration", lambda value: value)
    add("duration", "int", "duration", Duration)
    add("duration", "string", "duration", duration)


def _int(value: Any) -> int:
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        raise CelError("integer overflow")
    return in_range(int(value))


def _uint(value: Any) -> int:
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        raise CelError("unsigned integer overflow")
    return in_range(int(value), unsigned=True)


def _unconvertible(to: str) -> CelError:
    return CelError(f"type conversion error from 'string' to '{to}'")


def _int_of_text(text: str) -> int:
    if not _INT.fullmatch(text):
        raise _unconvertible("int")
    if len(text) > 30 or not -(2**63) <= int(text) < 2**63:
        raise _unconvertible("int")
    return int(text)


def _uint_of_text(text: str) -> UInt:
    if not text.isascii() or not text.isdigit():
        raise _unconvertible("uint")
    if len(text) > 30 or int(text) >= 2**64:
        raise _unconvertible("uint")
    return UInt(int(text))


def _double_of_text(text: str) -> float:
    if not _DOUBLE.fullmatch(text):
        raise _unconvertible("double")
    return float(text)


def _bool_of_text(text: str) -> bool:
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise _unconvertible("bool")


def text_of(value: Any) -> str:
    """Give what ``string(value)`` gives.

    Args:
        value: the value.

    Raises:
        CelError: bytes that are no text.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from error
    return shown(value)


def _texts(table: Functions) -> None:
    table.add(".contains", "string, string", "bool", lambda text, part: part in text, _TRAVERSAL)
    table.add(".startsWith", "string, string", "bool", lambda text, part: text.startswith(part), _TRAVERSAL)
    table.add(".endsWith", "string, string", "bool", lambda text, part: text.endswith(part), _TRAVERSAL)
    for name in ("matches", ".matches"):
        table.add(name, "string, string", "bool", _matches, 0.25)


def _matches(text: str, pattern: str) -> bool:
    try:
        return regex.compiled(pattern).search(text)
    except regex.RegexError as error:
        raise CelError(str(error)) from error


_PARTS: dict[str, Any] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfWeek": lambda at: (at.weekday() + 1) % 7,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
}
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def _times(table: Functions) -> None:
    for name, part in _PARTS.items():
        table.add(f".{name}", "timestamp", "int", lambda at, part=part: part(at.moment()))
        table.add(f".{name}", "timestamp, string", "int", lambda at, zone, part=part: part(_local(at, zone)))
    table.add(".getMilliseconds", "timestamp", "int", lambda at: at.nanos % SECOND // 1_000_000)
    table.add(".getMilliseconds", "timestamp, string", "int", lambda at, _: at.nanos % SECOND // 1_000_000)
    for name, unit in (("getHours", 3600 * SECOND), ("getMinutes", 60 * SECOND), ("getSeconds", SECOND)):
        table.add(f".{name}", "duration", "int", lambda value, unit=unit: int(value.nanos / unit))
    table.add(".getMilliseconds", "duration", "int", lambda value: value.nanos // 1_000_000)


def _local(at: Timestamp, zone: str) -> datetime:
    match = _OFFSET.fullmatch(zone)
    if match is not None:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return at.moment().astimezone(timezone(-offset if match[1] == "-" else offset))
    from zoneinfo import ZoneInfo

    try:
        return at.moment().astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError) as error:
        raise CelError(f"unknown time zone {zone}") from error


def _optionals(table: Functions) -> None:
    add = table.add
    add("optional.of", "A", "optional(A)", lambda value: Optional(value, True))
    add("optional.none", "", "optional(A)", Optional)
    add("optional.ofNonZeroValue", "A", "optional(A)", lambda value: Optional(value, True) if value else Optional())
    add(".hasValue", "optional(A)", "bool", lambda value: value.present)
    add(".value", "optional(A)", "A", _value)
    add(".or", "optional(A), optional(A)", "optional(A)", lambda left, right: left if left.present else right)
    add(".orValue", "optional(A), A", "A", lambda left, right: left.value if left.present else right)
    add("_[?_]", "list(A), int", "optional(A)", lambda items, at: _may(index, items, at))
    add("_[?_]", "map(A, B), A", "optional(B)", lambda entries, name: _may(key, entries, name))
    add("_[?_]", "optional(list(A)), int", "optional(A)", _chained)
    add("_[?_]", "optional(map(A, B)), A", "optional(B)", _chained)
    add("_[_]", "optional(list(A)), int", "optional(A)", _chained)
    add("_[_]", "optional(map(A, B)), A", "optional(B)", _chained)


def _value(value: Optional) -> Any:
    if not value.present:
        raise CelError("optional.none() dereference")
    return value.value


def _chained(value: Optional, at: Any) -> Optional:
    if not value.present:
        return value
    return _may(index if isinstance(value.value, list) else key, value.value, at)


def _may(get: Any, value: Any, at: Any) -> Optional:
    try:
        return Optional(get(value, at), True)
    except CelError:
        return Optional()
