"""From a checked spec to a plan: objects, price and what is worth knowing; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gke_notebook import catalog, manifests, names, request
from gke_notebook.errors import InvalidInput
from gke_notebook.insight.world import Growth
from gke_notebook.manifests import ClusterFacts, gpudirect, placement
from gke_notebook.manifests.facts import NOTHING_KNOWN
from gke_notebook.manifests.hosts import host_of, slice_of
from gke_notebook.objects import Node
from gke_notebook.session.plan import Plan, Price
from gke_notebook.specs import TrainSpec

ACCELERATOR_LABEL = "cloud.google.com/gke-accelerator"
ACCELERATOR_COUNT_LABEL = "cloud.google.com/gke-accelerator-count"
MACHINE_TYPE_LABEL = "node.kubernetes.io/instance-type"
ZONE_LABEL = "topology.kubernetes.io/zone"
SPOT_LABEL = "cloud.google.com/gke-spot"
DEFAULT_REGION = "us-central1"
_MODELS = {"on-demand": "on demand", "spot": "spot", "flex-start": "flex-start", "reservation": "reserved"}


def make_plan(
    spec: TrainSpec,
    *,
    context: str,
    nodes: Sequence[Node] | None,
    facts: ClusterFacts = NOTHING_KNOWN,
    growth: Sequence[Growth] = (),
) -> Plan:
    """Give the plan of a job.

    Args:
        spec: the job.
        context: the name of the connection.
        nodes: the nodes of the cluster, None when we may not see them.
        facts: what the cluster is and serves.
        growth: the node pools that grow for it, when none of its pods has room on a node that is there.

    Raises:
        InvalidInput: the program is too large to ship, or the cluster cannot do what is asked for.
    """
    _check_class(spec, facts)
    fitting = None if nodes is None else fitting_nodes(spec, nodes, facts)
    price = grown_price(spec, growth, nodes or ()) or estimate_price(spec, fitting, _location(spec, nodes))
    spec = replace(spec, price_usd_hour=None if price is None else price.usd_hour)
    notes = [*_notes(spec, nodes or (), fitting, facts, growth), *request.notes(spec)]
    if price is None:
        notes.append(_no_price(spec, fitting, _location(spec, nodes)))
    return Plan(
        spec=spec,
        manifests=manifests.render(spec, facts),
        context=context,
        placement=placement_text(spec, fitting, [one.machine_type for one in growth]),
        price=price,
        notes=tuple(notes),
    )


def fitting_nodes(spec: TrainSpec, nodes: Iterable[Node], facts: ClusterFacts = NOTHING_KNOWN) -> list[Node]:
    """Give the nodes that a pod of the job may go to by their labels and their accelerators.

    Args:
        spec: the job; without accelerators it goes to CPU nodes.
        nodes: all nodes of the cluster.
        facts: what the cluster is and serves.
    """
    selector = placement.node_selector(spec, facts).items()
    wanted = placement.accelerators(spec)
    found = []
    for node in nodes:
        labels = node.metadata.labels
        if not selector <= labels.items():
            continue
        if not wanted and (ACCELERATOR_LABEL in labels or catalog.TPU_LABEL in labels):
            continue
        if all(int(node.status.allocatable.get(resource, 0) or 0) >= int(count) for resource, count in wanted.items()):
            found.append(node)
    return found


def estimate_price(spec: TrainSpec, fitting: Sequence[Node] | None, location: str = DEFAULT_REGION) -> Price | None:
    """Give the list price of the job's nodes together: of the cheapest machine type of the cluster that fits.

    Args:
        spec: the job.
        fitting: the nodes that can hold it, None when we may not see the cluster's nodes.
        location: where machines would be made when there is none; a region or a zone.
    """
    best: Price | None = None
    for node in _one_of_each_type(fitting or ()):
        labels = node.metadata.labels
        zone = labels.get(ZONE_LABEL, location)
        simulated = labels.get(names.SIMULATED) == "true"
        model = spec.provisioning or ("spot" if labels.get(SPOT_LABEL) == "true" else "on-demand")
        found = price_of(spec, _machine(labels), zone, model, simulated=simulated)
        if found is not None and (best is None or found.usd_hour < best.usd_hour):
            best = found
    if best is not None or fitting or not placement.accelerators(spec):
        return best
    return price_of(spec, host_of(spec), location, spec.provisioning or "on-demand")


def grown_price(spec: TrainSpec, growth: Sequence[Growth], nodes: Sequence[Node]) -> Price | None:
    """Give the list price of a job whose machines all come by the growth of node pools of one kind, else None.

    Args:
        spec: the job.
        growth: how the cluster grows.
        nodes: the nodes that are there: where they are pretended, so are those that come.
    """
    kinds = {(one.machine_type, one.provisioning) for one in growth if one.machine_type}
    if len(kinds) != 1 or not placement.accelerators(spec):
        return None
    [(name, model)] = kinds
    label = catalog.accelerator(spec.accelerator.type).label if spec.accelerator else ""
    try:
        machine = catalog.attached(name, label, spec.accelerator.count if spec.accelerator else 0)
    except InvalidInput:
        return None
    simulated = any(map(_is_simulated, nodes))
    return price_of(spec, machine, growth[0].zone or _location(spec, nodes), model, simulated=simulated)


def price_of(
    spec: TrainSpec, machine: catalog.MachineType | str | None, location: str, model: str, *, simulated: bool = False
) -> Price | None:
    """Give the list price of a job's nodes together on one kind of machine, None when it is not known.

    Args:
        spec: the job.
        machine: what each node is.
        location: a region or a zone.
        model: how it is had, one of `specs.PROVISIONING`.
        simulated: whether the machines are pretended.
    """
    if machine is None:
        return None
    # What stands in the cluster was had somehow, though nobody sells it that way by the list.
    listed = catalog.rate(machine, location, model) or (
        catalog.price(machine, location, spot=model == "spot") if model in {"on-demand", "spot"} else None
    )
    if listed is None:
        return None
    name = machine if isinstance(machine, str) else machine.name
    basis = f"{spec.nodes} x {name}, {_MODELS[model]}, {listed.region}, list price of {listed.source_date}"
    return Price(usd_hour=listed.usd_hour * spec.nodes, basis=basis, simulated=simulated)


def _machine(labels: dict[str, str]) -> catalog.MachineType | str:
    name = labels.get(MACHINE_TYPE_LABEL, "")
    count = labels.get(ACCELERATOR_COUNT_LABEL, "")
    try:
        return catalog.attached(name, labels.get(ACCELERATOR_LABEL, ""), int(count) if count.isdigit() else 0)
    except InvalidInput:
        return name  # a machine that the catalog does not know has no price either


def _location(spec: TrainSpec, nodes: Sequence[Node] | None) -> str:
    """Give where machines for the job would be made: where it asks for, else where the cluster's others are."""
    if spec.zone:
        return spec.zone
    zone = next((node.metadata.labels[ZONE_LABEL] for node in nodes or () if ZONE_LABEL in node.metadata.labels), "")
    return catalog.region_of(zone) if zone else DEFAULT_REGION


def placement_text(spec: TrainSpec, fitting: Sequence[Node] | None, coming: Sequence[str] = ()) -> str:
    """Say in one clause what the job asks for.

    Args:
        spec: the job.
        fitting: the nodes that can hold it, None when unknown.
        coming: the machine types of the nodes that come for it, when no node is there.
    """
    nodes = f"{spec.nodes} node{'s' if spec.nodes > 1 else ''}"
    ranks = f"{spec.ranks} rank{'s' if spec.ranks > 1 else ''}"
    each = f"{spec.cpu:g} CPU, {spec.memory_gib:g} GiB"
    shape, slices = slice_of(spec), ""
    if spec.accelerator is not None:
        found = catalog.accelerator(spec.accelerator.type)
        memory = f" {found.memory_gib:g} GiB" if found.memory_gib is not None else ""
        each = f"{spec.accelerator.count} x {found.name.upper()}{memory}, {each}"
    if spec.tpu is not None and shape is not None:
        slices = f"{spec.slices} x {spec.tpu.type} {shape.text}, "
        each = f"{shape.chips_per_host} chip{'s' if shape.chips_per_host > 1 else ''}, {each}"
    types = sorted({node.metadata.labels.get(MACHINE_TYPE_LABEL, "") for node in fitting or ()} - {""})
    types = types or sorted(set(coming) - {""})
    if not types and (machine := host_of(spec)) is not None and placement.accelerators(spec):
        types = [machine.name]
    on = f" on {' or '.join(types)}" if types else ""
    how = f", {_MODELS[spec.provisioning]}" if spec.provisioning else ""
    how += f" in {spec.reservation}" if spec.reservation else ""
    how += f", {spec.zone}" if spec.zone else ""
    how += f", class {spec.compute_class}" if spec.compute_class else ""
    return f"{slices}{nodes}, {ranks} ({each} each){on}{how}"


def _is_simulated(node: Node) -> bool:
    return node.metadata.labels.get(names.SIMULATED) == "true"


def _check_class(spec: TrainSpec, facts: ClusterFacts) -> None:
    if not spec.compute_class or facts.compute_classes is None:
        return
    request.check_class_exists(spec.compute_class, [found.name for found in facts.compute_classes])


def _notes(
    spec: TrainSpec,
    nodes: Sequence[Node],
    fitting: Sequence[Node] | None,
    facts: ClusterFacts,
    growth: Sequence[Growth],
) -> Iterable[str]:
    wanted = placement.accelerators(spec)
    pretended = (
        all(map(_is_simulated, fitting)) if fitting else bool(growth and wanted) and any(map(_is_simulated, nodes))
    )
    if fitting is None:
        yield "the cluster's nodes are not visible to you: whether one fits shows when the job waits"
    elif not fitting and wanted and not growth:
        yield _none_fits(spec, facts)
    elif pretended:
        yield "simulated: the accelerators are pretended, the processes run on this machine, and nothing is billed"
    machine = host_of(spec)
    if machine is not None and wanted and not spec.provisioning and not fitting and not spec.compute_class:
        reason = catalog.why_not(machine, "on-demand")
        if reason:
            yield f"{reason} (--spot, --flex or --reservation NAME)"
    direct = gpudirect.note(spec, facts)
    if direct:
        yield direct
    if not spec.compute_class and not fitting:
        classes = [found.name for found in placement.matching_classes(spec, facts)]
        if classes:
            yield f"ComputeClass {' or '.join(classes[:3])} of this cluster offers it: --compute-class {classes[0]}"
    if spec.slices > 1 and spec.max_retries:
        yield (
            f"when a slice fails, all {spec.slices} start again, each time with the whole --max-duration: "
            f"the most it can cost counts {spec.attempts} attempts"
        )


def _none_fits(spec: TrainSpec, facts: ClusterFacts) -> str:
    shape = slice_of(spec)
    if spec.tpu is not None and shape is not None:
        what = f"{catalog.tpu(spec.tpu.type).label} in a slice of {shape.text}"
    else:
        assert spec.accelerator is not None  # only called for a job with accelerators
        what = f"{spec.accelerator.count} x {catalog.accelerator(spec.accelerator.type).label}"
    if facts.autopilot:
        return f"no node of this cluster has {what} yet: Autopilot makes them for the job"
    how = f" ({_MODELS[spec.provisioning]})" if spec.provisioning else ""
    where = f" in {spec.zone}" if spec.zone else ""
    return f"no node of this cluster has {what}{how}{where}: the job will wait until a node pool with it exists"


def _no_price(spec: TrainSpec, fitting: Sequence[Node] | None, location: str) -> str:
    machine = host_of(spec)
    if placement.accelerators(spec) and machine is not None and spec.provisioning:
        reason = catalog.no_rate(machine, location, spec.provisioning)
        if reason:
            return f"price unknown: {reason}"
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
