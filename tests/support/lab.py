"""A real JupyterLab with a real browser in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# Without the background flags a browser in a closed network spends its time on connections that are refused.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
READY = (
    "Python 3 (ipykernel) | Idle"  # the status bar's text; the notebook's own indicator is idle before it is connected
)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab.

    Args:
        url: its address.
        token: its token.
        directory: the folder it shows.
    """

    url: str
    token: str
    directory: Path


@contextlib.contextmanager
def jupyter_lab(directory: Path, state: Path, environment: Mapping[str, str], *, dark: bool = False) -> Iterator[Lab]:
    """Start JupyterLab on a folder with settings of its own.

    Args:
        directory: the folder to show.
        state: an empty folder for everything Jupyter writes.
        environment: the environment of the server and its kernels.
        dark: whether to use the dark theme.
    """
    settings = state / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    theme = {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}
    (settings / "themes.jupyterlab-settings").write_text(json.dumps(theme))
    token = secrets.token_hex(16)
    own = {
        "JUPYTER_CONFIG_DIR": state / "config", "JUPYTER_DATA_DIR": state / "data",
        "JUPYTER_RUNTIME_DIR": state / "run",
        "IPYTHONDIR": state / "ipython", "JUPYTERLAB_SETTINGS_DIR": state / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": state / "workspaces",
    }  # fmt: skip
    with (state / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip", "127.0.0.1",
                "--port", "0", f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={directory}",
            ],
            env={**environment, **{name: str(path) for name, path in own.items()}},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        url = ""
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None, (state / "lab.log").read_text()
            try:
                # A port of our own choice could be another process's by the time the server has loaded.
                [told] = (state / "run").glob("jpserver-*.json")
                url = f"http://127.0.0.1:{json.loads(told.read_text())['port']}"
                urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=5).close()
                break
            except (OSError, ValueError):
                assert time.monotonic() < deadline, (state / "lab.log").read_text()
                time.sleep(0.1)
        yield Lab(url, token, directory)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def browser_page(*, width: int = 1280, height: int = 900, dark: bool = False, scale: float = 1) -> Iterator[Page]:
    """Open a page in headless Chromium; `scale` is how many pixels of a picture stand for one of the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                device_scale_factor=scale,
            )
        finally:
            browser.close()


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook in a clean layout and wait until its kernel is there."""
    page.goto(f"{lab.url}/lab/tree/{name}?reset&token={lab.token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.get_by_text(READY).wait_for(timeout=60_000)


def menu(page: Page, menu_label: str, item: str) -> None:
    """Choose an item of the menu bar."""
    page.click(f'.lm-MenuBar-itemLabel:text-is("{menu_label}")')
    page.click(f'.lm-Menu-itemLabel:text-is("{item}")')
