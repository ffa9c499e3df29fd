"""`Session`: the one object that holds a connection; everything a notebook does with a cluster goes through it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from datetime import datetime, timezone
from typing import Any, TypeVar

from gke_notebook import request
from gke_notebook.cluster.cache import Cache
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.loop import BackgroundLoop
from gke_notebook.cluster.resources import NAMESPACES
from gke_notebook.errors import ApiError, InvalidInput, NotConnected, nearest
from gke_notebook.objects import LogLine, Node
from gke_notebook.session import applying, create, proposals, quota
from gke_notebook.session.capacity import Capacity
from gke_notebook.session.facts import Facts
from gke_notebook.session.job import Job
from gke_notebook.session.ladder import Ladders
from gke_notebook.session.logbook import Logbook
from gke_notebook.session.node_pools import NodePools
from gke_notebook.session.observer import Observer
from gke_notebook.session.plan import Plan
from gke_notebook.session.quota import Quota
from gke_notebook.session.status import SessionStatus, status_of, version_and_user
from gke_notebook.session.what_if import Choice

T = TypeVar("T")


class Session:
    """A connection to one cluster.

    Use `connect` to get one. Its methods may be called from any thread but block only the calling one.

    Args:
        connection: where the cluster is, and the credentials.
        namespace: where jobs go; the connection's own by default.
    """

    def __init__(self, connection: Connection, *, namespace: str | None = None) -> None:
        self.connection = connection
        self.namespace = namespace or connection.namespace
        self.context = connection.context
        self.version = ""
        self.user = ""
        self._loop = BackgroundLoop()
        self._client = Client(connection)
        self._cache = Cache(self._client)
        self._observers: dict[str, Observer] = {}
        self._logbook = Logbook(self, self._cache)
        self.capacity = Capacity(self, self._cache)
        self.ladders = Ladders(self._cache, lambda: self.owner)
        self.facts = Facts(self)
        self._opening = asyncio.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Session {self.context} namespace {self.namespace}>"

    # -- the life of a session

    def open(self) -> None:
        """See that the cluster answers, who we are, and that the namespace exists.

        Raises:
            ClusterUnreachable: the cluster does not answer.
            NotConnected: it does not accept our credentials.
            InvalidInput: there is no such namespace.
        """

        async def look(client: Client) -> None:
            self.version, self.user = await version_and_user(client)
            await self._check_namespace(client, self.namespace)

        self.call(look)

    async def _check_namespace(self, client: Client, namespace: str) -> None:
        try:
            await client.get(NAMESPACES, namespace)
        except ApiError as error:
            if error.status == 404:
                near = await create.nearest_namespace(client, namespace)
                raise InvalidInput(f"namespace {namespace!r} does not exist; {near}") from error
            if error.status != 403:  # reading namespaces is a right of its own, and jobs do not need it
                raise

    def close(self) -> None:
        """End every watch, stream and connection; jobs go on."""
        if self._closed:
            return
        self._closed = True

        async def end() -> None:
            await self.ladders.close()
            await self._logbook.close()
            await self._cache.close()
            await self._client.close()

        self._loop.run(end())
        self._loop.stop()

    # -- the joints for Job; not for users

    @property
    def owner(self) -> str:
        """Who we are, as a label value: letters, digits, ``-``, ``_`` and ``.``, at most 63 of them."""
        return request.label_value(self.user or getpass.getuser())

    def call(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do something with the client on the background loop and wait for it.

        Args:
            work: an async function of the client.
        """
        self._check_open()

        async def run() -> T:
            return await work(self._client)

        try:
            return self._loop.run(run())
        except CancelledError:
            self._check_open()  # it was closed meanwhile, by another thread
            raise
        except ApiError as error:
            if error.status == 401:
                raise NotConnected(self.in_words(error)) from error
            raise

    def in_words(self, error: Exception) -> str:
        """Say what an error means for the session: a refusal is "Unauthorized" to a server, and nothing more."""
        if not isinstance(error, ApiError) or error.status != 401:
            return str(error)
        return (
            f"{self.context}: the cluster does not accept the credentials (401); log in again, for GKE with "
            "`gcloud auth login`, and reconnect"
        )

    def _check_open(self) -> None:
        if self._closed:
            raise NotConnected(
                f"the session {self.context} is closed; run %gke_connect, then %gke_wait NAME for a job of it"
            )

    def observer(self, namespace: str) -> Observer:
        """Give the observer of a namespace; the first call lists it.

        Args:
            namespace: the namespace.
        """
        self._check_open()
        found = self._observers.get(namespace)
        return found if found is not None else self.call(lambda _: self._observe(namespace))

    def nodes(self, namespace: str, *, fresh: bool = True) -> tuple[Node, ...] | None:
        """Give the cluster's nodes, None when we may not see them; with `fresh`, as they are now."""
        return (self._fresh(namespace) if fresh else self.observer(namespace)).nodes

    def _fresh(self, namespace: str) -> Observer:
        """Give the observer for a question of the user's, who must not be answered with what was so before."""
        observer = self.observer(namespace)
        self.call(lambda _: observer.refresh())
        return observer

    async def _observe(self, namespace: str) -> Observer:
        async with self._opening:
            found = self._observers.get(namespace)
            if found is None:
                if namespace != self.namespace:  # watching what does not exist would just see nothing
                    await self._check_namespace(self._client, namespace)
                found = Observer(self._cache, namespace)
                try:
                    await found.start()
                except BaseException:
                    await found.close()
                    raise
                self._observers[namespace] = found
                self.ladders.watch(found)
            return found

    def subscribe(self, namespace: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Be told of changes in a namespace, from any thread; the answer ends it.

        Args:
            namespace: the namespace.
            callback: called on the background loop; it must not block.
        """
        observer = self.observer(namespace)

        async def begin(_: Client) -> Callable[[], None]:
            return observer.subscribe(callback)

        stop = self.call(begin)
        return lambda: self.call_soon(stop)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Have something called on the background loop, without waiting; nothing once the session is closed.

        Args:
            callback: what to call.
        """
        if not self._closed:
            with contextlib.suppress(RuntimeError):  # it is being closed
                self._loop.loop.call_soon_threadsafe(callback)

    def follow(self, job: Job, callback: Callable[[], None]) -> Callable[[], None]:
        """Stream a job's log in the background; see `Job.subscribe`."""
        return self._logbook.follow(job, callback)

    def tail(self, job: Job, n: int) -> tuple[LogLine, ...]:
        """Give the last lines that have come in; see `Job.tail`."""
        return self._logbook.tail(job, n)

    def finish_logs(self, job: Job) -> None:
        """Wait until the log of an ended job has been read to its end."""
        self._logbook.finish(job)

    def logs(self, job: Job, *, rank: int | None, tail: int | None, follow: bool) -> Iterator[LogLine]:
        """Read a job's log; see `Job.logs`."""
        return self._logbook.read(job, rank=rank, tail=tail, follow=follow)

    def read_log(self, namespace: str, pod: str) -> Iterable[str]:
        """Read the whole log of one pod, marked lines included."""
        return self._logbook.raw(namespace, pod)

    # -- what users call

    def plan(
        self,
        name: str,
        cell: str,
        *,
        variables: Mapping[str, object] | None = None,
        namespace: str | None = None,
        magic_line: bool = False,
        **options: Any,
    ) -> Plan:
        """Say what a training job would be; nothing is written.

        Args:
            name: the job's name, a DNS label.
            cell: the source that runs in every rank, without the magic line.
            variables: the names that the cell may use, a notebook's user namespace.
            namespace: where it runs; the session's by default.
            magic_line: whether a magic line stands above the source, so that line numbers count it.
            options: what else `request.build_spec` takes: the option words of `%%gke_train`, with underscores.

        Raises:
            InvalidInput: something that was asked for cannot be.

        Example:
            >>> print(session.plan("hello", "print('hello')", nodes=2).placement)  # doctest: +SKIP
            2 nodes, 2 ranks (1 CPU, 4 GiB each) on e2-standard-8
        """
        asked = {**options, "variables": variables, "namespace": namespace, "magic_line": magic_line}
        return proposals.plan(self, name, cell, asked)

    def what_if(
        self, name: str, cell: str, *, shapes: Sequence[str] | None = None, **options: Any
    ) -> tuple[Choice, ...]:
        """Say what the same job would cost, wait and risk on other shapes and by other ways; nothing is written.

        Args:
            name: the job's name.
            cell: the source.
            shapes: GPUs to look at, for example ``("l4:2", "t4")``; by default those of the cluster and near ones.
            options: as for `plan`.
        """
        return proposals.what_if(self, name, cell, shapes, options)

    def check(self, plan: Plan, *, replace: bool = False) -> None:
        """Ask the cluster whether it would accept a plan; nothing is written.

        Args:
            plan: the plan.
            replace: whether an ended job of the same name would be deleted first.

        Raises:
            InvalidInput: the namespace does not exist, or the name is taken.
            ApiError: the cluster refuses it.
        """
        applying.check(self, plan, replace=replace)

    def apply(self, plan: Plan, *, replace: bool = False, queue_anyway: bool = False) -> Job:
        """Create exactly what a plan shows: all of it, or nothing.

        Args:
            plan: the plan.
            replace: delete an ended job of the same name first.
            queue_anyway: create it also when it cannot fit, to wait.

        Raises:
            InvalidInput: it cannot fit, the name is taken, or the namespace does not exist.
            ApiError: the cluster refuses it.
        """
        return applying.apply(self, plan, replace=replace, queue_anyway=queue_anyway)

    def train(
        self,
        name: str,
        cell: str,
        *,
        replace: bool = False,
        queue_anyway: bool = False,
        wait: bool = False,
        **options: Any,
    ) -> Job:
        """Plan a training job and create it.

        Args:
            name: the job's name.
            cell: the source that runs in every rank.
            replace: delete an ended job of the same name first.
            queue_anyway: create it also when it cannot fit, to wait.
            wait: wait until it has ended.
            options: as for `plan`.

        Raises:
            InvalidInput: something that was asked for cannot be.
            JobFailed: with `wait`, the job has failed.

        Example:
            >>> job = session.train("hello", "result = 6 * 7", wait=True)  # doctest: +SKIP
            >>> job.result  # doctest: +SKIP
            42
        """
        job = self.apply(self.plan(name, cell, **options), replace=replace, queue_anyway=queue_anyway)
        if wait:
            job.wait()
        return job

    def jobs(self, namespace: str | None = None, *, everyone: bool = False) -> list[Job]:
        """Give the jobs of a namespace, the newest first, whoever's notebook made them.

        Args:
            namespace: the session's by default.
            everyone: also those of other owners.
        """
        observer = self._fresh(namespace or self.namespace)
        states = [observer.state(name) for name in observer.names()]
        mine = [state for state in states if everyone or state.owner == self.owner]
        oldest = datetime.min.replace(tzinfo=timezone.utc)
        mine.sort(key=lambda state: (state.created or oldest, state.run), reverse=True)
        return [Job(self, state.name, state.namespace, state.run) for state in mine]

    def known_jobs(self) -> list[str]:
        """Give the names of the jobs that are at hand; nothing is asked of the cluster, so that Tab never waits."""
        observer = self._observers.get(self.namespace)
        return [] if observer is None else sorted(observer.names())

    def job(self, name: str, namespace: str | None = None) -> Job:
        """Find a job by its name.

        Args:
            name: the job's name.
            namespace: the session's by default.

        Raises:
            InvalidInput: there is none of that name.
        """
        observer = self._fresh(namespace or self.namespace)
        known = observer.names()
        if name not in known:
            hint = nearest(name, known) if known else "there are no jobs; %%gke_train NAME makes one"
            raise InvalidInput(f"no job {name!r} in namespace {namespace or self.namespace}; {hint}")
        return Job(self, name, namespace or self.namespace, observer.state(name).run)

    def status(self) -> SessionStatus:
        """Say where we are connected, who we are, what is there and what we may do."""
        return status_of(self, self.nodes(self.namespace))

    def node_pools(self, say: Callable[[str], None] | None = None) -> NodePools:
        """Give the cluster's node pools, and what can be done to them; `say` is told when a change has to wait."""
        return NodePools(self, say)

    def quota(self, name: str = "", **options: Any) -> Quota:
        """Say what the namespace, its queues and the project may have, what is used, and what a job would take.

        Args:
            name: a job that waits or a plan that is asked for; empty for none.
            options: the shape of a job, as for `plan`: ``gpu``, ``nodes`` and so on.
        """
        return quota.look(self, name, options, self.nodes(self.namespace))
