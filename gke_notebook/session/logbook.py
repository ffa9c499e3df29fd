"""The logs of the jobs of a session: followed once for all views, read on request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gke_notebook import names
from gke_notebook.cluster import job_logs, logs
from gke_notebook.cluster.cache import Cache, Collection
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import GkeNotebookError
from gke_notebook.objects import LogLine, Pod, node_index

if TYPE_CHECKING:
    from gke_notebook.session.job import Job
    from gke_notebook.session.session import Session

VIEW_LINES = 20_000  # kept in memory for the views of one job
VIEW_TAIL = 5_000  # of each pod, when a view comes late to a long log
KEPT_JOBS = 16  # whose lines stay in memory after nobody follows them
_FINISH_SECONDS = 10.0
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)
_Key = tuple[str, str, str]


@dataclass
class _Entry:
    pods: Collection[Pod]
    lines: job_logs.JobLogs
    followers: set[object] = field(default_factory=set)


class Logbook:
    """Follows the log of each job once, however many views there are.

    Its methods may be called from any thread but the event loop's.

    Args:
        session: whose jobs.
        cache: the session's cache.
    """

    def __init__(self, session: Session, cache: Cache) -> None:
        self._session = session
        self._cache = cache
        self._entries: dict[_Key, _Entry] = {}

    def follow(self, job: Job, callback: Callable[[], None]) -> Callable[[], None]:
        """Stream a job's log into memory and be told of new lines, at most five times a second.

        Args:
            job: the job.
            callback: called on the event loop; it must not block.

        Returns:
            A function that ends the subscription.
        """
        state = job.state
        key = (job.namespace, job.name, state.run)
        follower = object()

        async def begin(client: Client) -> Callable[[], None]:
            entry = self._entries.get(key)
            if entry is None:
                pods = self._open(job)
                entry = _Entry(
                    pods,
                    job_logs.JobLogs(
                        client, pods, procs_per_node=state.procs_per_node, tail=VIEW_TAIL, limit=VIEW_LINES
                    ),
                )
                self._entries[key] = entry
                entry.lines.start()
                await self._forget_oldest()
            entry.followers.add(follower)
            return entry.lines.subscribe(callback)

        unsubscribe = self._session.call(begin)

        def end() -> None:
            unsubscribe()
            entry = self._entries.get(key)
            if entry is not None:
                entry.followers.discard(follower)

        return lambda: self._session.call_soon(end)

    def tail(self, job: Job, n: int) -> tuple[LogLine, ...]:
        """Give the last lines that have come in, in order of time.

        Args:
            job: the job.
            n: how many at most.
        """
        entry = self._entries.get((job.namespace, job.name, job.run))
        if entry is None:
            return ()
        return tuple(sorted(list(entry.lines.lines)[-n:], key=_time))

    def finish(self, job: Job) -> None:
        """Wait until what an ended job has written was read; give up quietly when its pods are gone.

        Args:
            job: the job.
        """
        entry = self._entries.get((job.namespace, job.name, job.run))
        if entry is None:
            return

        async def drain(_: Client) -> None:
            with contextlib.suppress(TimeoutError, GkeNotebookError):
                await entry.lines.drained(_FINISH_SECONDS)

        self._session.call(drain)

    def read(self, job: Job, *, rank: int | None, tail: int | None, follow: bool) -> Iterator[LogLine]:
        """Give the lines of a job in order of time.

        A job that is stopped loses its pods and their logs; of those, what views have followed is still given.

        Args:
            job: the job.
            rank: only those of this global rank.
            tail: only so many of the last ones of each rank.
            follow: go on, with lines as they come, until the job has ended.
        """
        state = job.state
        if follow and not state.ended:
            yield from self._stream(job, rank, tail)
            return

        async def once(client: Client) -> list[LogLine]:
            pods = self._open(job)
            try:
                await pods.synced(_FINISH_SECONDS)
                wanted: dict[object, Pod] = {
                    key: pod
                    for key, pod in pods.objects.items()
                    if rank is None or node_index(pod.metadata) == rank // state.procs_per_node
                }
                # What carries a result stands at the end of a log and is not shown, so more is asked for.
                asked = None if tail is None else tail * state.procs_per_node + job_logs.MARKED_LIMIT
                found, _ = await job_logs.read(client, wanted, procs_per_node=state.procs_per_node, tail=asked)
                there = {pod.metadata.name for pod in pods.objects.values()}
                entry = self._entries.get((job.namespace, job.name, job.run))
                kept = [] if entry is None else [line for line in entry.lines.lines if line.pod not in there]
                return sorted(found + kept, key=_time) if kept else found
            finally:
                await self._cache.release(pods)

        found = [line for line in self._session.call(once) if rank is None or line.rank == rank]
        yield from found if tail is None else last_of_each(found, tail)

    def _stream(self, job: Job, rank: int | None, tail: int | None) -> Iterator[LogLine]:
        changed = threading.Event()
        state = job.state

        async def begin(client: Client) -> tuple[Collection[Pod], job_logs.JobLogs]:
            pods = self._open(job)
            lines = job_logs.JobLogs(client, pods, procs_per_node=state.procs_per_node, tail=tail)
            lines.start()
            lines.subscribe(changed.set)
            return pods, lines

        pods, lines = self._session.call(begin)

        async def end(_: Client) -> None:
            await lines.close()
            await self._cache.release(pods)

        given = 0
        try:
            while True:
                ended = job.state.ended
                if ended:
                    self._session.call(lambda _: _drain(lines))
                fresh = lines.after(given)
                given = max(given, lines.dropped) + len(fresh)
                yield from (line for line in sorted(fresh, key=_time) if rank is None or line.rank == rank)
                if ended:
                    return
                changed.wait(0.5)
                changed.clear()
        finally:
            self._session.call(end)

    def raw(self, namespace: str, pod: str) -> Iterable[str]:
        """Read the whole log of one pod, marked lines included.

        Args:
            namespace: the pod's namespace.
            pod: its name.

        Raises:
            ApiError: the pod is gone.
        """

        async def once(client: Client) -> list[str]:
            found = await client.get(PODS, pod, namespace)
            container = found["spec"]["containers"][0]["name"]
            texts = []
            async for batch in logs.stream(client, namespace, pod, container, follow=False, timestamps=False):
                texts += [text for _, text in batch]
            return texts

        return self._session.call(once)

    async def close(self) -> None:
        """End every stream; called on the event loop."""
        entries, self._entries = list(self._entries.values()), {}
        for entry in entries:
            await entry.lines.close()

    async def _forget_oldest(self) -> None:
        idle = [key for key, entry in self._entries.items() if not entry.followers]
        for key in idle[: max(0, len(self._entries) - KEPT_JOBS)]:
            entry = self._entries.pop(key)
            await entry.lines.close()
            await self._cache.release(entry.pods)

    def _open(self, job: Job) -> Collection[Pod]:
        found: Collection[Pod] = self._cache.open(PODS, job.namespace, label_selector=names.selector(job.name))
        return found


async def _drain(lines: job_logs.JobLogs) -> None:
    with contextlib.suppress(TimeoutError, GkeNotebookError):
        await lines.drained(_FINISH_SECONDS)


def _time(line: LogLine) -> datetime:
    return line.time or _EARLIEST


def last_of_each(lines: Iterable[LogLine], n: int) -> list[LogLine]:
    """Keep the last lines of each rank, in their order; pure.

    Args:
        lines: in order of time.
        n: how many of each rank at most.
    """
    kept: list[LogLine] = []
    counts: dict[tuple[int, int | None], int] = {}
    for line in reversed(list(lines)):
        key = (line.index, line.rank)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= n:
            kept.append(line)
    return kept[::-1]
