"""What the sandbox's scheduler and kubelet leave out of a pod's wishes, told to who creates it as a warning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gke_notebook.sandbox.apiserver.kinds import Kind

Object = dict[str, Any]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_PENDING = "the sandbox's scheduler does not implement it: the pod stays Pending"
_IGNORED = "the sandbox's scheduler does not implement it: it is ignored"
_NOT_RUN = "the sandbox's kubelet does not run it: it is ignored"
_HOOKS = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")


def warnings(kind: Kind, obj: Object) -> list[str]:
    """Say what of a new pod, or of the pods of a new Job, the scheduler or the kubelet does not honour.

    Args:
        kind: the kind of the object.
        obj: the object, valid.
    """
    if kind.rules is not None or kind.kind not in {"Pod", "Job"}:
        return []
    spec, path = obj["spec"], "spec"
    if kind.kind == "Job":
        spec, path = spec["template"]["spec"], "spec.template.spec"
    found = list(_not_run(spec))
    if (spec.get("schedulerName") or "default-scheduler") == "default-scheduler":
        found = [*_not_scheduled(spec), *found]
    return [f"{path}.{field}: {text}" for field, text in found]


def _not_run(spec: Object) -> Iterator[tuple[str, str]]:
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from ((f"{field}[{index}].{hook}", _NOT_RUN) for hook in _HOOKS if container.get(hook))


def _not_scheduled(spec: Object) -> Iterator[tuple[str, str]]:
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        for rule, text in ((_REQUIRED, _PENDING), (_PREFERRED, _IGNORED)):
            if (affinity.get(name) or {}).get(rule):
                yield f"affinity.{name}.{rule}", text
    for index, item in enumerate(spec.get("topologySpreadConstraints") or ()):
        held = item.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
        yield f"topologySpreadConstraints[{index}]", _PENDING if held else _IGNORED
    if spec.get("resourceClaims"):
        yield "resourceClaims", _PENDING
