"""A list of 5,000 pods through our client into Structs, beside the typed `kubernetes` client, from the same bytes.

In CPU time of the client, which a busy machine does not change much, and by the clock.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from benchmarks._feed import PODS, feed

GOAL = 20.0


def ours(port: int, rounds: int) -> list[tuple[float, float]]:
    import msgspec

    from gke_notebook import objects
    from gke_notebook.cluster.client import Client
    from gke_notebook.cluster.connection import Connection
    from gke_notebook.cluster.resources import PODS as RESOURCE

    pod_list = msgspec.defstruct("PodList", [("items", list[objects.Pod])])
    decoder = msgspec.json.Decoder(pod_list)

    async def run() -> list[tuple[float, float]]:
        times: list[Any] = []
        async with Client(Connection(f"http://127.0.0.1:{port}")) as client:
            for _ in range(rounds):
                begun = now()
                listed = decoder.decode(await client.list_raw(RESOURCE, "research"))
                times.append(tuple(end - start for start, end in zip(begun, now(), strict=True)))
                assert len(listed.items) == PODS
                assert listed.items[-1].status.phase == "Running"
        return times

    return asyncio.run(run())


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def typed(port: int, rounds: int) -> list[tuple[float, float]]:
    from kubernetes import client

    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{port}"
    api = client.CoreV1Api(client.ApiClient(configuration))
    times: list[Any] = []
    for _ in range(rounds):
        begun = now()
        listed = api.list_namespaced_pod("research")
        times.append(tuple(end - start for start, end in zip(begun, now(), strict=True)))
        assert len(listed.items) == PODS
    return times


def main() -> None:
    with feed() as server:
        port = server["port"]
        mine = ours(port, 6)[1:]
        peer = typed(port, 3)
    (wall, cpu), (peer_wall, peer_cpu) = (
        [statistics.median(times[place] for times in rounds) for place in (0, 1)] for rounds in (mine, peer)
    )
    print(
        f"list of {PODS} pods ({server['list_bytes'] / 2**20:.1f} MiB): "
        f"ours {cpu:.3f} s CPU, {wall:.3f} s by the clock; "
        f"kubernetes typed {peer_cpu:.3f} s CPU, {peer_wall:.3f} s by the clock: "
        f"{peer_cpu / cpu:.1f} times less CPU, {peer_wall / wall:.1f} times faster (goal: {GOAL:.0f})"
    )


if __name__ == "__main__":
    main()
