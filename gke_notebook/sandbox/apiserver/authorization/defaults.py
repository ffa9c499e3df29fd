"""The roles and bindings that every cluster has, as far as they are about what is served.

Source: kubernetes v1.34, plugin/pkg/auth/authorizer/rbac/bootstrappolicy, and the Kubernetes documentation, "Using RBAC
Authorization" (default roles and role bindings).
"""

from __future__ import annotations

from typing import Any

from .resolver import GROUP
from .users import AUTHENTICATED, MASTERS, UNAUTHENTICATED

Object = dict[str, Any]

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def _on(group: str, verbs: tuple[str, ...], *resources: str) -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _get(*urls: str) -> Object:
    return {"nonResourceURLs": list(urls), "verbs": ["get"]}


_VIEW = (
    _on("", _READ, "configmaps", "endpoints", "pods", "serviceaccounts", "services", "services/status"),
    _on("", _READ, "bindings", "events", "limitranges", "namespaces/status", "pods/log", "pods/status",
        "resourcequotas", "resourcequotas/status"),
    _on("", _READ, "namespaces"),
    _on("batch", _READ, "jobs", "jobs/status"),
)  # fmt: skip
_EDIT = (
    _on("", _READ, "secrets"),
    _on("", ("impersonate",), "serviceaccounts"),
    _on("", _WRITE, "pods"),
    _on("", ("create",), "pods/eviction"),
    _on("", _WRITE, "configmaps", "events", "secrets", "serviceaccounts", "services"),
    _on("", ("create",), "serviceaccounts/token"),
    _on("batch", _WRITE, "jobs"),
    _on("coordination.k8s.io", (*_READ, *_WRITE), "leases"),
)
_ADMIN = (
    _on("authorization.k8s.io", ("create",), "localsubjectaccessreviews"),
    _on(GROUP, (*_READ, *_WRITE), "roles", "rolebindings"),
)
_HEALTH = ("/healthz", "/livez", "/readyz")
ROLES: dict[str, tuple[Object, ...]] = {
    "cluster-admin": (_on("*", ("*",), "*"), {"nonResourceURLs": ["*"], "verbs": ["*"]}),
    "admin": (*_ADMIN, *_EDIT, *_VIEW),
    "edit": (*_EDIT, *_VIEW),
    "view": _VIEW,
    "system:basic-user": (
        _on("authorization.k8s.io", ("create",), "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        _on("authentication.k8s.io", ("create",), "selfsubjectreviews"),
    ),
    "system:discovery": (
        _get("/api", "/api/*", "/apis", "/apis/*", *_HEALTH, "/openapi", "/openapi/*", "/version", "/version/"),
    ),
    "system:public-info-viewer": (_get(*_HEALTH, "/version", "/version/"),),
    "system:auth-delegator": (
        _on("authorization.k8s.io", ("create",), "subjectaccessreviews"),
    ),
}  # fmt: skip
BINDINGS = {
    "cluster-admin": (MASTERS,),
    "system:basic-user": (AUTHENTICATED,),
    "system:discovery": (AUTHENTICATED,),
    "system:public-info-viewer": (AUTHENTICATED, UNAUTHENTICATED),
}


def roles() -> list[Object]:
    """Give the cluster roles."""
    return [{"metadata": _metadata(name), "rules": list(rules)} for name, rules in ROLES.items()]


def bindings() -> list[Object]:
    """Give the cluster role bindings."""
    return [
        {
            "metadata": _metadata(name),
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group} for group in groups],
        }
        for name, groups in BINDINGS.items()
    ]


def _metadata(name: str) -> Object:
    return {"name": name, "labels": dict(_LABELS), "annotations": dict(_ANNOTATIONS)}
