"""Checks of pods and pod templates.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`).
"""

from __future__ import annotations

import copy
from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
)

from .affinity import check_affinity, check_spread
from .containers import Surroundings, check_containers, check_init_containers, check_security
from .metadata import all_wrong, check_annotations, check_labels
from .volumes import check_volumes

Object = dict[str, Any]

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MAX_INT32 = 2**31 - 1
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def check_template(template: Object, field: str) -> list[FieldError]:
    """Check a pod template.

    Args:
        template: the template.
        field: its path.
    """
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors = check_labels(metadata.get("labels"), f"{field}.labels")
    errors += check_annotations(metadata.get("annotations"), f"{field}.annotations")
    errors += check_pod_spec(spec, f"{field}.spec", pod=False)
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(field_forbidden(f"{field}.spec.ephemeralContainers", text))
    return errors


def check_new_pod(pod: Object) -> list[FieldError]:
    """Check a pod that is to be created, but for its metadata.

    Args:
        pod: the pod, defaults set.
    """
    spec = pod["spec"]
    errors = check_pod_spec(spec, "spec", pod=True)
    if spec.get("ephemeralContainers"):
        errors.append(field_forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        errors.append(field_forbidden("spec.nodeName", text))
    return errors


def check_pod_spec(spec: Object, field: str, *, pod: bool) -> list[FieldError]:
    """Check the spec of a pod or of a template.

    Args:
        spec: the spec, defaults set.
        field: its path.
        pod: whether it is a pod's.
    """
    volumes, errors = check_volumes(spec.get("volumes") or [], f"{field}.volumes")
    around = Surroundings(
        volumes, spec.get("terminationGracePeriodSeconds"), pod=pod, host_network=bool(spec.get("hostNetwork"))
    )
    regular = spec.get("containers") or []
    errors += check_containers(regular, around, f"{field}.containers")
    errors += check_init_containers(spec.get("initContainers") or [], regular, around, f"{field}.initContainers")
    restart = spec.get("restartPolicy", "")
    if restart not in _RESTART_POLICIES:
        errors.append(not_supported(f"{field}.restartPolicy", restart, _RESTART_POLICIES))
    dns = spec.get("dnsPolicy", "")
    if dns not in _DNS_POLICIES:
        errors.append(not_supported(f"{field}.dnsPolicy", dns, _DNS_POLICIES))
    errors += check_labels(spec.get("nodeSelector"), f"{field}.nodeSelector")
    errors += check_security(spec.get("securityContext") or {}, f"{field}.securityContext")
    errors += check_affinity(spec.get("affinity") or {}, f"{field}.affinity")
    errors += _check_dns_config(spec, f"{field}.dnsConfig")
    errors += _check_gates(spec.get("schedulingGates") or [], f"{field}.schedulingGates")
    errors += check_spread(spec.get("topologySpreadConstraints") or [], f"{field}.topologySpreadConstraints")
    errors += _check_names(spec, field)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        errors.append(invalid_value(f"{field}.activeDeadlineSeconds", deadline, formats.between(1, _MAX_INT32)))
    errors += check_tolerations(spec.get("tolerations") or [], f"{field}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"{field}.hostAliases[{index}]"
        errors += all_wrong(f"{where}.ip", alias.get("ip", ""), formats.ip_address(alias.get("ip", "")))
        for at, name in enumerate(alias.get("hostnames") or ()):
            errors += all_wrong(f"{where}.hostnames[{at}]", name, formats.subdomain(name))
    preemption = spec.get("preemptionPolicy")
    if preemption not in {None, "PreemptLowerPriority", "Never"}:
        errors.append(not_supported(f"{field}.preemptionPolicy", preemption, ("PreemptLowerPriority", "Never")))
    return errors


def _check_names(spec: Object, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, check in (
        ("serviceAccountName", formats.subdomain),
        ("nodeName", formats.subdomain),
        ("hostname", formats.dns_label),
        ("subdomain", formats.dns_label),
        ("priorityClassName", formats.subdomain),
        ("runtimeClassName", formats.subdomain),
    ):
        value = spec.get(name, "")
        if value:
            errors += all_wrong(f"{field}.{name}", value, check(value))
    return errors


def _check_dns_config(spec: Object, field: str) -> list[FieldError]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(field, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{field}.nameservers", text)]
    return []


def _check_gates(gates: list[Object], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        errors += all_wrong(f"{field}[{index}]", name, formats.qualified_name(name))
        if name in seen:
            errors.append(duplicate(f"{field}[{index}]", name))
        seen.add(name)
    return errors


def check_tolerations(tolerations: list[Object], field: str) -> list[FieldError]:
    """Check tolerations.

    Args:
        tolerations: the tolerations.
        field: the path of the list.
    """
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations):
        where = f"{field}[{index}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        value, effect = toleration.get("value", ""), toleration.get("effect", "")
        if key:
            errors += all_wrong(f"{where}.key", key, formats.qualified_name(key))
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid_value(f"{where}.operator", operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid_value(f"{where}.effect", effect, text))
        if operator in {"", "Equal"}:
            wrong = formats.label_value(value)
            if wrong:
                errors.append(invalid_value(f"{where}.operator", value, ";".join(wrong)))
        elif operator == "Exists":
            if value:
                text = "value must be empty when `operator` is 'Exists'"
                errors.append(invalid_value(f"{where}.operator", value, text))
        else:
            errors.append(not_supported(f"{where}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in _EFFECTS:
            errors.append(not_supported(f"{where}.effect", effect, _EFFECTS))
    return errors


def check_taints(taints: list[Object], field: str) -> list[FieldError]:
    """Check the taints of a node.

    Args:
        taints: the taints.
        field: the path of the list.
    """
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        where = f"{field}[{index}]"
        key, value, effect = taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
        errors += all_wrong(f"{where}.key", key, formats.qualified_name(key))
        wrong = formats.label_value(value)
        if wrong:
            errors.append(invalid_value(f"{where}.value", value, ";".join(wrong)))
        if not effect:
            errors.append(required(f"{where}.effect"))
        elif effect not in _EFFECTS:
            errors.append(not_supported(f"{where}.effect", effect, _EFFECTS))
        if (key, effect) in seen:
            found = duplicate(where, taint)
            text = f"{found.message}: taints must be unique by key and effect pair"
            errors.append(FieldError(found.type, found.field, text))
        seen.add((key, effect))
    return errors


def check_pod_update(new: Object, old: Object) -> list[FieldError]:
    """Check that an update of a pod changes only what may change, but for its metadata.

    Args:
        new: the pod after the change.
        old: the pod as stored.
    """
    after, before = new["spec"], old["spec"]
    errors = check_pod_spec(after, "spec", pod=True)
    for name in ("containers", "initContainers"):
        if len(after.get(name) or ()) != len(before.get(name) or ()):
            errors.append(field_forbidden(f"spec.{name}", "pod updates may not add or remove containers"))
            return errors
    errors += _check_deadline(after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    errors += _check_added_tolerations(after.get("tolerations") or [], before.get("tolerations") or [])
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for index, gate in enumerate(after.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors.append(field_forbidden(f"spec.schedulingGates[{index}].name", text))
    if after != before and _without_mutable(after, before) != before:
        changed = sorted(name for name in {*after, *before} if after.get(name) != before.get(name))
        text = f"pod updates may not change fields other than {_UPDATABLE}\nchanged: {', '.join(changed)}"
        errors.append(field_forbidden("spec", text))
    return errors


def _check_deadline(new: int | None, old: int | None) -> list[FieldError]:
    field = "spec.activeDeadlineSeconds"
    if new is None:
        return (
            [] if old is None else [invalid_value(field, None, "must not update from a positive integer to nil value")]
        )
    if not 0 <= new <= _MAX_INT32:
        return [invalid_value(field, new, formats.between(0, _MAX_INT32))]
    if old is not None and old < new:
        return [invalid_value(field, new, "must be less than or equal to previous value")]
    return []


def _check_added_tolerations(new: list[Object], old: list[Object]) -> list[FieldError]:
    def timeless(toleration: Object) -> Object:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    kept = [timeless(toleration) for toleration in new]
    if all(timeless(toleration) in kept for toleration in old):
        return []
    return [field_forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")]


def _without_mutable(new: Object, old: Object) -> Object:
    """Give the new spec with the fields that may change as they were."""
    found = copy.deepcopy(new)
    for name in ("containers", "initContainers"):
        for container, before in zip(found.get(name) or (), old.get(name) or (), strict=True):
            container["image"] = before.get("image", "")
    names = ["activeDeadlineSeconds", "schedulingGates", "tolerations"]
    if old.get("terminationGracePeriodSeconds", 0) < 0 and found.get("terminationGracePeriodSeconds") == 1:
        names.append("terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        # A pod that is held back may be steered more narrowly.
        selector = found.get("nodeSelector") or {}
        if all(selector.get(key) == value for key, value in (old.get("nodeSelector") or {}).items()):
            names.append("nodeSelector")
    for name in names:
        if name in old:
            found[name] = old[name]
        else:
            found.pop(name, None)
    return found


def template_warnings(spec: Object, field: str) -> list[str]:
    """Give the warnings about a spec that is accepted.

    Args:
        spec: the spec of a pod or of a template.
        field: its path.
    """
    warnings = []
    for part in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(part) or ()):
            seen: set[str] = set()
            for at, variable in enumerate(container.get("env") or ()):
                name = variable.get("name", "")
                if name in seen:
                    where = f"{field}.{part}[{index}].env[{at}]"
                    warnings.append(
                        f'{where}: hides previous definition of "{name}", which may be dropped when using apply'
                    )
                seen.add(name)
    return warnings
