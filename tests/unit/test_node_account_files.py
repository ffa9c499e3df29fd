"""The path of the service account inside a pod's Python, and what a volume of tokens is made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gke_notebook.sandbox.node import tokens, volumes
from gke_notebook.sandbox.node.context import ACCOUNT, ACCOUNT_PATH, NAMES_FILE, SHIM
from gke_notebook.sandbox.node.volumes import File

PROGRAM = """
import io, json, os, pathlib, shutil, sys, tempfile
here = sys.argv[1]
found = [open(here + "/token").read(), io.open(pathlib.Path(here) / "token", "rb").read().decode()]
found += [os.path.isfile(here + "/token"), os.path.exists(here + "/nothing"), sorted(os.listdir(here))]
found += [os.path.isdir(here), os.access(here + "/token", os.W_OK), [each.name for each in os.scandir(path=here)]]
descriptor = os.open(here + "/token", os.O_RDONLY)
found += [os.read(descriptor, 10).decode(), os.stat(descriptor).st_size]
with tempfile.TemporaryDirectory() as other:  # is removed by functions that look for theirs among os.supports_*
    shutil.copytree(here, other + "/copy")
    found.append(open(other + "/copy/token").read())
found += [os.path.exists(here + "s/token"), shutil._use_fd_functions]
print(json.dumps(found))
"""


def test_python_finds_the_files(tmp_path: Path):
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    environment = {**os.environ, "PYTHONPATH": str(SHIM), NAMES_FILE: "/none", ACCOUNT: str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, ACCOUNT_PATH]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    plain = subprocess.run(
        [sys.executable, "-c", "import shutil; print(shutil._use_fd_functions)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    same = plain.stdout.strip() == "True"
    assert json.loads(run.stdout) == [
        "secret", "secret", True, False, ["token"], True, True, ["token"], "secret", 6, "secret", False, same,
    ]  # fmt: skip


def test_a_volume_is_written_again_at_once(tmp_path: Path):
    volumes.write(tmp_path, {"token": File(b"one", 0o600), "ca.crt": File(b"ca", 0o644)})
    held = (tmp_path / "token").open()
    volumes.write(tmp_path, {"token": File(b"two", 0o600), "ca.crt": File(b"ca", 0o644)})
    assert (tmp_path / "token").read_text() == "two"
    assert held.read() == "one"
    held.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 4
    assert names[1:] == ["..data", "ca.crt", "token"]
    assert (tmp_path / "..data").resolve().name == names[0]
    assert ((tmp_path / "token").stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize(
    ("sources", "seconds"),
    [
        ([], None),
        ([{"configMap": {"name": "a"}}], None),
        ([{"serviceAccountToken": {"path": "t"}}], 2880.0),
        ([{"serviceAccountToken": {"path": "t", "expirationSeconds": 3607}}], 2885.6),
        ([{"serviceAccountToken": {"path": "t", "expirationSeconds": 10**6}}], 86400.0),
        (
            [{"serviceAccountToken": {"path": "t"}}, {"serviceAccountToken": {"path": "u", "expirationSeconds": 600}}],
            480.0,
        ),
    ],
)
def test_tokens_are_renewed_after_most_of_their_time(sources: list[object], seconds: float | None):
    found = tokens.renewal({"name": "v", "projected": {"sources": sources}})
    assert found == (seconds if seconds is None else pytest.approx(seconds))
