"""Objects as metav1 Tables, with the columns `kubectl get` shows.

Source of the columns: Kubernetes 1.34 (`pkg/printers/internalversion`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from . import status
from .durations import human, since
from .kinds import Kind
from .pod_table import pod_cells

Object = dict[str, Any]
Cells = Callable[[Object, datetime], list[Any]]

_NONE = "<none>"
_ROLE = "node-role.kubernetes.io/"


def _age(obj: Object, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def _conditions(obj: Object) -> dict[str, bool]:
    found = (obj.get("status") or {}).get("conditions") or ()
    return {each.get("type", ""): each.get("status") == "True" for each in found}


def _labels(labels: dict[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or _NONE


def _selector(selector: Object | None) -> str:
    if not selector:
        return _NONE
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        key, operator = each.get("key", ""), each.get("operator", "")
        values = f"({','.join(sorted(each.get('values') or ()))})"
        parts.append(
            {"In": f"{key} in {values}", "NotIn": f"{key} notin {values}", "Exists": key}.get(operator, f"!{key}")
        )
    return ",".join(sorted(parts)) or _NONE


def _job(obj: Object, now: datetime) -> list[Any]:
    spec, found = obj.get("spec") or {}, obj.get("status") or {}
    succeeded, completions, parallelism = found.get("succeeded", 0), spec.get("completions"), spec.get("parallelism", 0)
    if completions is not None:
        done = f"{succeeded}/{completions}"
    else:
        done = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    conditions = _conditions(obj)
    state = "Running"
    for condition in ("SuccessCriteriaMet", "FailureTarget", "Suspended"):
        state = condition if conditions.get(condition) else state
    if obj["metadata"].get("deletionTimestamp"):
        state = "Terminating"
    for condition in ("Failed", "Complete"):
        state = condition if conditions.get(condition) else state
    start, end = found.get("startTime"), found.get("completionTime")
    duration = "" if not start else human(start, end or now)
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    names = ",".join(each.get("name", "") for each in containers)
    images = ",".join(each.get("image", "") for each in containers)
    return [_name(obj), state, done, duration, _age(obj, now), names, images, _selector(spec.get("selector"))]


def _node(obj: Object, now: datetime) -> list[Any]:
    found, labels = obj.get("status") or {}, obj["metadata"].get("labels") or {}
    info = found.get("nodeInfo") or {}
    conditions = _conditions(obj)
    state = "Unknown" if "Ready" not in conditions else "Ready" if conditions["Ready"] else "NotReady"
    if (obj.get("spec") or {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    roles = {key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE)} - {""}
    if labels.get("kubernetes.io/role"):
        roles.add(labels["kubernetes.io/role"])
    addresses: dict[str, str] = {}
    for each in found.get("addresses") or ():
        addresses.setdefault(each.get("type", ""), each.get("address", ""))
    wide = [addresses.get("InternalIP", _NONE), addresses.get("ExternalIP", _NONE)]
    wide += [info.get(key) or "<unknown>" for key in ("osImage", "kernelVersion", "containerRuntimeVersion")]
    shown = ",".join(sorted(roles)) or _NONE
    return [_name(obj), state, shown, _age(obj, now), info.get("kubeletVersion", ""), *wide]


def _service(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    addresses, kind = spec.get("clusterIPs") or [], spec.get("type", "")
    external = ",".join(spec.get("externalIPs") or ())
    if kind == "LoadBalancer":
        balancer = (obj.get("status") or {}).get("loadBalancer") or {}
        ingress = [each.get("ip") or each.get("hostname", "") for each in balancer.get("ingress") or ()]
        external = ",".join([*ingress, *(spec.get("externalIPs") or ())]) or "<pending>"
    elif kind == "ExternalName":
        external = spec.get("externalName", "")
    ports = ",".join(
        f"{port.get('port', 0)}:{port['nodePort']}/{port.get('protocol', '')}"
        if port.get("nodePort")
        else f"{port.get('port', 0)}/{port.get('protocol', '')}"
        for port in spec.get("ports") or ()
    )
    return [
        _name(obj), kind, addresses[0] if addresses else _NONE, external or _NONE, ports or _NONE,
        _age(obj, now), _labels(spec.get("selector")),
    ]  # fmt: skip


def _config_map(obj: Object, now: datetime) -> list[Any]:
    return [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _age(obj, now)]


def _secret(obj: Object, now: datetime) -> list[Any]:
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or ()), _age(obj, now)]


def _event(obj: Object, now: datetime) -> list[Any]:
    involved, source = obj.get("involvedObject") or {}, obj.get("source") or {}
    series = obj.get("series")
    first = since(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    last = since(obj["lastTimestamp"], now) if obj.get("lastTimestamp") else first
    count = obj.get("count") or 1
    if series is not None:
        last, count = since(series.get("lastObservedTime"), now), series.get("count", 0)
    target = involved.get("kind", "").lower() + (f"/{involved['name']}" if involved.get("name") else "")
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        last, obj.get("type", ""), obj.get("reason", ""), target, involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component, obj.get("message", "").strip(), first, count, _name(obj),
    ]  # fmt: skip


def _namespace(obj: Object, now: datetime) -> list[Any]:
    return [_name(obj), (obj.get("status") or {}).get("phase", ""), _age(obj, now)]


def _lease(obj: Object, now: datetime) -> list[Any]:
    return [_name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", _age(obj, now)]


def _service_account(obj: Object, now: datetime) -> list[Any]:
    return [_name(obj), len(obj.get("secrets") or ()), _age(obj, now)]


def _endpoints(obj: Object, now: datetime) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [each.get("ip", "") for each in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            found += addresses
        for port in ports:
            found += [f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}" for ip in addresses]
    shown = ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "")
    return [_name(obj), shown if obj.get("subsets") else _NONE, _age(obj, now)]


def _policy(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    kind = spec.get("paramKind")
    shown = "<unset>" if kind is None else f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"
    return [_name(obj), len(spec.get("validations") or ()), shown, _age(obj, now)]


def _policy_binding(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    ref, shown = spec.get("paramRef"), "<unset>"
    if ref is not None and ref.get("name"):
        shown = f"{ref.get('namespace') or '*'}/{ref['name']}"
    elif ref is not None and ref.get("selector") is not None:
        shown = _go_selector(ref["selector"])
    return [_name(obj), spec.get("policyName", ""), shown, _age(obj, now)]


def _go_selector(selector: Object) -> str:
    """Write a selector as Go prints the struct, which is what the server shows here."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{each.get('key', '')},Operator:{each.get('operator', '')},"
        f"Values:[{' '.join(each.get('values') or ())}],}},"
        for each in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def _priority_class(obj: Object, now: datetime) -> list[Any]:
    default = bool(obj.get("globalDefault"))
    return [_name(obj), obj.get("value", 0), default, _age(obj, now), obj.get("preemptionPolicy", "")]


def _quota(obj: Object, now: datetime) -> list[Any]:
    found = obj.get("status") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name, hard in sorted((found.get("hard") or {}).items()):
        shown = f"{name}: {(found.get('used') or {}).get(name, '0')}/{hard}"
        (limits if name.startswith("limits.") else requests).append(shown)
    return [_name(obj), ", ".join(requests), ", ".join(limits), _age(obj, now)]


def _role_binding(obj: Object, now: datetime) -> list[Any]:
    reference = obj.get("roleRef") or {}
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for each in obj.get("subjects") or ():
        shown = each.get("name", "")
        if each.get("kind") == "ServiceAccount":
            shown = f"{each.get('namespace', '')}/{shown}"
        subjects.setdefault(each.get("kind", ""), []).append(shown)
    role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
    return [_name(obj), role, _age(obj, now), *(", ".join(found) for found in list(subjects.values())[:3])]


def _other(obj: Object, now: datetime) -> list[Any]:
    del now
    return [_name(obj), obj["metadata"].get("creationTimestamp", "")]


_BINDING_COLUMNS = ("Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts")

# Per kind: the columns, with a leading "+" where only `-o wide` shows them, and what makes the cells.
_TABLES: dict[str, tuple[tuple[str, ...], Cells]] = {
    "Pod": (
        ("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"),
        pod_cells,
    ),
    "Job": (
        ("Name", "Status", "Completions", "Duration", "Age", "+Containers", "+Images", "+Selector"),
        _job,
    ),
    "Node": (
        (
            "Name", "Status", "Roles", "Age", "Version", "+Internal-IP", "+External-IP", "+OS-Image",
            "+Kernel-Version", "+Container-Runtime",
        ),
        _node,
    ),
    "Service": (("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), _service),
    "ConfigMap": (("Name", "Data", "Age"), _config_map),
    "Secret": (("Name", "Type", "Data", "Age"), _secret),
    "Event": (
        (
            "Last Seen", "Type", "Reason", "Object", "+Subobject", "+Source", "Message", "+First Seen", "+Count",
            "+Name",
        ),
        _event,
    ),
    "Namespace": (("Name", "Status", "Age"), _namespace),
    "Lease": (("Name", "Holder", "Age"), _lease),
    "ServiceAccount": (("Name", "Secrets", "Age"), _service_account),
    "Endpoints": (("Name", "Endpoints", "Age"), _endpoints),
    "ResourceQuota": (("Name", "Request", "Limit", "Age"), _quota),
    "RoleBinding": (_BINDING_COLUMNS, _role_binding),
    "ClusterRoleBinding": (_BINDING_COLUMNS, _role_binding),
    "ValidatingAdmissionPolicy": (("Name", "Validations", "ParamKind", "Age"), _policy),
    "ValidatingAdmissionPolicyBinding": (("Name", "PolicyName", "ParamRef", "Age"), _policy_binding),
    "PriorityClass": (("Name", "Value", "Global-Default", "Age", "PreemptionPolicy"), _priority_class),
}  # fmt: skip
_OTHER: tuple[tuple[str, ...], Cells] = (("Name", "Created At"), _other)
_TYPES = {"Value": "integer", "Validations": "integer", "Global-Default": "boolean", "Created At": "date"}
_DONE = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


def _definitions(columns: tuple[str, ...]) -> list[Object]:
    found = []
    for column in columns:
        name = column.removeprefix("+")
        found.append(
            {
                "name": name,
                "type": _TYPES.get(name, "string"),
                "format": "name" if name == "Name" else "",
                "description": "",
                "priority": 1 if column.startswith("+") else 0,
            }
        )
    return found


def _shown_object(obj: Object, include: str) -> Object | None:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(
    kind: Kind,
    objects: Iterable[Object],
    *,
    metadata: Object,
    now: datetime,
    include_object: str = "Metadata",
    columns: bool = True,
) -> Object:
    """Give the Table of a list, of one object or of one watch event.

    Args:
        kind: the objects' kind.
        objects: whole objects.
        metadata: the `metadata` of the Table: the list's (resourceVersion, continue), or the single object's
            resourceVersion.
        now: the time ages are counted from, with a time zone.
        include_object: the `includeObject` parameter: ``None``, ``Metadata`` or ``Object``; empty means Metadata.
        columns: whether to send the column definitions (a watch sends them with its first event only).

    Raises:
        StatusError: 400 for another `includeObject`.
    """
    include = include_object or "Metadata"
    if include not in {"None", "Metadata", "Object"}:
        raise status.bad_request(f"unrecognized includeObject value: {status.quote(include)}")
    rules = kind.rules
    names, cells = ((), rules.cells) if rules is not None else _TABLES.get(kind.kind, _OTHER)
    rows = []
    for obj in objects:
        row: Object = {"cells": cells(obj, now), "object": _shown_object(obj, include)}
        phase = (obj.get("status") or {}).get("phase") if kind.kind == "Pod" else None
        if phase in _DONE:
            condition = {"type": "Completed", "status": "True", "reason": phase, "message": _DONE[phase]}
            row["conditions"] = [condition]
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": None if not columns else _definitions(names) if rules is None else rules.columns(),
        "rows": rows,
    }
