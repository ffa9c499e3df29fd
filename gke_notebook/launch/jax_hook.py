"""Lets a cell call `jax.distributed.initialize()` without arguments.

JAX reads the coordinator's address from the environment, but neither the number of processes nor the process's own
(jax/_src/distributed.py, 0.10.2), and on Kubernetes it would ask the API server, which needs the `kubernetes` package
and rights of the pod's service account. So the missing arguments are filled in when `jax.distributed` is imported.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

MODULE = "jax.distributed"


def install(environ: Mapping[str, str] = os.environ) -> None:
    """Wait for the import of `jax.distributed`.

    Args:
        environ: where the rank's place is found.
    """
    place = {
        "coordinator_address": environ["JAX_COORDINATOR_ADDRESS"],
        "num_processes": int(environ["JAX_NUM_PROCESSES"]),
        "process_id": int(environ["JAX_PROCESS_ID"]),
    }
    sys.meta_path.insert(0, _Finder(place))


def fill(initialize: Callable[..., Any], place: Mapping[str, object]) -> Callable[..., Any]:
    """Wrap `jax.distributed.initialize` so that what the caller leaves out is filled in.

    Args:
        initialize: the function.
        place: the arguments to fill in.
    """
    signature = inspect.signature(initialize)

    @functools.wraps(initialize)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind_partial(*args, **kwargs).arguments
        if given.get("cluster_detection_method") is not None:
            return initialize(*args, **kwargs)  # the caller asks for another way on purpose
        missing = {name: value for name, value in place.items() if given.get(name) is None}
        if "cluster_detection_method" in signature.parameters:
            missing["cluster_detection_method"] = "deactivate"
        return initialize(**{**given, **missing})

    return wrapper


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, place: Mapping[str, object]) -> None:
        self._place = place

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._place)
        return spec


class _Loader(importlib.abc.Loader):
    """Runs the module by its own loader, then wraps its function and steps aside."""

    def __init__(self, loader: Any, place: Mapping[str, object]) -> None:
        self._loader = loader
        self._place = place

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        module.initialize = fill(module.initialize, self._place)  # type: ignore[attr-defined]  # modules hold anything
