"""From a structural schema to the types that field ownership and server-side apply work with.

Source: k8s.io/apiextensions-apiserver v0.34 and sigs.k8s.io/structured-merge-diff v6.3 (`schema`). The values
of maps change owner as a whole; a real server looks inside.
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver.fieldset import UNTYPED
from gke_notebook.sandbox.apiserver.schema import LIST, MAP, Field, Type, schema

from .structural import PRESERVE, Schema, extra


def leaf(type_: str = "string", container: str = "", **more: Any) -> Field:
    """Make a field without a struct.

    Args:
        type_: the base type; ``raw`` takes any value.
        container: as `Field.container`.
        more: further attributes of the field.
    """
    field = Field(number=0, type=type_, container=container, pointer=True, omitempty=True, **more)
    field.base = type_
    return field


def struct(type_: Type, container: str = "", **more: Any) -> Field:
    """Make a field that holds a struct.

    Args:
        type_: the struct.
        container: as `Field.container`.
        more: further attributes of the field.
    """
    field = Field(number=0, type=type_.name, container=container, pointer=True, omitempty=True, **more)
    field.struct = type_
    return field


def metadata() -> Type:
    """Give the type of every object's `metadata`."""
    return schema().types["meta.ObjectMeta"]


class _Open(dict[str, Field]):
    """The fields of a struct that may have others: each of those changes owner as a whole."""

    def get(self, key: str, default: Any = None) -> Any:
        """Give the field of a name; every name has one."""
        return super().get(key, default) or untyped()


def untyped() -> Field:
    """Give a field of which nothing is known: objects in it are looked into, all else changes owner as a whole."""
    return _UNTYPED


_ANY = Type(fields=_Open(), name="custom.any")
_UNTYPED = struct(_ANY)
_UNTYPED.type = UNTYPED


def root(name: str, found: Schema) -> Type:
    """Give the type of a kind's objects.

    Args:
        name: the kind.
        found: its structural schema.
    """
    type_ = _struct(f"custom.{name}", found)
    type_.fields["apiVersion"], type_.fields["kind"] = leaf(), leaf()
    type_.fields["metadata"] = struct(metadata())
    return type_


def _struct(name: str, found: Schema) -> Type:
    fields = {key: _field(f"{name}.{key}", inner) for key, inner in (found.get("properties") or {}).items()}
    atomic = found.get("x-kubernetes-map-type") == "atomic"
    return Type(fields=_Open(fields) if found.get(PRESERVE) else fields, atomic=atomic, name=name)


def _field(name: str, found: Schema) -> Field:
    if found.get("type") == "array":
        kind = found.get("x-kubernetes-list-type", "")
        keys = tuple(found.get("x-kubernetes-list-map-keys") or ())
        items = found.get("items") or {}
        if kind == "map":
            inner = _struct(name, items)
            for key in keys:
                inner.fields[key].default = (items.get("properties") or {}).get(key, {}).get("default")
            return struct(inner, LIST, list_type=kind, keys=keys)
        return leaf("raw", LIST, list_type=kind)
    if found.get("type") == "object":
        atomic = found.get("x-kubernetes-map-type") == "atomic"
        if extra(found) is not None:
            return leaf("raw", MAP, atomic=atomic)
        if found.get("properties"):
            return struct(_struct(name, found), atomic=atomic)
        if found.get(PRESERVE):
            return struct(_ANY, atomic=atomic)
    return leaf("raw")
