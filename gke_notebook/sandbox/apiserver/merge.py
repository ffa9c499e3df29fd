"""Merging an applied configuration into an object, and taking out what its manager no longer applies.

Source of the rules: sigs.k8s.io/structured-merge-diff v6.3 (`merge`, `typed`).
"""

from __future__ import annotations

from typing import Any

from .fieldset import FieldSet, has, index, is_atomic
from .schema import LIST, MAP, Field, Type


def merge_struct(type_: Type, live: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Give the object with the configuration laid over it; neither argument is changed.

    Args:
        type_: the type of both.
        live: the object.
        config: the configuration; its values win.
    """
    found = dict(live)
    for name, value in config.items():
        field = type_.fields.get(name)
        if field is not None:
            found[name] = _merge_value(field, live.get(name), value)
    return found


def _merge_value(field: Field, live: Any, config: Any) -> Any:
    if live is None or is_atomic(field) or config is None:
        return config
    if field.container == LIST:
        return _merge_list(field, live, config)
    if field.container == MAP:
        return {**live, **config}
    assert field.struct is not None
    if not isinstance(live, dict) or not isinstance(config, dict):
        return config  # an untyped field, which holds an object on one side only
    return merge_struct(field.struct, live, config)


def _merge_list(field: Field, live: list[Any], config: list[Any]) -> list[Any]:
    """Keep live items where they are relative to their neighbours, and applied ones in the order applied."""
    mine, theirs = index(field, config), index(field, live)
    found: list[Any] = []
    waiting = list(theirs.items())
    for key, item in mine.items():
        while waiting and waiting[0][0] not in mine:
            found.append(waiting.pop(0)[1])
        before = theirs.get(key)
        if before is None or field.struct is None:
            found.append(item)
        else:
            found.append(merge_struct(field.struct, before, item))
        if waiting and waiting[0][0] == key:
            waiting.pop(0)
        else:
            waiting = [pair for pair in waiting if pair[0] != key]
    found.extend(item for _, item in waiting)
    return found


def prune_struct(type_: Type, obj: dict[str, Any], last: FieldSet, kept: FieldSet) -> None:
    """Remove, in place, what a manager applied before and nobody owns any more.

    Args:
        type_: the object's type.
        obj: the object; only dicts and lists on the way to something removed are replaced by copies.
        last: what the manager applied before.
        kept: what anybody owns now.
    """
    for key, node in last.items():
        name = key[2:]
        if key == "." or name not in obj:
            continue
        field = type_.fields.get(name)
        if field is None:
            continue
        owned = kept.get(key)
        if owned is None:
            del obj[name]
        elif node and not is_atomic(field) and isinstance(obj[name], (dict, list)):
            obj[name] = _pruned(field, obj[name], node, owned)


def _pruned(field: Field, value: Any, last: FieldSet, kept: FieldSet) -> Any:
    if field.container == MAP:
        return {
            name: item
            for name, item in value.items()
            if f"f:{name}" not in last or _owned(kept, f"f:{name}") or not has(last[f"f:{name}"])
        }
    if field.container == LIST:
        items = []
        for key, item in index(field, value).items():
            found = item
            if key in last:
                if has(last[key]) and not _owned(kept, key):
                    continue
                if field.struct is not None:
                    found = dict(item)
                    prune_struct(field.struct, found, last[key], kept.get(key, {}))
            items.append(found)
        return items
    assert field.struct is not None
    found = dict(value)
    prune_struct(field.struct, found, last, kept)
    return found


def _owned(kept: FieldSet, key: str) -> bool:
    node = kept.get(key)
    return node is not None and has(node)
