"""Tab: option words and known values, in the shell's own completer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from gke_notebook import catalog
from gke_notebook.magics import completion
from gke_notebook.magics.table import train_parser
from tests.support.fake_session import FakeJob, FakeSession, Step, install, job_state


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.chdir(tmp_path)
    InteractiveShell.clear_instance()
    found = InteractiveShell.instance()
    found.run_line_magic("load_ext", "gke_notebook")
    yield found
    install(None)
    found.history_manager.end_session()
    InteractiveShell.clear_instance()


def tab(shell: InteractiveShell, text: str, body: str = "") -> list[str]:
    """What the line would be after each completion at its end."""
    with provisionalcompleter():
        found = list(shell.Completer.completions(text + body, len(text)))
    return [text[: one.start] + one.text + text[one.end :] for one in found]


def test_options_of_a_cell_magic_with_a_body_below(shell: InteractiveShell) -> None:
    found = tab(shell, "%%gke_train digits --no", "\nimport jax\n")
    assert found == ["%%gke_train digits --nodes", "%%gke_train digits --no-wait"]


def test_an_option_given_is_not_offered_again_unless_it_repeats(shell: InteractiveShell) -> None:
    found = tab(shell, "%gke_train a --nodes 2 --env A=1 --")
    assert "%gke_train a --nodes 2 --env A=1 --nodes" not in found
    assert "%gke_train a --nodes 2 --env A=1 --env" in found
    assert "%gke_train a --nodes 2 --env A=1 --gpu" in found


def test_accelerators_come_from_the_catalog(shell: InteractiveShell) -> None:
    found = tab(shell, "%%gke_train a --gpu ")
    assert {f"%%gke_train a --gpu {one.name}" for one in catalog.accelerators()} <= set(found)
    if hasattr(shell.Completer, "custom_completer_matcher"):  # before IPython 8.6 Jedi's own words come along
        assert tab(shell, "%%gke_train a --gpu l4:") == [f"%%gke_train a --gpu l4:{number}" for number in (1, 2, 4, 8)]
    assert "%%gke_train a --gpu=l4" in tab(shell, "%%gke_train a --gpu=l")


def test_slices_zones_and_machine_types_come_from_the_catalog(shell: InteractiveShell) -> None:
    assert "%%gke_train a --tpu v5e:" in tab(shell, "%%gke_train a --tpu v5")
    assert "%%gke_train a --tpu v5e:4x4" in tab(shell, "%%gke_train a --tpu v5e:4")
    assert completion.candidates(train_parser(), ["--tpu"], "v9z:", shell) == []
    assert "%%gke_train a --zone us-central1-a" in tab(shell, "%%gke_train a --zone us-central1-")
    assert "%%gke_train a --machine-type g2-standard-24" in tab(shell, "%%gke_train a --machine-type g2-standard-2")


def test_words_regions_and_columns_of_the_accelerators(shell: InteractiveShell) -> None:
    found = tab(shell, "%gke_accelerators ")
    kinds = (*catalog.accelerators(), *catalog.tpus())
    assert {f"%gke_accelerators {kind.name}" for kind in kinds} <= set(found)
    assert "%gke_accelerators l4 --region europe-west4" in tab(shell, "%gke_accelerators l4 --region europe-w")
    assert tab(shell, "%gke_accelerators --sort pr") == ["%gke_accelerators --sort price"]


def test_frameworks(shell: InteractiveShell) -> None:
    assert tab(shell, "%%gke_train a --framework to") == ["%%gke_train a --framework torch"]


def test_job_names_come_from_what_is_at_hand(shell: InteractiveShell) -> None:
    session = FakeSession()
    session.made["digits-two"] = FakeJob([Step(job_state())])
    install(session)
    for magic in ("gke_logs", "gke_wait", "gke_cancel"):
        assert tab(shell, f"%{magic} dig") == [f"%{magic} digits-two"]
    assert tab(shell, "%gke_logs --rank 0 dig") == ["%gke_logs --rank 0 digits-two"]
    assert "%gke_logs digits-two digits-two" not in tab(shell, "%gke_logs digits-two dig")


def test_without_a_session_nothing_breaks(shell: InteractiveShell) -> None:
    install(None)
    assert completion.job_names(shell) == []


def test_contexts_come_from_the_kubeconfig(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("contexts: [{name: gke_p_us-central1_c}, {name: admin@kind}, 7]\n")
    (tmp_path / "broken").write_text("contexts: [\n")
    (tmp_path / "list").write_text("[1, 2]\n")
    monkeypatch.setenv("KUBECONFIG", ":".join(str(tmp_path / name) for name in ("one", "broken", "list", "missing")))
    assert completion.contexts() == ["gke_p_us-central1_c", "admin@kind"]
    assert tab(shell, "%gke_connect gke_") == ["%gke_connect gke_p_us-central1_c"]
    assert tab(shell, "%gke_connect admin@k") == ["%gke_connect admin@kind"]
    assert tab(shell, "%gke_connect san") == ["%gke_connect sandbox"]


def test_paths(shell: InteractiveShell, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.npz").touch()
    (tmp_path / "train.py").touch()
    (tmp_path / "req.txt").touch()
    assert completion.paths("") == ["data/", "req.txt", "train.py"]
    assert completion.paths("data/") == ["data/x.npz"]
    assert tab(shell, "%gke_train a --file tr") == ["%gke_train a --file train.py"]
    assert "%gke_train a --requirements req.txt" in tab(shell, "%gke_train a --requirements r")
    assert completion.paths("missing/") == []


def test_variables_after_a_dollar_sign(shell: InteractiveShell) -> None:
    shell.user_ns["learning_rate"] = 0.1
    assert "%%gke_train a --env LR=$learning_rate" in tab(shell, "%%gke_train a --env LR=$learn")
    assert "%%gke_train a --nodes $learning_rate" in tab(shell, "%%gke_train a --nodes $learn")


def test_other_lines_are_left_alone(shell: InteractiveShell) -> None:
    shell.user_ns["some_name"] = 1
    assert "some_name" in tab(shell, "some_na")
    assert "%gke_jobs" in tab(shell, "%gke_jo")
