"""Local ports that stand for the ports of pods, kept as files so that the agent and every pod see the same ones.

Standard library only: the shim inside the pods loads this file by its path.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
from pathlib import Path

# Below the ephemeral ports of Linux (32768 and up) and macOS (49152 and up), so that no outgoing connection takes one.
FIRST, LAST = 20000, 31999
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class PortTable:
    """Gives a free local port for each (namespace, host, port), and the same one whenever it is asked again.

    A port stays taken until `release`; it is chosen so that nothing listens on it at that time and no other pod has it.

    Args:
        directory: where the table lies.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.keys = Path(directory) / "keys"
        self.local_ports = Path(directory) / "local"

    def find(self, namespace: str, host: str, port: int) -> int | None:
        """Give the local port if there is one already."""
        if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(host)):
            return None
        try:
            return int((self.keys / namespace / host / str(port)).read_text())
        except (OSError, ValueError):
            return None

    def local(self, namespace: str, host: str, port: int) -> int:
        """Give the local port, a new one at the first call.

        Args:
            namespace: the pods' namespace.
            host: the pod's hostname, with its subdomain.
            port: the port as the pods say it, 1 to 65535.

        Raises:
            ValueError: the namespace or the host is no DNS name.
            OSError: no port is free.
        """
        found = self.find(namespace, host, port)
        if found is not None:
            return found
        if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(host)):
            raise ValueError(f"{host!r} in {namespace!r} is no host name")
        key = self.keys / namespace / host / str(port)
        key.parent.mkdir(parents=True, exist_ok=True)
        self.local_ports.mkdir(parents=True, exist_ok=True)
        start = random.randrange(LAST - FIRST + 1)  # noqa: S311 - spreads the ports of several sandboxes
        for step in range(LAST - FIRST + 1):
            chosen = FIRST + (start + step) % (LAST - FIRST + 1)
            claim = self.local_ports / str(chosen)
            try:
                os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                continue
            if not _is_free(chosen):
                claim.unlink()
                continue
            claim.write_text(f"{chosen}")
            try:
                os.link(claim, key)  # whole or not at all; the first of two who ask at once wins
            except FileExistsError:
                claim.unlink()
                return int(key.read_text())
            return chosen
        raise OSError(f"no local port between {FIRST} and {LAST} is free for {host}:{port}")

    def is_local(self, port: int) -> bool:
        """Say whether a number is a local port of the table already, which must not be mapped again."""
        return FIRST <= port <= LAST and (self.local_ports / str(port)).exists()

    def release(self, namespace: str, host: str) -> None:
        """Forget the ports of a host."""
        directory = self.keys / namespace / host
        if not directory.is_dir():
            return
        for key in directory.iterdir():
            try:
                (self.local_ports / key.read_text()).unlink(missing_ok=True)
            except OSError:
                continue
        shutil.rmtree(directory, ignore_errors=True)

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.keys, ignore_errors=True)
        shutil.rmtree(self.local_ports, ignore_errors=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
