"""What the magics share: errors as one line, the current session, binding a job, attaching to it."""

from __future__ import annotations

import contextlib
import keyword
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gke_notebook.errors import GkeNotebookError, JobFailed, StillRunning
from gke_notebook.magics.options import fail

if TYPE_CHECKING:
    from gke_notebook.insight.state import JobState
    from gke_notebook.session.job import Job
    from gke_notebook.session.session import Session
    from gke_notebook.widgets.live import JobCard
    from gke_notebook.widgets.view import View


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Turn what the user can mend into a `UsageError` of one line, and take our own frames out of a job's failure."""
    try:
        yield
    except (JobFailed, StillRunning) as error:
        quiet(error, f"{type(error).__name__}: {error}")
        raise
    except GkeNotebookError as error:
        fail(str(error))


def quiet(error: BaseException, text: str) -> None:
    """Have IPython show a text in place of the traceback; the exception itself stays what it is.

    Args:
        error: the exception.
        text: what is shown.
    """
    # IPython asks an exception for its own rendering (InteractiveShell.showtraceback).
    error._render_traceback_ = lambda: text.split("\n")  # type: ignore[attr-defined]


def current() -> Session:
    """Give the current session.

    Raises:
        NotConnected: there is none.
    """
    from gke_notebook.session.current import session

    return session()


def show(view: View) -> None:
    """Display a view.

    Args:
        view: the view.
    """
    import IPython.display

    display: Any = IPython.display.display  # untyped in IPython 7
    display(view)


def variable_for(name: str) -> str:
    """Give the Python variable that holds a job, empty when its name makes none.

    Args:
        name: the job's name.

    Example:
        >>> variable_for("digits-two"), variable_for("class")
        ('digits_two', '')
    """
    variable = name.replace("-", "_")
    return variable if variable.isidentifier() and not keyword.iskeyword(variable) else ""


def bind(shell: Any, job: Job) -> str:
    """Put a job into the notebook's variables.

    Args:
        shell: the interactive shell.
        job: the job.

    Returns:
        The variable's name.
    """
    variable = variable_for(job.name)
    if variable:
        shell.push({variable: job})
    return variable


def attach(shell: Any, job: Job, variable: str, *, wait: bool = True, timeout: float | None = None) -> None:
    """Show the card of a job and, unless told otherwise, wait for its end.

    Args:
        shell: the interactive shell.
        job: the job.
        variable: the Python variable that holds it.
        wait: whether to wait; without it the card is kept up to date in the background.
        timeout: seconds to wait at most.

    Raises:
        JobFailed: the job did not succeed.
        StillRunning: the time was over.
        KeyboardInterrupt: the kernel was interrupted; the job goes on.
    """
    from gke_notebook.widgets.canvas import NotebookCanvas, TerminalCanvas
    from gke_notebook.widgets.live import JobCard

    in_notebook = getattr(shell, "kernel", None) is not None
    card = JobCard(job, NotebookCanvas() if in_notebook else TerminalCanvas(), variable=variable)
    again = f"%gke_wait {job.name} attaches again, %gke_cancel {job.name} stops it"
    try:
        state = card.paint()
        if not wait:
            if in_notebook:
                _go_on(card, state)
            else:
                print(f"the job goes on: {again}")
            return
        state = card.follow(timeout)
    except KeyboardInterrupt as interrupt:
        text = f"interrupted; job {job.name!r} goes on: {again}"
        if in_notebook:
            card.hint = text
            _go_on(card, job.state)
        quiet(interrupt, f"KeyboardInterrupt: {text}")
        raise
    if not state.ended:
        card.hint = f"no longer watched; the job goes on: {again}"
        card.paint()
        raise StillRunning(f"job {job.name!r} is still {state.phase} after {timeout:g} s and goes on: {again}")
    job.wait()


def _go_on(card: JobCard, state: JobState) -> None:
    from gke_notebook.widgets.controls import show_controls

    if not state.ended:
        show_controls(card, state.ranks)
    card.follow_in_background()
