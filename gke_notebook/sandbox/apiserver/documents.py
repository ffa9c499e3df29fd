"""Addresses that are no resources: discovery, OpenAPI, version and health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from . import discovery, respond, status
from .crd.definitions import Definitions
from .kinds import KINDS, Kind
from .negotiate import negotiate

_HEALTH = ("/healthz", "/livez", "/readyz")
# The storage goes by the name that clients ask for.
_CHECKS = ("ping", "log", "etcd")


class Documents:
    """Answers them; what does not change is made once.

    Args:
        version: the document of `/version`.
        definitions: the kinds that custom resource definitions have brought.
    """

    def __init__(self, version: dict[str, Any], definitions: Definitions) -> None:
        self._version = version
        self._definitions = definitions
        self._openapi: dict[str, bytes] = {}

    def answer(self, request: web.Request, raw_path: str) -> web.Response:
        """Answer a request.

        Args:
            request: the request.
            raw_path: its path.

        Raises:
            StatusError: 405 or 406.
        """
        path = raw_path.rstrip("/") or "/"
        if path.startswith(_HEALTH):
            found = _health(request, raw_path)
        elif path == "/version":
            _check_method(request)
            found = respond.document(self._version)
        elif path == "/openapi" or path.startswith("/openapi/"):
            found = self._describe(path)
        else:
            found = _discover(request, path, self._definitions.kinds())
        if found is None and path.startswith("/openapi/v3/"):
            return web.Response(status=404)
        if found is None:
            return respond.text("404 page not found\n", 404)
        return found

    def _describe(self, path: str) -> web.Response | None:
        name = path.removeprefix("/openapi/v3").strip("/")
        if not path.startswith("/openapi/v3"):
            return None  # clients of today use v3, and take the absence of v2 as such
        from . import openapi  # asked for by few clients, so not part of every start
        from .crd import openapi as custom

        kinds = self._definitions.kinds()
        if not name:
            return respond.document({"paths": {**openapi.index()["paths"], **custom.index(kinds)}})
        described = custom.document(name, kinds)
        if described is not None:
            return respond.document(described)
        if path not in self._openapi:
            found = openapi.document(name)
            if found is None:
                return None
            self._openapi[path] = msgspec.json.encode(found)
        return respond.answer(self._openapi[path])


def _discover(request: web.Request, path: str, more: Sequence[Kind]) -> web.Response | None:
    accept = request.headers.get("Accept", "")
    if path in {"/api", "/apis"} and discovery.wants_aggregated(accept):
        if path == "/api":
            _check_method(request)
        found = discovery.aggregated(more, core=path == "/api")
        return respond.document(found, media_type=discovery.AGGREGATED)
    any_method = False  # the real server asks for no method where its aggregator answers
    legacy: dict[str, Any] | None
    match path.split("/")[1:]:
        case ["api"]:
            legacy = discovery.api_versions(request.host)
        case ["api", version]:
            legacy = discovery.api_resources("", version)
        case ["apis"]:
            legacy, any_method = discovery.api_groups(more), True
        case ["apis", group]:
            legacy, any_method = discovery.api_group(group, more), True
        case ["apis", group, version]:
            legacy = discovery.api_resources(group, version, more)
            if legacy is None and discovery.api_group(group, more) is not None:
                raise status.no_such_resource()
        case [""]:
            return respond.document({"paths": _paths(more)})
        case _:
            legacy = None
    if legacy is None:
        if path.startswith(("/api/", "/version/")):
            raise status.no_such_resource()
        return None
    if not any_method:
        _check_method(request)
    return respond.document(legacy, media_type=negotiate(accept, shapes=False, routed=not any_method).media_type)


def _paths(more: Sequence[Kind]) -> list[str]:
    versions = {f"/apis/{kind.api_version}" for kind in (*KINDS, *more) if kind.group}
    groups = {path.rpartition("/")[0] for path in versions}
    health = {f"{root}/{check}" for root in _HEALTH for check in _checks(root[1:])}
    fixed = {"/api", "/api/v1", "/apis", "/apis/", "/openapi/v3", "/openapi/v3/", "/version", *_HEALTH}
    return sorted(versions | groups | health | fixed)


def _check_method(request: web.Request) -> None:
    if request.method != "GET":
        raise status.method_not_allowed()


def _health(request: web.Request, path: str) -> web.Response | None:
    name, below, check = path[1:].partition("/")
    if "/" + name not in _HEALTH:
        return None
    if below:
        return respond.text("ok") if check in _checks(name) else None
    if "verbose" not in request.query:
        return respond.text("ok")
    excluded = set(request.query.getall("exclude", []))
    lines = [f"[+]{each} excluded: ok" if each in excluded else f"[+]{each} ok" for each in _checks(name)]
    unknown = sorted(excluded - set(_checks(name)))
    if unknown:
        named = ",".join(f'"{each}"' for each in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {named}")
    return respond.text("\n".join([*lines, f"{name} check passed", ""]))


def _checks(name: str) -> tuple[str, ...]:
    return (*_CHECKS, "shutdown") if name == "readyz" else _CHECKS
