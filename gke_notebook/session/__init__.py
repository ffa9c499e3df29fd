"""The one object a user, a magic or a widget holds: `Session`, its `Job`s and `Plan`s.

The module can be called: `gke_notebook.session()` gives the current session. Importing any module of this package makes
`gke_notebook.session` this module, which would otherwise hide the public function of that name.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gke_notebook.session.session import Session


class _Callable(types.ModuleType):
    def __call__(self) -> Session:
        from gke_notebook.session.current import session

        return session()


sys.modules[__name__].__class__ = _Callable
