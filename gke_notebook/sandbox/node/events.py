"""Events as a kubelet records them: written in the background, repeated ones counted."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from typing import Any

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import EVENTS
from gke_notebook.errors import ApiError, ClusterUnreachable

Object = dict[str, Any]
_log = logging.getLogger(__name__)
_REMEMBERED = 4096
_WRITERS = 4


def now() -> str:
    """Give the time as RFC 3339 in whole seconds, as Kubernetes writes most of its times."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def event_object(involved: Object, kind: str, reason: str, message: str, *, host: str, moment: str) -> Object:
    """Make an Event.

    Args:
        involved: the `involvedObject`.
        kind: ``Normal`` or ``Warning``.
        reason: the machine-readable reason.
        message: the text, cut at 1024 bytes as the API server demands.
        host: the node that reports it.
        moment: the time as RFC 3339.
    """
    namespace = involved.get("namespace") or "default"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{involved['name']}.{time.time_ns():x}", "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": message.encode()[:1024].decode(errors="ignore"),
        "type": kind,
        "source": {"component": "kubelet", "host": host},
        "reportingComponent": "kubelet",
        "reportingInstance": host,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


class Recorder:
    """Writes events; one that repeats the reason and text of an earlier one raises its count.

    Args:
        client: the client to write with.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queues: list[asyncio.Queue[Object]] = [asyncio.Queue() for _ in range(_WRITERS)]
        self._written: dict[tuple[str, ...], Object] = {}

    def pod(self, pod: Object, kind: str, reason: str, message: str, *, container: str = "") -> None:
        """Record an event of a pod.

        Args:
            pod: the pod's manifest.
            kind: ``Normal`` or ``Warning``.
            reason: the machine-readable reason.
            message: the text.
            container: the field path of the container, for example ``spec.containers{main}``.
        """
        metadata = pod["metadata"]
        involved: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata.get("namespace", "default"),
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        if container:
            involved["fieldPath"] = container
        event = event_object(involved, kind, reason, message, host=pod["spec"].get("nodeName", ""), moment=now())
        self._queues[hash(involved["uid"]) % _WRITERS].put_nowait(event)

    async def run(self) -> None:
        """Write until cancelled."""
        await asyncio.gather(*(self._drain(queue) for queue in self._queues))

    async def _drain(self, queue: asyncio.Queue[Object]) -> None:
        while True:
            event = await queue.get()
            try:
                await self._write(event)
            except (ApiError, ClusterUnreachable) as error:
                # Events are best effort for a kubelet too; a namespace that is being deleted takes none.
                _log.debug("event %s not written: %s", event["reason"], error)
            finally:
                queue.task_done()

    async def flush(self) -> None:
        """Wait until everything recorded so far is written or given up."""
        await asyncio.gather(*(queue.join() for queue in self._queues))

    async def _write(self, event: Object) -> None:
        involved = event["involvedObject"]
        key = (involved["uid"], involved.get("fieldPath", ""), event["type"], event["reason"], event["message"])
        earlier = self._written.pop(key, None)
        namespace = event["metadata"]["namespace"]
        if earlier is not None:
            change = {"count": earlier["count"] + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._client.patch(EVENTS, earlier["metadata"]["name"], change, namespace)
            except ApiError as error:
                if error.status != 404:
                    raise
                earlier = None
            else:
                earlier.update(change)
        if earlier is None:
            await self._client.create(EVENTS, event, namespace)
        self._written[key] = earlier or event
        if len(self._written) > _REMEMBERED:
            del self._written[next(iter(self._written))]
