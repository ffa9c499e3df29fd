"""Planning a job with a ladder: every rung is rendered and checked at once, so that a move can change nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from gke_notebook import catalog, names, request
from gke_notebook.errors import InvalidInput
from gke_notebook.insight.rungs import Ladder, Rung, encode
from gke_notebook.insight.world import Fit
from gke_notebook.objects import Manifest
from gke_notebook.request.fallback import parse_fallback
from gke_notebook.session.plan import Plan
from gke_notebook.specs import AcceleratorRequest, Provisioning, TrainSpec

_DIRECTIVES = ("nodeSelector", "tolerations", "affinity")
_EXCLUDED = {
    "tpu": "--tpu: a ladder is for GPUs", "spot": "--spot", "flex": "--flex", "provisioning": "provisioning",
    "zone": "--zone; write spot:l4/us-central1-a", "machine_type": "--machine-type",
}  # fmt: skip


def plan(
    ladder: object, options: Mapping[str, Any], build: Callable[[Mapping[str, Any]], TrainSpec],
    make: Callable[[TrainSpec], Plan],
) -> Plan:  # fmt: skip
    """Plan a job that tries several ways to have its machines.

    Args:
        ladder: what the user wrote.
        options: the other options, as for `request.build_spec`.
        build: makes a spec of options.
        make: makes a plan, with its fit, of a spec.

    Raises:
        InvalidInput: a rung cannot be, or its pods would differ in more than where they run.
    """
    for name, words in _EXCLUDED.items():
        if options.get(name):
            raise InvalidInput(f"--fallback does not go with {words}; its rungs say how machines are had")
    rungs, count = parse_fallback(ladder, gpu=options.get("gpu"), reservation=options.get("reservation"))
    base = build({**_resources(rungs, count, options), **_first(options), "gpu": f"{rungs[0].accelerator}:{count}"})
    plans = [make(_on(base, rung, count)) for rung in rungs]
    _same(rungs, plans)
    known = tuple(_described(rung, one) for rung, one in zip(rungs, plans, strict=True))
    first = plans[0]
    found = Ladder(known)
    notes = (*first.notes, _driven(first.spec.name))
    return replace(
        first, manifests=_annotated(first.manifests, found), notes=notes, ladder=found,
        fit=_best(known, [one.fit for one in plans]), fits=tuple(one.fit for one in plans),
    )  # fmt: skip


def _first(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in {"gpu", "reservation"}}


def _resources(rungs: tuple[Rung, ...], count: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give CPUs and memory that the smallest machine of all rungs has."""
    from gke_notebook.request.defaults import default_resources

    procs = count if request.parse_framework(options.get("framework")) != "none" else 1
    procs = int(options.get("procs_per_node") or procs)
    each = [default_resources(AcceleratorRequest(rung.accelerator, count), procs) for rung in rungs]
    return {"cpu": min(cpu for cpu, _ in each), "memory": min(memory for _, memory in each)}


def _on(base: TrainSpec, rung: Rung, count: int) -> TrainSpec:
    from gke_notebook.request.defaults import check_fits

    wanted = AcceleratorRequest(rung.accelerator, count)
    try:
        check_fits(wanted, base.cpu, base.memory_gib)
    except InvalidInput as error:
        raise InvalidInput(f"--fallback {rung.words}: {error}") from None
    model = cast(Provisioning, rung.model)
    return replace(base, accelerator=wanted, provisioning=model, reservation=rung.reservation, zone=rung.zone)


def _same(rungs: tuple[Rung, ...], plans: list[Plan]) -> None:
    """Refuse rungs whose pods differ in more than where they run: a Job's template is fixed but for that."""
    first = _bare(plans[0].manifests[-1])
    for rung, one in zip(rungs[1:], plans[1:], strict=True):
        other = _bare(one.manifests[-1])
        if other != first:
            kinds = {catalog.accelerator(each.accelerator).title for each in (rungs[0], rung)}
            raise InvalidInput(
                f"--fallback {rung.words}: its pods would need other settings than those of {rungs[0].words} "
                f"(network or environment of {' and '.join(sorted(kinds))}), which cannot change once the job exists; "
                "leave it out"
            )


def _bare(job: Manifest) -> Manifest:
    template = copy.deepcopy(job["spec"]["template"])
    template.get("metadata", {}).get("annotations", {}).pop(names.PRICE, None)
    for name in _DIRECTIVES:
        template["spec"].pop(name, None)
    bare: Manifest = template
    return bare


def _described(rung: Rung, made: Plan) -> Rung:
    pod = made.manifests[-1]["spec"]["template"]["spec"]
    return replace(
        rung,
        selector=dict(pod.get("nodeSelector") or {}),
        tolerations=tuple(pod.get("tolerations") or ()),
        affinity=dict((pod.get("affinity") or {}).get("nodeAffinity") or {}),
        usd_hour=None if made.price is None else made.price.usd_hour,
    )


def _annotated(manifests: tuple[Manifest, ...], ladder: Ladder) -> tuple[Manifest, ...]:
    job = copy.deepcopy(manifests[-1])
    job["metadata"]["annotations"][names.LADDER] = encode(ladder)
    return (*manifests[:-1], job)


def _best(rungs: tuple[Rung, ...], fits: list[Fit | None]) -> Fit | None:
    """Give the fit of the first rung that can do it; when none can, that of the first."""
    for rung, found in zip(rungs, fits, strict=True):
        if found is not None and found.verdict != "cannot fit":
            return replace(found, sentence=f"{rung.words}: {found.sentence}")
    return fits[0]


def _driven(name: str) -> str:
    return (
        "the ladder is driven by this notebook: the next rung is tried while a session of yours is open; "
        f"%gke_wait {name} in any notebook goes on with it"
    )
