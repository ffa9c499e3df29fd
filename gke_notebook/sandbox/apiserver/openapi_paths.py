"""The operations on a kind, as the OpenAPI v3 documents of Kubernetes describe them.

Source: k8s.io/apiserver v0.34, pkg/endpoints/installer.go and pkg/endpoints/openapi.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import strategy
from .kinds import Kind, Subresource
from .patches import ACCEPTED

Document = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_STRING, _BOOLEAN, _INTEGER = "string", "boolean", "integer"
_WRITE = {"dryRun": _STRING, "fieldManager": _STRING, "fieldValidation": _STRING}
_SELECT = {
    "continue": _STRING, "fieldSelector": _STRING, "labelSelector": _STRING, "limit": _INTEGER,
    "resourceVersion": _STRING, "resourceVersionMatch": _STRING, "sendInitialEvents": _BOOLEAN,
    "timeoutSeconds": _INTEGER,
}  # fmt: skip
_LIST = {"allowWatchBookmarks": _BOOLEAN, **_SELECT, "watch": _BOOLEAN}
_DELETE = {
    "dryRun": _STRING, "gracePeriodSeconds": _INTEGER, "orphanDependents": _BOOLEAN, "propagationPolicy": _STRING,
}  # fmt: skip
_LOG = {
    "container": _STRING, "follow": _BOOLEAN, "insecureSkipTLSVerifyBackend": _BOOLEAN, "limitBytes": _INTEGER,
    "previous": _BOOLEAN, "sinceSeconds": _INTEGER, "stream": _STRING, "tailLines": _INTEGER, "timestamps": _BOOLEAN,
}  # fmt: skip
_MEDIA = ("application/json", "application/yaml")
_STREAM = ("application/json", "application/json;stream=watch", "application/yaml")


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameters(types: Mapping[str, str]) -> list[Document]:
    return [
        {"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": True}}
        for name, type_ in sorted(types.items())
    ]


def _sorted(parameters: list[Document]) -> list[Document]:
    return sorted(parameters, key=lambda each: str(each["name"]))


def _in_path(*names: str) -> list[Document]:
    schema = {"type": "string", "uniqueItems": True}
    return [{"name": name, "in": "path", "required": True, "schema": dict(schema)} for name in names]


def _camel(group: str) -> str:
    first, *rest = re.split(r"[.-]", group.removesuffix(".k8s.io")) if group else ["core"]
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def tag(kind: Kind) -> str:
    """Give the tag of a group and version: ``batch_v1``.

    Args:
        kind: a kind of it.
    """
    return f"{_camel(kind.group)}_{kind.version}"


class _Paths:
    """The operations on one kind; `name` is that of its schema."""

    def __init__(self, kind: Kind, name: str) -> None:
        self._kind, self._name = kind, name
        group = _camel(kind.group)
        self._group = group[:1].upper() + group[1:] + kind.version[:1].upper() + kind.version[1:]
        self._scope = "Namespaced" if kind.namespaced else ""
        self.root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        self.below = f"namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else kind.plural
        self.place = _in_path("namespace") if kind.namespaced else []

    def operation(
        self,
        action: str,
        verb: str,
        *,
        suffix: str = "",
        answer: Document | None = None,
        codes: tuple[str, ...] = ("200",),
        media: tuple[str, ...] = _MEDIA,
        parameters: Mapping[str, str] | None = None,
        body: Document | None = None,
        about: Mapping[str, str] | None = None,
        place: str | None = None,
    ) -> Document:
        """Give one operation."""
        kind = self._kind
        shown = _reference(self._name) if answer is None else answer
        scope = self._scope if place is None else place
        responses: Document = {
            code: {"description": _TEXTS[code], "content": {each: {"schema": shown} for each in media}}
            for code in codes
        }
        responses["401"] = {"description": "Unauthorized"}
        found: Document = {
            "tags": [tag(kind)],
            "operationId": f"{verb}{self._group}{scope}{kind.kind}{suffix}",
            "responses": responses,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": kind.group, "kind": kind.kind, "version": kind.version, **(about or {}),
            },
        }  # fmt: skip
        if parameters:
            found["parameters"] = _parameters(parameters)
        if body is not None:
            found["requestBody"] = body
        return found

    def collection(self) -> Document:
        """Give the operations on all objects."""
        kind, items = self._kind, _reference(f"{self._name}List")
        found: Document = {"parameters": [*self.place, *_parameters({"pretty": _STRING})]}
        if "list" in kind.verbs:
            found["get"] = self.operation("list", "list", answer=items, media=_STREAM, parameters=_LIST)
        if "create" in kind.verbs:
            own = {"content": {"*/*": {"schema": _reference(self._name)}}, "required": True}
            created = self.operation("post", "create", codes=("200", "201", "202"), parameters=_WRITE, body=own)
            if kind.stored:
                found["post"] = created
            else:  # what is the same for all operations of a path stands above them
                shared = created.pop("parameters")
                found["parameters"] = _sorted([*shared, *found["parameters"]])
                found["post"] = created
        if "deletecollection" in kind.verbs:
            found["delete"] = self.operation(
                "deletecollection", "delete", answer=_reference(f"{META}.Status"), parameters={**_SELECT, **_DELETE},
                body=_GONE,
            )  # fmt: skip
            found["delete"]["operationId"] = f"delete{self._group}Collection{self._scope}{kind.kind}"
        return found

    def everywhere(self) -> Document:
        """Give the list of all namespaces."""
        items = _reference(f"{self._name}List")
        listed = self.operation("list", "list", suffix="ForAllNamespaces", answer=items, media=_STREAM, place="")
        return {"parameters": _parameters({**_LIST, "pretty": _STRING}), "get": listed}

    def item(self, suffix: str = "", verbs: tuple[str, ...] | None = None) -> Document:
        """Give the operations on one object, or on its status."""
        wanted = self._kind.verbs if verbs is None else verbs
        own = {"content": {"*/*": {"schema": _reference(self._name)}}, "required": True}
        patch = {"content": {media: {"schema": _reference(f"{META}.Patch")} for media in self._patches()}}
        returned = self._kind.kind in strategy.RETURN_DELETED - {"Namespace"}  # it is documented otherwise
        gone = _reference(self._name if returned else f"{META}.Status")
        found: Document = {"parameters": [*_in_path("name"), *self.place, *_parameters({"pretty": _STRING})]}
        if "get" in wanted:
            found["get"] = self.operation("get", "read", suffix=suffix)
        if "update" in wanted:
            found["put"] = self.operation(
                "put", "replace", suffix=suffix, codes=("200", "201"), parameters=_WRITE, body=own
            )
        if "delete" in wanted:
            found["delete"] = self.operation(
                "delete", "delete", answer=gone, codes=("200", "202"), parameters=_DELETE, body=_GONE
            )
        if "patch" in wanted:
            found["patch"] = self.operation(
                "patch", "patch", suffix=suffix, codes=("200", "201"), parameters={**_WRITE, "force": _BOOLEAN},
                body={**patch, "required": True},
            )  # fmt: skip
        return found

    def _patches(self) -> list[str]:
        rules = self._kind.rules
        return [each for each in ACCEPTED if rules is None or rules.strategic or "strategic" not in each]

    def below_item(self, each: Subresource) -> Document:
        """Give the operations on a subresource other than the status."""
        suffix = each.name[:1].upper() + each.name[1:]
        place = [*_in_path("name"), *self.place]
        if each.name == "log":
            read = self.operation(
                "get", "read", suffix=suffix, answer={"type": "string"}, media=(*_MEDIA, "text/plain")
            )
            return {"parameters": _sorted([*place, *_parameters({**_LOG, "pretty": _STRING})]), "get": read}
        about, shown = {}, self._name
        if each.kind:
            about = {"kind": each.kind, "group": each.group, "version": each.version or self._kind.version}
            package = each.group.removesuffix(".k8s.io") or "core"
            shown = f"io.k8s.api.{package}.{each.version or self._kind.version}.{each.kind}"
        body = {"content": {"*/*": {"schema": _reference(shown)}}, "required": True}
        found: Document = {"parameters": _sorted([*place, *_parameters({**_WRITE, "pretty": _STRING})])}
        if "create" in each.verbs:
            found["post"] = self.operation(
                "post", "create", suffix=suffix, answer=_reference(shown), codes=("200", "201", "202"), body=body,
                about=about,
            )  # fmt: skip
        if "update" in each.verbs:
            found["put"] = self.operation("put", "replace", suffix=suffix, codes=("200", "201"), body=body)
        return found

    def watches(self) -> dict[str, Document]:
        """Give the paths that watch by themselves."""
        event, every = _reference(f"{META}.WatchEvent"), {**_LIST, "pretty": _STRING}
        listed: Document = {"answer": event, "media": _STREAM}
        found = {}
        if self._kind.namespaced:
            anywhere = self.operation("watchlist", "watch", suffix="ListForAllNamespaces", place="", **listed)
            found[f"{self.root}/watch/{self._kind.plural}"] = {"parameters": _parameters(every), "get": anywhere}
        found[f"{self.root}/watch/{self.below}"] = {
            "parameters": _sorted([*self.place, *_parameters(every)]),
            "get": self.operation("watchlist", "watch", suffix="List", **listed),
        }
        found[f"{self.root}/watch/{self.below}/{{name}}"] = {
            "parameters": _sorted([*_in_path("name"), *self.place, *_parameters(every)]),
            "get": self.operation("watch", "watch", **listed),
        }
        return found


_TEXTS = {"200": "OK", "201": "Created", "202": "Accepted"}
_GONE = {"content": {"*/*": {"schema": _reference(f"{META}.DeleteOptions")}}}


def paths_of(kind: Kind, name: str) -> dict[str, Document]:
    """Give the operations on a kind, as far as its verbs go.

    Args:
        kind: the kind.
        name: the name of its schema.
    """
    paths = _Paths(kind, name)
    base = f"{paths.root}/{paths.below}"
    found = {base: paths.collection()}
    if not kind.stored:
        return found
    found[f"{base}/{{name}}"] = paths.item()
    if kind.namespaced:
        found[f"{paths.root}/{kind.plural}"] = paths.everywhere()
    if kind.rules is None:  # the documents of custom kinds leave them out
        found |= paths.watches()
    for each in kind.subresources:
        shown = paths.item("Status", each.verbs) if each.name == "status" else paths.below_item(each)
        found[f"{base}/{{name}}/{each.name}"] = shown
    return found
