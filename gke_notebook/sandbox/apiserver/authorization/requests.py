"""From a request to what it wants, before anybody looks whether there is such a resource; pure.

Source: apiserver v0.34, pkg/endpoints/request/requestinfo.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote

from gke_notebook.sandbox.apiserver.selectors import field_terms
from gke_notebook.sandbox.apiserver.status import StatusError

from .rules import Attributes

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_IN_PATHS = ("watch", "proxy")
_OF_NAMESPACES = ("status", "finalize")


def wanted(method: str, raw_path: str, query: Mapping[str, str]) -> Attributes:
    """Say what a request wants to do.

    Args:
        method: the HTTP method.
        raw_path: the path as sent, still percent-encoded.
        query: the parameters.

    Example:
        >>> wanted("GET", "/apis/batch/v1/namespaces/a/jobs/x/status", {}).full_resource
        'jobs/status'
        >>> wanted("GET", "/nothing", {})
        Attributes(verb='get', group='', resource='', subresource='', namespace='', name='', path='/nothing')
    """
    # Split before decoding, as the paths are that choose what is answered: both must see the same parts.
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    core = parts[0] == "api"
    if parts[0] not in {"api", "apis"} or len(parts) < (3 if core else 4):
        return Attributes(method.lower(), path=unquote(raw_path) or "/")
    group, rest = ("", parts[2:]) if core else (parts[1], parts[3:])
    verb = _VERBS.get(method, "")
    if rest[0] in _IN_PATHS and len(rest) > 1:
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            rest = rest[2:]
    subresource = rest[2] if len(rest) > 2 and verb != "proxy" else ""
    found = Attributes(verb, group, rest[0], subresource, namespace, rest[1] if len(rest) > 1 else "")
    if found.name or verb not in {"get", "delete"}:
        return found
    if verb == "delete":
        return replace(found, verb="deletecollection")
    return replace(found, verb="watch" if is_set(query, "watch") else "list", name=_one_name(query))


def is_set(query: Mapping[str, str], name: str) -> bool:
    """Read a boolean parameter as the server does: one that is there is true, unless it says ``0`` or ``false``.

    Args:
        query: the parameters.
        name: which one.

    Source: apimachinery v0.34, pkg/runtime/conversion.go.
    """
    return name in query and query[name] != "0" and query[name].lower() != "false"


def _one_name(query: Mapping[str, str]) -> str:
    """Give the name to which a field selector confines a list: who may read one object may list it."""
    try:
        terms = field_terms(query.get("fieldSelector", ""))
    except StatusError:
        return ""
    names = sorted(value for path, operator, value in terms if path == "metadata.name" and operator == "=")
    return names[0] if names and names[0] not in {".", ".."} and not set("/%") & set(names[0]) else ""
