"""Driving the ladders of our jobs while a session is open: when a way to have machines fails, the next one is tried.

Everything stands in the Job's annotation, so that any kernel of the same user goes on where another has stopped. A move
is two writes, each guarded by the resourceVersion: the Job is suspended and says where it goes; then, once its pods are
gone, its scheduling directives are changed and it goes on. A kernel that ends in between leaves a suspended Job that
the next one finishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gke_notebook import names
from gke_notebook.cluster.cache import Cache
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import JOBS
from gke_notebook.errors import ApiError, GkeNotebookError
from gke_notebook.insight.demand import QUEUE_LABEL
from gke_notebook.insight.ladder import change, step
from gke_notebook.insight.rungs import Ladder, decode, encode, moved
from gke_notebook.objects import Job, Manifest

if TYPE_CHECKING:
    from gke_notebook.session.observer import Observer

_GONE_SECONDS = 120.0  # pods that are told to end have 25 s, and a lost node's pods a while more
_POLL_SECONDS = 0.2
_AGAIN_SECONDS = 5.0  # after a move that failed
_TRIES = 5
_ROLE = "rules: [{apiGroups: [batch], resources: [jobs/status], verbs: [update]}] in a Role of the namespace"
NOT_ALLOWED = (
    "you may not update jobs/status, which leaving a rung needs before Kubernetes 1.35: the job would stay on the "
    f"first; ask for {_ROLE}"
)


class Ladders:
    """Looks after the jobs with a ladder; all of it runs on the session's event loop.

    Args:
        cache: the session's watches.
        owner: gives whose jobs are looked after.
    """

    def __init__(self, cache: Cache, owner: Callable[[], str]) -> None:
        self._cache = cache
        self._owner = owner
        self._busy: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stops: list[Callable[[], None]] = []

    def watch(self, observer: Observer) -> None:
        """Look after the jobs of a namespace from now on.

        Args:
            observer: of the namespace, started.
        """
        look = functools.partial(self._look, observer)
        self._stops.append(observer.subscribe(look))
        look()

    async def close(self) -> None:
        """Look after nothing any more; what is half done stays as it is, and can be gone on with."""
        for stop in self._stops:
            stop()
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)

    def _look(self, observer: Observer) -> None:
        soonest: float | None = None
        for job in observer.jobs_with(names.LADDER):
            key = (observer.namespace, job.metadata.name)
            if key in self._busy or job.metadata.labels.get(names.OWNER) != self._owner():
                continue
            again = self._consider(observer, job, key)
            if again is not None:
                soonest = again if soonest is None else min(soonest, again)
        timer = self._timers.pop(observer.namespace, None)
        if timer is not None:
            timer.cancel()
        if soonest is not None:
            later = asyncio.get_running_loop().call_later(max(0.1, soonest), self._look, observer)
            self._timers[observer.namespace] = later

    def _consider(self, observer: Observer, job: Job, key: tuple[str, str]) -> float | None:
        """Begin what is to be done for a job; the answer is when to ask again."""
        ladder = decode(job.metadata.annotations.get(names.LADDER, ""))
        if ladder is None or ladder.settled or names.CANCELLED in job.metadata.annotations:
            return None
        if any(one.status == "True" and one.type in {"Complete", "Failed"} for one in job.status.conditions):
            return None
        if QUEUE_LABEL in job.metadata.labels or (job.spec.suspend and not ladder.moving):
            return None  # a queue, or somebody, has suspended it, and decides when it goes on
        if job.spec.suspend:
            self._begin(observer, key, functools.partial(go_on, self._cache.client, *key))
            return None
        state = observer.state(job.metadata.name)
        now = datetime.now(timezone.utc)
        found = step(state, now)
        if found.kind == "move":
            begun = replace(moved(ladder, found.why, now), since=now)
            self._begin(observer, key, functools.partial(move, self._cache.client, *key, ladder, begun))
        elif found.kind == "settle":
            self._begin(
                observer, key, functools.partial(write, self._cache.client, *key, ladder, replace(ladder, settled=True))
            )
        return found.again

    def _begin(self, observer: Observer, key: tuple[str, str], work: Callable[[], object]) -> None:
        async def run() -> None:
            failed = False
            try:
                await work()  # type: ignore[misc]  # every piece of work is a coroutine function
            except GkeNotebookError:
                failed = True  # the cluster does not answer, or somebody was quicker: what stands there is read again
            finally:
                self._busy.pop(key, None)
            if failed:
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._look, observer)
            else:
                self._look(observer)

        self._busy[key] = asyncio.get_running_loop().create_task(run(), name=f"ladder of {key[1]}")


async def write(
    client: Client, namespace: str, name: str, before: Ladder, after: Ladder, **spec: object
) -> Manifest | None:
    """Write where a job stands on its ladder, unless somebody else has done so meanwhile.

    Args:
        client: of the cluster.
        namespace: of the job.
        name: of the job.
        before: what must stand there.
        after: what shall stand there.
        spec: fields of the Job's spec to set with it.

    Returns:
        The Job as it is then, None when something else stood there.
    """
    for _ in range(_TRIES):
        live = await client.get(JOBS, name, namespace)
        found = decode(live["metadata"].get("annotations", {}).get(names.LADDER, ""))
        if found is None or (found.at, found.settled) != (before.at, before.settled):
            return None
        live["metadata"]["annotations"][names.LADDER] = encode(after)
        live["spec"].update(spec)
        try:
            return await client.replace(JOBS, live)
        except ApiError as error:
            if error.status != 409:
                raise
    return None


async def move(client: Client, namespace: str, name: str, before: Ladder, after: Ladder) -> None:
    """Take a job to the next rung.

    Args:
        client: of the cluster.
        namespace: of the job.
        name: of the job.
        before: where it stands.
        after: where it shall stand.

    Raises:
        ApiError: the cluster refuses.
        ClusterUnreachable: it does not answer.
    """
    if await write(client, namespace, name, before, after, suspend=True) is not None:
        await go_on(client, namespace, name)


async def go_on(client: Client, namespace: str, name: str) -> None:
    """Let a suspended job go on where its annotation says, once its pods are gone.

    Args:
        client: of the cluster.
        namespace: of the job.
        name: of the job.

    Raises:
        ApiError: the cluster refuses.
        ClusterUnreachable: it does not answer.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _GONE_SECONDS
    while loop.time() < end:
        live = await client.get(JOBS, name, namespace)
        ladder = decode(live["metadata"].get("annotations", {}).get(names.LADDER, ""))
        if ladder is None or not ladder.moving or not live["spec"].get("suspend"):
            return
        if names.CANCELLED in live["metadata"]["annotations"]:
            return
        if not _is_still(live):
            await asyncio.sleep(_POLL_SECONDS)  # the Job's controller says when it is done; there is no other signal
            continue
        try:
            await client.replace(JOBS, change(live, ladder, datetime.now(timezone.utc)))
            return
        except ApiError as error:
            if error.status == 409:
                continue
            if error.status != 422:
                raise
        # Directives of a Job that has a start time are fixed (before Kubernetes 1.35): a suspended one can be without.
        await _without_start(client, live, ladder, namespace, name)


def _is_still(live: Manifest) -> bool:
    status = live.get("status") or {}
    suspended = any(one["type"] == "Suspended" and one["status"] == "True" for one in status.get("conditions") or ())
    return suspended and not status.get("active") and not status.get("terminating")


async def _without_start(client: Client, live: Manifest, ladder: Ladder, namespace: str, name: str) -> None:
    status = {key: value for key, value in (live.get("status") or {}).items() if key != "startTime"}
    try:
        await client.replace(JOBS, {**live, "status": status}, subresource="status")
    except ApiError as error:
        if error.status == 409:
            return
        if error.status != 403:
            raise
        # Back to the rung it came from is not possible either; it waits where it was, and says what it needs.
        back = replace(
            ladder, at=max(0, ladder.at - 1), tried=ladder.tried[:-1], settled=True, moving=False,
            note=f"the next rung cannot be tried: you may not update jobs/status; ask for {_ROLE}",
        )  # fmt: skip
        with contextlib.suppress(ApiError):
            await write(client, namespace, name, ladder, back, suspend=False)
