"""The types of the served kinds: names, numbers and merge rules of fields, read from `schema.json`.

The file is made by `.ci/schema/generate.py` from the Go modules of Kubernetes 1.34.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from .kinds import Kind

LIST = "l"
MAP = "m"

# Base types that are not structs; see generate.py.
SPECIAL_GO_NAMES = {
    "time": "v1.Time",
    "microtime": "v1.MicroTime",
    "fieldsv1": "v1.FieldsV1",
    "quantity": "resource.Quantity",
    "intorstring": "intstr.IntOrString",
    "raw": "runtime.RawExtension",
    "bytes": "[]uint8",
    "double": "float64",
}
ATOMIC_BASES = frozenset({"time", "microtime", "fieldsv1", "quantity", "intorstring", "raw", "bytes"})


class Field(msgspec.Struct):
    """One field of a type.

    Args:
        number: the protobuf field number, 0 when it is not sent.
        type: a struct (``core.Container``), a named scalar (``core.PodPhase``) or a base type (``int32``).
        container: ``l`` for a list, ``m`` for a map with string keys, empty for a single value.
        via: the protobuf number of the inlined message the field lies in, 1000 times that plus the next number for one
            in another, 0 when it lies in none.
        pointer: whether absent and zero differ.
        omitempty: whether a zero value is left out of JSON.
        required: whether the API calls it required.
        list_type: ``map``, ``set``, ``atomic`` or empty (atomic too).
        keys: the fields that make an item of a ``map`` list unique.
        atomic: whether a struct or map changes owner as a whole.
        merge_key: the key of a strategic merge patch.
        strategy: the strategies of a strategic merge patch, for example ``merge,retainKeys``.
        default: the value an absent field stands for.
        base: the base type behind a named scalar; empty for a struct. Set on loading.
        struct: the type of a struct field. Set on loading.
    """

    number: int = msgspec.field(name="n")
    type: str = msgspec.field(name="t")
    container: str = msgspec.field(name="c", default="")
    via: int = msgspec.field(name="v", default=0)
    pointer: bool = msgspec.field(name="p", default=False)
    omitempty: bool = msgspec.field(name="o", default=False)
    required: bool = msgspec.field(name="r", default=False)
    list_type: str = msgspec.field(name="l", default="")
    keys: tuple[str, ...] = msgspec.field(name="k", default=())
    atomic: bool = msgspec.field(name="a", default=False)
    merge_key: str = msgspec.field(name="m", default="")
    strategy: str = msgspec.field(name="s", default="")
    default: Any = msgspec.field(name="d", default=None)
    base: str = ""
    struct: Type | None = None

    @property
    def go_type(self) -> str:
        """The type as Go's decoder names it in errors: ``int32``, ``[]v1.Container``."""
        name = self.type
        if name in SPECIAL_GO_NAMES:
            name = SPECIAL_GO_NAMES[name]
        elif "." in name:
            name = "v1." + name.partition(".")[2]
        if self.container == MAP and self.base == "quantity":
            return "v1.ResourceList"
        return {LIST: "[]", MAP: "map[string]"}.get(self.container, "") + name

    @property
    def merges(self) -> bool:
        """Whether a strategic merge patch merges the list instead of replacing it."""
        return "merge" in self.strategy.split(",")

    @property
    def retains_keys(self) -> bool:
        """Whether a strategic merge patch may say which keys of an item stay."""
        return "retainKeys" in self.strategy.split(",")


class Type(msgspec.Struct):
    """One struct.

    Args:
        fields: the fields by their JSON names, in the order of the source.
        atomic: whether it changes owner as a whole.
        name: the qualified name, for example ``core.PodSpec``. Set on loading.
        always: the fields that are written even when nobody set them, with what is then written. Set on loading.
    """

    fields: dict[str, Field]
    atomic: bool = False
    name: str = ""
    always: tuple[tuple[str, Field], ...] = ()

    @property
    def go_name(self) -> str:
        """The name as Go's decoder writes it in errors: ``PodSpec``."""
        return self.name.partition(".")[2]


class Scalar(msgspec.Struct):
    """A named string or number.

    Args:
        type: the base type.
        enum: the values the API documents as the only ones.
    """

    type: str
    enum: tuple[str, ...] = ()


class Schema(msgspec.Struct):
    """All types.

    Args:
        source: where the facts are from.
        roots: ``batch/v1/Job`` -> ``batch.Job``.
        scalars: the named scalars.
        types: the structs.
    """

    source: str
    roots: dict[str, str]
    scalars: dict[str, Scalar]
    types: dict[str, Type]

    def root(self, kind: Kind) -> Type:
        """Give the type of a kind's objects.

        Args:
            kind: a served kind or one of `kinds.BODY_KINDS`.
        """
        return self.types[self.roots[f"{kind.api_version}/{kind.kind}"]]

    def find(self, api_version: str, kind: str) -> Type | None:
        """Give the type of a body by its own words, None when it is not known.

        Args:
            api_version: the body's `apiVersion`.
            kind: the body's `kind`.
        """
        if kind == "DeleteOptions":  # every group has it
            return self.types["meta.DeleteOptions"]
        name = self.roots.get(f"{api_version}/{kind}")
        return self.types[name] if name else None


_ZERO: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0, "intorstring": 0}


def zero(field: Field) -> Any:
    """Give what an absent value of a base type stands for; None for those that have no such value.

    Args:
        field: a field.
    """
    return None if field.container else _ZERO.get(field.base)


def empty(type_: Type) -> dict[str, Any]:
    """Give what a struct nobody set is written as.

    Args:
        type_: the struct.
    """
    return {name: zero(field) if field.struct is None else empty(field.struct) for name, field in type_.always}


@cache
def schema() -> Schema:
    """Load the table, once."""
    table = msgspec.json.decode(Path(__file__).with_name("schema.json").read_bytes(), type=Schema)
    for name, found in table.types.items():
        found.name = name
        always = []
        for field_name, field in found.fields.items():
            field.struct = table.types.get(field.type)
            if field.struct is None:
                scalar = table.scalars.get(field.type)
                field.base = scalar.type if scalar else field.type
            if field.pointer or field.container or (field.omitempty and field.struct is None):
                continue
            if field.struct is not None or zero(field) is not None:
                always.append((field_name, field))
        found.always = tuple(always)
    return table


def type_of(kind: Kind) -> Type:
    """Give the type of a kind's objects.

    Args:
        kind: the kind.

    Example:
        >>> from gke_notebook.sandbox.apiserver.kinds import find
        >>> type_of(find("batch", "v1", "jobs")).fields["spec"].type
        'batch.JobSpec'
    """
    return kind.rules.type if kind.rules is not None else schema().root(kind)
