"""Checks of `metadata`: names, labels, annotations, owners, finalizers.

Source of rules and texts: k8s.io/apimachinery v0.34 (`api/validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    field_forbidden,
    go_value,
    invalid_value,
    required,
    too_long,
)

_ANNOTATIONS_LIMIT = 256 * 1024
_NAME_FORMATS: dict[str, Callable[[str], list[str]]] = {
    "Service": formats.dns1035_label,
    "Namespace": formats.dns_label,
    "Event": formats.path_segment,
    "Role": formats.path_segment,
    "RoleBinding": formats.path_segment,
    "ClusterRole": formats.path_segment,
    "ClusterRoleBinding": formats.path_segment,
}


def all_wrong(field: str, value: object, texts: Iterable[str]) -> list[FieldError]:
    """Make one error of each text about a value.

    Args:
        field: the field's path.
        value: its value.
        texts: what is wrong with it.
    """
    return [invalid_value(field, value, text) for text in texts]


def _prefix(name: str) -> str:
    """Give a `generateName` as a name that starts so; a trailing dash will not be the end of the name."""
    return name[:-2] + "a" if len(name) > 1 and name.endswith("-") else name


def check_metadata(kind: Kind, metadata: Mapping[str, Any], *, new: bool = True) -> list[FieldError]:
    """Check the metadata of an object.

    Args:
        kind: the object's kind.
        metadata: its metadata.
        new: whether it is created; a name that was accepted once is not looked at again.
    """
    errors: list[FieldError] = []
    name_format = _NAME_FORMATS.get(kind.kind, formats.subdomain)
    if new:
        prefix, name = metadata.get("generateName", ""), metadata.get("name", "")
        if prefix:
            errors += all_wrong("metadata.generateName", prefix, name_format(_prefix(prefix)))
        if not name:
            errors.append(required("metadata.name", "name or generateName is required"))
        else:
            errors += all_wrong("metadata.name", name, name_format(name))
        namespace = metadata.get("namespace", "")
        if kind.namespaced and not namespace:
            errors.append(required("metadata.namespace"))
        elif kind.namespaced:
            errors += all_wrong("metadata.namespace", namespace, formats.dns_label(namespace))
        elif namespace:
            errors.append(field_forbidden("metadata.namespace", "not allowed on this type"))
    errors += check_labels(metadata.get("labels"), "metadata.labels")
    errors += check_annotations(metadata.get("annotations"), "metadata.annotations")
    errors += _check_owners(metadata.get("ownerReferences") or [])
    if new:
        errors += _check_finalizers(kind, metadata.get("finalizers") or [])
    return errors


def check_labels(labels: Mapping[str, str] | None, field: str) -> list[FieldError]:
    """Check a map of labels.

    Args:
        labels: the labels.
        field: the path of the map.
    """
    errors = []
    for key, value in (labels or {}).items():
        errors += all_wrong(field, key, formats.qualified_name(key))
        errors += all_wrong(field, value, formats.label_value(value))
    return errors


def check_annotations(annotations: Mapping[str, str] | None, field: str) -> list[FieldError]:
    """Check a map of annotations.

    Args:
        annotations: the annotations.
        field: the path of the map.
    """
    errors, size = [], 0
    for key, value in (annotations or {}).items():
        errors += all_wrong(field, key, formats.qualified_name(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > _ANNOTATIONS_LIMIT:
        errors.append(too_long(field, _ANNOTATIONS_LIMIT))
    return errors


def _check_owners(owners: list[dict[str, Any]]) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    field = "metadata.ownerReferences"
    for owner in owners:
        version = owner.get("apiVersion", "")
        if not version.rpartition("/")[2] or version.count("/") > 1:
            errors.append(invalid_value(f"{field}.apiVersion", version, "version must not be empty"))
        missing = [name for name in ("kind", "name", "uid") if not owner.get(name)]
        errors += [invalid_value(f"{field}.{name}", "", "must not be empty") for name in missing]
        if (version, owner.get("kind")) == ("v1", "Event"):
            errors.append(invalid_value(field, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            this = f"{owner.get('kind')}/{owner.get('name')}"
            if controller:
                text = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {this}"
                )
                errors.append(invalid_value(field, owners, text))
            else:
                controller = this
    return errors


# What the core kinds' validation lets stand without a domain (kubernetes v1.34, pkg/apis/core/helper).
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def _check_finalizers(kind: Kind, finalizers: list[str]) -> list[FieldError]:
    field = "metadata.finalizers"
    errors: list[FieldError] = []
    for name in finalizers:
        errors += all_wrong(field, name, formats.qualified_name(name))
    for index, name in enumerate(finalizers):
        if getattr(kind, "rules", None) is None and "/" not in name and name not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid_value(f"{field}[{index}]", name, text))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid_value(field, finalizers, text))
    return errors


def check_metadata_update(kind: Kind, new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """Check the metadata of a changed object.

    Args:
        kind: the object's kind.
        new: the metadata after the change.
        old: the metadata as stored.
    """
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            listed = "[]string{" + ", ".join(go_value(name) for name in extra) + "}"
            text = "no new finalizers can be added if the object is being deleted, found new finalizers " + listed
            errors += 2 * [field_forbidden("metadata.finalizers", text)]  # two checks find it, and both are named
    if not new.get("resourceVersion"):
        errors.append(invalid_value("metadata.resourceVersion", "", "must be specified for an update"))
    for names, absent in (
        (("name", "namespace", "uid"), ""),
        (("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"), None),
    ):
        changed = [name for name in names if new.get(name, absent) != old.get(name, absent)]
        errors += [invalid_value(f"metadata.{name}", new.get(name, absent), formats.IMMUTABLE) for name in changed]
    return errors + check_metadata(kind, new, new=False)
