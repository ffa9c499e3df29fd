"""Image references, and which interpreter stands for an image (pure, but for the folder of links)."""

from __future__ import annotations

import fnmatch
import re
import sys
from pathlib import Path

# The grammar of github.com/distribution/reference, without the names that are 64 hexadecimal digits.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::\d+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
PYTHON_NAMES = ("python", "python3")


def image_name(image: str) -> str | None:
    """Give an image's name without tag and digest, None when the reference is malformed.

    Args:
        image: the reference as in a container's ``image``.

    Example:
        >>> image_name("pytorch/pytorch:2.4"), image_name("No Image")
        ('pytorch/pytorch', None)
    """
    matched = _REFERENCE.fullmatch(image)
    return matched["name"] if matched else None


def pull_seconds(image: str, slow: tuple[tuple[str, float], ...]) -> float:
    """Say how long the pull of an image is to take: nothing is pulled, but a drill can make it slow.

    Args:
        image: the reference as in a container's ``image``.
        slow: pairs of a pattern (as of a shell) and seconds; the longest that matches counts.

    Example:
        >>> pull_seconds("pytorch/pytorch:2.4", (("pytorch/*", 30.0), ("*", 5.0)))
        30.0
    """
    return max((seconds for pattern, seconds in slow if fnmatch.fnmatchcase(image, pattern)), default=0.0)


def pulls_always(container: dict[str, object]) -> bool:
    """Say whether an image is asked for anew at each start: policy Always, or the default with no tag or ``latest``."""
    policy = container.get("imagePullPolicy")
    if policy:
        return policy == "Always"
    matched = _REFERENCE.fullmatch(str(container.get("image", "")))
    return matched is not None and not matched["digest"] and matched["tag"] in (None, "latest")


def interpreter_for(image: str, runtimes: tuple[tuple[str, str], ...]) -> str:
    """Find the interpreter that stands for an image.

    Args:
        image: the reference.
        runtimes: pairs of pattern and interpreter; a pattern is held against the reference, the name without its tag,
            and both without ``docker.io/`` and ``docker.io/library/``.

    Example:
        >>> interpreter_for("docker.io/pytorch/pytorch:2.4", (("pytorch/*", "/usr/bin/python3"),))
        '/usr/bin/python3'
    """
    forms = {image, image_name(image) or image}
    for form in tuple(forms):
        for prefix in ("docker.io/library/", "docker.io/"):
            if form.startswith(prefix):
                forms.add(form[len(prefix) :])
    for pattern, interpreter in runtimes:
        if any(fnmatch.fnmatchcase(form, pattern) for form in forms):
            return interpreter
    return sys.executable


def bin_directory(interpreter: str, links: Path) -> Path:
    """Give a directory whose `python` and `python3` are this interpreter: its own, or one of links.

    The own directory serves when it holds both and is none of the system's; its `pip` and `torchrun` come with it.

    Args:
        interpreter: the path of the interpreter.
        links: where a directory of links may be made.
    """
    path = Path(interpreter)
    own = path.parent
    if str(own) not in SYSTEM_DIRECTORIES and all((own / name).exists() for name in PYTHON_NAMES):
        return own
    directory = links / interpreter.strip("/").replace("/", "-")
    directory.mkdir(parents=True, exist_ok=True)
    for name in PYTHON_NAMES:
        link = directory / name
        if not link.is_symlink() or str(link.readlink()) != interpreter:
            link.unlink(missing_ok=True)
            link.symlink_to(interpreter)
    for tool in ("pip", "pip3", "torchrun"):
        link = directory / tool
        if (own / tool).exists() and not link.is_symlink():
            link.symlink_to(own / tool)
    return directory
