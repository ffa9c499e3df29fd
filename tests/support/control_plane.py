"""A real control plane for tests, by the sandbox's own code; ended for certain, even when the tests are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from gke_notebook.cluster.connection import Connection
from gke_notebook.errors import InvalidInput
from gke_notebook.sandbox import kubeconfig
from gke_notebook.sandbox.controlplane import binaries, build
from gke_notebook.sandbox.controlplane.credentials import Person
from gke_notebook.sandbox.controlplane.run import ControlPlane, Settings
from tests.support.apiserver import TOKEN

ADMIN = Person(TOKEN, "admin", ("system:masters",))
HOW = "no control plane is built: run `make control-plane` (needs Go; ten minutes, once), or set KUBEBUILDER_ASSETS"


@dataclass(frozen=True)
class Details:
    """A control plane that runs.

    Args:
        server: the API server's URL.
        authority: the PEM file of the authority to trust.
        token: the bearer token of the user `admin` of ``system:masters``.
        kubeconfig: a file that leads kubectl to it.
        logs: the directory of the components' logs.
        client_authority: whose client certificates a kubelet must accept.
        connection: for a `cluster.Client` of any event loop.
    """

    server: str
    authority: Path
    token: str = field(repr=False)
    kubeconfig: Path = field(repr=False)
    logs: Path = field(repr=False)
    client_authority: Path = field(repr=False)
    connection: Connection = field(repr=False)


@cache
def find_control_plane() -> binaries.Binaries | None:
    """Give the programs of a control plane, None when there are none: $KUBEBUILDER_ASSETS, then the built ones."""
    for folder in (os.environ.get(binaries.ENVIRONMENT), build.folder()):
        if folder:
            with contextlib.suppress(InvalidInput):
                return binaries.find(Path(folder))
    return None


@contextlib.contextmanager
def control_plane(
    directory: Path,
    *,
    jobset: bool = False,
    kueue: bool = False,
    controllers: bool = True,
    people: tuple[Person, ...] = (),
    namespace: str = "default",
) -> Iterator[Details]:
    """Run a control plane in a thread of this process.

    Args:
        directory: for its state and logs; empty, or of an earlier run.
        jobset: run JobSet too.
        kueue: run Kueue too.
        controllers: run kube-controller-manager and kube-scheduler.
        people: users besides `admin`.
        namespace: the connection's namespace.
    """
    found = find_control_plane()
    assert found is not None, HOW
    wanted = tuple(name for name, asked in (("jobset", jobset), ("kueue", kueue)) if asked)
    settings = Settings(
        found, directory / "control-plane", directory / "logs", directory / "tls", (ADMIN, *people), add_ons=wanted,
        controllers=controllers, durable=False,
    )  # fmt: skip
    ready, stop = threading.Event(), threading.Event()
    trouble: list[BaseException] = []
    planes: list[ControlPlane] = []

    async def serve() -> None:
        plane = ControlPlane(settings)
        await plane.start()
        planes.append(plane)
        ready.set()
        try:
            await asyncio.get_running_loop().run_in_executor(None, stop.wait)
        finally:
            await plane.stop()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            trouble.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="control plane", daemon=True)
    thread.start()
    ready.wait()
    if trouble:
        raise trouble[0]
    plane = planes[0]
    config = directory / "kubeconfig"
    config.touch(mode=0o600)
    config.write_text(kubeconfig.render(plane.server, plane.authority, TOKEN, namespace))
    try:
        yield Details(
            plane.server, plane.certificates.authority, TOKEN, config, settings.logs, plane.client_authority,
            plane.connection(),
        )  # fmt: skip
    finally:
        stop.set()
        thread.join(30)
        if trouble:
            raise trouble[0]
