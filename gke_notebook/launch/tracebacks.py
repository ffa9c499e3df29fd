"""The traceback of a cell as its author should see it: the cell's own lines, and nothing of the launcher."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

_HERE = Path(__file__).absolute().parent
_BOOTSTRAP = _HERE.parent.parent / "run.py"


def format_exception(
    kind: type[BaseException], value: BaseException, trace: TracebackType | None, shown: dict[str, str]
) -> str:
    """Format an exception with its causes.

    Args:
        kind: its type.
        value: the exception.
        trace: its traceback.
        shown: how files are called in the text, by path; for example the cell's path as ``Cell``.
    """
    whole = traceback.TracebackException(kind, value, trace)
    _strip(whole, set())
    text = "".join(whole.format())
    for path, name in shown.items():
        # A function as replacement, because a name or path may hold what `sub` takes for an escape.
        text = re.sub(rf'^([ |+-]*)File "{re.escape(path)}", line ', _renamed(name), text, flags=re.MULTILINE)
    return text


def last_line(kind: type[BaseException], value: BaseException) -> str:
    """Give the exception's own line, as at the end of a traceback.

    Args:
        kind: its type.
        value: the exception.
    """
    lines = "".join(traceback.format_exception_only(kind, value)).strip().splitlines()
    if issubclass(kind, SyntaxError):
        return lines[-1].strip()
    # A message of several lines starts on the line of the type.
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    return next((line.strip() for line in lines if line.startswith((name, kind.__qualname__))), lines[0].strip())


def _strip(whole: traceback.TracebackException, seen: set[int]) -> None:
    if id(whole) in seen:
        return
    seen.add(id(whole))
    frames = [frame for frame in whole.stack if not _is_ours(frame.filename)]
    whole.stack = traceback.StackSummary.from_list(frames)
    others = [whole.__cause__, whole.__context__, *(getattr(whole, "exceptions", None) or ())]
    for other in others:
        if other is not None:
            _strip(other, seen)


def _renamed(name: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{found[1]}{name}, line "


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return path.parent == _HERE or path == _BOOTSTRAP
