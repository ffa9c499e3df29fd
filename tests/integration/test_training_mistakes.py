"""What bad input gets: one clear line with the nearest valid choice, and nothing created."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.live import World, notebook, open_world

pytestmark = [
    # jupyter_client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("mistakes")) as found:
        found.notebook.ok(
            "import threading\nopened = open('opened.txt', 'w')\nlock = threading.Lock()\n"
            "big = list(range(3_000_000))\ndef reader(): return opened\nlearning_rate = 0.1"
        )
        yield found


@pytest.fixture
def unchanged(world: World) -> Iterator[None]:
    before = world.cluster.names()
    yield
    assert world.cluster.names() == before


@pytest.mark.usefixtures("unchanged")
def test_options(world: World) -> None:
    for line, expected in {
        "x --nods 2": ["no option --nods", "did you mean '--nodes'?"],
        "x --nodes": ["--nodes needs a value"],
        "x --gpu l5": ["l5", "did you mean 'l4'?"],
        "x --gpu l4:0": ["l4", "0"],
        "x --gpu l4:x": ["l4", "x"],
        "x --gpu v5e": ["TPU"],
        "x --gpu tpu-v5-lite-podslice": ["TPU"],
        "x --gpu l4:16": ["l4", "16", "8"],
        "x --gpu h100:3": ["h100", "3"],
        "x --nodes 0": ["--nodes", "0", "1"],
        "x --nodes -1": ["--nodes", "-1", "1"],
        "x --nodes 1000000000": ["--nodes", "1000000000", "5000"],
        "x --nodes 1e9": ["--nodes", "1e9"],
        "x --nodes 2.5": ["--nodes", "2.5"],
        "x --nodes two": ["--nodes", "two"],
        "x --nodes $nods": ["no variable 'nods'"],
        "x --env $learning_rat": ["did you mean 'learning_rate'?"],
        "x --procs-per-node 65": ["--procs-per-node", "64"],
        "x --framework pytorh": ["pytorh", "torch"],
        "x --max-duration soon": ["soon"],
        "x --max-retries -1": ["--max-retries", "-1"],
        "x --cpu lots": ["lots"],
        "x --memory 16X": ["16X"],
        "x --cpu 0": ["0"],
        "x --env A": ["KEY=VALUE"],
        "x --env RANK=1": ["RANK"],
        "x --image 'a b'": ["a b"],
        "x --namespace Nope_1": ["Nope_1"],
        "x --namespace defalt": ["defalt", "did you mean 'default'?"],
        "x --include nowhere.py": ["nowhere.py"],
        "x --include opend.txt": ["opend.txt", "opened.txt"],
        "x --requirements nowhere.txt": ["nowhere.txt"],
        "Digits_1": ["Digits_1", "digits-1"],
        "1st": ["1st"],
        "x.y": ["x.y"],
        "a" * 70: ["a" * 20],
        "": ["NAME is missing"],
        "x y": ["y"],
        "x 'y": ["quotation"],
        "x --wait --no-wait": ["--wait", "--no-wait"],
    }.items():
        said = world.notebook.run(f"%%gke_train {line}\nx = 1").mistake
        for part in expected:
            assert part in said, (line, said)
        assert len(said) < 400, said


@pytest.mark.usefixtures("unchanged")
def test_cells(world: World) -> None:
    for cell, expected in {
        "x = 1\nif x\n    pass": ["line 3"],
        "x = 1\n\n%matplotlib inline\ny = 2": ["line 4", "%matplotlib"],
        "!pip install torch\nx = 1": ["line 2", "!pip", "--requirements"],
        "x = 1\ny = !ls": ["line 3"],
        "print(learning_rat)": ["learning_rat", "line 2", "did you mean 'learning_rate'?"],
        "print(nowhere_defined)": ["nowhere_defined", "line 2"],
        "opened.write('x')": ["opened (line 2) cannot travel with the cell", "--include opened.txt"],
        "with lock: pass": ["lock"],
        "print(len(big))": ["big", "24.0 MB", "too large"],
        "reader()": ["opened"],
        "get_ipython()": ["get_ipython"],
        "": ["empty"],
    }.items():
        said = world.notebook.run(f"%%gke_train wrong\n{cell}").mistake
        for part in expected:
            assert part in said, (cell, said)
        assert len(said) < 400, said


@pytest.mark.usefixtures("unchanged")
def test_names_that_are_not_there(world: World) -> None:
    for line in ("%gke_wait nope", "%gke_logs nope", "%gke_cancel nope"):
        assert "no job 'nope' in namespace default" in world.notebook.run(line).mistake
    for line in ("%gke_jobs --namespace nowhere", "%gke_wait x --namespace nowhere"):
        assert "nowhere" in world.notebook.run(line).mistake
    assert "no option --rnk" in world.notebook.run("%gke_logs nope --rnk 1").mistake
    assert "below 0" in world.notebook.run("%gke_logs nope --tail -1").mistake


@pytest.mark.usefixtures("unchanged")
def test_a_dry_run_writes_nothing_and_finds_what_the_server_refuses(world: World) -> None:
    shown = world.notebook.ok("%%gke_train dry --nodes 2 --dry-run\nx = 1").text
    assert "PLAN dry" in shown
    assert "nothing was created" in shown
    assert world.notebook.run("dry").ename == "NameError"
    said = world.notebook.run("%%gke_train dry --namespace nowhere --dry-run\nx = 1").mistake
    assert "namespace 'nowhere' does not exist" in said


def test_a_name_that_exists(world: World) -> None:
    world.notebook.ok("%%gke_train taken --no-wait\nimport time\ntime.sleep(600)")
    before = world.cluster.names()
    said = world.notebook.run("%%gke_train taken\nx = 1").mistake
    assert "'taken' exists already in namespace default" in said
    assert "for example 'taken-2'" in said
    said = world.notebook.run("%%gke_train taken --replace\nx = 1").mistake
    assert "%gke_cancel taken first, or use another name" in said
    assert world.cluster.names() == before
    world.notebook.ok("%gke_cancel taken")
    world.notebook.run("%gke_wait taken")
    said = world.notebook.run("%%gke_train taken\nx = 1").mistake
    assert "--replace" in said
    assert "'taken-2'" in said
    world.notebook.ok("old = taken")
    world.notebook.ok("%%gke_train taken --replace\nresult = 'new'")
    assert world.notebook.value("taken.result, old.phase, old.run != taken.run") == "('new', 'cancelled', True)"
    assert "exists already" in world.notebook.run("%%gke_train taken --dry-run\nx = 1").mistake
    world.notebook.ok("%%gke_train taken --dry-run --replace\nx = 1")


@pytest.mark.parametrize(("kind", "made"), [("service", "clusterip"), ("configmap", "")])
def test_a_creation_that_fails_midway_leaves_nothing(world: World, kind: str, made: str) -> None:
    name = f"half-{kind}"
    ports = ["--tcp=80"] if kind == "service" else []
    world.cluster.kubectl("create", kind, *([made] if made else []), name, *ports)
    before = world.cluster.names()
    said = world.notebook.run(f"%%gke_train {name}\nx = 1").mistake
    assert f"{name!r} exists already in namespace default" in said
    said = world.notebook.run(f"%%gke_train {name} --replace\nx = 1").mistake
    assert "exists" in said or "was not made by gke-notebook" in said
    assert world.cluster.names() == before


def test_what_the_server_refuses_at_the_last_object_is_removed(world: World) -> None:
    """The server takes the trial of every object, and refuses the Job when it is to be made."""
    world.notebook.ok(
        "from gke_notebook.cluster.client import Client\nreal = Client.create\n"
        "async def refuse(self, resource, manifest, *args, dry_run=False, **more):\n"
        "    if resource.kind == 'Job' and not dry_run:\n"
        "        manifest = {**manifest, 'spec': {**manifest['spec'], 'parallelism': -1}}\n"
        "    return await real(self, resource, manifest, *args, dry_run=dry_run, **more)\n"
        "Client.create = refuse"
    )
    before = world.cluster.names()
    said = world.notebook.run("%%gke_train late\nx = 1").mistake
    world.notebook.ok("Client.create = real")
    assert 'Job.batch "late" is invalid: spec.parallelism' in said
    assert world.cluster.names() == before
    world.notebook.ok("%%gke_train late\nresult = 1")


@pytest.mark.usefixtures("unchanged")
def test_without_a_connection(world: World) -> None:
    environment = {
        "KUBECONFIG": str(world.directory / "kubeconfig"),
        "GOOGLE_APPLICATION_CREDENTIALS": "",
        "CLOUDSDK_CONFIG": str(world.directory / "gcloud"),
        "HOME": str(world.directory),
        "NO_GCE_CHECK": "true",
    }
    with notebook(world.home, world.directory / "alone", connect=False, **environment) as alone:
        alone.ok("%load_ext gke_notebook")
        for line in ("%gke_jobs", "%gke_status", "%gke_logs x", "%gke_wait x", "%gke_cancel x", "%%gke_train x\nx = 1"):
            said = alone.run(line).mistake
            assert "not connected to a cluster: run %gke_connect sandbox" in said, (line, said)
        for line, expected in {
            "%gke_connect": ["kubeconfig"],
            "%gke_connect nowhere": ["there is no kubeconfig file at", "sandbox"],
            "%gke_connect a/b/c/d": ["PROJECT/LOCATION/CLUSTER"],
            "%gke_connect my-project/us-central1/train": ["credentials"],
            "%gke_connect sandbox --namespace defalt": ["did you mean 'default'?"],
            "%gke_connect sandbox x": ["x"],
        }.items():
            said = alone.run(line).mistake
            for part in expected:
                assert part in said, (line, said)
            assert "not connected" in alone.run("%gke_jobs").mistake
        assert alone.ok("%gke_connect sandbox").text.startswith("sandbox · namespace default")
