"""The source of functions and classes that were defined in notebook cells; reads what the interpreter keeps of them."""

from __future__ import annotations

import ast
import functools
import linecache
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gke_notebook.program.scopes import bindings

_RUN_HERE = {"time", "capture", "prun"}  # cell magics that run their body in the notebook's names

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class NoSource(Exception):  # noqa: N818
    """The source of an object cannot be had; the text says why."""


@dataclass(frozen=True)
class Source:
    """A definition in its source.

    Args:
        text: whole lines, from the first decorator on, as indented in the cell.
        node: the definition, a lambda expression or an assignment; line and column numbers are those of `text`.
        indent: how far `text` is indented.
    """

    text: str
    node: Definition | ast.Lambda | ast.Assign | ast.AnnAssign
    indent: int = 0


def function_source(function: types.FunctionType, history: tuple[str, ...]) -> Source:
    """Find the source of a function.

    Args:
        function: the function itself, not something around it.
        history: the cells that have run, oldest first, as IPython keeps them in `_ih`.

    Raises:
        NoSource: it cannot be had.
    """
    code = function.__code__
    if code.co_name == "<lambda>":
        return _lambda(code, history)
    for text in _texts(code.co_filename, history, f"def {code.co_name}"):
        found = [
            node
            for node in ast.walk(_parsed(text))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == code.co_name
            and _first_line(node) == code.co_firstlineno
        ]
        if len(found) == 1:
            return _cut(text, found[0])
    raise NoSource("its source is not in any cell that has run")


def class_source(owner: type, history: tuple[str, ...]) -> Source:
    """Find the source of a class.

    Args:
        owner: the class.
        history: as for `function_source`.

    Raises:
        NoSource: it cannot be had, or one of its methods was replaced later.
    """
    methods = list(_methods(owner))
    files = dict.fromkeys(code.co_filename for code in methods)
    candidates: list[tuple[str, ast.ClassDef]] = []
    for file in files:
        candidates += _classes(_lines(file), owner)
    # A class without methods of its own leaves no trace but the cell that defined it, the last one being the valid one.
    last = last_binding(owner.__name__, history)
    if not methods and last is not None and not isinstance(last.node, ast.ClassDef):
        raise NoSource("it was made by a call")
    for text in reversed(history):
        for cell in _cells(text):
            candidates += _classes(cell, owner)
    if not history:
        for file in [name for name in list(linecache.cache) if name.startswith("<")]:
            candidates += _classes(_lines(file), owner)
    for text, node in candidates:
        if _fits(owner, node):
            outside = [code.co_name for code in methods if not _within(text, node, code)]
            if outside:
                raise NoSource(f"its method {outside[0]} was put into it later")
            return _cut(text, node)
    raise NoSource("its source is not in any cell that has run")


def last_binding(name: str, history: tuple[str, ...]) -> Source | None:
    """Find the statement by which the notebook last bound a name.

    Args:
        name: the name.
        history: as for `function_source`.

    Returns:
        The definition or the simple assignment; None when there is none, or it was another kind of statement.
    """
    for cell in reversed(history):
        for text in reversed(list(_cells(cell))):
            binding = [node for node in _parsed(text).body if name in bindings([node]).bound]
            if not binding:
                continue
            node = binding[-1]
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                return _cut(text, node)
            target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                target = node.target
            segment = ast.get_source_segment(text, node)
            if isinstance(target, ast.Name) and segment is not None:
                inner = ast.parse(segment).body[0]
                assert isinstance(inner, (ast.Assign, ast.AnnAssign))
                return Source(segment + "\n", inner)
            return None
    return None


def unwrapped(value: object) -> types.FunctionType | None:
    """Give the function that decorators have wrapped, None when there is none.

    Args:
        value: a callable.
    """
    seen = 0
    while not isinstance(value, types.FunctionType) or hasattr(value, "__wrapped__"):
        inner = getattr(value, "__wrapped__", None)
        if inner is None or seen > 50:
            return None
        value, seen = inner, seen + 1
    return value


def dedented(source: Source) -> str:
    """Give a definition as source that can stand at the top level; strings of several lines keep their text.

    Args:
        source: the definition.
    """
    return source.text if not source.indent else f"if True:\n{source.text}"


def _lines(file: str) -> str:
    return "".join(linecache.getlines(file))


def _texts(file: str, history: tuple[str, ...], needle: str) -> Iterator[str]:
    """Give the texts in which a piece of code may stand: its file, else what a cell magic such as %%time has run."""
    text = _lines(file)
    if text:
        yield text
        return
    for cell in reversed(history):
        for inner in _cells(cell):
            if needle in inner:
                yield inner


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module(body=[], type_ignores=[])


def _cells(text: str) -> Iterator[str]:
    """Give a cell, and the bodies of cell magics in it."""
    yield text
    for node in _parsed(text).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Attribute) and call.func.attr == "run_cell_magic" and len(call.args) == 3:
                if not isinstance(call.args[0], ast.Constant) or call.args[0].value not in _RUN_HERE:
                    continue
                body = call.args[2]
                if isinstance(body, ast.Constant) and isinstance(body.value, str):
                    yield body.value


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _cut(text: str, node: Definition) -> Source:
    lines = text.splitlines(keepends=True)
    first, last = _first_line(node), node.end_lineno or node.lineno
    cut = "".join(lines[first - 1 : last])
    cut = cut if cut.endswith("\n") else cut + "\n"
    indent = node.col_offset
    inner = ast.parse(cut if not indent else f"if True:\n{cut}").body[0]
    if isinstance(inner, ast.If):
        ast.increment_lineno(inner, -1)
        inner = inner.body[0]
    assert isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    return Source(cut, inner, indent)


def _lambda(code: types.CodeType, history: tuple[str, ...]) -> Source:
    for text in _texts(code.co_filename, history, "lambda"):
        found = [
            node
            for node in ast.walk(_parsed(text))
            if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
        ]
        same = [node for node in found if _same_place(node, code)] if len(found) > 1 else found
        if len(same) == 1:
            segment = ast.get_source_segment(text, same[0])
            if segment is not None:
                inner = ast.parse(f"({segment}\n)", mode="eval").body
                assert isinstance(inner, ast.Lambda)
                return Source(segment, inner)
        if found:
            raise NoSource("its line has several lambdas; give it a line of its own")
    raise NoSource("its source is not in any cell that has run")


def _same_place(node: ast.Lambda, code: types.CodeType) -> bool:
    positions = getattr(code, "co_positions", None)
    if positions is None:  # before Python 3.11 code does not know its columns, but it shows what it does
        alone = ast.fix_missing_locations(ast.Expression(node))
        made = [found for found in compile(alone, "<lambda>", "eval").co_consts if isinstance(found, types.CodeType)]
        return any(_does(found) == _does(code) for found in made)
    body = node.body
    place = (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset)
    return place in set(positions())


def _does(code: types.CodeType) -> tuple[object, ...]:
    plain = tuple((type(value), value) for value in code.co_consts if not isinstance(value, types.CodeType))
    return code.co_code, plain, code.co_names, code.co_varnames, code.co_freevars


def _methods(owner: type) -> Iterator[types.CodeType]:
    """Give the code of the methods that stand in cells, not those that `dataclass` and the like make up."""
    for value in vars(owner).values():
        inner = getattr(value, "__func__", value)
        if isinstance(inner, property):
            inner = inner.fget
        inner = getattr(inner, "func", inner) if isinstance(inner, functools.cached_property) else inner
        function = unwrapped(inner)
        if function is None or function.__module__ != owner.__module__:
            continue
        file = function.__code__.co_filename
        if file != "<string>" and _lines(file):  # the code that `dataclass` makes is <string>'s
            yield function.__code__


def _classes(text: str, owner: type) -> list[tuple[str, ast.ClassDef]]:
    if not text or f"class {owner.__name__}" not in text:
        return []
    found = [
        (text, node)
        for node in ast.walk(_parsed(text))
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__
    ]
    return found[::-1]  # the last definition in a cell is the one that holds


def _fits(owner: type, node: ast.ClassDef) -> bool:
    """Say whether a class may have come from this definition."""
    held = {*vars(owner), *getattr(owner, "_fields", ()), *getattr(owner, "__members__", ())}
    held.update(getattr(owner, "__dataclass_fields__", ()))
    dropped = bindings([inner for inner in node.body if isinstance(inner, ast.Delete)]).bound
    bare = {
        inner.target.id
        for inner in node.body
        if isinstance(inner, ast.AnnAssign) and inner.value is None and isinstance(inner.target, ast.Name)
    }
    return {_mangled(owner, name) for name in bindings(node.body).bound - dropped - bare} <= held


def _mangled(owner: type, name: str) -> str:
    return f"_{owner.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name


def _within(text: str, node: ast.ClassDef, code: types.CodeType) -> bool:
    lines = _lines(code.co_filename)
    return lines == text and node.lineno <= code.co_firstlineno <= (node.end_lineno or node.lineno)


def history_of(variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the cells that have run, oldest first, as IPython keeps them.

    Args:
        variables: the notebook's names.
    """
    cells = variables.get("_ih")
    return tuple(cell for cell in cells if isinstance(cell, str)) if isinstance(cells, list) else ()
