"""Kubernetes' protobuf wire format to JSON-shaped dicts, by the numbers in the schema table.

Source: k8s.io/apimachinery v0.34, `runtime/serializer/protobuf` (the envelope) and the `generated.proto` files.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import msgspec

from .schema import LIST, MAP, Field, Type, schema

MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
INLINED = 1000
"""How the number of an inlined message within another is told from the outer number (`Field.via`)."""
_INLINE = object()  # stands in a lookup for a message whose fields are the outer type's own


class WireError(ValueError):
    """The bytes are no protobuf of this type."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise WireError("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise WireError("proto: integer overflow")


def _records(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Give field number, wire type and raw value of each record: an int, or bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise WireError(f"proto: illegal tag 0 (wire type {key})")
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire in {_BYTES, _FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
            if wire == _BYTES:
                size, at = _varint(data, at)
            if at + size > end:
                raise WireError("unexpected EOF")
            value = data[at : at + size]
            at += size
        else:
            raise WireError(f"proto: illegal wireType {wire}")
        yield number, wire, value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise WireError("proto: field contains invalid UTF-8") from error


def _time(value: bytes, *, micro: bool) -> str | None:
    if not value:
        return None  # the zero time
    found = {number: raw for number, _, raw in _records(value) if isinstance(raw, int)}
    seconds, nanos = _signed(found.get(1, 0)), _signed(found.get(2, 0))
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError as error:
        raise WireError("timestamp out of range") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{moment.microsecond:06d}Z" if micro else "Z")


def _member(value: bytes, number: int) -> bytes:
    """Give the last bytes field of that number."""
    found = b""
    for each, wire, raw in _records(value):
        if each == number and wire == _BYTES:
            found = raw
    return found


def _int_or_string(value: bytes) -> int | str:
    found = {number: raw for number, _, raw in _records(value)}
    if found.get(1) == 1:
        raw = found.get(3, b"")
        return _text(raw) if isinstance(raw, bytes) else ""
    number = found.get(2, 0)
    return _signed(number) if isinstance(number, int) else 0


def _json(value: bytes) -> Any:
    raw = _member(value, 1)
    try:
        return msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, RecursionError) as error:
        raise WireError(str(error)) from error


def _bytes_value(base: str, value: bytes) -> Any:
    if base == "string":
        return _text(value)
    if base == "bytes":
        return base64.b64encode(value).decode()
    if base == "quantity":
        return _text(_member(value, 1))
    if base in {"time", "microtime"}:
        return _time(value, micro=base == "microtime")
    if base == "intorstring":
        return _int_or_string(value)
    if base in {"raw", "fieldsv1"}:
        return _json(value)
    if base == "[]string":
        return [_text(raw) for number, wire, raw in _records(value) if number == 1 and wire == _BYTES]
    raise WireError("proto: wrong wireType for a number")


def _value(field: Field, wire: int, value: Any) -> Any:
    if wire == _VARINT:
        if field.base == "bool":
            return bool(value)
        if field.base in {"int32", "int64"}:
            return _signed(value)
    elif wire == _BYTES:
        return decode_message(field.struct, value) if field.struct is not None else _bytes_value(field.base, value)
    elif wire == _FIXED64 and field.base == "double":
        return struct.unpack("<d", value)[0]
    raise WireError(f"proto: wrong wireType = {wire} for field {field.type}")


@cache
def _numbers(name: str, via: int) -> dict[int, tuple[str, Field] | object]:
    """Give the fields of a type by their numbers: its own (via 0) or those of one inlined message."""
    found: dict[int, tuple[str, Field] | object] = {}
    for key, field in schema().types[name].fields.items():
        if field.number and field.via == via:
            found[field.number] = (key, field)
            continue
        inner = field.via
        while inner and inner // INLINED != via:
            inner //= INLINED
        if inner:
            found[inner % INLINED] = _INLINE
    return found


def _entry(field: Field, value: bytes) -> tuple[str, Any]:
    name, content = "", None
    for number, wire, raw in _records(value):
        if number == 1 and wire == _BYTES:
            name = _text(raw)
        elif number == 2:
            content = _value(field, wire, raw)
    if content is None and field.base in {"string", "bytes"}:
        content = ""
    return name, content


def _into(found: dict[str, Any], name: str, via: int, data: bytes) -> None:
    numbers = _numbers(name, via)
    for number, wire, value in _records(data):
        known = numbers.get(number)
        if known is None:
            continue  # a field of a newer version
        if not isinstance(known, tuple):
            if wire != _BYTES:
                raise WireError(f"proto: wrong wireType = {wire} for an inlined message")
            _into(found, name, via * INLINED + number, value)
            continue
        key, field = known
        if field.container == MAP:
            if wire != _BYTES:
                raise WireError(f"proto: wrong wireType = {wire} for field {key}")
            name_of_entry, content = _entry(field, value)
            found.setdefault(key, {})[name_of_entry] = content
        elif field.container == LIST:
            found.setdefault(key, []).extend(_items(field, wire, value))
        else:
            content = _value(field, wire, value)
            if content is not None:
                found[key] = content


def _items(field: Field, wire: int, value: Any) -> list[Any]:
    if wire != _BYTES or field.base not in {"int32", "int64"}:
        return [_value(field, wire, value)]
    items, at = [], 0
    while at < len(value):  # packed
        number, at = _varint(value, at)
        items.append(_signed(number))
    return items


def decode_message(type_: Type, data: bytes) -> dict[str, Any]:
    """Decode one message.

    Args:
        type_: its type.
        data: its bytes.

    Raises:
        WireError: the bytes are malformed.
    """
    found: dict[str, Any] = {}
    _into(found, type_.name, 0, data)
    return found


def decode_envelope(body: bytes) -> tuple[str, str, bytes]:
    """Open the envelope all Kubernetes protobuf bodies have.

    Args:
        body: the bytes, starting with `MAGIC`.

    Returns:
        apiVersion, kind and the message's bytes.

    Raises:
        WireError: the bytes are malformed.
    """
    if not body.startswith(MAGIC):
        raise WireError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    api_version = kind = ""
    raw = b""
    for number, wire, value in _records(body[len(MAGIC) :]):
        if wire != _BYTES:
            continue
        if number == 1:
            api_version, kind = _text(_member(value, 1)), _text(_member(value, 2))
        elif number == 2:
            raw = value
    return api_version, kind, raw
