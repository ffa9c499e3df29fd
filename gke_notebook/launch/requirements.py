"""Installs what `--requirements` asks for and the image lacks, beside the image's environment and never in it."""

from __future__ import annotations

import importlib
import re
import site
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

_DEPTH = 20


class RequirementsFailed(Exception):  # noqa: N818
    """Requirements cannot be installed; the text is one line."""


def read_requirements(text: str) -> tuple[str, ...]:
    """Give the lines of a requirements file without comments.

    Args:
        text: the file's text.

    Example:
        >>> read_requirements("# data\\nnumpy>=1.20  # arrays\\n\\nrequests\\n")
        ('numpy>=1.20', 'requests')
    """
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line)


def missing(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """Give the requirements that this interpreter does not meet, without asking any index.

    A line that cannot be judged from here (a URL, a pip option, no `packaging` to read it) counts as missing.

    Args:
        requirements: requirement specifiers.
    """
    return tuple(line for line in requirements if not _met(line, 0))


def prepare(requirements: tuple[str, ...], directory: str) -> str:
    """Make sure that the requirements are met and give the interpreter that meets them.

    When nothing is missing that is the running one, and nothing is downloaded or written. Otherwise a virtual
    environment is made that sees everything the running one sees, and pip installs into it.

    Args:
        requirements: requirement specifiers.
        directory: where the virtual environment may be made.

    Raises:
        RequirementsFailed: pip has failed or there is no pip.
    """
    lacking = missing(requirements)
    if not lacking:
        return sys.executable
    print(f"gke-notebook: installing {', '.join(lacking)}", file=sys.stderr, flush=True)
    builder = venv.EnvBuilder(system_site_packages=False, with_pip=False, symlinks=True)
    builder.create(directory)
    python = str(Path(directory) / "bin" / "python")
    # `system_site_packages` would show the base interpreter's packages, which are others when the image's own
    # interpreter is in a virtual environment; so the paths are named.
    inner = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    (Path(inner) / "image.pth").write_text("\n".join(_site_directories()) + "\n", encoding="utf-8")
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", *_split(lacking)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise RequirementsFailed(f"cannot install {', '.join(lacking)}: {_reason(done.stdout)}")
    return python


def _split(requirements: tuple[str, ...]) -> Iterator[str]:
    for line in requirements:
        # A line of options ("--index-url URL", "-e DIR") is several arguments to pip.
        yield from line.split() if line.startswith("-") else (line,)


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "the image has no pip; choose an image that has it, or one that holds these packages"
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["pip said nothing"])[-1]


def _site_directories() -> list[str]:
    directories = list(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        directories.append(site.getusersitepackages())
    # What a .pth file or PYTHONPATH has added is on sys.path too; a virtual environment inherits the latter by itself.
    directories += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return [path for path in dict.fromkeys(directories) if Path(path).is_dir()]


def _packaging() -> Any:
    for name in ("packaging.requirements", "pip._vendor.packaging.requirements"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _met(line: str, depth: int, extra: str = "") -> bool:
    packaging = _packaging()
    if packaging is None or depth > _DEPTH:
        return depth > _DEPTH  # a circle of extras has been seen whole
    try:
        wanted = packaging.Requirement(line)
    except packaging.InvalidRequirement:
        return False
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
        return True
    if wanted.url:
        return False
    try:
        found = metadata.distribution(wanted.name)
    except metadata.PackageNotFoundError:
        return False
    version = found.version
    if version is None or not wanted.specifier.contains(version, prereleases=True):
        return False
    for name in wanted.extras:
        for inner in found.requires or ():
            if "extra" in inner and not _met(inner, depth + 1, name):
                return False
    return True
