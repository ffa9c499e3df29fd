"""Watch events decoded and cached per second through the reflector, beside `kubernetes.watch`, from the same bytes.

Per second of CPU time of the client, which a busy machine does not change much, and per second of the clock.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks._feed import feed

EVENTS = 20_000
PEER_EVENTS = 4_000
GOAL = 60_000


def ours(port: int, rounds: int) -> list[tuple[float, float]]:
    from gke_notebook import objects
    from gke_notebook.cluster.client import Client
    from gke_notebook.cluster.connection import Connection
    from gke_notebook.cluster.reflector import Reflector
    from gke_notebook.cluster.resources import PODS

    class Count:
        def __init__(self, done: asyncio.Event) -> None:
            self.events, self.begun, self.ended, self.done = 0, (0.0, 0.0), (0.0, 0.0), done

        def replaced(self, _objects: object) -> None:
            self.begun = now()

        def changed(self, key: tuple[str, str], _value: object, _previous: object) -> None:
            self.events += 1
            if key[1] == "last":
                self.ended = now()
                self.done.set()

    async def once() -> tuple[float, float]:
        count = Count(asyncio.Event())
        async with Client(Connection(f"http://127.0.0.1:{port}")) as client:
            reflector: Reflector[objects.Pod] = Reflector(client, PODS, objects.Pod, "research", handler=count)
            task = asyncio.create_task(reflector.run())
            await count.done.wait()
            task.cancel()
            await asyncio.wait([task])
        assert count.events == EVENTS
        return rates(EVENTS, count.begun, count.ended)

    return [asyncio.run(once()) for _ in range(rounds)]


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def rates(events: int, begun: tuple[float, float], ended: tuple[float, float]) -> tuple[float, float]:
    """Give events per second of the clock and of CPU time."""
    return events / (ended[0] - begun[0]), events / (ended[1] - begun[1])


def typed(port: int) -> tuple[float, float]:
    from kubernetes import client, watch

    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{port}"
    api = client.CoreV1Api(client.ApiClient(configuration))
    watcher = watch.Watch()
    begun = now()
    seen = 0
    for _ in watcher.stream(api.list_namespaced_pod, "research", resource_version="5000"):
        seen += 1
        if seen == PEER_EVENTS:
            break
    ended = now()
    watcher.stop()
    return rates(seen, begun, ended)


def main() -> None:
    with feed(EVENTS) as server:
        mine = ours(server["port"], 5)
        peer = typed(server["port"])
    wall, cpu = (statistics.median(rates[place] for rates in mine) for place in (0, 1))
    best = max(rates[1] for rates in mine)
    print(
        f"watch events of {server['event_bytes']} bytes, decoded and cached: "
        f"{cpu:,.0f} per CPU second (best {best:,.0f}; goal: {GOAL:,}), {wall:,.0f}/s by the clock; "
        f"kubernetes.watch typed {peer[1]:,.0f} per CPU second, {peer[0]:,.0f}/s by the clock: "
        f"{cpu / peer[1]:.1f} times faster"
    )


if __name__ == "__main__":
    main()
