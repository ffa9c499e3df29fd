"""What is known of one namespace: one watch per kind, shared by every job, card and table that looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timezone

from gke_notebook import insight, names, objects
from gke_notebook.cluster.access import Check, can_i
from gke_notebook.cluster.cache import Cache, Collection
from gke_notebook.cluster.resources import EVENTS, JOBS, NODES, PODS
from gke_notebook.errors import ApiError
from gke_notebook.insight.state import JobState

_OURS = f"{names.MANAGED_BY}={names.MANAGER}"
_SYNC_SECONDS = 30.0
_PING_SECONDS = 5.0


class Observer:
    """Watches the jobs of one namespace, their pods and events, and the cluster's nodes where we may see them.

    `start`, `wait_for_run` and `close` belong to the event loop; the rest may be called from any thread.

    Args:
        cache: the session's cache.
        namespace: the namespace.
    """

    def __init__(self, cache: Cache, namespace: str) -> None:
        self.namespace = namespace
        self._cache = cache
        self._jobs: Collection[objects.Job] = cache.open(JOBS, namespace, label_selector=_OURS)
        self._pods: Collection[objects.Pod] = cache.open(PODS, namespace, label_selector=_OURS)
        self._events: Collection[objects.Event] | None = None
        self._nodes: Collection[objects.Node] | None = None

    async def start(self) -> None:
        """Wait until everything that we may see has been read once.

        Raises:
            ApiError: we may not see jobs or pods.
            ClusterUnreachable: the cluster does not answer.
        """
        events, nodes = Check("watch", "events", namespace=self.namespace), Check("watch", "nodes")
        try:
            allowed = await can_i(self._cache.client, [events, nodes])
        except ApiError:
            allowed = {}  # a server that does not say: without them everything still works, with fewer reasons
        if allowed.get(events):
            self._events = self._cache.open(EVENTS, self.namespace)
        if allowed.get(nodes):
            self._nodes = self._cache.open(NODES)
        opened = (self._jobs, self._pods, self._events, self._nodes)
        await asyncio.gather(*(found.synced(_SYNC_SECONDS) for found in opened if found is not None))

    async def close(self) -> None:
        """Give every watch back."""
        for collection in (self._jobs, self._pods, self._events, self._nodes):
            if collection is not None:
                await self._cache.release(collection)

    @property
    def trouble(self) -> Exception | None:
        """Why the jobs are not up to date at the moment, None when they are."""
        return self._jobs.error or self._pods.error

    async def refresh(self) -> None:
        """See that the cluster answers and the jobs are up to date; bring them up to date when it answers again.

        Raises:
            GkeNotebookError: why they are not.
        """
        # A watch does not notice at once that the other side is silent; a question does.
        await self._cache.client.request("GET", "/version", timeout=_PING_SECONDS)
        loop = asyncio.get_running_loop()
        end = loop.time() + _PING_SECONDS
        while (trouble := self.trouble) is not None:
            if loop.time() > end:
                raise trouble
            self._jobs.hurry()
            self._pods.hurry()
            await asyncio.sleep(0.05)

    @property
    def nodes(self) -> tuple[objects.Node, ...] | None:
        """The cluster's nodes, None when we may not see them."""
        return None if self._nodes is None else tuple(self._nodes.objects.values())

    def names(self) -> tuple[str, ...]:
        """Give the names of the jobs."""
        return tuple(name for _, name in list(self._jobs.objects))

    def state(self, name: str, previous: JobState | None = None) -> JobState:
        """Give a job's state at this moment.

        Args:
            name: the job's name.
            previous: the last state that was seen, so that a deleted job keeps what was known of it.
        """
        job = self._jobs.objects.get((self.namespace, name))
        if previous is not None and job is not None and previous.run not in ("", job.metadata.labels.get(names.RUN)):
            job = None  # another job of the same name came after it
        pods = [pod for pod in list(self._pods.objects.values()) if pod.metadata.labels.get(names.JOB) == name]
        events = [] if self._events is None else list(self._events.objects.values())
        about = [event for event in events if event.involved_object.name.startswith(name)]
        state = insight.observe(job, pods, about, self.nodes or (), datetime.now(timezone.utc), previous=previous)
        return state if state.name else JobState(name, self.namespace, phase="deleted", sentence="it is not there")

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Be told of changes, at most five times a second for each kind.

        Args:
            callback: called on the event loop; it must not block.
        """
        opened = (self._jobs, self._pods, self._events)
        stops = [collection.subscribe(callback) for collection in opened if collection is not None]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    async def wait_for_run(self, name: str, run: str) -> None:
        """Wait until the watch has brought a job that was just created.

        Args:
            name: the job's name.
            run: the id of its run.

        Raises:
            TimeoutError: it has not come.
        """

        def there() -> bool:
            job = self._jobs.objects.get((self.namespace, name))
            return job is not None and job.metadata.labels.get(names.RUN) == run

        changed = asyncio.Event()
        stop = self._jobs.subscribe(changed.set)
        try:
            while not there():
                await asyncio.wait_for(changed.wait(), _SYNC_SECONDS)
                changed.clear()
        finally:
            stop()
