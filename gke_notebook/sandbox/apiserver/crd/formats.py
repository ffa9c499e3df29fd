"""The string formats of a schema that are checked.

Source: k8s.io/kube-openapi (`pkg/validation/strfmt`).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from gke_notebook.sandbox.apiserver.status import FieldError, invalid_value, quote

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w)\s*)+|0")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def _parses(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def valid(text: str) -> bool:
        try:
            read(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return valid


def _time(text: str) -> bool:
    return bool(_TIME.fullmatch(text)) and _parses(datetime.fromisoformat)(text[:19].upper())


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _time,
    "date": lambda text: len(text) == len("2000-01-01") and _parses(datetime.fromisoformat)(text),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "duration": lambda text: bool(_DURATION.fullmatch(text)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _parses(lambda each: ipaddress.ip_network(each, strict=False))(text),
    "uuid": lambda text: bool(_UUID.fullmatch(text)),
}
NUMBERS = frozenset({"int32", "int64", "float", "double"})
# A real server checks these; here they are taken as they are, and the definition is answered with a warning.
UNCHECKED = frozenset(
    {"bsonobjectid", "uri", "email", "hostname", "mac", "uuid3", "uuid4", "uuid5", "isbn", "isbn10", "isbn13",
     "creditcard", "ssn", "hexcolor", "rgbcolor", "password"}
)  # fmt: skip


def known(name: str) -> bool:
    """Tell whether a real server knows a format.

    Args:
        name: the format.
    """
    return name in _FORMATS or name in NUMBERS or name in UNCHECKED


def check_format(name: str, value: str, path: str, types: list[str]) -> list[FieldError]:
    """Check a string against its format.

    Args:
        name: the format; unknown ones are no restriction.
        value: the string.
        path: where it lies.
        types: the types the schema allows.
    """
    valid = _FORMATS.get(name)
    if valid is None or "string" not in types or valid(value):
        return []
    error = invalid_value(path, value, f"{path} in body must be of type {name}: {quote(value)}")
    return [FieldError("FieldValueTypeInvalid", error.field, error.message)]
