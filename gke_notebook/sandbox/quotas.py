"""What an object uses of a resource quota: one reckoning for the server's admission and for the quota controller.

Source: kubernetes v1.34, pkg/quota/v1/evaluator/core and apiserver/pkg/quota/v1/generic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gke_notebook.sandbox import quantity

Object = dict[str, Any]
Amounts = dict[str, str]

# Never counted: what is not stored, and events (kubernetes v1.34, pkg/quota/v1/install/registry.go).
IGNORED = frozenset({"events", "bindings"})
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_NAMES = frozenset(
    {"count/pods", "pods", *_COMPUTE, *(f"{part}.{name}" for part in ("requests", "limits") for name in _COMPUTE)}
)
_HUGE = ("hugepages-", "requests.hugepages-")
_SERVICE_NAMES = frozenset({"count/services", "services", "services.nodeports", "services.loadbalancers"})
_ALIASES = {
    "configmaps": "configmaps",
    "resourcequotas": "resourcequotas",
    "replicationcontrollers": "replicationcontrollers",
    "secrets": "secrets",
}
# A quota of these makes containers that do not say how much they want inadmissible.
_MUST_BE_SAID = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})


def is_extended(name: str) -> bool:
    """Tell whether a resource is none of Kubernetes' own, such as ``nvidia.com/gpu``.

    Args:
        name: the resource.
    """
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def _is_extended_quota(name: str) -> bool:
    return "/" in name and "kubernetes.io/" not in name and name.startswith("requests.")


def tracked(resource: str, names: Iterable[str]) -> list[str]:
    """Give those names of a quota that objects of a resource count for.

    Args:
        resource: the plural with its group, for example ``jobs.batch``.
        names: the resources that a quota bounds.

    Example:
        >>> tracked("pods", ["requests.nvidia.com/gpu", "count/jobs.batch", "cpu"])
        ['requests.nvidia.com/gpu', 'cpu']
    """
    if resource == "pods":
        return [each for each in names if each in _POD_NAMES or each.startswith(_HUGE) or _is_extended_quota(each)]
    if resource == "services":
        return [each for each in names if each in _SERVICE_NAMES]
    own = {f"count/{resource}", _ALIASES.get(resource, "")}
    return [each for each in names if each in own]


def usage(resource: str, obj: Object, now: datetime) -> Amounts:
    """Measure what one object uses.

    Args:
        resource: the plural with its group.
        obj: the object.
        now: the time, with its zone: a pod that should have ended no longer counts.
    """
    if resource == "pods":
        found = {"count/pods": "1"}
        if _counts(obj, now):
            requests, limits = pod_resources(obj["spec"], "requests"), pod_resources(obj["spec"], "limits")
            found.update(_compute(requests, limits))
        return found
    found = {f"count/{resource}": "1"}
    if resource == "services":
        found |= {"services": "1", **_ports(obj.get("spec") or {})}
    elif resource in _ALIASES:
        found[_ALIASES[resource]] = "1"
    return found


def _counts(pod: Object, now: datetime) -> bool:
    if (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}:
        return False
    meta = pod["metadata"]
    if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds") is not None:
        end = msgspec.convert(meta["deletionTimestamp"], datetime)
        return now <= end + timedelta(seconds=meta["deletionGracePeriodSeconds"])
    return True


def _compute(requests: Amounts, limits: Amounts) -> Amounts:
    found = {"pods": "1"}
    for name in _COMPUTE:
        if name in requests:
            found[name] = found[f"requests.{name}"] = requests[name]
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            found[name] = found[f"requests.{name}"] = amount
        elif is_extended(name):
            found[f"requests.{name}"] = amount
    return found


def _ports(spec: Object) -> Amounts:
    kind, ports = spec.get("type"), spec.get("ports") or ()
    balancers, nodes = "0", 0
    if kind == "NodePort":
        nodes = len(ports)
    elif kind == "LoadBalancer":
        balancers = "1"
        if spec.get("allocateLoadBalancerNodePorts") is False:
            nodes = sum(1 for port in ports if port.get("nodePort"))
        else:
            nodes = len(ports)
    return {"services.loadbalancers": balancers, "services.nodeports": str(nodes)}


def pod_resources(spec: Object, part: str, *, overhead: bool = True) -> Amounts:
    """Add up what a pod asks for: its containers, or its greatest moment while init containers run.

    Args:
        spec: the pod's spec.
        part: ``requests`` or ``limits``.
        overhead: whether the runtime class's overhead counts.
    """
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _sum(total, (container.get("resources") or {}).get(part) or {})
    sidecars: Amounts = {}
    greatest: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = (container.get("resources") or {}).get(part) or {}
        if container.get("restartPolicy") == "Always":
            _sum(total, own)
            _sum(sidecars, own)
            moment = dict(sidecars)
        else:
            moment = dict(own)
            _sum(moment, sidecars)
        _greater(greatest, moment)
    _greater(total, greatest)
    if overhead:
        extra = spec.get("overhead") or {}
        _sum(total, extra if part == "requests" else {name: extra[name] for name in extra if name in total})
    return total


def _sum(into: Amounts, more: Mapping[str, str]) -> None:
    for name, amount in more.items():
        into[name] = quantity.add(into[name], amount) if name in into else amount


def _greater(into: Amounts, other: Mapping[str, str]) -> None:
    for name, amount in other.items():
        if name not in into or quantity.parse(amount) > quantity.parse(into[name]):
            into[name] = amount


def selectors(quota: Object) -> list[Object]:
    """Give the scopes of a quota as requirements.

    Args:
        quota: the ResourceQuota.
    """
    spec = quota.get("spec") or {}
    plain = [{"scopeName": each, "operator": "Exists"} for each in spec.get("scopes") or ()]
    return plain + list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())


def in_scope(resource: str, quota: Object, obj: Object) -> bool:
    """Tell whether an object lies in all scopes of a quota.

    Args:
        resource: the plural with its group; only pods lie in scopes.
        quota: the ResourceQuota.
        obj: the object.
    """
    found = selectors(quota)
    return not found or (resource == "pods" and all(_matches(each, obj["spec"], obj) for each in found))


def _matches(selector: Object, spec: Object, pod: Object) -> bool:
    scope = selector.get("scopeName")
    if scope in {"Terminating", "NotTerminating"}:
        return ends(spec) is (scope == "Terminating")
    if scope in {"BestEffort", "NotBestEffort"}:
        return is_best_effort(pod) is (scope == "BestEffort")
    if scope == "PriorityClass":
        name, values = spec.get("priorityClassName") or "", selector.get("values") or ()
        match selector.get("operator"):
            case "Exists":
                return bool(name)
            case "DoesNotExist":
                return not name
            case "In":
                return bool(name and name in values)
            case _:
                return bool(name not in values)
    return scope == "CrossNamespacePodAffinity" and _affine(spec.get("affinity") or {})


def ends(spec: Object) -> bool:
    """Tell whether a pod has a deadline (scope ``Terminating``).

    Args:
        spec: the pod's spec.
    """
    deadline = spec.get("activeDeadlineSeconds")
    return deadline is not None and bool(deadline >= 0)


def is_best_effort(pod: Object) -> bool:
    """Tell whether no container of a pod asks for CPU or memory.

    Args:
        pod: the pod.
    """
    spec = pod["spec"]
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        for part in ("requests", "limits"):
            for name, amount in (resources.get(part) or {}).items():
                if name in {"cpu", "memory"} and quantity.parse(amount) > 0:
                    return False
    return True


def _affine(affinity: Object) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        terms = list(found.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each.get("podAffinityTerm") or {} for each in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def unsaid(names: Iterable[str], pod: Object) -> str:
    """Say which containers do not state what a quota bounds; empty when all do.

    Args:
        names: the resources of the quota that pods count for.
        pod: the pod.
    """
    wanted = _MUST_BE_SAID & set(names)
    missing: dict[str, set[str]] = {}
    spec = pod["spec"]
    if spec.get("resources"):
        return ""
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        said = _compute(resources.get("requests") or {}, resources.get("limits") or {})
        for name in wanted - set(said):
            missing.setdefault(name, set()).add(container.get("name", ""))
    parts = [f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing)]
    return "must specify " + "; ".join(parts) if parts else ""


def total(quota: Object, objects: Mapping[str, Iterable[Object]], now: datetime) -> Amounts:
    """Add up what is used of a quota.

    Args:
        quota: the ResourceQuota.
        objects: everything in its namespace that could count, by plural with group.
        now: the time, with its zone.

    Returns:
        For each bounded resource that some kind counts for, what is used.
    """
    hard = (quota.get("spec") or {}).get("hard") or {}
    used: Amounts = {}
    for resource, found in objects.items():
        names = tracked(resource, hard)
        for name in names:
            used.setdefault(name, "0")
        if not names:
            continue
        for obj in found:
            if in_scope(resource, quota, obj):
                own = usage(resource, obj, now)
                for name in names:
                    if name in own:
                        used[name] = quantity.add(used[name], own[name])
    return used
