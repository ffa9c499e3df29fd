"""Reviews: who am I, what may I do, what may somebody else do.

Source: kubernetes v1.34, pkg/registry/{authentication,authorization} and pkg/apis/authorization/validation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gke_notebook.sandbox.apiserver import metadata, status
from gke_notebook.sandbox.apiserver.apply import track
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.status import FieldError, invalid_value

from .resolver import Authorizer
from .rules import Attributes, Rule
from .users import User

Object = dict[str, Any]


def review(
    authorizer: Authorizer, kind: Kind, obj: Object, user: User, *, manager: str = "unknown", namespace: str = ""
) -> Object:
    """Answer a review.

    Args:
        authorizer: knows the roles.
        kind: one of the kinds of reviews.
        obj: the decoded body.
        user: who asks.
        manager: who writes, for `managedFields`: a server writes them on reviews, too.
        namespace: the namespace of the request.

    Returns:
        The body with its status.

    Raises:
        StatusError: 422 when the body asks nothing, or too much.
    """
    meta = obj.setdefault("metadata", {})
    track(kind, None, obj, manager=manager, operation="Update", subresource="", now=metadata.timestamp())
    spec = obj.get("spec") or {}
    if kind.kind == "SelfSubjectReview":
        now = metadata.timestamp()
        return {**obj, "metadata": {"creationTimestamp": now}, "status": {"userInfo": user.info}}
    if kind.kind == "SelfSubjectRulesReview":
        obj["status"] = _rules(authorizer, spec, user)
    else:
        if kind.kind != "SelfSubjectAccessReview":
            user = User(
                str(spec.get("user", "")), tuple(spec.get("groups") or ()), str(spec.get("uid", "")), exact=True
            )
        given = {key: meta[key] for key in meta if key not in {"creationTimestamp", "managedFields"}}
        errors = _wrong(kind, spec, given, namespace)
        if errors:
            raise status.invalid(replace(kind, kind="", plural=""), "", errors)  # the server names no kind here
        obj["status"] = _access(authorizer, spec, user)
    return obj


def _wrong(kind: Kind, spec: Object, meta: Object, namespace: str) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    errors: list[FieldError] = []
    # The server shows its own names of the fields here.
    shown = {"Path": path.get("path", ""), "Verb": path.get("verb", "")} if path is not None else None
    if resource is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        errors.append(invalid_value("spec.nonResourceAttributes", shown, text))
    if resource is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(invalid_value("spec.resourceAttributes", None, text))
    if kind.kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        errors.append(invalid_value("spec.user", "", "at least one of user or group must be specified"))
    if kind.namespaced:
        if resource is not None and (resource.get("namespace") or "") != namespace:
            field = "spec.resourceAttributes.namespace"
            errors.append(invalid_value(field, resource.get("namespace", ""), "must match metadata.namespace"))
        if path is not None:
            errors.append(invalid_value("spec.nonResourceAttributes", shown, "disallowed on this kind of request"))
    elif meta:
        errors.append(invalid_value("metadata", meta, "must be empty"))
    return errors


def _access(authorizer: Authorizer, spec: Object, user: User) -> Object:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        asked = Attributes(str(path.get("verb", "")), path=str(path.get("path", "")))
    else:
        resource = spec["resourceAttributes"]
        names = ("verb", "group", "resource", "subresource", "namespace", "name")
        asked = Attributes(*(str(resource.get(name, "")) for name in names))
    may, why = authorizer.decide(user, asked)
    return {"allowed": may, **({"reason": why} if why else {})}


def _rules(authorizer: Authorizer, spec: Object, user: User) -> Object:
    namespace = spec.get("namespace")
    if not namespace:
        raise status.bad_request("no namespace on request")
    found = authorizer.rules(user, str(namespace))
    return {
        "resourceRules": [
            _part(rule, "apiGroups", "resources", "resourceNames") for rule in found if rule.get("resources")
        ],
        "nonResourceRules": [_part(rule, "nonResourceURLs") for rule in found if rule.get("nonResourceURLs")],
        "incomplete": False,
    }


def _part(rule: Rule, *keys: str) -> Rule:
    return {"verbs": rule["verbs"], **{key: rule[key] for key in keys if rule.get(key)}}
