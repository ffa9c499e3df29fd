"""Pods on nodes that run no processes: they only say that they run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.node import events, status
from gke_notebook.sandbox.node.context import Context
from gke_notebook.sandbox.node.status import ContainerRecord
from gke_notebook.sandbox.node.status_writer import StatusWriter, delete_now

Object = dict[str, Any]
SECONDS = "gke-notebook.dev/simulated-seconds"
_log = logging.getLogger(__name__)


def records(pod: Object, *, ended: bool, moment: str) -> list[ContainerRecord]:
    """Make the records of a pretended pod: all its containers run, or all have completed.

    Args:
        pod: the pod's manifest.
        ended: whether they have completed.
        moment: the time as RFC 3339.
    """
    done = status.terminated(0, started=moment, finished=moment)
    made = []
    for field in ("initContainers", "containers"):
        for container in pod["spec"].get(field) or []:
            init = field == "initContainers"
            sidecar = init and container.get("restartPolicy") == "Always"
            over = ended or (init and not sidecar)
            made.append(
                ContainerRecord(
                    container["name"],
                    str(container.get("image", "")),
                    init=init,
                    sidecar=sidecar,
                    state=done if over else {"running": {"startedAt": moment}},
                    final=over,
                )
            )
    return made


def seconds(pod: Object) -> float | None:
    """Give how long a pretended pod runs, None for ever.

    Args:
        pod: the pod's manifest; an annotation that is no positive number counts as none.
    """
    text = (pod["metadata"].get("annotations") or {}).get(SECONDS)
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and value >= 0 else None


class SimulatedPod:
    """A pod that only pretends to run; it needs a task only while it is written or has an end.

    Args:
        context: what the agent's pods share.
        pod: the pod's manifest.
    """

    def __init__(self, context: Context, pod: Object) -> None:
        self._context = context
        self.pod = pod
        before = pod.get("status") or {}
        self._previous: Object = before
        self._started = before.get("startTime") or events.now()
        self.ended = before.get("phase") in ("Succeeded", "Failed")
        self._running = before.get("phase") == "Running"
        self._timer: asyncio.TimerHandle | None = None
        self._deleting: asyncio.Task[None] | None = None
        self._gone = False
        self._failed: tuple[str, str] | None = None
        self._writer = StatusWriter(context, pod, self._status, self._written)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Say that it runs, and set its end."""
        if self.ended:
            return
        if not self._running:
            self._writer.changed()
        length = seconds(self.pod)
        if length is not None:
            self._timer = asyncio.get_running_loop().call_later(length, self._end)

    def _end(self) -> None:
        self.ended = True
        self._writer.changed()

    async def end_with_node(self, _grace: float) -> None:
        """Fail the pod because its node shuts down, and wait until that is reported."""
        if self.ended or self._gone:
            return
        self._failed = status.NODE_SHUTDOWN
        self._end()
        await self._writer.flush()

    def _written(self, pod: Object) -> None:
        self._previous = pod.get("status") or {}

    def _status(self) -> Object:
        moment = events.now()
        return status.pod_status(
            records(self.pod, ended=self.ended, moment=moment),
            previous=self._previous,
            started=self._started,
            now=moment,
            failed=self._failed,
        )

    def update(self, pod: Object) -> None:
        """Take a newer manifest; a deletion timestamp ends it at once."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp") and self._deleting is None:
            self._deleting = asyncio.create_task(self._delete())

    async def _delete(self) -> None:
        self._writer.cancel()
        delay = 0.2
        while not self._gone:
            try:
                async with self._context.status_limit:
                    await delete_now(self._context.client, self.pod)
            except (ApiError, ClusterUnreachable) as error:
                _log.warning("pod %s not deleted: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(delay)
                delay = min(10.0, delay * 2)
            else:
                return

    def vanished(self) -> None:
        """Take note that the pod is no longer in the API server."""
        self._gone = True
        self._writer.cancel()
        if self._timer is not None:
            self._timer.cancel()

    async def shut_down(self, _grace: float) -> None:
        """Stop writing."""
        self.vanished()
        if self._deleting is not None:
            self._deleting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._deleting

    def remove_files(self) -> None:
        """Do nothing: it has no files."""
