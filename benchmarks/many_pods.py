"""50,000 pods: the memory of what stores and serves them, and how soon they are served again after kill -9.

The embedded API server beside etcd and kube-apiserver, where they are built. Goals: less than 1 GiB, and 2 s.
"""

from __future__ import annotations

import asyncio
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
from benchmarks._sandbox import CLI, resident, sandbox, servers

PODS = 50_000


def measure(options: tuple[str, ...]) -> dict[str, float]:
    """Give the figures of one server by row; less is better."""
    with sandbox(*options) as status:
        asyncio.run(fill(status["kubeconfig"]))
        memory = resident(status)
        os.kill(status["pid"], signal.SIGKILL)
        _wait_ended(status["pid"])
        seconds = restart(status, options)
        asyncio.run(_check(status["kubeconfig"]))
    return {f"memory with {PODS:,} pods (MiB)": memory / 2**20, "served again after kill -9 (s)": seconds}


async def fill(kubeconfig: str) -> None:
    """Create the pods."""
    async with _load.session(kubeconfig, 16) as http:
        await _load.rate(http, "POST", PODS, 16, lambda number: (_load.PODS, _load.pod(f"pod-{number}")))


def restart(status: dict[str, Any], options: tuple[str, ...]) -> float:
    """Bring the sandbox up again and give the seconds until the API server is ready."""
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
    seconds = time.perf_counter() - begun
    up.wait()  # it waits for the node agent too, whose time with so many pods is not measured here
    return seconds


async def _check(kubeconfig: str) -> None:
    async with _load.session(kubeconfig, 1) as http:
        found = (await _load.send(http, "GET", _load.PODS)).count(b'"schedulerName":"nobody"')
        if found != PODS:
            raise RuntimeError(f"{found} pods are there")


def _wait_ended(pid: int) -> None:
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.01)


def main() -> None:
    """Print the figures and ratios."""
    found = {}
    for name, options in servers().items():
        found[name] = measure(options)
        for row, value in found[name].items():
            line = f"{name:8} {row:30} {value:8,.2f}"
            if name == "real":
                line += f"   {value / found['embedded'][row]:.1f} times the embedded one's"
            print(line, flush=True)


if __name__ == "__main__":
    main()
