"""Makes the cluster's names resolve inside a pod's Python processes, where each pod is a process on 127.0.0.1.

Python runs this at its start because its directory is on PYTHONPATH. Names in variables and arguments were put in place
before the pod was started; this is for those that a program computes. It uses the standard library only, imports next
to nothing until a program uses sockets, leaves every other program alone, and hands on to another `sitecustomize`.
"""

# ruff: noqa: PTH100, PTH118, PTH120, S110, SIM105
# mypy: ignore-errors
# Modules and loaders are changed by name here: their types say nothing.
from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _load(name: str, directory: str) -> object:
    """Load a file that lies beside the shim, without its package."""
    import importlib.util

    module_name = f"_gke_notebook_sandbox_{name}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, os.path.join(directory, f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


class _Hook:
    """Calls a function with a module right after the module has been imported for the first time."""

    def __init__(self, functions: dict) -> None:
        self.functions = functions

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        function = self.functions.pop(name, None)
        if function is None:
            return None
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        run = spec.loader.exec_module

        def exec_module(module: object) -> None:
            run(module)
            _quietly(function, module)

        try:
            spec.loader.exec_module = exec_module
        except AttributeError:
            return spec
        return spec


def _quietly(function: object, *arguments: object) -> None:
    """Call, and go on whatever happens: a program must never fail because of the shim."""
    try:
        function(*arguments)
    except Exception:
        pass


def _install() -> None:
    if "GKE_NOTEBOOK_SANDBOX_NAMES" not in os.environ:
        return

    def patch(name: str) -> object:
        def run(module: object) -> None:
            patches = _load("patches", _HERE)
            patches.load = _load
            getattr(patches, name)(module)

        return run

    functions = {
        "socket": patch("patch_socket"),
        "torch.distributed.rendezvous": patch("patch_torch_rendezvous"),
        "torch.distributed.elastic.rendezvous.c10d_rendezvous_backend": patch("patch_torch_elastic"),
        "jax._src.distributed": patch("patch_jax"),
    }
    directory = os.environ.get("GKE_NOTEBOOK_SANDBOX_ACCOUNT")
    if directory:
        account = _load("account", _HERE)
        account.install(directory)
        functions["ssl"] = lambda module: account.patch_ssl(module, directory)
    for name in [name for name in functions if name in sys.modules]:
        _quietly(functions.pop(name), sys.modules[name])
    sys.meta_path.insert(0, _Hook(functions))


def _chain() -> None:
    """Run the `sitecustomize` that this one hides, if there is one."""
    from importlib.machinery import PathFinder

    paths = [path for path in sys.path if os.path.abspath(path or ".") != _HERE]
    spec = PathFinder.find_spec("sitecustomize", paths)
    if spec is None or spec.loader is None:
        return
    import importlib.util

    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_quietly(_install)
_quietly(_chain)
