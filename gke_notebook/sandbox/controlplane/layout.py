"""Where one control plane keeps its things, and the loopback ports it has."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gke_notebook.sandbox.home import write_private

LOOPBACK = "127.0.0.1"


class Ports(msgspec.Struct, frozen=True):
    """The ports of the components; 0 is not chosen yet."""

    apiserver: int = 0
    etcd: int = 0
    etcd_peer: int = 0
    jobset_webhook: int = 0
    jobset_health: int = 0
    kueue_webhook: int = 0
    kueue_health: int = 0


@dataclass(frozen=True)
class Layout:
    """The files of one control plane.

    Args:
        root: the directory that holds them, for their owner only.
    """

    root: Path

    @property
    def data(self) -> Path:
        """What etcd keeps."""
        return self.root / "etcd"

    @property
    def tls(self) -> Path:
        """Certificates and keys."""
        return self.root / "tls"

    @property
    def tokens(self) -> Path:
        """The API server's file of tokens and users."""
        return self.root / "tokens.csv"

    @property
    def ports(self) -> Path:
        """The ports of the last run: asked for again, since webhooks and kubeconfigs name them."""
        return self.root / "ports.json"

    def kubeconfig(self, component: str) -> Path:
        """The kubeconfig of a component."""
        return self.root / f"{component}.kubeconfig"

    def configuration(self, add_on: str) -> Path:
        """The configuration file of an add-on."""
        return self.root / f"{add_on}.yaml"

    def create(self) -> None:
        """Make the directories."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (self.data, self.tls):
            directory.mkdir(exist_ok=True, mode=0o700)

    def choose_ports(self, apiserver: int = 0) -> Ports:
        """Give ports that are free now: those of the last run where they are.

        Args:
            apiserver: the API server's port if it is free, 0 for no wish.
        """
        try:
            last = msgspec.json.decode(self.ports.read_bytes(), type=Ports)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            last = Ports()
        if apiserver:
            last = msgspec.structs.replace(last, apiserver=apiserver)
        with contextlib.ExitStack() as held:  # all at once, so that none is given twice
            chosen = [_hold(held, port) for port in msgspec.structs.astuple(last)]
        ports = Ports(*chosen)
        write_private(self.ports, msgspec.json.encode(ports).decode())
        return ports


def _hold(held: contextlib.ExitStack, wanted: int) -> int:
    for candidate in (wanted, 0) if wanted else (0,):
        holder = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((LOOPBACK, candidate))
        except OSError:
            continue
        return int(holder.getsockname()[1])
    raise OSError(f"no free port on {LOOPBACK}")
