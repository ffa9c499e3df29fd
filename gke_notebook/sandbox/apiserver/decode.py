"""Request bodies to plain dicts: JSON, YAML and Kubernetes' protobuf."""

from __future__ import annotations

import binascii
import json
import math
from dataclasses import replace
from typing import Any

import msgspec

from . import status, wire
from .kinds import DELETE_OPTIONS, Kind
from .schema import schema

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)

# Far beyond any object of the API, and safe for the recursive code that reads them.
MAX_DEPTH = 200
# What the aliases of a YAML document may add to what is written: each value written takes a byte at least.
MAX_ALIASED = 100_000


class BodyError(ValueError):
    """The body is no document of its type; the message is in the words of Go's decoders."""


def media_type(content_type: str) -> str:
    """Give a `Content-Type` without its parameters, lower case.

    Args:
        content_type: the header.
    """
    return content_type.partition(";")[0].strip().lower()


def decode_body(body: bytes, content_type: str, kind: Kind, duplicates: list[str] | None = None) -> dict[str, Any]:
    """Decode a request body; `apiVersion` and `kind` are filled in where the body leaves them out.

    Args:
        body: the bytes as received.
        content_type: the `Content-Type` header, possibly empty (JSON is then meant).
        kind: the kind the path is about, or one of `kinds.BODY_KINDS`.
        duplicates: if given, the paths of fields that a JSON or YAML body names twice are added to it.

    Raises:
        StatusError: 400 when the body is malformed or about another kind, 415 when its type is not known.
    """
    found = _body_type(content_type)
    # Custom kinds have no protobuf form.
    accepted = ACCEPTED if kind.rules is None or kind.rules.strategic else (JSON, YAML)
    if found not in accepted:
        raise status.unsupported_media_type(accepted)
    try:
        obj = _protobuf(body) if found == PROTOBUF else _object(load(body, found, duplicates))
    except BodyError as error:
        raise status.bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): {error} ({summary(body)})"
        ) from error
    _check_kind(obj, kind)
    return obj


def decode_applied(body: bytes, kind: Kind, duplicates: list[str]) -> dict[str, Any]:
    """Decode the body of a server-side apply.

    Args:
        body: the bytes as received.
        kind: the kind the path is about.
        duplicates: the paths of fields that are named twice are added to it.

    Raises:
        StatusError: 400 when it is malformed or about another kind.
    """
    try:
        found = load(body, YAML, duplicates)
    except BodyError as error:
        raise status.bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from error
    if found is not None and not isinstance(found, dict):
        text = f"json: cannot unmarshal {json_name(found)} into Go value of type map[string]interface {{}}"
        raise status.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {text}")
    obj: dict[str, Any] = found or {}
    version, name = (obj.get(key) or "" for key in ("apiVersion", "kind"))
    if (version, name) != (kind.api_version, kind.kind):
        shown = version if "/" in str(version) else f"/{version}"
        raise status.bad_request(f"invalid object type: {shown}, Kind={name}")
    return obj


def _body_type(content_type: str) -> str:
    """Give the type of a body; a header with a parameter that is none says nothing that is known."""
    if not content_type.strip():
        return JSON
    _, *parameters = content_type.rstrip().removesuffix(";").split(";")
    if not all(each.partition("=")[2] for each in parameters):
        return content_type
    return media_type(content_type)


def decode_delete_options(body: bytes, content_type: str) -> dict[str, Any]:
    """Decode the body of a delete; what is wrong is said without the frame that other bodies' errors have.

    Args:
        body: the bytes as received, not empty.
        content_type: the `Content-Type` header.

    Raises:
        StatusError: 400 when it is malformed or of another kind, 415 when its type is not known.
    """
    found = _body_type(content_type)
    if found not in ACCEPTED:
        raise status.unsupported_media_type(ACCEPTED)
    try:
        obj = _protobuf(body) if found == PROTOBUF else _object(load(body, found))
    except BodyError as error:
        raise status.bad_request(str(error)) from error
    name, version = obj.get("kind") or DELETE_OPTIONS.kind, obj.get("apiVersion") or DELETE_OPTIONS.version
    if name != DELETE_OPTIONS.kind:
        text = f"no kind {status.quote(str(name))} is registered for version {status.quote(str(version))}"
        raise status.bad_request(f'{text} in scheme "pkg/runtime/scheme.go:110"')
    return obj


def load(body: bytes, content_type: str, duplicates: list[str] | None = None) -> Any:
    """Parse JSON or YAML, with limits on depth and size.

    Args:
        body: the bytes.
        content_type: `JSON` or `YAML`.
        duplicates: if given, the paths of fields named twice are added to it.

    Raises:
        BodyError: it is malformed.
    """
    return _yaml(body, duplicates) if content_type == YAML else _json(body, duplicates)


def summary(body: bytes) -> str:
    """Quote the start of a body as the server does in its errors.

    Args:
        body: the bytes.
    """
    if not body:
        return "<empty>"
    end = " ..." if len(body) > 30 else ""
    if body.startswith(b"{"):
        return body[:30].decode(errors="replace") + end
    return binascii.hexlify(body[:30]).decode() + end


def _object(found: Any) -> dict[str, Any]:
    if isinstance(found, dict):
        return found
    if found is None:
        return {}
    name = "array" if isinstance(found, list) else "string" if isinstance(found, str) else "number"
    if isinstance(found, bool):
        name = "bool"
    raise BodyError(
        f"couldn't get version/kind; json parse error: json: cannot unmarshal {name} into Go value of type "
        'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
    )


def _check_kind(obj: dict[str, Any], kind: Kind) -> None:
    for key in ("apiVersion", "kind"):
        if not isinstance(obj.get(key, ""), str):
            raise status.bad_request(
                f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; "
                f"json parse error: json: cannot unmarshal {json_name(obj[key])} into Go struct field .{key} "
                "of type string"
            )
    api_version, name = obj.get("apiVersion") or kind.api_version, obj.get("kind") or kind.kind
    obj["apiVersion"], obj["kind"] = api_version, name
    if name != kind.kind and kind.rules is not None and not kind.rules.strategic:
        error = status.invalid_value("kind", name, f"must be {kind.kind}")
        meta = obj.get("metadata")
        named = str(meta.get("name", "")) if isinstance(meta, dict) else ""
        raise status.invalid(replace(kind, kind=name), named, [error])
    if name != kind.kind:
        _, _, version = api_version.rpartition("/")
        if schema().find(api_version, name) is None:
            known = f"no kind {status.quote(name)} is registered for version {status.quote(api_version)}"
            raise status.bad_request(
                f"{name} in version {status.quote(version)} cannot be handled as a {kind.kind}: {known} "
                'in scheme "pkg/api/legacyscheme/scheme.go:30"'
            )
        package = {"": "core"}.get(kind.group, kind.group.partition(".")[0])
        raise status.bad_request(
            f"{name} in version {status.quote(version)} cannot be handled as a {kind.kind}: "
            f"converting (v1.{name}) to ({package}.{kind.kind}): unknown conversion"
        )
    if api_version != kind.api_version and kind.rules is not None and not kind.rules.strategic:
        raise status.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"
        )
    if api_version != kind.api_version:
        raise status.bad_request(
            f"{name} in version {status.quote(api_version.rpartition('/')[2])} cannot be handled as a {kind.kind}: "
            f"no kind {status.quote(name)} is registered for version {status.quote(api_version)} "
            'in scheme "pkg/runtime/scheme.go:110"'
        )


def json_name(value: Any) -> str:
    """Name a JSON value's type as Go's decoder does.

    Args:
        value: a decoded value.
    """
    if isinstance(value, bool):
        return "bool"
    for types, name in ((str, "string"), ((int, float), "number"), (list, "array"), (dict, "object")):
        if isinstance(value, types):
            return name
    return "null"


def syntax_error(body: bytes) -> str:
    """Say what is wrong with JSON in Go's words."""
    try:
        text = body.decode()
        json.loads(text, parse_constant=_constant)
    except UnicodeDecodeError:
        return "invalid UTF-8 in JSON"
    except json.JSONDecodeError as error:
        rest = text[error.pos :].lstrip()
        if not rest or error.msg.startswith("Unterminated"):
            return "unexpected end of JSON input"
        where = {
            "Expecting value": "looking for beginning of value",
            "Extra data": "after top-level value",
            "Expecting ',' delimiter": "after object key:value pair or array element",
            "Expecting ':' delimiter": "after object key",
        }.get(error.msg, "looking for beginning of object key string")
        return f"invalid character '{rest[0]}' {where}"
    except (ValueError, RecursionError) as error:
        return str(error) or "exceeded max depth"
    return "invalid JSON"


def _constant(name: str) -> float:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _json(body: bytes, duplicates: list[str] | None) -> Any:
    if not body.strip():
        raise BodyError("couldn't get version/kind; json parse error: unexpected end of JSON input")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(body)
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"couldn't get version/kind; json parse error: {syntax_error(body)}") from error
    if duplicates is not None:
        _find_duplicates(body, duplicates)
    return found


def _check_depth(body: bytes) -> None:
    depth, in_text, escaped = 0, False, False
    for byte in body:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise BodyError("couldn't get version/kind; json parse error: exceeded max depth")
        elif byte in b"}]":
            depth -= 1


class _Twice(dict[str, Any]):
    """An object that remembers which of its keys were given twice."""

    order: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    marked = _Twice(found)
    marked.order = tuple(key for key, _ in pairs)
    return marked


def duplicate_fields(body: bytes) -> list[str]:
    """Give the fields that a JSON body names twice.

    Args:
        body: the body; what is no JSON names none.
    """
    found: list[str] = []
    _find_duplicates(body, found)
    return found


def _find_duplicates(body: bytes, duplicates: list[str]) -> None:
    marks: list[int] = []

    def pairs(each: list[tuple[str, Any]]) -> dict[str, Any]:
        found = _pairs(each)
        if isinstance(found, _Twice):
            marks.append(1)
        return found

    try:
        root = json.loads(body, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return  # what this parser refuses and the other took cannot be looked at
    if marks:
        _collect(root, "", duplicates)


def _collect(value: Any, path: str, into: list[str]) -> None:
    if isinstance(value, dict):
        seen: dict[str, int] = {}
        for key in value.order if isinstance(value, _Twice) else value:
            seen[key] = seen.get(key, 0) + 1
            where = f"{path}.{key}" if path else key
            if seen[key] == 1:
                _collect(value[key], where, into)
            elif seen[key] == 2:
                into.append(where)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _collect(inner, f"{path}[{index}]", into)


def _yaml(body: bytes, duplicates: list[str] | None) -> Any:
    import yaml

    from .yaml_loader import KubernetesLoader

    try:
        text = body.decode()
        found = KubernetesLoader.read(text, duplicates)
    except UnicodeDecodeError as error:
        raise BodyError("yaml: invalid UTF-8") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BodyError("yaml: " + " ".join(str(error).split())) from error
    budget = [MAX_ALIASED + len(body)]
    try:
        return _plain(found, 0, budget)
    except RecursionError as error:
        raise BodyError("yaml: exceeded max depth") from error


def _plain(value: Any, depth: int, budget: list[int]) -> Any:
    """Copy a YAML value as JSON would hold it: keys are strings, aliases are spelled out."""
    budget[0] -= 1
    if depth > MAX_DEPTH or budget[0] < 0:
        raise BodyError(
            "yaml: exceeded max depth" if depth > MAX_DEPTH else "yaml: document contains excessive aliasing"
        )
    if isinstance(value, dict):
        return {_key(key): _plain(inner, depth + 1, budget) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1, budget) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise BodyError(f"json: unsupported value: {value}")
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise BodyError(f"yaml: cannot be read as JSON: {type(value).__name__}")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    return str(key)


def _protobuf(body: bytes) -> dict[str, Any]:
    try:
        api_version, kind, raw = wire.decode_envelope(body)
        type_ = schema().find(api_version, kind)
        if type_ is None:
            raise BodyError(f"no kind {status.quote(kind)} is registered for version {status.quote(api_version)}")
        found = wire.decode_message(type_, raw)
    except wire.WireError as error:
        raise BodyError(str(error)) from error
    return {"kind": kind, "apiVersion": api_version, **found}
