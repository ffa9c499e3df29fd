"""The tables of `%gke_jobs` and `%gke_status`, and the line of `%gke_connect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Protocol

from gke_notebook.insight.state import JobState
from gke_notebook.insight.text import count, duration, one_line
from gke_notebook.widgets.job_card import PHASE_CLASS
from gke_notebook.widgets.view import Markup, View, card, table, tag, text_table

_HEADER = ("name", "state", "nodes", "ranks", "age", "owner", "namespace", "what it does")


class Status(Protocol):
    """What `%gke_status` shows; `session.SessionStatus` is one.

    `nodes` counts ready and all nodes, `accelerators` free and all accelerators by type.
    """

    @property
    def context(self) -> str:
        """The name of the connection."""

    @property
    def server(self) -> str:
        """The address of the API server."""

    @property
    def version(self) -> str:
        """The server's version."""

    @property
    def namespace(self) -> str:
        """The namespace of the session."""

    @property
    def user(self) -> str:
        """Who the server thinks we are."""

    @property
    def nodes(self) -> tuple[int, int] | None:
        """Nodes that are ready, and all; None when they may not be seen."""

    @property
    def accelerators(self) -> Mapping[str, tuple[int, int]]:
        """Free and all accelerators, by type."""

    @property
    def jobs(self) -> int:
        """Jobs that run."""

    @property
    def permissions(self) -> Mapping[str, bool]:
        """What may be done, by name."""

    @property
    def leases(self) -> Sequence[str]:
        """What is to be said of node pools whose lease is over, or nearly."""


def jobs_view(states: Sequence[JobState], *, now: datetime | None = None, where: str = "") -> View:
    """Give the table of jobs, newest first.

    Args:
        states: the jobs.
        now: the time, aware; the clock's when not given.
        where: where was looked, for an empty table.
    """
    time = now or datetime.now(timezone.utc)
    if not states:
        said = f"no jobs{f' in {where}' if where else ''}"
        return View(said, card(tag("div", said, cls="gke-muted")))
    oldest = datetime.min.replace(tzinfo=timezone.utc)
    ordered = sorted(states, key=lambda state: (state.created or oldest, state.name), reverse=True)
    rows = [_job_row(state, time) for state in ordered]
    marked = [
        (name, tag("span", phase, cls=PHASE_CLASS[state.phase]), *rest)
        for state, (name, phase, *rest) in zip(ordered, rows, strict=True)
    ]
    return View(text_table(_HEADER, rows), card(table(_HEADER, marked)))


def _job_row(state: JobState, now: datetime) -> tuple[str, ...]:
    age = duration((now - state.created).total_seconds()) if state.created else "-"
    sentence = one_line(state.sentence, 120)
    owner = state.owner or "-"
    return (state.name, state.phase, str(len(state.nodes)), str(state.ranks), age, owner, state.namespace, sentence)


def status_view(status: Status) -> View:
    """Give the view of a connection.

    Args:
        status: what the session tells.
    """
    rows = [
        ("cluster", f"{status.server} (Kubernetes {status.version})"),
        ("namespace", status.namespace),
        ("you are", status.user),
        ("nodes", f"{status.nodes[0]} of {status.nodes[1]} ready" if status.nodes else "not visible to you"),
    ]
    free = ", ".join(f"{name}: {left} of {total} free" for name, (left, total) in sorted(status.accelerators.items()))
    rows.append(("accelerators", free or "none"))
    rows.append(("jobs", f"{status.jobs} running"))
    rows += _permissions(status.permissions)
    lines = [f"CONNECTED {status.context}", *(f"  {label}: {value}" for label, value in rows)]
    text = "\n".join([*lines, *(f"  {warning}" for warning in status.leases)])
    head = tag(
        "div",
        tag("span", "CONNECTED", cls="gke-kind gke-ok"),
        Markup(" "),
        tag("span", status.context, cls="gke-name"),
        cls="gke-head",
    )
    pairs = tag("dl", *(Markup(tag("dt", label) + tag("dd", value)) for label, value in rows))
    return View(text, card(head, pairs, *_leases(status)))


def _leases(status: Status) -> list[str]:
    return [tag("div", warning, cls="gke-line gke-bad") for warning in status.leases]


def _permissions(permissions: Mapping[str, bool]) -> list[tuple[str, str]]:
    may = ", ".join(name for name, allowed in permissions.items() if allowed)
    may_not = ", ".join(name for name, allowed in permissions.items() if not allowed)
    return [pair for pair in (("you may", may), ("you may not", may_not)) if pair[1]]


def connected_view(status: Status) -> View:
    """Give the line of a new connection.

    Args:
        status: what the session tells.
    """
    parts = [f"namespace {status.namespace}"]
    if status.nodes is not None:
        parts.append(f"{count(status.nodes[0], 'node')} ready")
    parts += [f"{label}: {value}" for label, value in _permissions(status.permissions)]
    text = "\n".join([" · ".join([status.context, *parts]), *status.leases])
    body = tag("div", tag("strong", status.context), Markup(" · "), " · ".join(parts), cls="gke-line")
    return View(text, card(body, *_leases(status)))
