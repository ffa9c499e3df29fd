"""Take the pictures of the documentation: the quickstart, executed in a real JupyterLab, light and dark.

    python docs/pictures.py

Needs Chromium (Debian's package `chromium`); writes docs/images/.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.home import sandbox_home  # noqa: E402 - found through the line above
from tests.support.lab import browser_page, jupyter_lab, menu, open_notebook  # noqa: E402

IMAGES = ROOT / "docs" / "images"


def take(*, dark: bool) -> None:
    """Run the quickstart and take its picture."""
    with tempfile.TemporaryDirectory() as directory:
        work, state = Path(directory, "work"), Path(directory, "jupyter")
        work.mkdir()
        state.mkdir()
        shutil.copy(ROOT / "examples" / "quickstart.ipynb", work)
        with (
            sandbox_home(Path(directory)) as home,
            jupyter_lab(work, state, home.environment, dark=dark) as lab,
            browser_page(width=1200, height=1500, dark=dark) as page,
        ):
            open_notebook(page, lab, "quickstart.ipynb")
            menu(page, "Run", "Run All Cells")
            page.get_by_text("one process: loss").wait_for(timeout=180_000)
            page.wait_for_timeout(1500)
            IMAGES.mkdir(exist_ok=True)
            for number, card in enumerate(page.query_selector_all(".gke-notebook")):
                card.scroll_into_view_if_needed()
                page.wait_for_timeout(300)
                page.screenshot(path=IMAGES / f"quickstart-{'dark' if dark else 'light'}-{number}.png")


if __name__ == "__main__":
    take(dark=False)
    take(dark=True)
