"""The same job on other shapes and by other ways to have machines: what each costs, waits and risks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from gke_notebook import catalog
from gke_notebook.errors import InvalidInput
from gke_notebook.insight.waits import likely_wait, risk
from gke_notebook.insight.world import Fit
from gke_notebook.request.defaults import check_fits, default_resources
from gke_notebook.session.plan import Plan
from gke_notebook.specs import AcceleratorRequest, Provisioning, TrainSpec

if TYPE_CHECKING:
    from gke_notebook.session.session import Session

_OTHERS = 3  # types besides the one that was asked for
_MODELS = ("on-demand", "spot", "flex-start", "reservation")
_OPTION = {"spot": " --spot", "flex-start": " --flex", "reservation": " --reservation"}


@dataclass(frozen=True)
class Choice:
    """One way to run the job.

    Args:
        option: what to write for it.
        asked: whether it is what was asked for.
        machine: the machine type, empty when it is not known.
        nodes: how many.
        provisioning: how they are had, empty for whatever nodes there are.
        usd_hour: the list price of all nodes in USD per hour, None when it is not known.
        most: what the whole cap costs in USD, None when it is not known or there is no cap.
        price_note: where the price is from, or why there is none.
        simulated: whether nothing is billed.
        wait: how long it would probably wait, in words.
        wait_seconds: the same in seconds, None when it is not known.
        risk: what may go wrong.
        fit: whether it fits, None when it cannot be had at all.
        why_not: why it cannot be had, empty when it can.
        seconds: for how long it runs at most, None for no limit.
    """

    option: str
    asked: bool = False
    machine: str = ""
    nodes: int = 1
    provisioning: str = ""
    usd_hour: float | None = None
    most: float | None = None
    price_note: str = ""
    simulated: bool = False
    wait: str = "unknown"
    wait_seconds: float | None = None
    risk: str = ""
    fit: Fit | None = None
    why_not: str = ""
    seconds: int | None = None


def choices(session: Session, spec: TrainSpec, make: Any, shapes: Sequence[str] | None = None) -> tuple[Choice, ...]:
    """Give the ways to run a job, the one that was asked for first.

    Args:
        session: the session.
        spec: the job as it was asked for.
        make: makes a plan, with its fit, of a spec.
        shapes: GPUs to look at, for example ``("l4:2", "t4")``; None looks at what the cluster and the catalog have.

    Raises:
        InvalidInput: a shape cannot be.
    """
    seen = session.observer(spec.namespace).scale_ups()
    first = _choice(spec, make, seen, asked=True)
    labels = _labels(session, spec.namespace)
    others = _variants(spec, labels, shapes)
    found = [first, *(_choice(one, make, seen) for one in others)]
    once: dict[str, Choice] = {}
    for one in found:
        once.setdefault(one.option, one)
    return tuple(once.values())


def _labels(session: Session, namespace: str) -> list[str]:
    nodes = session.nodes(namespace, fresh=False) or ()
    pools = session.capacity.world(nodes, namespace).pools or ()
    return list(dict.fromkeys(pool.accelerator for pool in pools if pool.accelerator))


def _variants(spec: TrainSpec, labels: Iterable[str], shapes: Sequence[str] | None) -> Iterator[TrainSpec]:
    """Give the job on the other ways to have its machines, then on the other GPUs."""
    for model in _models(spec):
        yield _by(spec, model)
    if spec.tpu is not None or spec.accelerator is None:
        return
    for wanted in _wanted(spec.accelerator, labels, shapes):
        procs = spec.procs_per_node
        if spec.procs_per_node == spec.accelerator.count and spec.framework != "none":
            procs = wanted.count  # one rank for each accelerator stays so
        moved = replace(spec, accelerator=wanted, procs_per_node=procs, machine_type="")
        moved = _with_resources(moved, wanted, procs)
        for model in _models(moved):
            if model in {"on-demand", "spot"} or not {"on-demand", "spot"} & set(_models(moved)):
                yield _by(moved, model)


def _with_resources(spec: TrainSpec, wanted: AcceleratorRequest, procs: int) -> TrainSpec:
    """Keep what was asked for where the other machine has it, else take what is usual there."""
    try:
        check_fits(wanted, spec.cpu, spec.memory_gib)
    except InvalidInput:
        cpu, memory = default_resources(wanted, procs)
        return replace(spec, cpu=cpu, memory_gib=memory)
    return spec


def _by(spec: TrainSpec, model: str) -> TrainSpec:
    name = spec.reservation if model == "reservation" else ""
    return replace(spec, provisioning=cast(Provisioning, model), reservation=name)


def _models(spec: TrainSpec) -> list[str]:
    """Give the ways its machines can be had; by reservation only when one was named."""
    if spec.accelerator is None and spec.tpu is None:
        return ["on-demand", "spot"]
    machine = _machine(spec)
    offered = catalog.models(machine) if machine is not None else frozenset(_MODELS)
    return [model for model in _MODELS if model in offered and (model != "reservation" or spec.reservation)]


def _machine(spec: TrainSpec) -> catalog.MachineType | None:
    if spec.tpu is not None:
        return catalog.machine_type(catalog.topology(catalog.tpu(spec.tpu.type), spec.tpu.topology).machine_type)
    if spec.accelerator is None:
        return None
    return catalog.machine_for(spec.accelerator.type, spec.accelerator.count, spec.cpu, spec.memory_gib)


def _wanted(
    asked: AcceleratorRequest, labels: Iterable[str], shapes: Sequence[str] | None
) -> Iterator[AcceleratorRequest]:
    """Give other GPUs with at least as much memory on a node: those of the cluster first, then the next larger ones."""
    if shapes is not None:
        from gke_notebook.request import parse_accelerator

        for shape in shapes:
            found = parse_accelerator(shape, "what_if shape")
            if found is not None:
                yield found
        return
    needed = (catalog.accelerator(asked.type).memory_gib or 0) * asked.count
    known = [one for label in labels if (one := catalog.by_label(label)) is not None]
    larger = sorted(
        (one for one in catalog.accelerators() if one not in known and one.memory_gib),
        key=lambda one: one.memory_gib or 0,
    )
    given = 0
    for kind in (*known, *larger):
        enough = [number for number in kind.counts if (kind.memory_gib or 0) * number >= needed]
        if kind.name == asked.type or not enough or given >= _OTHERS + len(known):
            continue
        if kind not in known and enough[0] > asked.count:
            continue  # more of smaller ones, which the cluster does not have: that is no near choice
        given += 1
        yield AcceleratorRequest(kind.name, enough[0])


def _choice(spec: TrainSpec, make: Any, seen: Mapping[str, list[float]], *, asked: bool = False) -> Choice:
    option = _option(spec)
    try:
        plan: Plan = make(spec)
    except InvalidInput as error:
        return Choice(
            option,
            asked,
            nodes=spec.nodes,
            provisioning=spec.provisioning,
            why_not=str(error),
            seconds=spec.max_duration,
        )
    machine = _machine(spec)
    wait, seconds = likely_wait(plan.fit, seen, spec.provisioning)
    note = plan.price.basis if plan.price is not None else ""
    if not note and machine is not None:
        note = catalog.no_rate(machine, "us-central1", spec.provisioning or "on-demand")
    return Choice(
        option=option,
        asked=asked,
        machine=_named(plan, machine),
        nodes=spec.nodes,
        provisioning=spec.provisioning,
        usd_hour=None if plan.price is None else plan.price.usd_hour,
        most=plan.max_cost(),
        price_note=note,
        simulated=plan.price is not None and plan.price.simulated,
        wait=wait,
        wait_seconds=seconds,
        risk=risk(spec.provisioning, retries=spec.max_retries, seconds=spec.max_duration),
        fit=plan.fit,
        seconds=spec.max_duration,
    )


def _named(plan: Plan, machine: catalog.MachineType | None) -> str:
    """Name the machine type whose price is shown: one that the cluster has, else the smallest that fits."""
    if plan.price is not None:
        return plan.price.basis.partition(",")[0].partition(" x ")[2]
    return machine.name if machine is not None else ""


def _option(spec: TrainSpec) -> str:
    if spec.tpu is not None:
        slices = f"*{spec.tpu.slices}" if spec.tpu.slices > 1 else ""
        shape = f"--tpu {spec.tpu.type}:{spec.tpu.topology}{slices}"
    elif spec.accelerator is not None:
        shape = f"--gpu {spec.accelerator.type}:{spec.accelerator.count}"
    else:
        shape = f"--cpu {spec.cpu:g}"
    nodes = f" --nodes {spec.nodes}" if spec.nodes > 1 and spec.tpu is None else ""
    how = _OPTION.get(spec.provisioning, "") + (f" {spec.reservation}" if spec.provisioning == "reservation" else "")
    return f"{shape}{nodes}{how}" + (" (on demand)" if spec.provisioning == "on-demand" else "")
