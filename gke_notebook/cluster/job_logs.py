"""The logs of all pods of one job: followed, told apart by rank, marked lines kept out of sight."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timezone

from gke_notebook import names
from gke_notebook.cluster.cache import Collection
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.logs import Line, stream
from gke_notebook.cluster.notify import Notifier, Unsubscribe
from gke_notebook.errors import GkeNotebookError
from gke_notebook.launch import contract
from gke_notebook.objects import LogLine, Pod, node_index

LINES = 100_000  # kept in memory for each job
# Base64 is four thirds of the bytes; twice that much is more than any job that keeps to the contract can send.
MARKED_LIMIT = 2 * (contract.RESULT_LIMIT + contract.OUTPUT_LIMIT) * 4 // 3 // contract.CHUNK
_PREFIX = re.compile(re.escape(contract.RANK_PREFIX).replace(re.escape("{rank}"), r"(\d+)"))
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Source:
    """Which pod of a job a line comes from.

    Args:
        pod: its name.
        index: the number of its node, see `objects.node_index`.
        attempt: 0 for the first pod of this index, and so on.
    """

    pod: str
    index: int
    attempt: int


def sources(pods: Iterable[Pod]) -> dict[str, Source]:
    """Number the pods of a job: index and attempt by pod name.

    A pod counts as a later attempt when it was created later, and at least as what its failure count says, because
    earlier pods may be gone.

    Args:
        pods: every pod of the job that is known.
    """
    by_index: dict[int, list[Pod]] = {}
    for pod in pods:
        by_index.setdefault(node_index(pod.metadata), []).append(pod)
    found = {}
    for index, members in by_index.items():
        members.sort(key=lambda pod: (pod.metadata.creation_timestamp or _EARLIEST, _failures(pod), pod.metadata.name))
        attempt = -1
        for pod in members:
            attempt = max(attempt + 1, _failures(pod))
            found[pod.metadata.name] = Source(pod.metadata.name, index, attempt)
    return found


def route(lines: Iterable[Line], source: Source, procs_per_node: int) -> tuple[list[LogLine], list[str]]:
    """Part the lines of a pod into what people see and what the launcher sends.

    Args:
        lines: as they come from the pod.
        source: the pod.
        procs_per_node: processes in the pod; with several, the launcher writes a prefix that names the rank.

    Returns:
        Lines to show, without the prefix; and marked lines, beginning with the marker.
    """
    shown, marked = [], []
    for time, raw in lines:
        rank: int | None = source.index
        text = raw
        if procs_per_node > 1:
            prefix = _PREFIX.match(raw)
            rank = int(prefix[1]) if prefix else None
            text = raw[prefix.end() :] if prefix else raw
        if text.startswith(contract.MARKER):
            marked.append(text)
        else:
            shown.append(LogLine(time, source.index, rank, source.pod, source.attempt, text.removesuffix("\r")))
    return shown, marked


def merge(logs: Iterable[Iterable[LogLine]]) -> list[LogLine]:
    """Put the logs of several pods in order of time; lines of one pod keep their order.

    Args:
        logs: the lines of each pod, oldest first.
    """
    return list(heapq.merge(*logs, key=lambda line: line.time or _EARLIEST))


class JobLogs:
    """Follows every pod of a job, also those that come later, into one bounded buffer.

    Args:
        client: of the cluster.
        pods: the job's pods, as the cache has them; whoever opened the collection releases it.
        procs_per_node: processes in each pod.
        tail: how many of the last lines of each pod to begin with; None takes all.
        limit: how many lines are kept.

    Example:
        >>> async def show(client, cache):
        ...     pods = cache.open(PODS, "research", label_selector=names.selector("digits"))
        ...     logs = JobLogs(client, pods)
        ...     logs.start()
        ...     await logs.drained()
        ...     print([line.text for line in logs.lines])
        ...     await logs.close()
    """

    def __init__(
        self,
        client: Client,
        pods: Collection[Pod],
        *,
        procs_per_node: int = 1,
        tail: int | None = None,
        limit: int = LINES,
    ) -> None:
        self.lines: deque[LogLine] = deque(maxlen=limit)
        self.dropped = 0
        self.marked: dict[Source, list[str]] = {}
        self.errors: dict[str, GkeNotebookError] = {}
        self._client = client
        self._pods = pods
        self._procs_per_node = procs_per_node
        self._tail = tail
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: Unsubscribe | None = None
        self._notifier = Notifier()
        self._moved = asyncio.Event()

    def start(self) -> None:
        """Begin to follow; called on the event loop."""
        if self._unsubscribe is None:
            self._unsubscribe = self._pods.subscribe(self._pods_changed)
            self._look()

    def subscribe(self, callback: Callable[[], None]) -> Unsubscribe:
        """Be told of new lines, at most five times a second; the answer ends it.

        Args:
            callback: called on the event loop; it must not block.
        """
        return self._notifier.subscribe(callback)

    @property
    def total(self) -> int:
        """How many lines there were so far, those no longer kept included."""
        return self.dropped + len(self.lines)

    def after(self, count: int) -> list[LogLine]:
        """Give the lines that came after the first `count`, as far as they are kept.

        Args:
            count: what `total` was the last time.
        """
        lines = list(self.lines)
        return lines[max(0, count - self.dropped) :]

    async def drained(self, timeout: float | None = None) -> None:
        """Wait until no pod of the job runs or is about to run, and all that they have written was read.

        Args:
            timeout: seconds to wait; None waits.

        Raises:
            TimeoutError: the time is over.
        """

        async def wait() -> None:
            await self._pods.synced()
            while True:
                self._moved.clear()
                self._look()
                if all(task.done() for task in self._followers.values()) and all(
                    pod.metadata.name in self._followers or _is_over(pod) for pod in self._pods.objects.values()
                ):
                    return
                await self._moved.wait()

        try:
            await asyncio.wait_for(wait(), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f"the logs were not read to their end within {timeout:g} s") from None

    async def close(self) -> None:
        """Stop following; no task and no connection is left."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._notifier.close()
        tasks = list(self._followers.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _look(self) -> None:
        if self._unsubscribe is None:
            return
        known = sources(self._pods.objects.values())
        for pod in list(self._pods.objects.values()):
            name = pod.metadata.name
            container = container_to_read(pod)
            if name not in self._followers and container is not None:
                task = asyncio.get_running_loop().create_task(
                    self._follow(pod, container, known[name]), name=f"log {name}"
                )
                task.add_done_callback(lambda _: self._moved.set())
                self._followers[name] = task

    def _pods_changed(self) -> None:
        self._look()
        self._moved.set()

    async def _follow(self, pod: Pod, container: str, source: Source) -> None:
        batches = stream(
            self._client, pod.metadata.namespace, pod.metadata.name, container, follow=True, tail=self._tail
        )
        try:
            async with aclosing(batches):
                async for batch in batches:
                    self._take(batch, source)
        except GkeNotebookError as error:
            self.errors[source.pod] = error
            self._notifier.changed()

    def _take(self, batch: list[Line], source: Source) -> None:
        shown, marked = route(batch, source, self._procs_per_node)
        if marked:
            kept = self.marked.setdefault(source, [])
            kept.extend(marked[: max(0, MARKED_LIMIT - len(kept))])
        if shown:
            self.dropped += max(0, len(self.lines) + len(shown) - (self.lines.maxlen or 0))
            self.lines.extend(shown)
        self._notifier.changed()


async def read(
    client: Client,
    pods: Mapping[object, Pod],
    *,
    procs_per_node: int = 1,
    tail: int | None = None,
    since: datetime | None = None,
) -> tuple[list[LogLine], dict[Source, list[str]]]:
    """Read once what all pods of a job have written so far, in order of time.

    Args:
        client: of the cluster.
        pods: the job's pods; those that have not started are left out.
        procs_per_node: processes in each pod.
        tail: how many of the last lines of each pod; None takes all.
        since: from when on.

    Returns:
        The lines to show, and the marked lines of each pod.

    Raises:
        ApiError: a log cannot be read.
        ClusterUnreachable: no answer.
    """
    known = sources(pods.values())

    async def one(pod: Pod, container: str) -> tuple[Source, list[Line]]:
        lines: list[Line] = []
        namespace, name = pod.metadata.namespace, pod.metadata.name
        async with aclosing(
            stream(client, namespace, name, container, follow=False, tail=tail, since=since)
        ) as batches:
            async for batch in batches:
                lines.extend(batch)
        return known[name], lines

    readable = [(pod, container) for pod in pods.values() if (container := container_to_read(pod)) is not None]
    logs = await asyncio.gather(*(one(pod, container) for pod, container in readable))
    shown, marked = [], {}
    for source, lines in logs:
        visible, hidden = route(lines, source, procs_per_node)
        shown.append(visible)
        if hidden:
            marked[source] = hidden
    return merge(shown), marked


def container_to_read(pod: Pod) -> str | None:
    """Name the container whose log can be read by now; None when it has not started, or never did."""
    for status in pod.status.container_statuses:
        if status.state.running is not None or (
            status.state.terminated is not None and status.state.terminated.started_at is not None
        ):
            return status.name
    return None


def _is_over(pod: Pod) -> bool:
    return pod.status.phase in {"Succeeded", "Failed"}


def _failures(pod: Pod) -> int:
    text = pod.metadata.annotations.get(names.INDEX_FAILURE_COUNT, "0")
    return int(text) if text.isdigit() else 0
