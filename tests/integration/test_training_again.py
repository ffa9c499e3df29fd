"""Interrupting, cancelling, coming back from another notebook, several notebooks at once, and leaving no trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import World, eventually, notebook, open_world, processes_with

pytestmark = [
    # jupyter_client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("again")) as found:
        yield found


def gated(gate: Path, result: str = "'through'") -> str:
    return (
        f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)\n"
        f"print('ended')\nresult = {result}"
    )


def test_interrupting_the_wait_leaves_the_job_and_one_can_come_back(world: World) -> None:
    gate = world.directory / "gate-1"
    reply = world.notebook.start(f"%%gke_train keeps --nodes 2\n{gated(gate)}")
    world.notebook.until(lambda: "| begun" in reply.text, reply)
    world.notebook.interrupt()
    world.notebook.until(lambda: reply.ended, reply)
    assert reply.ename == "KeyboardInterrupt"
    again = "%gke_wait keeps attaches again, %gke_cancel keeps stops it"
    assert reply.traceback == f"KeyboardInterrupt: interrupted; job 'keeps' goes on: {again}"
    assert world.notebook.value("keeps.phase") == "'running'"
    gate.touch()
    shown = world.notebook.ok("%gke_wait keeps").text
    assert "keeps.result: 'through'" in shown
    assert world.notebook.value("keeps.result") == "'through'"
    # The card of the interrupted cell went on by itself.
    world.notebook.until(lambda: "keeps.result: 'through'" in reply.text, reply)


def test_interrupting_the_log_leaves_the_job(world: World) -> None:
    gate = world.directory / "gate-2"
    world.notebook.ok(f"%%gke_train logged --no-wait\n{gated(gate)}")
    reply = world.notebook.start("%gke_logs logged --follow")
    world.notebook.until(lambda: "rank 0 | begun" in reply.out, reply)
    world.notebook.interrupt()
    world.notebook.until(lambda: reply.ended, reply)
    assert reply.traceback == "KeyboardInterrupt: job 'logged' goes on; only the log was stopped"
    reply = world.notebook.start("%gke_logs logged --follow")
    gate.touch()
    world.notebook.until(lambda: reply.ended, reply)
    assert (reply.ename, reply.out) == ("", "rank 0 | begun\nrank 0 | ended\n")


def test_a_wait_with_an_end(world: World) -> None:
    gate = world.directory / "gate-3"
    world.notebook.ok(f"%%gke_train waits --no-wait\n{gated(gate)}")
    reply = world.notebook.run("%gke_wait waits --timeout 1s")
    assert reply.ename == "StillRunning"
    assert "after 1 s and goes on: %gke_wait waits attaches again" in reply.evalue
    gate.touch()
    world.notebook.ok("%gke_wait waits --timeout 2m")


def test_cancelling_stops_the_processes(world: World) -> None:
    cell = """import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to stop", flush=True))
print("deaf", flush=True)
while True:
    time.sleep(0.1)
"""
    reply = world.notebook.ok(f"%%gke_train stops --nodes 2 --procs-per-node 2 --no-wait\n{cell}")
    world.notebook.until(lambda: "ranks 0-3 | deaf" in reply.text, reply)
    assert processes_with("GKE_NOTEBOOK_JOB=stops")
    assert "is being cancelled" in world.notebook.ok("%gke_cancel stops").out
    waited = world.notebook.run("%gke_wait stops")
    assert waited.ename == "JobFailed"
    assert waited.evalue.startswith("job 'stops': cancelled after")
    assert world.notebook.value("stops.phase") == "'cancelled'"
    eventually(lambda: not processes_with("GKE_NOTEBOOK_JOB=stops"))
    assert "has ended already: cancelled after" in world.notebook.ok("%gke_cancel stops").out
    assert "| deaf" in world.notebook.ok("%gke_logs stops").out


def test_another_kernel_sees_the_same_job(world: World) -> None:
    world.notebook.ok(
        "%%gke_train shared --nodes 2\nimport os\nprint('from', os.environ['RANK'])\nresult = list(range(5000))"
    )
    gate = world.directory / "gate-4"
    world.notebook.ok(f"%%gke_train going --no-wait\n{gated(gate)}")
    with notebook(world.home, world.directory / "second") as second:
        listed = second.ok("%gke_jobs").text
        assert "shared" in listed
        assert "going" in listed
        assert sorted(second.ok("%gke_logs shared").out.splitlines()) == ["rank 0 | from 0", "rank 1 | from 1"]
        second.ok("import gke_notebook as gke\njob = gke.session().job('shared')")
        assert second.value("job.result == list(range(5000)), job.phase") == "(True, 'succeeded')"
        first = json.loads(world.notebook.ok("import json; print(json.dumps(shared.manifests()))").out)
        assert json.loads(second.ok("import json; print(json.dumps(job.manifests()))").out) == first
        gate.touch()
        assert "going.result: 'through'" in second.ok("%gke_wait going").text
        assert second.value("going.result") == "'through'"
    assert world.notebook.value("going.wait().phase") == "'succeeded'"


def test_a_kernel_that_dies_leaves_its_job_running(world: World) -> None:
    gate = world.directory / "gate-5"
    with notebook(world.home, world.directory / "third") as third:
        third.ok(f"%%gke_train orphan --no-wait\n{gated(gate)}")
    gate.touch()
    assert "orphan.result: 'through'" in world.notebook.ok("%gke_wait orphan").text


def test_jobs_of_two_notebooks_on_one_port_do_not_meet(world: World) -> None:
    cell = """import os, socket, time
rank, job, port = int(os.environ["RANK"]), os.environ["GKE_NOTEBOOK_JOB"], 29500
if rank == 0:
    with socket.create_server(("", port)) as server:
        result = sorted(server.accept()[0].recv(100).decode() for _ in range(2))
while rank:
    try:
        with socket.create_connection((f"{job}-0.{job}", port)) as peer:
            peer.sendall(f"{job} {rank}".encode())
        break
    except OSError:
        time.sleep(0.05)
"""
    with notebook(world.home, world.directory / "fourth") as fourth:
        books = {"here": world.notebook, "there": fourth}
        for where, book in books.items():
            for number in (1, 2):
                book.ok(f"%%gke_train {where}-{number} --nodes 3 --framework torch --no-wait\n{cell}")
        for where, book in books.items():
            for number in (1, 2):
                book.ok(f"%gke_wait {where}-{number}")
                name = f"{where}-{number}"
                assert book.value(f"{where}_{number}.result") == f"['{name} 1', '{name} 2']"


TRACES = """
import gc, os, pathlib, threading
def sockets():
    fds = pathlib.Path("/proc/self/fd")
    found = set()
    for fd in fds.iterdir():
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if target.startswith("socket:") or "eventpoll" in target:
            found.add(target)
    return found
def traces():
    gc.collect()
    return {thread.name for thread in threading.enumerate()}, sockets()
"""


def test_closing_leaves_no_thread_task_or_socket(world: World) -> None:
    with notebook(world.home, world.directory / "fifth", connect=False) as book:
        book.ok("%load_ext gke_notebook")
        book.ok(TRACES)
        book.ok("import gke_notebook as gke")
        book.ok("threads, open_sockets = traces()")
        gate = world.directory / "gate-6"
        reply = book.ok("%gke_connect sandbox")
        reply = book.ok(f"%%gke_train closes --no-wait\n{gated(gate)}")
        book.until(lambda: "rank 0 | begun" in reply.text, reply)
        assert book.value("len(sockets() - open_sockets) > 0") == "True"
        book.ok("session = gke.session(); session.close(); session.close()")
        for line in ("%gke_jobs", "%gke_status", "%gke_wait closes", "%%gke_train more\nx = 1"):
            assert book.run(line).mistake.startswith("the session sandbox is closed; run %gke_connect")
        assert "is closed" in book.run("closes.phase").evalue
        book.until(lambda: "this card is no longer updated: the session sandbox is closed" in reply.text, reply)
        assert "rank 0 | begun" in reply.text
        book.ok("import time\nend = time.monotonic() + 20")
        book.ok(
            "while (traces()[0] - threads or traces()[1] - open_sockets) and time.monotonic() < end: time.sleep(0.1)"
        )
        assert book.value("sorted(traces()[0] - threads), sorted(traces()[1] - open_sockets)") == "([], [])"
        gate.touch()
        book.ok("%gke_connect sandbox")
        assert "closes.result: 'through'" in book.ok("%gke_wait closes").text


def test_reconnecting_many_times_leaks_nothing(world: World) -> None:
    with notebook(world.home, world.directory / "sixth") as book:
        book.ok(TRACES)
        book.ok("for _ in range(2):\n    get_ipython().run_line_magic('gke_connect', 'sandbox')")
        book.ok("threads, open_sockets = traces()")
        book.ok("for _ in range(10):\n    get_ipython().run_line_magic('gke_connect', 'sandbox')", timeout=120)
        book.ok("import time\nend = time.monotonic() + 20")
        book.ok("while len(traces()[1]) > len(open_sockets) and time.monotonic() < end: time.sleep(0.1)")
        assert book.value("sorted(traces()[0] - threads), len(traces()[1]) <= len(open_sockets)") == "([], True)"
