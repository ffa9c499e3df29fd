"""What the API server checks and fills in before it stores an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gke_notebook.sandbox.apiserver import formats, status
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.schema import type_of
from gke_notebook.sandbox.apiserver.status import FieldError

from . import core, jobs, pod_status, pods, quotas, rbac, services, unsupported
from .defaults import copy_template_labels, set_defaults, set_zero_times
from .fields import FieldTypeError, normalize
from .metadata import check_metadata, check_metadata_update
from .resources import quality_of_service

__all__ = ["check_unknown_fields", "prepare_create", "prepare_update", "set_defaults", "undecodable"]

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


def check_unknown_fields(
    kind: Kind, obj: dict[str, Any], mode: str, duplicates: list[str] | None = None, *, patch: str | None = None
) -> list[str]:
    """Check names and JSON types of all fields against the schema, and bring the object into the stored form in place.

    Unknown fields are removed in every mode, nulls and empty optional values too, as the server's typed objects do.

    Args:
        kind: the object's kind.
        obj: the decoded body, or the object a patch has made.
        mode: the `fieldValidation` parameter: ``Strict``, ``Warn`` or ``Ignore``.
        duplicates: what `decode_body` found named twice.
        patch: the text the answer quotes when the object is the outcome of a patch (`patches.describe`).

    Returns:
        The warnings (mode Warn), for example ``unknown field "spec.foo"``.

    Raises:
        StatusError: 400 (422 for a patch) for a value of the wrong type in any mode, and for unknown or duplicate
            fields in mode Strict.
    """
    if kind.rules is not None:
        return list(kind.rules.check_fields(kind, obj, mode, duplicates or [], patch))
    try:
        unknown = normalize(type_of(kind), obj)
    except FieldTypeError as error:
        merged = patch is not None and patch.startswith("map[")  # a strategic merge patch, printed as Go does
        raise undecodable(kind, error.converted if merged else str(error), patch) from error
    if mode not in {STRICT, WARN}:
        return []
    found = [f"duplicate field {status.quote(path)}" for path in duplicates or ()]
    found += [f"unknown field {status.quote(path)}" for path in unknown]
    if found and mode == STRICT:
        raise undecodable(kind, "strict decoding error: " + ", ".join(found), patch)
    return found


def undecodable(kind: Kind, text: str, patch: str | None) -> status.StatusError:
    """Say that a body, or the outcome of a patch, cannot be read as an object of its kind.

    Args:
        kind: the kind.
        text: what is wrong.
        patch: the text to quote when a patch has led to it.
    """
    if patch is not None:
        error = status.invalid_value("patch", patch, text)
        return status.StatusError(422, "Invalid", f' "" is invalid: {error}', {"causes": [error.cause()]})
    version = status.quote(kind.version)
    return status.bad_request(f"{kind.kind} in version {version} cannot be handled as a {kind.kind}: {text}")


def prepare_create(kind: Kind, obj: dict[str, Any]) -> list[str]:
    """Set the defaults in place and validate a new object.

    Args:
        kind: the object's kind.
        obj: the object, normalized (`check_unknown_fields`); name, namespace and uid are set already.

    Returns:
        Warnings for the `Warning` header.

    Raises:
        StatusError: 422 with every error found.
    """
    if kind.rules is not None:
        return kind.rules.check_create(kind, obj)
    set_defaults(kind, obj)
    if kind.kind == "Job":
        jobs.generate_selector(obj)
        if obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(obj["metadata"]["labels"])  # no longer shared with the template
    elif kind.kind == "Service":
        services.allocate(obj)
    elif kind.kind == "Namespace":
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")
    elif kind.kind == "Pod":
        obj.setdefault("status", {}).setdefault("phase", "Pending")
        obj["status"]["qosClass"] = quality_of_service(obj["spec"])
    errors = check_metadata(kind, obj["metadata"]) + _check(kind, obj)
    if errors:
        raise status.invalid(kind, obj["metadata"].get("name", ""), errors)
    if kind.kind == "Job":
        copy_template_labels(obj)  # a server does so whenever it reads a job, and so after it has checked a new one
    return _warnings(kind, obj) + unsupported.warnings(kind, obj)


def prepare_update(kind: Kind, new: dict[str, Any], old: dict[str, Any], subresource: str = "") -> list[str]:
    """Set the defaults in place and validate a changed object.

    Args:
        kind: the object's kind.
        new: the object after the change, normalized; metadata the client left out (uid, creationTimestamp) is filled in
            from `old`, and what the endpoint does not write (status, or all but status) is put back from `old`.
        old: the object as stored.
        subresource: for example ``status``, empty for the object itself.

    Returns:
        Warnings for the `Warning` header.

    Raises:
        StatusError: 422 with every error found.
    """
    if kind.rules is not None:
        return kind.rules.check_update(kind, new, old, subresource)
    set_zero_times(kind, new)
    errors = check_metadata_update(kind, new["metadata"], old["metadata"])
    if subresource:
        errors += _check_status(kind, new, old) if subresource == "status" else []
    else:
        set_defaults(kind, new)
        if kind.kind == "Service":
            services.allocate(new, old)
        errors += _check_update(kind, new, old)
    if errors:
        raise status.invalid(kind, new["metadata"].get("name", ""), errors)
    if kind.kind == "ServiceAccount":
        return [] if core.account_warnings(old) else core.account_warnings(new)
    same = subresource or new.get("spec") == old.get("spec")
    return [] if same else _warnings(kind, new)


def _check(kind: Kind, obj: dict[str, Any]) -> list[FieldError]:
    check = _CHECKS.get(kind.kind)
    return check(obj) if check is not None else []


def _check_update(kind: Kind, new: dict[str, Any], old: dict[str, Any]) -> list[FieldError]:
    if kind.kind == "Pod":
        return pods.check_pod_update(new, old)
    if kind.kind == "Job":
        return jobs.check_job_update(new, old)
    errors = _check(kind, new)
    check = _UPDATE_CHECKS.get(kind.kind)
    changes = check(new, old) if check is not None else []
    return changes + errors if check is core.check_data_update else errors + changes


def _check_status(kind: Kind, new: dict[str, Any], old: dict[str, Any]) -> list[FieldError]:
    if kind.kind == "Job":
        return jobs.check_job_status(new, old)
    if kind.kind == "Namespace":
        return core.check_namespace_status(new)
    if kind.kind == "Node":
        set_defaults(kind, new)
        return core.check_node(new) + core.check_node_update(new, old)
    if kind.kind == "Pod":
        return pod_status.check_pod_status(new, old)
    if kind.kind == "ResourceQuota":
        return quotas.check_quota_status(new)
    return []


def _warnings(kind: Kind, obj: dict[str, Any]) -> list[str]:
    if kind.kind == "Pod":
        return pods.template_warnings(obj["spec"], "spec")
    if kind.kind == "ClusterRole":
        return rbac.aggregation_warnings(obj)
    if kind.kind == "ServiceAccount":
        return core.account_warnings(obj)
    if kind.kind != "Job":
        return []
    wrong = formats.dns_label(obj["metadata"].get("name", ""))
    warnings = pods.template_warnings(obj["spec"]["template"]["spec"], "spec.template.spec")
    if wrong:
        text = (
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(wrong)}]"
        )
        warnings.insert(0, text)
    return warnings


def _check_policy(obj: dict[str, Any]) -> list[FieldError]:
    from gke_notebook.sandbox.apiserver.cel.policy_checks import check_policy  # late: few clusters have one

    return check_policy(obj)


def _check_policy_binding(obj: dict[str, Any]) -> list[FieldError]:
    from gke_notebook.sandbox.apiserver.cel.policy_checks import check_binding

    return check_binding(obj)


_Check = Callable[[dict[str, Any]], list[FieldError]]
_CHECKS: dict[str, _Check] = {
    "Pod": pods.check_new_pod,
    "Job": jobs.check_job,
    "ConfigMap": core.check_config_map,
    "Secret": core.check_secret,
    "Service": services.check_service,
    "Endpoints": services.check_endpoints,
    "Event": core.check_event,
    "Node": core.check_node,
    "Namespace": core.check_namespace,
    "Lease": core.check_lease,
    "PriorityClass": core.check_priority_class,
    "ResourceQuota": quotas.check_quota,
    "LimitRange": quotas.check_limit_range,
    "Role": rbac.check_role,
    "ClusterRole": rbac.check_cluster_role,
    "RoleBinding": rbac.check_role_binding,
    "ClusterRoleBinding": rbac.check_cluster_role_binding,
    "ValidatingAdmissionPolicy": _check_policy,
    "ValidatingAdmissionPolicyBinding": _check_policy_binding,
}
_UPDATE_CHECKS: dict[str, Callable[[dict[str, Any], dict[str, Any]], list[FieldError]]] = {
    "ConfigMap": core.check_data_update,
    "Secret": core.check_data_update,
    "Service": services.check_service_update,
    "Node": core.check_node_update,
    "PriorityClass": core.check_priority_class_update,
    "ResourceQuota": quotas.check_quota_update,
    "RoleBinding": rbac.check_binding_update,
    "ClusterRoleBinding": rbac.check_binding_update,
}
