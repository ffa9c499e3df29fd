"""The compute classes of the cluster, and the toleration that pods which name one are given."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.autoscaler import compute_class
from gke_notebook.sandbox.autoscaler.compute_class import LABEL
from gke_notebook.sandbox.autoscaler.compute_class_definition import COMPUTE_CLASSES, DEFINITIONS, definition
from gke_notebook.sandbox.autoscaler.fitting import Kind
from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.autoscaler.scale_up import Tiers
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.meta import Object, uid
from gke_notebook.sandbox.controllers.pod_requirements import tolerates

LOG = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Classes:
    """Knows the compute classes.

    Args:
        context: the client and the stores.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._specs: dict[str, Object] = {}
        self._tolerant: set[str] = set()

    async def run(self, changed: Callable[[], None]) -> None:
        """Bring the definition along and follow the classes, until cancelled.

        Args:
            changed: called when a class has changed.
        """
        while True:
            try:
                await self._context.client.create(DEFINITIONS, definition())
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    LOG.warning("ComputeClass is not defined: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
            except ClusterUnreachable:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            break
        store = self._context.informers.store(COMPUTE_CLASSES)

        def listener(item: Object | None, previous: Object | None) -> None:
            name = (item or previous or {"metadata": {"name": ""}})["metadata"]["name"]
            if item is None:
                self._specs.pop(name, None)
            else:
                self._specs[name] = item.get("spec") or {}
            changed()

        store.listen(listener)
        await asyncio.Event().wait()

    @staticmethod
    def named(kind: Kind) -> str:
        """Give the class that pods name, empty when they name none.

        Args:
            kind: the pods.
        """
        return compute_class.named(kind)

    @staticmethod
    def without_class(groups: Iterable[Group]) -> list[Group]:
        """Give the groups that belong to no class.

        Args:
            groups: every autoscaled group.
        """
        return [group for group in groups if LABEL not in group.template.labels]

    def ladder(self, groups: Sequence[Group], pools: Sequence[Object]) -> Callable[[Kind], Tiers | None]:
        """Give what says which groups pods may use.

        Args:
            groups: every autoscaled group.
            pools: the node pools.
        """

        def tiers(kind: Kind) -> Tiers | None:
            name = compute_class.named(kind)
            if not name:
                return None
            spec = self._specs.get(name)
            if spec is None:  # a label that only looks like a class: pools that carry it serve
                return [[group for group in groups if group.template.labels.get(LABEL) == name]]
            return compute_class.ladder(name, spec, kind, groups, pools)

        return tiers

    async def admit(self, pods: Iterable[Object]) -> None:
        """Let pods that name a class tolerate its taint, as GKE's admission does when they are created.

        Args:
            pods: pods that wait; those that name no class are left alone.
        """
        if not self._specs:
            return
        for pod in pods:
            name = (pod["spec"].get("nodeSelector") or {}).get(LABEL, "")
            if name not in self._specs or uid(pod) in self._tolerant:
                continue
            present = list(pod["spec"].get("tolerations") or ())
            taint = {"key": LABEL, "value": name, "effect": "NoSchedule"}
            self._tolerant.add(uid(pod))
            if tolerates(present, taint):
                continue
            wanted = [*present, {"key": LABEL, "operator": "Equal", "value": name, "effect": "NoSchedule"}]
            try:
                await self._context.patch(PODS, pod, {"spec": {"tolerations": wanted}}, content_type=MERGE_PATCH)
            except (ApiError, ClusterUnreachable) as error:
                self._tolerant.discard(uid(pod))
                LOG.info("tolerations of %s: %s", pod["metadata"]["name"], error)
