"""The one object a user, a magic or a widget holds: `Session`, its `Job`s and `Plan`s.

The package is also what `gke_notebook.session()` calls: Python binds an imported submodule to its name in the parent,
so a function of that name would be lost at the first import. The language's own way out is a module whose class can be
called.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gke_notebook.session.session import Session


class _Callable(types.ModuleType):
    def __call__(self) -> Session:
        """Give the current session; see `current.session`."""
        from gke_notebook.session.current import session

        return session()


sys.modules[__name__].__class__ = _Callable
