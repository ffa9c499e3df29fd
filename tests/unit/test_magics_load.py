"""`%load_ext` is cheap: a child process sees which modules it brings."""

from __future__ import annotations

import json
import subprocess
import sys

CHILD = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "storemagic")
before = set(sys.modules)
shell.run_line_magic("load_ext", "gke_notebook")
loaded = set(sys.modules) - before
help_text = shell.find_cell_magic("gke_train").__doc__
shell.run_cell("import gke_notebook; seen = gke_notebook.__version__, dir(gke_notebook)").raise_error()
print(json.dumps({"loaded": sorted(set(sys.modules) - before), "help": help_text}))
"""

OURS = {
    "gke_notebook",
    "gke_notebook._version",
    "gke_notebook.errors",
    "gke_notebook.magics",
    "gke_notebook.magics.nodepool_parser",
    "gke_notebook.magics.options",
    "gke_notebook.magics.register",
    "gke_notebook.magics.table",
}


def test_loading_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    tops = {name.split(".")[0] for name in found["loaded"]}
    foreign = {top for top in tops if top not in sys.stdlib_module_names and not top.startswith("_")}
    assert foreign <= {"gke_notebook", "IPython"}
    assert {name for name in found["loaded"] if name.startswith("gke_notebook")} == OURS
    assert "--procs-per-node" in found["help"]


def test_the_public_names_are_there_when_they_are_asked_for() -> None:
    code = (
        "import sys, gke_notebook as gke\n"
        "assert set(gke.__all__) <= set(dir(gke))\n"
        "assert callable(gke.session) and callable(gke.connect)\n"
        "try: gke.session()\n"
        "except Exception as error: print(type(error).__name__)\n"
        "import gke_notebook.session.current\n"
        "try: gke.session()\n"
        "except Exception as error: print(type(error).__name__)\n"
        "try: gke.nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "NotConnected", "NotConnected", "module 'gke_notebook' has no attribute 'nothing'",
    ]  # fmt: skip
