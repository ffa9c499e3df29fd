"""Addresses that are no resources: discovery, OpenAPI, version and health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from . import discovery, respond, status
from .crd.definitions import Definitions
from .kinds import Kind
from .negotiate import negotiate

_HEALTH = ("/healthz", "/livez", "/readyz")
_CHECKS = ("ping", "log", "storage")


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
            found = _health(request, path)
        elif path == "/version":
            found = respond.document(self._version)
        elif path == "/openapi" or path.startswith("/openapi/"):
            found = self._describe(path)
        else:
            found = _discover(request, path, self._definitions.kinds())
        if found is None:
            return respond.text("404 page not found\n", 404)
        if request.method not in {"GET", "HEAD"}:
            raise status.method_not_allowed()
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
    if path in {"/api", "/apis"}:
        core = path == "/api"
        if discovery.wants_aggregated(accept):
            return respond.document(discovery.aggregated(more, core=core), media_type=discovery.AGGREGATED)
        found = discovery.api_versions(request.host) if core else discovery.api_groups(more)
        return respond.document(found, media_type=negotiate(accept).media_type)
    match path.split("/")[1:]:
        case ["api", version]:
            legacy = discovery.api_resources("", version)
        case ["apis", group]:
            legacy = discovery.api_group(group, more)
        case ["apis", group, version]:
            legacy = discovery.api_resources(group, version, more)
        case [""]:
            return respond.document(
                {"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}
            )
        case _:
            legacy = None
    return None if legacy is None else respond.document(legacy, media_type=negotiate(accept).media_type)


def _health(request: web.Request, path: str) -> web.Response | None:
    name, _, check = path[1:].partition("/")
    if "/" + name not in _HEALTH:
        return None
    if check:
        return respond.text("ok") if check in _CHECKS else None
    if "verbose" not in request.query:
        return respond.text("ok")
    lines = [f"[+]{each} ok" for each in _CHECKS]
    return respond.text("\n".join([*lines, f"{name} check passed", ""]))
