"""The magics in a real kernel, driven by nbclient as papermill and schedulers do; the session is a fake one."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SETUP = """
%load_ext gke_notebook
from tests.support.fake_session import *
def make(name):
    lines = [line(0, "loss 2.3"), line(1, "loss 2.3")]
    end = "failed" if name == "bad" else "succeeded"
    steps = [Step(job_state(name, "queued")), Step(job_state(name), lines), Step(job_state(name, end))]
    return FakeJob(steps, result=7)
install(FakeSession(make))
"""


def execute(*cells: str) -> tuple[nbformat.NotebookNode, CellExecutionError | None]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (SETUP, *cells)])
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(Path(__file__).parents[2])}})
    try:
        client.execute()
    except CellExecutionError as error:
        return notebook, error
    return notebook, None


def displays(cell: nbformat.NotebookNode) -> list[dict[str, str]]:
    return [output.data for output in cell.outputs if output.output_type == "display_data"]


# nbclient and jupyter_client leave their sockets to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_the_saved_notebook_shows_the_last_state_and_a_failure_stops_the_run() -> None:
    notebook, error = execute("%%gke_train good --nodes 2\n1", "good.result", "%%gke_train bad\n1", "never = 1")
    assert error is not None
    assert error.ename == "JobFailed"
    assert "rank 1 failed with exit code 1: ValueError: loss is not finite" in str(error)
    assert 'File "<cell>", line 7' in str(error)
    assert "gke_notebook/" not in str(error)
    good, result, bad, never = notebook.cells[1:]
    plan, job = displays(good)
    assert "PLAN good" in plan["text/plain"]
    assert "succeeded" in job["text/plain"]
    assert "ranks 0-1 | loss 2.3" in job["text/plain"]
    assert "gke-badge gke-ok" in job["text/html"]
    assert result.outputs[0].data["text/plain"] == "7"
    assert "gke-badge gke-bad" in displays(bad)[1]["text/html"]
    assert never.execution_count is None
    assert "widgets" not in notebook.metadata


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_mistake_is_one_line_and_stops_the_run_too() -> None:
    notebook, error = execute("%%gke_train good --nods 2\n1", "never = 1")
    assert error is not None
    shown = notebook.cells[1].outputs[0]
    assert shown.name == "stderr"
    assert shown.text == "UsageError: %%gke_train: no option --nods; did you mean '--nodes'?\n"
    assert notebook.cells[2].execution_count is None


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_other_cells_run_while_a_job_streams() -> None:
    notebook, error = execute(
        "%%gke_train held --no-wait\n1",
        "print(held.phase in ('queued', 'running'))",
        "held.release()\n%gke_wait held",
    )
    assert error is None
    assert notebook.cells[2].outputs[0].text == "True\n"
    assert "succeeded" in displays(notebook.cells[3])[-1]["text/plain"]
