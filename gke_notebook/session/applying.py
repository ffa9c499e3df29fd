"""From a plan to a job: asking the cluster first, then creating exactly what was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_notebook.errors import InvalidInput
from gke_notebook.insight.state import JobState
from gke_notebook.session import create
from gke_notebook.session.capacity import refuse
from gke_notebook.session.job import Job
from gke_notebook.session.plan import Plan

if TYPE_CHECKING:
    from gke_notebook.session.session import Session


def check(session: Session, plan: Plan, *, replace: bool = False) -> None:
    """Ask the cluster whether it would accept a plan; see `Session.check`."""
    if replace:
        state = _existing(session, plan)
        if state is not None and not state.ended:
            raise InvalidInput(
                f"job {state.name!r} is {state.phase}; %gke_cancel {state.name} first, or use another name"
            )
    session.call(lambda client: create.check(client, plan, replacing=replace))


def apply(session: Session, plan: Plan, *, replace: bool = False, queue_anyway: bool = False) -> Job:
    """Create what a plan shows; see `Session.apply`."""
    check(session, plan, replace=replace)
    refuse(plan.fit, queue_anyway=queue_anyway)
    if replace and (state := _existing(session, plan)) is not None:
        session.call(lambda client: create.remove_ended(client, state))
    session.call(lambda client: create.create(client, plan))
    observer = session.observer(plan.spec.namespace)
    session.call(lambda _: observer.wait_for_run(plan.spec.name, plan.spec.run))
    return Job(session, plan.spec.name, plan.spec.namespace, plan.spec.run)


def _existing(session: Session, plan: Plan) -> JobState | None:
    observer = session.observer(plan.spec.namespace)
    return observer.state(plan.spec.name) if plan.spec.name in observer.names() else None
