"""Ending namespaces: everything in them is deleted, then the namespace itself is let go."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from gke_notebook.cluster.resources import NAMESPACES, Resource
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.discovery import Served, discover
from gke_notebook.sandbox.controllers.meta import Object, clone, condition_in, is_deleting, now, timestamp
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

LOG = logging.getLogger(__name__)

FINALIZER = "kubernetes"
FIRST_WAIT = 0.2  # seconds before a namespace that is not empty is looked at again, doubled each time
LAST_WAIT = 5.0


def remaining_conditions(items: Mapping[str, list[Object]], failures: Mapping[str, str], at: datetime) -> list[Object]:
    """Give the conditions of a namespace that ends.

    Reasons and texts: kubernetes 1.34, pkg/controller/namespace/deletion.

    Args:
        items: what is left, by resource name.
        failures: what could not be deleted, by resource name.
        at: the time.
    """
    left = [
        f"{name}. has {len(found)} resource instances"
        if "." not in name
        else f"{name} has {len(found)} resource instances"
        for name, found in sorted(items.items())
        if found
    ]
    finalizers = Counter(
        finalizer
        for found in items.values()
        for item in found
        for finalizer in item["metadata"].get("finalizers") or ()
    )
    held = [f"{name} in {count} resource instances" for name, count in sorted(finalizers.items())]
    failed = [f"{name}: {text}" for name, text in sorted(failures.items())]

    def one(type_: str, bad: str, ok: tuple[str, str], reason: str) -> Object:
        return {
            "type": type_,
            "status": "True" if bad else "False",
            "lastTransitionTime": timestamp(at),
            "reason": reason if bad else ok[0],
            "message": bad or ok[1],
        }

    return [
        one(
            "NamespaceDeletionDiscoveryFailure",
            "",
            ("ResourcesDiscovered", "All resources successfully discovered"),
            "",
        ),
        one(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            "",
        ),
        one(
            "NamespaceDeletionContentFailure",
            f"Failed to delete all resource types, {len(failed)} remaining: {', '.join(failed)}" if failed else "",
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            "ContentDeletionFailed",
        ),
        one(
            "NamespaceContentRemaining",
            f"Some resources are remaining: {', '.join(left)}" if left else "",
            ("ContentRemoved", "All content successfully removed"),
            "SomeResourcesRemain",
        ),
        one(
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {', '.join(held)}" if held else "",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            "SomeFinalizersRemain",
        ),
    ]


def merged(present: list[Object], wanted: list[Object]) -> list[Object]:
    """Update conditions; the time of one that has not changed its status stays."""
    result = list(present)
    for condition in wanted:
        old = condition_in(result, condition["type"])
        if old is None:
            result.append(condition)
        elif any(old.get(key) != condition.get(key) for key in ("status", "reason", "message")):
            same = old.get("status") == condition["status"]
            time = old.get("lastTransitionTime") if same else condition["lastTransitionTime"]
            result[result.index(old)] = {**condition, "lastTransitionTime": time}
    return result


class NamespaceController:
    """Ends namespaces.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.informers.store(NAMESPACES)
        self._queue: WorkQueue[str] = WorkQueue("namespace", self._sync, workers=4)
        self._looks: Counter[str] = Counter()

    async def run(self) -> None:
        """Run until cancelled."""
        await self._context.synced((NAMESPACES,))
        self._store.listen(self._changed)
        await self._queue.run()

    def _changed(self, item: Object | None, previous: Object | None) -> None:
        if item is not None and is_deleting(item):
            self._queue.add(item["metadata"]["name"])
        elif item is None and previous is not None:
            self._looks.pop(previous["metadata"]["name"], None)

    async def _sync(self, name: str) -> None:
        namespace = self._store.get("", name)
        if namespace is None or not is_deleting(namespace):
            return
        if FINALIZER not in ((namespace.get("spec") or {}).get("finalizers") or ()):
            return
        served = [
            item
            for item in (await discover(self._context.client)).values()
            if item.resource.namespaced and {"list", "delete"} <= item.verbs
        ]
        failures: dict[str, str] = {}
        for item in served:
            try:
                await self._empty(item, name)
            except (ApiError, ClusterUnreachable) as error:
                failures[_name(item.resource)] = str(error)
        left = {_name(item.resource): await self._list(item.resource, name) for item in served}
        await self._write_conditions(namespace, left, failures)
        if any(left.values()) or failures:
            wait = min(LAST_WAIT, FIRST_WAIT * 2 ** min(self._looks[name], 10))
            self._looks[name] += 1
            self._queue.add(name, wait)
            return
        await self._finalize(name)

    async def _list(self, resource: Resource, namespace: str) -> list[Object]:
        listing = await self._context.call(self._context.client.list(resource, namespace))
        return list(listing.get("items") or ())

    async def _empty(self, served: Served, namespace: str) -> None:
        items = [item for item in await self._list(served.resource, namespace) if not is_deleting(item)]
        if not items:
            return
        if "deletecollection" in served.verbs:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
            path = served.resource.path(namespace)
            await self._context.call(self._context.client.request("DELETE", path, body=options))
            return
        failed = await self._context.all(items, lambda item: self._context.delete(served.resource, item))
        if failed:
            raise failed[0][1]

    async def _write_conditions(
        self, namespace: Object, left: Mapping[str, list[Object]], failures: Mapping[str, str]
    ) -> None:
        present = (namespace.get("status") or {}).get("conditions") or []
        conditions = merged(present, remaining_conditions(left, failures, now()))
        if conditions != present:
            await self._context.patch(
                NAMESPACES, namespace, {"status": {"conditions": conditions}}, subresource="status"
            )

    async def _finalize(self, name: str) -> None:
        try:
            body = clone(await self._context.call(self._context.client.get(NAMESPACES, name)))
            finalizers = (body.get("spec") or {}).get("finalizers") or []
            body.setdefault("spec", {})["finalizers"] = [item for item in finalizers if item != FINALIZER]
            await self._context.call(self._context.client.replace(NAMESPACES, body, subresource="finalize"))
        except ApiError as error:
            if error.status != 404:
                raise


def _name(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural
