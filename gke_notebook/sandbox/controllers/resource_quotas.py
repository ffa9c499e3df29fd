"""Resource quotas: their status says what is bounded and what is used, also after something has ended.

Admission charges what is created; here is given back what is deleted or has ended. What is used is counted over a
listing that is younger than the quota it is written to, and is written only if nothing was charged meanwhile: a count
can be late, but never lets in too much.

Source: kubernetes v1.34, pkg/controller/resourcequota.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gke_notebook.cluster.resources import Resource
from gke_notebook.errors import ApiError
from gke_notebook.sandbox import quotas
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.discovery import discover
from gke_notebook.sandbox.controllers.meta import TERMINAL, Object, is_deleting, now, phase
from gke_notebook.sandbox.controllers.workqueue import WorkQueue
from gke_notebook.sandbox.quotas import Amounts

RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
SETTLE = 0.1  # seconds: deletions come in numbers, and are counted once
AGAIN = 1.0  # seconds after a change of the bounds: what was created while they were not yet known
RESYNC = 60.0  # seconds between two looks at everything

Key = tuple[str, str]


def desired(quota: Object, used: Amounts) -> Object | None:
    """Give the status a quota should have, None when it has it.

    Args:
        quota: the quota.
        used: what is used of what can be counted.
    """
    hard = dict((quota.get("spec") or {}).get("hard") or {})
    found = quota.get("status") or {}
    before = found.get("used") or {}
    wanted = {name: used.get(name, before.get(name)) for name in hard}
    known = {name: amount for name, amount in wanted.items() if amount is not None}
    if (found.get("hard") or {}) == hard and before == known:
        return None
    return {"hard": hard, "used": known}


def gives_back(resource: Resource, item: Object | None, previous: Object | None) -> bool:
    """Tell whether a change may free some of a quota.

    Args:
        resource: the kind.
        item: the object now, None when it is gone.
        previous: the object before, None when it is new.
    """
    if item is None:
        return True
    if previous is None:
        return False
    if resource.plural == "pods":
        return phase(item) in TERMINAL and phase(previous) not in TERMINAL
    spec, before = item.get("spec") or {}, previous.get("spec") or {}
    return resource.plural == "services" and spec.get("type") != before.get("type")


class ResourceQuotaController:
    """Keeps the status of quotas.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.informers.store(RESOURCE_QUOTAS)
        self._served: dict[str, Resource] = {}
        self._listening: set[Resource] = set()
        self._queue: WorkQueue[Key] = WorkQueue("resourcequota", self._sync, workers=4)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._context.synced((RESOURCE_QUOTAS,))
        self._store.listen(self._changed)
        await asyncio.gather(self._resync(), self._queue.run())

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC)
            for key in self._store.objects:
                self._queue.add(key)

    def _changed(self, item: Object | None, previous: Object | None) -> None:
        if item is None or is_deleting(item):
            return
        if previous is None or previous.get("spec") != item.get("spec"):
            self._queue.add(_key(item))

    def _listener(self, resource: Resource) -> Callable[[Object | None, Object | None], None]:
        name = _name(resource)

        def changed(item: Object | None, previous: Object | None) -> None:
            seen = item or previous
            if not self._store.objects or seen is None or not gives_back(resource, item, previous):
                return
            namespace = seen["metadata"].get("namespace", "")
            for key, quota in self._store.objects.items():
                if key[0] == namespace and quotas.tracked(name, (quota.get("spec") or {}).get("hard") or {}):
                    self._queue.add(key, SETTLE)

        return changed

    async def _sync(self, key: Key) -> None:
        namespace, name = key
        try:
            quota = await self._context.call(self._context.client.get(RESOURCE_QUOTAS, name, namespace))
        except ApiError as error:
            if error.status != 404:
                raise
            return
        hard = (quota.get("spec") or {}).get("hard") or {}
        objects = {}
        for plural, resource in (await self._countable(hard)).items():
            listed = await self._context.call(self._context.client.list(resource, namespace))
            objects[plural] = listed["items"]
        status = desired(quota, quotas.total(quota, objects, now()))
        if status is None:
            return
        bounds_changed = status["hard"] != ((quota.get("status") or {}).get("hard") or {})
        body = {**quota, "status": status}
        self._store.assume(
            await self._context.call(self._context.client.replace(RESOURCE_QUOTAS, body, subresource="status"))
        )
        if bounds_changed:
            self._queue.add(key, AGAIN)

    async def _countable(self, hard: Amounts) -> dict[str, Resource]:
        """Give the kinds that count for a quota, by plural with group, and watch them from now on."""
        if not all(any(quotas.tracked(name, (each,)) for name in self._served) for each in hard):
            served = await discover(self._context.client)
            self._served = {
                _name(each.resource): each.resource
                for each in served.values()
                if each.resource.namespaced and {"list", "watch"} <= each.verbs
                if each.resource.plural not in quotas.IGNORED
            }
        found = {name: each for name, each in self._served.items() if quotas.tracked(name, hard)}
        for resource in found.values():
            if resource not in self._listening:
                self._listening.add(resource)
                self._context.informers.store(resource).listen(self._listener(resource))
        return found


def _name(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _key(item: Object) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
