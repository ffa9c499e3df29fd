"""What the pods of a cluster request on each node, kept up to date by one watch."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gke_notebook.insight.demand import Amounts, amount_of
from gke_notebook.objects import ResourceRequirements

NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


class _Metadata(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Container(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    resources: ResourceRequirements = ResourceRequirements()


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_name: str = ""
    containers: tuple[_Container, ...] = ()


class BoundPod(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a pod that says what it takes from which node."""

    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()


Key = tuple[str, str]


class Usage:
    """Adds up what is requested on each node; a pod that has not changed since the last time costs next to nothing."""

    def __init__(self) -> None:
        self._pods: dict[Key, BoundPod] = {}
        self._by_node: dict[str, dict[str, float]] = {}

    def update(self, pods: Mapping[Key, BoundPod]) -> Mapping[str, Amounts]:
        """Take the pods as they are now.

        Args:
            pods: every pod that has not ended, by namespace and name; an unchanged pod is the same object.

        Returns:
            What is requested, by the node's name and by resource; ``pods`` counts them.
        """
        seen = self._pods
        if len(seen) != len(pods) or seen.keys() != pods.keys():
            for key in seen.keys() - pods.keys():
                self._add(seen.pop(key), -1.0)
        for key, pod in pods.items():
            before = seen.get(key)
            if before is pod:
                continue
            if before is not None:
                self._add(before, -1.0)
            seen[key] = pod
            self._add(pod, 1.0)
        return self._by_node

    def _add(self, pod: BoundPod, sign: float) -> None:
        node = pod.spec.node_name
        if not node:
            return
        total = self._by_node.setdefault(node, {})
        total["pods"] = total.get("pods", 0.0) + sign
        for container in pod.spec.containers:
            # For an extended resource only the limit need be given (Kubernetes documentation, "Schedule GPUs").
            for name, value in {**container.resources.limits, **container.resources.requests}.items():
                total[name] = total.get(name, 0.0) + sign * amount_of(value)
