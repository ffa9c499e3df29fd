"""OpenAPI v3 documents of custom kinds: what kubectl needs to explain, to validate and to apply.

Source: k8s.io/apiextensions-apiserver v0.34 (`pkg/controller/openapi/builder`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from gke_notebook.sandbox.apiserver import openapi, openapi_paths
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.schema import LIST, MAP, Field, Type, schema

from .rules import CustomRules
from .structural import EMBEDDED, INT_OR_STRING, PRESERVE

Document = dict[str, Any]

_REFERENCE = "#/components/schemas/"
_JSON = "application/json"
_BASES = {"string": "string", "bool": "boolean", "int32": "integer", "int64": "integer", "double": "number"}


def index(kinds: Sequence[Kind]) -> Document:
    """Give the entries of the document of `/openapi/v3`.

    Args:
        kinds: the kinds with rules of their own.
    """
    found = {}
    for path in dict.fromkeys(f"apis/{kind.api_version}" for kind in kinds):
        text = msgspec.json.encode([_described(kind) for kind in kinds if f"apis/{kind.api_version}" == path])
        mark = hashlib.sha256(text).hexdigest()[:32].upper()
        found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"}
    return found


def _described(kind: Kind) -> Any:
    return kind.rules.schema if isinstance(kind.rules, CustomRules) else kind.api_version


def document(name: str, kinds: Sequence[Kind]) -> Document | None:
    """Give the document of a group and version, None when no such kind has it.

    Args:
        name: for example ``apis/example.com/v1``.
        kinds: the kinds with rules of their own.
    """
    mine = [kind for kind in kinds if f"apis/{kind.api_version}" == name]
    if not mine:
        return None
    schemas: Document = {}
    paths: Document = {}
    openapi.add_common(schemas)
    openapi.add_schema(schema().types["meta.ObjectMeta"], schemas)
    for kind in mine:
        own = schema_name(kind)
        schemas[own] = {**_root(kind), "x-kubernetes-group-version-kind": [_gvk(kind)]}
        schemas[f"{own}List"] = _list(kind, own)
        paths.update(openapi_paths.paths_of(kind, own))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def schema_name(kind: Kind) -> str:
    """Give the name of a kind's schema: ``com.example.v1.Widget``.

    Args:
        kind: the kind.
    """
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _gvk(kind: Kind, name: str = "") -> Document:
    return {"group": kind.group, "kind": name or kind.kind, "version": kind.version}


def _list(kind: Kind, own: str) -> Document:
    meta = {"allOf": [{"$ref": f"{_REFERENCE}io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"}]}
    return {
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": {"allOf": [{"$ref": _REFERENCE + own}]}},
            "kind": {"type": "string"},
            "metadata": meta,
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, kind.list_kind)],
    }


def _root(kind: Kind) -> Document:
    assert kind.rules is not None
    found = published(kind.rules.schema) if isinstance(kind.rules, CustomRules) else _of_type(kind.rules.type, 0)
    if found.get("type") == "object" and not found.get(PRESERVE):
        properties = found.setdefault("properties", {})
        properties.setdefault("apiVersion", {"type": "string"})
        properties.setdefault("kind", {"type": "string"})
        properties["metadata"] = {"allOf": [{"$ref": f"{_REFERENCE}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]}
    return found


def published(found: Document) -> Document:
    """Give a schema as it is published: what clients of OpenAPI would misread is left open.

    Args:
        found: the structural schema; it is left as it was.
    """
    shown = {key: value for key, value in found.items() if key != "x-kubernetes-validations"}
    if found.get(PRESERVE):
        shown.pop("properties", None)
    elif "properties" in found:
        shown["properties"] = {name: published(inner) for name, inner in found["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(found.get(name), dict):
            shown[name] = published(found[name])
    if found.get(INT_OR_STRING):
        shown.pop("type", None)
        shown["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if found.get(EMBEDDED) and "properties" in shown:
        shown["properties"] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **shown["properties"]}
    return shown


def _of_type(type_: Type, depth: int) -> Document:
    """Describe a typed struct; the schema inside a definition would go on without end, so it is cut off."""
    if depth and type_.name.endswith("JSONSchemaProps"):
        return {"type": "object", PRESERVE: True}
    if type_.name == "meta.ObjectMeta":
        return {"allOf": [{"$ref": f"{_REFERENCE}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]}
    return {"type": "object", "properties": {name: _of_field(each, depth) for name, each in type_.fields.items()}}


def _of_field(field: Field, depth: int) -> Document:
    item: Document = {PRESERVE: True}
    if field.struct is not None:
        item = _of_type(field.struct, depth + 1)
    elif field.base in _BASES:
        item = {"type": _BASES[field.base]}
    elif field.base == "time":
        item = {"type": "string", "format": "date-time"}
    if field.container == MAP:
        return {"type": "object", "additionalProperties": item}
    if field.container == LIST:
        found = {"type": "array", "items": item, "x-kubernetes-list-type": field.list_type or "atomic"}
        return {**found, "x-kubernetes-list-map-keys": list(field.keys)} if field.keys else found
    return item
