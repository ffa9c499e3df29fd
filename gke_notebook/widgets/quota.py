"""The table of `%gke_quota`: limits of the namespace, the queues and the project, and what a job takes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gke_notebook.insight.quota import Limit
from gke_notebook.insight.world import Fit
from gke_notebook.widgets.plan_card import FIT_CLASS, fit_rows
from gke_notebook.widgets.view import Markup, View, card, table, tag, text_table

COLUMNS = ("kind", "name", "where", "used", "limit", "left", "takes", "binds", "note")
_TITLES = {"namespace": "Namespace", "queue": "Queues", "cloud": "Google Cloud", "pool": "Node pools"}
_HEADER = ("", "quota", "where", "used", "limit", "left")


class Shown(Protocol):
    """What the table shows; `session.quota.Quota` is one."""

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The rows."""

    @property
    def namespace(self) -> str:
        """Whose."""

    @property
    def region(self) -> str:
        """Whose, empty when not known."""

    @property
    def job(self) -> str:
        """What the job is, empty for none."""

    @property
    def fit(self) -> Fit | None:
        """Whether it fits."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be seen."""


def quota_view(found: Shown) -> View:
    """Give the table.

    Args:
        found: what `session.quota()` gives.
    """
    header = (*_HEADER, "the job takes") if found.job else _HEADER
    # With a job, what it does not take from would only hide the rest.
    limits = [limit for limit in found.limits if not found.job or limit.takes]
    rows = [_row(limit, bool(found.job)) for limit in limits]
    nothing = (
        "nothing that the job takes is limited, as far as you may see"
        if found.job
        else "nothing is limited that you may see"
    )
    where = f"namespace {found.namespace}" + (f", {found.region}" if found.region else "")
    said = [(label, value) for label, value in [("job", found.job), *fit_rows(found.fit)] if value]
    notes = [*dict.fromkeys(limit.note for limit in limits if limit.note), *found.notes]
    lines = [f"QUOTA {where}", *(f"  {label + ': ' if label else '     '}{value}" for label, value in said)]
    lines.append(text_table(header, rows) if rows else f"  {nothing}")
    text = "\n".join([*lines, *(f"  note: {note}" for note in notes)])
    head = tag("div", tag("span", "QUOTA", cls="gke-kind"), Markup(" "), tag("span", where, cls="gke-name"),
               cls="gke-head")  # fmt: skip
    pairs = (
        tag("dl", *(Markup(tag("dt", label) + tag("dd", value, cls=_verdict(found, label))) for label, value in said))
        if said
        else ""
    )
    marked = [_marked(row, limit) for row, limit in zip(rows, limits, strict=True)]
    body = table(header, marked, cls="gke-tall") if rows else tag("div", nothing)
    remarks = [tag("div", f"note: {note}", cls="gke-line gke-wait") for note in notes]
    return View(text, card(head, pairs, body, *remarks))


def _verdict(found: Shown, label: str) -> str:
    return FIT_CLASS[found.fit.verdict] if label == "fit" and found.fit is not None else ""


def records(found: Shown) -> Iterable[dict[str, object]]:
    """Give the rows of the DataFrame; amounts of memory are bytes.

    Args:
        found: what `session.quota()` gives.
    """
    for limit in found.limits:
        yield {
            "kind": limit.kind,
            "name": limit.name,
            "where": limit.where,
            "used": limit.used,
            "limit": limit.limit,
            "left": limit.left,
            "takes": limit.takes,
            "binds": limit.short,
            "note": limit.note,
        }


def _row(limit: Limit, with_job: bool) -> tuple[str, ...]:
    used = ("at least " if limit.note.startswith("used:") else "") + limit.shown(limit.used)
    most = "none" if limit.limit is None else limit.shown(limit.limit)
    left = "-" if limit.left is None else limit.shown(limit.left)
    row = (_TITLES[limit.kind], limit.name, limit.where, used, most, left)
    if not with_job:
        return row
    takes = limit.shown(limit.takes) if limit.takes else "-"
    return (*row, f"{takes}, too much" if limit.short else takes)


def _marked(row: tuple[str, ...], limit: Limit) -> tuple[str, ...]:
    if not limit.short:
        return row
    return (*row[:-1], tag("strong", row[-1], cls="gke-bad"))
