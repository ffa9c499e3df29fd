"""Where a live card is painted: behind a display id in a notebook, as lines in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gke_notebook.insight.state import JobState
from gke_notebook.insight.text import named
from gke_notebook.objects import LogLine
from gke_notebook.widgets.view import View, clean


def show_bundle(bundle: Mapping[str, Any]) -> Any:
    """Display forms by MIME type and give the handle that replaces them.

    Args:
        bundle: the forms.
    """
    import IPython.display

    display: Any = IPython.display.display  # untyped in IPython 7
    return display(dict(bundle), raw=True, display_id=True)


class NotebookCanvas:
    """An output of the cell that is replaced in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def paint(self, view: View, state: JobState, tail: Sequence[LogLine], *, final: bool) -> None:  # noqa: ARG002
        """Show a view in place of the last one.

        Args:
            view: what to show.
            state: the job.
            tail: its last log lines.
            final: whether nothing more will come.
        """
        if self._handle is None:
            self._handle = show_bundle(view.bundle())
        else:
            self._handle.update(view.bundle(), raw=True)


class TerminalCanvas:
    """Lines on a terminal: what is new since the last paint, and the whole card at the end.

    Args:
        write: takes one line.
    """

    def __init__(self, write: Callable[[str], object] = print) -> None:
        self._write = write
        self._sentence = ""
        self._seen: tuple[LogLine, ...] = ()

    def paint(self, view: View, state: JobState, tail: Sequence[LogLine], *, final: bool) -> None:
        """Write what is new.

        Args:
            view: the whole card.
            state: the job.
            tail: its last log lines.
            final: whether nothing more will come.
        """
        for line in new_lines(self._seen, tail):
            who = named("rank", [line.rank]) if line.rank is not None else named("node", [line.index])
            self._write(clean(f"{who} | {line.text}"))
        self._seen = tuple(tail)
        if final:
            self._write(view.text)
        elif not state.ended and state.sentence != self._sentence:
            self._write(clean(f"{state.name}: {state.sentence}"))
            self._sentence = state.sentence


def new_lines(seen: Sequence[LogLine], tail: Sequence[LogLine]) -> Sequence[LogLine]:
    """Give the lines of a tail that an earlier tail did not have.

    Args:
        seen: the earlier tail.
        tail: the tail now; it starts somewhere within the earlier one, or after it.
    """
    for start in range(len(seen)):
        rest = seen[start:]
        if tail[: len(rest)] == rest:
            return tail[len(rest) :]
    return tail
