"""The card of a change of a node pool: a bar with the operation's own stages, live while somebody waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from gke_notebook.insight.operations import OperationState
from gke_notebook.insight.text import count, duration
from gke_notebook.widgets.canvas import show_bundle
from gke_notebook.widgets.view import Markup, View, card, clean, tag

_WIDTH = 30  # characters of the bar in plain text
_CLASS = {"done": "gke-ok", "running": "gke-busy", "aborting": "gke-bad"}


def operation_view(state: OperationState, *, now: datetime, note: str = "", hint: str = "") -> View:
    """Give the card of an operation.

    Args:
        state: where it stands.
        now: the time, aware.
        note: a sentence about how it came to be.
        hint: what to do next.

    Example:
        >>> print(operation_view(OperationState("", "l4", "creating"), now=datetime.now(timezone.utc)).text)
        NODE POOL l4  creating: done
          [##############################] 100 %
    """
    status = ("failed" if state.error else "done") if state.done else state.status
    percent = round(state.fraction * 100)
    filled = round(state.fraction * _WIDTH)
    facts = []
    if state.nodes_total:
        facts.append(f"{state.nodes_done} of {count(state.nodes_total, 'node')}")
    if state.started is not None:
        facts.append(duration(state.seconds(now)))
    said = " · ".join(facts)
    lines = [f"NODE POOL {state.pool}  {state.doing}: {status}{f', {said}' if said else ''}"]
    lines.append(f"  [{'#' * filled}{'.' * (_WIDTH - filled)}] {percent} %")
    if state.stages:
        lines.append("  " + " | ".join(f"{stage.name} ({stage.status})" for stage in state.stages))
    sentences = [one for one in (note, state.error, state.advice if state.error else "", hint) if one]
    lines += [f"  {one}" for one in sentences]
    return View("\n".join(lines), _html(state, status, percent, said, sentences))


def _html(state: OperationState, status: str, percent: int, said: str, sentences: list[str]) -> str:
    kind = "gke-bad" if state.error else "gke-ok" if state.done else "gke-busy"
    head = tag(
        "div",
        tag("span", "NODE POOL", cls="gke-kind"),
        Markup(" "),
        tag("span", state.pool, cls="gke-name"),
        Markup(" "),
        tag("span", f"{state.doing}: {status}", cls=f"gke-badge {kind}"),
        Markup(" "),
        tag("span", said, cls="gke-muted"),
        cls="gke-head",
    )
    fill = f"linear-gradient(to right,currentColor {percent}%,var(--gke-line) {percent}%)"
    bar = tag(
        "div",
        cls=kind,
        role="progressbar",
        title=f"{percent} %",
        style=f"height:6px;border-radius:3px;margin:6px 0;background:{fill}",
    )
    strip: list[str] = []
    for stage in state.stages:
        if strip:
            strip.append(tag("span", " | ", cls="gke-sep"))
        words = tag("b", stage.name)
        stopped = state.error and stage.status not in {"done", "pending"}
        cls = "gke-bad" if stopped else _CLASS.get(stage.status, "gke-muted")
        strip.append(tag("span", words, cls=f"gke-part {cls}", style="flex-grow:1"))
    parts = [head, bar, tag("div", *strip, cls="gke-strip") if strip else ""]
    for one in sentences:
        cls = "gke-line gke-bad" if one == state.error else "gke-line gke-muted"
        parts.append(tag("div", one, cls=cls))
    return card(*parts)


class OperationCard:
    """The live card of one operation.

    Args:
        notebook: whether it is repainted in place; otherwise each new sentence is a line, and the card comes last.
        note: a sentence about how the operation came to be.
        write: takes one line.
    """

    def __init__(self, *, notebook: bool, note: str = "", write: Callable[[str], object] = print) -> None:
        self.note = note
        self._notebook = notebook
        self._write = write
        self._handle: Any = None
        self._sentence = ""
        self._painted = ""

    def paint(self, state: OperationState, hint: str = "", *, final: bool = False) -> None:
        """Show where the operation stands.

        Args:
            state: where it stands.
            hint: what to do next.
            final: whether nothing more will come.
        """
        view = operation_view(state, now=datetime.now(timezone.utc), note=self.note, hint=hint)
        if self._notebook:
            if view.html == self._painted:
                return
            self._painted = view.html
            if self._handle is None:
                self._handle = show_bundle(view.bundle())
            else:
                self._handle.update(view.bundle(), raw=True)
        elif final or state.done:
            self._write(view.text)
        elif state.sentence != self._sentence:
            self._write(clean(state.sentence))
            self._sentence = state.sentence
