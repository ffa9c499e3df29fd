"""Static types of expressions, as far as a Kubernetes API server declares them.

Source of rules and texts: cel-go 0.26 (`checker`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Type:
    """A type.

    Args:
        name: ``int``, ``list``, the name of a struct, or one capital letter for any type.
        of: the types of items, or of keys and values.
        fields: the fields of a struct; None for a type that is none.
    """

    name: str
    of: tuple[Type, ...] = ()
    fields: Mapping[str, Type] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        shown = _SHOWN.get(self.name, self.name)
        return f"{shown}({', '.join(map(str, self.of))})" if self.of else shown


_SHOWN = {
    "null_type": "null",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}
DYN, ERROR, BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL = (
    Type(name) for name in ("dyn", "!error!", "bool", "int", "uint", "double", "string", "bytes", "null_type")
)
TIMESTAMP, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")


def list_of(item: Type) -> Type:
    """Give the type of a list.

    Args:
        item: the type of its items.
    """
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """Give the type of a map.

    Args:
        key: the type of its keys.
        value: the type of its values.
    """
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """Give the type of what may be missing.

    Args:
        value: the type of what is there.
    """
    return Type("optional_type", (value,))


def struct(name: str, fields: Mapping[str, Type]) -> Type:
    """Give the type of an object of which all fields are known.

    Args:
        name: its name.
        fields: the fields with their types.
    """
    return Type(name, (), fields)


_SHORT = {"timestamp": TIMESTAMP, "duration": DURATION, "optional": Type("optional_type")}
_WORD = re.compile(r"\s*([\w.]+)\s*(\(?)")


def read(text: str) -> Type:
    """Read a type, for example ``map(string, list(A))``.

    Args:
        text: the type.
    """
    found, rest = _read(text)
    assert not rest.strip(), text
    return found


def read_list(text: str) -> tuple[Type, ...]:
    """Read types with commas between them.

    Args:
        text: the types; may be empty.
    """
    found = []
    while text.strip():
        one, text = _read(text)
        found.append(one)
        text = text.strip().removeprefix(",")
    return tuple(found)


def _read(text: str) -> tuple[Type, str]:
    match = _WORD.match(text)
    assert match is not None, text
    name, rest = match[1], text[match.end() :]
    base = _SHORT.get(name, Type(name))
    if not match[2]:
        return base, rest
    of = []
    while True:
        inner, rest = _read(rest)
        of.append(inner)
        rest = rest.strip()
        if rest[0] == ")":
            return Type(base.name, tuple(of)), rest[1:]
        rest = rest[1:]


def is_loose(found: Type) -> bool:
    """Tell whether a type may turn out to be any other.

    Args:
        found: the type.
    """
    return found.name in {"dyn", "!error!"}


def is_parameter(found: Type) -> bool:
    """Tell whether a type stands for another in a declaration.

    Args:
        found: the type.
    """
    return found.name[0] == "?" or (len(found.name) == 1 and found.name.isupper())


class Bindings:
    """What the parameters of types stand for; a parameter of an expression is ``?1``, ``?2``."""

    def __init__(self) -> None:
        self._bound: dict[str, Type] = {}
        self._count = 0

    def fresh(self) -> Type:
        """Give a new parameter."""
        self._count += 1
        return Type(f"?{self._count}")

    def instance(self, types: tuple[Type, ...]) -> tuple[Type, ...]:
        """Give declared types with parameters of their own.

        Args:
            types: types with capital letters.
        """
        own: dict[str, Type] = {}
        return tuple(self._rename(each, own) for each in types)

    def _rename(self, found: Type, own: dict[str, Type]) -> Type:
        if is_parameter(found) and found.name[0] != "?":
            return own.setdefault(found.name, self.fresh())
        return found if not found.of else Type(found.name, tuple(self._rename(each, own) for each in found.of))

    def resolve(self, found: Type, *, to_dyn: bool = False) -> Type:
        """Put in what parameters stand for.

        Args:
            found: the type.
            to_dyn: whether what stands for nothing becomes ``dyn``.
        """
        if is_parameter(found):
            bound = self._bound.get(found.name)
            if bound is not None:
                return self.resolve(bound, to_dyn=to_dyn)
            return DYN if to_dyn else found
        if not found.of:
            return found
        return Type(found.name, tuple(self.resolve(each, to_dyn=to_dyn) for each in found.of), found.fields)

    def fit(self, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        """Tell whether values of some types may stand for others, and remember what parameters then are.

        Args:
            given: the types that there are.
            wanted: those that are wanted, as many.
        """
        before = dict(self._bound)
        if all(self._fits(one, other) for one, other in zip(given, wanted, strict=True)):
            return True
        self._bound = before
        return False

    def _fits(self, given: Type, wanted: Type) -> bool:
        given, wanted = self.resolve(given), self.resolve(wanted)
        if is_parameter(wanted):
            if given != wanted:
                self._bound[wanted.name] = given
            return True
        if is_parameter(given):
            self._bound[given.name] = wanted
            return True
        if is_loose(given) or is_loose(wanted):
            if is_loose(given):
                self._loosen(wanted)
            else:
                self._loosen(given)
            return True
        if given.name == "null_type":
            return wanted.name in _NULLABLE or wanted.fields is not None
        if given.name != wanted.name:
            return False
        if given.name == "type" or not given.of or not wanted.of:
            return True
        return all(map(self._fits, given.of, wanted.of))

    def _loosen(self, found: Type) -> None:
        for each in found.of:
            inner = self.resolve(each)
            if is_parameter(inner):
                self._bound[inner.name] = DYN
            else:
                self._loosen(inner)


_NULLABLE = frozenset(
    {"null_type", "google.protobuf.Timestamp", "google.protobuf.Duration", "kubernetes.Quantity", "kubernetes.URL"}
)
Lookup = Callable[[str], "Type | None"]
