"""Which requests a policy or a binding is about.

Source: k8s.io/apiserver v0.34 (`pkg/admission/plugin/policy/matching` and `webhook/predicates`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gke_notebook.sandbox.apiserver.kinds import ADMISSION, Kind
from gke_notebook.sandbox.apiserver.validation.affinity import matches as selects

Object = dict[str, Any]
Labels = Callable[[str], "dict[str, str]"]


@dataclass(frozen=True)
class Request:
    """One write, as the policies see it.

    Args:
        operation: ``CREATE``, ``UPDATE`` or ``DELETE``.
        kind: what is written.
        subresource: for example ``status``, else empty.
        namespace: where; for a Namespace its own name, else empty for kinds without.
        name: the name that was asked for; empty when one is generated.
        new: the object as it would be stored, None for a deletion.
        old: the object as stored, None for a creation.
        user: who writes: `username`, `uid`, `groups`, `extra`.
        dry_run: whether nothing is stored.
        options: the parameters, as an object of the API.
    """

    operation: str
    kind: Kind
    subresource: str
    namespace: str
    name: str
    new: Object | None
    old: Object | None
    user: Object
    dry_run: bool
    options: Object

    @property
    def about_namespace(self) -> bool:
        """Whether it is a namespace that is written."""
        return self.kind.kind == "Namespace" and not self.kind.group


def is_exempt(kind: Kind) -> bool:
    """Tell whether no policy is asked about a kind.

    Args:
        kind: the kind.
    """
    return kind.group == ADMISSION


def matches(request: Request, resources: Object | None, labels_of: Labels) -> bool:
    """Tell whether a request is meant by `matchConstraints` or `matchResources`.

    Args:
        request: the request.
        resources: the constraints, None when there are none.
        labels_of: gives the labels of a namespace.
    """
    if resources is None:
        return True
    if not _namespace_selected(request, resources.get("namespaceSelector"), labels_of):
        return False
    selector = resources.get("objectSelector")
    if selector and not any(
        obj is not None and selects(selector, (obj.get("metadata") or {}).get("labels") or {})
        for obj in (request.new, request.old)
    ):
        return False
    if any(_rule(request, rule) for rule in resources.get("excludeResourceRules") or ()):
        return False
    rules = resources.get("resourceRules")
    return not rules or any(_rule(request, rule) for rule in rules)


def _namespace_selected(request: Request, selector: Object | None, labels_of: Labels) -> bool:
    if not selector or (not request.namespace and not request.about_namespace):
        return True
    if request.about_namespace and request.new is not None and not request.subresource:
        return selects(selector, request.new["metadata"].get("labels") or {})
    return selects(selector, labels_of(request.namespace))


def _rule(request: Request, rule: Object) -> bool:
    return (
        _scope(request, rule.get("scope") or "*")
        and _one_of(rule.get("operations"), request.operation)
        and _one_of(rule.get("apiGroups"), request.kind.group)
        and _one_of(rule.get("apiVersions"), request.kind.version)
        and any(_resource(request, each) for each in rule.get("resources") or ())
        and (not rule.get("resourceNames") or request.name in rule["resourceNames"])
    )


def _one_of(wanted: list[str] | None, value: str) -> bool:
    return wanted is not None and ("*" in wanted or value in wanted)


def _scope(request: Request, scope: str) -> bool:
    if scope == "*":
        return True
    cluster = request.about_namespace or not request.namespace
    return cluster is (scope == "Cluster")


def _resource(request: Request, wanted: str) -> bool:
    name, _, sub = wanted.partition("/")
    return name in {"*", request.kind.plural} and sub in {"*", request.subresource}
