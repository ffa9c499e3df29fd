"""The views of `%gke_nodepool`: the table of pools, the plan of one, the story of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Protocol

from gke_notebook.insight.node_pools import SOON_SECONDS, NodePool
from gke_notebook.insight.pool_story import lease_warnings
from gke_notebook.insight.text import count, one_line
from gke_notebook.specs import NodePoolSpec
from gke_notebook.widgets.view import Markup, View, card, indent, table, tag, text_table

COLUMNS = (
    "name", "machine_type", "accelerator", "provisioning", "zones", "nodes", "ready", "min", "max", "autoscaling",
    "status", "conditions", "usd_hour_each", "usd_hour", "price_basis", "lease_until", "lease_left_hours", "owner",
    "jobs", "orphaned", "simulated",
)  # fmt: skip
_HEADER = ("name", "nodes", "each node", "how", "where", "status", "USD/h now", "lease", "owner", "jobs")
_BAD = {"in error", "running, with an error"}
_BUSY = {"being created", "being changed", "being deleted"}


class Planned(Protocol):
    """What the view of a plan needs; `session.node_pools.NodePoolPlan` is one."""

    @property
    def spec(self) -> NodePoolSpec:
        """The pool as asked for."""

    @property
    def request(self) -> Mapping[str, Any]:
        """The body of the API's call."""

    @property
    def policy(self) -> Mapping[str, Any] | None:
        """The resource policy that is made before it."""

    @property
    def usd_hour_each(self) -> float | None:
        """The price of one node."""

    @property
    def price_basis(self) -> str:
        """Where it comes from."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences worth knowing."""


def pools_view(pools: Sequence[NodePool], *, now: float, where: str = "", orphans: bool = False) -> View:
    """Give the table of node pools.

    Args:
        pools: the pools.
        now: the time in seconds since 1970.
        where: the cluster.
        orphans: whether these are only the pools that nobody seems to want.
    """
    kind = "ORPHANED NODE POOLS" if orphans else "NODE POOLS"
    costs = [pool.usd_hour for pool in pools]
    total = sum(cost for cost in costs if cost is not None)
    unknown = sum(cost is None for cost in costs)
    said = f"{count(len(pools), 'pool')}{f' of {where}' if where else ''}, {total:,.2f} USD/h now by list price"
    if unknown:
        said += f", and {count(unknown, 'pool')} of unknown price"
    if any(pool.simulated for pool in pools):
        said += " (simulated, nothing is billed)"
    rows = [_row(pool, now) for pool in pools]
    lines = [f"{pool.name}: {text}" for pool in pools for text in pool.conditions]
    if orphans:
        lines += [f"{pool.name}: {pool.orphaned(now)}" for pool in pools]
        lines.append(
            "%gke_nodepool extend NAME keeps one, %gke_nodepool delete NAME ends it, delete --expired all past lease"
            if pools
            else "every pool is wanted: leases go on and jobs use what is there"
        )
    else:
        lines += lease_warnings(pools, now, SOON_SECONDS)
    head = tag("div", tag("span", kind, cls="gke-kind"), Markup(" "), tag("span", said, cls="gke-name"), cls="gke-head")
    marked = [
        (Markup(tag("strong", row[0])), *row[1:5], _status(pool, row[5]), row[6], _lease(pool, row[7], now), *row[8:])
        for pool, row in zip(pools, rows, strict=True)
    ]
    body = [table(_HEADER, marked, cls="gke-tall")] if rows else []
    remarks = [tag("div", line, cls="gke-line gke-wait") for line in lines]
    text = "\n".join([f"{kind}  {said}", *([text_table(_HEADER, rows)] if rows else []), *lines])
    return View(text, card(head, *body, *remarks))


def records(pools: Iterable[NodePool], now: float) -> Iterable[dict[str, object]]:
    """Give the rows of the DataFrame.

    Args:
        pools: the pools.
        now: the time in seconds since 1970.
    """
    for pool in pools:
        left = pool.lease_left(now)
        until = None if pool.lease_until is None else datetime.fromtimestamp(pool.lease_until, timezone.utc)
        yield {
            "name": pool.name, "machine_type": pool.machine_type, "accelerator": pool.accelerator,
            "provisioning": pool.provisioning, "zones": ", ".join(pool.zones), "nodes": pool.size,
            "ready": pool.ready, "min": pool.least, "max": pool.most, "autoscaling": pool.autoscaling,
            "status": pool.status, "conditions": "; ".join(pool.conditions),
            "usd_hour_each": _number(pool.usd_hour_each), "usd_hour": _number(pool.usd_hour),
            "price_basis": pool.price_basis, "lease_until": until,
            "lease_left_hours": _number(None if left is None else round(left / 3600, 3)), "owner": pool.owner,
            "jobs": ", ".join(job.name for job in pool.jobs), "orphaned": pool.orphaned(now),
            "simulated": pool.simulated,
        }  # fmt: skip


def plan_view(plan: Planned, *, dry_run: bool = False) -> View:
    """Give the view of a pool before it is asked for; with `dry_run`, the exact request.

    Args:
        plan: the plan.
        dry_run: whether nothing will be asked for.
    """
    spec = plan.spec
    facts = list(_facts(plan))
    said = f"{spec.name}{', dry run: nothing is created' if dry_run else ''}"
    text = [f"NODE POOL  {said}", *(f"  {label}: {value}" for label, value in facts)]
    pairs = tag("dl", *(Markup(tag("dt", label) + tag("dd", value)) for label, value in facts))
    head = tag(
        "div", tag("span", "NODE POOL", cls="gke-kind"), Markup(" "), tag("span", said, cls="gke-name"), cls="gke-head"
    )
    parts: list[str] = [head, pairs]
    for title, body in _requests(plan) if dry_run else ():
        written = _yaml(body)
        text += [f"  {title}", indent(written.rstrip("\n"), "    ")]
        shown = tag("div", tag("pre", written), cls="gke-tall")
        parts.append(tag("details", tag("summary", title), shown, open_="open"))
    return View("\n".join(text), card(*parts))


def story_view(name: str, sentences: Sequence[str]) -> View:
    """Give the view of why a pool has the size it has.

    Args:
        name: the pool.
        sentences: what is known, each ``label: text`` or a sentence.
    """
    rows = [
        tuple(one.split(": ", 1)) if ": " in one and " " not in one.split(":")[0] else ("", one) for one in sentences
    ]
    head = tag(
        "div", tag("span", "NODE POOL", cls="gke-kind"), Markup(" "), tag("span", name, cls="gke-name"), cls="gke-head"
    )
    marks = {"error": "gke-bad"}
    pairs = [
        Markup(tag("dt", label) + tag("dd", text, cls=marks.get(label, "gke-wait" if not label else "")))
        for label, text in rows
    ]
    text = "\n".join([f"NODE POOL {name}", *(f"  {one}" for one in sentences)])
    return View(text, card(head, tag("dl", *pairs)))


def _row(pool: NodePool, now: float) -> tuple[str, ...]:
    nodes = str(pool.size) if pool.ready in (None, pool.size) else f"{pool.ready} of {pool.size} ready"
    if pool.autoscaling:
        nodes += f" ({pool.least} to {pool.most})"
    each = f"{pool.machine_type}, {pool.accelerator}" if pool.accelerator else pool.machine_type
    cost = "unknown" if pool.usd_hour is None else f"{pool.usd_hour:,.2f}"
    jobs = ", ".join(job.name for job in pool.jobs) or "-"
    zones = ", ".join(pool.zones) or "-"
    return (
        pool.name, nodes, each, pool.provisioning, zones, pool.status, cost, pool.lease_words(now), pool.owner or "-",
        one_line(jobs, 120),
    )  # fmt: skip


def _status(pool: NodePool, text: str) -> Markup:
    cls = "gke-bad" if pool.status in _BAD else "gke-busy" if pool.status in _BUSY else "gke-ok"
    return tag("span", text, cls=cls)


def _lease(pool: NodePool, text: str, now: float) -> Markup:
    left = pool.lease_left(now)
    cls = "" if left is None else "gke-bad" if left <= 0 else "gke-wait" if left <= SOON_SECONDS else ""
    return tag("span", text, cls=cls)


def _facts(plan: Planned) -> Iterable[tuple[str, str]]:
    spec = plan.spec
    what = spec.machine_type
    if spec.gpu is not None:
        what += f", {spec.gpu.count} x {spec.gpu.type}"
    if spec.tpu is not None:
        what += f", {spec.tpu.type} {spec.tpu.topology}" + (f" slice of {spec.hosts} hosts" if spec.hosts else "")
    yield "each node", what
    how = spec.provisioning + (f" ({spec.reservation})" if spec.reservation else "")
    yield "how", how + (", queued" if spec.queued else "")
    yield "where", ", ".join(spec.zones) or "the cluster's zones"
    start = count(spec.nodes, "node")
    limits = f", then {spec.min_nodes} to {spec.max_nodes}{' in each zone' if spec.per_zone else ''} as pods need them"
    yield "size", start + (limits if spec.autoscaling else "")
    most = spec.max_nodes * (len(spec.zones) or 1) if spec.per_zone else spec.max_nodes
    if plan.usd_hour_each is None:
        yield "price", f"unknown: {plan.price_basis}"
    else:
        largest = max(spec.nodes, most if spec.autoscaling else 0)
        first, last = plan.usd_hour_each * spec.nodes, plan.usd_hour_each * largest
        said = f"{first:,.2f} USD/h at first" + (f", at most {last:,.2f} USD/h" if last > first else "")
        yield "price", f"{said} ({count(1, 'node')}: {plan.usd_hour_each:,.2f}; {plan.price_basis})"
    until = datetime.fromtimestamp(spec.lease_until, timezone.utc)
    yield "lease", f"until {until:%Y-%m-%d %H:%M} UTC; %gke_nodepool extend {spec.name} makes it longer"
    yield from (("note", note) for note in plan.notes)


def _requests(plan: Planned) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if plan.policy is not None:
        yield "first, Compute Engine's resourcePolicies.insert", plan.policy
    yield "the request, CreateNodePool", plan.request


def _yaml(body: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(body), sort_keys=False, default_flow_style=False, width=100))


def _number(amount: float | None) -> float:
    return float("nan") if amount is None else amount  # so that the column is one of numbers
