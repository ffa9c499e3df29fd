"""A real control plane as the sandbox's main process runs it: from the sandbox's home, for the sandbox's token."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path

from gke_notebook.sandbox.controlplane import binaries
from gke_notebook.sandbox.controlplane.credentials import MASTERS, Person
from gke_notebook.sandbox.controlplane.run import ControlPlane, Settings
from gke_notebook.sandbox.home import Home


class Real:
    """The control plane of one sandbox.

    Args:
        home: where the sandbox keeps its state.
        folder: where the programs lie.
        token: the user's bearer token.
        port: the API server's port if it is free, 0 for no wish.
        reported: called with a line of text whenever a component has ended by itself.

    Raises:
        InvalidInput: a program is missing.
    """

    def __init__(self, home: Home, folder: Path, token: str, port: int, reported: Callable[[str], None]) -> None:
        user = Person(token, getpass.getuser(), (MASTERS,))
        settings = Settings(binaries.find(folder), home.control_plane, home.logs, home.tls, (user,), port)
        self._plane = ControlPlane(settings, reported)
        self.port = self._plane.ports.apiserver
        self.components = tuple(settings.binaries.programs)
        self.client_authority = str(self._plane.client_authority)

    async def start(self) -> None:
        """Start every component and wait until they are ready."""
        await self._plane.start()

    async def stop(self) -> None:
        """End every component."""
        await self._plane.stop()
