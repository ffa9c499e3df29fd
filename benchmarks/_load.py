"""What is done to an API server to measure it, the same for every server: one aiohttp client over TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DATA = {f"key-{number}": "value " * 4 for number in range(5)}
Request = tuple[str, Any]
"""A path and a body."""


@contextlib.asynccontextmanager
async def session(kubeconfig: str, connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client of the server that a kubeconfig file names."""
    import yaml

    config = yaml.safe_load(Path(kubeconfig).read_text())
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    async with aiohttp.ClientSession(
        cluster["server"],
        connector=aiohttp.TCPConnector(limit=connections, ssl=tls),
        headers={"Authorization": f"Bearer {token}"},
        timeout=aiohttp.ClientTimeout(total=None),
    ) as http:
        yield http


async def send(http: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> bytes:
    """Make one request that must succeed."""
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    data = None if body is None else json.dumps(body).encode()
    async with http.request(method, path, data=data, headers={"Content-Type": kind} if data else None) as response:
        content = await response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {content[:500].decode(errors='replace')}")
        return content


async def rate(
    http: aiohttp.ClientSession, method: str, count: int, workers: int, make: Callable[[int], Request]
) -> float:
    """Give requests per second."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await send(http, method, *make(number))

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(workers)))
    return count / (time.perf_counter() - begun)


async def requests(kubeconfig: str, connections: int, count: int) -> dict[str, float]:
    """Give POST, GET and PATCH of ConfigMaps per second."""
    async with session(kubeconfig, connections) as http:
        await rate(http, "GET", 10 * connections, connections, lambda _: (CONFIG_MAPS, None))
        name = f"load-{connections}-%d"
        post = await rate(http, "POST", count, connections, lambda number: (CONFIG_MAPS, config_map(name % number)))
        get = await rate(http, "GET", count, connections, lambda number: (f"{CONFIG_MAPS}/{name % number}", None))
        patch = await rate(
            http, "PATCH", count, connections,
            lambda number: (f"{CONFIG_MAPS}/{name % number}", {"data": {"key-0": str(number)}}),
        )  # fmt: skip
    return {"POST": post, "GET": get, "PATCH": patch}


def config_map(name: str) -> Any:
    """Make a small ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": DATA}


def pod(name: str) -> Any:
    """Make a pod that no scheduler places."""
    container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
    spec = {"schedulerName": "nobody", "restartPolicy": "Never", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "load"}}, "spec": spec}


async def fan_out(kubeconfig: str, watchers: int, changes: int) -> float:
    """Give delivered events per second: one writer, many watchers, until the last has seen the last change."""
    async with session(kubeconfig, watchers + 1) as http:
        await send(http, "POST", CONFIG_MAPS, config_map("fan-out"))
        watching: asyncio.Queue[None] = asyncio.Queue()

        async def watch() -> None:
            path = f"{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Dfan-out"
            async with http.get(path) as response:
                seen = 0
                async for line in response.content:
                    if not seen:
                        watching.put_nowait(None)  # the object as it is now comes first
                    seen += bool(line.strip())
                    if seen > changes:
                        return
                raise RuntimeError("a watch ended early")

        tasks = [asyncio.create_task(watch()) for _ in range(watchers)]
        for _ in tasks:
            await watching.get()
        begun = time.perf_counter()
        for number in range(changes):
            await send(http, "PATCH", f"{CONFIG_MAPS}/fan-out", {"data": {"key-0": str(number)}})
        await asyncio.gather(*tasks)
        return watchers * changes / (time.perf_counter() - begun)


async def listing(kubeconfig: str, count: int) -> float:
    """Give the seconds of a list of so many pods, the best of five; they are created first."""
    async with session(kubeconfig, 16) as http:
        await rate(http, "POST", count, 16, lambda number: (PODS, pod(f"listed-{number}")))
        best = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            content = await send(http, "GET", PODS)
            best = min(best, time.perf_counter() - begun)
        if content.count(b'"schedulerName":"nobody"') < count:
            raise RuntimeError("the list is not complete")
        return best
