"""LimitRange: defaults for containers that do not say what they want, and bounds for all.

Source: kubernetes v1.34, plugin/pkg/admission/limitranger/admission.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.apiserver import status
from gke_notebook.sandbox.apiserver.kinds import Kind, find
from gke_notebook.sandbox.apiserver.store import Store
from gke_notebook.sandbox.quotas import Amounts, pod_resources

Object = dict[str, Any]
_ANNOTATION = "kubernetes.io/limit-ranger"
_MOST_MILLI = (2**63 - 1) // 1000  # greater amounts are compared without their thousandths
_FOUND = find("", "v1", "limitranges")
assert _FOUND is not None
LIMIT_RANGES: Kind = _FOUND


def set_defaults(store: Store, pod: Object) -> None:
    """Fill in what the namespace's limit ranges say of containers that say nothing, in place.

    Args:
        store: the state.
        pod: a new pod.
    """
    for limits in _limits(store, pod):
        fill(limits, pod)


def check(store: Store, kind: Kind, pod: Object) -> None:
    """Refuse a pod that lies outside of the namespace's limit ranges.

    Args:
        store: the state.
        kind: pods.
        pod: a new pod, with all defaults.

    Raises:
        StatusError: 403.
    """
    for limits in _limits(store, pod):
        found = list(dict.fromkeys(wrong(limits, pod["spec"])))
        if found:
            text = found[0] if len(found) == 1 else "[" + ", ".join(found) + "]"
            raise status.forbidden(kind, pod["metadata"].get("name", ""), text)


def _limits(store: Store, pod: Object) -> Iterator[list[Object]]:
    collection = store.of(LIMIT_RANGES)
    namespace = pod["metadata"].get("namespace", "")
    if namespace in collection.namespaces:
        for entry in collection.all(namespace):
            yield (entry.object().get("spec") or {}).get("limits") or []


def fill(limits: list[Object], pod: Object) -> None:
    """Apply the defaults of one limit range to a pod, in place, and note them in an annotation.

    Args:
        limits: the range's limits.
        pod: the pod.
    """
    wanted: dict[str, Amounts] = {"requests": {}, "limits": {}}
    for limit in limits:
        if limit.get("type") == "Container":
            wanted["requests"].update(limit.get("defaultRequest") or {})
            wanted["limits"].update(limit.get("default") or {})
    notes: list[str] = []
    spec = pod["spec"]
    for word, containers in (("container", "containers"), ("init container", "initContainers")):
        for container in spec.get(containers) or ():
            resources = container.setdefault("resources", {})
            for part, one in (("requests", "request"), ("limits", "limit")):
                missing = sorted(set(wanted[part]) - set(resources.get(part) or ()))
                if missing:
                    resources[part] = {**(resources.get(part) or {}), **{name: wanted[part][name] for name in missing}}
                    notes.append(f"{', '.join(missing)} {one} for {word} {container.get('name', '')}")
    if notes:
        annotations = dict(pod["metadata"].get("annotations") or {})
        annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)
        pod["metadata"]["annotations"] = annotations


def wrong(limits: list[Object], spec: Object) -> Iterator[str]:
    """Say where a pod lies outside of a limit range.

    Args:
        limits: the range's limits.
        spec: the pod's spec, with all defaults.
    """
    for limit in limits:
        if limit.get("type") == "Container":
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                resources = container.get("resources") or {}
                yield from _outside(limit, "Container", resources.get("requests") or {}, resources.get("limits") or {})
        elif limit.get("type") == "Pod":
            requests = pod_resources(spec, "requests", overhead=False)
            yield from _outside(limit, "Pod", requests, pod_resources(spec, "limits", overhead=False))


def _outside(limit: Object, of: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for check, part in ((_below, "min"), (_above, "max"), (_ratio, "maxLimitRequestRatio")):
        for name, bound in sorted((limit.get(part) or {}).items()):
            text = check(name, of, bound, requests.get(name), limits.get(name))
            if text:
                yield text


def _below(name: str, of: str, bound: str, request: str | None, limit: str | None) -> str:
    said = f"minimum {name} usage per {of} is {bound}"
    if request is None:
        return f"{said}.  No request is specified"
    if quantity.parse(request) < quantity.parse(bound):
        return f"{said}, but request is {request}"
    if limit is not None and quantity.parse(limit) < quantity.parse(bound):
        return f"{said}, but limit is {limit}"
    return ""


def _above(name: str, of: str, bound: str, request: str | None, limit: str | None) -> str:
    said = f"maximum {name} usage per {of} is {bound}"
    if limit is None:
        return f"{said}.  No limit is specified"
    if quantity.parse(limit) > quantity.parse(bound):
        return f"{said}, but limit is {limit}"
    if request is not None and quantity.parse(request) > quantity.parse(bound):
        return f"{said}, but request is {request}"
    return ""


def _ratio(name: str, of: str, bound: str, request: str | None, limit: str | None) -> str:
    said = f"{name} max limit to request ratio per {of} is {bound}"
    if request is None or quantity.parse(request) == 0:
        return f"{said}, but no request is specified or request is 0"
    if limit is None or quantity.parse(limit) == 0:
        return f"{said}, but no limit is specified or limit is 0"
    # In floating point, as the server reckons: 1100m to 1 is more than 1.1.
    most = quantity.parse(bound)
    whole = max(quantity.parse(request), quantity.parse(limit), most) > _MOST_MILLI
    ratio = _parts(limit, 1 if whole else 1000) / _parts(request, 1 if whole else 1000)
    parts = 1 if most > _MOST_MILLI else 1000
    return f"{said}, but provided ratio is {ratio:.6f}" if ratio * parts > _parts(bound, parts) else ""


def _parts(amount: str, parts: int) -> float:
    return float(math.ceil(quantity.parse(amount) * parts))
