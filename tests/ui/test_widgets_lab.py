"""The cards in a real JupyterLab: live, with buttons while another cell could run, static once saved."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest

from tests.support.lab import CHROMIUM, browser_page, jupyter_lab, open_notebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here"),
]

SETUP = """
%load_ext gke_notebook
from tests.support.fake_session import *
def make(name):
    lines = [line(0, "loss <b>2.3</b>"), line(1, "loss <b>2.3</b>"), line(1, "only rank 1")]
    job = FakeJob([Step(job_state(name, "running"), lines), Step(job_state(name, "succeeded"))])
    job.hold()
    return job
install(FakeSession(make))
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_background_card_is_live_can_be_narrowed_and_cancelled(tmp_path: Path, dark: bool) -> None:
    folder, state = tmp_path / "notebooks", tmp_path / "state"
    folder.mkdir()
    cells = [nbformat.v4.new_code_cell(text) for text in (SETUP, "%%gke_train digits --nodes 2 --no-wait\n1")]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), folder / "cards.ipynb")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with jupyter_lab(folder, state, environment, dark=dark) as lab, browser_page(dark=dark) as page:
        open_notebook(page, lab, "cards.ipynb")
        page.keyboard.press("Escape")
        for number in range(2):
            page.locator(".jp-Notebook .jp-Cell").nth(number).click()
            page.keyboard.press("Shift+Enter")
        badge = page.locator(".gke-badge").last
        badge.get_by_text("running").wait_for()
        log = page.locator(".gke-log").last
        assert "loss <b>2.3</b>" in log.inner_text()
        background = page.locator(".gke-log").last.evaluate("e => getComputedStyle(e).backgroundColor")
        brightness = sum(int(part) for part in background.strip("rgba()").split(",")[:3])
        assert (brightness < 384) is dark
        page.locator(".widget-dropdown select").select_option(label="rank 0")
        page.wait_for_function("!document.querySelector('.gke-log').innerText.includes('only rank 1')")
        page.get_by_text("Cancel job").click()
        badge.get_by_text("cancelled").wait_for()
        page.locator(".jp-OutputArea .widget-dropdown").wait_for(state="detached")
        page.keyboard.press("Control+s")
        page.wait_for_function("!document.querySelector('.lm-DockPanel-tabBar .jp-mod-dirty')")
    outputs = nbformat.read(folder / "cards.ipynb", as_version=4).cells[1].outputs
    assert "cancelled" in outputs[1].data["text/plain"]
    assert "gke-badge" in outputs[1].data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" not in str(outputs)
