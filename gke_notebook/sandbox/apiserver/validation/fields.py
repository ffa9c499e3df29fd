"""Names and JSON types of an object's fields, checked and normalized against the schema in one walk.

Normalized means: what Go's round trip through the typed object would leave: nulls and empty optional values are gone,
quantities are canonical, times are in UTC, and structs that are always written are there.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timezone
from typing import Any

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.apiserver.decode import json_name
from gke_notebook.sandbox.apiserver.schema import LIST, MAP, Field, Type, empty, zero
from gke_notebook.sandbox.apiserver.status import quote

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_WITH_UID = {f"meta.{name}" for name in ("ObjectMeta", "OwnerReference", "Preconditions")} | {"core.ObjectReference"}
_LIMITS = {"int32": 2**31, "int64": 2**63}
_STRAY = re.compile(r"\[\d+\]")


class FieldTypeError(ValueError):
    """A value has another JSON type than its field; the message is Go's.

    Args:
        text: what the decoder of JSON says.
        converted: what is said instead of the outcome of a strategic merge patch, which is no JSON; empty for the same.
    """

    def __init__(self, text: str, converted: str = "") -> None:
        super().__init__(text)
        self.converted = converted or text


class _Walk:
    """What one walk collects, and how it goes."""

    __slots__ = ("exact", "unknown")

    def __init__(self, exact: bool) -> None:
        self.unknown: list[str] = []
        self.exact = exact


def normalize(type_: Type, obj: dict[str, Any], *, exact: bool = False) -> list[str]:
    """Check an object and bring it, in place, into the form the server stores.

    Args:
        type_: the object's type.
        obj: the object.
        exact: leave it as it was written but for nulls, unknown fields and the form of values: neither drop empty
            values nor add structs. An applied configuration is read so, since what it names is what it owns.

    Returns:
        The paths of fields the schema does not know; they are removed.

    Raises:
        FieldTypeError: a value has the wrong type.
    """
    walk = _Walk(exact)
    _struct(type_, obj, "", walk)
    return walk.unknown


def _struct(type_: Type, obj: dict[str, Any], path: str, walk: _Walk) -> None:
    fields = type_.fields
    gone: list[str] = []
    for name, value in obj.items():
        field = fields.get(name)
        if field is None:
            walk.unknown.append(path + name)
            gone.append(name)
            continue
        if value is None:
            gone.append(name)
            continue
        container = field.container
        if container:
            if not value and isinstance(value, dict if container == MAP else list):
                if field.omitempty and not walk.exact:
                    gone.append(name)
                continue
            if container == LIST:
                _list(type_, field, value, path + name, walk)
            else:
                _map(type_, field, value, path + name, walk)
        elif field.struct is not None:
            if not isinstance(value, dict):
                raise _wrong(type_, field, path + name, value, field.go_type)
            _struct(field.struct, value, f"{path}{name}.", walk)
        else:
            new = value
            if field.base != "string" or not isinstance(value, str):
                new = _scalar(type_, field, path + name, value)
                if new is not value:
                    obj[name] = new
            if not new and field.omitempty and not field.pointer and not walk.exact:
                gone.append(name)
    for name in gone:
        del obj[name]
    if walk.exact:
        return
    for name, field in type_.always:
        if name not in obj:
            obj[name] = zero(field) if field.struct is None else empty(field.struct)


def _list(type_: Type, field: Field, value: Any, path: str, walk: _Walk) -> None:
    if not isinstance(value, list):
        raise _wrong(type_, field, path, value, field.go_type)
    struct = field.struct
    if struct is None:
        for index, item in enumerate(value):
            if field.base != "string" or not isinstance(item, str):
                value[index] = _scalar(type_, field, path, "" if item is None else item)
        return
    for index, item in enumerate(value):
        if item is None:
            value[index] = empty(struct)
        elif not isinstance(item, dict):
            raise _wrong(type_, field, path, item, field.go_type.removeprefix("[]"))
        else:
            _struct(struct, item, f"{path}[{index}].", walk)


def _map(type_: Type, field: Field, value: Any, path: str, walk: _Walk) -> None:
    if not isinstance(value, dict):
        raise _wrong(type_, field, path, value, field.go_type)
    for key, item in value.items():
        if field.struct is not None:
            if not isinstance(item, dict):
                raise _wrong(type_, field, path, item, field.go_type.removeprefix("map[string]"))
            _struct(field.struct, item, f"{path}.{key}.", walk)
        elif field.base != "string" or not isinstance(item, str):
            value[key] = _scalar(type_, field, path, _absent(field) if item is None else item)


def _absent(field: Field) -> Any:
    return {"quantity": "0", "bytes": "", "string": "", "[]string": []}.get(field.base)


def _scalar(type_: Type, field: Field, path: str, value: Any) -> Any:
    base = field.base
    if base == "bool":
        if isinstance(value, bool):
            return value
    elif base in _LIMITS:
        limit = _LIMITS[base]
        if isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit:
            return value
    elif base == "quantity":
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            try:
                return quantity.canonical(value, milli=field.container == MAP)
            except quantity.QuantityError as error:
                raise FieldTypeError(str(error)) from error
        raise FieldTypeError(quantity.ERROR)
    elif base in {"time", "microtime"}:
        if isinstance(value, str):
            return timestamp(value, micro=base == "microtime")
    elif base == "intorstring":
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise FieldTypeError(f"json: cannot unmarshal {json_name(value)} into Go value of type int32")
    elif base == "bytes":
        if isinstance(value, str):
            return _base64(value)
    elif base == "double":
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
    elif base in {"raw", "fieldsv1"} or (base == "[]string" and _is_strings(value)):
        return value
    target = field.go_type
    if field.container:
        target = target.removeprefix("[]").removeprefix("map[string]")
    raise _wrong(type_, field, path, value, target)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _wrong(type_: Type, field: Field, path: str, value: Any, target: str) -> FieldTypeError:
    name = json_name(value)
    if name == "number" and field.base in _LIMITS and not field.container:
        name = f"number {value}"
    where = _STRAY.sub("", path)
    if target == "string" and type_.name in _WITH_UID and where.endswith("uid"):
        target = "types.UID"
    text = f"json: cannot unmarshal {name} into Go struct field {type_.go_name}.{where} of type {target}"
    return FieldTypeError(text, _converted(field, value, target))


_GO_KINDS = {str: "string", bool: "bool", int: "int64", float: "float64", list: "slice", dict: "map"}
_GO_BASES = {"string", "bool", "int32", "int64"}


def _converted(field: Field, value: Any, target: str) -> str:
    """Give the words of k8s.io/apimachinery v0.34, pkg/runtime/converter.go."""
    kind = _GO_KINDS.get(type(value), "")
    whole = field.container and target == field.go_type
    if whole:
        return f"cannot restore {'slice' if field.container == LIST else 'map'} from {kind}"
    if field.struct is not None:
        return f"cannot restore struct from: {kind}"
    if field.base not in _GO_BASES:
        return ""
    if kind == "int64" and field.base not in {"string", "bool"}:
        return ""  # too large: there the number is cut to its low bits, here it is refused
    if kind == {"string": "int64", "int32": "float64", "int64": "float64"}.get(field.base):
        return f"cannot convert {kind} to {target}"
    return f"unrecognized type: {field.base}"


def timestamp(text: str, *, micro: bool = False) -> str:
    """Write an RFC 3339 time in UTC, with whole seconds or with microseconds.

    Args:
        text: the time.
        micro: whether microseconds are written.

    Raises:
        FieldTypeError: it is no time.
    """
    layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        moment = datetime.fromisoformat(match[1] + (match[3] if match[3] != "Z" else "+00:00")).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        wrong = f"parsing time {quote(quote(text))[1:-1]} as {quote(layout)}: cannot parse {quote(text)} as "
        raise FieldTypeError(wrong.replace('\\"', '"') + '"2006"') from None
    fraction = f".{(match[2] or '.')[1:7]:0<6}" if micro else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + "Z"


def _base64(text: str) -> str:
    plain = text.replace("\n", "").replace("\r", "")
    try:
        decoded = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        good = re.match(r"[A-Za-z0-9+/]*", plain)
        raise FieldTypeError(f"illegal base64 data at input byte {good.end() if good else 0}") from None
    return base64.b64encode(decoded).decode() if plain is not text else text
