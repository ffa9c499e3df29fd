"""Run an example notebook headless against the sandbox, showing what happens while it happens.

    python examples/run.py examples/quickstart.ipynb --output build/demo

Writes the executed notebook and an HTML page. Uses the state directory that GKE_NOTEBOOK_HOME names and ends its
sandbox afterwards, unless --keep is given.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter


class Narrator(NotebookClient):
    """Executes a notebook and prints every new line of its text outputs as it comes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shown: dict[str, set[str]] = {}
        self._begun = time.monotonic()

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        content = msg["content"]
        kind = msg["msg_type"]
        if kind == "stream":
            self._say(f"stream-{cell_index}", content["text"])
        elif kind in ("display_data", "update_display_data", "execute_result"):
            name = content.get("transient", {}).get("display_id", f"cell-{cell_index}")
            self._say(name, content["data"].get("text/plain", ""))
        return super().process_message(msg, cell, cell_index)

    def _say(self, name: str, text: str) -> None:
        shown = self._shown.setdefault(name, set())
        for line in text.splitlines():
            if line.strip() and line not in shown:
                shown.add(line)
                print(f"  {time.monotonic() - self._begun:5.1f} s  {line.rstrip()}", flush=True)

    def narrate(self, log: IO[bytes]) -> None:
        """Execute, announcing each code cell by its first line.

        Args:
            log: where the kernel's own messages go.
        """

        def announce(cell: Any, cell_index: int) -> None:
            if cell.cell_type == "code" and cell.source.strip():
                print(f"\n[{cell_index}] {cell.source.strip().splitlines()[0]}", flush=True)

        self.on_cell_start = announce
        self.execute(stderr=log)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one cell")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox up")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(arguments.notebook, as_version=4)
    client = Narrator(
        notebook,
        timeout=arguments.timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(arguments.notebook.parent)}},
    )
    failed = False
    try:
        with (arguments.output / "kernel.log").open("wb") as log:
            client.narrate(log)
    except CellExecutionError as error:
        print(f"\n{error}", file=sys.stderr)
        failed = True
    finally:
        executed = arguments.output / arguments.notebook.name
        nbformat.write(notebook, executed)
        page, _ = HTMLExporter().from_notebook_node(notebook)
        html = executed.with_suffix(".html")
        html.write_text(page)
        if not arguments.keep:
            command = [sys.executable, "-m", "gke_notebook.cli", "sandbox", "down"]
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    print(f"\nexecuted notebook  {executed.resolve()}\nHTML page          {html.resolve()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
