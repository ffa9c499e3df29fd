"""Files as a tar.gz: included files on their way into the pod, output files on their way back.

Reading trusts nothing: regular files and directories only, inside the target, and no more bytes than the limit.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from . import contract
from .records import NotReturned
from .results import show_bytes

_BLOCK = 2**16


def pack(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    """Make an archive that is the same for the same files: no times, owners or names of this machine.

    Args:
        files: path (relative, forward slashes), content and permission bits of each.
    """
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, _open_tar(zipped) as tar:
        for path, content, mode in files:
            tar.addfile(_member(path, len(content), mode), io.BytesIO(content))
    return packed.getvalue()


def pack_directory(directory: str, limit: int = contract.OUTPUT_LIMIT) -> tuple[bytes, int]:
    """Make an archive of the regular files below a directory; links are left out.

    Args:
        directory: where the files are.
        limit: the most bytes the archive may take.

    Returns:
        The archive and the number of files in it; no bytes at all when there are no files.

    Raises:
        NotReturned: too many or too large files; the text names the largest. Or a file that cannot be read.
    """
    found = []
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((path.relative_to(directory).as_posix(), path, status))
    if not found:
        return b"", 0
    whole = sum(status.st_size for _, _, status in found)
    sizes = [(status.st_size, name) for name, _, status in found]
    if len(found) > contract.OUTPUT_FILES_LIMIT:
        raise NotReturned(
            f"the output directory holds {len(found)} files, more than the limit of {contract.OUTPUT_FILES_LIMIT}; "
            "nothing came back; write one archive, or write to a bucket or a volume from the cell"
        )
    if whole > contract.OUTPUT_EXPANDED_LIMIT:
        raise _too_large(sizes, whole, contract.OUTPUT_EXPANDED_LIMIT, "")
    packed = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, _open_tar(zipped) as tar:
            for name, path, status in found:
                with path.open("rb") as content:
                    tar.addfile(_member(name, status.st_size, stat.S_IMODE(status.st_mode)), content)
    except OSError as error:
        raise NotReturned(f"the output files cannot be read: {error}; nothing came back") from error
    data = packed.getvalue()
    if len(data) > limit:
        raise _too_large(sizes, len(data), limit, " compressed")
    return data, len(found)


def unpack(data: bytes, directory: str, limit: int = contract.OUTPUT_EXPANDED_LIMIT) -> tuple[str, ...]:
    """Write the files of an archive below a directory; what is there under the same names is replaced.

    Args:
        data: the archive.
        directory: where the files go; made when it does not exist.
        limit: the most bytes the files may take in all.

    Returns:
        The paths written, relative to the directory, with forward slashes.

    Raises:
        NotReturned: the archive is damaged, too large, or holds a link, a device or a path that leads outside.
    """
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    base = root.resolve()
    written: list[str] = []
    left = limit
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            for count, member in enumerate(tar):
                target = _inside(base, member.name)
                if count >= 2 * contract.OUTPUT_FILES_LIMIT:
                    raise NotReturned(f"the archive holds too many files; nothing after {member.name!r} was written")
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                left -= member.size
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or member.issparse():
                    raise NotReturned(
                        f"the archive holds {member.name!r}, which is no ordinary file; it was not written"
                    )
                if left < 0:
                    raise NotReturned(
                        f"the files of the archive take more than {show_bytes(limit)}; "
                        f"{member.name!r} and what follows it were not written"
                    )
                _write(target, content.read, member.mode)
                written.append(member.name)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise NotReturned(f"the archive is damaged: {error}") from error
    return tuple(written)


def _write(target: Path, read: object, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()  # replaced, never written through
    assert callable(read)
    with target.open("wb") as file:
        while block := read(_BLOCK):
            file.write(block)
    target.chmod(0o600 | (mode & 0o755))


def _inside(base: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or not path.parts
        or "\\" in name
        or "\0" in name
        or ":" in path.parts[0]
    ):
        raise NotReturned(f"the archive holds the path {name!r}, which leads outside its directory; it was not written")
    target = base.joinpath(*path.parts)
    # A link that was in the directory before could still lead outside.
    parent = target.parent.resolve()
    if parent != base and base not in parent.parents:
        raise NotReturned(f"the path {name!r} of the archive leads outside through a link; it was not written")
    return target


def _open_tar(file: gzip.GzipFile) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)


def _member(path: str, size: int, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size = size
    member.mode = mode & 0o777
    return member


def _too_large(sizes: list[tuple[int, str]], size: int, limit: int, how: str) -> NotReturned:
    largest = ", ".join(f"{name} ({show_bytes(each)})" for each, name in sorted(sizes, reverse=True)[:5])
    return NotReturned(
        f"the output files take {show_bytes(size)}{how}, more than the limit of {show_bytes(limit)}; none came back; "
        f"largest: {largest}; write large files to a bucket or a volume from the cell"
    )
