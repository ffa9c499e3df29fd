"""Observed objects to a state; pure."""

from gke_notebook.insight.failures import failure_line, failure_text
from gke_notebook.insight.jobsets import as_job, jobs_of
from gke_notebook.insight.lanes import Lane, fold
from gke_notebook.insight.observe import observe
from gke_notebook.insight.state import ENDED, Failure, JobState, NodeState, Phase, Span

__all__ = [
    "ENDED",
    "Failure",
    "JobState",
    "Lane",
    "NodeState",
    "Phase",
    "Span",
    "as_job",
    "failure_line",
    "failure_text",
    "fold",
    "jobs_of",
    "observe",
]
