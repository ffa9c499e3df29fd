"""JSON patch, merge patch and strategic merge patch over plain dicts.

Source of the answers: k8s.io/apiserver v0.34 (`endpoints/handlers/patch.go`).
"""

from __future__ import annotations

import copy
from typing import Any

from . import status
from .decode import JSON, BodyError, json_name, load, media_type
from .kinds import Kind
from .schema import type_of
from .strategic import go_print, strategic_merge

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
ACCEPTED = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)

_MAX_OPERATIONS = 10_000
_REJECTED = "the server rejected our request due to an error in our request"


def apply_patch(kind: Kind, live: dict[str, Any], body: bytes, content_type: str) -> dict[str, Any]:
    """Give the object after a patch; `live` is left as it was.

    Args:
        kind: the object's kind, whose schema holds the merge keys.
        live: the object as stored.
        body: the patch as received.
        content_type: the `Content-Type` header.

    Raises:
        StatusError: 400 for a malformed patch, 415 for an unknown type, 422 for a patch that does not fit the object.
    """
    found = media_type(content_type)
    if found == JSON_PATCH:
        return _json_patch(kind, live, _parse(body, list))
    if found == MERGE_PATCH:
        if body.strip() == b"null":
            raise status.bad_request("Invalid JSON Patch")
        return dict(merge_patch(copy.deepcopy(live), _parse(body, dict)))
    if found == STRATEGIC_PATCH and kind.rules is not None and not kind.rules.strategic:
        raise status.unsupported_media_type((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
    if found == STRATEGIC_PATCH:
        return strategic_merge(type_of(kind), live, {} if body.strip() == b"null" else _parse(body, dict, ""))
    if kind.rules is not None and not kind.rules.strategic:
        raise status.unsupported_media_type((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
    raise status.StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})  # the router says it here


def describe(content_type: str, body: bytes, patched: dict[str, Any]) -> str:
    """Give the text an answer quotes when a patch leads to an object that cannot be read.

    Args:
        content_type: the `Content-Type` header.
        body: the patch as received.
        patched: what it led to.
    """
    import json

    if media_type(content_type) == STRATEGIC_PATCH:
        try:
            return go_print(load(body, JSON))
        except BodyError:
            return ""
    return json.dumps(patched, ensure_ascii=False, separators=(",", ":"))


def _parse(body: bytes, wanted: type, before: str = "error decoding patch: ") -> Any:
    go_type = "[]handlers.jsonPatchOp" if wanted is list else "map[string]interface {}"
    try:
        found = load(body, JSON)
    except BodyError as error:
        text = str(error).removeprefix("couldn't get version/kind; json parse error: ")
        raise status.bad_request(f"{before}{text}") from error
    if found is None and wanted is list:
        return []
    if not isinstance(found, wanted):
        text = f"json: cannot unmarshal {json_name(found)} into Go value of type {go_type}"
        raise status.bad_request(f"{before}{text}")
    return found


def merge_patch(live: Any, patch: Any) -> Any:
    """Give a value after a merge patch (RFC 7386); neither argument is changed.

    Args:
        live: the value.
        patch: the patch.

    Example:
        >>> merge_patch({"a": 1, "b": 2}, {"b": None, "c": 3})
        {'a': 1, 'c': 3}
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge_patch(found.get(key), value)
    return found


def _json_patch(kind: Kind, live: dict[str, Any], operations: list[Any]) -> dict[str, Any]:
    import jsonpatch
    import jsonpointer

    if len(operations) > _MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(operations)}"
        raise status.too_large(text)
    for operation in operations:
        if not isinstance(operation, dict):
            text = f"json: cannot unmarshal {json_name(operation)} into Go value of type handlers.jsonPatchOp"
            raise status.bad_request(f"error decoding patch: {text}")
    try:
        found = jsonpatch.JsonPatch(operations).apply(live)
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:
        # The server's answer is the same whatever is wrong, a failed test included. The library lets the built-in
        # exceptions through for operations whose values have the wrong type.
        raise status.StatusError(422, "Invalid", _REJECTED, {}) from error
    if not isinstance(found, dict):
        text = f"json: cannot unmarshal {json_name(found)} into Go value of type v1.{kind.kind}"
        error_ = status.invalid_value("patch", go_print(found), text)
        raise status.StatusError(422, "Invalid", f' "" is invalid: {error_}', {"causes": [error_.cause()]})
    return found
