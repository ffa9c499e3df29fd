"""What will be created, as shown before anything is: the spec, its objects, the price, the notes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timezone

from gke_notebook.insight.rungs import Ladder
from gke_notebook.insight.world import Fit
from gke_notebook.objects import Manifest
from gke_notebook.specs import TrainSpec


@dataclass(frozen=True)
class Price:
    """What the planned nodes cost by list price.

    Args:
        usd_hour: for all nodes together, in USD/hour.
        basis: where the figure comes from: machine type, region, provisioning model, date of the price list.
        simulated: whether the nodes are pretended, so that nothing is billed.
    """

    usd_hour: float
    basis: str
    simulated: bool = False


@dataclass(frozen=True)
class Plan:
    """A training job that has not been created yet; `Session.apply` creates exactly `manifests`.

    Args:
        spec: the job as asked for, complete.
        manifests: the Kubernetes objects, in the order in which they are created.
        context: the name of the connection it is planned for.
        placement: one clause that says where it will run, for example ``2 x 1 L4 (nvidia-l4)``.
        price: the price where known.
        notes: sentences worth knowing: defaults that were set, what is simulated.
        fit: whether the cluster has room for it, None when nobody has looked.
        ladder: the ways its machines are to be had, None without a fallback.
        fits: whether it fits on each rung of the ladder.
    """

    spec: TrainSpec
    manifests: tuple[Manifest, ...] = field(repr=False)
    context: str = ""
    placement: str = ""
    price: Price | None = None
    notes: tuple[str, ...] = ()
    fit: Fit | None = None
    ladder: Ladder | None = None
    fits: tuple[Fit | None, ...] = ()

    def max_cost(self) -> float | None:
        """The most that the job can cost by list price in USD, that of the whole `max_duration`; None if unknown."""
        if self.price is None or self.spec.max_duration is None:
            return None
        rungs = self.ladder.rungs if self.ladder is not None else ()
        if any(rung.usd_hour is None for rung in rungs):
            return None
        dearest = max([rung.usd_hour or 0.0 for rung in rungs], default=self.price.usd_hour)
        return dearest * self.spec.max_duration * self.spec.attempts / 3600


def new_run() -> str:
    """Make the id of a run: the time it was planned, and something that no other has."""
    return f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"
