"""The files that travel with a cell: from the paths of `--include` to their bytes."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from gke_notebook.errors import InvalidInput
from gke_notebook.program.describe import size_text
from gke_notebook.specs import ShippedFile

# Of all files together, before compression. What they may take compressed is decided where the ConfigMap is made.
FILES_LIMIT = 8 * 2**20
COUNT_LIMIT = 2000
_IGNORED = frozenset(
    {"__pycache__", ".git", ".ipynb_checkpoints", ".DS_Store", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
)
_IGNORED_ENDS = (".pyc", ".pyo")


def read_includes(include: Sequence[str], base: Path) -> tuple[ShippedFile, ...]:
    """Read the files that travel.

    A path inside the notebook's directory keeps its place; one outside it lies in the working directory under its own
    name. Caches and version control are left out, and so are links that lead out of what is included.

    Args:
        include: files, folders and patterns such as ``data/*.csv``, relative to `base`.
        base: the notebook's directory.

    Raises:
        InvalidInput: a path does not exist, two files want the same place, or it is too much.
    """
    found: dict[str, Path] = {}
    for text in include:
        for path in _matches(text, base):
            root = _place(path, base)
            for file, inside in _walk(path):
                place = f"{root}/{inside}" if root and inside else root or inside
                if place in found and found[place].resolve() != file.resolve():
                    raise InvalidInput(f"--include {text}: {found[place]} and {file} would both be {place} in the job")
                found[place] = file
    _check_size(found)
    return tuple(_read(place, found[place]) for place in sorted(found))


def _matches(text: str, base: Path) -> list[Path]:
    if not text.strip() or "\0" in text:
        raise InvalidInput("--include needs the path of a file or a folder")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        path = Path(text)
    path = path if path.is_absolute() else base / path
    if os.path.lexists(path):
        if not path.exists():
            raise InvalidInput(f"--include {text}: the link leads nowhere")
        return [path]
    if any(sign in text for sign in "*?["):
        anchor = Path(path.anchor)
        matched = sorted(anchor.glob(str(path.relative_to(anchor))))
        if not matched:
            raise InvalidInput(f"--include {text}: no file matches the pattern in {path.parent}")
        return [one for one in matched if one.name not in _IGNORED and not one.name.endswith(_IGNORED_ENDS)]
    raise InvalidInput(f"--include {text}: there is no such file or folder{_nearest(path, base)}")


def _nearest(path: Path, base: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"; there is no folder {_from(parent, base)} either"
    try:
        names = sorted(one.name for one in parent.iterdir() if not one.name.startswith("."))
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {_from(parent / close[0], base)}?"
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"; {_from(parent, base)} holds: {shown}" if names else f"; {_from(parent, base)} is empty"


def _from(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def _place(path: Path, base: Path) -> str:
    """Give the place of an included path in the working directory, empty for the notebook's directory itself."""
    whole, root = Path(os.path.normpath(path.absolute())), Path(os.path.normpath(base.absolute()))
    if whole.is_relative_to(root):
        inside = whole.relative_to(root).as_posix()
        return "" if inside == "." else inside
    return whole.name


def _walk(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidInput(f"--include {path}: neither a file nor a folder")
        yield path, ""
        return
    root = path.resolve()
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in _IGNORED and not (Path(folder) / name).is_symlink())
        for name in sorted(files):
            file = Path(folder) / name
            if name in _IGNORED or name.endswith(_IGNORED_ENDS) or not file.is_file():
                continue
            if file.is_symlink() and not file.resolve().is_relative_to(root):
                continue  # it leads out of what was named
            yield file, file.relative_to(path).as_posix()


def _check_size(found: dict[str, Path]) -> None:
    if len(found) > COUNT_LIMIT:
        raise InvalidInput(
            f"--include names {len(found)} files, more than {COUNT_LIMIT}; include a folder further down"
        )
    sizes = {place: file.stat().st_size for place, file in found.items()}
    total = sum(sizes.values())
    if total > FILES_LIMIT:
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
        shown = ", ".join(f"{place} {size_text(size)}" for place, size in largest)
        raise InvalidInput(
            f"the included files are {size_text(total)}, more than the {size_text(FILES_LIMIT)} that can travel with a "
            f"cell; largest: {shown}; put data into a bucket and read it in the cell"
        )


def _read(place: str, file: Path) -> ShippedFile:
    try:
        content = file.read_bytes()
        mode = 0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644
    except OSError as error:
        raise InvalidInput(f"--include {file}: {error.strerror or error}") from None
    return ShippedFile(place, content, mode)
