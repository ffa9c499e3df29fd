"""Checks of services and endpoints, and the address a service is given.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`, `pkg/registry/core/service`).
"""

from __future__ import annotations

import hashlib
import ipaddress
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

from .containers import check_port
from .metadata import all_wrong, check_labels

Object = dict[str, Any]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MAX_AFFINITY_SECONDS = 86400
# The range GKE gives services of clusters that ask for none (GKE documentation, "Services", 2026-11).
SERVICE_RANGE = ipaddress.ip_network("34.118.224.0/20")


_DUAL = "RequireDualStack"


def allocate(service: Object, old: Object | None = None) -> None:
    """Give a service its cluster address and address family, in place.

    The address follows from the uid; nothing in the sandbox routes to it, as its pods share the machine's network.

    Args:
        service: the service, defaults set.
        old: the service as stored, when it is changed.
    """
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return
    before = (old or {}).get("spec") or {}
    if not spec.get("clusterIP") and not spec.get("clusterIPs") and before.get("clusterIP"):
        spec["clusterIP"] = before["clusterIP"]
    elif (
        spec.get("clusterIP")
        and before.get("clusterIP") not in {None, spec["clusterIP"]}
        and spec.get("clusterIPs") == before.get("clusterIPs")
    ):
        spec["clusterIPs"] = [spec["clusterIP"]]
    if not spec.get("clusterIP"):
        given = spec.get("clusterIPs")
        spec["clusterIP"] = given[0] if given else _address(service["metadata"].get("uid", ""))
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    if old is None and is_headless(spec) and not spec.get("selector"):
        # Its endpoints are made by hand and may be of either family.
        spec.setdefault("ipFamilyPolicy", _DUAL)
        if spec["ipFamilyPolicy"] == _DUAL:
            spec.setdefault("ipFamilies", ["IPv4", "IPv6"])
    spec.setdefault("ipFamilies", ["IPv6" if ":" in spec["clusterIP"] else "IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


def _address(uid: str) -> str:
    number = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big")
    return str(SERVICE_RANGE[1 + number % (SERVICE_RANGE.num_addresses - 2)])


def is_headless(spec: Object) -> bool:
    """Tell whether a service has no address of its own.

    Args:
        spec: the service's spec.
    """
    return spec.get("clusterIP") == "None"


def check_service(obj: Object) -> list[FieldError]:
    """Check a Service but for its metadata.

    Args:
        obj: the object, defaults and address set.
    """
    spec = obj["spec"]
    kind, ports = spec.get("type", ""), spec.get("ports") or []
    errors: list[FieldError] = []
    if is_headless(spec) and spec.get("selector") and spec.get("ipFamilyPolicy") == _DUAL:
        text = "this cluster is not configured for dual-stack services"
        errors.append(invalid_value("spec.ipFamilyPolicy", _DUAL, text))
        if len(spec.get("ipFamilies") or ()) > 1:
            errors.append(invalid_value("spec.ipFamilies[1]", spec["ipFamilies"][1], "not configured on this cluster"))
    if not ports and not is_headless(spec) and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind in {"LoadBalancer", "NodePort"} and is_headless(spec):
        errors.append(invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        errors += _check_external(spec)
    names: set[str] = set()
    for index, port in enumerate(ports):
        errors += _check_service_port(port, len(ports) > 1, names, f"spec.ports[{index}]")
    errors += check_labels(spec.get("selector"), "spec.selector")
    errors += _check_session(spec)
    if not is_headless(spec) and kind != "ExternalName":
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            errors += all_wrong(f"spec.clusterIPs[{index}]", address, formats.ip_address(address))
    for index, address in enumerate(spec.get("externalIPs") or ()):
        errors += all_wrong(f"spec.externalIPs[{index}]", address, formats.ip_address(address))
    if kind not in _TYPES:
        errors.append(not_supported("spec.type", kind, _TYPES))
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                text = "may not be used when `type` is 'ClusterIP'"
                errors.append(field_forbidden(f"spec.ports[{index}].nodePort", text))
    return errors + _check_duplicate_ports(ports)


def _check_external(spec: Object) -> list[FieldError]:
    errors = [
        field_forbidden(f"spec.{name}", "may not be set for ExternalName services")
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(name)
    ]
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        return [*errors, required("spec.externalName")]
    return errors + all_wrong("spec.externalName", name, formats.subdomain(name))


def _check_service_port(port: Object, named: bool, names: set[str], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, number = port.get("name", ""), port.get("port", 0)
    if name:
        errors += all_wrong(f"{field}.name", name, formats.dns_label(name))
        if name in names:
            errors.append(duplicate(f"{field}.name", name))
        names.add(name)
    elif named:
        errors.append(required(f"{field}.name"))
    errors += all_wrong(f"{field}.port", number, formats.port_number(number))
    if port.get("protocol") not in _PROTOCOLS:
        errors.append(not_supported(f"{field}.protocol", port.get("protocol", ""), _PROTOCOLS))
    return errors + check_port(port.get("targetPort", 0), f"{field}.targetPort")


def _check_session(spec: Object) -> list[FieldError]:
    affinity = spec.get("sessionAffinity", "")
    if affinity not in _AFFINITIES:
        return [not_supported("spec.sessionAffinity", affinity, _AFFINITIES)]
    if affinity == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= _MAX_AFFINITY_SECONDS:
            field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            return [invalid_value(field, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY_SECONDS}")]
    return []


def _check_duplicate_ports(ports: list[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: list[Object] = []
    for index, port in enumerate(ports):
        key = {"protocol": port.get("protocol"), "port": port.get("port")}
        if key in seen:
            errors.append(duplicate(f"spec.ports[{index}]", key))
        seen.append(key)
    return errors


def check_service_update(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a Service.

    Args:
        new: the object after the change.
        old: the object as stored.
    """
    after, before = new["spec"], old["spec"]
    if "ExternalName" in {after.get("type"), before.get("type")}:
        return []
    addresses, were = after.get("clusterIPs") or [], before.get("clusterIPs") or []
    if not addresses and were:
        return [invalid_value("spec.clusterIPs[0]", addresses, "primary clusterIP can not be unset")]
    if were and addresses[0] != were[0]:
        return [invalid_value("spec.clusterIPs[0]", addresses, "may not change once set")]
    return []


def check_endpoints(obj: Object) -> list[FieldError]:
    """Check Endpoints.

    Args:
        obj: the object, defaults set.
    """
    errors: list[FieldError] = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        where = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(where, "must specify `addresses` or `notReadyAddresses`"))
        for part in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(part) or ()):
                ip, field = address.get("ip", ""), f"{where}.{part}[{at}].ip"
                wrong = formats.ip_address(ip)
                errors += all_wrong(field, ip, wrong)
                if not wrong and ipaddress.ip_address(ip).is_loopback:
                    text = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
                    errors.append(invalid_value(field, ip, text))
        ports = subset.get("ports") or []
        for at, port in enumerate(ports):
            field = f"{where}.ports[{at}]"
            if not port.get("name") and len(ports) > 1:
                errors.append(required(f"{field}.name"))
            errors += all_wrong(f"{field}.port", port.get("port", 0), formats.port_number(port.get("port", 0)))
    return errors
