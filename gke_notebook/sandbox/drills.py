"""`gke-notebook sandbox drill`: things that go wrong on purpose, to see how a job and a notebook take them.

A drill is a fault of the sandbox's GKE that lasts until it is stopped, or, for `preempt`, one event.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from gke_notebook.errors import InvalidInput, nearest

Object = dict[str, Any]

KINDS = ("stockout", "quota", "preempt", "slow-pull", "api-errors", "list", "stop")
STATUSES = (403, 429, 500, 503)
APIS = ("container", "compute", "cloudquotas", "billing")
_MOST_SECONDS = 3600.0


class Api(Protocol):
    """Asks what only a sandbox has: `control.own_api` with a sandbox."""

    def __call__(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Object:
        """Ask.

        Args:
            method: the HTTP method.
            path: below ``/sandbox/v1/``.
            body: what is sent as JSON.
        """


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `drill` to the verbs of the sandbox.

    Args:
        verbs: the subparsers of `gke-notebook sandbox`.
    """
    drill = verbs.add_parser(
        "drill", help="let something go wrong on purpose: stockouts, quotas, preemption and the like"
    )
    kinds = drill.add_subparsers(dest="drill", required=True, metavar="DRILL")

    stockout = kinds.add_parser("stockout", help="a zone has no more machines of a kind, until the drill is stopped")
    _what(stockout, required=True)
    stockout.add_argument("--zone", default="", metavar="ZONE", help="only there (default: every zone)")
    stockout.add_argument("--machine-type", default="", metavar="TYPE", help="only machines of this type")

    quota = kinds.add_parser("quota", help="the project's quota of an accelerator is another one")
    _what(quota, required=True)
    quota.add_argument("--limit", type=float, required=True, metavar="N", help="the limit, in accelerators")

    preempt = kinds.add_parser(
        "preempt", help="Compute Engine takes a spot machine back; its group tries to make it again"
    )
    preempt.add_argument("node", metavar="NODE", help="the name of a spot node")

    slow = kinds.add_parser("slow-pull", help="pulling an image takes its time")
    slow.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long a pull takes (default: 60)")
    slow.add_argument("--image", default="*", metavar="PATTERN", help="only images that match, as in a shell")

    errors = kinds.add_parser("api-errors", help="requests to Google Cloud's APIs fail")
    errors.add_argument("--status", type=int, default=503, metavar="CODE", help="403, 429, 500 or 503 (default: 503)")
    errors.add_argument(
        "--rate", type=float, default=1.0, metavar="SHARE", help="which share of them (default: 1, all)"
    )
    errors.add_argument(
        "--count", type=int, default=0, metavar="N", help="end after N failures (default: when stopped)"
    )
    errors.add_argument("--api", default="", metavar="API", help=f"only {', '.join(APIS)} (default: all)")

    kinds.add_parser("list", help="the drills that are on")
    stop = kinds.add_parser("stop", help="end drills")
    stop.add_argument(
        "name", nargs="?", default="", metavar="NAME", help="a name or a kind from the list (default: all)"
    )


def _what(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--accelerator", required=required, metavar="NAME", help="for example l4, t4 or v5e")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--spot", dest="spot", action="store_true", default=None, help="only spot (default: all)")
    which.add_argument("--on-demand", dest="spot", action="store_false", help="only on demand")


def run(arguments: argparse.Namespace, api: Api) -> list[str]:
    """Do what was asked, and give the lines to print.

    Args:
        arguments: as parsed.
        api: the sandbox.

    Raises:
        InvalidInput: what was asked cannot be; the text has the nearest that can.
    """
    work: dict[str, Callable[[argparse.Namespace, Api], list[str]]] = {
        "preempt": _preempt, "list": _list, "stop": _stop,
    }  # fmt: skip
    if arguments.drill in work:
        return work[arguments.drill](arguments, api)
    lines = []
    for body in faults(arguments):
        made = api("POST", "faults", body)
        lines.append(f"{made['id']}: {describe(made)}; it ends with: gke-notebook sandbox drill stop {made['id']}")
    return lines


def faults(arguments: argparse.Namespace) -> list[Object]:
    """Give the faults that a drill is made of, as the sandbox's own API takes them.

    Args:
        arguments: as parsed.

    Raises:
        InvalidInput: what was asked cannot be; the text has the nearest that can.
    """
    make = {"stockout": _stockout, "quota": _quota, "slow-pull": _slow_pull, "api-errors": _api_errors}
    return make[arguments.drill](arguments)


def _stockout(arguments: argparse.Namespace) -> list[Object]:
    from gke_notebook.sandbox.gke import capacity, shapes
    from gke_notebook.sandbox.pools import LOCATION

    label = accelerator_label(arguments.accelerator)
    zone, machine = arguments.zone, arguments.machine_type
    if zone:
        there = capacity.zones_of(capacity.region_of(zone) or LOCATION)
        if not capacity.region_of(zone):
            raise InvalidInput(f"--zone {zone!r}: there is no such zone; {nearest(zone, there)}")
        having = [one for one in there if label in capacity.accelerators_in(one)]
        if zone not in having:
            where = f"it is in {', '.join(having)}" if having else "no zone of that region has it"
            raise InvalidInput(f"--zone {zone!r}: {arguments.accelerator} is not there anyway; {where}")
    if machine and shapes.machine(machine) is None:
        from gke_notebook.catalog import machine_types

        raise InvalidInput(f"--machine-type {machine!r}: {nearest(machine, [one.name for one in machine_types()])}")
    body: Object = {"kind": "stockout", "accelerator": label, "zone": zone, "machine_type": machine}
    return [body if arguments.spot is None else {**body, "spot": arguments.spot}]


def _quota(arguments: argparse.Namespace) -> list[Object]:
    from gke_notebook.sandbox.gke import quotas

    label = accelerator_label(arguments.accelerator)
    if not 0 <= arguments.limit <= 1e6:
        raise InvalidInput(f"--limit {arguments.limit:g}: a limit is a number of accelerators, 0 or more")
    ways = {None: ("standard", "spot"), True: ("spot",), False: ("standard",)}[arguments.spot]
    metrics = [quotas.metric_of(label, way) for way in ways]
    if not all(metrics):
        raise InvalidInput(f"--accelerator {arguments.accelerator!r}: the sandbox knows no quota of it")
    return [{"kind": "quota", "metric": metric, "limit": arguments.limit} for metric in metrics]


def _slow_pull(arguments: argparse.Namespace) -> list[Object]:
    if not 0 < arguments.seconds <= _MOST_SECONDS:
        raise InvalidInput(f"--seconds {arguments.seconds:g}: write a number above 0 and at most {_MOST_SECONDS:g}")
    return [{"kind": "slow-pull", "image": arguments.image, "seconds": arguments.seconds}]


def _api_errors(arguments: argparse.Namespace) -> list[Object]:
    if arguments.status not in STATUSES:
        near = min(STATUSES, key=lambda code: abs(code - arguments.status))
        known = ", ".join(map(str, STATUSES))
        raise InvalidInput(f"--status {arguments.status}: choose one of {known}; the nearest is {near}")
    if not 0 < arguments.rate <= 1:
        raise InvalidInput(f"--rate {arguments.rate:g}: a share above 0 and at most 1, for example 0.3")
    if arguments.count < 0:
        raise InvalidInput(f"--count {arguments.count}: a number of requests, 0 for all")
    if arguments.api not in ("", *APIS):
        raise InvalidInput(f"--api {arguments.api!r}: {nearest(arguments.api, APIS)}")
    body: Object = {"kind": "api-errors", "code": arguments.status, "rate": arguments.rate}
    return [{**body, "count": arguments.count, "api": arguments.api}]


def accelerator_label(name: str) -> str:
    """Give the GPU type or TPU label value of a name that people write.

    Args:
        name: for example ``l4`` or ``v5e``.

    Raises:
        InvalidInput: there is no such accelerator; the text has the nearest.

    Example:
        >>> accelerator_label("l4"), accelerator_label("v5e")
        ('nvidia-l4', 'tpu-v5-lite-podslice')
    """
    from gke_notebook import catalog
    from gke_notebook.catalog.tpus import find_tpu

    tpu = find_tpu(name)
    if tpu is not None:
        return tpu.label
    try:
        return catalog.accelerator(name).label
    except InvalidInput as error:
        raise InvalidInput(f"--accelerator {name!r}: {error}") from None


def _preempt(arguments: argparse.Namespace, api: Api) -> list[str]:
    node = arguments.node
    machines = {one["name"]: one for one in api("GET", "instances")["instances"]}
    spot = [name for name, one in machines.items() if one.get("provisioning") in ("spot", "preemptible")]
    if node not in machines or node not in spot:
        what = "is not a spot node" if node in machines else "there is no such node"
        near = nearest(node, spot) if spot else "no spot node runs now; a job with --spot brings one"
        raise InvalidInput(f"{node!r}: {what}; {near}")
    api("POST", f"instances/{node}:preempt")
    return [f"{node} is preempted: its pods have 15 s to end"]


def _list(arguments: argparse.Namespace, api: Api) -> list[str]:  # noqa: ARG001 - one shape for all
    found = _on(api)
    if not found:
        return ["no drill is on"]
    width = max(len(one["id"]) for one in found)
    return [f"{one['id']:{width}}  {describe(one)}" for one in found]


def _stop(arguments: argparse.Namespace, api: Api) -> list[str]:
    found = _on(api)
    wanted = [one for one in found if arguments.name in ("", one["id"], one["kind"])]
    if not wanted:
        if not arguments.name:
            return ["no drill is on"]
        known = [word for one in found for word in (one["id"], one["kind"])]
        raise InvalidInput(
            f"{arguments.name!r}: no such drill is on; " + (nearest(arguments.name, known) if known else "none is")
        )
    for one in wanted:
        api("DELETE", f"faults/{one['id']}")
    return [f"stopped {one['id']}: {describe(one)}" for one in wanted]


def _on(api: Api) -> Sequence[Object]:
    return list(api("GET", "faults").get("faults") or ())


def describe(fault: Object) -> str:
    """Say what a drill does.

    Args:
        fault: as the sandbox's own API shows it.

    Example:
        >>> describe({"kind": "stockout", "accelerator": "nvidia-l4", "zone": "us-central1-a", "spot": True})
        'no spot machines with nvidia-l4 in us-central1-a'
    """
    return "".join(_words(fault))


def _words(fault: Object) -> Iterator[str]:
    kind = fault["kind"]
    if kind == "stockout":
        which = {None: "", True: "spot ", False: "on-demand "}[fault.get("spot")]
        yield f"no {which}machines"
        yield f" {fault['machine_type']}" if fault.get("machine_type") else ""
        yield f" with {fault['accelerator']}" if fault.get("accelerator") else ""
        yield f" in {fault['zone']}" if fault.get("zone") else " in any zone"
    elif kind == "quota":
        yield f"the quota {fault['metric']} is {fault.get('limit', 0):g}"
    elif kind == "slow-pull":
        yield f"images {fault.get('image', '*')} take {fault.get('seconds', 60):g} s to pull"
    else:
        rate, count = fault.get("rate", 1.0), fault.get("count", 0)
        yield f"{rate:.0%} of the requests" if rate < 1 else "all requests"
        yield f" to {fault['api']}" if fault.get("api") else " to Google Cloud's APIs"
        yield f" get status {fault.get('code', 503)}"
        yield f", {count} more times" if count else ""
