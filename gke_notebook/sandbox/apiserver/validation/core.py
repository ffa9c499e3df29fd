"""Checks of configuration, nodes, events and the other small kinds.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/{core,coordination,scheduling}/validation`).
"""

from __future__ import annotations

import base64
import json
from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
    too_long,
)

from .metadata import all_wrong
from .pods import check_taints
from .resources import check_quantity

Object = dict[str, Any]

_MAX_DATA = 1024 * 1024
_SET = "field is immutable when `immutable` is set"
_SYSTEM = "system-"
_SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_MAX_PRIORITY = 1_000_000_000
_PREEMPTION = ("PreemptLowerPriority", "Never")
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_ACCOUNT = "kubernetes.io/service-account.name"


def merge_string_data(secret: Object) -> None:
    """Move a secret's `stringData` into its `data`, in place; the former is never stored.

    Args:
        secret: the secret.
    """
    plain = secret.pop("stringData", None)
    if plain:
        data = secret.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()


def check_config_map(obj: Object) -> list[FieldError]:
    """Check a ConfigMap.

    Args:
        obj: the object.
    """
    errors: list[FieldError] = []
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        errors += all_wrong(f"data[{key}]", key, formats.config_key(key))
        if key in binary:
            errors.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value.encode())
    for key, value in binary.items():
        errors += all_wrong(f"binaryData[{key}]", key, formats.config_key(key))
        size += len(base64.b64decode(value))
    if size > _MAX_DATA:
        errors.append(too_long("[]", _MAX_DATA))
    return errors


def check_secret(obj: Object) -> list[FieldError]:
    """Check a Secret.

    Args:
        obj: the object.
    """
    errors: list[FieldError] = []
    data = {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    for key in data:
        errors += all_wrong(f"data[{key}]", key, formats.config_key(key))
    if sum(len(value) for value in data.values()) > _MAX_DATA:
        errors.append(too_long("data", _MAX_DATA))
    kind = obj.get("type", "Opaque")
    if kind == "kubernetes.io/service-account-token":
        if not (obj["metadata"].get("annotations") or {}).get(_ACCOUNT):
            errors.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    elif kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        errors += [required("data[username]"), required("data[password]")]
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data or (key == "ssh-privatekey" and not data[key]):
            errors.append(required(f"data[{key}]"))
        elif key.startswith(".docker"):
            try:
                json.loads(data[key])
            except ValueError:
                text = "invalid character looking for beginning of value"
                errors.append(invalid_value(f"data[{key}]", "<secret contents redacted>", text))
    return errors


def check_data_update(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a ConfigMap or a Secret.

    Args:
        new: the object after the change.
        old: the object as stored.
    """
    errors: list[FieldError] = []
    if new.get("type") != old.get("type"):
        errors.append(invalid_value("type", new.get("type", ""), formats.IMMUTABLE))
    if old.get("immutable"):
        if not new.get("immutable"):
            errors.append(field_forbidden("immutable", _SET))
        names = [name for name in ("data", "binaryData") if (new.get(name) or {}) != (old.get(name) or {})]
        errors += [field_forbidden(name, _SET) for name in names]
    return errors


def check_event(obj: Object) -> list[FieldError]:
    """Check an Event.

    Args:
        obj: the object.
    """
    errors: list[FieldError] = []
    namespace = obj["metadata"].get("namespace", "")
    involved = (obj.get("involvedObject") or {}).get("namespace", "")
    if not involved:
        # Events about objects outside of namespaces live in the default one.
        if namespace not in {"", "default", "kube-system"}:
            errors.append(invalid_value("involvedObject.namespace", involved, "does not match event.namespace"))
    elif involved != namespace:
        errors.append(invalid_value("involvedObject.namespace", involved, "does not match event.namespace"))
    if obj.get("eventTime"):
        component, instance = obj.get("reportingComponent", ""), obj.get("reportingInstance", "")
        if not component:
            errors.append(required("reportingComponent"))
        errors += all_wrong("reportingComponent", component, formats.qualified_name(component))
        if not instance:
            errors.append(required("reportingInstance"))
        if len(instance) > 128:
            errors.append(invalid_value("reportingInstance", "", "can have at most 128 characters"))
        if not obj.get("action"):
            errors.append(required("action"))
        if len(obj.get("action", "")) > 128:
            errors.append(invalid_value("action", "", "can have at most 128 characters"))
        if not obj.get("reason"):
            errors.append(required("reason"))
        if len(obj.get("reason", "")) > 128:
            errors.append(invalid_value("reason", "", "can have at most 128 characters"))
        if len(obj.get("message", "")) > 1024:
            errors.append(invalid_value("message", "", "can have at most 1024 characters"))
    return errors


def check_node(obj: Object) -> list[FieldError]:
    """Check a Node.

    Args:
        obj: the object.
    """
    # The server names metadata here, though taints lie in the spec.
    errors = check_taints((obj.get("spec") or {}).get("taints") or [], "metadata.taints")
    for part in ("capacity", "allocatable"):
        for name, value in ((obj.get("status") or {}).get(part) or {}).items():
            errors += check_quantity(name, value, f"status.{part}.{name}")
    return errors


def check_node_update(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a Node.

    Args:
        new: the object after the change.
        old: the object as stored.
    """
    errors: list[FieldError] = []
    seen: list[Object] = []
    for index, address in enumerate((new.get("status") or {}).get("addresses") or ()):
        if address in seen:
            errors.append(duplicate(f"status.addresses[{index}]", address))
        seen.append(address)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("podCIDRs") and after.get("podCIDRs") != before["podCIDRs"]:
        text = 'node updates may not change podCIDR except from "" to valid'
        errors.append(field_forbidden("spec.podCIDRs", text))
    if before.get("providerID") and after.get("providerID") != before["providerID"]:
        text = 'node updates may not change providerID except from "" to valid'
        errors.append(field_forbidden("spec.providerID", text))
    return errors


def check_namespace(obj: Object) -> list[FieldError]:
    """Check a Namespace.

    Args:
        obj: the object.
    """
    errors: list[FieldError] = []
    for index, name in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
        field = f"spec.finalizers[{index}]"
        errors += all_wrong(field, name, formats.qualified_name(name))
        if "/" not in name and name not in {"kubernetes", "orphan", "foregroundDeletion"}:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid_value(field, name, text))
    return errors


def check_namespace_status(new: Object) -> list[FieldError]:
    """Check an update of a Namespace's status.

    Args:
        new: the object after the change.
    """
    phase = (new.get("status") or {}).get("phase", "")
    if new["metadata"].get("deletionTimestamp"):
        if phase != "Terminating":
            text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            return [invalid_value("status.Phase", phase, text)]
    elif phase != "Active":
        return [invalid_value("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
    return []


def check_lease(obj: Object) -> list[FieldError]:
    """Check a Lease.

    Args:
        obj: the object.
    """
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        errors.append(invalid_value("spec.leaseDurationSeconds", seconds, formats.POSITIVE))
    if transitions is not None and transitions < 0:
        errors.append(invalid_value("spec.leaseTransitions", transitions, formats.NEGATIVE))
    if spec.get("preferredHolder") and not spec.get("strategy"):
        errors.append(field_forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return errors


def check_priority_class(obj: Object) -> list[FieldError]:
    """Check a PriorityClass.

    Args:
        obj: the object.
    """
    errors: list[FieldError] = []
    name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
    if name.startswith(_SYSTEM):
        if _SYSTEM_CLASSES.get(name) != value or obj.get("globalDefault"):
            text = (
                f"priority class names with '{_SYSTEM}' prefix are reserved for system use only. "
                f"error: {name} is not a known system priority class"
            )
            errors.append(field_forbidden("metadata.name", text))
    elif value > _MAX_PRIORITY:
        errors.append(field_forbidden("value", f"maximum allowed value of a user defined priority is {_MAX_PRIORITY}"))
    policy = obj.get("preemptionPolicy")
    if policy not in _PREEMPTION:
        errors.append(not_supported("preemptionPolicy", policy, _PREEMPTION))
    return errors


def check_priority_class_update(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a PriorityClass.

    Args:
        new: the object after the change.
        old: the object as stored.
    """
    errors: list[FieldError] = []
    if new.get("value", 0) != old.get("value", 0):
        errors.append(field_forbidden("value", "may not be changed in an update."))
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(invalid_value("preemptionPolicy", new.get("preemptionPolicy"), formats.IMMUTABLE))
    return errors


def account_warnings(account: Object) -> list[str]:
    """Say what of a service account is on its way out.

    Args:
        account: the service account.
    """
    key = "kubernetes.io/enforce-mountable-secrets"
    if key not in (account["metadata"].get("annotations") or {}):
        return []
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    return [f"metadata.annotations[{key}]: {text}"]
