"""Take the pictures of the documentation: the quickstart, executed in a real JupyterLab, light and dark.

    python docs/pictures.py

Needs Chromium (Debian's package `chromium`); writes docs/images/.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.home import sandbox_home  # noqa: E402 - found through the line above
from tests.support.lab import browser_page, jupyter_lab, menu, open_notebook  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = ROOT / "docs" / "images"
LIMIT = 200_000  # bytes of a picture
LAST_OUTPUT = "one process: loss"
TRAINING = "multihost_utils"  # a word that only the cell of the training run holds


def take(*, dark: bool) -> Path:
    """Run the quickstart and take the picture of its training cell with the two cards under it.

    Args:
        dark: whether JupyterLab shows its dark theme.
    """
    with tempfile.TemporaryDirectory() as directory:
        work, state = Path(directory, "work"), Path(directory, "jupyter")
        work.mkdir()
        state.mkdir()
        shutil.copy(ROOT / "examples" / "quickstart.ipynb", work)
        with (
            sandbox_home(Path(directory)) as home,
            jupyter_lab(work, state, home.environment, dark=dark) as lab,
            browser_page(width=1100, height=2400, dark=dark, scale=1.5) as page,
        ):
            open_notebook(page, lab, "quickstart.ipynb")
            page.keyboard.press("Control+b")  # hides the file browser
            menu(page, "Run", "Run All Cells")
            page.locator(".jp-OutputArea-output").filter(has_text=LAST_OUTPUT).wait_for(timeout=180_000)
            page.wait_for_timeout(1500)  # the last repaint of the card
            return _picture(page, f"quickstart-{'dark' if dark else 'light'}.png")


def _picture(page: Page, name: str) -> Path:
    cell = page.locator(".jp-CodeCell").filter(has_text=TRAINING)
    cell.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / name
    _save(cell.screenshot(), path)
    if path.stat().st_size > LIMIT:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {LIMIT}")
    return path


def _save(shot: bytes, path: Path) -> None:
    """Write a picture with a palette of 256 colours: text needs no more, and it takes a third of the bytes."""
    from PIL import Image

    with Image.open(io.BytesIO(shot)) as image:
        palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        palette.save(path, optimize=True)


if __name__ == "__main__":
    for is_dark in (False, True):
        print(take(dark=is_dark).relative_to(ROOT))
