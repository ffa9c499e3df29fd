"""The sandbox's main process: the embedded API server or a real control plane, the GKE and metrics APIs, the agents."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import logging
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gke_notebook._version import __version__
from gke_notebook.errors import GkeNotebookError
from gke_notebook.sandbox.home import Home, read_or_make_token, write_private
from gke_notebook.sandbox.options import AgentSettings, Options, Ports, Running

if TYPE_CHECKING:
    from aiohttp import web

    from gke_notebook.sandbox.certificates import Certificates

_log = logging.getLogger("gke_notebook.sandbox")
_STOP_SECONDS = 12.0  # agents give pods up to their grace period, at most this long in all
_REPORTS = 5  # how many ends of components `status` shows


class ControlPlane(Protocol):
    """What answers as Kubernetes: the embedded server or real processes."""

    @property
    def port(self) -> int:
        """The API server's port, known from the beginning."""

    @property
    def components(self) -> tuple[str, ...]:
        """The names of its processes, none for the embedded one."""

    @property
    def client_authority(self) -> str:
        """The PEM file of the authority of its client certificate towards kubelets; empty: it shows the token."""

    async def start(self) -> None:
        """Start, and return when it is ready."""

    async def stop(self) -> None:
        """End."""


class Sandbox:
    """One run of the sandbox.

    Args:
        home: where its state is.
        options: how it was asked to be.
    """

    def __init__(self, home: Home, options: Options) -> None:
        self.home = home
        self.options = options
        self.stopping = asyncio.Event()
        self.agents: asyncio.subprocess.Process | None = None
        self.running: Running | None = None

    async def run(self) -> None:
        """Serve until a signal asks to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        # The agents load their modules on the other core while the servers load theirs here: half of the time to ready.
        self.agents = await _start_agents()
        from gke_notebook.cluster.connection import Connection, static_token
        from gke_notebook.sandbox import certificates, kubeconfig
        from gke_notebook.sandbox.embedded import LOOPBACK, listen, serve
        from gke_notebook.sandbox.gke.app import create_app as create_gke_app
        from gke_notebook.sandbox.gke.keeper import Keeper, open_fleet
        from gke_notebook.sandbox.gke.resources import Settings
        from gke_notebook.sandbox.metrics.app import MetricsState
        from gke_notebook.sandbox.metrics.app import create_app as create_metrics_app

        pems = certificates.ensure(self.home.tls)
        token = read_or_make_token(self.home.token_file)
        kubelet_token = read_or_make_token(self.home.kubelet_token_file)
        wanted = self._wanted_ports()
        plane = self._control_plane(pems, token, kubelet_token, wanted.kubernetes)
        sockets = [listen(port) for port in (wanted.gke, wanted.prometheus)]
        ports = Ports(plane.port, *(listener.getsockname()[1] for listener in sockets))
        write_private(self.home.ports_file, msgspec.json.encode(ports).decode())
        server = f"https://{LOOPBACK}:{ports.kubernetes}"
        authority = pems.authority.read_text()
        write_private(self.home.kubeconfig, kubeconfig.render(server, authority, token))
        self.running = Running(
            state="running", pid=os.getpid(), ready=False, kubernetes=server, gke=f"http://{LOOPBACK}:{ports.gke}",
            prometheus=f"http://{LOOPBACK}:{ports.prometheus}", kubeconfig=str(self.home.kubeconfig),
            token_file=str(self.home.token_file), home=str(self.home.root), started=time.time(), version=__version__,
            options=self.options, components=plane.components,
        )  # fmt: skip
        self._publish()

        fleet = open_fleet(self.home.fleet_file, self.options.simulated_nodes, self.options.clock)
        keeper = Keeper(fleet, self.home.fleet_file)
        gke = Settings(endpoint=f"{LOOPBACK}:{ports.kubernetes}", authority_pem=authority, token=token)
        connection = Connection(
            server, context="sandbox", tls=ssl.create_default_context(cafile=str(pems.authority)),
            token=static_token(token),
        )  # fmt: skip
        metrics = MetricsState(connection=connection, kubelet_token=kubelet_token, token=token)
        settings = AgentSettings(
            server=server, token=token, authority=str(pems.authority), kubelet_token=kubelet_token,
            certificate=str(pems.certificate), key=str(pems.key), directory=str(self.home.pods), options=self.options,
            controllers=not self.options.control_plane, client_authority=plane.client_authority,
            gke=self.running.gke,
        )  # fmt: skip
        runners: list[web.AppRunner] = []
        try:
            if await self._unless_stopped(plane.start()):
                runners = [
                    await serve(create_gke_app(keeper, gke), sockets[0]),
                    await serve(create_metrics_app(metrics), sockets[1]),
                ]
                tasks = [asyncio.create_task(keeper.run()), asyncio.create_task(self._keep_agents(settings))]
                await self.stopping.wait()
                for task in tasks:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
        finally:
            await self._stop_agents()
            for runner in runners:
                await runner.cleanup()
            await plane.stop()
            self.home.run_file.unlink(missing_ok=True)

    def _control_plane(self, pems: Certificates, token: str, kubelet_token: str, port: int) -> ControlPlane:
        if self.options.control_plane:
            from gke_notebook.sandbox.controlplane.sandboxed import Real

            return Real(self.home, Path(self.options.control_plane), token, port, self._report)
        from gke_notebook.sandbox.apiserver.auth import User
        from gke_notebook.sandbox.embedded import Embedded

        user = User(getpass.getuser(), ("system:masters", "system:authenticated"))
        return Embedded(self.home.data, pems, {token: user}, kubelet_token, port)

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> bool:
        """Wait for some work, unless a signal asks to stop; say whether it was done."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return False

    def _report(self, text: str) -> None:
        assert self.running is not None
        line = f"{time.strftime('%H:%M:%S')} {text}"
        self._publish(reports=(*self.running.reports, line)[-_REPORTS:])

    def _publish(self, **changes: Any) -> None:
        assert self.running is not None
        self.running = msgspec.structs.replace(self.running, **changes)
        write_private(self.home.run_file, msgspec.json.encode(self.running).decode())

    def _wanted_ports(self) -> Ports:
        try:
            last = msgspec.json.decode(self.home.ports_file.read_bytes(), type=Ports)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            last = Ports()
        return Ports(self.options.port, last.gke, last.prometheus) if self.options.port else last

    async def _keep_agents(self, settings: AgentSettings) -> None:
        """Start the agents, and start them again if they die."""
        delay = 0.2
        while True:
            started = time.monotonic()
            if self.agents is None or self.agents.returncode is not None:
                self.agents = await _start_agents()
            assert self.agents.stdin is not None
            assert self.agents.stdout is not None
            self.agents.stdin.write(msgspec.json.encode(settings) + b"\n")
            await self.agents.stdin.drain()  # it stays open: its end tells the agents that we are gone
            if await self.agents.stdout.readline():  # the nodes are registered
                self._publish(ready=True)
            code = await self.agents.wait()
            delay = 0.2 if time.monotonic() - started > 30 else min(5.0, delay * 2)
            _log.error("the agents ended with exit code %s; starting them again in %.1f s", code, delay)
            await asyncio.sleep(delay)

    async def _stop_agents(self) -> None:
        if self.agents is None or self.agents.returncode is not None:
            return
        self.agents.terminate()
        try:
            await asyncio.wait_for(self.agents.wait(), _STOP_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            self.agents.kill()  # the reaper ends the pods
            await self.agents.wait()


async def _start_agents() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gke_notebook.sandbox.agents",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run the sandbox in this process until it is told to stop.

    Args:
        argv: ``--home DIRECTORY --options JSON``.
    """
    parser = argparse.ArgumentParser(prog="gke_notebook.sandbox.main")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--options", default="{}")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    home = Home(arguments.home)
    home.create()
    lock = home.lock("running")
    if lock is None:
        print("a sandbox already runs from this home", file=sys.stderr)
        return 1
    # A descriptor that nothing closes: who sees the lock free may rely on this process being gone.
    os.dup(lock.fileno())
    try:
        asyncio.run(Sandbox(home, msgspec.json.decode(arguments.options, type=Options)).run())
    except GkeNotebookError as error:
        print(error, file=sys.stderr)  # the last words, which `sandbox up` shows
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
