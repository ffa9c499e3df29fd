"""One container of a pod: its start, its restarts, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.node import environment, events, images, log_reader, names, process, status, volumes
from gke_notebook.sandbox.node.context import (
    ACCOUNT,
    ACCOUNT_PATH,
    SHIM,
    Context,
    PodDirectory,
    base_environment,
    search_path,
)
from gke_notebook.sandbox.node.environment import ConfigError, Sources
from gke_notebook.sandbox.node.logs import LogWriter
from gke_notebook.sandbox.node.paths import PathMap
from gke_notebook.sandbox.node.status import Backoff, ContainerRecord

Object = dict[str, Any]
_log = logging.getLogger(__name__)

DEFAULT_TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LIMIT = 4096  # bytes of a termination message (Kubernetes API reference, Container)
FALLBACK_LIMIT, FALLBACK_LINES = 2048, 80  # of the log, with FallbackToLogsOnError (the same)
_CONFIG_RETRY_FIRST, _CONFIG_RETRY_MOST = 0.5, 10.0


class Container:
    """A container.

    Args:
        context: what the agent's pods share.
        pod: the pod's manifest.
        spec: the container's own part of it.
        record: what is known of it; changed in place.
        directory: the pod's directory.
        volume_directories: where the pod's volumes lie.
        changed: called when the record has changed.
    """

    def __init__(
        self,
        context: Context,
        pod: Object,
        spec: Object,
        *,
        record: ContainerRecord,
        directory: PodDirectory,
        volume_directories: Mapping[str, Path],
        changed: Callable[[], None],
    ) -> None:
        self._context = context
        self._pod = pod
        self.spec = spec
        self.record = record
        self._directory = directory
        self._volumes = volume_directories
        self._changed = changed
        self._process: process.Process | None = None
        self._current: asyncio.Task[int] | None = None
        self._stopping = False
        self._backoff = Backoff()
        self._ran = 0.0
        kind = "initContainers" if record.init else "containers"
        self._field_path = f"spec.{kind}{{{record.name}}}"
        self.started = asyncio.Event()

    async def run(self, policy: str) -> int:
        """Run it until it has ended and is not started again.

        Args:
            policy: the restart policy that counts for it.

        Returns:
            Its last exit code.
        """
        if self.record.exit_code is not None:  # an earlier agent has run it
            if self.record.final:
                return self.record.exit_code
            self.record.last_state = self.record.state
            self.record.restarts += 1
        while True:
            code = await self._once()
            if self._stopping or not status.restarts_after(policy, code):
                self.record.final = True
                self._changed()
                return code
            self._changed()
            await self._back_off()

    async def _back_off(self) -> None:
        delay = self._backoff.next(self._ran)
        self.record.last_state = self.record.state
        if delay:
            metadata = self._pod["metadata"]
            where = f"{metadata['name']}_{metadata.get('namespace', 'default')}({metadata['uid']})"
            self._wait(
                "CrashLoopBackOff",
                f"back-off {_duration(delay)} restarting failed container={self.record.name} pod={where}",
            )
            self._event("Warning", "BackOff", f"Back-off restarting failed container {self.record.name} in pod {where}")
            await asyncio.sleep(delay)
        self.record.restarts += 1

    def _wait(self, reason: str, message: str = "") -> None:
        self.record.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self._changed()

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._context.events.pod(self._pod, kind, reason, message, container=self._field_path)

    async def _once(self) -> int:
        await self._pull()
        arguments, variables, working = await self._configure()
        # From here on nothing is left half done, whoever cancels the pod: the process is ours until it has ended.
        self._current = asyncio.create_task(self._execute(arguments, variables, working))
        return await asyncio.shield(self._current)

    async def _pull(self) -> None:
        image = str(self.spec.get("image", ""))
        if images.image_name(image) is None:
            text = (
                f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
                "invalid reference format"
            )
            self._event("Warning", "InspectFailed", text)
            self._event("Warning", "Failed", "Error: InvalidImageName")
            self._wait("InvalidImageName", text)
            await asyncio.Event().wait()  # as on a kubelet, only a deletion or a deadline ends this
        key = (self._pod["spec"]["nodeName"], image)
        if key in self._context.pulled and not images.pulls_always(self.spec):
            self._event("Normal", "Pulled", f'Container image "{image}" already present on machine')
        else:
            self._event("Normal", "Pulling", f'Pulling image "{image}"')
            seconds = images.pull_seconds(image, self._context.slow_pull)
            await asyncio.sleep(seconds)
            self._context.pulled.add(key)
            took = f"in {seconds:g}s ({seconds:g}s including waiting)"
            self._event("Normal", "Pulled", f'Successfully pulled image "{image}" {took}. Image size: 0 bytes.')

    async def _configure(self) -> tuple[list[str], dict[str, str], Path]:
        delay = _CONFIG_RETRY_FIRST
        while True:
            try:
                return await self._prepare()
            except ConfigError as error:
                text = str(error)
                reason = "CreateContainerError" if "container spec" in text else "CreateContainerConfigError"
                self._event("Warning", "Failed", f"Error: {text}")
                self._wait(reason, text)
            except (ApiError, ClusterUnreachable) as error:
                _log.warning("container %s of pod %s waits: %s", self.record.name, self._pod["metadata"]["name"], error)
            await asyncio.sleep(delay)
            delay = min(_CONFIG_RETRY_MOST, delay * 2)

    async def _prepare(self) -> tuple[list[str], dict[str, str], Path]:
        found = await self._context.sources(self._pod, environment.references(self._pod))
        allocatable = self._context.allocatable.get(self._pod["spec"]["nodeName"], {})
        sources = Sources(self._pod, allocatable, found)
        scope = self._context.scope(self._pod)
        self.record.container_id = f"containerd://{secrets.token_hex(32)}"
        base = base_environment(self._directory, scope, self._context, self.record.container_id)
        interpreter = images.interpreter_for(str(self.spec.get("image", "")), self._context.config.runtimes)
        self.record.image_id = f"process://{interpreter}"
        declared = environment.environment(self.spec, sources, {**base, "PATH": ":".join(images.SYSTEM_DIRECTORIES)})
        arguments = environment.arguments(self.spec, {**base, **declared})

        own_files = self._directory.files(self.record.name)
        shutil.rmtree(own_files, ignore_errors=True)
        own_files.mkdir(parents=True)
        try:
            mounted = volumes.mounts(self.spec, self._volumes)
        except volumes.MountError as error:
            raise ConfigError(str(error)) from error
        termination = self._directory.termination_log(self.record.name)
        termination.write_bytes(b"")
        mapping = {**mounted, self._termination_path: str(termination)}
        working_directory = str(self.spec.get("workingDir") or "")
        working = own_files
        if working_directory:
            under = PathMap(mapping).resolve(working_directory)
            working = Path(under) if under else own_files / working_directory.strip("/")
            working.mkdir(parents=True, exist_ok=True)
            if not under:
                mapping[working_directory] = str(working)
        paths = PathMap(mapping)

        arguments = names.rewrite_arguments(arguments, {**base, **declared}, scope, self._context.port_of)
        arguments = [paths.rewrite(word) for word in arguments]
        rewritten = names.rewrite_environment(declared, scope, self._context.port_of)
        variables = {**base, **{key: paths.rewrite(value) for key, value in rewritten.items()}}
        if paths.resolve("/tmp") and "TMPDIR" not in declared:  # noqa: S108 - a path in the container
            variables["TMPDIR"] = str(paths.resolve("/tmp"))  # noqa: S108
        if ACCOUNT_PATH in mounted:
            variables[ACCOUNT] = mounted[ACCOUNT_PATH]
        variables["PATH"] = search_path(interpreter, variables.get("PATH"), self._context)
        variables["PYTHONPATH"] = ":".join(filter(None, [str(SHIM), variables.get("PYTHONPATH")]))
        return arguments, variables, working

    @property
    def _termination_path(self) -> str:
        return str(self.spec.get("terminationMessagePath") or DEFAULT_TERMINATION_LOG)

    async def _execute(self, arguments: list[str], variables: dict[str, str], working: Path) -> int:
        if self._stopping:
            raise asyncio.CancelledError
        metadata = self._pod["metadata"]
        log_path = self._directory.log(self.record.name, self.record.restarts)
        if self.record.restarts > 1:  # a kubelet keeps one dead instance of a container
            for old in log_path.parent.glob(f"{self.record.restarts - 2}.log*"):
                old.unlink()
        log = LogWriter(log_path)
        key = (metadata["uid"], self.record.name)
        self._context.writers[key] = log
        begun = events.now()
        clock = time.monotonic()
        self._event("Normal", "Created", f"Created container: {self.record.name}")
        try:
            running = process.start(arguments, variables, working, log, self.record.container_id)
        except process.StartError as error:
            log.close()
            self._ran = 0.0
            self._event("Warning", "Failed", f"Error: {error}")
            self.record.state = status.terminated(
                128,
                started="1970-01-01T00:00:00Z",
                finished=events.now(),
                container_id=self.record.container_id,
                message=str(error),
                reason="StartError",
            )
            self.started.set()
            return 128
        self._process = running
        self._context.reaper.add(running.group)
        self.record.state = {"running": {"startedAt": begun}}
        self._event("Normal", "Started", f"Started container {self.record.name}")
        self.started.set()
        self._changed()
        code = await running.wait()
        self._context.reaper.remove(running.group)
        self._process = None
        self._ran = time.monotonic() - clock
        message = await self._message(code, log_path)
        self.record.state = status.terminated(
            code, started=begun, finished=events.now(), container_id=self.record.container_id, message=message
        )
        return code

    async def _message(self, code: int, log_path: Path) -> str:
        try:
            with self._directory.termination_log(self.record.name).open("rb") as file:
                text = file.read(TERMINATION_LIMIT)
        except OSError:
            text = b""
        if not text and code != 0 and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            options = log_reader.LogOptions(tail=FALLBACK_LINES)
            text = b"".join([block async for block in log_reader.read(log_path, options)])[-FALLBACK_LIMIT:]
        return text.decode(errors="replace")

    @property
    def group(self) -> int | None:
        """The process group that runs now."""
        return self._process.group if self._process is not None else None

    async def stop(self, grace: float) -> None:
        """End it: SIGTERM to its process group, SIGKILL after the grace; return when it has ended.

        Args:
            grace: seconds.
        """
        self._stopping = True
        current = self._current
        if current is None or current.done():
            return
        if self._process is not None:
            self._event("Normal", "Killing", f"Stopping container {self.record.name}")
            if grace > 0:
                self._process.signal(signal.SIGTERM)
                await asyncio.wait({current}, timeout=grace)
        self.kill()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({current})
        self.record.final = True

    def kill(self) -> None:
        """Send SIGKILL now."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    async def sweep(self) -> None:
        """End processes that have left the container's group."""
        if self.record.container_id:
            await asyncio.get_running_loop().run_in_executor(
                None, process.kill_marked, process.CONTAINER_MARKER, self.record.container_id
            )


def _duration(seconds: float) -> str:
    """Format a duration as Go does: ``10s``, ``1m20s``."""
    minutes, rest = divmod(int(seconds), 60)
    return re.sub(r"^0m", "", f"{minutes}m{rest}s")
