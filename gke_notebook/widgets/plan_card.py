"""The card of a plan: what will be created, object by object, what is shipped, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gke_notebook.insight.rungs import Rung
from gke_notebook.insight.text import count, duration, size
from gke_notebook.insight.world import Fit
from gke_notebook.objects import Manifest
from gke_notebook.session.plan import Plan
from gke_notebook.specs import Program
from gke_notebook.widgets.view import Markup, View, card, table, tag, text_table

_KINDS = {"function": "functions", "class": "classes", "value": "values", "import": "imports"}
FIT_CLASS = {"fits": "gke-ok", "fits after scale-up": "gke-busy", "cannot fit": "gke-bad", "unknown": "gke-wait"}
_NAMES = 12  # names listed of one kind


def plan_view(plan: Plan, *, dry_run: bool = False) -> View:
    """Give the card of a plan.

    Args:
        plan: the plan.
        dry_run: whether nothing will be created after it is shown.
    """
    objects = [(kind, name, what) for kind, name, what in map(_object, plan.manifests)]
    rows = _rows(plan)
    end = "dry run: nothing was created" if dry_run else ""
    return View(_text(plan, rows, objects, end), _html(plan, rows, objects, end))


def _text(plan: Plan, rows: Sequence[tuple[str, str]], objects: Sequence[tuple[str, str, str]], end: str) -> str:
    lines = [f"PLAN {plan.spec.name}  {plan.placement or _placement(plan)}"]
    lines += [f"  {label + ': ' if label else ' ' * len('ships: ')}{value}" for label, value in rows]
    lines.append(f"  creates {count(len(objects), 'object')} in namespace {plan.spec.namespace}:")
    lines += [f"    {line}" for line in text_table(("kind", "name", "what it is"), objects).split("\n")]
    lines += [f"  note: {note}" for note in plan.notes]
    if end:
        lines.append(f"  {end}")
    return "\n".join(lines)


def _html(plan: Plan, rows: Sequence[tuple[str, str]], objects: Sequence[tuple[str, str, str]], end: str) -> str:
    head = tag(
        "div",
        tag("span", "PLAN", cls="gke-kind"),
        Markup(" "),
        tag("span", plan.spec.name, cls="gke-name"),
        Markup(" "),
        tag("span", plan.placement or _placement(plan), cls="gke-muted"),
        cls="gke-head",
    )
    pairs = tag(
        "dl", *(Markup(tag("dt", label) + tag("dd", value, cls=_verdict(plan, label))) for label, value in rows)
    )
    creates = tag("summary", f"creates {count(len(objects), 'object')} in namespace {plan.spec.namespace}:")
    made = tag("details", creates, table(("kind", "name", "what it is"), objects), open_=end and "open")
    notes = [tag("div", f"note: {note}", cls="gke-line gke-wait") for note in plan.notes]
    last = tag("div", tag("strong", end), cls="gke-line") if end else ""
    return card(head, pairs, made, *notes, last)


def _verdict(plan: Plan, label: str) -> str:
    return FIT_CLASS[plan.fit.verdict] if label == "fit" and plan.fit is not None else ""


def _placement(plan: Plan) -> str:
    return f"{count(plan.spec.nodes, 'node')}, {count(plan.spec.ranks, 'rank')}"


def _rows(plan: Plan) -> list[tuple[str, str]]:
    spec = plan.spec
    ranks = count(spec.ranks, "rank")
    if spec.nodes > 1 or spec.procs_per_node > 1:
        processes = "1 process" if spec.procs_per_node == 1 else f"{spec.procs_per_node} processes"
        ranks += f" = {count(spec.nodes, 'node')} x {processes}"
    rows = [("runs on", plan.context), ("ranks", ranks), ("framework", spec.framework)]
    if spec.image:
        rows.append(("image", spec.image))
    rows += _price_rows(plan)
    rows += ladder_rows(plan)
    if plan.ladder is None or (plan.fit is not None and plan.fit.verdict == "cannot fit"):
        rows += fit_rows(plan.fit)
    if spec.max_retries:
        rows.append(("retries", f"up to {spec.max_retries} for each node"))
    if spec.env:
        rows.append(("env", ", ".join(key for key, _ in spec.env)))
    rows += [("ships" if not number else "", line) for number, line in enumerate(ships(spec.program))]
    return [(label, value) for label, value in rows if value]


def _price_rows(plan: Plan) -> list[tuple[str, str]]:
    limit = plan.spec.max_duration
    stops = "no limit (--max-duration sets one)" if limit is None else f"stopped after {duration(limit)}"
    if plan.price is None:
        return [("limit", stops)]
    simulated = " · simulated, nothing is billed" if plan.price.simulated else ""
    said = f"{plan.price.usd_hour:.2f} USD per hour ({plan.price.basis}){simulated}"
    most = plan.max_cost()
    return [("price", said), ("at most", stops if most is None else f"{most:.2f} USD by list price, {stops}")]


def ladder_rows(plan: Plan) -> list[tuple[str, str]]:
    """Give the rungs of a plan's ladder as rows of a card, in the order in which they are tried.

    Args:
        plan: the plan.
    """
    if plan.ladder is None:
        return []
    rungs = plan.ladder.rungs
    return [("" if at else "ladder", f"{at + 1}. {_rung(rung, plan, at)}") for at, rung in enumerate(rungs)]


def _rung(rung: Rung, plan: Plan, at: int) -> str:
    last = at == len(plan.fits) - 1
    parts = [rung.words]
    if rung.usd_hour is not None:
        parts.append(f"{rung.usd_hour:.2f} USD per hour")
    parts.append("waits as long as the job may" if last else f"for {duration(rung.wait)}")
    found = plan.fits[at] if at < len(plan.fits) else None
    return ", ".join(parts) + (f"; {found}" if found is not None else "")


def fit_rows(found: Fit | None) -> list[tuple[str, str]]:
    """Say whether a job fits, what binds and whom to ask, as rows of a card.

    Args:
        found: whether it fits, None when nobody has looked.
    """
    if found is None:
        return []
    rows = [("fit", str(found))]
    if found.queued:
        rows.append(("", found.queued))
    rows += [("", text) for text in (found.ask, found.request) if text]
    return rows


def ships(program: Program) -> list[str]:
    """Say what travels with a cell, a line for each kind of thing, with sizes.

    Args:
        program: the program.

    Example:
        >>> ships(Program(cell="# %%gke_train\\nx = 1"))
        ['the cell (1 line, 19 B)']
    """
    source = program.cell.rstrip("\n").split("\n")
    written = len(source) - ("%%gke_train" in source[0])  # that line stands for the magic line
    lines = [f"the cell ({count(written, 'line')}, {size(len(program.cell.encode()))})"]
    for kind, plural in _KINDS.items():
        found = [name for name in program.names if name.kind == kind and name.name != "__future__"]
        if found:
            sized = kind != "import"
            shown = ", ".join(f"{name.name} ({size(name.size)})" if sized else name.name for name in found[:_NAMES])
            more = f" and {len(found) - _NAMES} more" if len(found) > _NAMES else ""
            lines.append(f"{count(len(found), kind) if len(found) == 1 else f'{len(found)} {plural}'}: {shown}{more}")
    if program.files:
        shown = ", ".join(f"{file.path} ({size(len(file.content))})" for file in program.files[:_NAMES])
        more = f" and {len(program.files) - _NAMES} more" if len(program.files) > _NAMES else ""
        lines.append(f"{count(len(program.files), 'file')}: {shown}{more}")
    if program.requirements:
        lines.append(f"requirements installed where missing: {', '.join(program.requirements)}")
    return lines


def _object(manifest: Manifest) -> tuple[str, str, str]:
    return str(manifest.get("kind", "")), str(manifest.get("metadata", {}).get("name", "")), _described(manifest)


def _described(manifest: Manifest) -> str:
    kind = manifest.get("kind")
    spec = manifest.get("spec", {})
    if kind == "Job":
        return f"{spec.get('completionMode', 'NonIndexed')} Job of {count(int(spec.get('completions') or 1), 'pod')}"
    if kind == "JobSet":
        jobs = spec["replicatedJobs"][0]
        pods = count(int(jobs["template"]["spec"]["completions"]), "pod")
        return f"{jobs['replicas']} Indexed Jobs of {pods}, one for each slice"
    if kind == "Service":
        return "headless, gives every pod a name" if spec.get("clusterIP") == "None" else "reaches the pods"
    if kind in {"ConfigMap", "Secret"}:
        entries = {**manifest.get("data", {}), **manifest.get("binaryData", {}), **manifest.get("stringData", {})}
        octets = sum(len(str(value).encode()) for value in entries.values())
        return f"the program, {count(len(entries), 'file')}, {size(octets)}"
    return size(len(json.dumps(manifest, default=str).encode()))
