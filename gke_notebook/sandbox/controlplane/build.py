"""Builds a control plane from the pinned modules of go.mod into a cache folder: `make control-plane`.

``python -m gke_notebook.sandbox.controlplane.build`` prints the folder. One cold build takes about ten minutes on two
cores and downloads 1 GB; the folder's name holds a hash of go.mod, go.sum and the flags, so every checkout of a machine
shares it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gke_notebook.errors import GkeNotebookError
from gke_notebook.sandbox.controlplane.addons import KUEUE_METRICS, KUEUE_METRICS_HERE
from gke_notebook.sandbox.controlplane.binaries import find, manifests_folder

_HERE = Path(__file__).parent
_VERSION = "v1.34.4"
_MODULES = {"jobset": "sigs.k8s.io/jobset", "kueue": "sigs.k8s.io/kueue"}
_PACKAGES = (
    "go.etcd.io/etcd/server/v3",
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kubectl",
    "sigs.k8s.io/jobset",
)
_BESIDE = ".building-"
_RECIPE = 2  # raised when this file makes something else of the same go.mod


class NoGo(GkeNotebookError):  # noqa: N818
    """There is no Go here that can build it."""


def flags() -> list[str]:
    """Give the flags of `go build`; without a version kubectl and Kueue stop on that of the API server."""
    where = "k8s.io/component-base/version"
    major, minor = re.findall(r"\d+", _VERSION)[:2]
    linker = f"-s -w -X {where}.gitVersion={_VERSION} -X {where}.gitMajor={major} -X {where}.gitMinor={minor}"
    return ["-trimpath", "-ldflags", linker]


def folder() -> Path:
    """Give where the built programs lie, whether or not they are there yet."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gke-notebook"
    content = [(_HERE / name).read_bytes() for name in ("go.mod", "go.sum")]
    key = hashlib.sha256(b"\0".join([*content, " ".join(flags()).encode(), str(_RECIPE).encode()])).hexdigest()
    return root / f"control-plane-{key[:12]}"


def wanted_go(module: str) -> tuple[int, int]:
    """Read the version of Go that a go.mod asks for.

    Args:
        module: the text of go.mod.

    Example:
        >>> wanted_go("module m\\n\\ngo 1.25.0\\n")
        (1, 25)
    """
    found = re.search(r"^go (\d+)\.(\d+)", module, flags=re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else (1, 0)


def check_go() -> str:
    """Find Go.

    Returns:
        Its path.

    Raises:
        NoGo: it is missing or too old.
    """
    need = ".".join(map(str, wanted_go((_HERE / "go.mod").read_text())))
    go = shutil.which("go")
    if go is None:
        raise NoGo(f"Go {need} or newer is needed to build the control plane, and there is no `go` here; see go.dev/dl")
    # Without this a Go that is too old would download another one.
    local = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=local).stdout
    version = re.match(r"go(\d+)\.(\d+)", said.strip())
    if version is None or (int(version[1]), int(version[2])) < wanted_go((_HERE / "go.mod").read_text()):
        raise NoGo(f"Go {need} or newer is needed to build the control plane; {go} is {said.strip() or 'unknown'}")
    return go


def build() -> Path:
    """Build what is not there yet; two checkouts do not build at once.

    Returns:
        The folder.

    Raises:
        NoGo: Go is missing or too old.
        CalledProcessError: Go failed, and has said why.
    """
    target = folder()
    if target.is_dir():
        return target
    go = check_go()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "control-plane.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():  # another process built it while this one waited
            return target
        for abandoned in target.parent.glob(f"{_BESIDE}*"):  # by a build that was killed; nobody else builds now
            shutil.rmtree(abandoned, ignore_errors=True)
        print("building a Kubernetes control plane (once, some ten minutes) ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=_BESIDE, dir=target.parent) as beside:
            made = Path(beside) / "made"
            _build(go, Path(beside) / "source", made)
            find(made)
            made.rename(target)
    return target


def _build(go: str, source: Path, made: Path) -> None:
    source.mkdir()
    made.mkdir()
    for name in ("go.mod", "go.sum"):
        shutil.copy(_HERE / name, source / name)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [go, *arguments], cwd=source, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    folders = {
        name: Path(json.loads(run("mod", "download", "-json", module))["Dir"]) for name, module in _MODULES.items()
    }
    kueue = source / "kueue"
    kueue.mkdir()
    text = (folders["kueue"] / "cmd" / "kueue" / "main.go").read_text()
    if KUEUE_METRICS not in text:
        raise GkeNotebookError(f"Kueue's main.go no longer names {KUEUE_METRICS}; {Path(__file__).name} must follow")
    (kueue / "main.go").write_text(text.replace(KUEUE_METRICS, KUEUE_METRICS_HERE))
    run("build", *flags(), "-o", f"{made}{os.sep}", *_PACKAGES, "./kueue")
    (made / "server").rename(made / "etcd")
    for name, module in folders.items():
        write_manifests(module, manifests_folder(made, name))


def write_manifests(module: Path, target: Path) -> None:
    """Gather an add-on's manifests in two files, each a List in JSON that `kubectl apply` takes too.

    Args:
        module: the folder of its source.
        target: the folder to make, for `crds.json` and `webhooks.json`.
    """
    import yaml

    components = module / "config" / "components"
    target.mkdir(parents=True)
    sources = {
        "crds.json": sorted((components / "crd" / "bases").glob("*.yaml")),
        "webhooks.json": [components / "webhook" / "manifests.yaml"],
    }
    for name, files in sources.items():
        items = [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]
        (target / name).write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def main() -> int:
    """Build, and print the folder; one line and exit code 1 where that cannot be done."""
    try:
        print(build())
    except GkeNotebookError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"`{' '.join(map(str, error.cmd[:3]))} ...` failed; what it said is above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
