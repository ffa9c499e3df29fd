"""A list of 5,000 pods through our client into Structs, beside the typed `kubernetes` client, from the same bytes."""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks._feed import PODS, feed

GOAL = 20.0


def ours(port: int, rounds: int) -> list[float]:
    import msgspec

    from gke_notebook import objects
    from gke_notebook.cluster.client import Client
    from gke_notebook.cluster.connection import Connection
    from gke_notebook.cluster.resources import PODS as RESOURCE

    pod_list = msgspec.defstruct("PodList", [("items", list[objects.Pod])])
    decoder = msgspec.json.Decoder(pod_list)

    async def run() -> list[float]:
        times = []
        async with Client(Connection(f"http://127.0.0.1:{port}")) as client:
            for _ in range(rounds):
                begun = time.perf_counter()
                listed = decoder.decode(await client.list_raw(RESOURCE, "research"))
                times.append(time.perf_counter() - begun)
                assert len(listed.items) == PODS
                assert listed.items[-1].status.phase == "Running"
        return times

    return asyncio.run(run())


def typed(port: int, rounds: int) -> list[float]:
    from kubernetes import client

    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{port}"
    api = client.CoreV1Api(client.ApiClient(configuration))
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        listed = api.list_namespaced_pod("research")
        times.append(time.perf_counter() - begun)
        assert len(listed.items) == PODS
    return times


def main() -> None:
    with feed() as server:
        port = server["port"]
        mine = ours(port, 6)[1:]
        peer = typed(port, 3)
    ratio = statistics.median(peer) / statistics.median(mine)
    print(
        f"list of {PODS} pods ({server['list_bytes'] / 2**20:.1f} MiB): "
        f"ours {statistics.median(mine):.3f} s ({min(mine):.3f}-{max(mine):.3f}), "
        f"kubernetes typed {statistics.median(peer):.3f} s ({min(peer):.3f}-{max(peer):.3f}): "
        f"{ratio:.1f} times faster (goal: {GOAL:.0f})"
    )


if __name__ == "__main__":
    main()
