"""Plain objects that share their equal parts: a thousand pods of one template hold their template once.

A decoded object is many times as large as its JSON, and most of it is the same from one object to the next:
tolerations, defaults of containers, labels, conditions of one second. Parts with equal bytes become one Python object,
and so do whole objects that several watches of a process bring. `managedFields`, which no controller of pods reads, are
left out, as client-go's informers do with `TransformStripManagedFields` (client-go, tools/cache, 1.34).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import msgspec

Object = dict[str, Any]

_GENERATION = 2 * 2**20  # bytes of JSON whose parts are remembered; there are two generations
_LARGEST = 8192  # bytes of a part that is worth remembering
_DEPTH = 4  # spec, containers, one container, its fields: what differs lies hardly deeper
_UNIQUE = frozenset(("name", "uid", "resourceVersion"))

_fields: Callable[[Any], dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items: Callable[[Any], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode: Callable[[Any], Any] = msgspec.json.Decoder().decode


class _Whole(dict[str, Any]):
    """An object that can be found as long as somebody else holds it."""

    __slots__ = ("__weakref__",)


class Compact:
    """Decodes objects, sharing what is equal. What it gives must not be changed.

    Example:
        >>> compact = Compact()
        >>> one = compact.decode(b'{"metadata": {"name": "a", "uid": "1"}, "spec": {"containers": []}}')
        >>> two = compact.decode(b'{"metadata": {"name": "b", "uid": "2"}, "spec": {"containers": []}}')
        >>> one["spec"] is two["spec"]
        True
    """

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[str, str], _Whole] = WeakValueDictionary()
        self._young: dict[bytes, Any] = {}
        self._old: dict[bytes, Any] = {}
        self._size = 0

    def decode(self, raw: bytes | msgspec.Raw) -> Object:
        """Decode one object.

        Args:
            raw: the object as JSON, with `metadata`.

        Raises:
            msgspec.DecodeError: it is not one.
        """
        fields = _fields(raw)
        if "metadata" not in fields:
            raise msgspec.DecodeError("an object without metadata")
        metadata: Object = {}
        for name, value in _fields(fields["metadata"]).items():
            if name in _UNIQUE:
                metadata[name] = _decode(value)
            elif name != "managedFields":
                metadata[name] = self._part(value, 1)
        key = metadata.get("uid", ""), metadata.get("resourceVersion", "")
        known = self._known.get(key) if all(key) else None
        if known is not None:
            return known
        whole = _Whole()
        for name, value in fields.items():
            whole[name] = metadata if name == "metadata" else self._part(value, _DEPTH)
        if all(key):
            self._known[key] = whole
        return whole

    def _part(self, raw: msgspec.Raw, depth: int) -> Any:
        content = bytes(raw)
        size = len(content)
        if size > _LARGEST or size < 6:  # a small number or a truth value is one object already
            return self._made(content, depth) if size > _LARGEST else _decode(content)
        found = self._young.get(content)
        if found is not None:
            return found
        found = self._old.get(content)
        if found is None:
            found = self._made(content, depth)
        self._young[content] = found
        self._size += size
        if self._size > _GENERATION:
            self._old, self._young, self._size = self._young, {}, 0
        return found

    def _made(self, content: bytes, depth: int) -> Any:
        if depth > 0 and content.startswith(b"{"):
            return {name: self._part(value, depth - 1) for name, value in _fields(content).items()}
        if depth > 0 and content.startswith(b"["):
            return [self._part(value, depth - 1) for value in _items(content)]
        return _decode(content)
