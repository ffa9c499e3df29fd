"""Registering the magics and their completions with a shell; what a magic does is imported when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from IPython.core.magic import needs_local_scope, no_var_expand

from gke_notebook.magics.options import HelpWanted, Magic, parse
from gke_notebook.magics.table import MAGICS

_HOOK = "complete_command"
_MATCHER = "gke_notebook"


def load(shell: Any) -> None:
    """Register every magic and its completions.

    Args:
        shell: the interactive shell.
    """
    for magic in MAGICS:
        shell.register_magic_function(_function(shell, magic), magic_kind=magic.kind, magic_name=magic.name)
    matchers = getattr(shell.Completer, "custom_matchers", [])
    if hasattr(shell.Completer, "custom_completer_matcher"):
        matchers.append(_matcher(shell))
        return
    for magic in MAGICS:
        for key in keys(magic):
            shell.set_hook(_HOOK, _complete, str_key=key)


def unload(shell: Any) -> None:
    """Take away what `load` has registered.

    Args:
        shell: the interactive shell.
    """
    hooks = getattr(shell.strdispatchers.get(_HOOK), "strs", {})
    for magic in MAGICS:
        for registered in shell.magics_manager.magics.values():
            registered.pop(magic.name, None)
        for key in keys(magic):
            hooks.pop(key, None)
    matchers = getattr(shell.Completer, "custom_matchers", [])
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", "") != _MATCHER]


def keys(magic: Magic) -> tuple[str, ...]:
    """Give the first words of a line on which a magic is completed.

    Args:
        magic: the magic.
    """
    line = f"%{magic.name}"
    return (line, f"%{line}") if magic.kind == "line_cell" else (line,)


def _function(shell: Any, magic: Magic) -> Callable[..., Any]:
    parser = magic.parser()

    @no_var_expand  # a typo in `$name` must be an error, so the line is expanded by `parse`
    @needs_local_scope
    def function(line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        parser.prog = f"%%{magic.name}" if cell is not None else f"%{magic.name}"
        try:
            options = parse(parser, line, {**shell.user_ns, **(local_ns or {})})
        except HelpWanted:
            print(parser.format_help())
            return None
        return importlib.import_module(magic.module).run(shell, options, cell)

    function.__name__ = magic.name
    function.__qualname__ = magic.name
    function.__doc__ = parser.format_help()
    return function


def _matcher(shell: Any) -> Callable[[Any], dict[str, Any]]:
    """Give a matcher that silences the others where it knows the answer; the older hook cannot silence Jedi.

    Args:
        shell: an interactive shell of IPython 8.6 or later.
    """
    from IPython.core.completer import SimpleCompletion, context_matcher

    words = {key for magic in MAGICS for key in keys(magic)}

    def match(context: Any) -> dict[str, Any]:
        line = context.line_with_cursor
        until = line[: context.cursor_position]
        command = until.split(None, 1)[0] if until.strip() else ""
        if command not in words:
            return {"completions": []}
        event = SimpleNamespace(line=line, symbol=context.token, command=command, text_until_cursor=until)
        found = [SimpleCompletion(text=text, type="magic option") for text in _complete(shell, event)]
        return {"completions": found, "suppress": bool(found), "ordered": True}

    decorated: Callable[[Any], dict[str, Any]] = context_matcher(priority=1000, identifier=_MATCHER)(match)
    return decorated


def _complete(shell: Any, event: Any) -> list[str]:
    from gke_notebook.magics.completion import complete

    return complete(shell, event)
