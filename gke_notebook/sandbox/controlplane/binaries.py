"""Which programs of a control plane lie in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from gke_notebook.errors import InvalidInput

# The variable by which controller-runtime's envtest finds such a folder
# (https://book.kubebuilder.io/reference/envtest.html, 2026).
ENVIRONMENT = "KUBEBUILDER_ASSETS"
ADD_ONS = ("jobset", "kueue")
_NEEDED = {
    # etcd's main package is named `server`, and so is what `go build` makes of it.
    "etcd": ("etcd", "server"),
    "kube-apiserver": ("kube-apiserver",),
    "kube-controller-manager": ("kube-controller-manager",),
    "kube-scheduler": ("kube-scheduler",),
}


@dataclass(frozen=True)
class Binaries:
    """The programs of one control plane.

    Args:
        folder: where they lie.
        programs: the path of each by its component's name; `jobset` and `kueue` only where they and their manifests
            are there.
    """

    folder: Path
    programs: dict[str, Path] = field(default_factory=dict)

    @property
    def add_ons(self) -> tuple[str, ...]:
        """The add-ons that can be run."""
        return tuple(name for name in ADD_ONS if name in self.programs)

    def manifests(self, add_on: str) -> Path:
        """Where the CustomResourceDefinitions and webhook configurations of an add-on lie."""
        return manifests_folder(self.folder, add_on)


def manifests_folder(folder: Path, add_on: str) -> Path:
    """Where `build` puts an add-on's manifests.

    Args:
        folder: where the programs lie.
        add_on: ``jobset`` or ``kueue``.
    """
    return folder / "manifests" / add_on


def find(folder: Path, asked: str = "--control-plane") -> Binaries:
    """Look into a folder.

    Args:
        folder: where the programs are said to lie.
        asked: what named it, for messages.

    Raises:
        InvalidInput: a program that is needed is not there.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{asked} {folder}: there is no such folder; `make control-plane` builds one")
    found = {}
    for name, candidates in _NEEDED.items():
        path = next((folder / each for each in candidates if _runs(folder / each)), None)
        if path is not None:
            found[name] = path
    lacking = [name for name in _NEEDED if name not in found]
    if lacking:
        raise InvalidInput(f"{asked} {folder}: it lacks {', '.join(lacking)}; `make control-plane` builds all of it")
    for name in ADD_ONS:
        if _runs(folder / name) and (manifests_folder(folder, name) / "crds.json").is_file():
            found[name] = folder / name
    return Binaries(folder, found)


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
