"""The launcher as a pod runs it: real processes, on a ConfigMap volume laid out as the kubelet does."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from pathlib import Path

import pytest

from gke_notebook.launch import archive, contract
from gke_notebook.launch.records import NotReturned
from gke_notebook.launch.results import visible
from gke_notebook.specs import ShippedFile
from tests.support.pods import Pod, run_job, run_pod, spec


def test_one_rank_writes_straight_to_the_log_and_its_result_comes_back(tmp_path: Path) -> None:
    ended = run_pod(tmp_path, spec("print('loss', 0.5)\nresult = {'accuracy': 0.97, 'steps': [1, 2]}"))
    assert ended.code == 0
    assert ended.log == "loss 0.5\n"
    assert ended.collector().result() == {"accuracy": 0.97, "steps": [1, 2]}
    assert (ended.outcome.job, ended.outcome.run, ended.outcome.node, ended.outcome.rank) == ("digits", "r1", 0, None)


def test_the_cell_is_the_real_main_module(tmp_path: Path) -> None:
    cell = """
        import inspect, pickle, sys, os
        class Point:
            def __init__(self, x): self.x = x
        def double(x):
            return helper(x) * 2
        assert __name__ == "__main__"
        assert sys.modules["__main__"].double is double
        assert pickle.loads(pickle.dumps(Point(3))).x == 3
        assert inspect.getsource(double).startswith("def double")
        assert "self.x = x" in inspect.getsource(Point)
        assert sys.argv == [__file__]
        assert sys.path[0] == os.getcwd()
        assert "GKE_NOTEBOOK_RECORD" not in os.environ
        assert not {"importlib", "_start", "Path"} & set(globals())
        try:
            import notebook
        except ImportError:
            pass
        else:
            assert "gke-notebook" not in notebook.__file__ and "program" not in notebook.__file__
        if __name__ == "__main__":
            result = double(2)
    """
    ended = run_pod(tmp_path, spec(textwrap.dedent(cell), "def helper(x):\n    return x + 1\n"))
    assert ended.log == ""
    assert ended.collector().result() == 6


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing_finds_what_the_cell_defines(tmp_path: Path, method: str) -> None:
    cell = f"""
        import multiprocessing
        class Square:
            def __call__(self, x): return helper(x) ** 2
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                result = pool.map(Square(), [1, 2])
    """
    ended = run_pod(tmp_path, spec(textwrap.dedent(cell), "def helper(x):\n    return x + 1\n"))
    assert ended.collector().result() == [4, 9], ended.log


def test_a_cell_may_await(tmp_path: Path) -> None:
    ended = run_pod(tmp_path, spec("import asyncio\nawait asyncio.sleep(0)\nresult = 1"))
    assert ended.collector().result() == 1


def test_every_rank_knows_its_place_and_has_its_prefix(tmp_path: Path) -> None:
    cell = """
        import os, sys
        print(*(os.environ[n] for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")))
        print("err", file=sys.stderr)
        result = os.environ["RANK"]
    """
    first, second = run_job(tmp_path, spec(textwrap.dedent(cell), nodes=2, procs_per_node=3))
    for node, ended in enumerate((first, second)):
        ranks = range(3 * node, 3 * node + 3)
        expected = [f"[rank {r}] {r} 6 {r % 3} 3 {node}" for r in ranks] + [f"[rank {r}] err" for r in ranks]
        assert sorted(ended.log.splitlines()) == sorted(expected)
    assert first.collector().result() == "0"
    assert second.outcome.result is None


def test_lines_keep_their_bytes(tmp_path: Path) -> None:
    cell = """
        import os
        os.write(1, b"\\xff\\xfe bytes\\n" + b"10%\\r20%\\r\\n" + b"x" * 100_000 + b"\\n\\n" + b"no end")
    """
    ended = run_pod(tmp_path, spec(textwrap.dedent(cell), procs_per_node=2))
    raw = (tmp_path / "log").read_bytes()
    for rank in (0, 1):
        prefix = f"[rank {rank}] ".encode()
        mine = [line[len(prefix) :] for line in raw.split(b"\n") if line.startswith(prefix)]
        assert mine == [b"\xff\xfe bytes", b"10%\r20%\r", b"x" * 100_000, b"", b"no end"]
    assert ended.code == 0


def test_a_traceback_shows_the_cells_lines_and_nothing_of_the_launcher(tmp_path: Path) -> None:
    cell = """
        def step(x):
            return helper(x)
        try:
            step(0)
        except ZeroDivisionError as error:
            raise RuntimeError("no step") from error
    """
    ended = run_pod(tmp_path, spec(textwrap.dedent(cell).lstrip("\n"), "def helper(x):\n    return 1 / x\n"))
    assert ended.code == 1
    lines = [line.strip() for line in ended.outcome.traceback.splitlines()]
    places = [line for line in lines if ", line " in line]
    assert places == [
        "Cell, line 5, in <module>",
        "Cell, line 3, in step",
        "notebook.py, line 2, in helper",
        "Cell, line 7, in <module>",
    ]
    assert "return 1 / x" in lines
    assert "step(0)" in lines
    assert lines[-1] == "RuntimeError: no step"
    assert "The above exception was the direct cause" in ended.outcome.traceback
    assert ended.log == ended.outcome.traceback
    assert ended.outcome.error == "RuntimeError: no step"
    assert (ended.outcome.rank, ended.outcome.stage, ended.outcome.signal) == (0, "cell", 0)
    assert ended.outcome.failed_at is not None
    assert ended.outcome.failed_at.utcoffset() is not None


def test_a_syntax_error_names_the_line_of_the_cell(tmp_path: Path) -> None:
    ended = run_pod(tmp_path, spec("x = 1\nif x\n    y"))
    assert ended.code == 1
    assert "  Cell, line 3\n" in ended.outcome.traceback
    assert ended.outcome.error.startswith("SyntaxError")


@pytest.mark.parametrize(
    ("end", "code", "error"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(7)", 7, "SystemExit: 7"),
        ("sys.exit('bad data')", 1, "SystemExit: bad data"),
        ("os._exit(9)", 9, "exit code 9"),
        ("os.kill(os.getpid(), 11)", 139, "killed by signal 11 (SIGSEGV)"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
    ],
)
def test_ways_to_end(tmp_path: Path, end: str, code: int, error: str) -> None:
    ended = run_pod(tmp_path, spec(f"import os, sys\nresult = 1\n{end}"), retry=2)
    assert (ended.code, ended.outcome.error, ended.outcome.retry) == (code, error, 2)
    assert ended.outcome.signal == (11 if code == 139 else 0)
    assert ended.collector().has_result == (code == 0)


def test_the_first_failing_rank_is_named_and_the_others_are_ended(tmp_path: Path) -> None:
    cell = """
        import os, signal, sys, time
        rank = os.environ["RANK"]
        def stop(*_):
            print("checkpoint", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        open(f"ready{rank}", "w").close()
        while not all(os.path.exists(f"ready{r}") for r in range(3)): time.sleep(0.01)
        if rank == "1":
            raise ValueError("bad batch")
        time.sleep(600)
    """
    ended = run_pod(tmp_path, spec(textwrap.dedent(cell), procs_per_node=3))
    assert ended.code == 1
    assert (ended.outcome.rank, ended.outcome.error) == (1, "ValueError: bad batch")
    assert {"[rank 0] checkpoint", "[rank 2] checkpoint", "[rank 1] ValueError: bad batch"} <= set(ended.lines)


def test_a_rank_that_fails_but_cannot_end_does_not_hold_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _shorter_grace(monkeypatch)
    cell = """
        import atexit, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        atexit.register(time.sleep, 600)
        raise ValueError("stuck")
    """
    ended = run_pod(tmp_path, spec(textwrap.dedent(cell), procs_per_node=2))
    assert ended.code == 1
    assert ended.outcome.error == "ValueError: stuck"


@pytest.mark.parametrize("procs", [1, 2])
def test_sigterm_reaches_the_ranks_and_the_pod_ends_with_143(tmp_path: Path, procs: int) -> None:
    cell = """
        import os, signal, sys, time
        def stop(*_):
            open("checkpoint" + os.environ["RANK"], "w").close()
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        open("ready" + os.environ["RANK"], "w").close()
        time.sleep(600)
    """
    pod = Pod(tmp_path, spec(textwrap.dedent(cell), procs_per_node=procs)).start()
    _wait_for(*(tmp_path / "work" / f"ready{rank}" for rank in range(procs)))
    assert pod.process is not None
    pod.process.send_signal(signal.SIGTERM)
    ended = pod.end()
    assert ended.code == contract.EXIT_STOPPED
    assert (ended.outcome.stage, ended.outcome.signal) == ("stopped", signal.SIGTERM)
    assert all((ended.work / f"checkpoint{rank}").exists() for rank in range(procs))


def test_a_rank_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _shorter_grace(monkeypatch)
    cell = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nopen('ready', 'w').close()\ntime.sleep(600)"
    pod = Pod(tmp_path, spec(cell)).start()
    _wait_for(tmp_path / "work" / "ready")
    assert pod.process is not None
    pod.process.send_signal(signal.SIGTERM)
    assert pod.end().code == contract.EXIT_STOPPED


def test_a_failure_before_sigterm_stays_the_cause(tmp_path: Path) -> None:
    cell = """
        import atexit, os, signal, time
        if os.environ["RANK"] == "0":
            def linger():
                open("failed", "w").close()
                time.sleep(600)
            atexit.register(linger)
            raise ValueError("the cause")
        signal.signal(signal.SIGTERM, lambda *_: open("told", "w").close())
        while True: time.sleep(0.01)
    """
    pod = Pod(tmp_path, spec(textwrap.dedent(cell), procs_per_node=2)).start()
    _wait_for(tmp_path / "work" / "failed")
    assert pod.process is not None
    pod.process.send_signal(signal.SIGTERM)
    ended = pod.end()
    assert (ended.code, ended.outcome.stage, ended.outcome.error) == (1, "cell", "ValueError: the cause")


def test_an_exception_on_the_way_down_is_shown_but_is_no_failure_of_its_own(tmp_path: Path) -> None:
    cell = """
        import signal, time
        def stop(*_): raise RuntimeError("interrupted at step 5")
        signal.signal(signal.SIGTERM, stop)
        open("ready", "w").close()
        time.sleep(600)
    """
    pod = Pod(tmp_path, spec(textwrap.dedent(cell))).start()
    _wait_for(tmp_path / "work" / "ready")
    assert pod.process is not None
    pod.process.send_signal(signal.SIGTERM)
    ended = pod.end()
    assert (ended.code, ended.outcome.stage, ended.outcome.error) == (
        143,
        "stopped",
        "RuntimeError: interrupted at step 5",
    )


def test_files_go_in_and_come_out(tmp_path: Path) -> None:
    files = (ShippedFile("helpers/tools.py", b"X = 41\n"), ShippedFile("run.sh", b"#!/bin/sh\necho ran\n", 0o755))
    cell = """
        import os, subprocess
        from helpers.tools import X
        result = (X + 1, subprocess.check_output(["./run.sh"], text=True))
        out = os.environ["GKE_NOTEBOOK_OUTPUT"]
        os.makedirs(out + "/sub")
        open(out + "/sub/model.bin", "wb").write(os.urandom(20_000))
        os.symlink("/etc/hostname", out + "/link")
    """
    ended = run_pod(tmp_path, spec(textwrap.dedent(cell), files=files))
    collector = ended.collector()
    assert collector.result() == (42, "ran\n")
    assert not collector.needs_log
    data = collector.output()
    assert data is not None
    assert archive.unpack(data, str(tmp_path / "back")) == ("sub/model.bin",)
    sent = (ended.work / "output" / "sub" / "model.bin").read_bytes()
    assert (tmp_path / "back" / "sub" / "model.bin").read_bytes() == sent


def test_a_large_result_follows_the_log_even_after_an_unfinished_line(tmp_path: Path) -> None:
    ended = run_pod(tmp_path, spec("result = list(range(50_000))\nprint('last', end='')"))
    assert ended.outcome.result is not None
    assert ended.outcome.result.lines > 10
    assert [shown for line in ended.lines if (shown := visible(line))] == ["last"]
    assert ended.collector().result() == list(range(50_000))


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("result = bytes(3 * 2**20)", "result (bytes) takes 3.0 MiB, more than the limit of 1.0 MiB"),
        ("result = lambda: 1", "result (function) cannot be pickled"),
    ],
)
def test_a_result_that_cannot_come_back_does_not_lose_the_training(tmp_path: Path, cell: str, text: str) -> None:
    ended = run_pod(tmp_path, spec(cell))
    assert ended.code == 0
    assert text in ended.log
    with pytest.raises(NotReturned) as caught:
        ended.collector().result()
    assert str(caught.value).startswith(text)


def test_output_that_is_too_large_is_refused_by_name(tmp_path: Path) -> None:
    cell = "import os\nopen(os.environ['GKE_NOTEBOOK_OUTPUT'] + '/big.bin', 'wb').write(os.urandom(5 * 2**20))"
    ended = run_pod(tmp_path, spec(cell))
    assert ended.code == 0
    with pytest.raises(NotReturned, match=r"more than the limit of 4\.0 MiB.*big\.bin \(5\.0 MiB\)"):
        ended.collector().output()


def test_requirements_that_are_there_change_nothing(tmp_path: Path) -> None:
    ended = run_pod(
        tmp_path, spec("import sys\nresult = sys.prefix", requirements=("pip", "pip>=1; python_version > '3'"))
    )
    assert ended.log == ""
    assert not (ended.work / ".venv").exists()


def test_requirements_that_cannot_be_had_fail_in_one_line(tmp_path: Path) -> None:
    job = spec("print('never')", requirements=("no-such-package-at-all==1",))
    ended = run_pod(tmp_path, job, extra={"PIP_NO_INDEX": "1"})
    assert ended.code == contract.EXIT_NOT_STARTED
    assert ended.outcome.stage == "requirements"
    assert ended.outcome.error.startswith("cannot install no-such-package-at-all==1: ERROR: No matching distribution")
    assert "never" not in ended.log


def test_missing_requirements_are_installed_beside_the_image(tmp_path: Path) -> None:
    source = tmp_path / "source" / "tiny"
    source.mkdir(parents=True)
    (source / "tiny_example_module.py").write_text("VALUE = 5\n")
    wheel = _wheel(tmp_path)
    # The image's own packages (numpy here) stay visible.
    cell = "import numpy, tiny_example_module, sys\nresult = [tiny_example_module.VALUE, sys.prefix]"
    ended = run_pod(tmp_path / "pod", spec(cell, requirements=(str(wheel),)), extra={"PIP_NO_INDEX": "1"})
    assert ended.code == 0, ended.log
    value, prefix = ended.collector().result()
    assert value == 5
    assert prefix == str(ended.work / ".venv")


def test_a_broken_contract_is_one_line(tmp_path: Path) -> None:
    ended = run_pod(tmp_path, spec("print(1)"), extra={contract.ENV_NODES: "many"})
    assert ended.code == contract.EXIT_NOT_STARTED
    assert ended.log == "gke-notebook: GKE_NOTEBOOK_NODES is 'many', not a whole number of at least 1\n"


def _shorter_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    from gke_notebook.manifests import program

    real = program.launcher_files()
    path = "launcher/gke_notebook_launch/supervise.py"
    shorter = real[path].replace("STOP_GRACE = 12.0", "STOP_GRACE = 0.5").replace("GRACE = 8.0", "GRACE = 0.5")
    assert shorter != real[path]
    monkeypatch.setattr(program, "launcher_files", lambda: {**real, path: shorter})


def _wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _wheel(directory: Path) -> Path:
    import zipfile

    path = directory / "tiny_example_package-1.0-py3-none-any.whl"
    info = "tiny_example_package-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_example_module.py", "VALUE = 5\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-example-package\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    assert os.path.getsize(path)
    return path
