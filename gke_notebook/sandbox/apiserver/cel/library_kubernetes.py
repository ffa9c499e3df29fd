"""The functions that Kubernetes adds: strings, lists, sets, regular expressions, quantities, addresses, versions.

Source: k8s.io/apiserver v0.34 (`pkg/cel/library`), cel-go 0.26 (`ext`), as far as version 1.33 declares them, which is
what a 1.34 server takes in new expressions.
"""

from __future__ import annotations

import itertools
import json
import re
from decimal import Decimal
from functools import partial
from typing import Any

from gke_notebook.sandbox.apiserver import formats

from . import library_network, regex
from .declarations import Functions, succeeds
from .library import shown
from .values import CelError, Format, Optional, Quantity, duration_in_range, equal, in_range

_TRAVERSAL = 0.1
_SPACES = " \t\n\v\f\r\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_ASCII_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def declare(table: Functions) -> None:
    """Add these functions to a table.

    Args:
        table: the table.
    """
    _strings(table)
    _lists(table)
    _quantities(table)
    library_network.declare(table)
    _formats(table)


def _strings(table: Functions) -> None:
    add = table.add
    add(".charAt", "string, int", "string", _char_at)
    add(".indexOf", "string, string", "int", lambda text, part: text.find(part), _TRAVERSAL)
    add(".indexOf", "string, string, int", "int", lambda text, part, at: text.find(part, _offset(text, at)), _TRAVERSAL)
    add(".lastIndexOf", "string, string", "int", lambda text, part: text.rfind(part), _TRAVERSAL)
    add(".lastIndexOf", "string, string, int", "int", _last_index, _TRAVERSAL)
    add(".lowerAscii", "string", "string", lambda text: text.translate(_ASCII_LOWER), _TRAVERSAL)
    add(".upperAscii", "string", "string", lambda text: text.translate(_ASCII_UPPER), _TRAVERSAL)
    add(".replace", "string, string, string", "string", lambda text, old, new: text.replace(old, new), 0.2)
    add(".replace", "string, string, string, int", "string", lambda *a: a[0].replace(a[1], a[2], a[3]), 0.2)
    add(".split", "string, string", "list(string)", lambda text, by: _split(text, by, -1), 0.2)
    add(".split", "string, string, int", "list(string)", _split, 0.2)
    add(".substring", "string, int", "string", lambda text, start: text[_offset(text, start) :], _TRAVERSAL)
    add(".substring", "string, int, int", "string", _substring, _TRAVERSAL)
    add(".trim", "string", "string", lambda text: text.strip(_SPACES), _TRAVERSAL)
    add(".join", "list(string)", "string", lambda items: _join(items, ""), 2.0)
    add(".join", "list(string), string", "string", _join, 2.0)
    add(".format", "string, list(dyn)", "string", _format, 1.0)
    add("strings.quote", "string", "string", lambda text: json.dumps(text, ensure_ascii=False), _TRAVERSAL)
    add(".find", "string, string", "string", _find, 0.25)
    add(".findAll", "string, string", "list(string)", lambda text, by: _compiled(by).find_all(text), 0.25)
    add(".findAll", "string, string, int", "list(string)", lambda text, by, n: _compiled(by).find_all(text, n), 0.25)


def _compiled(pattern: str) -> regex.Regex:
    try:
        return regex.compiled(pattern)
    except regex.RegexError as error:
        raise CelError(f"Illegal regex: {error}") from error


def _find(text: str, pattern: str) -> str:
    span = _compiled(pattern).find(text)
    return "" if span is None else text[span[0] : span[1]]


def _offset(text: str, at: int) -> int:
    if not 0 <= at <= len(text):
        raise CelError(f"index out of range: {at}")
    return at


def _char_at(text: str, at: int) -> str:
    return text[_offset(text, at) : at + 1]


def _last_index(text: str, part: str, at: int) -> int:
    if not part:
        return at
    if not 0 <= at < len(text):
        raise CelError(f"index out of range: {at}")
    return text.rfind(part, 0, at + len(part))


def _split(text: str, by: str, limit: int) -> list[str]:
    if limit == 0:
        return []
    if not by:
        if limit < 0 or len(text) <= limit:
            return list(text)
        return [*text[: limit - 1], text[limit - 1 :]]
    return text.split(by, limit - 1 if limit > 0 else -1)


def _substring(text: str, start: int, end: int) -> str:
    if start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    _offset(text, start)
    return text[start : _offset(text, end)]


def _join(items: list[Any], by: str) -> str:
    for each in items:
        if not isinstance(each, str):
            raise CelError(f"join: invalid input: {shown(each)}")
    return by.join(items)


_VERB = re.compile(r"%(?:%|(?:\.(\d+))?([sdfeboxX]))|%")


def _format(text: str, values: list[Any]) -> str:
    waiting = list(values)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        verb = match[2]
        if verb is None:
            raise CelError("could not parse formatting clause: unrecognized formatting clause")
        if not waiting:
            raise CelError(f"index {len(values)} out of range")
        return _formatted(verb, match[1], waiting.pop(0))

    return _VERB.sub(one, text)


def _formatted(verb: str, precision: str | None, value: Any) -> str:
    if verb == "s":
        return _listed(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if verb == "d" and whole:
        return str(value)
    if verb in "fe" and (whole or isinstance(value, float)):
        return format(float(value), f".{precision or 6}{verb}")
    if verb in "boxX":
        if whole or (verb == "b" and isinstance(value, bool)):
            return format(int(value), verb)
        if verb in "xX" and isinstance(value, (str, bytes)):
            octets = value.encode() if isinstance(value, str) else value
            return octets.hex().upper() if verb == "X" else octets.hex()
    raise CelError(f"error during formatting: no formatting clause %{verb} for such a value")


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_listed, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{_listed(key)}: {_listed(each)}" for key, each in value.items())) + "}"
    if value is None:
        return "null"
    return value.decode() if isinstance(value, bytes) else shown(value)


def _lists(table: Functions) -> None:
    add = table.add
    for name in ("int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration"):
        add(".isSorted", f"list({name})", "bool", _is_sorted, 1.0)
        if name != "bool":
            add(".min", f"list({name})", name, lambda items: _extreme(items, min, "min"), 1.0)
            add(".max", f"list({name})", name, lambda items: _extreme(items, max, "max"), 1.0)
    for name in ("int", "uint", "double", "duration"):
        add(".sum", f"list({name})", name, partial(_sum, name), 1.0)
    add(".indexOf", "list(A), A", "int", _position, 1.0)
    add(".lastIndexOf", "list(A), A", "int", _last_position, 1.0)
    add("sets.contains", "list(A), list(A)", "bool", _contains, 1.0)
    add("sets.equivalent", "list(A), list(A)", "bool", lambda a, b: _contains(a, b) and _contains(b, a), 1.0)
    add("sets.intersects", "list(A), list(A)", "bool", lambda a, b: any(_position(b, each) >= 0 for each in a), 1.0)


def _is_sorted(items: list[Any]) -> bool:
    return all(not one > other for one, other in itertools.pairwise(items))


def _extreme(items: list[Any], choose: Any, name: str) -> Any:
    if not items:
        raise CelError(f"{name} called on empty list")
    return choose(items)


def _sum(name: str, items: list[Any]) -> Any:
    if name == "duration":
        return duration_in_range(sum(each.nanos for each in items))
    if name == "double":
        return float(sum(items))
    return in_range(sum(items), unsigned=name == "uint")


def _position(items: list[Any], item: Any) -> int:
    return next((at for at, each in enumerate(items) if equal(each, item)), -1)


def _last_position(items: list[Any], item: Any) -> int:
    return next((at for at in range(len(items) - 1, -1, -1) if equal(items[at], item)), -1)


def _contains(items: list[Any], wanted: list[Any]) -> bool:
    return all(_position(items, each) >= 0 for each in wanted)


_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)", re.ASCII)
_SCALES = {"": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {f"{name}i": 2 ** (10 * (at + 1)) for at, name in enumerate("KMGTPE")}
_MALFORMED = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def quantity(text: str) -> Quantity:
    """Read a quantity.

    Args:
        text: for example ``1Gi``.

    Raises:
        CelError: it is none.

    Example:
        >>> quantity("1k") == quantity("1000")
        True
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise CelError(_MALFORMED)
    number, unit = Decimal(match[1]), match[2]
    if unit in _BINARY:
        return Quantity(number * _BINARY[unit])
    if unit in _SCALES:
        return Quantity(number.scaleb(_SCALES[unit]))
    if abs(int(unit[1:])) > 400:
        raise CelError("unable to parse quantity's suffix")
    return Quantity(number.scaleb(int(unit[1:])))


def _quantities(table: Functions) -> None:
    add, one, two = table.add, "kubernetes.Quantity", "kubernetes.Quantity, kubernetes.Quantity"
    add("quantity", "string", one, quantity, _TRAVERSAL)
    add("isQuantity", "string", "bool", lambda text: succeeds(quantity, text), _TRAVERSAL)
    add(".sign", one, "int", lambda value: (value.amount > 0) - (value.amount < 0))
    add(".isGreaterThan", two, "bool", lambda a, b: a.amount > b.amount)
    add(".isLessThan", two, "bool", lambda a, b: a.amount < b.amount)
    add(".compareTo", two, "int", lambda a, b: (a.amount > b.amount) - (a.amount < b.amount))
    add(".asApproximateFloat", one, "double", lambda value: float(value.amount))
    add(".asInteger", one, "int", _whole)
    add(".isInteger", one, "bool", lambda value: succeeds(_whole, value))
    add(".add", two, one, lambda a, b: Quantity(a.amount + b.amount))
    add(".add", f"{one}, int", one, lambda a, b: Quantity(a.amount + b))
    add(".sub", two, one, lambda a, b: Quantity(a.amount - b.amount))
    add(".sub", f"{one}, int", one, lambda a, b: Quantity(a.amount - b))


def _whole(value: Quantity) -> int:
    if value.amount != value.amount.to_integral_value() or not -(2**63) <= value.amount < 2**63:
        raise CelError("cannot convert value to integer")
    return int(value.amount)


_FORMATS: dict[str, Any] = {
    "dns1123Label": formats.dns_label,
    "dns1123Subdomain": formats.subdomain,
    "dns1035Label": formats.dns1035_label,
}


def _formats(table: Functions) -> None:
    add, one = table.add, "kubernetes.NamedFormat"
    for name in _FORMATS:
        add(f"format.{name}", "", one, lambda name=name: Format(name))
    add("format.named", "string", f"optional({one})", _named)
    add(".validate", f"{one}, string", "optional(list(string))", _validate, 1.0)


def _named(name: str) -> Optional:
    return Optional(Format(name), True) if name in _FORMATS else Optional()


def _validate(found: Format, text: str) -> Optional:
    wrong = list(_FORMATS[found.name](text))
    return Optional(wrong, True) if wrong else Optional()
