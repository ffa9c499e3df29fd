"""The embedded API server beside the real control plane: requests per second, watch fan-out, a list of 5,000 pods.

Both as `gke-notebook sandbox up` starts them, with their controllers and our node agent, asked by the same client over
TLS, one after the other. Goal: more than the real server in every row.
"""

from __future__ import annotations

import asyncio

from benchmarks import _load
from benchmarks._sandbox import resident, sandbox, servers

COUNT, WATCHERS, CHANGES, LISTED = 2000, 100, 200, 5000


def measure(options: tuple[str, ...]) -> dict[str, float]:
    """Give the figures of one server by row; more is better but for the last two."""
    with sandbox(*options) as status:
        path = status["kubeconfig"]
        rows: dict[str, float] = {}
        for connections in (1, 16):
            for verb, found in asyncio.run(_load.requests(path, connections, COUNT)).items():
                rows[f"{verb} ConfigMap, {connections} connection{'s' if connections > 1 else ''} (1/s)"] = found
        rows[f"events to {WATCHERS} watchers (1/s)"] = asyncio.run(_load.fan_out(path, WATCHERS, CHANGES))
        rows[f"list of {LISTED:,} pods (s)"] = asyncio.run(_load.listing(path, LISTED))
        rows["memory after it (MiB)"] = resident(status)["serving"] / 2**20
    return rows


def main() -> None:
    """Print the figures and ratios."""
    found = {name: measure(options) for name, options in servers().items()}
    ours, real = found["embedded"], found.get("real")
    for row, value in ours.items():
        digits = 3 if "(s)" in row else 0
        line = f"{row:36} embedded {value:9,.{digits}f}"
        if real is not None:
            less = "(1/s)" not in row
            ratio = real[row] / value if less else value / real[row]
            line += f"   real {real[row]:9,.{digits}f}   {ratio:5.1f} times {'less' if less else 'more'}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
