"""The card of a job: phases, nodes, folded log, failure, result; as text and as static HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from gke_notebook.insight.failures import failure_line
from gke_notebook.insight.ladder import lines
from gke_notebook.insight.lanes import Lane
from gke_notebook.insight.state import JobState
from gke_notebook.insight.text import count, duration, size
from gke_notebook.widgets.nodes import nodes_html, nodes_text
from gke_notebook.widgets.view import Markup, View, card, indent, tag

PHASE_CLASS = {
    "queued": "gke-wait",
    "starting": "gke-busy",
    "running": "gke-busy",
    "succeeded": "gke-ok",
    "failed": "gke-bad",
    "cancelled": "gke-wait",
    "deleted": "gke-wait",
}
_TEXT_LINES = 20  # log lines in the plain-text form


@dataclass(frozen=True)
class Returned:
    """What came back from a job, in words.

    Args:
        result: a short text of the result, empty when there is none.
        files: the returned files, each with its size in bytes.
        variable: the Python variable that holds the Job, empty when there is none.
        notes: sentences about what did not come back.
    """

    result: str = ""
    files: tuple[tuple[str, int], ...] = ()
    variable: str = ""
    notes: tuple[str, ...] = ()


def job_view(
    state: JobState,
    lanes: Sequence[Lane] = (),
    returned: Returned | None = None,
    *,
    notes: Sequence[str] = (),
) -> View:
    """Give the card of a job.

    Args:
        state: the job.
        lanes: the tail of its log, folded.
        returned: what came back, once it has ended.
        notes: further sentences, for example how to attach again.

    Example:
        >>> print(job_view(JobState("digits", "default", phase="succeeded", sentence="succeeded")).text)
        JOB digits  succeeded
          namespace default
          succeeded
    """
    returned = returned or Returned()
    return View(_text(state, lanes, returned, notes), _html(state, lanes, returned, notes))


def facts(state: JobState) -> str:
    """Give what a job is, in one clause: namespace, ranks, framework, cost so far.

    Args:
        state: the job.
    """
    parts = [f"namespace {state.namespace}"]
    if state.nodes:
        parts.append(f"{count(state.ranks, 'rank')} on {count(len(state.nodes), 'node')}")
    if state.framework != "none":
        parts.append(state.framework)
    spent = cost(state)
    if spent is not None:
        parts.append(f"{spent:.2f} USD by list price" + (" (simulated, nothing is billed)" if state.simulated else ""))
    elif state.simulated:
        parts.append("simulated accelerators")
    return " · ".join(parts)


def cost(state: JobState) -> float | None:
    """Give what the job has cost by list price in USD, from when it held nodes; None when unknown.

    Args:
        state: the job.
    """
    held = sum(span.seconds for span in state.spans if span.phase in {"starting", "running"})
    return None if state.price_usd_hour is None or not held else state.price_usd_hour * held / 3600


def _text(state: JobState, lanes: Sequence[Lane], returned: Returned, notes: Sequence[str]) -> str:
    strip = [f"{span.phase} {duration(span.seconds)}" for span in state.spans]
    if state.ended or not strip:
        strip.append(state.phase)
    lines = [f"JOB {state.name}  {' | '.join(strip)}", f"  {facts(state)}"]
    if state.sentence and state.failure is None:
        lines.append(f"  {state.sentence}")
    lines += [f"  ladder: {line}" for line in ladder_lines(state)]
    lines += [f"  {line}" for line in nodes_text(state.nodes)]
    if lanes:
        lines += _log_text(lanes)
    if state.failure is not None:
        lines.append(f"  {failure_line(state.failure)}")
        if state.failure.others:
            lines.append(f"  {count(state.failure.others, 'other node')} failed after it")
        if state.failure.traceback:
            lines.append(indent(state.failure.traceback, "    "))
    lines += [f"  {label}: {value}" for label, value in _returned(returned)]
    lines += [f"  {note}" for note in notes]
    return "\n".join(lines)


def ladder_lines(state: JobState, now: datetime | None = None) -> list[str]:
    """Say what was tried on a job's ladder, why it failed, and what comes next.

    Args:
        state: the job.
        now: the time, aware; the clock's when not given.
    """
    if state.ladder is None:
        return []
    return lines(state.ladder, now or datetime.now(timezone.utc), ended=state.ended)


def _ladder_html(state: JobState) -> list[str]:
    found = ladder_lines(state)
    tried = len(state.ladder.tried) if state.ladder is not None else 0
    return [
        tag("div", tag("span", "ladder: ", cls="gke-muted"), tag("span", line, cls="gke-wait" if at < tried else ""),
            cls="gke-line")
        for at, line in enumerate(found)
    ]  # fmt: skip


def _log_text(lanes: Sequence[Lane]) -> list[str]:
    width = max(len(lane.label) for lane in lanes)
    lines = []
    for lane in lanes:
        if lane.skipped:
            lines.append(f"  {lane.label.ljust(width)} | {_skipped(lane)}")
        lines += [f"  {lane.label.ljust(width)} | {line}" for line in lane.lines]
    hidden = len(lines) - _TEXT_LINES
    return [f"  ({hidden} earlier log lines)", *lines[hidden:]] if hidden > 0 else lines


def _skipped(lane: Lane) -> str:
    return f"... {count(lane.skipped, 'earlier line' if lane.lines else 'line')} not shown"


def _returned(returned: Returned) -> list[tuple[str, str]]:
    rows = []
    if returned.result:
        rows.append((f"{returned.variable}.result" if returned.variable else "result", returned.result))
    if returned.files:
        shown = ", ".join(f"{name} ({size(octets)})" for name, octets in returned.files[:20])
        more = f" and {len(returned.files) - 20} more" if len(returned.files) > 20 else ""
        rows.append((f"{returned.variable}.output" if returned.variable else "output", shown + more))
    return rows + [("not returned", note) for note in returned.notes]


def _html(state: JobState, lanes: Sequence[Lane], returned: Returned, notes: Sequence[str]) -> str:
    head = tag(
        "div",
        tag("span", "JOB", cls="gke-kind"),
        Markup(" "),
        tag("span", state.name, cls="gke-name"),
        Markup(" "),
        tag("span", state.phase, cls=f"gke-badge {PHASE_CLASS[state.phase]}"),
        Markup(" "),
        tag("span", facts(state), cls="gke-muted"),
        cls="gke-head",
    )
    parts: list[str] = [head, strip_html(state)]
    if state.sentence and state.failure is None:
        parts.append(tag("div", state.sentence, cls="gke-line"))
    parts += _ladder_html(state)
    parts.append(nodes_html(state.nodes))
    parts.append(log_html(lanes))
    if state.failure is not None:
        parts.append(_failure_html(state))
    rows = _returned(returned)
    if rows:
        pairs = (tag("dt", label) + tag("dd", tag("code", value)) for label, value in rows)
        parts.append(tag("dl", *(Markup(pair) for pair in pairs)))
    parts += [tag("div", note, cls="gke-line gke-muted") for note in notes]
    return card(*parts)


def strip_html(state: JobState) -> Markup:
    """Give the strip of phases; the width of each follows its seconds.

    Args:
        state: the job.
    """
    if not state.spans:
        return Markup()
    whole = sum(span.seconds for span in state.spans) or 1.0
    parts: list[str] = []
    for number, span in enumerate(state.spans):
        last = number == len(state.spans) - 1
        kind = PHASE_CLASS[state.phase] if last else "gke-muted"
        if parts:
            parts.append(tag("span", " | ", cls="gke-sep"))
        share = max(1, round(100 * span.seconds / whole))
        words = tag("b", f"{span.phase} {duration(span.seconds)}")
        parts.append(tag("span", words, cls=f"gke-part {kind}", style=f"flex-grow:{share}"))
    return tag("div", *parts, cls="gke-strip")


def log_html(lanes: Sequence[Lane]) -> Markup:
    """Give the folded log tail; it scrolls, and shows its end first.

    Args:
        lanes: the lanes.
    """
    if not lanes:
        return Markup()
    rows = []
    for lane in lanes:
        lines = [_skipped(lane)] if lane.skipped else []
        body = tag("pre", "\n".join([*lines, *lane.lines]))
        cls = "gke-lane" if lane.whole else "gke-lane gke-own"
        rows.append(tag("div", tag("span", lane.label), body, cls=cls))
    return tag("div", tag("div", *rows), cls="gke-log")


def _failure_html(state: JobState) -> Markup:
    failure = state.failure
    if failure is None:
        return Markup()
    parts = [tag("strong", failure_line(failure), cls="gke-bad")]
    if failure.others:
        parts.append(tag("div", f"{count(failure.others, 'other node')} failed after it", cls="gke-muted"))
    if failure.traceback:
        parts.append(tag("pre", failure.traceback))
    return tag("div", *parts, cls="gke-fail")
