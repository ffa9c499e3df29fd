"""Where the container starts: `python3 run.py` is the launcher, `python3 run.py rank` one of the ranks it starts."""

import importlib
import sys
from pathlib import Path


def _start() -> None:
    # Python puts the script's directory first; the cell's `import notebook` must not find our notebook.py there.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    sys.path.append(str(Path(__file__).absolute().parent / "launcher"))
    importlib.import_module("gke_notebook_launch." + ("child" if sys.argv[1:] == ["rank"] else "main")).run()


if __name__ == "__main__":
    _start()
