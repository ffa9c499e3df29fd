"""`%gke_nodepool`: see and change the node pools of the cluster."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from gke_notebook.errors import InvalidInput, StillRunning, nearest
from gke_notebook.magics.nodepool_parser import ACTIONS
from gke_notebook.magics.shared import current, quiet, readable_errors, show

if TYPE_CHECKING:
    from gke_notebook.session.node_pools import NodePools
    from gke_notebook.session.operation import Operation

_SPEC = {
    "gpu": "gpu", "tpu": "tpu", "machine_type": "machine_type", "driver": "driver", "sharing": "sharing",
    "mig": "partition", "disk": "disk", "disk_type": "disk_type", "local_ssd": "local_ssds", "label": "labels",
    "taint": "taints", "workload_metadata": "workload_metadata", "spot": "spot", "flex": "flex", "queued": "queued",
    "reservation": "reservation", "zone": "zones", "compact": "compact", "max_run_duration": "max_run_duration",
    "lease": "lease", "nodes": "nodes", "min": "min_nodes", "max": "max_nodes", "per_zone": "per_zone",
}  # fmt: skip
_NOT = {"no_secure_boot": "secure_boot", "no_image_streaming": "image_streaming", "no_gvnic": "gvnic"}
_WAITING = {"no_wait", "timeout"}
_ALLOWED: dict[str, set[str]] = {
    "list": {"orphans"},
    "create": {*_SPEC, *_NOT, "dry_run", *_WAITING},
    "resize": {"nodes", "min", "max", *_WAITING},
    "delete": {"expired", "force", *_WAITING},
    "extend": {"lease"},
    "explain": set(),
    "wait": {"timeout"},
    "cancel": set(),
}


def run(shell: Any, options: argparse.Namespace, cell: str | None = None) -> Any:  # noqa: ARG001 - one shape for all
    """Do what was written.

    Args:
        shell: the interactive shell.
        options: what was written.
        cell: None.

    Returns:
        The DataFrame of a list; else None.
    """
    with readable_errors():
        action = _checked(options)
        pools = current().node_pools(_say)
        if action == "list":
            return _list(pools, options)
        if action == "explain":
            from gke_notebook.widgets.node_pools import story_view

            show(story_view(options.name, pools.explain(options.name)))
        elif action == "extend":
            _extend(pools, options)
        elif action == "cancel":
            _cancel(pools, options.name)
        elif action == "delete" and options.expired:
            _delete_expired(shell, pools, options)
        else:
            _change(shell, pools, action, options)
    return None


def _checked(options: argparse.Namespace) -> str:
    action = options.action or "list"
    if action not in ACTIONS:
        raise InvalidInput(f"%gke_nodepool: no action {action!r}; {nearest(action, ACTIONS)}")
    given = {
        key for key, value in vars(options).items() if value not in (None, False) and key not in {"action", "name"}
    }
    wrong = sorted(given - _ALLOWED[action])
    if wrong:
        for_what = ", ".join(one for one in ACTIONS if wrong[0] in _ALLOWED[one])
        raise InvalidInput(f"%gke_nodepool {action}: --{wrong[0].replace('_', '-')} is for {for_what}")
    if action == "list" and options.name:
        raise InvalidInput(f"%gke_nodepool list takes no name; %gke_nodepool explain {options.name} tells of one pool")
    nameless = action == "list" or (action == "delete" and options.expired)
    if not nameless and not options.name:
        more = ", or --expired for all whose lease is over" if action == "delete" else ""
        raise InvalidInput(f"%gke_nodepool {action}: NAME is missing{more}")
    return str(action)


def _say(text: str) -> None:
    print(text)


def _list(pools: NodePools, options: argparse.Namespace) -> Any:
    from gke_notebook.widgets.frames import framed
    from gke_notebook.widgets.node_pools import COLUMNS, pools_view, records

    now = time.time()
    found = pools.orphans() if options.orphans else list(pools)
    view = pools_view(found, now=now, where=current().context, orphans=options.orphans)
    return framed(view, COLUMNS, records(found, now))


def _extend(pools: NodePools, options: argparse.Namespace) -> None:
    until = pools.extend(options.name, options.lease) if options.lease else pools.extend(options.name)
    print(f"node pool {options.name}: {pools.get(options.name).lease_words(time.time())}, until {_clock(until)}")


def _cancel(pools: NodePools, name: str) -> None:
    operation = pools.operation(name)
    if operation.done:
        print(f"nothing is going on at node pool {name!r}: {operation.last.sentence}")
        return
    operation.cancel()
    print(
        f"{operation.last.sentence}: asked to stop; nodes that run already stay. %gke_nodepool wait {name} follows it"
    )


def _delete_expired(shell: Any, pools: NodePools, options: argparse.Namespace) -> None:
    now = time.time()
    if options.name:
        raise InvalidInput("%gke_nodepool delete takes a NAME or --expired, not both")
    over = [pool for pool in pools if pool.expired(now)]
    if not over:
        print("no node pool's lease is over")
    for pool in over:
        if pool.jobs and not options.force:
            print(f"node pool {pool.name} stays, jobs run on it: {', '.join(map(str, pool.jobs))}")
            continue
        _follow(shell, pools.delete(pool.name, force=options.force), options)


def _change(shell: Any, pools: NodePools, action: str, options: argparse.Namespace) -> None:
    name = options.name
    if action == "create":
        from gke_notebook.widgets.node_pools import plan_view

        plan = pools.plan(name, **_spec(options))
        show(plan_view(plan, dry_run=options.dry_run))
        if options.dry_run:
            return
    try:
        if action == "create":
            operation = pools.apply(plan)
        elif action == "resize":
            operation = pools.resize(name, options.nodes, min_nodes=options.min, max_nodes=options.max)
        elif action == "delete":
            operation = pools.delete(name, force=options.force)
        else:
            operation = pools.operation(name)
    except KeyboardInterrupt as interrupt:
        quiet(
            interrupt,
            "KeyboardInterrupt: interrupted before the API had begun it, or its answer was lost: %gke_nodepool "
            f"wait {name} says; asking again makes nothing twice",
        )
        raise
    _follow(shell, operation, options)


def _spec(options: argparse.Namespace) -> dict[str, Any]:
    made = {to: value for key, to in _SPEC.items() if (value := getattr(options, key)) not in (None, False)}
    return {**made, **{to: False for key, to in _NOT.items() if getattr(options, key)}}


def _follow(shell: Any, operation: Operation, options: argparse.Namespace) -> None:
    from gke_notebook.widgets.operation_card import OperationCard

    again = f"%gke_nodepool wait {operation.pool} follows it"
    card = OperationCard(notebook=getattr(shell, "kernel", None) is not None, note=operation.note)
    state = operation.last
    if options.no_wait and not state.done:
        card.paint(state, f"it goes on: {again}", final=True)
        return
    try:
        state = operation.wait(options.timeout, lambda seen: card.paint(seen, "" if seen.done else _HINT))
    except KeyboardInterrupt as interrupt:
        card.paint(operation.last, f"interrupted; the operation goes on: {again}", final=True)
        quiet(interrupt, f"KeyboardInterrupt: interrupted; {operation.last.sentence}; it goes on: {again}")
        raise
    except StillRunning:
        card.paint(operation.last, f"no longer watched; the operation goes on: {again}", final=True)
        raise


_HINT = "interrupting the kernel leaves the operation going on"


def _clock(until: float) -> str:
    from datetime import datetime, timezone

    return f"{datetime.fromtimestamp(until, timezone.utc):%Y-%m-%d %H:%M} UTC"
