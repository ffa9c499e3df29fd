"""A job that fails: the first failing rank, its exit code and the cell's own line numbers; `Run all` stops there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import nbformat
import pytest

from tests.support.live import CONNECT, World, eventually, open_world, processes_with

pytestmark = [
    # jupyter_client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("failures")) as found:
        yield found


def fail(world: World, line: str, cell: str) -> str:
    """Run a job that fails and give what the magic says."""
    reply = world.notebook.run(f"%%gke_train {line}\n{cell}")
    assert reply.ename == "JobFailed", reply.text
    assert reply.traceback.startswith("JobFailed: ")
    assert "gke_notebook/" not in reply.traceback
    return reply.traceback


def test_the_failing_rank_is_named_though_another_one_hangs(world: World) -> None:
    said = fail(
        world,
        "hangs --nodes 2",
        """import os, time

def step(n):
    return 1 / n

if os.environ["RANK"] == "1":
    step(0)
time.sleep(600)
""",
    )
    assert said.splitlines()[0] == (
        "JobFailed: job 'hangs' failed: rank 1 failed with exit code 1: ZeroDivisionError: division by zero"
    )
    assert "Cell, line 8, in <module>\n    step(0)" in said
    assert "Cell, line 5, in step\n    return 1 / n" in said
    assert world.notebook.value("hangs.phase, hangs.state.failure.rank") == "('failed', 1)"
    shown = world.notebook.run("hangs.result")
    assert shown.ename == "JobFailed"
    assert "rank 1 failed with exit code 1" in shown.evalue


def test_ranks_that_fail_because_of_another_are_not_named_first(world: World) -> None:
    said = fail(
        world,
        "follow --nodes 2 --procs-per-node 2 --framework torch",
        """import os, socket, time
rank = int(os.environ["RANK"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(address) as server:
        peer = server.accept()[0]
        if not peer.recv(1):
            raise ConnectionError("a peer has gone")
while rank == 2:
    try:
        peer = socket.create_connection(address)
        break
    except OSError:
        time.sleep(0.02)
if rank == 2:
    raise KeyError("the cause")
time.sleep(600)
""",
    )
    assert said.startswith("JobFailed: job 'follow' failed: rank 2 failed with exit code 1: KeyError: 'the cause'")
    assert "Cell, line 17, in <module>" in said


@pytest.mark.parametrize(
    ("name", "end", "expected", "procs"),
    [
        ("hard", "os._exit(3)", "rank 1 failed with exit code 3", 1),
        (
            "killed",
            "os.kill(os.getpid(), signal.SIGKILL)",
            "rank 1 was killed by signal 9 (SIGKILL): often because the memory of the node was used up",
            1,
        ),
        (
            "killed",
            "os.kill(os.getpid(), signal.SIGKILL)",
            "rank 1 was killed by signal 9 (SIGKILL): often because the memory of the node was used up",
            2,
        ),
        ("crash", "os.kill(os.getpid(), signal.SIGSEGV)", "rank 1 was killed by signal 11 (SIGSEGV)", 2),
        ("leaves", "sys.exit(2)", "rank 1 failed with exit code 2: SystemExit: 2", 2),
        ("says", "sys.exit('no data')", "rank 1 failed with exit code 1: SystemExit: no data", 1),
    ],
)
def test_every_way_to_end(world: World, name: str, end: str, expected: str, procs: int) -> None:
    said = fail(
        world,
        f"{name}-{procs} --nodes {3 - procs} --procs-per-node {procs}",
        f"import os, signal, sys, time\nif os.environ['RANK'] == '1':\n    {end}\ntime.sleep(600)",
    )
    assert said.splitlines()[0] == f"JobFailed: job '{name}-{procs}' failed: {expected}"


def test_leaving_with_success_is_no_failure(world: World) -> None:
    world.notebook.ok("%%gke_train early\nimport sys\nresult = 4\nsys.exit()")
    assert world.notebook.value("early.result") == "4"


def test_an_exception_in_a_function_of_the_notebook(world: World) -> None:
    world.notebook.ok("def load(path):\n    # a comment\n    raise FileNotFoundError(path)")
    said = fail(world, "shipped", "x = 1\nload('gs://nowhere')")
    assert "rank 0 failed with exit code 1: FileNotFoundError: gs://nowhere" in said
    assert "Cell, line 3, in <module>\n    load('gs://nowhere')" in said
    assert "in load" in said
    assert "raise FileNotFoundError(path)" in said


def test_a_pod_that_somebody_deletes_fails_the_job(world: World) -> None:
    reply = world.notebook.ok("%%gke_train preempted --nodes 2 --no-wait\nimport time\nprint('up')\ntime.sleep(600)")
    world.notebook.until(lambda: reply.text.count("| up"), reply)
    pods = world.cluster.objects("pods", "gke-notebook.dev/job=preempted")
    world.cluster.kubectl("delete", "pod", pods[0]["metadata"]["name"], "--wait=false")
    said = world.notebook.run("%gke_wait preempted")
    assert said.ename == "JobFailed"
    rank = pods[0]["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
    assert said.evalue.startswith(f"job 'preempted' failed: rank {rank} failed: its pod went away: deleted, or")


def test_retries_that_are_used_up(world: World) -> None:
    said = fail(world, "tries --max-retries 1", "import os\nraise ValueError(os.environ['GKE_NOTEBOOK_RETRY'] or 0)")
    assert "rank 0 failed with exit code 1: ValueError: 1" in said


@pytest.mark.parametrize(
    ("name", "cell"),
    [("raises", "raise ValueError('stop here')"), ("mistaken --nods 2", "1")],
)
def test_run_all_stops_at_the_cell(world: World, name: str, cell: str) -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    cells = [CONNECT, f"%%gke_train {name}\n{cell}", "never = 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(world.notebook.directory)}})
    with pytest.raises(CellExecutionError):
        client.execute(env=dict(world.home.environment))
    assert notebook.cells[1].execution_count is not None
    assert notebook.cells[2].execution_count is None


def test_nothing_of_a_failed_job_runs_on(world: World) -> None:
    mark = world.directory / "rank-0"
    cell = f"""import os, pathlib, time
mark = pathlib.Path({str(mark)!r})
if os.environ["RANK"] == "0":
    mark.write_text(str(os.getpid()))
    time.sleep(600)
while not mark.exists():
    time.sleep(0.02)
raise ValueError("only one")
"""
    fail(world, "gone --nodes 2", cell)
    eventually(lambda: not processes_with("GKE_NOTEBOOK_JOB=gone"))
    said = fail(world, "launcher", "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(600)")
    assert said == "JobFailed: job 'launcher' failed: rank 0 was killed by signal 9 (SIGKILL)"
    eventually(lambda: not processes_with("GKE_NOTEBOOK_JOB=launcher"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
