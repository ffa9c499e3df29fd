"""What all controllers share: one client, one watch per kind, one recorder, and a bound on what is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from gke_notebook.cluster.client import JSON_PATCH, STRATEGIC_PATCH, Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.resources import PODS, Resource
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.controllers.events import Recorder
from gke_notebook.sandbox.controllers.informers import Informers
from gke_notebook.sandbox.controllers.meta import Object, condition_patch, is_deleting, observed, uid

T = TypeVar("T")

IN_FLIGHT = 24  # requests at once beside the watches: enough to keep a server on two cores busy


class Context:
    """What a controller is given.

    Args:
        client: the client of all controllers.
        compact: decodes pods with what else in this process watches them.
    """

    def __init__(self, client: Client, compact: Compact | None = None) -> None:
        self.client = client
        self.informers = Informers(client, compact)
        self.recorder = Recorder(client)
        self._gate = asyncio.Semaphore(IN_FLIGHT)

    async def call(self, request: Awaitable[T]) -> T:
        """Send a request when there is room for one more.

        Args:
            request: the client's coroutine.
        """
        async with self._gate:
            return await request

    async def all(self, items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> list[tuple[T, Exception]]:
        """Do something for many objects at once, and give those for which the server refused or was lost.

        Args:
            items: the objects.
            work: what is done for each.
        """

        async def one(item: T) -> tuple[T, Exception] | None:
            try:
                await work(item)
            except (ApiError, ClusterUnreachable) as error:
                return item, error
            return None

        return [failed for failed in await asyncio.gather(*(one(item) for item in items)) if failed is not None]

    async def remove_finalizer(self, resource: Resource, item: Object, finalizer: str) -> None:
        """Take a finalizer off an object; one that is gone is no error.

        A JSON patch with tests works for built-in and custom kinds alike and never touches another finalizer.
        """
        finalizers = item["metadata"].get("finalizers") or []
        if finalizer not in finalizers:
            return
        place = f"/metadata/finalizers/{finalizers.index(finalizer)}"
        tests = [{"op": "test", "path": place, "value": finalizer}]
        if uid(item):
            tests.insert(0, {"op": "test", "path": "/metadata/uid", "value": uid(item)})
        await self.patch(resource, item, [*tests, {"op": "remove", "path": place}], content_type=JSON_PATCH)

    async def patch(
        self,
        resource: Resource,
        item: Object,
        body: Object | list[Object],
        subresource: str | None = None,
        content_type: str = STRATEGIC_PATCH,
    ) -> None:
        """Change an object; one that is gone is no error."""
        metadata = item["metadata"]
        try:
            raw = await self.call(
                self.client.patch_raw(
                    resource, metadata["name"], body, metadata.get("namespace"),
                    subresource=subresource, content_type=content_type,
                )
            )  # fmt: skip
        except ApiError as error:
            if error.status != 404:
                raise
            return
        self.informers.store(resource).assume(self._read(resource, raw))

    def _read(self, resource: Resource, raw: bytes) -> Object:
        # The same object as the watch will bring, where these are shared.
        decoded: Object = self.informers.compact.decode(raw) if resource == PODS else msgspec.json.decode(raw)
        return decoded

    async def delete(
        self, resource: Resource, item: Object, *, grace_period: int | None = None, propagation: str = "Background"
    ) -> None:
        """Delete an object; one that is gone, or whose name another one has taken, is no error."""
        metadata = item["metadata"]
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid(item):
            options["preconditions"] = {"uid": uid(item)}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        path = resource.path(metadata.get("namespace") if resource.namespaced else None, metadata["name"])
        try:
            result: Object = msgspec.json.decode(await self.call(self.client.request("DELETE", path, body=options)))
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            return
        # A server answers with the object where it stays for a while, else with a Status.
        if result.get("kind") == resource.kind and "metadata" in result and is_deleting(result):
            self.informers.store(resource).assume(result)

    async def disrupt(self, pod: Object, reason: str, message: str, *, phase: str = "", at: str) -> None:
        """Write on a pod why it is about to be deleted.

        Args:
            pod: the pod.
            reason: the reason of the condition `DisruptionTarget`.
            message: its text.
            phase: the pod's phase from now on, empty to leave it.
            at: the time, as Kubernetes writes it.
        """
        condition = {
            "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
            "lastProbeTime": None, "lastTransitionTime": at, **observed(pod),
        }  # fmt: skip
        status = condition_patch(pod, condition)
        if phase:
            status["phase"] = phase
        await self.patch(PODS, pod, {"status": status}, subresource="status")

    async def synced(self, resources: Iterable[Resource]) -> None:
        """Wait until these kinds have been listed once."""
        await self.informers.synced(resources)
