"""The magics in a real shell, on a session in this process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from gke_notebook.errors import ApiError, ClusterUnreachable, GkeNotebookError, InvalidInput, JobFailed, StillRunning
from tests.support.fake_session import FakeJob, FakeSession, Step, install, job_state, line


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    found = InteractiveShell.instance()
    found.run_line_magic("load_ext", "gke_notebook")
    yield found
    found.run_line_magic("unload_ext", "gke_notebook")
    found.history_manager.end_session()
    found.restore_sys_module_state()
    InteractiveShell.clear_instance()


@pytest.fixture
def session() -> Iterator[FakeSession]:
    found = FakeSession()
    install(found)  # type: ignore[arg-type]
    yield found
    install(None)


def running(name: str) -> FakeJob:
    return FakeJob(
        [
            Step(job_state(name, "queued")),
            Step(job_state(name, "running"), [line(0, "loss 2.3"), line(1, "loss 2.3")]),
            Step(job_state(name, "succeeded"), [line(0, "done"), line(1, "done")]),
        ],
        result={"accuracy": 0.97},
    )


def test_train_shows_plan_and_card_binds_the_job_and_returns_the_result(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    session._make = running
    shell.user_ns_hidden["open"] = shell.user_ns["open"] = object()  # as a kernel does
    shell.user_ns["seed"] = 7
    shell.run_cell("%%gke_train my-digits --nodes 2 --framework jax --env A=1 --env B=2\nprint(1)").raise_error()
    out = capsys.readouterr().out
    assert "PLAN my-digits" in out
    assert "rank 0 | loss 2.3" in out
    assert "succeeded" in out
    assert "my_digits.result: {'accuracy': 0.97}" in out
    assert shell.user_ns["my_digits"] is session.made["my-digits"]
    asked = dict(session.asked)["plan"]
    variables = asked.pop("variables")
    assert variables["seed"] == 7
    assert "get_ipython" not in variables
    assert "open" not in variables  # IPython's own, under which the built-in must be found
    assert asked == {
        "magic_line": True,
        "name": "my-digits", "cell": "print(1)\n", "nodes": 2, "framework": "jax",
        "env": {"A": "1", "B": "2"}, "include": (),
    }  # fmt: skip


def test_a_name_of_ipython_that_the_user_has_taken_travels(shell: InteractiveShell, session: FakeSession) -> None:
    shell.user_ns_hidden["open"] = shell.user_ns["open"] = object()
    shell.run_cell("open = 3").raise_error()
    shell.run_cell("%%gke_train a\n1").raise_error()
    assert session.asked[0][1]["variables"]["open"] == 3


def test_the_cells_that_have_run_are_at_hand_for_the_source_of_a_class(
    shell: InteractiveShell, session: FakeSession
) -> None:
    shell.user_ns_hidden["_ih"] = shell.user_ns["_ih"]  # as a kernel does
    shell.run_cell("class Plain:\n    factor = 6", store_history=True).raise_error()
    shell.run_cell("%%gke_train a\n1").raise_error()
    assert "class Plain" in session.asked[0][1]["variables"]["_ih"][-1]


def test_options_that_were_not_written_are_left_to_the_session(shell: InteractiveShell, session: FakeSession) -> None:
    shell.run_cell("%%gke_train a\n1").raise_error()
    assert set(session.asked[0][1]) == {"name", "cell", "variables", "env", "include", "magic_line"}
    assert session.asked[1] == ("apply", {"replace": False})


def test_a_dry_run_creates_nothing(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%%gke_train a --dry-run\n1").raise_error()
    assert [what for what, _ in session.asked] == ["plan", "check"]
    assert "nothing was created" in capsys.readouterr().out
    assert "a" not in shell.user_ns


def test_a_failing_job_raises_and_shows_no_frame_of_ours(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    session._make = lambda name: FakeJob([Step(job_state(name, "running")), Step(job_state(name, "failed"))])
    result = shell.run_cell("%%gke_train digits --nodes 2\n1")
    assert isinstance(result.error_in_exec, JobFailed)
    shown = capsys.readouterr().out
    assert "JobFailed: job 'digits' failed: rank 1 failed with exit code 1: ValueError: loss is not finite" in shown
    assert 'File "<cell>", line 7' in shown
    assert "gke_notebook/" not in shown
    assert "digits" in shell.user_ns


def test_an_interrupt_leaves_the_job_running_and_says_how_to_go_on(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    job = FakeJob([Step(job_state("digits", "queued")), Step(job_state("digits", "running"))])
    session._make = lambda _: job
    waiting = threading.Event()
    job.subscribe(waiting.set)

    def interrupt() -> None:
        waiting.wait()
        while len(job._callbacks) < 2:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    result = shell.run_cell("%%gke_train digits\n1")
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    shown = capsys.readouterr().out
    assert "job 'digits' goes on: %gke_wait digits attaches again, %gke_cancel digits stops it" in shown
    assert "gke_notebook/" not in shown
    assert not job.cancelled
    assert shell.user_ns["digits"] is job


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("no accelerator 'l5'; did you mean 'l4'?"),
        ClusterUnreachable("the cluster does\nnot answer"),
        ApiError(403, "Forbidden", "jobs is forbidden"),
        GkeNotebookError("left behind: Service a"),
    ],
)
def test_errors_of_the_user_are_usage_errors_of_one_line(
    shell: InteractiveShell, session: FakeSession, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    session.error = error
    result = shell.run_cell("%%gke_train digits\n1")
    assert type(result.error_in_exec) is UsageError
    captured = capsys.readouterr()
    assert captured.err == f"UsageError: {' '.join(str(error).split())}\n"
    assert captured.out == ""


@pytest.mark.parametrize("magic", ["%gke_status", "%gke_jobs", "%gke_logs a", "%gke_wait a", "%gke_cancel a"])
def test_without_a_session_each_magic_says_what_to_do(shell: InteractiveShell, magic: str) -> None:
    install(None)
    error = shell.run_cell(magic).error_in_exec
    assert type(error) is UsageError
    assert "%gke_connect sandbox" in str(error)


def test_a_bug_of_ours_is_not_hidden(shell: InteractiveShell, session: FakeSession) -> None:
    session.error = ZeroDivisionError("a bug")
    assert isinstance(shell.run_cell("%%gke_train digits\n1").error_in_exec, ZeroDivisionError)


def test_wait_times_out_with_an_error_and_the_job_goes_on(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    session.made["digits"] = FakeJob([Step(job_state("digits", "running"))])
    result = shell.run_cell("%gke_wait digits --timeout 0")
    assert isinstance(result.error_in_exec, StillRunning)
    shown = capsys.readouterr().out
    assert "%gke_wait digits attaches again" in shown
    assert "gke_notebook/" not in shown
    assert shell.user_ns["digits"] is session.made["digits"]


def test_logs_name_the_rank_unless_only_one_is_shown(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    session.made["digits"] = running("digits")
    shell.run_cell("%gke_logs digits").raise_error()
    assert capsys.readouterr().out.splitlines()[:2] == ["rank 0 | loss 2.3", "rank 1 | loss 2.3"]
    shell.run_cell("%gke_logs digits --rank 1 --tail 1").raise_error()
    assert capsys.readouterr().out == "done\n"
    error = shell.run_cell("%gke_logs digits --rank 2").error_in_exec
    assert type(error) is UsageError
    assert "has ranks 0-1, no rank 2" in str(error)


def test_cancel_stops_a_running_job_and_leaves_an_ended_one(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    job = session.made["digits"] = FakeJob([Step(job_state("digits", "running"))])
    shell.run_cell("%gke_cancel digits").raise_error()
    assert job.cancelled
    job.cancelled = False
    shell.run_cell("%gke_cancel digits").raise_error()
    assert not job.cancelled
    assert "has ended already" in capsys.readouterr().out
    error = shell.run_cell("%gke_cancel digit").error_in_exec
    assert str(error) == "no job 'digit'; did you mean 'digits'?"


def test_jobs_and_status_show_tables(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%gke_jobs").raise_error()
    assert "no jobs in namespace default" in capsys.readouterr().out
    session.made["digits"] = running("digits")
    shell.run_cell("%gke_jobs --everyone --namespace team").raise_error()
    assert "digits" in capsys.readouterr().out
    assert session.asked[-1] == ("jobs", {"namespace": "team", "everyone": True})
    shell.run_cell("%gke_status").raise_error()
    out = capsys.readouterr().out
    assert "nvidia-l4: 6 of 8 free" in out
    assert "you may not: read nodes" in out


def test_the_line_form_runs_a_file(shell: InteractiveShell, session: FakeSession, tmp_path: Any) -> None:
    (tmp_path / "train.py").write_text("print('é')\n", encoding="utf-8")
    shell.run_cell(f"%gke_train digits --file {tmp_path}/train.py").raise_error()
    assert session.asked[0][1]["cell"] == "print('é')\n"
    assert session.asked[0][1]["magic_line"] is False
    assert session.asked[0][1]["variables"] == {}
    for wrong, said in [
        ("%gke_train digits", "needs --file PATH"),
        (f"%gke_train digits --file {tmp_path}/tran.py", "train.py"),
        (f"%%gke_train digits --file {tmp_path}/train.py\n1", "--file is for the line form"),
    ]:
        error = shell.run_cell(wrong).error_in_exec
        assert type(error) is UsageError
        assert said in str(error)


def test_values_come_from_variables_and_a_typo_names_the_nearest(shell: InteractiveShell, session: FakeSession) -> None:
    shell.run_cell("n_nodes = 3; cfg = {'A': 1, 'B': 'x y'}").raise_error()
    shell.run_cell("%%gke_train a-$n_nodes --nodes $n_nodes --env $cfg --env C=${n_nodes}$$\n1").raise_error()
    asked = session.asked[0][1]
    assert (asked["name"], asked["nodes"]) == ("a-3", 3)
    assert asked["env"] == {"A": "1", "B": "x y", "C": "3$"}
    error = shell.run_cell("%%gke_train a --nodes $n_node\n1").error_in_exec
    assert type(error) is UsageError
    assert "no variable 'n_node' for $n_node; did you mean 'n_nodes'?" in str(error)


def test_a_magic_within_a_function_sees_its_variables(shell: InteractiveShell, session: FakeSession) -> None:
    shell.run_cell("def go(space):\n    %gke_jobs --namespace $space\ngo('inner')").raise_error()
    assert session.asked == [("jobs", {"namespace": "inner", "everyone": False})]


def test_help_prints_the_manual_and_does_nothing(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%gke_train --help").raise_error()
    assert "--procs-per-node N" in capsys.readouterr().out
    assert session.asked == []
    assert "--procs-per-node N" in (shell.find_line_magic("gke_train").__doc__ or "")


def test_unload_takes_the_magics_away(session: FakeSession) -> None:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "gke_notebook")
    shell.run_line_magic("unload_ext", "gke_notebook")
    assert shell.find_line_magic("gke_jobs") is None
    assert shell.find_cell_magic("gke_train") is None
    shell.run_line_magic("load_ext", "gke_notebook")
    assert shell.find_line_magic("gke_jobs") is not None
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
