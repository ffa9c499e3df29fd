"""`session.quota()`: the limits of the namespace, the queues and the project, and what a job would take of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gke_notebook import manifests, request
from gke_notebook.cluster.resources import JOBS
from gke_notebook.errors import ApiError
from gke_notebook.insight.demand import Demand, demand
from gke_notebook.insight.fit import fit, here
from gke_notebook.insight.quota import Limit, cloud_limits, namespace_limits, queue_limits
from gke_notebook.insight.world import Fit, World
from gke_notebook.objects import Node
from gke_notebook.session.plan import new_run

if TYPE_CHECKING:
    from gke_notebook.session.session import Session


@dataclass(frozen=True)
class Quota:
    """What there may be, what is used, and what a job would take.

    Args:
        limits: a row each.
        namespace: whose.
        region: whose, empty when it is not known.
        job: what the job is, in words, empty for none.
        fit: whether it fits, None without a job.
        notes: what could not be seen.
    """

    limits: tuple[Limit, ...]
    namespace: str
    region: str = ""
    job: str = ""
    fit: Fit | None = None
    notes: tuple[str, ...] = ()


def look(session: Session, name: str, options: Mapping[str, Any], nodes: Sequence[Node] | None) -> Quota:
    """Look at every limit.

    Args:
        session: the session.
        name: a job on the cluster, empty for none.
        options: the shape of a job, as for `Session.plan`; empty for none.
        nodes: the cluster's nodes, None when they may not be seen.

    Raises:
        InvalidInput: there is no such job, or something that was asked for cannot be.
    """
    namespace = str(options.get("namespace") or session.namespace)
    wanted, words = _wanted(session, name, options, namespace)
    world = session.capacity.world(nodes, namespace)
    found = None if wanted is None else fit(wanted, world)
    return Quota(
        limits=rows(world, wanted, found),
        namespace=namespace,
        region=world.region,
        job=words,
        fit=found,
        notes=world.notes,
    )


def rows(world: World, wanted: Demand | None, found: Fit | None) -> tuple[Limit, ...]:
    """Give every limit, with what a job takes of it; pure.

    Args:
        world: what is known of the cluster.
        wanted: what the job asks for, None without one.
        found: whether it fits.
    """
    own = () if wanted is None else namespace_limits(world.resource_quotas, wanted)
    takes = {(one.name, one.where): one.takes for one in (*own, *(found.limits if found is not None else ()))}
    every = (
        *namespace_limits(world.resource_quotas),
        *queue_limits(world.local_queues, world.cluster_queues),
        *cloud_limits(world.quotas or (), {}, here(world.nodes or ())),
    )
    # Of the project's quotas, those that are nothing but zeros would hide the others.
    kept = (one for one in every if one.kind != "cloud" or one.limit or one.used or (one.name, one.where) in takes)
    return tuple(replace(one, takes=takes.get((one.name, one.where), 0.0)) for one in kept)


def _wanted(session: Session, name: str, options: Mapping[str, Any], namespace: str) -> tuple[Demand | None, str]:
    if name:
        job = session.job(name, namespace)
        try:
            live = session.call(lambda client: client.get(JOBS, job.name, namespace))
        except ApiError as error:
            if error.status != 404:
                raise
            live = next(one for one in job.manifests() if one["kind"] == "JobSet")
        return demand([live]), f"job {name}"
    shape = {key: value for key, value in options.items() if key != "namespace"}
    if not shape:
        return None, ""
    spec = request.build_spec("quota", "pass", namespace=namespace, owner=session.owner, run=new_run(), **shape)
    made = demand(manifests.render(spec))
    resource, each = made.accelerators
    said = f"{made.pods} x {each:g} {resource}" if resource else f"{made.pods} x {made.requests.get('cpu', 0):g} CPU"
    return made, said
