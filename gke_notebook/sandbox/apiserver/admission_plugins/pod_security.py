"""Pod Security admission: the levels that a namespace's labels ask for.

Source: k8s.io/pod-security-admission v0.34, admission/admission.go and api/helpers.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gke_notebook.sandbox.apiserver import status
from gke_notebook.sandbox.apiserver.kinds import Kind, find
from gke_notebook.sandbox.apiserver.status import FieldError, invalid_value, quote
from gke_notebook.sandbox.apiserver.store import Store

from .pod_checks import LATEST, violations

Object = dict[str, Any]
_PREFIX = "pod-security.kubernetes.io/"
_LEVELS = ("privileged", "baseline", "restricted")
_VERSION = re.compile(r"v1\.(0|[1-9]\d{0,4})")


def _kind(plural: str, group: str = "") -> Kind:
    found = find(group, "v1", plural)
    assert found is not None
    return found


_NAMESPACES, _PODS, _JOBS = _kind("namespaces"), _kind("pods"), _kind("jobs", "batch")


@dataclass(frozen=True)
class Level:
    """What one mode asks for.

    Args:
        name: ``privileged``, ``baseline`` or ``restricted``.
        version: ``latest`` or for example ``v1.30``.
    """

    name: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    def broken(self, meta: Object, spec: Object) -> list[str]:
        """Say what the level does not allow of a pod, with and without details.

        Args:
            meta: the metadata of the pod or the template.
            spec: its spec.

        Returns:
            The text with details and the one without; empty when all is allowed.
        """
        minor = LATEST if self.version == "latest" else int(self.version[3:])
        found = violations(self.name, minor, meta, spec)
        return [", ".join(map(str, found)), ", ".join(each.reason for each in found)] if found else []


@dataclass(frozen=True)
class Policy:
    """What a namespace asks for: what is refused and what is warned of. Nobody reads an audit log here.

    Args:
        enforce: what is refused.
        warn: what is warned of.
    """

    enforce: Level = Level()
    warn: Level = Level()


def policy(labels: Mapping[str, str]) -> tuple[Policy, list[FieldError]]:
    """Read the labels of a namespace; what cannot be read counts as restricted, or for warnings as privileged.

    Args:
        labels: the namespace's labels.

    Returns:
        The policy, and what is wrong with the labels.
    """
    errors: list[FieldError] = []
    levels: dict[str, Level] = {}
    for mode in ("enforce", "audit", "warn"):
        name = labels.get(_PREFIX + mode, "privileged")
        version = labels.get(f"{_PREFIX}{mode}-version", "latest")
        if name not in _LEVELS:
            errors.append(invalid_value(_field(mode), name, f"must be one of {', '.join(_LEVELS)}"))
            name = "restricted" if mode == "enforce" else "privileged"
        if version != "latest" and not _VERSION.fullmatch(version):
            errors.append(invalid_value(_field(f"{mode}-version"), version, 'must be "latest" or "v1.x"'))
            version = "latest"
        levels[mode] = Level(name, version)
    enforce, warn = levels["enforce"], levels["warn"]
    if _PREFIX + "warn" not in labels and labels.get(_PREFIX + "enforce") in {"baseline", "restricted"}:
        version = warn.version if f"{_PREFIX}warn-version" in labels else enforce.version
        warn = Level(enforce.name, version)
    return Policy(enforce, warn), errors


def _field(label: str) -> str:
    return f"metadata.labels[{_PREFIX}{label}]"


def check_create(store: Store, kind: Kind, obj: Object) -> list[str]:
    """Look at a new object; gives warnings.

    Args:
        store: the state.
        kind: its kind; pods, jobs and namespaces are looked at.
        obj: the object.

    Raises:
        StatusError: 403 for a pod that the namespace does not allow, 422 for a namespace with wrong labels.
    """
    name = obj["metadata"].get("name", "")
    if kind is _NAMESPACES:
        errors = policy(obj["metadata"].get("labels") or {})[1]
        if errors:
            raise status.invalid(kind, name, errors)
        return []
    if kind not in {_PODS, _JOBS}:
        return []
    wanted = _policy_of(store, obj["metadata"].get("namespace", ""))
    if wanted is None:
        return []
    whole = obj if kind is _PODS else obj["spec"]["template"]
    meta, spec = whole.get("metadata") or {}, whole["spec"]
    if kind is _PODS:
        broken = wanted.enforce.broken(meta, spec)
        if broken:
            raise status.forbidden(kind, name, f"violates PodSecurity {quote(str(wanted.enforce))}: {broken[0]}")
    broken = wanted.warn.broken(meta, spec)
    return [f"would violate PodSecurity {quote(str(wanted.warn))}: {broken[0]}"] if broken else []


def check_update(store: Store, kind: Kind, new: Object, old: Object) -> list[str]:
    """Look at a changed object; gives warnings.

    Args:
        store: the state.
        kind: its kind.
        new: the object after the change.
        old: the object as stored.

    Raises:
        StatusError: as `check_create`.
    """
    if kind is _NAMESPACES:
        return _changed_policy(store, new, old)
    if kind is _PODS and _images(new) == _images(old):
        return []
    return check_create(store, kind, new)


def _images(pod: Object) -> list[list[Any]]:
    return [[each.get("image") for each in pod["spec"].get(key) or ()] for key in ("containers", "initContainers")]


def _policy_of(store: Store, namespace: str) -> Policy | None:
    entry = store.get(_NAMESPACES, "", namespace)
    labels = (entry.head["metadata"].get("labels") or {}) if entry is not None else {}
    return policy(labels)[0] if any(name.startswith(_PREFIX) for name in labels) else None


def _changed_policy(store: Store, new: Object, old: Object) -> list[str]:
    name = new["metadata"]["name"]
    (after, errors), (before, known) = (policy(each["metadata"].get("labels") or {}) for each in (new, old))
    if errors and errors != known:
        raise status.invalid(_NAMESPACES, name, errors)
    level, past = after.enforce, before.enforce
    relaxed = level.version == past.version and _LEVELS.index(level.name) <= _LEVELS.index(past.name)
    if level == past or level.name == "privileged" or relaxed:
        return []
    pods: dict[str, list[str]] = {}
    for entry in store.of(_PODS).all(name):
        pod = entry.object()
        broken = level.broken(pod["metadata"], pod["spec"])
        if broken:
            pods.setdefault(broken[1], []).append(entry.name)
    if not pods:
        return []
    said = []
    for text, names in pods.items():
        more = len(names) - 1
        others = f" (and {more} other pod{'s' if more > 1 else ''})" if more else ""
        said.append(f"{min(names)}{others}: {text}")
    head = f"existing pods in namespace {quote(name)} violate the new PodSecurity enforce level {quote(str(level))}"
    return [head, *sorted(said)]
