"""The ConfigMap that carries the program, and where its keys lie in the pod."""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from gke_notebook.errors import InvalidInput
from gke_notebook.launch import archive, contract
from gke_notebook.specs import TrainSpec

if TYPE_CHECKING:
    from gke_notebook.objects import Manifest

# Of all values together, decoded (gke_facts 9.3, 2026; Kubernetes, ConfigMap validation).
DATA_LIMIT = 1048576


def config_map(spec: TrainSpec, labels: dict[str, str], annotations: dict[str, str]) -> Manifest:
    """Give the ConfigMap of a job; it never changes.

    Args:
        spec: the job.
        labels: of the object.
        annotations: of the object.

    Raises:
        InvalidInput: it would be larger than a ConfigMap may be; the text names the five largest parts.
    """
    files = program_files(spec)
    _check_size(spec, files)
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "labels": dict(labels),
            "annotations": dict(annotations),
        },
        "immutable": True,
        "data": {key(path): content for path, content in files.items() if isinstance(content, str)},
    }
    binary = {
        key(path): base64.b64encode(content).decode("ascii")
        for path, content in files.items()
        if isinstance(content, bytes)
    }
    if binary:
        manifest["binaryData"] = binary
    return manifest


def program_files(spec: TrainSpec) -> dict[str, str | bytes]:
    """Give the files of the program directory by path.

    Args:
        spec: the job.
    """
    program = spec.program
    files: dict[str, str | bytes] = {contract.CELL_FILE: _ends_line(program.cell)}
    if program.names:
        files[contract.NAMES_FILE] = "\n".join(_ends_line(name.source) for name in program.names)
    if program.requirements:
        files[contract.REQUIREMENTS_FILE] = "".join(f"{requirement}\n" for requirement in program.requirements)
    if program.files:
        files[contract.INCLUDE_FILE] = archive.pack((file.path, file.content, file.mode) for file in program.files)
    return {**files, **launcher_files()}


@cache
def launcher_files() -> dict[str, str]:
    """Give the files of the launcher, which travel with every job, by path in the program directory."""
    found = {contract.BOOTSTRAP_FILE: ""}  # first, because it is where a reader starts
    for entry in sorted(resources.files("gke_notebook.launch").iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".py"):
            continue
        inside = f"{contract.LAUNCHER_DIRECTORY}/{contract.LAUNCH_PACKAGE}/{entry.name}"
        path = contract.BOOTSTRAP_FILE if entry.name == contract.BOOTSTRAP_FILE else inside
        found[path] = entry.read_text(encoding="utf-8")
    return found


def key(path: str) -> str:
    """Give the key of a file in the ConfigMap, where no slash may be.

    Args:
        path: the path in the program directory.

    Example:
        >>> key("launcher/gke_notebook_launch/main.py")
        'launcher__gke_notebook_launch__main.py'
    """
    return path.replace("/", "__")


def items(spec: TrainSpec) -> list[dict[str, str]]:
    """Give the items of the ConfigMap's volume: which key lies at which path.

    Args:
        spec: the job.
    """
    return [{"key": key(path), "path": path} for path in program_files(spec)]


def _ends_line(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _check_size(spec: TrainSpec, files: dict[str, str | bytes]) -> None:
    whole = sum(_size(content) for content in files.values())
    if whole <= DATA_LIMIT:
        return
    launcher = sum(_size(content) for content in launcher_files().values())
    parts = {
        "the cell": _size(spec.program.cell),
        **{f"{name.kind} {name.name}": name.size for name in spec.program.names},
        **{f"file {file.path}": len(file.content) for file in spec.program.files},
    }
    largest = sorted(parts.items(), key=lambda part: -part[1])[:5]
    named = ", ".join(f"{name} ({size / 1024:.0f} KiB)" for name, size in largest)
    raise InvalidInput(
        f"the program of job {spec.name!r} takes {whole / 1024:.0f} KiB, more than the {DATA_LIMIT // 1024} KiB that a "
        f"ConfigMap holds ({launcher / 1024:.0f} KiB of them the launcher's; files count compressed); "
        f"largest: {named}; put data into a bucket or a volume and read it in the cell"
    )


def _size(content: str | bytes) -> int:
    return len(content.encode()) if isinstance(content, str) else len(content)
