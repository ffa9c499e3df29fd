"""OpenAPI v3 documents made from the schema table: what kubectl needs to validate, to apply and to explain.

Descriptions are not part of the table; they are read from the source of the installed Kubernetes client.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from .discovery import GROUPS
from .kinds import KINDS, Kind
from .model_docs import describe
from .patches import ACCEPTED
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
_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")
_LIST_PARAMETERS = (
    "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch",
    "sendInitialEvents", "timeoutSeconds", "watch", "allowWatchBookmarks",
)  # fmt: skip
_JSON = "application/json"


def _schema_name(name: str) -> str:
    package, _, base = name.partition(".")
    return f"{_PACKAGES.get(package, f'io.k8s.api.{package}.v1')}.{base}"


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


@cache
def _fingerprint() -> str:
    return hashlib.sha256(Path(__file__).with_name("schema.json").read_bytes()).hexdigest()[:32].upper()


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
    for name in ("meta.Status", _DELETE_OPTIONS, "meta.ListMeta"):
        add_schema(schema().types[name], schemas)
    for kind in kinds:
        add_schema(type_of(kind), schemas)
        _mark(kind, schemas)
    paths: dict[str, Document] = {}
    for kind in kinds:
        paths.update(paths_of(kind, _schema_name(type_of(kind).name)))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.34.4"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


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
    required = sorted(field_name for field_name, field in type_.fields.items() if field.required)
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
    scalar = schema().scalars.get(field.type)
    if scalar is not None and scalar.enum:
        found["enum"] = list(scalar.enum)
    return found


def _property(field: Field, schemas: dict[str, Document]) -> Document:
    item = _item(field, schemas)
    if field.container == MAP:
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


def _parameters(*names: str) -> list[Document]:
    return [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names]


def _operation(
    kind: Kind, action: str, name: str, *, parameters: tuple[str, ...] = (), body: Document | None = None
) -> Document:
    if action == "list":
        name += "List"
    elif action.startswith("delete"):
        name = _schema_name("meta.Status")
    found: Document = {
        "tags": [kind.api_version],
        "responses": {"200": {"description": "OK", "content": {_JSON: {"schema": _reference(name)}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
    }
    if parameters:
        found["parameters"] = _parameters(*parameters)
    if body is not None:
        found["requestBody"] = {"content": body}
    return found


def _body(name: str) -> Document:
    return {"*/*": {"schema": _reference(name)}}


def paths_of(kind: Kind, name: str) -> dict[str, Document]:
    """Give the operations on a kind, as far as its verbs go.

    Args:
        kind: the kind.
        name: the name of its schema.
    """
    root = f"/api/{kind.version}" if not kind.group else f"/apis/{kind.api_version}"
    base = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    own, gone = _body(name), _body(_schema_name(_DELETE_OPTIONS))
    patch = {media: {"schema": {"type": "object"}} for media in ACCEPTED}
    place = [{"name": "namespace", "in": "path", "required": True, "schema": {"type": "string"}}]
    named = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
    pretty = _parameters("pretty")
    outer = [*(place if kind.namespaced else ()), *pretty]
    inner = [*named, *outer]
    collection: Document = {"parameters": outer}
    item: Document = {"parameters": inner}
    operations = {
        "list": (collection, "get", _operation(kind, "list", name, parameters=_LIST_PARAMETERS)),
        "create": (collection, "post", _operation(kind, "post", name, parameters=_WRITE_PARAMETERS, body=own)),
        "deletecollection": (
            collection,
            "delete",
            _operation(kind, "deletecollection", name, parameters=_LIST_PARAMETERS, body=gone),
        ),
        "get": (item, "get", _operation(kind, "get", name)),
        "update": (item, "put", _operation(kind, "put", name, parameters=_WRITE_PARAMETERS, body=own)),
        "patch": (item, "patch", _operation(kind, "patch", name, parameters=(*_WRITE_PARAMETERS, "force"), body=patch)),
        "delete": (
            item,
            "delete",
            _operation(
                kind,
                "delete",
                name,
                parameters=("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"),
                body=gone,
            ),
        ),
    }
    for verb, (where, method, operation) in operations.items():
        if verb in kind.verbs:
            where[method] = operation
    found = {base: collection}
    if kind.stored:
        found[f"{base}/{{name}}"] = item
        if kind.namespaced:
            everywhere = _operation(kind, "list", name, parameters=_LIST_PARAMETERS)
            found[f"{root}/{kind.plural}"] = {"parameters": pretty, "get": everywhere}
        if kind.subresource("status") is not None:
            verbs = {"get": item["get"], "patch": item["patch"], "put": item["put"]}
            found[f"{base}/{{name}}/status"] = {"parameters": inner, **verbs}
    return found
