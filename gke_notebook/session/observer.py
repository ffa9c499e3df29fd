"""What is known of one namespace: one watch per kind, shared by every job, card and table that looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from gke_notebook import insight, names, objects
from gke_notebook.cluster.access import Check, can_i
from gke_notebook.cluster.cache import Cache, Collection
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import EVENTS, JOBS, JOBSETS, NODES, PODS
from gke_notebook.errors import ApiError
from gke_notebook.insight.state import JobState
from gke_notebook.insight.waits import delays

_OURS = f"{names.MANAGED_BY}={names.MANAGER}"
_SYNC_SECONDS = 30.0
_PING_SECONDS = 5.0


class Observer:
    """Watches the jobs of one namespace, their pods and events, and the cluster's nodes where we may see them.

    JobSets are watched where the cluster serves them.

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
        self._jobsets: Collection[objects.JobSet] | None = None
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
        if await serves_jobsets(self._cache.client):
            await self.watch_jobsets()
        opened = (self._jobs, self._pods, self._events, self._nodes)
        await asyncio.gather(*(found.synced(_SYNC_SECONDS) for found in opened if found is not None))

    async def watch_jobsets(self) -> bool:
        """Begin to watch JobSets, if we may and do not yet.

        Returns:
            Whether they are watched.

        Raises:
            ClusterUnreachable: the cluster does not answer.
        """
        if self._jobsets is None:
            watch = Check("watch", JOBSETS.plural, JOBSETS.group, self.namespace)
            try:
                allowed = (await can_i(self._cache.client, [watch])).get(watch)
            except ApiError:
                allowed = False
            if not allowed:
                return False
            self._jobsets = self._cache.open(JOBSETS, self.namespace, label_selector=_OURS)
        await self._jobsets.synced(_SYNC_SECONDS)
        return True

    async def close(self) -> None:
        """Give every watch back."""
        for collection in (self._jobs, self._pods, self._jobsets, self._events, self._nodes):
            if collection is not None:
                await self._cache.release(collection)

    @property
    def trouble(self) -> Exception | None:
        """Why the jobs are not up to date at the moment, None when they are."""
        jobsets = None if self._jobsets is None else self._jobsets.error
        return self._jobs.error or self._pods.error or jobsets

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
            if self._jobsets is not None:
                self._jobsets.hurry()
            await asyncio.sleep(0.05)

    @property
    def nodes(self) -> tuple[objects.Node, ...] | None:
        """The cluster's nodes, None when we may not see them."""
        return None if self._nodes is None else tuple(self._nodes.objects.values())

    def scale_ups(self) -> dict[str, list[float]]:
        """Give how long pods waited for nodes that were made for them, in seconds, by the group that grew."""
        events = [] if self._events is None else list(self._events.objects.values())
        return delays(list(self._pods.objects.values()), events)

    def jobs_with(self, annotation: str) -> list[objects.Job]:
        """Give the Jobs that carry an annotation.

        Args:
            annotation: its name.
        """
        return [job for job in list(self._jobs.objects.values()) if annotation in job.metadata.annotations]

    def names(self) -> tuple[str, ...]:
        """Give the names of the jobs."""
        jobs = [one.metadata for one in list(self._jobs.objects.values())]
        found = [one.name for one in jobs if names.JOBSET_NAME not in one.labels]
        if self._jobsets is not None:
            found += [name for _, name in list(self._jobsets.objects)]
        return tuple(dict.fromkeys(found))

    def _find(self, name: str) -> objects.Job | objects.JobSet | None:
        key = (self.namespace, name)
        found = None if self._jobsets is None else self._jobsets.objects.get(key)
        return found if found is not None else self._jobs.objects.get(key)

    def state(self, name: str, previous: JobState | None = None) -> JobState:
        """Give a job's state at this moment.

        Args:
            name: the job's name.
            previous: the last state that was seen, so that a deleted job keeps what was known of it.
        """
        job = self._find(name)
        if previous is not None and job is not None and previous.run not in ("", job.metadata.labels.get(names.RUN)):
            job = None  # another job of the same name came after it
        pods: Sequence[objects.Pod] = [
            pod for pod in list(self._pods.objects.values()) if pod.metadata.labels.get(names.JOB) == name
        ]
        events = [] if self._events is None else list(self._events.objects.values())
        about: Sequence[objects.Event] = [event for event in events if event.involved_object.name.startswith(name)]
        if isinstance(job, objects.JobSet):
            own = insight.jobs_of(job, list(self._jobs.objects.values()))
            job, pods, about = insight.as_job(job, own, pods, about)
        state = insight.observe(job, pods, about, self.nodes or (), datetime.now(timezone.utc), previous=previous)
        return state if state.name else JobState(name, self.namespace, phase="deleted", sentence="it is not there")

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Be told of changes, at most five times a second for each kind.

        Args:
            callback: called on the event loop; it must not block.
        """
        opened = (self._jobs, self._pods, self._jobsets, self._events)
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
            job = self._find(name)
            return job is not None and job.metadata.labels.get(names.RUN) == run

        changed = asyncio.Event()
        stop = self.subscribe(changed.set)
        try:
            while not there():
                await asyncio.wait_for(changed.wait(), _SYNC_SECONDS)
                changed.clear()
        finally:
            stop()


async def serves_jobsets(client: Client) -> bool:
    """Say whether a cluster serves JobSets.

    Args:
        client: of the cluster.

    Raises:
        ClusterUnreachable: it does not answer.
    """
    try:
        await client.request("GET", f"/apis/{JOBSETS.api_version}")
    except ApiError:
        return False
    return True
