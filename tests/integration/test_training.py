"""From a cell to a result: a real kernel, the real session, a real sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from gke_notebook import names
from tests.support.kubectl import find_kubectl
from tests.support.live import Cluster, World, eventually, open_world

pytestmark = [
    # jupyter_client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]
kubectl = pytest.mark.skipif(find_kubectl() is None, reason="no kubectl: run `make control-plane`")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("training")) as found:
        yield found


def delete(cluster: Cluster, name: str) -> None:
    cluster.kubectl("delete", "job", name, "--wait=true")


def test_one_rank_gives_its_result_and_the_variable_is_bound(world: World) -> None:
    shown = world.notebook.ok("%%gke_train one-rank\nprint('here')\nresult = {'answer': 6 * 7}").text
    assert "PLAN one-rank  1 node, 1 rank" in shown
    assert "rank 0 | here" in shown
    assert "one_rank.result: {'answer': 42}" in shown
    assert world.notebook.value("one_rank.result['answer'], one_rank.phase, one_rank.name") == (
        "(42, 'succeeded', 'one-rank')"
    )


def test_two_nodes_with_two_ranks_each_meet_and_know_their_places(world: World) -> None:
    cell = """%%gke_train meet --nodes 2 --procs-per-node 2 --framework torch
import os, socket, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(address) as server:
        met = []
        for _ in range(size - 1):
            with server.accept()[0] as peer:
                met.append(int(peer.recv(100)))
    result = sorted(met)
else:
    for _ in range(600):
        try:
            with socket.create_connection(address) as peer:
                peer.sendall(str(rank).encode())
            break
        except OSError:
            time.sleep(0.05)
print("local", os.environ["LOCAL_RANK"])
"""
    shown = world.notebook.ok(cell).text
    assert world.notebook.value("meet.result") == "[1, 2, 3]"
    assert "nodes 0-1  ranks 0-3  succeeded" in shown
    log = world.notebook.ok("%gke_logs meet").out.splitlines()
    assert sorted(log) == ["rank 0 | local 0", "rank 1 | local 1", "rank 2 | local 0", "rank 3 | local 1"]
    assert world.notebook.ok("%gke_logs meet --rank 3").out == "local 1\n"
    assert "has ranks 0-3, no rank 4" in world.notebook.run("%gke_logs meet --rank 4").mistake


@pytest.mark.parametrize(
    ("name", "cell", "expression", "expected"),
    [
        ("nothing", "x = 1", "nothing.result", ""),
        ("array", "import numpy\nresult = numpy.arange(3000).reshape(3, 1000)", "int(array.result.sum())", "4498500"),
        ("pair", "result = (1, {2})", "pair.result", "(1, {2})"),
        ("long", "result = [str(i) for i in range(20_000)]", "len(long.result), long.result[-1]", "(20000, '19999')"),
    ],
)  # fmt: skip
def test_results_of_many_kinds(world: World, name: str, cell: str, expression: str, expected: str) -> None:
    world.notebook.ok(f"%%gke_train {name}\n{cell}")
    assert world.notebook.value(expression) == expected


def test_an_object_of_a_class_of_the_notebook_comes_back_as_one(world: World) -> None:
    world.notebook.ok(
        "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n    def far(self): return self.x > 9"
    )
    world.notebook.ok("%%gke_train point\nresult = [Point(3), Point(10)]")
    assert world.notebook.value("[p.far() for p in point.result], type(point.result[0]) is Point") == (
        "([False, True], True)"
    )


def test_a_result_that_is_too_large_costs_only_the_result(world: World) -> None:
    shown = world.notebook.ok("%%gke_train heavy\nresult = 'x' * 1_100_000").text
    assert "heavy  queued" in shown
    assert "result: job 'heavy': result (str) takes 1.0 MiB, more than the limit of 1.0 MiB" in shown
    assert world.notebook.value("heavy.phase") == "'succeeded'"
    reply = world.notebook.run("heavy.result")
    assert reply.ename == "GkeNotebookError"
    assert "takes 1.0 MiB, more than the limit of 1.0 MiB; set result to a summary" in reply.evalue


def test_output_files_come_back_and_too_many_bytes_do_not(world: World) -> None:
    cell = """import os, pathlib
there = pathlib.Path(os.environ["GKE_NOTEBOOK_OUTPUT"])
(there / "deep").mkdir()
(there / "deep" / "weights.bin").write_bytes(bytes(range(256)) * 100)
pathlib.Path("output/note.txt").write_text("ü")
"""
    shown = world.notebook.ok(f"%%gke_train files\n{cell}").text
    assert "files.output: note.txt (2 B), deep/weights.bin (25.6 kB)" in shown
    assert world.notebook.value("files.output['deep/weights.bin'].read_bytes() == bytes(range(256)) * 100") == "True"
    shown = world.notebook.ok("%%gke_train wide\nimport os\nopen('output/a','wb').write(os.urandom(5_000_000))").text
    assert "output files: job 'wide'" in shown
    assert "limit" in shown
    reply = world.notebook.run("wide.output")
    assert (reply.ename, len(reply.evalue.splitlines())) == ("GkeNotebookError", 1)
    assert world.notebook.value("wide.phase") == "'succeeded'"


def test_variables_environment_and_included_files_travel(world: World) -> None:
    world.notebook.ok(
        "import pathlib, math\n"
        "pathlib.Path('helper.py').write_text('def twice(x): return 2 * x')\n"
        "pathlib.Path('data').mkdir(exist_ok=True)\npathlib.Path('data/words.txt').write_text('one two')\n"
        "settings = {'SEED': 7, 'MODE': 'fast run'}\nwanted = 2\nrate = 0.5\npaths = ['helper.py', 'data']\n"
        "def area(r): return math.floor(math.pi * r * r)\n"
    )
    cell = """import os, helper
with open("data/words.txt") as file:
    words = file.read().split()
result = [os.environ["SEED"], os.environ["MODE"], os.environ["X"], helper.twice(4), words, area(2), rate]
"""
    plan = world.notebook.ok(
        "%%gke_train travel --nodes $wanted --env $settings --env X=$rate --include $paths\n" + cell
    ).text
    assert "2 nodes, 2 ranks" in plan
    assert "area" in plan
    assert world.notebook.value("travel.result") == "['7', 'fast run', '0.5', 8, ['one', 'two'], 12, 0.5]"


def test_a_rank_that_fails_once_succeeds_when_it_may_be_retried(world: World) -> None:
    mark = world.directory / "failed-once"
    cell = f"""import os, pathlib
mark = pathlib.Path({str(mark)!r})
if os.environ["RANK"] == "1" and not mark.exists():
    mark.touch()
    raise OSError("the first time")
result = "done"
"""
    shown = world.notebook.ok(f"%%gke_train again --nodes 2 --max-retries 1\n{cell}").text
    assert mark.exists()
    assert world.notebook.value("again.result, again.state.nodes[1].attempt") == "('done', 1)"
    assert "OSError: the first time" in shown


def test_a_job_that_takes_too_long_is_stopped(world: World) -> None:
    reply = world.notebook.run("%%gke_train slow --max-duration 2s\nimport time\nprint('on')\ntime.sleep(600)")
    assert reply.ename == "JobFailed"
    assert "it ran longer than its limit of 2 s (--max-duration) and was stopped" in reply.evalue
    assert world.notebook.value("slow.phase") == "'failed'"


def test_image_and_namespace(world: World) -> None:
    world.cluster.kubectl("create", "namespace", "team-a")
    world.notebook.ok("%%gke_train placed --image example.com/my/image:1.2 --namespace team-a\nresult = 1")
    assert world.notebook.value("placed.namespace, placed.result") == "('team-a', 1)"
    image = world.cluster.kubectl(
        "get", "job", "placed", "-n", "team-a", "-o", "jsonpath={.spec.template.spec.containers[0].image}"
    )
    assert image == "example.com/my/image:1.2"
    assert "placed" in world.notebook.ok("%gke_jobs --namespace team-a").text
    assert "placed" not in world.notebook.ok("%gke_jobs").text


def test_other_cells_run_while_a_job_streams(world: World) -> None:
    gate = world.directory / "gate"
    cell = f"""import os, time
print("begun", flush=True)
while not os.path.exists({str(gate)!r}):
    time.sleep(0.05)
print("through the gate")
result = 5
"""
    reply = world.notebook.ok(f"%%gke_train stream --no-wait\n{cell}")
    assert world.notebook.value("1 + 1") == "2"
    assert world.notebook.value("stream.phase in ('queued', 'starting', 'running')") == "True"
    world.notebook.until(lambda: "rank 0 | begun" in reply.text, reply)
    still = world.notebook.run("stream.result")
    assert still.ename == "StillRunning"
    gate.touch()
    world.notebook.until(lambda: "stream.result: 5" in reply.text, reply)
    assert "rank 0 | through the gate" in reply.text
    assert world.notebook.value("stream.result") == "5"


@kubectl
def test_the_manifests_run_without_us(world: World) -> None:
    world.notebook.ok("%%gke_train plain --nodes 2\nimport os\nprint('rank', os.environ['RANK'])\nresult = 1")
    world.notebook.ok("import json\nopen('plain.json', 'w').write(json.dumps(plain.manifests()))")
    written = json.loads((world.notebook.directory / "plain.json").read_text())
    assert [item["kind"] for item in written] == ["ConfigMap", "Service", "Job"]
    delete(world.cluster, "plain")
    eventually(lambda: not any("plain" in name for name in world.cluster.names()))
    world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(written))
    world.cluster.kubectl("wait", "--for=condition=complete", "--timeout=60s", "job/plain")
    assert "rank 1" in world.cluster.kubectl("logs", "-l", f"{names.JOB}=plain", "--tail=-1")
    assert "unchanged" in world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(written[:2]))


@kubectl
def test_every_object_carries_the_labels_and_goes_with_its_job(world: World) -> None:
    world.notebook.ok("%%gke_train owned\nresult = 1")
    mine = world.cluster.objects(selector=f"{names.MANAGED_BY}={names.MANAGER},{names.JOB}=owned")
    assert sorted(item["kind"] for item in mine) == ["ConfigMap", "Job", "Pod", "Service"]
    for item in mine:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "gke-notebook"
        assert labels["gke-notebook.dev/job"] == "owned"
        assert labels["gke-notebook.dev/run"] == mine[0]["metadata"]["labels"]["gke-notebook.dev/run"]
        assert labels["gke-notebook.dev/owner"]
    delete(world.cluster, "owned")
    eventually(lambda: not any("/owned" in name for name in world.cluster.names()))
    assert world.notebook.value("owned.phase, owned.result") == "('succeeded', 1)"  # what was seen of it is kept
    assert "no job 'owned'" in world.notebook.run("%gke_wait owned").mistake
