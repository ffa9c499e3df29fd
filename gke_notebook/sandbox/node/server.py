"""The kubelet's HTTPS server: container logs, the pods, health, usage; on loopback, and only for its bearer token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from gke_notebook.sandbox import loopback
from gke_notebook.sandbox.node import log_reader, usage
from gke_notebook.sandbox.node.context import Context
from gke_notebook.sandbox.node.logs import LogWriter
from gke_notebook.sandbox.node.pods import PodWorker
from gke_notebook.sandbox.node.simulated import SimulatedPod

Object = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LogMissing(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """There is no such log; `status` is the HTTP status, the text is the kubelet's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class KubeletServer:
    """The server.

    Args:
        context: the agent's, for settings and for the logs that are being written.
        workers: the pods by uid.
    """

    def __init__(self, context: Context, workers: Mapping[str, PodWorker | SimulatedPod]) -> None:
        self._context = context
        self._workers = workers
        self._runner: web.AppRunner | None = None
        self._cpu: dict[str, float] = {}

    async def start(self) -> int:
        """Listen.

        Returns:
            The port.
        """
        config = self._context.config
        app = web.Application(middlewares=[loopback.refuse_foreign, self._authenticate])
        app.add_routes([
            web.get("/healthz", self._health),
            web.get("/pods", self._pods),
            web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs),
            web.get("/metrics/cadvisor", self._cadvisor),
        ])  # fmt: skip
        tls = None
        if config.tls_certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(config.tls_certificate, config.tls_key)
            if config.client_authority is not None:
                tls.load_verify_locations(config.client_authority)
                tls.verify_mode = ssl.CERT_OPTIONAL
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", config.kubelet_port, ssl_context=tls)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; streams that are open end."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not loopback.has_token(request, self._context.config.kubelet_token) and not _has_certificate(request):
            return web.Response(status=401, text="Unauthorized")
        return await handler(request)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _pods(self, _request: web.Request) -> web.Response:
        items = [worker.pod for worker in self._workers.values()]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def _find(self, namespace: str, name: str) -> PodWorker | SimulatedPod | None:
        for worker in self._workers.values():
            metadata = worker.pod["metadata"]
            if metadata["name"] == name and metadata.get("namespace", "default") == namespace:
                return worker
        return None

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        try:
            options = log_reader.parse_options(request.query)
            path, writer = self._log(request)
        except ValueError as error:
            return web.Response(status=422, text=str(error))
        except LogMissing as error:
            return web.Response(status=error.status, text=str(error))
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-store"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if path is not None:
            try:
                async for block in log_reader.read(path, options, writer):
                    await response.write(block)
                    await asyncio.sleep(0)  # a reader of a long log must not keep the others waiting
            except ConnectionResetError:
                return response
        await response.write_eof()
        return response

    def _log(self, request: web.Request) -> tuple[Path | None, LogWriter | None]:
        namespace, name, container = (request.match_info[key] for key in ("namespace", "pod", "container"))
        worker = self._find(namespace, name)
        if worker is None:
            raise LogMissing(404, f'pod "{name}" not found')
        spec = worker.pod["spec"]
        known = [entry["name"] for field in ("initContainers", "containers") for entry in spec.get(field) or []]
        if container not in known:
            raise LogMissing(404, f'container "{container}" not found in pod "{name}"')
        if isinstance(worker, SimulatedPod):
            return None, None  # it has written nothing
        restarts = _restarts(worker.directory.log(container, 0).parent)
        previous = request.query.get("previous", "").lower() in ("1", "t", "true")
        if previous:
            if len(restarts) < 2:
                raise LogMissing(400, f'previous terminated container "{container}" in pod "{name}" not found')
            return worker.directory.log(container, restarts[-2]), None
        if not restarts:
            record = next(record for record in worker.records if record.name == container)
            reason = (record.state.get("waiting") or {}).get("reason", "ContainerCreating")
            raise LogMissing(400, f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        path = worker.directory.log(container, restarts[-1])
        writer = self._context.writers.get((worker.pod["metadata"]["uid"], container))
        return path, writer if writer is not None and writer.path == path else None

    async def _cadvisor(self, _request: web.Request) -> web.Response:
        groups: dict[int, dict[str, str]] = {}
        for worker in self._workers.values():
            if isinstance(worker, PodWorker):
                for container in worker.containers:
                    if container.group is not None:
                        metadata = worker.pod["metadata"]
                        groups[container.group] = {
                            "container": container.record.name,
                            "id": container.record.container_id,
                            "image": container.record.image,
                            "namespace": metadata.get("namespace", "default"),
                            "node": worker.pod["spec"]["nodeName"],
                            "pod": metadata["name"],
                        }
        found = await asyncio.get_running_loop().run_in_executor(None, usage.by_session, list(groups))
        rows = []
        seen: dict[str, float] = {}
        for group, labels in groups.items():
            used = found.get(group, usage.Usage())
            # A process that ends unwaited-for takes its CPU time along; a counter must not fall.
            cpu = seen[labels["id"]] = max(used.cpu_seconds, self._cpu.get(labels["id"], 0.0))
            rows.append((labels, usage.Usage(cpu, used.memory_bytes)))
        self._cpu = seen
        return web.Response(text=usage.render(rows), content_type="text/plain")


def _restarts(directory: Path) -> list[int]:
    """List the instances of a container that have a log, oldest first."""
    if not directory.is_dir():
        return []
    return sorted(int(path.name[: -len(".log")]) for path in directory.iterdir() if path.name.endswith(".log"))


def _has_certificate(request: web.Request) -> bool:
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    return tls is not None and tls.getpeercert() not in (None, {})
