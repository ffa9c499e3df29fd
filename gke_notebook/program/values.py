"""Plain values as Python source that gives the same value again; pure."""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import enum
import fractions
import functools
import math
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any

VALUES_LIMIT = 256 * 2**10  # bytes of source of all values of one cell together
# Types whose few objects are attributes of a module: torch.float32, tf.float32, torch.channels_last.
CONSTANTS = frozenset({"dtype", "DType", "layout", "memory_format"})
_DEPTH = 50
_SHORT_ARRAY = 64  # elements written as numbers; longer arrays are written as base64


class NotPlain(Exception):  # noqa: N818
    """A value cannot be written as source; the text says which part of it and why."""


Refer = Callable[[Any], str]


def no_reference(value: object) -> str:
    """Refuse to refer to anything by name.

    Args:
        value: a function, class or module inside a value.

    Raises:
        NotPlain: always.
    """
    raise NotPlain(f"a {type(value).__name__}")


def literal(value: object, refer: Refer = no_reference) -> str:
    """Write a value as an expression that needs no import.

    None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, paths,
    dates and times, Decimal, Fraction, UUID, compiled regular expressions, the containers of `collections`,
    SimpleNamespace, `functools.partial`, members of enumerations, instances of dataclasses and named
    tuples, NumPy scalars, dtypes and arrays. Objects that occur twice in one value are two objects afterwards.

    Args:
        value: the value.
        refer: gives the source that names a function, a class or a module.

    Raises:
        NotPlain: the value, or something in it, is none of these, contains itself, or is too large.

    Example:
        >>> literal({"lr": 0.1, "sizes": (64, float("inf"))})
        "{'lr': 0.1, 'sizes': (64, float('inf'))}"
    """
    writer = _Writer(refer)
    text = writer.write(value)
    if len(text) > VALUES_LIMIT:
        raise NotPlain(f"too large: {len(text) / 1024:.0f} KiB as source")
    return text


class _Writer:
    def __init__(self, refer: Refer) -> None:
        self.refer = refer
        self.open: set[int] = set()
        self.written = 0

    def write(self, value: Any) -> str:
        kind = type(value)
        simple = _SIMPLE.get(kind)
        text = simple(value) if simple is not None else self._guarded(value)
        self.written += len(text) if simple is not None else 2
        if self.written > VALUES_LIMIT:  # before it is all put together
            raise NotPlain(f"too large: more than {VALUES_LIMIT // 1024} KiB as source")
        return text

    def _guarded(self, value: Any) -> str:
        if id(value) in self.open:
            raise NotPlain("it contains itself")
        if len(self.open) > _DEPTH:
            raise NotPlain(f"nested more than {_DEPTH} deep")
        self.open.add(id(value))
        try:
            return self._compound(value)
        finally:
            self.open.discard(id(value))

    def _items(self, values: Iterable[Any]) -> str:
        return ", ".join(self.write(value) for value in values)

    def _members(self, values: Iterable[Any]) -> str:
        # In an order that does not depend on hash seeds, so that equal cells give equal text.
        return ", ".join(sorted(self.write(value) for value in values))

    def _pairs(self, value: dict[Any, Any]) -> str:
        return "{" + ", ".join(f"{self.write(key)}: {self.write(item)}" for key, item in value.items()) + "}"

    def _compound(self, value: Any) -> str:
        kind = type(value)
        if kind is list:
            return f"[{self._items(value)}]"
        if kind is tuple:
            return f"({self._items(value)}{',' if len(value) == 1 else ''})"
        if kind is dict:
            return self._pairs(value)
        if kind is set:
            return f"{{{self._members(value)}}}" if value else "set()"
        if kind is frozenset:
            return f"frozenset({{{self._members(value)}}})" if value else "frozenset()"
        if kind is slice:
            return f"slice({self._items((value.start, value.stop, value.step))})"
        if isinstance(value, enum.Enum):
            return self._member(value)
        if kind in _COLLECTIONS:
            return self._collection(value)
        if kind is types.SimpleNamespace:
            return f"__import__('types').SimpleNamespace(**{self._pairs(vars(value))})"
        if kind is functools.partial:
            arguments = "".join(f", {self.write(item)}" for item in value.args)
            keywords = f", **{self._pairs(value.keywords)}" if value.keywords else ""
            return f"__import__('functools').partial({self.write(value.func)}{arguments}{keywords})"
        if isinstance(value, pathlib.PurePath) and kind.__module__.split(".")[0] == "pathlib":
            return self._path(value)
        if kind in _DATES or isinstance(value, datetime.tzinfo):
            return self._date(value)
        if kind is re.Pattern:
            return f"__import__('re').compile({self.write(value.pattern)}, {value.flags})"
        if isinstance(value, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make"):
            return f"{self.refer(kind)}._make(({''.join(f'{self.write(item)}, ' for item in value)}))"
        if is_dataclass(value) and not isinstance(value, type):
            return self._dataclass(value)
        if kind.__module__ == "numpy" or kind.__module__.startswith("numpy."):
            text = self._numpy(value)
            if text is not None:
                return text
        if isinstance(value, (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)) or callable(
            value
        ):
            return self.refer(value)
        if kind.__name__ in CONSTANTS:
            return self.refer(value)
        if kind.__name__ == "device" and kind.__module__ == "torch":
            return f"__import__('torch').device({str(value)!r})"
        raise NotPlain(f"a {kind.__name__}")

    def _member(self, value: enum.Enum) -> str:
        owner = self.refer(type(value))
        if type(value).__members__.get(str(value.name)) is value:
            return f"{owner}[{value.name!r}]"
        return f"{owner}({self.write(value.value)})"  # several flags together

    def _collection(self, value: Any) -> str:
        name = f"__import__('collections').{type(value).__name__}"
        if isinstance(value, collections.defaultdict):
            factory = "None" if value.default_factory is None else self.write(value.default_factory)
            return f"{name}({factory}, {self._pairs(value)})"
        if isinstance(value, collections.deque):
            return f"{name}([{self._items(value)}], {value.maxlen})"
        if isinstance(value, collections.ChainMap):
            return f"{name}({self._items(value.maps)})"
        return f"{name}({self._pairs(value)})"

    def _path(self, value: pathlib.PurePath) -> str:
        name = type(value).__name__
        if isinstance(value, pathlib.Path):
            name = "Path"
        return f"__import__('pathlib').{name}({str(value)!r})"

    def _date(self, value: Any) -> str:
        module = "__import__('datetime')"
        kind = type(value)
        if kind is datetime.timedelta:
            return f"{module}.timedelta({value.days}, {value.seconds}, {value.microseconds})"
        if kind is datetime.date:
            return f"{module}.date({value.year}, {value.month}, {value.day})"
        if kind is datetime.timezone:
            offset = value.utcoffset(None)
            if value == datetime.timezone.utc:
                return f"{module}.timezone.utc"
            return f"{module}.timezone({self._date(offset)})"
        if kind.__module__.startswith("zoneinfo") and getattr(value, "key", None):
            return f"__import__('zoneinfo').ZoneInfo({value.key!r})"
        if kind in {datetime.time, datetime.datetime}:
            zone = "" if value.tzinfo is None else f", tzinfo={self.write(value.tzinfo)}"
            fold = f", fold={value.fold}" if value.fold else ""
            day = f"{value.year}, {value.month}, {value.day}, " if kind is datetime.datetime else ""
            clock = f"{value.hour}, {value.minute}, {value.second}, {value.microsecond}"
            return f"{module}.{kind.__name__}({day}{clock}{zone}{fold})"
        raise NotPlain(f"a {kind.__name__}")

    def _dataclass(self, value: Any) -> str:
        kind = type(value)
        known = fields(value)
        if hasattr(kind, "__post_init__") or not all(item.init for item in known):
            raise NotPlain(f"a {kind.__name__}, whose __post_init__ or fields without init cannot be repeated")
        if not kind.__dataclass_params__.init or set(getattr(value, "__dict__", ())) - {item.name for item in known}:
            raise NotPlain(f"a {kind.__name__} that holds more than its fields")
        given = ", ".join(f"{item.name}={self.write(getattr(value, item.name))}" for item in known)
        return f"{self.refer(kind)}({given})"

    def _numpy(self, value: Any) -> str | None:
        numpy = sys.modules.get("numpy")
        if numpy is None or isinstance(value, type):
            return None
        module = "__import__('numpy')"
        if isinstance(value, numpy.dtype):
            return f"{module}.dtype({self._dtype(value)})"
        if type(value) is numpy.ndarray:
            return self._array(value, module)
        if isinstance(value, numpy.generic):
            return f"{self._array(numpy.asarray(value), module)}[()]"
        return None

    def _dtype(self, kind: Any) -> str:
        if kind.hasobject:
            raise NotPlain("an array of objects")
        if kind.kind == "V" and kind.fields is None:
            raise NotPlain(f"an array of {kind.name}")  # bfloat16 and the like, which NumPy does not know by itself
        return self.write(kind.descr) if kind.fields else repr(kind.str)

    def _array(self, value: Any, module: str) -> str:
        kind = self._dtype(value.dtype)
        if value.nbytes > VALUES_LIMIT:
            raise NotPlain("too large: an array of " + " x ".join(map(str, value.shape)) + f" {value.dtype}")
        readable = value.dtype.kind in "biuf" and value.dtype.itemsize <= 8 and 0 < value.size <= _SHORT_ARRAY
        if readable and not (value != value).any():  # noqa: PLR0124 - only NaN differs from itself, and has many forms
            return f"{module}.array({self.write(value.tolist())}, dtype={kind})"
        data = base64.b64encode(value.tobytes()).decode("ascii")
        self.written += len(data)
        read = f"{module}.frombuffer(__import__('base64').b64decode({data!r}), dtype={kind})"
        return f"{read}.reshape({value.shape!r}).copy()"


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else f"float({str(value)!r})"


def _integer(value: int) -> str:
    return repr(value) if value.bit_length() < 4096 else hex(value)  # long decimals are refused by Python 3.11


_DATES = {datetime.date, datetime.time, datetime.datetime, datetime.timedelta, datetime.timezone}
_COLLECTIONS = {
    collections.OrderedDict,
    collections.defaultdict,
    collections.Counter,
    collections.deque,
    collections.ChainMap,
}
_SIMPLE: dict[type, Callable[[Any], str]] = {
    type(None): repr,
    bool: repr,
    type(...): lambda _: "...",
    type(NotImplemented): lambda _: "NotImplemented",
    int: _integer,
    float: _float,
    complex: lambda value: f"complex({_float(value.real)}, {_float(value.imag)})",
    str: repr,
    bytes: repr,
    bytearray: repr,
    range: lambda value: f"range({_integer(value.start)}, {_integer(value.stop)}, {_integer(value.step)})",
    decimal.Decimal: lambda value: f"__import__('decimal').Decimal({str(value)!r})",
    fractions.Fraction: lambda value: (
        f"__import__('fractions').Fraction({_integer(value.numerator)}, {_integer(value.denominator)})"
    ),
    uuid.UUID: lambda value: f"__import__('uuid').UUID({str(value)!r})",
}
