"""The table of `%%gke_train --what-if`: the same job on several shapes and by several ways to have machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gke_notebook.insight.text import count, duration
from gke_notebook.insight.world import Fit
from gke_notebook.widgets.plan_card import FIT_CLASS
from gke_notebook.widgets.view import Markup, View, card, table, tag, text_table

COLUMNS = (
    "option", "asked", "machine", "nodes", "provisioning", "usd_hour", "max_usd", "wait_seconds", "wait", "risk",
    "verdict", "fit", "price_note",
)  # fmt: skip
_HEADER = ("write", "machine", "USD/h", "at most", "fit", "likely wait", "why, and what may go wrong")


class Shown(Protocol):
    """One row; `session.what_if.Choice` is one, and says what each field is."""

    @property
    def option(self) -> str:
        """See `Choice`."""

    @property
    def asked(self) -> bool:
        """See `Choice`."""

    @property
    def machine(self) -> str:
        """See `Choice`."""

    @property
    def nodes(self) -> int:
        """See `Choice`."""

    @property
    def provisioning(self) -> str:
        """See `Choice`."""

    @property
    def usd_hour(self) -> float | None:
        """See `Choice`."""

    @property
    def most(self) -> float | None:
        """See `Choice`."""

    @property
    def price_note(self) -> str:
        """See `Choice`."""

    @property
    def simulated(self) -> bool:
        """See `Choice`."""

    @property
    def wait(self) -> str:
        """See `Choice`."""

    @property
    def wait_seconds(self) -> float | None:
        """See `Choice`."""

    @property
    def risk(self) -> str:
        """See `Choice`."""

    @property
    def fit(self) -> Fit | None:
        """See `Choice`."""

    @property
    def why_not(self) -> str:
        """See `Choice`."""

    @property
    def seconds(self) -> int | None:
        """See `Choice`."""


def what_if_view(name: str, rows: Sequence[Shown]) -> View:
    """Give the table.

    Args:
        name: the job's name.
        rows: the ways to run it, the one that was asked for first.
    """
    seconds = rows[0].seconds
    cap = f"stopped after {duration(seconds)}" if seconds is not None else "no limit, so no most"
    remark = f"List prices of all nodes together in USD; {cap}."
    if any(row.simulated for row in rows):
        remark += " Simulated: nothing is billed."
    cells = [_row(row) for row in rows]
    text = "\n".join([f"WHAT IF {name}  nothing was created", text_table(_HEADER, cells), remark])
    head = tag(
        "div", tag("span", "WHAT IF", cls="gke-kind"), Markup(" "), tag("span", name, cls="gke-name"), Markup(" "),
        tag("span", "nothing was created", cls="gke-muted"), cls="gke-head",
    )  # fmt: skip
    marked = [_marked(cell, row) for cell, row in zip(cells, rows, strict=True)]
    body = table(_HEADER, marked, cls="gke-tall")
    return View(text, card(head, body, tag("div", remark, cls="gke-line gke-muted")))


def records(rows: Iterable[Shown]) -> Iterable[dict[str, object]]:
    """Give the rows of the DataFrame.

    Args:
        rows: the ways to run the job.
    """
    for row in rows:
        yield {
            "option": row.option,
            "asked": row.asked,
            "machine": row.machine,
            "nodes": row.nodes,
            "provisioning": row.provisioning,
            "usd_hour": row.usd_hour,
            "max_usd": row.most,
            "wait_seconds": row.wait_seconds,
            "wait": row.wait,
            "risk": row.risk,
            "verdict": row.fit.verdict if row.fit is not None else "cannot be had",
            "fit": row.fit.sentence if row.fit is not None else row.why_not,
            "price_note": row.price_note,
        }


def _row(row: Shown) -> tuple[str, ...]:
    machine = f"{row.nodes} x {row.machine}" if row.machine else count(row.nodes, "node")
    option = f"{row.option} (asked)" if row.asked else row.option
    if row.fit is None:
        return (option, machine, "-", "-", "cannot be had", "-", row.why_not)
    price = "?" if row.usd_hour is None else f"{row.usd_hour:.2f}"
    most = "?" if row.most is None else f"{row.most:.2f}"
    wait = "-" if row.fit.verdict == "cannot fit" else row.wait.partition(":")[0]
    words = [row.fit.sentence, row.wait.partition(": ")[2], f"risk: {row.risk}" if row.risk else ""]
    return (option, machine, price, most, row.fit.verdict, wait, "; ".join(filter(None, words)))


def _marked(cells: tuple[str, ...], row: Shown) -> tuple[str, ...]:
    first = tag("strong", cells[0]) if row.asked else cells[0]
    kind = FIT_CLASS[row.fit.verdict] if row.fit is not None else "gke-bad"
    return (first, *cells[1:4], tag("span", cells[4], cls=kind), *cells[5:])
