"""Get and list: from the store to the bytes of an answer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec

from . import status
from .kinds import Kind
from .negotiate import Form
from .options import Continue, ListOptions, decode_continue, encode_continue
from .paths import Target
from .selectors import parse_fields, parse_labels, single_name
from .status import StatusError
from .store import Collection, Entry, Expired, Key, Store
from .tables import table

Object = dict[str, Any]
Predicate = Callable[[Object], bool]

INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
TOO_OLD = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True)
class Page:
    """A list, or a part of it.

    Args:
        entries: the objects.
        revision: the revision they were read at.
        token: the `continue` token, empty on the last page.
        remaining: how many are left after this page, None when that is not known.
    """

    entries: list[Entry]
    revision: int
    token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> Object:
        """The `metadata` of the list."""
        found: Object = {"resourceVersion": str(self.revision)}
        if self.token:
            found["continue"] = self.token
            if self.remaining is not None:
                found["remainingItemCount"] = self.remaining
        return found


def predicate(target: Target, options: ListOptions) -> Predicate | None:
    """Make one function out of the selectors.

    Args:
        target: the collection.
        options: the parameters.

    Returns:
        A function of an entry's `head`, or None when everything matches.

    Raises:
        StatusError: 400 for a malformed selector.
    """
    found = []
    if options.labels:
        found.append(parse_labels(options.labels))
    if options.fields:
        found.append(parse_fields(target.kind, options.fields))
    if target.name:
        name = target.name
        found.append(lambda head: head["metadata"]["name"] == name)
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    return lambda head: all(each(head) for each in found)


def get(store: Store, target: Target) -> Entry:
    """Read one object.

    Args:
        store: the state.
        target: the object.

    Raises:
        StatusError: 404.
    """
    entry = store.get(target.kind, target.namespace, target.name)
    if entry is None:
        raise status.not_found(target.kind, target.name)
    return entry


def page(store: Store, target: Target, options: ListOptions) -> Page:
    """Read a collection.

    Args:
        store: the state.
        target: the collection.
        options: the parameters.

    Raises:
        StatusError: 400, 410 or 504.
    """
    matches = predicate(target, options)
    namespace = target.namespace if target.kind.namespaced and target.namespace else None
    collection = store.of(target.kind)
    after: Key | None = None
    if options.token:
        start = decode_continue(options.token)
        after = _key(start.start, namespace)
        revision = store.revision if start.revision < 0 else start.revision
        if revision > store.revision:
            raise too_large(revision, store.revision)
        entries = _at(collection, revision, namespace, start)
    else:
        revision = _revision(store, options)
        entries = _at(collection, revision, namespace, None)
    if after is not None:
        entries = entries[bisect_right(entries, after, key=_entry_key) :]
    limit = options.limit
    if limit and options.fields and (namespace or not target.kind.namespaced) and single_name(options.fields):
        limit = 0  # one object is read by its name, not out of a list
    shown, rest = _first(entries, matches, limit)
    if not rest:
        return Page(shown, revision)
    last = shown[-1]
    # A list of one namespace leaves it out of the token, as the server's keys below the namespace do.
    start_key = last.name if namespace is not None or not target.kind.namespaced else f"{last.namespace}/{last.name}"
    token = encode_continue(Continue(revision, start_key + "\0"))
    return Page(shown, revision, token, rest if matches is None else None)


def _first(entries: list[Entry], matches: Predicate | None, limit: int) -> tuple[list[Entry], int]:
    """Give the objects of one page, and how many objects lie behind the last of them, whether they match or not."""
    if matches is None:
        return (entries[:limit], max(0, len(entries) - limit)) if limit else (entries, 0)
    if not limit:
        return [entry for entry in entries if matches(entry.head)], 0
    shown: list[Entry] = []
    for index, entry in enumerate(entries):
        if matches(entry.head):
            shown.append(entry)
            if len(shown) == limit:
                return shown, len(entries) - index - 1
    return shown, 0


def _entry_key(entry: Entry) -> Key:
    return entry.key


def _key(start: str, namespace: str | None) -> Key:
    found, slash, name = start.rstrip("\0").rpartition("/")
    return (namespace or "", name) if not slash else (found, name)


def _revision(store: Store, options: ListOptions) -> int:
    """Give the revision a list is read at."""
    asked = int(options.version or "0")
    if asked > store.revision:
        raise too_large(asked, store.revision)
    if options.match == "Exact" or (options.limit and asked and not options.match):
        return asked
    return store.revision


def _at(collection: Collection, revision: int, namespace: str | None, start: Continue | None) -> list[Entry]:
    try:
        return collection.all_at(revision, namespace)
    except Expired:
        if start is None:
            raise status.expired(TOO_OLD) from None
        raise InconsistentContinueError(encode_continue(Continue(-1, start.start))) from None


class InconsistentContinueError(StatusError):
    """The state a list began with is no longer known; the token goes on with the current one.

    Args:
        token: a `continue` token.
    """

    def __init__(self, token: str) -> None:
        super().__init__(410, "Expired", INCONSISTENT)
        self.token = token

    def to_object(self) -> Object:
        """Give the Status, with the token in its metadata."""
        return {**super().to_object(), "metadata": {"continue": self.token}}


def too_large(asked: int, current: int) -> StatusError:
    """Say that a resourceVersion lies in the future.

    Args:
        asked: the client's.
        current: the store's.
    """
    error = status.timeout(f"Too large resource version: {asked}, current: {current}", retry_after=1)
    error.details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    return error


def render_list(kind: Kind, found: Page, form: Form, include_object: str = "") -> bytes:
    """Write a list in the form the client asked for, as JSON.

    Args:
        kind: the objects' kind.
        found: the list.
        form: from `negotiate`.
        include_object: the `includeObject` parameter of a Table.
    """
    if form.shape == "Table":
        objects = [entry.object() for entry in found.entries]
        return msgspec.json.encode(render_table(kind, objects, found.metadata, include_object))
    if form.shape:
        items = [partial(entry.object()) for entry in found.entries]
        shown = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": found.metadata}
        return msgspec.json.encode({**shown, "items": items})
    head = b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[' % (
        kind.list_kind.encode(), kind.api_version.encode(), msgspec.json.encode(found.metadata),
    )  # fmt: skip
    return b"".join((head, b",".join(items_of(kind, found.entries)), b"]}\n"))


def items_of(kind: Kind, entries: Sequence[Entry]) -> list[bytes]:
    """Give objects as they stand in a list: without `kind` and `apiVersion`, which the list says.

    Args:
        kind: their kind.
        entries: the objects.
    """
    skip = len('{"kind":"","apiVersion":"",') + len(kind.kind) + len(kind.api_version)
    return [b"{" + entry.body[skip:] for entry in entries]


def render_object(kind: Kind, body: bytes, form: Form, include_object: str = "") -> bytes:
    """Write one object in the form the client asked for, as JSON.

    Args:
        kind: its kind.
        body: the object as JSON.
        form: from `negotiate`.
        include_object: the `includeObject` parameter of a Table.
    """
    if not form.shape:
        return body
    obj: Object = msgspec.json.decode(body)
    if form.shape == "Table":
        version = obj["metadata"].get("resourceVersion")
        metadata = {"resourceVersion": version} if version else {}
        return msgspec.json.encode(render_table(kind, [obj], metadata, include_object))
    return msgspec.json.encode(partial(obj))


def render_table(
    kind: Kind, objects: list[Object], metadata: Object, include_object: str, *, columns: bool = True
) -> Object:
    """Give the Table of some objects.

    Args:
        kind: their kind.
        objects: whole objects.
        metadata: the Table's.
        include_object: the `includeObject` parameter.
        columns: whether to send the column definitions.
    """
    now = datetime.now(timezone.utc)
    return table(kind, objects, metadata=metadata, now=now, include_object=include_object, columns=columns)


def partial(obj: Object) -> Object:
    """Give the metadata of an object alone.

    Args:
        obj: the whole object.
    """
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
