"""`gke-notebook sandbox up` from nothing to every node Ready, beside a bare aiohttp server's start to its first answer.

The bare server is the floor for any server written on the same library. Goal: at most 1 s.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks._sandbox import CLI

BARE = """
import sys
from aiohttp import web
web.run_app(web.Application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


def bare_server() -> float:
    """Seconds from start to the first accepted connection of a server with no routes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begun = time.perf_counter()
    server = subprocess.Popen([sys.executable, "-c", BARE, str(port)])
    try:
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return time.perf_counter() - begun
            time.sleep(0.002)
    finally:
        server.terminate()
        server.wait()


def sandbox_up(*, again: bool = False) -> float:
    """Seconds of the whole command; `again` starts from the files of an earlier run."""
    with tempfile.TemporaryDirectory(prefix="gke-notebook-bench-") as directory:
        environment = {**os.environ, "GKE_NOTEBOOK_HOME": f"{directory}/state"}
        if again:
            subprocess.run([*CLI, "up"], env=environment, check=True, capture_output=True)
            subprocess.run([*CLI, "down", "--keep"], env=environment, check=True, capture_output=True)
        begun = time.perf_counter()
        subprocess.run([*CLI, "up"], env=environment, check=True, capture_output=True)
        seconds = time.perf_counter() - begun
        subprocess.run([*CLI, "down"], env=environment, check=True, capture_output=True)
        return seconds


def main() -> None:
    """Print the figures."""
    first, again, floor = [], [], []
    for _ in range(5):
        first.append(sandbox_up())
        again.append(sandbox_up(again=True))
        floor.append(bare_server())
    for name, values in (("first start", first), ("later start", again), ("bare aiohttp server", floor)):
        print(f"{name:22} median {statistics.median(values):.2f} s  (min {min(values):.2f}, max {max(values):.2f})")
    print(f"ratio first start / bare server: {statistics.median(first) / statistics.median(floor):.1f}")


if __name__ == "__main__":
    main()
