"""A 1,000-pod Indexed Job of no-op pods on simulated nodes, from its creation to every pod Running.

The peers in the same run are the real control plane with our node agent, where it is built, and the floor: creating
1,000 such pods directly, 32 requests in flight. Goals: at most 10 s, and faster than the real control plane.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks._sandbox import sandbox, servers
from gke_notebook.cluster import kubeconfig
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.reflector import Reflector
from gke_notebook.cluster.resources import JOBS, PODS
from gke_notebook.objects import Pod

PODS_WANTED = 1000
# Kept off the nodes that run processes: only the simulated ones have this machine type.
TEMPLATE: dict[str, Any] = {
    "restartPolicy": "Never",
    "nodeSelector": {"cloud.google.com/gke-nodepool": "simulated-pool"},
    "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "3600"]}],
}


class _Phases:
    """Counts pods by phase and wakes whoever waits for all to run."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.done = asyncio.Event()

    def replaced(self, objects: Any) -> None:
        for (_, name), pod in objects.items():
            self.changed(("", name), pod, None)

    def changed(self, key: tuple[str, str], value: Pod | None, previous: Pod | None) -> None:  # noqa: ARG002
        if value is not None and value.status.phase == "Running":
            self.running.add(key[1])
            if len(self.running) >= PODS_WANTED:
                self.done.set()


async def measure(path: str) -> tuple[float, float]:
    """Give the seconds of the job and of the floor."""
    async with Client(kubeconfig.load("sandbox", path)) as client:
        phases = _Phases()
        watch = asyncio.create_task(Reflector(client, PODS, Pod, "default", handler=phases).run())
        begun = time.perf_counter()
        await client.create(
            JOBS,
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "thousand"},
                "spec": {
                    "completions": PODS_WANTED,
                    "parallelism": PODS_WANTED,
                    "completionMode": "Indexed",
                    "template": {"spec": TEMPLATE},
                },
            },
            "default",
        )
        await asyncio.wait_for(phases.done.wait(), 240)
        job = time.perf_counter() - begun
        watch.cancel()
        gate = asyncio.Semaphore(32)

        async def one(number: int) -> None:
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"floor-{number}"},
                "spec": {**TEMPLATE, "schedulerName": "nobody"},
            }
            async with gate:
                await client.create(PODS, pod, "default")

        begun = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(PODS_WANTED)))
        return job, time.perf_counter() - begun


def main() -> None:
    """Print the figures."""
    jobs: dict[str, float] = {}
    for name, options in servers().items():
        with sandbox("--simulated-nodes", "20", *options) as status:
            job, floor = asyncio.run(measure(status["kubeconfig"]))
        jobs[name] = job
        print(
            f"{name}: 1,000-pod Indexed Job, created to all Running: {job:.2f} s; "
            f"1,000 pods created directly: {floor:.2f} s; ratio {job / floor:.1f}",
            flush=True,
        )
    if "real" in jobs:
        print(f"ratio real / embedded: {jobs['real'] / jobs['embedded']:.1f}")


if __name__ == "__main__":
    main()
