"""OpenAPI v3 documents made from the schema table: what kubectl needs to validate, to apply and to explain.

Descriptions are not part of the table; they are read from the source of the installed Kubernetes client.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from .discovery import GROUPS
from .kinds import BODY_KINDS, KINDS, Kind
from .model_docs import describe
from .openapi_paths import META, paths_of
from .schema import LIST, MAP, Field, Type, schema, type_of

Document = dict[str, Any]

_PACKAGES = {"meta": "io.k8s.apimachinery.pkg.apis.meta.v1"}
_BASES: dict[str, Document] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "[]string": {"type": "array", "items": {"type": "string", "default": ""}},
}
_SPECIAL = {
    "time": "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "microtime": "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "fieldsv1": "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "intorstring": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "raw": "io.k8s.apimachinery.pkg.runtime.RawExtension",
}
_SPECIAL_SCHEMAS: dict[str, Document] = {
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "fieldsv1": {"type": "object"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "intorstring": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    "raw": {"type": "object"},
}
_DELETE_OPTIONS = "meta.DeleteOptions"
_ZERO: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0}


def _schema_name(name: str) -> str:
    package, _, base = name.partition(".")
    return f"{_PACKAGES.get(package, f'io.k8s.api.{package}.v1')}.{base}"


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


@cache
def _fingerprint() -> str:
    found = hashlib.sha256()
    for name in ("schema.json", "kinds.py", "openapi.py", "openapi_paths.py"):  # all that the documents are made of
        found.update(Path(__file__).with_name(name).read_bytes())
    return found.hexdigest()[:32].upper()


def _group_paths() -> list[str]:
    return ["api/v1", *(f"apis/{group}/v1" for group in GROUPS)]


def index() -> Document:
    """Give the document of `/openapi/v3`: one relative address per group and version."""
    return {
        "paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_fingerprint()}"} for path in _group_paths()}
    }


def document(path: str) -> Document | None:
    """Give the document of `/openapi/v3/PATH`, None when there is none; the caller must not change it.

    The first call for a path takes some tens of milliseconds.

    Args:
        path: for example ``api/v1`` or ``apis/batch/v1``.
    """
    return _document(path) if path in _group_paths() else None


@cache
def _document(path: str) -> Document:
    group = "" if path == "api/v1" else path.split("/")[1]
    kinds = [kind for kind in KINDS if kind.group == group]
    schemas: dict[str, Document] = {}
    if any(kind.stored for kind in kinds):
        add_common(schemas)
    for kind in kinds:
        add_schema(type_of(kind), schemas)
        _mark(kind, schemas)
    paths: dict[str, Document] = {}
    for kind in kinds:
        paths.update(paths_of(kind, _schema_name(type_of(kind).name)))
        for each in kind.subresources:
            body = find_body(each.kind) if each.kind else None
            if body is not None:
                add_schema(type_of(body), schemas)
                _mark(body, schemas)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "1.34"},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization",
                    "in": "header",
                },
            },
        },
    }  # fmt: skip


def find_body(kind: str) -> Kind | None:
    """Give the kind of that name that is only ever sent to a subresource.

    Args:
        kind: for example ``Binding``.
    """
    return next((each for each in BODY_KINDS if each.kind == kind), None)


def add_common(schemas: dict[str, Document]) -> None:
    """Add the schemas that the operations on every kind refer to.

    Args:
        schemas: the schemas by name, changed in place.
    """
    for name in ("meta.Status", _DELETE_OPTIONS, "meta.ListMeta"):
        add_schema(schema().types[name], schemas)
    raw = _SPECIAL["raw"]
    schemas.setdefault(raw, dict(_SPECIAL_SCHEMAS["raw"]))
    schemas[f"{META}.Patch"] = {"type": "object"}
    schemas[f"{META}.WatchEvent"] = {
        "type": "object",
        "required": ["type", "object"],
        "properties": {"object": {"allOf": [_reference(raw)]}, "type": {"type": "string", "default": ""}},
        "x-kubernetes-group-version-kind": _in_every_group("WatchEvent"),
    }
    schemas[f"{META}.DeleteOptions"]["x-kubernetes-group-version-kind"] = _in_every_group("DeleteOptions")
    schemas[f"{META}.Status"]["properties"]["details"]["x-kubernetes-list-type"] = "atomic"
    schemas[f"{META}.Status"]["x-kubernetes-group-version-kind"] = [{"group": "", "kind": "Status", "version": "v1"}]


def _in_every_group(name: str) -> list[dict[str, str]]:
    groups = sorted({"", "apiextensions.k8s.io", *GROUPS})
    return [{"group": group, "kind": name, "version": "v1"} for group in groups]


def _mark(kind: Kind, schemas: dict[str, Document]) -> None:
    """Say which kind a schema is, and add the schema of its list."""
    name = _schema_name(type_of(kind).name)
    schemas[name]["x-kubernetes-group-version-kind"] = [_gvk(kind)]
    if not kind.stored:
        return
    schemas[f"{name}List"] = {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": {"allOf": [_reference(name)], "default": {}}},
            "kind": {"type": "string"},
            "metadata": {"allOf": [_reference(_schema_name("meta.ListMeta"))], "default": {}},
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, kind.list_kind)],
    }


def _gvk(kind: Kind, name: str = "") -> dict[str, str]:
    return {"group": kind.group, "kind": name or kind.kind, "version": kind.version}


def add_schema(type_: Type, schemas: dict[str, Document]) -> None:
    """Add the schema of a type and of all it reaches.

    Args:
        type_: the type.
        schemas: the schemas by name, changed in place.
    """
    name = _schema_name(type_.name)
    if name in schemas:
        return
    texts = describe(type_.name)
    found: Document = {"type": "object"}
    schemas[name] = found
    if texts.get(""):
        found["description"] = texts[""]
    properties: dict[str, Document] = {}
    for field_name, field in sorted(type_.fields.items()):
        properties[field_name] = _property(field, schemas)
        if texts.get(field_name):
            properties[field_name]["description"] = texts[field_name]
    required = [field_name for field_name, field in type_.fields.items() if field.required]
    if required:
        found["required"] = required
    if properties:
        found["properties"] = properties
    if type_.atomic:
        found["x-kubernetes-map-type"] = "atomic"


def _item(field: Field, schemas: dict[str, Document]) -> Document:
    if field.struct is not None:
        add_schema(field.struct, schemas)
        return {"allOf": [_reference(_schema_name(field.type))], "default": {}}
    if field.base in _SPECIAL:
        name = _SPECIAL[field.base]
        schemas.setdefault(name, dict(_SPECIAL_SCHEMAS[field.base]))
        return {"allOf": [_reference(name)]}
    found = dict(_BASES[field.base])
    if field.base in _ZERO and (field.container or not (field.pointer or field.omitempty)):
        found["default"] = _ZERO[field.base]
    scalar = schema().scalars.get(field.type)
    if scalar is not None and scalar.enum:
        found["enum"] = list(scalar.enum)
    return found


def _property(field: Field, schemas: dict[str, Document]) -> Document:
    item = _item(field, schemas)
    if field.container == MAP:
        if field.base in _SPECIAL:
            [item] = item["allOf"]
        found: Document = {"type": "object", "additionalProperties": item}
        if field.atomic:
            found["x-kubernetes-map-type"] = "atomic"
        return found
    if field.container == LIST:
        found = {"type": "array", "items": item, "x-kubernetes-list-type": field.list_type or "atomic"}
        if field.keys:
            found["x-kubernetes-list-map-keys"] = list(field.keys)
        if field.merge_key:
            found["x-kubernetes-patch-merge-key"] = field.merge_key
        if field.strategy:
            found["x-kubernetes-patch-strategy"] = field.strategy
        return found
    if field.pointer and item.get("default") == {}:
        del item["default"]
    if field.default is not None:
        item["default"] = field.default
    return item
