"""Paths inside a container, put in place of which are directories of this machine (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MORE = r"(?![\w.\-+~@%])"  # what follows would make it another name


class PathMap:
    """Rewrites container paths in text.

    Args:
        mounts: from an absolute path in the container to a path on this machine.

    Example:
        >>> PathMap({"/data": "/pods/7/data"}).rewrite("--in=/data/x --out=/data2")
        '--in=/pods/7/data/x --out=/data2'
    """

    def __init__(self, mounts: Mapping[str, str]) -> None:
        self._mounts = {_clean(path): target for path, target in mounts.items() if _clean(path) != "/"}
        longest_first = sorted(self._mounts, key=len, reverse=True)
        self._pattern = (
            re.compile(rf"(?:(?<=file://)|(?<![\w.\-+~@%/}})]))(?:{'|'.join(map(re.escape, longest_first))}){_MORE}")
            if longest_first
            else None
        )

    def rewrite(self, text: str) -> str:
        """Put this machine's path wherever a mounted path stands whole in a text.

        A path counts where nothing before it and nothing after it makes it part of another name; ``gs://bucket/data``
        and ``/data2`` are left alone when ``/data`` is mounted.
        """
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._mounts[match[0]], text)

    def resolve(self, path: str) -> str | None:
        """Give the path on this machine of a path in the container, None when it lies under no mount.

        Args:
            path: an absolute path in the container.
        """
        path = _clean(path)
        for mount in sorted(self._mounts, key=len, reverse=True):
            if path == mount or path.startswith(mount + "/"):
                return self._mounts[mount] + path[len(mount) :]
        return None


def _clean(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
