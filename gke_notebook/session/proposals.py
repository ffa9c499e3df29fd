"""From what was asked to a plan: of one way to have machines, of a ladder of them, of the same job on other shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gke_notebook import request
from gke_notebook.session import fallback, planning
from gke_notebook.session.plan import Plan, new_run
from gke_notebook.specs import TrainSpec

if TYPE_CHECKING:
    from gke_notebook.session.session import Session


class Proposer:
    """Makes plans of one program; nothing is written.

    Args:
        session: the session.
        name: the job's name.
        cell: the source.
        variables: the names that it may use.
        namespace: where it runs.
        magic_line: whether a magic line stands above the source.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        cell: str,
        *,
        variables: Mapping[str, object],
        namespace: str,
        magic_line: bool,
    ) -> None:
        self._session = session
        self._fixed: dict[str, Any] = {"variables": variables, "namespace": namespace, "magic_line": magic_line}
        self._name, self._cell = name, cell
        self._fresh = False

    def plan(self, options: Mapping[str, Any]) -> Plan:
        """Give the plan.

        Args:
            options: the option words of `%%gke_train`, with underscores.

        Raises:
            InvalidInput: something that was asked for cannot be.
        """
        ladder = options.get("fallback")
        rest = {key: value for key, value in options.items() if key != "fallback"}
        if ladder:
            return fallback.plan(ladder, rest, self.spec, self.of)
        return self.of(self.spec(rest))

    def spec(self, options: Mapping[str, Any]) -> TrainSpec:
        """Check what was asked for.

        Args:
            options: as for `plan`.

        Raises:
            InvalidInput: something that was asked for cannot be.
        """
        return request.build_spec(
            self._name, self._cell, owner=self._session.owner, run=new_run(), **self._fixed, **options
        )

    def of(self, spec: TrainSpec) -> Plan:
        """Give the plan of a spec, with whether it fits.

        Args:
            spec: the job.

        Raises:
            InvalidInput: the cluster cannot do it.
        """
        session = self._session
        nodes = session.nodes(spec.namespace, fresh=not self._fresh)
        self._fresh = True  # of several plans at once, the first has looked
        facts = session.facts.of(spec, nodes)
        made = planning.make_plan(spec, context=session.context, nodes=nodes, facts=facts)
        return session.capacity.fitted(made, nodes)
