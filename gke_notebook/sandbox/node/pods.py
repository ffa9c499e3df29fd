"""One pod on a node that runs processes, from its binding to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.node import events, status, tokens, volumes
from gke_notebook.sandbox.node.containers import Container
from gke_notebook.sandbox.node.context import Context, PodDirectory, pod_directory_name
from gke_notebook.sandbox.node.environment import Sources
from gke_notebook.sandbox.node.status import ContainerRecord
from gke_notebook.sandbox.node.status_writer import StatusWriter, delete_now
from gke_notebook.sandbox.requests import amounts, requests

Object = dict[str, Any]
_log = logging.getLogger(__name__)
_MOUNT_RETRY_FIRST, _MOUNT_RETRY_MOST = 0.5, 122.0  # seconds; the kubelet's, which doubles too
ENDED = ("Succeeded", "Failed")


class PodWorker:
    """Runs one pod.

    Args:
        context: what the agent's pods share.
        pod: the pod's manifest as it is bound.
        used: gives what the other pods of a node have requested, to see whether the pod fits.
    """

    def __init__(self, context: Context, pod: Object, used: Callable[[str, str], Mapping[str, int]]) -> None:
        self._context = context
        self.pod = pod
        self._used = used
        spec = pod["spec"]
        self._policy = str(spec.get("restartPolicy") or "Always")
        self.directory = PodDirectory(context.config.directory / pod_directory_name(pod))
        self._previous: Object = pod.get("status") or {}
        self._started = self._previous.get("startTime") or events.now()
        self.records = _records(pod)
        self.containers: list[Container] = []
        self._sandbox_ready = False
        self._terminal = False
        self._failed: tuple[str, str] | None = None
        self._rejected: tuple[str, str] | None = None
        self._stop = asyncio.Event()
        self._killed = asyncio.Event()
        self._node_ends = asyncio.Event()
        self._grace = float("inf")
        self._reported = asyncio.Event()
        self._writer = StatusWriter(context, pod, self._status, self._written)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take the pod in or reject it, and begin."""
        if self._previous.get("phase") not in ENDED:
            self._rejected = self._admit()
        self.task = asyncio.create_task(self._run(), name=f"pod {self.pod['metadata']['name']}")

    @property
    def ended(self) -> bool:
        """Whether all its containers have ended for good."""
        return self._terminal or self._rejected is not None or self._previous.get("phase") in ENDED

    def update(self, pod: Object) -> None:
        """Take a newer manifest; a deletion timestamp begins the end."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._stop.set()

    async def end_with_node(self, grace: float) -> None:
        """Fail the pod because its node shuts down, and wait until that is reported.

        Args:
            grace: seconds between SIGTERM and SIGKILL at most.
        """
        if self.task is None or self.ended:
            return
        self._grace = grace
        self._node_ends.set()
        await self._reported.wait()

    def vanished(self) -> None:
        """Take note that the pod is no longer in the API server: end it at once."""
        self._killed.set()
        self._stop.set()
        for container in self.containers:
            container.kill()

    async def shut_down(self, grace: float) -> None:
        """End its processes because the agent ends; nothing is reported.

        Args:
            grace: seconds between SIGTERM and SIGKILL.
        """
        self._writer.cancel()
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
        await asyncio.gather(*(container.stop(grace) for container in self.containers))
        await self._sweep()
        self._writer.cancel()

    def _written(self, pod: Object) -> None:
        self._previous = pod.get("status") or {}

    def _status(self) -> Object:
        return status.pod_status(
            self.records,
            previous=self._previous,
            started=self._started,
            now=events.now(),
            sandbox_ready=self._sandbox_ready,
            terminal=self._terminal,
            failed=self._failed if self._terminal else None,
        )

    async def _run(self) -> None:
        try:
            if self._previous.get("phase") not in ENDED:
                await self._live()
            self._terminal = True
            await self._stop.wait()
            if not self._killed.is_set():
                await self._delete()
        except Exception:  # a defect must not leave a task that nobody looks at
            _log.exception("pod %s", self.pod["metadata"]["name"])

    async def _live(self) -> None:
        if self._rejected is not None:
            self._failed = reason, text = self._rejected
            self._context.events.pod(self.pod, "Warning", reason, text.removeprefix("Pod was rejected: "))
            self.records.clear()
        else:
            try:
                await self._supervise()
            except Exception as error:  # a full disk, or a defect: the pod fails, and the others go on
                _log.exception("pod %s", self.pod["metadata"]["name"])
                self._failed = ("NodeAgentError", f"the node agent failed: {type(error).__name__}: {error}")
                await self._stop_containers()
        self._terminal = True
        if not self._killed.is_set():
            self._writer.changed()
            await self._writer.flush()
        self._reported.set()
        await self._sweep()

    def _admit(self) -> tuple[str, str] | None:
        node = str(self.pod["spec"]["nodeName"])
        if node in self._context.shutting_down:
            return "NodeShutdown", "Pod was rejected as the node is shutting down."
        allocatable = self._context.allocatable.get(node, {})
        used = self._used(node, self.pod["metadata"]["uid"])
        wanted = {"pods": 1, **requests(self.pod["spec"])}
        return rejection(wanted, used, amounts(allocatable))

    async def _supervise(self) -> None:
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stop.wait())
        node = asyncio.create_task(self._node_ends.wait())
        waited = {work, stop, node}
        try:
            done, _ = await asyncio.wait(waited, timeout=self._deadline(), return_when=asyncio.FIRST_COMPLETED)
            if work in done:
                work.result()
                return
            if node in done and stop not in done:
                self._failed = status.NODE_SHUTDOWN
            elif stop not in done:
                text = "Pod was active on the node longer than the specified deadline"
                self._failed = ("DeadlineExceeded", text)
                self._context.events.pod(self.pod, "Normal", "DeadlineExceeded", text)
            work.cancel()
            await asyncio.wait({work})
            await self._stop_containers()
        finally:
            for task in (work, stop, node):
                task.cancel()

    def _deadline(self) -> float | None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return None
        import datetime

        started = datetime.datetime.fromisoformat(str(self._started).replace("Z", "+00:00"))
        passed = (datetime.datetime.now(datetime.timezone.utc) - started).total_seconds()
        return max(0.0, float(seconds) - passed)

    async def _stop_containers(self) -> None:
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        grace = float(spec.get("terminationGracePeriodSeconds", 30))
        if metadata.get("deletionGracePeriodSeconds") is not None:
            grace = float(metadata["deletionGracePeriodSeconds"])
        grace = 0.0 if self._killed.is_set() else min(grace, self._grace)
        mains = [container for container in self.containers if not container.record.sidecar]
        await asyncio.gather(*(container.stop(grace) for container in mains))
        sidecars = [container for container in self.containers if container.record.sidecar]
        for container in reversed(sidecars):
            await container.stop(grace)

    async def _work(self) -> None:
        """Bring the pod's containers to their end, or to run for ever."""
        self._writer.changed()
        directories = await self._mount()
        self._sandbox_ready = True
        fresh = asyncio.create_task(tokens.keep_fresh(self.pod, self._write_volumes))
        spec = self.pod["spec"]
        by_name = {record.name: record for record in self.records}

        def make(container: Object) -> Container:
            made = Container(
                self._context,
                self.pod,
                container,
                record=by_name[container["name"]],
                directory=self.directory,
                volume_directories=directories,
                changed=self._writer.changed,
            )
            self.containers.append(made)
            return made

        sidecars: list[asyncio.Task[int]] = []
        mains: list[asyncio.Task[int]] = []
        try:
            for init in spec.get("initContainers") or []:
                container = make(init)
                if container.record.sidecar:
                    sidecars.append(asyncio.create_task(container.run("Always")))
                    await container.started.wait()
                # Tried again unless the pod is never restarted (Kubernetes documentation, "Init Containers").
                elif await container.run("Never" if self._policy == "Never" else "OnFailure") != 0:
                    return
            mains = [asyncio.create_task(make(container).run(self._policy)) for container in spec["containers"]]
            await _all(mains)
            for task in sidecars:
                task.cancel()
            for container in self.containers:
                if container.record.sidecar:
                    await container.stop(float(spec.get("terminationGracePeriodSeconds", 30)))
        finally:
            fresh.cancel()
            for task in (*sidecars, *mains):
                task.cancel()

    async def _mount(self) -> dict[str, Path]:
        scope = self._context.scope(self.pod)
        self.directory.create(scope, self._context.ports, self._context.services(scope.namespace))
        held = self.pod["spec"].get("volumes") or []
        delay = _MOUNT_RETRY_FIRST
        while True:
            problem = ""
            try:
                await self._write_volumes(held)
            except volumes.MountError as error:
                problem = str(error)
            except (ApiError, ClusterUnreachable) as error:
                problem = f"MountVolume.SetUp failed: {error}"
            if not problem:
                return {volume["name"]: self.directory.volume(volume["name"]) for volume in held}
            self._context.events.pod(self.pod, "Warning", "FailedMount", problem)
            await asyncio.sleep(delay)
            delay = min(_MOUNT_RETRY_MOST, delay * 2)

    async def _write_volumes(self, held: list[Object]) -> None:
        wanted = volumes.references(held)
        found = await self._context.sources(self.pod, wanted) if wanted else {}
        sources = Sources(self.pod, self._context.allocatable.get(self.pod["spec"]["nodeName"], {}), found)
        for volume in held:
            volumes.write(self.directory.volume(volume["name"]), volumes.files(volume, sources))

    async def _sweep(self) -> None:
        await asyncio.gather(*(container.sweep() for container in self.containers))

    async def _delete(self) -> None:
        delay = 0.2
        while not self._killed.is_set():
            try:
                await delete_now(self._context.client, self.pod)
            except (ApiError, ClusterUnreachable) as error:
                _log.warning("pod %s not deleted: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(delay)
                delay = min(10.0, delay * 2)
            else:
                return

    def remove_files(self) -> None:
        """Remove everything of it from this machine."""
        for container in self.records:
            self._context.writers.pop((self.pod["metadata"]["uid"], container.name), None)
        shutil.rmtree(self.directory.root, ignore_errors=True)


async def _all(tasks: list[asyncio.Task[int]]) -> None:
    """Wait for all tasks; the first error counts."""
    waiting: Awaitable[list[int]] = asyncio.gather(*tasks)
    await waiting


def rejection(
    wanted: Mapping[str, int], used: Mapping[str, int], allocatable: Mapping[str, int]
) -> tuple[str, str] | None:
    """Say why a node cannot take a pod, as a kubelet does, or None when it can.

    Args:
        wanted: what the pod requests.
        used: what the node's other pods request.
        allocatable: what the node has for pods.

    Example:
        >>> rejection({"cpu": 2000}, {}, {"cpu": 1000})[0]
        'OutOfcpu'
    """
    for name, amount in wanted.items():
        have, taken = allocatable.get(name, 0), used.get(name, 0)
        if amount > 0 and taken + amount > have:
            text = f"Node didn't have enough resource: {name}, requested: {amount}, used: {taken}, capacity: {have}"
            return f"OutOf{name}", f"Pod was rejected: {text}"
    return None


def _records(pod: Object) -> list[ContainerRecord]:
    """Make the records of a pod's containers, init containers first, with what an earlier agent has reported."""
    spec, before = pod["spec"], pod.get("status") or {}
    policy = str(spec.get("restartPolicy") or "Always")
    records = []
    for field, status_field in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        reported = {entry["name"]: entry for entry in before.get(status_field) or []}
        for container in spec.get(field) or []:
            init = field == "initContainers"
            record = ContainerRecord(
                container["name"],
                str(container.get("image", "")),
                init=init,
                sidecar=init and container.get("restartPolicy") == "Always",
            )
            if init or spec.get("initContainers"):
                record.state = {"waiting": {"reason": "PodInitializing"}}
            if container["name"] in reported:
                own = "Always" if record.sidecar else ("OnFailure" if init and policy != "Never" else policy)
                status.vanished(record, reported[container["name"]], own)
            records.append(record)
    return records
