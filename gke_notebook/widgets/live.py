"""The card under a cell while a job runs: repainted when something has changed, at most five times a second.

The card itself is static HTML and plain text behind a display id, so that every front end, nbclient and nbconvert can
show it and a saved notebook holds its last state. Buttons live in a box of their own (`controls`), which goes when the
job ends.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gke_notebook.errors import GkeNotebookError
from gke_notebook.insight.lanes import fold
from gke_notebook.insight.state import JobState
from gke_notebook.objects import LogLine
from gke_notebook.widgets.job_card import Returned, job_view
from gke_notebook.widgets.summary import summarise
from gke_notebook.widgets.view import View

PAINT_SECONDS = 0.2  # at least so long between two paints
TICK_SECONDS = 1.0  # a paint for the seconds that pass
TAIL_LINES = 200


class Watched(Protocol):
    """What a card needs of a job; `session.Job` is one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def state(self) -> JobState:
        """Where it stands."""

    @property
    def trouble(self) -> str:
        """Why the state may be out of date, empty when it is not."""

    @property
    def result(self) -> Any:
        """The result of rank 0."""

    @property
    def output(self) -> Mapping[str, Path]:
        """The files that came back."""

    def tail(self, n: int = TAIL_LINES) -> Sequence[LogLine]:
        """The last log lines that are at hand."""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Be told of changes."""

    def wait(self, timeout: float | None = None) -> JobState:
        """Wait for its end."""

    def cancel(self) -> None:
        """Stop it."""


class Canvas(Protocol):
    """Where a card is painted."""

    def paint(self, view: View, state: JobState, tail: Sequence[LogLine], *, final: bool) -> None:
        """Show a view in place of the last one; `final` when it is the last."""


class JobCard:
    """The card of one job, live until the job has ended.

    Args:
        job: the job.
        canvas: where to paint.
        variable: the Python variable that holds the job, empty when there is none.
    """

    def __init__(self, job: Watched, canvas: Canvas, *, variable: str = "") -> None:
        self.job = job
        self.notes: tuple[str, ...] = ()
        self.hint = ""  # shown until the job has ended
        self._canvas = canvas
        self._variable = variable
        self._rank: int | None = None
        self._painted: View | None = None
        self._seen: tuple[JobState, Sequence[LogLine]] = (JobState(job.name, ""), ())
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._ended: list[Callable[[], None]] = []

    def select(self, rank: int | None) -> None:
        """Show the log of one rank, or of all.

        Args:
            rank: the global rank, None for all.
        """
        self._rank = rank
        self._changed.set()

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have something called once the job has ended and its last state is painted.

        Args:
            callback: what to call, from the thread that follows the job.
        """
        self._ended.append(callback)

    def paint(self, *, final: bool = False, stale: bool = False) -> JobState:
        """Paint the card if it has changed.

        Args:
            final: whether the result may be asked for, because the job has ended.
            stale: whether to paint what was seen last, because the job can no longer be asked.
        """
        with self._lock:
            state, tail = self._seen = self._seen if stale else (self.job.state, self.job.tail(TAIL_LINES))
            ranks = range(max(1, state.ranks)) if self._rank is None else (self._rank,)
            returned = self._returned(state) if final else None
            hints = (self.hint,) if self.hint and not state.ended else ()
            trouble = "" if stale or state.ended else self.job.trouble
            unsure = (f"no news from the cluster, still trying: {trouble}",) if trouble else ()
            view = job_view(state, fold(tail, ranks), returned, notes=(*self.notes, *hints, *unsure))
            if final or view != self._painted:
                self._canvas.paint(view, state, tail, final=final)
                self._painted = view
            return state

    def follow(self, timeout: float | None = None) -> JobState:
        """Repaint until the job has ended or the time is over; the calling thread waits meanwhile.

        Args:
            timeout: seconds at most, None for no limit.

        Returns:
            The last state; not an ended one when the time was over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        unsubscribe = self.job.subscribe(self._changed.set)
        try:
            while True:
                self._changed.clear()
                painted = time.monotonic()
                state = self.paint()
                if state.ended:
                    return self._close()
                left = TICK_SECONDS if deadline is None else min(TICK_SECONDS, deadline - painted)
                if left <= 0:
                    return state
                self._changed.wait(left)
                time.sleep(max(0.0, min(PAINT_SECONDS, left) - (time.monotonic() - painted)))
        finally:
            unsubscribe()

    def follow_in_background(self) -> threading.Thread:
        """Follow the job from a thread of its own; other cells can run meanwhile."""
        # The context carries the cell to which the kernel attributes output.
        thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._follow_quietly,),
            name=f"gke-notebook card {self.job.name}",
            daemon=True,
        )
        thread.start()
        return thread

    def _follow_quietly(self) -> None:
        try:
            self.follow()
        except GkeNotebookError as error:
            self.notes = (f"this card is no longer updated: {error}",)
            self.paint(stale=True)

    def _close(self) -> JobState:
        try:
            # The job has ended; this waits for what is still on its way: the rest of the log, the result.
            self.job.wait()
        except GkeNotebookError as error:
            if not self.job.state.ended:
                self.notes = (*self.notes, str(error))
        state = self.paint(final=True)
        for callback in self._ended:
            callback()
        return state

    def _returned(self, state: JobState) -> Returned:
        if state.phase != "succeeded":
            return Returned()
        notes = []
        result = ""
        files: list[tuple[str, int]] = []
        try:
            value = self.job.result
            result = "" if value is None else summarise(value)
        except GkeNotebookError as error:
            notes.append(f"result: {error}")
        try:
            files = [(name, path.stat().st_size) for name, path in self.job.output.items()]
        except (GkeNotebookError, OSError) as error:
            notes.append(f"output files: {error}")
        return Returned(result=result, files=tuple(files), variable=self._variable, notes=tuple(notes))
