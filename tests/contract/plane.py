"""The real control plane of the contract tests: found, and started once for a whole run of the tests."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gke_notebook.sandbox import certificates, kubeconfig

SHARED = "GKE_NOTEBOOK_CONTRACT_SERVER"
"""Names a JSON file (server, token, authority) of a control plane that runs already: for work on the tests."""
TOKEN = "admin-token"
_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True)
class Plane:
    """A running control plane.

    Args:
        server: its URL.
        token: the bearer token of a user with every right.
        authority: the certificate to trust, in PEM.
    """

    server: str
    token: str
    authority: str


def binaries() -> Path | None:
    """Give the directory with the programs of a control plane, None when there is none."""
    for name in ("GKE_NOTEBOOK_CONTROL_PLANE", "KUBEBUILDER_ASSETS"):
        folder = os.environ.get(name)
        if folder and all((Path(folder) / program).exists() for program in _PROGRAMS):
            return Path(folder)
    return None


@contextlib.contextmanager
def running_plane(folder: Path, home: Path) -> Iterator[Plane]:
    """Run etcd, the API server, the controller manager and the scheduler on loopback.

    Args:
        folder: the programs.
        home: an empty directory for their state and logs.
    """
    (home / "tls").mkdir(parents=True)
    pems = certificates.ensure(home / "tls")
    authority = pems.authority.read_text()
    client, peer, secure = (_free_port() for _ in range(3))
    tokens = home / "tokens.csv"
    tokens.write_text(f"{TOKEN},admin,admin,system:masters\n")
    config = home / "kubeconfig"
    server = f"https://127.0.0.1:{secure}"
    config.write_text(kubeconfig.render(server, authority, TOKEN))
    etcd = next(path for path in (folder / "etcd", folder / "server") if path.exists())
    commands: list[list[str | Path]] = [
        [
            etcd, f"--data-dir={home / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        ],
        [
            folder / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={secure}", f"--tls-cert-file={pems.certificate}",
            f"--tls-private-key-file={pems.key}", f"--token-auth-file={tokens}", "--authorization-mode=Node,RBAC",
            f"--service-account-key-file={_public(pems.key)}", f"--service-account-signing-key-file={pems.key}",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/16",
            "--allow-privileged", f"--cert-dir={home / 'certs'}",
        ],
        [
            folder / "kube-controller-manager", f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0",
            f"--service-account-private-key-file={pems.key}", f"--root-ca-file={pems.authority}",
            "--controllers=*,-nodeipam,-cloud-node-lifecycle", "--kube-api-qps=500", "--kube-api-burst=1000",
        ],
        [
            folder / "kube-scheduler", f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0",
        ],
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for command in commands:
            name = Path(command[0]).name
            log = stack.enter_context((home / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home
            )
            stack.callback(_end, process)
            if name == "kube-apiserver":
                _wait_ready(server, authority, process, home / f"{name}.log")
        yield Plane(server, TOKEN, authority)


def _public(key: Path) -> Path:
    """Write the public half of a private key beside it, and give its path."""
    from cryptography.hazmat.primitives import serialization

    public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
    file = key.with_suffix(".public.pem")
    file.write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return file


def shared() -> Plane | None:
    """Give the control plane that runs already, if one is named."""
    file = os.environ.get(SHARED)
    return Plane(**json.loads(Path(file).read_text())) if file else None


def _wait_ready(server: str, authority: str, process: subprocess.Popen[bytes], log: Path) -> None:
    context = ssl.create_default_context(cadata=authority)
    request = urllib.request.Request(f"{server}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    for _ in range(1200):
        assert process.poll() is None, log.read_text()[-2000:]
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(request, timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError("the API server did not become ready: " + log.read_text()[-2000:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
