"""The sandbox's main process: the API server over TLS, the GKE and metrics APIs, and the agents as a child."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gke_notebook._version import __version__
from gke_notebook.sandbox.home import Home, read_or_make_token, write_private
from gke_notebook.sandbox.options import AgentSettings, Options, Ports, Running

if TYPE_CHECKING:
    from aiohttp import web

_log = logging.getLogger("gke_notebook.sandbox")
LOOPBACK = "127.0.0.1"
_STOP_SECONDS = 12.0  # agents give pods up to their grace period, at most this long in all


def listen(port: int) -> socket.socket:
    """Open a listening socket on loopback.

    Args:
        port: the port to have if it is free; any other otherwise.
    """
    for candidate in (port, 0) if port else (0,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, candidate))
        except OSError:
            listener.close()
            continue
        listener.listen(1024)
        listener.setblocking(False)
        return listener
    raise OSError(f"no free port on {LOOPBACK}")


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

    async def run(self) -> None:
        """Serve until a signal asks to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        # The agents load their modules on the other core while the servers load theirs here: half of the time to ready.
        self.agents = await _start_agents()
        from gke_notebook.sandbox import certificates, kubeconfig
        from gke_notebook.sandbox.apiserver.app import ServerConfig, User, create_app
        from gke_notebook.sandbox.apiserver.store import Store
        from gke_notebook.sandbox.gke.app import GkeState
        from gke_notebook.sandbox.gke.app import create_app as create_gke_app
        from gke_notebook.sandbox.metrics.app import MetricsState
        from gke_notebook.sandbox.metrics.app import create_app as create_metrics_app
        from gke_notebook.sandbox.pools import default_pools

        pems = certificates.ensure(self.home.tls)
        token = read_or_make_token(self.home.token_file)
        kubelet_token = read_or_make_token(self.home.kubelet_token_file)
        wanted = self._wanted_ports()
        sockets = [listen(port) for port in (wanted.kubernetes, wanted.gke, wanted.prometheus)]
        ports = Ports(*(listener.getsockname()[1] for listener in sockets))
        write_private(self.home.ports_file, msgspec.json.encode(ports).decode())
        server = f"https://{LOOPBACK}:{ports.kubernetes}"
        authority = pems.authority.read_text()

        store = Store.open(self.home.data)
        config = ServerConfig(
            tokens={token: User(getpass.getuser(), ("system:masters", "system:authenticated"))},
            kubelet_token=kubelet_token,
            port=ports.kubernetes,
        )
        pools = default_pools(self.options.simulated_nodes)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pems.certificate, pems.key)
        gke = GkeState(pools=pools, endpoint=f"{LOOPBACK}:{ports.kubernetes}", authority_pem=authority, token=token)
        metrics = MetricsState(store=store, kubelet_token=kubelet_token, token=token)
        runners = [
            await _serve(create_app(store, config), sockets[0], tls),
            await _serve(create_gke_app(gke), sockets[1]),
            await _serve(create_metrics_app(metrics), sockets[2]),
        ]
        write_private(self.home.kubeconfig, kubeconfig.render(server, authority, token))
        settings = AgentSettings(
            server=server, token=token, authority=str(pems.authority), kubelet_token=kubelet_token,
            certificate=str(pems.certificate), key=str(pems.key), directory=str(self.home.pods), options=self.options,
        )  # fmt: skip
        running = Running(
            state="running", pid=os.getpid(), ready=False, kubernetes=server, gke=f"http://{LOOPBACK}:{ports.gke}",
            prometheus=f"http://{LOOPBACK}:{ports.prometheus}", kubeconfig=str(self.home.kubeconfig),
            token_file=str(self.home.token_file), home=str(self.home.root), started=time.time(), version=__version__,
            options=self.options,
        )  # fmt: skip
        write_private(self.home.run_file, msgspec.json.encode(running).decode())
        keeper = asyncio.create_task(self._keep_agents(settings, running))
        await self.stopping.wait()
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        await self._stop_agents()
        for runner in runners:
            await runner.cleanup()
        store.close()
        self.home.run_file.unlink(missing_ok=True)

    def _wanted_ports(self) -> Ports:
        try:
            last = msgspec.json.decode(self.home.ports_file.read_bytes(), type=Ports)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            last = Ports()
        return Ports(self.options.port, last.gke, last.prometheus) if self.options.port else last

    async def _keep_agents(self, settings: AgentSettings, running: Running) -> None:
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
                write_private(
                    self.home.run_file, msgspec.json.encode(msgspec.structs.replace(running, ready=True)).decode()
                )
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


async def _serve(app: web.Application, listener: socket.socket, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls, backlog=1024).start()
    return runner


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
    asyncio.run(Sandbox(home, msgspec.json.decode(arguments.options, type=Options)).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
