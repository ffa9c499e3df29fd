"""50,000 pods: the memory of each part of the sandbox, and how soon they are served again after kill -9.

The embedded sandbox beside a real control plane, where one is built. Goals: less than 1 GiB in all, and 2 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks import _load
from benchmarks._sandbox import CLI, descendants, resident, sandbox, servers

PODS = 50_000


def measure(options: tuple[str, ...]) -> dict[str, float]:
    """Give the figures of one server by row; less is better."""
    with sandbox(*options) as status:
        asyncio.run(fill(status["kubeconfig"]))
        memory = resident(status)
        processes = descendants(int(status["pid"]))
        os.kill(status["pid"], signal.SIGKILL)
        for pid in processes:
            _wait_ended(pid)
        served, listed, ready = restart(status, options)
    rows = {
        "store and API server": "serving",
        "controllers, scheduler, node agent": "acting",
        "the whole sandbox": "all",
    }
    found = {f"{row} (MiB)": memory[part] / 2**20 for row, part in rows.items()}
    return {
        **found,
        "served again after kill -9 (s)": served,
        "every pod listed after it (s)": listed,
        "`sandbox up` after it (s)": ready,
    }


async def fill(kubeconfig: str) -> None:
    """Create the pods."""
    async with _load.session(kubeconfig, 16) as http:
        await _load.rate(http, "POST", PODS, 16, lambda number: (_load.PODS, _load.pod(f"pod-{number}")))


def restart(status: dict[str, Any], options: tuple[str, ...]) -> tuple[float, float, float]:
    """Bring the sandbox up again; give the seconds until the API server is ready, has listed all, and the nodes are."""
    environment = {**os.environ, "GKE_NOTEBOOK_HOME": str(Path(status["home"]).parent)}
    environment.pop("KUBEBUILDER_ASSETS", None)
    begun = time.perf_counter()
    up = subprocess.Popen([*CLI, "up", *options], env=environment, stdout=subprocess.DEVNULL)
    context = ssl._create_unverified_context()
    while True:
        try:
            with urllib.request.urlopen(status["kubernetes"] + "/readyz", context=context, timeout=5) as answer:
                if answer.status == 200:
                    break
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)
    served = time.perf_counter() - begun
    asyncio.run(_check(status["kubeconfig"]))
    listed = time.perf_counter() - begun
    if up.wait():
        raise RuntimeError("it did not come up again")
    return served, listed, time.perf_counter() - begun


async def _check(kubeconfig: str) -> None:
    async with _load.session(kubeconfig, 1) as http:
        found = (await _load.send(http, "GET", _load.PODS)).count(b'"schedulerName":"nobody"')
        if found != PODS:
            raise RuntimeError(f"{found} pods are there")


def _wait_ended(pid: int) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while "zombie" not in Path(f"/proc/{pid}/status").read_text():
            time.sleep(0.01)


def main() -> None:
    """Print the figures and ratios."""
    found = {}
    for name, options in servers().items():
        found[name] = measure(options)
        for row, value in found[name].items():
            line = f"{name:8} {row:40} {value:8,.2f}"
            if name == "real":
                line += f"   {value / found['embedded'][row]:.1f} times the embedded one's"
            print(line, flush=True)


if __name__ == "__main__":
    main()
