"""Who a request comes from, and what they may do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import status
from .kinds import Kind
from .paths import Target
from .status import StatusError

Object = dict[str, Any]

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"

# What a cluster answers to everyone (the ClusterRole system:public-info-viewer) ...
PUBLIC_PATHS = frozenset({"/version", "/healthz", "/livez", "/readyz"})
# ... and to every user it knows (system:discovery and system:basic-user).
DISCOVERY_PATHS = ("/api", "/apis", "/openapi", *sorted(PUBLIC_PATHS))
_BASIC_USER, _GROUP = '"system:basic-user"', f'"{AUTHENTICATED}"'
_BASIC = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")


@dataclass(frozen=True)
class User:
    """Who a token belongs to.

    Args:
        name: the user's name.
        groups: the user's groups; `system:masters` may do everything.
    """

    name: str
    groups: tuple[str, ...] = (AUTHENTICATED,)

    @property
    def all_groups(self) -> tuple[str, ...]:
        """The groups, with the one of everybody who is known."""
        return self.groups if AUTHENTICATED in self.groups else (*self.groups, AUTHENTICATED)


class Authenticator:
    """Bearer tokens to users.

    Args:
        tokens: who each token belongs to.
    """

    def __init__(self, tokens: Mapping[str, User]) -> None:
        # Digests all have one length, so comparing them says nothing about a token's.
        self._users = [(hashlib.sha256(token.encode()).digest(), user) for token, user in tokens.items() if token]

    def user(self, authorization: str) -> User | None:
        """Find the user of an `Authorization` header, in a time that does not depend on the token.

        Args:
            authorization: the header.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
        found = None
        for known, user in self._users:
            if hmac.compare_digest(known, digest):
                found = user
        return found


def allowed(user: User, verb: str, group: str, resource: str) -> tuple[bool, str]:
    """Decide whether a user may do something.

    Args:
        user: who asks.
        verb: for example ``create``.
        group: the API group.
        resource: the plural, for example ``pods``.

    Returns:
        Whether, and why.
    """
    if MASTERS in user.groups:
        return True, ""
    if verb == "create" and resource in _BASIC and group in {"authorization.k8s.io", "authentication.k8s.io"}:
        return True, f"RBAC: allowed by ClusterRoleBinding {_BASIC_USER} of ClusterRole {_BASIC_USER} to Group {_GROUP}"
    return False, ""


def allowed_path(user: User, verb: str, path: str) -> bool:
    """Decide whether a user may read an address that is no resource.

    Args:
        user: who asks.
        verb: the method in lower case.
        path: the path.
    """
    if MASTERS in user.groups:
        return True
    return verb == "get" and any(path == each or path.startswith(each + "/") for each in DISCOVERY_PATHS)


def check(user: User, verb: str, target: Target) -> None:
    """Refuse what a user may not do.

    Args:
        user: who asks.
        verb: the API verb, for example ``deletecollection``.
        target: what it is about.

    Raises:
        StatusError: 403.
    """
    kind = target.kind
    resource = f"{kind.plural}/{target.subresource}" if target.subresource else kind.plural
    if allowed(user, verb, kind.group, resource)[0]:
        return
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    why = (
        f"User {status.quote(user.name)} cannot {verb} resource {status.quote(resource)} "
        f"in API group {status.quote(kind.group)} {where}"
    )
    raise status.forbidden(kind, target.name, why)


def check_path(user: User, verb: str, path: str) -> None:
    """Refuse an address a user may not read.

    Args:
        user: who asks.
        verb: the method in lower case.
        path: the path.

    Raises:
        StatusError: 403.
    """
    if not allowed_path(user, verb, path):
        text = f"forbidden: User {status.quote(user.name)} cannot {verb} path {status.quote(path)}"
        raise StatusError(403, "Forbidden", text, {})


def review(kind: Kind, obj: Object, user: User) -> Object:
    """Answer a review of oneself.

    Args:
        kind: one of the three self-subject reviews.
        obj: the decoded body.
        user: who asks.

    Returns:
        The body with its status.

    Raises:
        StatusError: 422 when the body asks nothing.
    """
    obj.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    if kind.kind == "SelfSubjectReview":
        obj["status"] = {"userInfo": {"username": user.name, "groups": list(user.all_groups)}}
    elif kind.kind == "SelfSubjectRulesReview":
        obj["status"] = _rules(obj, user)
    else:
        obj["status"] = _access(kind, obj, user)
    return obj


def _access(kind: Kind, obj: Object, user: User) -> Object:
    spec = obj.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        if resource is None:
            text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            error = status.invalid_value("spec.resourceAttributes", None, text)
        else:
            text = "cannot be specified in combination with resourceAttributes"
            error = status.invalid_value("spec.nonResourceAttributes", path, text)
        raise status.invalid(kind, "", [error])
    if path is not None:
        return {"allowed": allowed_path(user, str(path.get("verb", "")), str(path.get("path", "")))}
    assert resource is not None
    name = str(resource.get("resource", ""))
    if resource.get("subresource"):
        name += f"/{resource['subresource']}"
    may, why = allowed(user, str(resource.get("verb", "")), str(resource.get("group", "")), name)
    return {"allowed": may, **({"reason": why} if why else {})}


def _rules(obj: Object, user: User) -> Object:
    if not (obj.get("spec") or {}).get("namespace"):
        raise status.bad_request("no namespace on request")
    if MASTERS in user.groups:
        resources = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        paths = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    else:
        resources = [
            {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": list(_BASIC[:2])},
            {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": [_BASIC[2]]},
        ]
        urls = sorted({each + suffix for each in DISCOVERY_PATHS for suffix in ("", "/*")})
        paths = [{"verbs": ["get"], "nonResourceURLs": urls}]
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
