"""Writes one pod's status: the newest state at each write, one write at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from gke_notebook.cluster.client import STRATEGIC_PATCH, Client
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.node.context import Context

Object = dict[str, Any]
_log = logging.getLogger(__name__)


class StatusWriter:
    """Brings a pod's status to the API server; changes that come while a write is under way go into the next.

    Args:
        context: what the agent's pods share.
        pod: the pod's manifest; only its name, namespace and uid are used.
        make: gives the status as it is now.
        written: told of the pod as the server has it after each write.
    """

    def __init__(
        self,
        context: Context,
        pod: Object,
        make: Callable[[], Object],
        written: Callable[[Object], None] = lambda _pod: None,
    ) -> None:
        self._context = context
        self._metadata = pod["metadata"]
        self._make = make
        self._written = written
        self._task: asyncio.Task[None] | None = None
        self._dirty = False
        self.gone = False

    def changed(self) -> None:
        """Say that there is something to write."""
        self._dirty = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def flush(self) -> None:
        """Wait until the newest state is written, or the pod is found gone."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    def cancel(self) -> None:
        """Give up what is not written."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        delay = 0.0
        while self._dirty and not self.gone:
            self._dirty = False
            try:
                await self._write()
                delay = 0.0
            except (ApiError, ClusterUnreachable) as error:
                # 404: deleted; 409: another pod has this name by now; 4xx else: trying again will not help.
                if isinstance(error, ApiError) and error.status in (404, 409):
                    self.gone = True
                elif isinstance(error, ApiError) and error.status in (400, 415, 422):
                    _log.warning("status of pod %s refused: %s", self._metadata["name"], error)
                else:
                    self._dirty = True
                    delay = min(10.0, delay * 2 or 0.1)
                    await asyncio.sleep(delay)

    async def _write(self) -> None:
        async with self._context.status_limit:
            body = {"metadata": {"uid": self._metadata["uid"]}, "status": self._make()}
            raw = await self._context.client.patch_raw(
                PODS,
                self._metadata["name"],
                body,
                self._metadata.get("namespace", "default"),
                subresource="status",
                content_type=STRATEGIC_PATCH,
            )
        self._written(self._context.compact.decode(raw))


async def delete_now(client: Client, pod: Object) -> None:
    """Take a pod out of the API server once its containers have ended, as a kubelet does at the end of a deletion.

    Args:
        client: the client to write with.
        pod: the pod's manifest.

    Raises:
        ClusterUnreachable: no answer.
    """
    metadata = pod["metadata"]
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": metadata["uid"]},
    }
    path = PODS.path(metadata.get("namespace", "default"), metadata["name"])
    try:
        await client.request("DELETE", path, body=options)
    except ApiError as error:
        if error.status not in (404, 409):
            raise
