"""Watch events decoded and cached per second through the reflector, beside `kubernetes.watch`, from the same bytes."""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks._feed import feed

EVENTS = 20_000
PEER_EVENTS = 4_000
GOAL = 60_000


def ours(port: int, rounds: int) -> list[float]:
    from gke_notebook import objects
    from gke_notebook.cluster.client import Client
    from gke_notebook.cluster.connection import Connection
    from gke_notebook.cluster.reflector import Reflector
    from gke_notebook.cluster.resources import PODS

    class Count:
        def __init__(self, done: asyncio.Event) -> None:
            self.events, self.begun, self.ended, self.done = 0, 0.0, 0.0, done

        def replaced(self, _objects: object) -> None:
            self.begun = time.perf_counter()

        def changed(self, key: tuple[str, str], _value: object, _previous: object) -> None:
            self.events += 1
            if key[1] == "last":
                self.ended = time.perf_counter()
                self.done.set()

    async def once() -> float:
        count = Count(asyncio.Event())
        async with Client(Connection(f"http://127.0.0.1:{port}")) as client:
            reflector: Reflector[objects.Pod] = Reflector(client, PODS, objects.Pod, "research", handler=count)
            task = asyncio.create_task(reflector.run())
            await count.done.wait()
            task.cancel()
            await asyncio.wait([task])
        assert count.events == EVENTS
        return EVENTS / (count.ended - count.begun)

    return [asyncio.run(once()) for _ in range(rounds)]


def typed(port: int) -> float:
    from kubernetes import client, watch

    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{port}"
    api = client.CoreV1Api(client.ApiClient(configuration))
    watcher = watch.Watch()
    begun = time.perf_counter()
    seen = 0
    for _ in watcher.stream(api.list_namespaced_pod, "research", resource_version="5000"):
        seen += 1
        if seen == PEER_EVENTS:
            break
    elapsed = time.perf_counter() - begun
    watcher.stop()
    return seen / elapsed


def main() -> None:
    with feed(EVENTS) as server:
        mine = ours(server["port"], 5)
        peer = typed(server["port"])
    middle = statistics.median(mine)
    print(
        f"watch events of {server['event_bytes']} bytes: ours {middle:,.0f}/s ({min(mine):,.0f}-{max(mine):,.0f}, "
        f"goal: {GOAL:,}), kubernetes.watch typed {peer:,.0f}/s: {middle / peer:.1f} times faster"
    )


if __name__ == "__main__":
    main()
