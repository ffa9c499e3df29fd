"""Sets of fields, in the very form `metadata.managedFields` stores them (FieldsV1).

A set is a dict of path elements: ``f:name`` for a field, ``k:{...}`` for an item of a keyed list, ``v:...`` for an
item of a set. A path is in the set when its dict is empty or holds ``.``; the root dict stands for no path, so an
empty root is the empty set. Sets are never changed once made: they share parts.

Source of the rules: the documentation of server-side apply, and sigs.k8s.io/structured-merge-diff v6.3 (`typed`,
`fieldpath`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from .schema import LIST, MAP, Field, Type
from .status import quote

FieldSet = dict[str, Any]

_MISSING = object()
UNTYPED = "untyped"
"""The type of a field of which nothing is known: an object in it is a map, not a struct."""


def is_atomic(field: Field) -> bool:
    """Tell whether a field changes owner as a whole.

    Args:
        field: the field.
    """
    if field.container == LIST:
        return field.list_type not in {"map", "set"}
    if field.container == MAP:
        return field.atomic
    return field.struct is None or field.atomic or field.struct.atomic


def _whole(field: Field, *values: Any) -> bool:
    """Tell whether values are leaves: of an atomic field, or of another shape than the field's.

    The latter are untyped fields, and values of custom objects, which are checked after their managers are noted.
    """
    if is_atomic(field):
        return True
    if field.container:
        shape = list if field.container == LIST else dict
        return any(value and not isinstance(value, shape) for value in values)
    return any(value is not None and not isinstance(value, dict) for value in values)


def _leaves(struct: Type, *items: Any) -> bool:
    return struct.atomic or not all(isinstance(item, dict) for item in items)


def item_key(field: Field, item: Any) -> str:
    """Give the path element of one item of a list that is no atomic one.

    Args:
        field: the list.
        item: the item.

    Example: ``k:{"containerPort":80,"protocol":"TCP"}``
    """
    if field.list_type == "set":
        return "v:" + json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    struct = field.struct
    assert struct is not None
    values = []
    for name in field.keys:
        value = item.get(name) if isinstance(item, dict) else None
        values.append(struct.fields[name].default if value is None else value)
    return _key_text(field.keys, tuple(values))


@lru_cache(maxsize=8192)
def _key_text(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    keys = {name: value for name, value in sorted(zip(names, values, strict=True)) if value is not None}
    return "k:" + json.dumps(keys, ensure_ascii=False, separators=(",", ":"))


def index(field: Field, items: Any) -> dict[str, Any]:
    """Give the items of a list by their path elements; of equal ones the first.

    Args:
        field: the list.
        items: its value.
    """
    found: dict[str, Any] = {}
    for item in items or ():
        found.setdefault(item_key(field, item), item)
    return found


def collect(type_: Type, obj: dict[str, Any]) -> FieldSet:
    """Give the fields an applied configuration names.

    Args:
        type_: the object's type.
        obj: the configuration.
    """
    found: FieldSet = {}
    for name, value in obj.items():
        field = type_.fields.get(name)
        if field is None:
            continue
        node = _collect_value(field, value)
        if node is not None:
            found["f:" + name] = node
    return found


def _collect_value(field: Field, value: Any) -> FieldSet | None:
    if value is None or _whole(field, value):
        return {}
    if field.container == LIST:
        found = {}
        for key, item in index(field, value).items():
            whole = field.struct is None or field.struct.atomic or not isinstance(item, dict)
            inner = {} if whole or field.struct is None else collect(field.struct, item)
            found[key] = {".": {}, **inner} if inner else {}
        return found or None
    if not value:
        return {}
    if field.container == MAP:
        return {"f:" + key: {} for key in value}
    assert field.struct is not None
    inner = collect(field.struct, value)
    if inner and field.type == UNTYPED:
        return {".": {}, **inner}
    return inner or None


def everything(field: Field, value: Any) -> FieldSet:
    """Give a value that has just come into being: its path and all below it.

    Args:
        field: the field.
        value: its value.
    """
    if not value or _whole(field, value):
        return {}
    if field.container == LIST:
        if field.struct is None:
            return {".": {}, **{key: {} for key in index(field, value)}}
        return {".": {}, **{key: _all_fields(field.struct, item) for key, item in index(field, value).items()}}
    if field.container == MAP:
        return {".": {}, **{"f:" + key: {} for key in value}}
    assert field.struct is not None
    return _all_fields(field.struct, value)


def _all_fields(type_: Type, obj: Any) -> FieldSet:
    found: FieldSet = {".": {}}
    if not isinstance(obj, dict):
        return {}
    fields = {} if type_.atomic else type_.fields
    for name, value in obj.items():
        field = fields.get(name)
        if field is not None:
            found["f:" + name] = {} if not value or _whole(field, value) else everything(field, value)
    return found if len(found) > 1 else {}


def compare(type_: Type, old: dict[str, Any], new: dict[str, Any]) -> tuple[FieldSet, FieldSet]:
    """Give what changed from one object to the next.

    Args:
        type_: the type of both.
        old: the object before.
        new: the object after.

    Returns:
        The fields added or modified, and the fields removed.
    """
    changed: FieldSet = {}
    removed: FieldSet = {}
    fields = type_.fields
    for name, value in new.items():
        before = old.get(name, _MISSING)
        if before is value or before == value or (value is None and before is _MISSING):
            continue  # a time that was never set is null in every object of the type, a new one's predecessor included
        field = fields.get(name)
        if field is None:
            continue
        key = "f:" + name
        if before is None and field.container:
            before = _MISSING
        if before is _MISSING and not (field.container and not field.omitempty):
            changed[key] = everything(field, value)
        else:
            added, gone = _compare_value(field, {} if before is _MISSING else before, value)
            if added is not None:
                changed[key] = added
            if gone:
                removed[key] = gone
    for name, value in old.items():
        if name not in new and (field := fields.get(name)) is not None:
            removed["f:" + name] = everything(field, value)
    return changed, removed


def _compare_value(field: Field, old: Any, new: Any) -> tuple[FieldSet | None, FieldSet]:
    """Give what changed in one value (None: nothing; an empty set: the value as a whole) and what is gone from it."""
    if old is None or new is None or _whole(field, old, new):
        return {}, {}
    added: FieldSet
    gone: FieldSet
    if field.container == LIST:
        added, gone = _compare_items(field, old, new)
    elif field.container == MAP:
        old, new = old or {}, new or {}  # what is empty may be of another shape
        added = {"f:" + name: {} for name, value in new.items() if old.get(name, _MISSING) != value}
        gone = {"f:" + name: {} for name in old if name not in new}
    else:
        assert field.struct is not None
        added, gone = compare(field.struct, old, new)
    return added or None, gone


def _compare_items(field: Field, old: Any, new: Any) -> tuple[FieldSet, FieldSet]:
    before, after = index(field, old), index(field, new)
    added: FieldSet = {}
    gone: FieldSet = {}
    for key, item in after.items():
        if key not in before:
            added[key] = {} if field.struct is None else _all_fields(field.struct, item)
        elif before[key] != item and field.struct is not None and _leaves(field.struct, before[key], item):
            added[key] = {}
        elif before[key] != item and field.struct is not None:
            inner, lost = compare(field.struct, before[key], item)
            if inner:
                added[key] = inner
            if lost:
                gone[key] = lost
    for key, item in before.items():
        if key not in after:
            gone[key] = {} if field.struct is None else _all_fields(field.struct, item)
    return added, gone


def has(node: FieldSet) -> bool:
    """Tell whether the path of a node (not the root) is in its set.

    Args:
        node: the dict of the path.
    """
    return not node or "." in node


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """Give the paths in either of two sets.

    Args:
        one: a set.
        other: a set.
    """
    if not other:
        return one
    found = dict(one)
    for key, node in other.items():
        mine = found.get(key)
        found[key] = node if mine is None else _join(mine, node)
    return found


def _join(one: FieldSet, other: FieldSet) -> FieldSet:
    if one == other:
        return one
    found = union(one, other)
    if has(one) or has(other):
        found = {".": {}, **found}
    return found


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """Give the paths of one set that are not in another.

    Args:
        one: the set.
        other: what is taken away.
    """
    if not other:
        return one
    found: FieldSet = {}
    for key, node in one.items():
        if key == ".":
            continue
        against = other.get(key)
        if against is None:
            found[key] = node
            continue
        inner = {name: part for name, part in difference(node, against).items() if name != "."}
        if has(node) and not has(against):
            found[key] = {".": {}, **inner} if inner else {}
        elif inner:
            found[key] = inner
    return found


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """Give the paths in both of two sets.

    Args:
        one: a set.
        other: a set.
    """
    found: FieldSet = {}
    for key, node in one.items():
        against = other.get(key)
        if against is None or key == ".":
            continue
        inner = intersection(node, against)
        if has(node) and has(against):
            found[key] = {".": {}, **inner} if inner else {}
        elif inner:
            found[key] = inner
    return found


def without(node: FieldSet, *path: str) -> FieldSet:
    """Give a set without a path and all below it.

    Args:
        node: the set.
        path: the path's elements.
    """
    first, *rest = path
    if first not in node:
        return node
    found = dict(node)
    if rest:
        inner = without(node[first], *rest)
        if inner or not node[first]:
            found[first] = inner
        else:
            del found[first]
    else:
        del found[first]
    return found


def paths(node: FieldSet, prefix: str = "") -> Iterator[str]:
    """Give the paths of a set as errors show them: ``.spec.containers[name="main"].image``.

    Args:
        node: the set.
        prefix: the path of the node.
    """
    for key in sorted(node):
        if key == ".":
            continue
        where = prefix + _shown(key)
        if has(node[key]):
            yield where
        yield from paths(node[key], where)


def _shown(key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "f":
        return "." + rest
    if kind == "v":
        return f"[={rest}]"
    if kind == "k":
        parts = [f"{name}={_scalar(value)}" for name, value in json.loads(rest).items()]
        return "[" + ",".join(parts) + "]"
    return f"[{rest}]"


def _scalar(value: Any) -> str:
    return quote(value) if isinstance(value, str) else json.dumps(value)


def valid(node: Any) -> bool:
    """Tell whether a client's `fieldsV1` is such a set.

    Args:
        node: what the client sent.
    """
    if not isinstance(node, dict):
        return False
    return all(
        (key == "." or key[:2] in {"f:", "k:", "v:", "i:"}) and _readable(key) and valid(inner)
        for key, inner in node.items()
    )


def _readable(key: str) -> bool:
    if key[:2] not in {"k:", "v:"}:
        return True
    try:
        found = json.loads(key[2:])
    except ValueError:
        return False
    return key[0] == "v" or isinstance(found, dict)
