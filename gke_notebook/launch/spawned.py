"""What a process of `multiprocessing` (start method spawn or forkserver) runs as its main module.

It defines what the cell and its names define, as such a process does by running a script again under the name
`__mp_main__`; hence a cell that starts processes this way guards the start with `if __name__ == "__main__":`.
"""

from __future__ import annotations

from .child import define

if __name__ == "__mp_main__":
    define(globals())
