"""`%load_ext gke_notebook` in a shell that is up, in ms over bare IPython, and against importing the kubernetes client.

Each figure is the median over fresh processes, because a second import costs nothing.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

RUNS = 9
SHELL = """
import json, sys, time
from IPython.core.interactiveshell import InteractiveShell
import ipykernel.zmqshell  # what a running kernel has imported already
shell = InteractiveShell.instance()
start = time.perf_counter()
{statement}
print(json.dumps([1000 * (time.perf_counter() - start), len(sys.modules)]))
"""
LOAD = 'shell.run_line_magic("load_ext", {name!r})'
EMPTY = (
    "import sys, types; module = types.ModuleType('empty_ext'); module.load_ipython_extension = lambda shell: None; "
)


def measure(statement: str) -> float:
    """Median milliseconds of a statement in a fresh shell."""
    times = []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", SHELL.format(statement=statement)], capture_output=True, text=True, check=True
        )
        times.append(json.loads(done.stdout.splitlines()[-1])[0])
    return statistics.median(times)


def main() -> None:
    empty = measure(EMPTY + "sys.modules['empty_ext'] = module; " + LOAD.format(name="empty_ext"))
    ours = measure(LOAD.format(name="gke_notebook"))
    client = measure("import kubernetes")
    over = ours - empty
    print(f"%load_ext gke_notebook     {over:8.1f} ms over an empty extension ({empty:.1f} ms)")
    print(f"import kubernetes          {client:8.1f} ms")
    print(f"ratio                      {client / over:8.1f} times cheaper")
    print(
        json.dumps({"load_ext_ms": round(over, 2), "kubernetes_ms": round(client, 1), "ratio": round(client / over, 1)})
    )


if __name__ == "__main__":
    main()
