"""Train on Google Kubernetes Engine from a notebook cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_notebook._version import __version__

if TYPE_CHECKING:
    from gke_notebook.session.current import connect, session
    from gke_notebook.session.job import Job
    from gke_notebook.session.plan import Plan
    from gke_notebook.session.session import Session

__all__ = ["Job", "Plan", "Session", "__version__", "connect", "session"]

# Where the public names live; each is imported when it is first used, so that `%load_ext` stays cheap.
_PUBLIC = {
    "Job": ("gke_notebook.session.job", "Job"),
    "Plan": ("gke_notebook.session.plan", "Plan"),
    "Session": ("gke_notebook.session.session", "Session"),
    "connect": ("gke_notebook.session.current", "connect"),
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "session":
        return importlib.import_module("gke_notebook.session")  # a module that can be called
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """Register the magics: `%load_ext gke_notebook`.

    Args:
        ipython: the interactive shell.
    """
    from gke_notebook.magics.register import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take the magics away again: `%unload_ext gke_notebook`. Sessions and jobs go on.

    Args:
        ipython: the interactive shell.
    """
    from gke_notebook.magics.register import unload

    unload(ipython)
