"""What the pods of a cluster request on each node, kept up to date by one watch."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gke_notebook.insight.demand import amount_of
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
    """Adds up what is requested on each node, change by change: a listener of a `cluster.cache.Collection`.

    It belongs to the event loop; `by_node` may be read from any thread, node by node.
    """

    def __init__(self) -> None:
        self.by_node: dict[str, dict[str, float]] = {}

    def replaced(self, pods: Mapping[Key, BoundPod], /) -> None:
        """Take every pod that has not ended.

        Args:
            pods: by namespace and name.
        """
        self.by_node = {}
        for pod in pods.values():
            self._add(pod, 1.0)

    def changed(self, _: Key, pod: BoundPod | None, previous: BoundPod | None, /) -> None:
        """Take one change.

        Args:
            pod: as it is now, None when it is gone or has ended.
            previous: as it was, None when it is new.
        """
        if previous is not None:
            self._add(previous, -1.0)
        if pod is not None:
            self._add(pod, 1.0)

    def _add(self, pod: BoundPod, sign: float) -> None:
        node = pod.spec.node_name
        if not node:
            return
        total = self.by_node.setdefault(node, {})
        total["pods"] = total.get("pods", 0.0) + sign
        for container in pod.spec.containers:
            # For an extended resource only the limit need be given (Kubernetes documentation, "Schedule GPUs").
            for name, value in {**container.resources.limits, **container.resources.requests}.items():
                total[name] = total.get(name, 0.0) + sign * amount_of(value)
