"""From a checked spec to a plan: objects, price and what is worth knowing; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gke_notebook import catalog, manifests, names, request
from gke_notebook.objects import Node
from gke_notebook.session.plan import Plan, Price
from gke_notebook.specs import TrainSpec

ACCELERATOR_LABEL = "cloud.google.com/gke-accelerator"
ACCELERATOR_COUNT_LABEL = "cloud.google.com/gke-accelerator-count"
MACHINE_TYPE_LABEL = "node.kubernetes.io/instance-type"
ZONE_LABEL = "topology.kubernetes.io/zone"
SPOT_LABEL = "cloud.google.com/gke-spot"
DEFAULT_REGION = "us-central1"


def make_plan(spec: TrainSpec, *, context: str, nodes: Sequence[Node] | None) -> Plan:
    """Give the plan of a job.

    Args:
        spec: the job.
        context: the name of the connection.
        nodes: the nodes of the cluster, None when we may not see them.

    Raises:
        InvalidInput: the program is too large to ship.
    """
    fitting = None if nodes is None else fitting_nodes(spec, nodes)
    price = estimate_price(spec, fitting)
    spec = replace(spec, price_usd_hour=None if price is None else price.usd_hour)
    notes = [*_notes(spec, fitting), *request.notes(spec)]
    if price is None:
        notes.append(_no_price(fitting))
    return Plan(
        spec=spec,
        manifests=manifests.render(spec),
        context=context,
        placement=placement(spec, fitting),
        price=price,
        notes=tuple(notes),
    )


def fitting_nodes(spec: TrainSpec, nodes: Iterable[Node]) -> list[Node]:
    """Give the nodes with the accelerators that one node of the job needs; without accelerators, the CPU nodes.

    Args:
        spec: the job.
        nodes: all nodes of the cluster.
    """
    wanted = catalog.accelerator(spec.accelerator.type).label if spec.accelerator else ""
    count = spec.accelerator.count if spec.accelerator else 0
    found = []
    for node in nodes:
        labels = node.metadata.labels
        if labels.get(ACCELERATOR_LABEL, "") != wanted:
            continue
        if count and int(node.status.allocatable.get("nvidia.com/gpu", 0) or 0) < count:
            continue
        found.append(node)
    return found


def estimate_price(spec: TrainSpec, fitting: Sequence[Node] | None) -> Price | None:
    """Give the list price of the job's nodes together: of the cheapest machine type of the cluster that fits.

    Args:
        spec: the job.
        fitting: the nodes that can hold it, None when we may not see the cluster's nodes.
    """
    best: Price | None = None
    for node in _one_of_each_type(fitting or ()):
        labels = node.metadata.labels
        machine = labels.get(MACHINE_TYPE_LABEL, "")
        zone = labels.get(ZONE_LABEL, DEFAULT_REGION)
        simulated = labels.get(names.SIMULATED) == "true"
        found = _price(spec, machine, zone, spot=labels.get(SPOT_LABEL) == "true", simulated=simulated)
        if found is not None and (best is None or found.usd_hour < best.usd_hour):
            best = found
    if best is not None or fitting or spec.accelerator is None:
        return best
    machine_type = catalog.machine_for(spec.accelerator.type, spec.accelerator.count, spec.cpu, spec.memory_gib)
    return None if machine_type is None else _price(spec, machine_type.name, DEFAULT_REGION, spot=False)


def _price(spec: TrainSpec, machine: str, zone: str, *, spot: bool, simulated: bool = False) -> Price | None:
    listed = catalog.price(machine, zone, spot=spot)
    if listed is None:
        return None
    model = "spot" if spot else "on demand"
    basis = f"{spec.nodes} x {machine}, {model}, {listed.region}, list price of {listed.source_date}"
    return Price(usd_hour=listed.usd_hour * spec.nodes, basis=basis, simulated=simulated)


def placement(spec: TrainSpec, fitting: Sequence[Node] | None) -> str:
    """Say in one clause what the job asks for.

    Args:
        spec: the job.
        fitting: the nodes that can hold it, None when unknown.
    """
    nodes = f"{spec.nodes} node{'s' if spec.nodes > 1 else ''}"
    ranks = f"{spec.ranks} rank{'s' if spec.ranks > 1 else ''}"
    each = f"{spec.cpu:g} CPU, {spec.memory_gib:g} GiB"
    if spec.accelerator is not None:
        found = catalog.accelerator(spec.accelerator.type)
        each = f"{spec.accelerator.count} x {found.name.upper()} {found.memory_gib:g} GiB, {each}"
    types = sorted({node.metadata.labels.get(MACHINE_TYPE_LABEL, "") for node in fitting or ()} - {""})
    on = f" on {' or '.join(types)}" if types else ""
    return f"{nodes}, {ranks} ({each} each){on}"


def _notes(spec: TrainSpec, fitting: Sequence[Node] | None) -> Iterable[str]:
    if fitting is None:
        yield "the cluster's nodes are not visible to you: whether one fits shows when the job waits"
    elif not fitting and spec.accelerator is not None:
        found = catalog.accelerator(spec.accelerator.type)
        yield (
            f"no node of this cluster has {spec.accelerator.count} x {found.label}: "
            "the job will wait until a node pool with it exists"
        )
    elif fitting and all(node.metadata.labels.get(names.SIMULATED) == "true" for node in fitting):
        yield "simulated: the accelerators are pretended, the processes run on this machine, and nothing is billed"


def _no_price(fitting: Sequence[Node] | None) -> str:
    types = sorted({node.metadata.labels.get(MACHINE_TYPE_LABEL, "") for node in fitting or ()} - {""})
    return f"price unknown: the price list of accelerator machines does not hold {' or '.join(types) or 'CPU nodes'}"


def _one_of_each_type(nodes: Iterable[Node]) -> Iterable[Node]:
    seen = set()
    for node in nodes:
        labels = node.metadata.labels
        key = (labels.get(MACHINE_TYPE_LABEL), labels.get(ZONE_LABEL), labels.get(SPOT_LABEL))
        if key not in seen:
            seen.add(key)
            yield node
