"""`gke-notebook prices` as a command, against the sandbox that it is started beside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gke_notebook import prices
from gke_notebook.cli import build_parser, main
from tests.support.home import sandbox_home


def test_refresh_from_the_sandbox_then_show_then_reset(tmp_path: Path) -> None:
    with sandbox_home(tmp_path) as home:
        status = home.up()
        more = {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING": status["gke"],
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(Path(status["home"]) / "token"),
        }

        def command(*words: str, code: int = 0) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "gke_notebook.cli", "prices", *words],
                env={**home.environment, **more}, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == code, done.stderr
            return done.stdout + done.stderr

        assert "Sources: google-cloud-pricing-cost-calculator, 2026-07-30" in command("show", "l4")
        assert "machine types in 1 region, from" in command("refresh", "--region", "us-central1")
        assert "Sources: Cloud Billing Catalog API, 20" in command("show", "l4", "--region", "us-central1")
        assert "'us-centrel1'; did you mean 'us-central1'?" in command("refresh", "--region", "us-centrel1", code=1)
        assert "the package's hold again" in command("reset")
        assert "Sources: google-cloud-pricing-cost-calculator" in command("show", "l4", "--region", "us-central1")


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", str(tmp_path / "none"))
    for words, said in (
        (["show", "l44"], "did you mean 'l4'?"),
        (["show", "h200", "--region", "us-west4"], "there is no h200 in us-west4; it is in"),
        (["refresh"], "the token file named by CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"),
    ):
        assert main(["prices", *words]) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main(["prices", "reset"]) == 0
    assert prices.run(build_parser().parse_args(["prices", "show", "gb300"])) == 0
    assert "Sources: none" in capsys.readouterr().out
