"""From what was asked to a plan: of one way to have machines, of a ladder of them, of the same job on other shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gke_notebook import request
from gke_notebook.cluster.access import Check, can_i
from gke_notebook.errors import InvalidInput
from gke_notebook.session import fallback, planning
from gke_notebook.session.ladder import NOT_ALLOWED
from gke_notebook.session.plan import Plan, new_run
from gke_notebook.session.what_if import Choice, choices
from gke_notebook.specs import TrainSpec

if TYPE_CHECKING:
    from gke_notebook.session.session import Session


def plan(session: Session, name: str, cell: str, options: Mapping[str, Any]) -> Plan:
    """Give the plan of a job.

    Args:
        session: the session.
        name: the job's name.
        cell: the source.
        options: what `request.build_spec` takes, and ``fallback``.

    Raises:
        InvalidInput: something that was asked for cannot be.
    """
    proposer = _Proposer(session, name, cell, options)
    if options.get("fallback"):
        made = fallback.plan(options["fallback"], proposer.options, proposer.spec, proposer.plan)
        needed = Check("update", "jobs", "batch", made.spec.namespace, "status")
        if session.call(lambda client: can_i(client, [needed]))[needed]:
            return made
        return replace(made, notes=(*made.notes, NOT_ALLOWED))
    return proposer.plan(proposer.spec(proposer.options))


def what_if(
    session: Session, name: str, cell: str, shapes: Sequence[str] | None, options: Mapping[str, Any]
) -> tuple[Choice, ...]:
    """Give the same job on other shapes and by other ways to have machines.

    Args:
        session: the session.
        name: the job's name.
        cell: the source.
        shapes: GPUs to look at; None looks at what the cluster and the catalog have.
        options: what `request.build_spec` takes.

    Raises:
        InvalidInput: something that was asked for cannot be.
    """
    if options.get("fallback"):
        raise InvalidInput("--what-if does not go with --fallback, whose plan shows every rung: use --dry-run")
    proposer = _Proposer(session, name, cell, options)
    return choices(session, proposer.spec(proposer.options), proposer.plan, shapes)


class _Proposer:
    """Makes plans of one program; nothing is written."""

    def __init__(self, session: Session, name: str, cell: str, options: Mapping[str, Any]) -> None:
        self._session = session
        self._name, self._cell = name, cell
        self._fixed = {
            "variables": options.get("variables") or {},
            "namespace": options.get("namespace") or session.namespace,
            "magic_line": bool(options.get("magic_line")),
        }
        self.options = {key: value for key, value in options.items() if key not in {*self._fixed, "fallback"}}
        self._looked = False

    def spec(self, options: Mapping[str, Any]) -> TrainSpec:
        """Check what was asked for."""
        fixed: dict[str, Any] = {**self._fixed, "owner": self._session.owner, "run": new_run()}
        return request.build_spec(self._name, self._cell, **fixed, **options)

    def plan(self, spec: TrainSpec) -> Plan:
        """Give the plan of a spec, with whether it fits."""
        session = self._session
        nodes = session.nodes(spec.namespace, fresh=not self._looked)
        self._looked = True  # of several plans at once, the first has looked
        facts = session.facts.of(spec, nodes)
        made = planning.make_plan(spec, context=session.context, nodes=nodes, facts=facts)
        fitted = session.capacity.fitted(made, nodes)
        if fitted.fit is None or fitted.fit.free or not fitted.fit.growth:
            return fitted
        # Now it is known which machines come; they need not be the smallest that would do.
        grown = fitted.fit.growth
        made = planning.make_plan(spec, context=session.context, nodes=nodes, facts=facts, growth=grown)
        return replace(made, fit=fitted.fit)
