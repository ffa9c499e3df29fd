"""Where the sandbox keeps its state on this machine, and the credentials in it."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs

ENVIRONMENT = "GKE_NOTEBOOK_HOME"


def home() -> Path:
    """Give the directory of all state: `GKE_NOTEBOOK_HOME`, or the platform's user state directory."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named).expanduser().absolute() if named else Path(platformdirs.user_state_dir("gke-notebook"))


@dataclass(frozen=True)
class Home:
    """The files of one sandbox.

    Args:
        root: the directory that holds them all, readable by its owner only.
    """

    root: Path

    @classmethod
    def find(cls) -> Home:
        """Give the home named by the environment."""
        return cls(home() / "sandbox")

    @property
    def run_file(self) -> Path:
        """What runs: process ids, ports, options; there from the start of a sandbox to its end."""
        return self.root / "run.json"

    @property
    def ports_file(self) -> Path:
        """The ports of the last run, asked for again so that a kubeconfig outlives a crash."""
        return self.root / "ports.json"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig file, mode 0600."""
        return self.root / "kubeconfig"

    @property
    def token_file(self) -> Path:
        """The bearer token of the user, mode 0600; usable as `CLOUDSDK_AUTH_ACCESS_TOKEN_FILE`."""
        return self.root / "token"

    @property
    def kubelet_token_file(self) -> Path:
        """The token that the API server shows to the node agent, mode 0600."""
        return self.root / "kubelet-token"

    @property
    def tls(self) -> Path:
        """Certificates and keys."""
        return self.root / "tls"

    @property
    def data(self) -> Path:
        """The objects of the API server."""
        return self.root / "data"

    @property
    def fleet_file(self) -> Path:
        """The node pools, machines and operations of its GKE, mode 0600."""
        return self.root / "gke.json"

    @property
    def control_plane(self) -> Path:
        """What a real control plane keeps: etcd's data, keys, kubeconfigs of its components."""
        return self.root / "control-plane"

    @property
    def pods(self) -> Path:
        """Working directories and logs of the pods."""
        return self.root / "pods"

    @property
    def logs(self) -> Path:
        """What the sandbox's own processes say."""
        return self.root / "logs"

    def create(self) -> None:
        """Make the directories, for their owner only."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        for directory in (self.tls, self.data, self.pods, self.logs):
            directory.mkdir(exist_ok=True, mode=0o700)

    def lock(self, name: str) -> IO[bytes] | None:
        """Take an exclusive lock, held until the file is closed or the process ends, however it ends.

        Args:
            name: ``running``, held by the sandbox for its life, or ``command``, held while it is brought up or down.

        Returns:
            The open file, or None when another process holds the lock.
        """
        file = os.fdopen(os.open(self.root / f"{name}.lock", os.O_WRONLY | os.O_CREAT, 0o600), "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def running(self) -> bool:
        """Say whether a sandbox runs from this home."""
        if not self.root.is_dir():
            return False
        file = self.lock("running")
        if file is None:
            return True
        file.close()
        return False


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Args:
        path: where; what is there is replaced.
        content: the text.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    temporary.replace(path)


def read_or_make_token(path: Path) -> str:
    """Give the token in a file, or make a new random one.

    Args:
        path: the file, written with mode 0600.
    """
    if path.exists():
        return path.read_text().strip()
    token = secrets.token_urlsafe(32)
    write_private(path, token)
    return token
