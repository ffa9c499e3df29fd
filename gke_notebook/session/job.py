"""A training job, found by its labels: whoever holds one sees the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gke_notebook import insight
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, JOBSETS, SERVICES, Resource
from gke_notebook.errors import ApiError, GkeNotebookError, InvalidInput, JobFailed, NotConnected, StillRunning
from gke_notebook.insight.state import JobState
from gke_notebook.launch.results import Collector
from gke_notebook.objects import LogLine, Manifest
from gke_notebook.session import returned
from gke_notebook.session.cancel import cancel

if TYPE_CHECKING:
    from gke_notebook.session.session import Session

# How often a wait looks at the clock, in seconds; changes wake it at once.
_TICK = 0.5


class Job:
    """One training job on the cluster.

    Made by `Session.apply`, `Session.job` and `Session.jobs`; it holds no state of its own beside what was fetched.

    Args:
        session: the session that sees it.
        name: the job's name.
        namespace: where it runs.
        run: the id of its run; another job of the same name is another job.
    """

    def __init__(self, session: Session, name: str, namespace: str, run: str) -> None:
        self._session = session
        self.name = name
        self.namespace = namespace
        self.run = run
        self._last = JobState(name, namespace, run=run)
        self._collector: Collector | None = None
        self._result: tuple[Any] | None = None
        self._output: dict[str, Path] | None = None
        self._fetching = threading.Lock()

    def __repr__(self) -> str:
        return f"<Job {self.name} in {self.namespace}: {self.phase}>"

    @property
    def state(self) -> JobState:
        """The job at this moment; once it has ended, also when its session is closed."""
        try:
            observer = self._session.observer(self.namespace)
        except NotConnected:
            if self._last.ended:
                return self._last
            raise
        self._last = observer.state(self.name, self._last)
        return self._last

    @property
    def phase(self) -> str:
        """``queued``, ``starting``, ``running``, ``succeeded``, ``failed``, ``cancelled`` or ``deleted``."""
        return self.state.phase

    @property
    def trouble(self) -> str:
        """Why the state may be out of date: the cluster does not answer, for example; empty when all is well."""
        trouble = None if self._last.ended else self._session.observer(self.namespace).trouble
        return "" if trouble is None else self._session.in_words(trouble)

    @property
    def result(self) -> Any:
        """The value that the cell left in `result` on rank 0, None when it left none.

        Raises:
            StillRunning: the job has not ended.
            JobFailed: it has ended without success.
            GkeNotebookError: the result was too large, or cannot be had any more.
        """
        with self._fetching:
            if self._result is None:
                state = self._succeeded()
                returned.check_readable(state, self._session.owner)
                self._result = (returned.read_result(self._collected(state), state),)
            return self._result[0]

    @property
    def output(self) -> dict[str, Path]:
        """The files of the output directory of rank 0, unpacked on this machine: path in the job to path here.

        Raises:
            StillRunning: the job has not ended.
            JobFailed: it has ended without success.
            GkeNotebookError: the files were too large, or cannot be had any more.
        """
        with self._fetching:
            if self._output is None:
                state = self._succeeded()
                directory = returned.output_directory(state)
                self._output = returned.read_output(self._collected(state), state, directory)
            return self._output

    def _succeeded(self) -> JobState:
        state = self.state
        if not state.ended:
            raise StillRunning(f"job {self.name!r} is {state.phase}; %gke_wait {self.name} waits for it")
        if state.phase != "succeeded":
            raise JobFailed(insight.failure_text(state), self.name)
        return state

    def _collected(self, state: JobState) -> Collector:
        if self._collector is None:
            found = returned.collector(state)
            if found.needs_log:
                for text in self._session.read_log(self.namespace, state.nodes[0].pod):
                    found.add(text)
            self._collector = found
        return self._collector

    def wait(self, timeout: float | None = None) -> JobState:
        """Wait until the job has ended.

        Args:
            timeout: seconds at most, None for no limit.

        Returns:
            The last state, that of success.

        Raises:
            JobFailed: it has ended without success.
            StillRunning: it has not ended in time; it goes on.
        """
        changed = threading.Event()
        deadline = None if timeout is None else time.monotonic() + timeout
        unsubscribe = self._session.subscribe(self.namespace, changed.set)
        try:
            while not (state := self.state).ended:
                left = _TICK if deadline is None else min(_TICK, deadline - time.monotonic())
                if left <= 0:
                    raise StillRunning(
                        f"job {self.name!r} is still {state.phase} after {timeout:g} s; it goes on: "
                        f"%gke_wait {self.name} or %gke_cancel {self.name}"
                    )
                changed.wait(left)
                changed.clear()
        finally:
            unsubscribe()
        self._session.finish_logs(self)
        if state.phase != "succeeded":
            raise JobFailed(insight.failure_text(state), self.name)
        return state

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have something called when the job or its log has changed, at most 5 times a second.

        Args:
            callback: called on a background thread; it must not block.

        Returns:
            A function that ends the subscription.
        """
        stop_state = self._session.subscribe(self.namespace, callback)
        stop_log = self._session.follow(self, callback)

        def stop() -> None:
            stop_state()
            stop_log()

        return stop

    def tail(self, n: int = 200) -> tuple[LogLine, ...]:
        """Give the last lines of the log that have come in so far, in the order in which they were written.

        Args:
            n: how many lines at most.
        """
        return self._session.tail(self, n)

    def logs(self, rank: int | None = None, tail: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Read the log.

        Args:
            rank: only the lines of this global rank.
            tail: only so many of the last lines of each pod.
            follow: go on until the job has ended.

        Raises:
            InvalidInput: there is no such rank.
        """
        ranks = self.state.ranks
        if rank is not None and not 0 <= rank < ranks:
            raise InvalidInput(f"job {self.name!r} has ranks 0 to {ranks - 1}, not {rank}")
        return self._session.logs(self, rank=rank, tail=tail, follow=follow)

    def cancel(self) -> None:
        """Stop the job for good; its record stays until it is cleaned up. A job that has ended stays as it is."""
        state = self.state
        if not state.ended:
            self._session.call(lambda client: cancel(client, state))

    def explain(self) -> str:
        """Say in one sentence what the job does, or why it does not."""
        return self.state.sentence

    def manifests(self) -> list[Manifest]:
        """Give the job's objects as they are on the cluster, in creation order, ready for `kubectl apply` elsewhere.

        What the server adds about this one object (uid, versions, status, generated labels) is taken away; the
        defaults that it filled in stay.

        Raises:
            GkeNotebookError: the job is no longer there.
        """
        found = []
        # A JobSet makes its Service and its Jobs itself.
        made = (CONFIG_MAPS, SERVICES, JOBS) if self.state.slices == 1 else (CONFIG_MAPS, JOBSETS)
        for resource in made:
            try:
                live = self._session.call(partial(_get, resource, self.name, self.namespace))
            except ApiError as error:
                if error.status == 404:
                    continue
                raise
            found.append(as_written(live))
        if not found:
            raise GkeNotebookError(f"job {self.name!r} is no longer in namespace {self.namespace}")
        return found


async def _get(resource: Resource, name: str, namespace: str, client: Client) -> Manifest:
    return await client.get(resource, name, namespace)


_SERVER_METADATA = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences",
    "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers",
)  # fmt: skip
_GENERATED_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")


def as_written(live: Manifest) -> Manifest:
    """Take away what the server added, so that the object can be applied again elsewhere; pure.

    Args:
        live: an object as the server gives it.
    """
    metadata = {key: value for key, value in live["metadata"].items() if key not in _SERVER_METADATA}
    clean = {key: value for key, value in live.items() if key != "status"} | {"metadata": metadata}
    if live["kind"] == "Job":
        spec = {key: value for key, value in live["spec"].items() if key != "selector"}
        template = dict(spec["template"])
        labels = template.get("metadata", {}).get("labels", {})
        kept = {key: value for key, value in labels.items() if key not in _GENERATED_LABELS}
        template["metadata"] = {**template.get("metadata", {}), "labels": kept}
        clean["spec"] = spec | {"template": template}
    if live["kind"] == "Service":
        generated = {"clusterIPs", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy", "sessionAffinity"}
        clean["spec"] = {key: value for key, value in live["spec"].items() if key not in generated}
    return clean
