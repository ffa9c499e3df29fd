"""Strategic merge patch: lists merge by the keys in the schema, directives say what to delete, replace, keep and order.

Source of the rules and texts: k8s.io/apimachinery v0.34 (`util/strategicpatch`, `util/mergepatch`).
"""

from __future__ import annotations

import copy
import json
from typing import Any

from . import status
from .schema import LIST, Field, Type

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"

_BAD_PRIMITIVES = "invalid patch format of primitive list"
_BAD_RETAIN = "invalid patch format of retainKeys"
_BAD_ORDER = "invalid patch format of setElementOrder list"

Object = dict[str, Any]


def go_print(value: Any) -> str:
    """Write a value as Go's ``%v`` does: ``map[a:1 b:[x y]]``.

    Args:
        value: any JSON value.
    """
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_print(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_print(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    return value if isinstance(value, str) else json.dumps(value)


def _server_error(text: str) -> status.StatusError:
    return status.StatusError(500, "", text)


def strategic_merge(type_: Type, original: Object, patch: Object) -> Object:
    """Give the object after a strategic merge patch; neither argument is changed.

    Args:
        type_: the object's type.
        original: the object.
        patch: the patch.

    Raises:
        StatusError: 400 or 500, as the server answers, when a directive makes no sense.
    """
    return _merge_map(type_, copy.deepcopy(original), copy.deepcopy(patch))


def _merge_map(type_: Type | None, original: Object, patch: Object) -> Object:
    if _DIRECTIVE in patch:
        directive = patch.pop(_DIRECTIVE)
        if directive == "replace":
            return dict(_plain(patch))
        if directive == "delete":
            return {}
        raise _server_error(f"unknown patch type: {directive} in map: {go_print({**patch, _DIRECTIVE: directive})}")
    _retain_keys(original, patch)
    _ordered_lists(type_, original, patch)
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            name = key.removeprefix(_DELETE_PRIMITIVES)
            if isinstance(value, list) and isinstance(original.get(name), list):
                original[name] = [item for item in original[name] if item not in value]
        elif key.startswith("$deleteFromPrimitiveList"):
            raise status.bad_request(_BAD_PRIMITIVES)
        elif value is None:
            original.pop(key, None)
        else:
            _merge_field(type_, original, key, value)
    return original


def _merge_field(type_: Type | None, original: Object, key: str, value: Any) -> None:
    field = type_.fields.get(key) if type_ is not None else None
    before = original.get(key)
    if isinstance(before, dict) and isinstance(value, dict):
        if field is not None and not field.container and "replace" in field.strategy.split(","):
            original[key] = value
        else:
            original[key] = _merge_map(field.struct if field is not None else None, before, value)
    elif isinstance(before, list) and isinstance(value, list) and field is not None and field.merges:
        original[key] = _merge_list(field, before, value)
    else:
        plain = _plain(value)
        if plain is None:
            original.pop(key, None)
        else:
            original[key] = plain


def _plain(value: Any) -> Any:
    """Take directives and nulls out of a value that has nothing to be merged with; None when it deletes itself."""
    if isinstance(value, dict):
        if value.get(_DIRECTIVE) == "delete":
            return None
        found = {}
        for key, inner in value.items():
            if key.startswith("$") or inner is None:
                continue
            plain = _plain(inner)
            if plain is not None:
                found[key] = plain
        return found
    if isinstance(value, list):
        items = (_plain(item) for item in value if not (isinstance(item, dict) and _DIRECTIVE in item))
        return [item for item in items if item is not None]
    return value


def _retain_keys(original: Object, patch: Object) -> None:
    if _RETAIN not in patch:
        return
    keys = patch.pop(_RETAIN)
    if not isinstance(keys, list):
        raise status.bad_request(_BAD_RETAIN)
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE_PRIMITIVES, _ORDER)) and key not in keys:
            raise status.bad_request(_BAD_RETAIN)
    for key in [key for key in original if key not in keys]:
        del original[key]


def _ordered_lists(type_: Type | None, original: Object, patch: Object) -> None:
    """Merge the lists whose order the patch prescribes."""
    for directive in [key for key in patch if key.startswith("$setElementOrder")]:
        order = patch.pop(directive)
        name = directive.removeprefix(_ORDER)
        if not directive.startswith(_ORDER) or not isinstance(order, list):
            raise status.bad_request(_BAD_ORDER)
        change, before = patch.get(name), original.get(name)
        for each in (change, before):
            if each is not None and not isinstance(each, list):
                raise status.bad_request(_BAD_ORDER)
        field = type_.fields.get(name) if type_ is not None else None
        if field is None or field.container != LIST:
            raise _server_error(
                f'unable to find api field in struct {type_.go_name if type_ else ""} for the json field "{name}"'
            )
        key = field.merge_key
        if isinstance(change, list):
            _check_order(change, order, key)
        if before is None and change is None:
            continue
        patch.pop(name, None)
        if before is None:
            merged = _plain(change)
        elif change is None:
            merged = before
        else:
            merged = _merge_list(field, before, change) if field.merges else change
        original[name] = _arrange(merged, [_key_of(item, key) for item in order], before or [], key)


def _check_order(change: list[Any], order: list[Any], key: str) -> None:
    """Refuse a patch whose list and whose order contradict each other."""
    wanted = [_key_of(item, key) for item in order]
    if not wanted or not change:
        return
    position = 0
    for item in change:
        if isinstance(item, dict) and _DIRECTIVE in item:
            continue
        value = _key_of(item, key)
        if value not in wanted[position:]:
            text = f"The order in patch list:\n{go_print(change)}\n doesn't match $setElementOrder list:"
            raise _server_error(f"{text}\n{go_print(order)}\n")
        position = wanted.index(value, position) + 1


def _key_of(item: Any, key: str) -> Any:
    if not key:
        return item
    if not isinstance(item, dict) or key not in item:
        shown = item if isinstance(item, dict) else {}
        raise _server_error(f"map: {go_print(shown)} does not contain declared merge key: {key}")
    return item[key]


def _merge_list(field: Field, original: list[Any], patch: list[Any]) -> list[Any]:
    if any(isinstance(item, list) for item in (*original, *patch)):
        raise status.StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})
    if field.struct is None:
        merged = list(original)
        merged += [item for item in patch if item not in merged]
        return _arrange(merged, patch, original, "")
    key = field.merge_key
    if not key:
        raise _server_error(f"cannot merge lists without merge key for {field.type.partition('.')[2]}")
    kept, changes = _special(original, patch, key)
    items = list(kept)
    for change in changes:
        value = _key_of(change, key)
        for index, item in enumerate(items):
            if isinstance(item, dict) and item.get(key) == value:
                items[index] = _merge_map(field.struct, item, change)
                break
        else:
            plain = _plain(change)
            if plain is not None:
                items.append(plain)
    return _arrange(items, [_key_of(change, key) for change in changes], kept, key)


def _special(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the items of a patch that are directives; give what is left of both lists."""
    changes = []
    replace = False
    for item in patch:
        directive = item.get(_DIRECTIVE) if isinstance(item, dict) else None
        if directive is None:
            changes.append(item)
        elif directive == "delete":
            value = _key_of(item, key)
            original = [each for each in original if _key_of(each, key) != value]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _server_error("merging lists cannot yet be specified in the patch")
        else:
            raise _server_error(f"unknown patch type: {directive} in map: {go_print(item)}")
    return ([], changes) if replace else (original, changes)


def _arrange(items: list[Any], order: list[Any], before: list[Any], key: str) -> list[Any]:
    """Put the items the patch names in its order, and the others between them as they were."""
    live = [_key_of(item, key) for item in before]
    named = [item for item in items if _key_of(item, key) in order]
    others = [item for item in items if _key_of(item, key) not in order]
    named.sort(key=lambda item: order.index(_key_of(item, key)))
    found: list[Any] = []
    while named and others:
        left, right = _key_of(others[0], key), _key_of(named[0], key)
        first = left in live and right in live and live.index(left) < live.index(right)
        found.append((others if first else named).pop(0))
    return found + named + others
