"""`%gke_accelerators` in a real shell: what is found, what is said where nothing is, and the table as a DataFrame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from gke_notebook import catalog
from gke_notebook.catalog.search import SORTS, find, summarise
from gke_notebook.errors import InvalidInput
from gke_notebook.widgets.accelerators import accelerators_view
from gke_notebook.widgets.frames import framed
from gke_notebook.widgets.view import View
from tests.support.markup import text_of


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(tmp_path))  # what was refreshed on this machine decides nothing here
    InteractiveShell.clear_instance()
    found = InteractiveShell.instance()
    found.run_line_magic("load_ext", "gke_notebook")
    yield found
    found.run_line_magic("unload_ext", "gke_notebook")
    found.history_manager.end_session()
    found.restore_sys_module_state()
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, line: str) -> pd.DataFrame:
    found = shell.run_line_magic("gke_accelerators", line)
    assert isinstance(found, pd.DataFrame)
    return found


def text(frame: pd.DataFrame) -> str:
    forms = frame._repr_mimebundle_()
    words = set(re.findall(r"[^\s|:]+", forms["text/plain"]))
    assert not {word for word in words if word not in text_of(forms["text/html"])}
    return forms["text/plain"]


def rows(frame: pd.DataFrame) -> list[str]:
    lines = text(frame).split("\n")[2:]
    return [line.split()[0] for line in lines[: lines.index("") if "" in lines else -1]]


def test_every_type_has_a_row(shell: InteractiveShell) -> None:
    frame = run(shell, "")
    names = [kind.name for kind in (*catalog.accelerators(), *catalog.tpus())]
    assert rows(frame) == names
    assert list(dict.fromkeys(frame["name"])) == names
    assert "20 types" in text(frame)
    assert "from 2026-07-16 or later" in text(frame)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("h100", ["h100", "h100-mega"]),
        ("b200", ["b200"]),
        ("blackwell", ["rtx-pro-6000", "b200", "gb200", "gb300"]),
        ("Hopper v5p", ["h100", "h100-mega", "h200", "v5p"]),
        ("tpu", ["v4", "v5e", "v5p", "v6e", "tpu7x", "tpu7"]),
        ("trillium ironwood", ["v6e", "tpu7x"]),
        ("a3-ultragpu", ["h200"]),
        ("nvidia-l4", ["l4"]),
        ("v5litepod-16", ["v5e"]),
        ("a100", ["a100", "a100-80gb"]),
    ],
)
def test_words_match_names_families_and_machines(shell: InteractiveShell, words: str, names: list[str]) -> None:
    assert rows(run(shell, words)) == names


@given(st.lists(st.text(min_size=1, max_size=12), max_size=3))
def test_any_words_find_something_or_are_refused(words: list[str]) -> None:
    try:
        found = find(words)
    except InvalidInput:
        return
    assert found


def test_a_few_types_are_listed_machine_by_machine(shell: InteractiveShell) -> None:
    said = text(run(shell, "l4 --region us-central1"))
    assert re.search(r"g2-standard-48 +4 x l4 +48 +192 GiB +4\.00 +2\.25 +us-central1-a, -b, -c", said)
    assert re.search(r"g4-standard-6 +1/8 x rtx-pro-6000", text(run(shell, "rtx-pro-6000")))
    assert "g2-standard-48" not in text(run(shell, "l4 t4 v100"))


def test_limits_narrow_it(shell: InteractiveShell) -> None:
    frame = run(shell, "gpu --memory 150GB --max-price 20 --spot --region us-central1-a")
    assert len(frame)
    assert (frame["accelerator_memory_gib"] >= 150e9 / 2**30).all()
    assert (frame["spot_usd_hour"] <= 20).all()
    assert (frame["region"] == "us-central1").all()


@pytest.mark.parametrize("column", SORTS)
def test_sorting(shell: InteractiveShell, column: str) -> None:
    up, down = rows(run(shell, f"gpu --sort {column}")), rows(run(shell, f"gpu --sort=-{column}"))
    assert sorted(up) == sorted(down) == sorted(kind.name for kind in catalog.accelerators())
    keys = [SORTS[column](row) for row in summarise(catalog.offers(types=up), column)]
    assert keys == sorted(keys)
    assert up != down


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("l44", "no accelerator matches 'l44'; did you mean 'l4'?"),
        ("l4 --region us-centrel1", "did you mean 'us-central1'?"),
        ("h200 --region us-west4", "there is no h200 in us-west4; it is in asia-south1-b"),
        ("gb200 --max-price 3", "no source has a price of gb200"),
        ("gb200 --spot", "no source has a spot price of gb200"),
        ("l4 --max-price 0.1", "the cheapest is g2-standard-4 with 1 x l4 at 0.31 USD/h as spot in us-east4"),
        ("l4 --memory 500GB", "has 466 GiB of accelerator memory; the largest is g2-standard-96 with 192 GiB"),
        ("--sort cost", "no column 'cost' to sort by; choose one of: each, memory, name, price, spot"),
        ("--max-price -3", "--max-price: '-3' is no amount; write for example 5 or 0.75"),
        ("--max-price 0", "'0' is no amount"),
        ("--memory much", "--memory 'much' is no amount of memory"),
        ("t4 --tpu-chips 4", "t4 is no TPU; choose one of: v4, v5e"),
        ("--tpu-chips 0", "0 is too few"),
        ("--tpu-chips 16 --max-price 2", "the cheapest is --tpu v5e:4x4 at 19.20 USD/h"),
        ("--tpu-chips 16 --spot --max-price 2", "the cheapest is --tpu v5e:4x4 at 4.76 USD/h"),
        ("v4 --tpu-chips 16 --region us-central1", "it has them in us-central2-b"),
        ("v5e --regoin x", "no option --regoin; did you mean '--region'?"),
    ],
)
def test_where_nothing_is_the_nearest_is_said_in_one_line(shell: InteractiveShell, line: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        shell.run_line_magic("gke_accelerators", line)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_tpu_picker(shell: InteractiveShell) -> None:
    frame = run(shell, "v5p v6e --tpu-chips 100 --region us-east5")
    assert list(frame["option"]) == ["--tpu v6e:8x16", "--tpu v5p:4x4x8"]
    assert list(frame["hosts"]) == [32, 32]
    assert frame["on_demand_usd_hour"].iloc[1] == pytest.approx(32 * 16.8)
    assert re.search(r"--tpu v5p:4x4x8 +128 +32 +ct5p-hightpu-4t, 4 chips +12160 GiB +537\.60", text(frame))
    assert list(run(shell, "v5e --tpu-chips 1 --memory 100GiB")["topology"]) == ["2x4"]
    dear = run(shell, "--tpu-chips 16 --max-price 50 --region us-central1")
    assert list(dear["name"]) == ["v5e", "v6e"]


def test_assigned_it_is_a_data_frame(shell: InteractiveShell) -> None:
    shell.run_cell("offers = %gke_accelerators l4").raise_error()
    frame = shell.user_ns["offers"]
    here = frame[frame.region == "us-central1"]
    assert type(here) is pd.DataFrame
    row = here.set_index("machine_type").loc["g2-standard-48"]
    assert (row.on_demand_usd_hour, row.spot_usd_hour) == (4.00167, 2.24963)
    assert row.source_date == date(2026, 7, 30)
    assert row.source == "google-cloud-pricing-cost-calculator"
    assert frame.flex_start_usd_hour.dtype == float
    assert "ACCELERATORS" in text(frame)


def test_a_changed_table_shows_what_it_now_is() -> None:
    view = View("the view", "<b>the view</b>")
    frame = framed(view, ["a", "b"], [{"a": 1, "b": 2.0}, {"a": 3, "b": float("nan")}])
    assert frame._repr_mimebundle_()["text/plain"] == "the view"
    assert set(frame._repr_mimebundle_(exclude=["text/html"])) == {"text/plain"}
    assert "the view" not in str(frame.head())
    frame.loc[0, "a"] = 7
    shown = frame._repr_mimebundle_()
    assert "the view" not in shown["text/plain"]
    assert "7" in shown["text/plain"]
    empty = framed(view, ["a", "b"], [])
    assert list(empty.columns) == ["a", "b"]


def test_stale_prices_are_shown_as_such() -> None:
    old = catalog.offers(types=["l4"], today=date(2027, 6, 1))
    view = accelerators_view(summarise(old))
    assert "STALE, older than 180 days, run `gke-notebook prices refresh`" in view.text
    assert "STALE" in view.html
    assert "STALE" not in accelerators_view(summarise(catalog.offers(types=["l4"], today=date(2026, 8, 1)))).text
