"""Checks of containers: names, images, ports, environment, probes.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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

from .metadata import all_wrong
from .resources import check_requirements
from .volumes import check_mounts

Object = dict[str, Any]

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_ENV_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MAX_ID = 2**31 - 1


@dataclass(frozen=True)
class Surroundings:
    """What the checks of a container need to know of its pod.

    Args:
        volumes: the names of the pod's volumes.
        grace: seconds a pod is given to end.
        pod: whether it is a pod, not a template.
        host_network: whether it uses the node's network.
    """

    volumes: frozenset[str]
    grace: int | None
    pod: bool
    host_network: bool


def check_containers(containers: list[Object], around: Surroundings, field: str) -> list[FieldError]:
    """Check the ordinary containers of a pod.

    Args:
        containers: the containers.
        around: their pod.
        field: the path of the list.
    """
    if not containers:
        return [required(field)]
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{field}[{index}]"
        if container.get("name", "") in names:
            errors.append(duplicate(f"{where}.name", container["name"]))
        names.add(container.get("name", ""))
        errors += _check_common(container, around, where)
        errors += _check_lifecycle(container, around, where)
        if container.get("restartPolicy") is not None:
            errors.append(field_forbidden(f"{where}.restartPolicy", "may not be set for non-init containers"))
    return errors + _check_host_ports(containers, field)


def check_init_containers(
    containers: list[Object], regular: list[Object], around: Surroundings, field: str
) -> list[FieldError]:
    """Check the init containers of a pod.

    Args:
        containers: the init containers.
        regular: the ordinary ones, whose names are taken.
        around: their pod.
        field: the path of the list.
    """
    errors: list[FieldError] = []
    names = {container.get("name", "") for container in regular}
    for index, container in enumerate(containers):
        where = f"{field}[{index}]"
        errors += _check_common(container, around, where)
        policy = container.get("restartPolicy")
        if policy not in {None, "Always"}:
            errors.append(not_supported(f"{where}.restartPolicy", policy, ["Always"]))
        name = container.get("name", "")
        if name in names:
            errors.append(duplicate(f"{where}.name", name))
        elif name:
            names.add(name)
        errors += _check_host_ports([container], field)
        if policy == "Always":
            errors += _check_lifecycle(container, around, where)
            continue
        for part in ("lifecycle", *_PROBES):
            if container.get(part) is not None:
                text = "may not be set for init containers without restartPolicy=Always"
                errors.append(field_forbidden(f"{where}.{part}", text))
    return errors


def _check_common(container: Object, around: Surroundings, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        errors.append(required(f"{field}.name"))
    else:
        errors += all_wrong(f"{field}.name", name, formats.dns_label(name))
    if not image:
        errors.append(required(f"{field}.image"))
    elif around.pod and image != image.strip():
        errors.append(invalid_value(f"{field}.image", image, "must not have leading or trailing whitespace"))
    policy = container.get("terminationMessagePolicy", "")
    if policy not in _MESSAGE_POLICIES:
        errors.append(not_supported(f"{field}.terminationMessagePolicy", policy, _MESSAGE_POLICIES))
    errors += _check_ports(container, around, f"{field}.ports")
    errors += _check_env(container.get("env") or [], f"{field}.env")
    errors += _check_env_from(container.get("envFrom") or [], f"{field}.envFrom")
    errors += check_mounts(container, around.volumes, f"{field}.volumeMounts")
    pull = container.get("imagePullPolicy", "")
    if pull not in _PULL_POLICIES:
        errors.append(not_supported(f"{field}.imagePullPolicy", pull, _PULL_POLICIES))
    errors += check_requirements(container.get("resources") or {}, f"{field}.resources")
    return errors + check_security(container.get("securityContext") or {}, f"{field}.securityContext")


def check_security(context: Object, field: str) -> list[FieldError]:
    """Check a security context.

    Args:
        context: the security context of a pod or a container.
        field: its path.
    """
    errors = []
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        value = context.get(name)
        if value is not None and not 0 <= value <= _MAX_ID:
            errors.append(invalid_value(f"{field}.{name}", value, formats.between(0, _MAX_ID)))
    if context.get("allowPrivilegeEscalation") is False and context.get("privileged"):
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        errors.append(invalid_value(field, context, text))
    return errors


def _check_ports(container: Object, around: Surroundings, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{field}[{index}]"
        name = port.get("name", "")
        if name:
            wrong = formats.port_name(name)
            errors += all_wrong(f"{where}.name", name, wrong)
            if not wrong and name in names:
                errors.append(duplicate(f"{where}.name", name))
            names.add(name)
        number, host = port.get("containerPort", 0), port.get("hostPort", 0)
        if not number:
            errors.append(required(f"{where}.containerPort"))
        else:
            errors += all_wrong(f"{where}.containerPort", number, formats.port_number(number))
        if host:
            errors += all_wrong(f"{where}.hostPort", host, formats.port_number(host))
        if port.get("protocol") not in _PROTOCOLS:
            errors.append(not_supported(f"{where}.protocol", port.get("protocol", ""), _PROTOCOLS))
        if around.host_network and (around.pod or host) and host != number:
            text = "must match `containerPort` when `hostNetwork` is true"
            errors.append(invalid_value(f"{where}.hostPort", host, text))
    return errors


def _check_host_ports(containers: Iterable[Object], field: str) -> list[FieldError]:
    errors = []
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for at, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            text = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if text in taken:
                errors.append(duplicate(f"{field}[{index}].ports[{at}].hostPort", text))
            taken.add(text)
    return errors


def _check_env(variables: list[Object], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(variables):
        where = f"{field}[{index}]"
        name = variable.get("name", "")
        if not name:
            errors.append(required(f"{where}.name"))
        else:
            errors += all_wrong(f"{where}.name", name, formats.env_name(name))
        source = variable.get("valueFrom")
        if source is not None:
            errors += _check_env_source(source, variable.get("value", ""), f"{where}.valueFrom")
    return errors


def _check_env_source(source: Object, value: str, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [name for name in _ENV_SOURCES if source.get(name) is not None]
    for name in given:
        errors += _ENV_CHECKS[name](source[name], f"{field}.{name}")
    if not given:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        errors.append(invalid_value(field, "", text))
    elif value:
        errors.append(invalid_value(field, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(invalid_value(field, "", "may not have more than one field specified at a time"))
    return errors


def _check_field_ref(ref: Object, field: str) -> list[FieldError]:
    path = ref.get("fieldPath", "")
    if not path:
        return [required(f"{field}.fieldPath")]
    if path.startswith(("metadata.annotations[", "metadata.labels[")) and path.endswith("]"):
        return []
    if path not in _ENV_FIELDS:
        known = {"spec.restartPolicy", "spec.schedulerName", "spec.hostNetwork", "status.phase"}
        if path in known:
            return [not_supported(f"{field}.fieldPath", path, _ENV_FIELDS)]
        text = f"error converting fieldPath: field label not supported: {path}"
        return [invalid_value(f"{field}.fieldPath", path, text)]
    return []


def _check_resource_ref(ref: Object, field: str) -> list[FieldError]:
    errors = []
    name = ref.get("resource", "")
    if not name:
        errors.append(required(f"{field}.resource"))
    elif name not in _ENV_RESOURCES and not name.startswith(("limits.hugepages-", "requests.hugepages-")):
        errors.append(not_supported(f"{field}.resource", name, _ENV_RESOURCES))
    return errors


def _check_key_ref(ref: Object, field: str) -> list[FieldError]:
    errors = all_wrong(f"{field}.name", ref.get("name", ""), formats.subdomain(ref.get("name", "")))
    key = ref.get("key", "")
    if not key:
        errors.append(required(f"{field}.key"))
    else:
        errors += all_wrong(f"{field}.key", key, formats.config_key(key))
    return errors


_ENV_CHECKS: dict[str, Callable[[Object, str], list[FieldError]]] = {
    "fieldRef": _check_field_ref,
    "resourceFieldRef": _check_resource_ref,
    "configMapKeyRef": _check_key_ref,
    "secretKeyRef": _check_key_ref,
    "fileKeyRef": lambda ref, field: [] if ref.get("key") else [required(f"{field}.key")],
}


def _check_env_from(sources: list[Object], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        where = f"{field}[{index}]"
        prefix = source.get("prefix", "")
        if prefix:
            errors += all_wrong(f"{where}.prefix", prefix, formats.env_name(prefix))
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            value = source[name].get("name", "")
            if not value:
                errors.append(required(f"{where}.{name}.name"))
            else:
                errors += all_wrong(f"{where}.{name}.name", value, formats.subdomain(value))
        # The server leaves the index out here.
        if not given:
            errors.append(invalid_value(field, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(invalid_value(field, "", "may not have more than one field specified at a time"))
    return errors


def _check_lifecycle(container: Object, around: Surroundings, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    lifecycle = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            errors += _check_handler(lifecycle[name], around.grace, f"{field}.lifecycle.{name}")
    for name in _PROBES:
        probe = container.get(name)
        if probe is not None:
            errors += _check_probe(probe, name, around.grace, f"{field}.{name}")
    return errors


def _check_probe(probe: Object, name: str, grace: int | None, field: str) -> list[FieldError]:
    errors = _check_handler(probe, grace, field)
    for part in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(part, 0) < 0:
            errors.append(invalid_value(f"{field}.{part}", probe[part], formats.NEGATIVE))
    own = probe.get("terminationGracePeriodSeconds")
    if own is not None and own <= 0:
        errors.append(invalid_value(f"{field}.terminationGracePeriodSeconds", own, formats.POSITIVE))
    if name == "readinessProbe":
        if own is not None:
            text = "must not be set for readinessProbes"
            errors.append(invalid_value(f"{field}.terminationGracePeriodSeconds", own, text))
    elif probe.get("successThreshold", 1) != 1:
        errors.append(invalid_value(f"{field}.successThreshold", probe["successThreshold"], "must be 1"))
    return errors


def _check_handler(handler: Object, grace: int | None, field: str) -> list[FieldError]:
    given = [name for name in _HANDLERS if handler.get(name) is not None]
    errors = [field_forbidden(f"{field}.{name}", "may not specify more than 1 handler type") for name in given[1:]]
    if not given:
        return [required(field, "must specify a handler type")]
    name, action = given[0], handler[given[0]]
    where = f"{field}.{name}"
    if name == "exec":
        if not action.get("command"):
            errors.append(required(f"{where}.command"))
    elif name == "sleep":
        seconds = action.get("seconds", 0)
        if grace is not None and not 0 <= seconds <= grace:
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            errors.append(invalid_value(where, seconds, text))
    else:
        errors += check_port(action.get("port", 0), f"{where}.port")
        if name == "httpGet" and action.get("scheme") not in {"HTTP", "HTTPS"}:
            errors.append(not_supported(f"{where}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS")))
        for header in action.get("httpHeaders") or ():
            value = header.get("name", "")
            errors += all_wrong(f"{where}.httpHeaders", value, formats.header_name(value))
    return errors


def check_port(port: int | str, field: str) -> list[FieldError]:
    """Check a port that may be given by number or by name.

    Args:
        port: the number or name.
        field: its path.
    """
    return all_wrong(field, port, formats.port_name(port) if isinstance(port, str) else formats.port_number(port))
