"""The state of every node of a job: a row each for a few, grouped for many."""

from __future__ import annotations

from collections.abc import Sequence

from gke_notebook.insight.state import NodeState
from gke_notebook.insight.text import count, exit_text, named, one_line, ranges
from gke_notebook.widgets.view import Markup, table, tag

FEW = 12
_GROUPS = 8
_CLASS = {
    "waiting": "gke-wait",
    "scheduled": "gke-wait",
    "starting": "gke-wait",
    "running": "gke-busy",
    "succeeded": "gke-ok",
    "failed": "gke-bad",
    "stopped": "gke-muted",
}


def nodes_text(nodes: Sequence[NodeState]) -> list[str]:
    """Give the nodes in lines of plain text; nodes that stand alike share a line.

    Args:
        nodes: the nodes.

    Example:
        >>> nodes_text([NodeState(0, (0,), "running"), NodeState(1, (1,), "running")])
        ['nodes 0-1  ranks 0-1  running']
    """
    groups = _groups(nodes)
    width = max((len(named("node", _indexes(group))) for group in groups.values()), default=0)
    lines = []
    for said, group in list(groups.items())[:_GROUPS]:
        ranks = [rank for node in group for rank in node.ranks]
        lines.append(f"{named('node', _indexes(group)).ljust(width)}  {named('rank', ranks)}  {said}")
    rest = list(groups.values())[_GROUPS:]
    if rest:
        lines.append(f"and {count(sum(len(group) for group in rest), 'node')} in other states")
    return lines


def nodes_html(nodes: Sequence[NodeState]) -> Markup:
    """Give the nodes as a table; many nodes are a square each, with the groups in the table.

    Args:
        nodes: the nodes.
    """
    if not nodes:
        return Markup()
    if len(nodes) <= FEW:
        rows = [
            (str(node.index), ranges(node.ranks), _state(node), node.pod or "-", node.node or "-") for node in nodes
        ]
        return table(("node", "ranks", "state", "pod", "on"), rows)
    squares = (
        tag("i", cls=_CLASS[node.phase], title=f"node {node.index}, {named('rank', node.ranks)}: {_said(node)}")
        for node in nodes
    )
    groups = list(_groups(nodes).values())
    grouped = [
        (ranges(_indexes(group)), ranges(rank for node in group for rank in node.ranks), _state(group[0]))
        for group in groups[:_GROUPS]
    ]
    rest = sum(len(group) for group in groups[_GROUPS:])
    more = tag("div", f"and {count(rest, 'node')} in other states", cls="gke-muted") if rest else ""
    return Markup(tag("div", *squares, cls="gke-grid") + table(("nodes", "ranks", "state"), grouped) + more)


def _groups(nodes: Sequence[NodeState]) -> dict[str, list[NodeState]]:
    groups: dict[str, list[NodeState]] = {}
    for node in nodes:
        groups.setdefault(_said(node), []).append(node)
    return dict(sorted(groups.items(), key=lambda item: (item[1][0].phase != "failed", -len(item[1]))))


def _indexes(group: Sequence[NodeState]) -> list[int]:
    return [node.index for node in group]


def _state(node: NodeState) -> Markup:
    return tag("span", _said(node), cls=_CLASS[node.phase])


def _said(node: NodeState) -> str:
    parts: list[str] = [node.phase]
    if node.phase == "failed":
        if node.reason not in {"", "Error"}:
            parts.append(node.reason)
        if node.exit_code is not None:
            parts.append(exit_text(node.exit_code))
        elif node.message:
            parts.append(one_line(node.message, 160))
    elif node.reason:
        parts.append(node.reason)  # the sentence of the job says it in full
    if node.attempt:
        parts.append(f"attempt {node.attempt + 1}")
    return ", ".join(parts)
