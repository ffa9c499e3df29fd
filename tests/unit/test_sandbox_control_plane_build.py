"""Building the control plane with a stand-in for Go: once for all, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gke_notebook.sandbox.controlplane import addons, binaries, build

# What the builder asks of Go: its version, where a module lies, and programs in the folder after -o.
GO = """#!/bin/sh
case "$1" in
env) echo go1.26.8 ;;
mod) printf '{"Dir": "%s"}' "$MODULES/$(basename "$4")" ;;
build)
    echo built >> "$MODULES/builds"
    test -z "$BROKEN" || { echo 'no such package' >&2; exit 1; }
    while test "$1" != -o; do shift; done
    sleep 0.3
    for name in server kube-apiserver kube-controller-manager kube-scheduler kubectl jobset; do
        echo '#!/bin/sh' > "$2$name"; chmod +x "$2$name"
    done
    cp kueue/main.go "$2kueue"; chmod +x "$2kueue" ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name in ("jobset", "kueue"):
        components = tmp_path / "modules" / name / "config" / "components"
        (components / "crd" / "bases").mkdir(parents=True)
        (components / "crd" / "bases" / "a.yaml").write_text("kind: CustomResourceDefinition\n")
        (components / "webhook").mkdir()
        (components / "webhook" / "manifests.yaml").write_text("kind: MutatingWebhookConfiguration\n")
    main = tmp_path / "modules" / "kueue" / "cmd" / "kueue" / "main.go"
    main.parent.mkdir(parents=True)
    main.write_text(f'path := "{addons.KUEUE_METRICS}"\n')
    (tmp_path / "go").write_text(GO)
    (tmp_path / "go").chmod(0o755)
    return {
        **os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "MODULES": str(tmp_path / "modules"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"), "BROKEN": "",
    }  # fmt: skip


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", build.__name__],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_checkouts_build_once(environment: dict[str, str], tmp_path: Path) -> None:
    abandoned = tmp_path / "cache" / "gke-notebook" / ".building-killed"
    abandoned.mkdir(parents=True)
    builders = [start(environment) for _ in range(2)]
    said = [builder.communicate(timeout=60) for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], said
    (folder,) = {out.strip() for out, _ in said}
    assert (tmp_path / "modules" / "builds").read_text() == "built\n"
    found = binaries.find(Path(folder))
    assert found.add_ons == ("jobset", "kueue")
    assert found.programs["etcd"] == Path(folder) / "etcd"
    assert found.programs["kueue"].read_text() == f'path := "{addons.KUEUE_METRICS_HERE}"\n'
    left = {path.name for path in abandoned.parent.iterdir()}
    assert left == {Path(folder).name, "control-plane.lock"}


def test_a_build_that_fails_leaves_nothing_and_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    builder = start({**environment, "BROKEN": "yes"})
    out, err = builder.communicate(timeout=60)
    assert builder.returncode == 1
    assert out == ""
    assert "no such package" in err
    assert "Traceback" not in err
    assert {path.name for path in (tmp_path / "cache" / "gke-notebook").iterdir()} == {"control-plane.lock"}


def test_a_kueue_that_no_longer_wants_etc_is_noticed(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "modules" / "kueue" / "cmd" / "kueue" / "main.go").write_text("package main\n")
    builder = start(environment)
    _, err = builder.communicate(timeout=60)
    assert builder.returncode == 1
    assert "no longer names /etc/kueue/metrics/certs" in err
