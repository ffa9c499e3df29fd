"""Checks and defaults of roles and bindings.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/rbac/validation`, `pkg/apis/rbac/v1/defaults.go`).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import FieldError, invalid_value, not_supported, required

from .metadata import all_wrong

Object = dict[str, Any]
_GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = ("ServiceAccount", "User", "Group")
_AGGREGATION = "rbac.authorization.k8s.io/aggregate-to-"


def set_binding_defaults(obj: Object) -> None:
    """Fill in the API groups of a binding, in place.

    Args:
        obj: the binding.
    """
    reference = obj.get("roleRef")
    if isinstance(reference, dict) and not reference.get("apiGroup"):
        reference["apiGroup"] = _GROUP
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"} and not subject.get("apiGroup"):
            subject["apiGroup"] = _GROUP


def check_role(obj: Object) -> list[FieldError]:
    """Check a Role.

    Args:
        obj: the object.
    """
    return _rules(obj, namespaced=True)


def check_cluster_role(obj: Object) -> list[FieldError]:
    """Check a ClusterRole.

    Args:
        obj: the object.
    """
    errors = _rules(obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None and not aggregation.get("clusterRoleSelectors"):
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.append(required("aggregationRule.clusterRoleSelectors", text))
    return errors


def aggregation_warnings(obj: Object) -> list[str]:
    """Say what a ClusterRole asks for that the sandbox does not do.

    Args:
        obj: the ClusterRole.
    """
    labels = obj["metadata"].get("labels") or {}
    if obj.get("aggregationRule") or any(name.startswith(_AGGREGATION) for name in labels):
        return ["the sandbox does not aggregate cluster roles: only the rules that are written in a role hold"]
    return []


def _rules(obj: Object, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, rule in enumerate(obj.get("rules") or ()):
        field = f"rules[{index}]"
        if not rule.get("verbs"):
            errors.append(required(f"{field}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid_value(f"{field}.nonResourceURLs", urls, text))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                errors.append(invalid_value(f"{field}.nonResourceURLs", urls, text))
            continue
        if not rule.get("apiGroups"):
            errors.append(required(f"{field}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            errors.append(required(f"{field}.resources", "resource rules must supply at least one resource"))
    return errors


def check_role_binding(obj: Object) -> list[FieldError]:
    """Check a RoleBinding.

    Args:
        obj: the object, defaults set.
    """
    return _binding(obj, ("Role", "ClusterRole"), namespaced=True)


def check_cluster_role_binding(obj: Object) -> list[FieldError]:
    """Check a ClusterRoleBinding.

    Args:
        obj: the object, defaults set.
    """
    return _binding(obj, ("ClusterRole",), namespaced=False)


def check_binding_update(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a binding.

    Args:
        new: the object after the change.
        old: the object as stored.
    """
    if new.get("roleRef") == old.get("roleRef"):
        return []
    # The server shows its own names of the fields here.
    found = new.get("roleRef") or {}
    shown = {word: found.get(key, "") for word, key in (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))}
    return [invalid_value("roleRef", shown, "cannot change roleRef")]


def _binding(obj: Object, kinds: tuple[str, ...], *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _GROUP:
        errors.append(not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), [_GROUP]))
    if reference.get("kind") not in kinds:
        errors.append(not_supported("roleRef.kind", reference.get("kind", ""), kinds))
    name = reference.get("name", "")
    errors += all_wrong("roleRef.name", name, formats.path_segment(name)) if name else [required("roleRef.name")]
    for index, subject in enumerate(obj.get("subjects") or ()):
        errors += _subject(subject, f"subjects[{index}]", namespaced=namespaced)
    return errors


def _subject(subject: Object, field: str, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        errors.append(required(f"{field}.name"))
    if kind == "ServiceAccount":
        if name:
            errors += all_wrong(f"{field}.name", name, formats.subdomain(name))
        if group:
            errors.append(not_supported(f"{field}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{field}.namespace"))
    elif kind not in _SUBJECTS:
        errors.append(not_supported(f"{field}.kind", kind, _SUBJECTS))
    elif group != _GROUP:
        errors.append(not_supported(f"{field}.apiGroup", group, [_GROUP]))
    return errors
