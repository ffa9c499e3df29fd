"""What comes back from a job: the value of `result` and the output files, fetched once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gke_notebook.errors import GkeNotebookError
from gke_notebook.insight.state import JobState
from gke_notebook.launch.archive import unpack
from gke_notebook.launch.records import NotReturned, decode_outcome
from gke_notebook.launch.results import Collector


def collector(state: JobState) -> Collector:
    """Give the collector for a job that has succeeded; it may still need lines of node 0's log.

    Args:
        state: the job.

    Raises:
        GkeNotebookError: node 0 left no outcome behind.
    """
    node = state.nodes[0] if state.nodes else None
    outcome = decode_outcome(node.termination) if node is not None else None
    if outcome is None:
        raise GkeNotebookError(
            f"nothing came back from job {state.name!r}: the pod of node 0 is gone, or did not run our launcher"
        )
    return Collector(outcome)


def check_readable(state: JobState, owner: str) -> None:
    """Refuse to unpickle what somebody else's job has written: reading a pickle runs code.

    Args:
        state: the job.
        owner: who we are, as a label value.

    Raises:
        GkeNotebookError: the result is a pickle of another owner's job.
    """
    outcome = decode_outcome(state.nodes[0].termination) if state.nodes else None
    payload = outcome.result if outcome is not None else None
    if payload is not None and payload.kind == "pickle" and state.owner != owner:
        raise GkeNotebookError(
            f"the result of job {state.name!r} is a pickle made by {state.owner!r}, and reading a pickle runs its "
            "maker's code; ask for a result that JSON can hold"
        )


def read_result(found: Collector, state: JobState) -> Any:
    """Give the value of `result`, None when the cell set none.

    Args:
        found: a collector that needs no more lines.
        state: the job, for the message.

    Raises:
        GkeNotebookError: it was refused, is incomplete, or cannot be read here.
    """
    try:
        return found.result()
    except NotReturned as error:
        raise GkeNotebookError(f"job {state.name!r}: {error}") from None


def read_output(found: Collector, state: JobState, directory: Path) -> dict[str, Path]:
    """Unpack the output files into a directory.

    Args:
        found: a collector that needs no more lines.
        state: the job, for the message.
        directory: where; made when there is something to unpack.

    Returns:
        Each file's path relative to the job's output directory, and where it lies now.

    Raises:
        GkeNotebookError: the files were refused or are incomplete.
    """
    try:
        archive = found.output()
        if archive is None:
            return {}
        directory.mkdir(parents=True, exist_ok=True)
        return {name: directory / name for name in unpack(archive, str(directory))}
    except NotReturned as error:
        raise GkeNotebookError(f"job {state.name!r}: {error}") from None


def output_directory(state: JobState) -> Path:
    """Say where the output files of a job are unpacked.

    Args:
        state: the job.
    """
    import platformdirs

    return Path(platformdirs.user_cache_dir("gke-notebook")) / "output" / f"{state.name}-{state.run}"
