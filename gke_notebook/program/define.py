"""From an object of the notebook to the source that defines it again in the job."""

from __future__ import annotations

import ast
import builtins
import enum
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from gke_notebook.program import describe, modules, sources
from gke_notebook.program.scopes import references
from gke_notebook.program.values import CONSTANTS, NotPlain, literal

Kind = Literal["import", "function", "class", "value"]
_LAZY = annotations.compiler_flag  # the feature that the first line imports
# Objects without state, so that repeating their definition gives the same object.
_REPEATABLE = (typing.TypeVar, types.GenericAlias, types.UnionType, type(typing.Optional[int]), type(typing.List[int]))  # noqa: UP006, UP045


class CannotTravel(Exception):  # noqa: N818
    """An object cannot be defined in the job; the text says what it is and what to do."""


@dataclass(frozen=True)
class Entry:
    """A name with the source that defines it.

    Args:
        kind: what it is.
        source: the source.
        needs: names that must be defined before.
        later: names that must be there when it is called.
        optional: names that it can do without.
        imports: modules that the source imports by itself.
        chains: chains of attributes on names.
        lazy: whether its annotations must not be evaluated.
    """

    kind: Kind
    source: str
    needs: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    chains: frozenset[tuple[str, ...]] = frozenset()
    lazy: bool = False


class Definer:
    """Defines the names of one notebook.

    Args:
        variables: the notebook's names.
        check_module: raises `CannotTravel` for a module that the job will not find.
        chains: chains of attributes on names that the cell uses.
    """

    def __init__(
        self, variables: Mapping[str, Any], check_module: Callable[[str], None], chains: frozenset[tuple[str, ...]]
    ) -> None:
        self.variables = variables
        self.check_module = check_module
        self.chains = set(chains)
        self.history = sources.history_of(variables)
        self.taken: dict[int, str] = {}  # shared containers, by identity

    def define(self, name: str, value: Any) -> Entry:
        """Give the source that defines a name.

        Args:
            name: the name.
            value: what it is in the notebook.

        Raises:
            CannotTravel: it cannot be defined in the job.
        """
        try:
            return self._define(name, value)
        except NotPlain as reason:
            raise CannotTravel(_refusal(name, value, str(reason))) from None

    def _define(self, name: str, value: Any) -> Entry:
        if isinstance(value, types.ModuleType):
            return self._module(name, value)
        inner = sources.unwrapped(value)
        if inner is not None and _of_notebook(inner):
            return self._function(name, value, inner)
        if isinstance(value, type) and not _is_alias(value):
            return self._class(name, value) if value.__module__ == "__main__" else self._imported(name, value)
        constant = type(value).__name__ in CONSTANTS
        if (callable(value) or constant) and (place := modules.locate(value, name)) is not None:
            return self._import_from(name, *place)
        try:
            return self._value(name, value)
        except NotPlain as reason:
            place = modules.locate(value, name)
            if place is not None and not isinstance(value, (list, dict, set, tuple)):
                return self._import_from(name, *place)
            if isinstance(value, _REPEATABLE) or (isinstance(value, types.FunctionType) and inner is not None):
                return self._repeated(name, value)
            if callable(value) and (repeated := self._decorated(name)) is not None:
                return repeated
            raise NotPlain(str(reason)) from None

    def _module(self, name: str, module: types.ModuleType) -> Entry:
        if module.__name__ == "__main__":
            raise CannotTravel("the notebook's own module; use its names directly")
        self.check_module(module.__name__)
        used = frozenset(chain[1:] for chain in self.chains if chain[0] == name)
        return Entry("import", modules.module_import(name, module, modules.submodules_of(module, used)))

    def _imported(self, name: str, value: type) -> Entry:
        place = modules.locate(value, name)
        if place is None:
            raise CannotTravel(f"{describe.type_text(value)} that no module holds; define it in the cell")
        return self._import_from(name, *place)

    def _import_from(self, name: str, module: str, path: str) -> Entry:
        self.check_module(module)
        first, *rest = path.split(".")
        if rest:
            return Entry("import", f"{name} = {modules.expression(module)}.{path}\n")
        return Entry("import", f"from {module} import {first}" + (f" as {name}\n" if first != name else "\n"))

    # Values.

    def _value(self, name: str, value: Any) -> Entry:
        shared = self.taken.get(id(value))
        if shared is not None and shared != name and not isinstance(value, (int, float, str, bytes, type(None))):
            return Entry("value", f"{name} = {shared}\n", needs=frozenset({shared}))
        needs: set[str] = set()
        source = f"{name} = {literal(value, partial(self._refer, needs=needs, own=name))}\n"
        self.taken[id(value)] = name
        return Entry("value", source, needs=frozenset(needs))

    def _refer(self, value: Any, needs: set[str], own: str = "") -> str:
        """Give the source that names a function, a class or a module inside a value."""
        if isinstance(value, types.ModuleType):
            self._checked(value.__name__)
            return modules.expression(value.__name__)
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return name
        if isinstance(name, str) and name != own and self.variables.get(name) is value and _defined_here(value):
            needs.add(name)
            return name
        place = None if _defined_here(value) else modules.locate(value, name or "")
        if place is not None:
            self._checked(place[0])
            return f"{modules.expression(place[0])}.{place[1]}"
        for known, held in list(self.variables.items()):
            if held is value and known != own and not known.startswith("_"):
                needs.add(known)
                return known
        nameless = " that has no name in the notebook" if isinstance(value, (type, types.FunctionType)) else ""
        raise NotPlain(f"a {type(value).__name__}{nameless}")

    def _checked(self, module: str) -> None:
        try:
            self.check_module(module)
        except CannotTravel as error:
            raise NotPlain(str(error)) from None

    # Functions.

    def _function(self, name: str, value: Any, function: types.FunctionType) -> Entry:
        own = function.__name__
        if "<locals>" in function.__qualname__ and (repeated := self._decorated(name)) is not None:
            return repeated
        if own != name and own.isidentifier() and self.variables.get(own) is value:
            return Entry("function", f"{name} = {own}\n", needs=frozenset({own}))
        try:
            found = sources.function_source(function, self.history)
        except sources.NoSource as reason:
            if (repeated := self._decorated(name)) is not None:
                return repeated
            raise CannotTravel(f"function: {reason}; define it in the cell or in a file that you --include") from None
        node = found.node
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if value is not function and (isinstance(node, ast.Lambda) or not node.decorator_list or node.name != name):
            return self._repeated(name, value)  # made by `name = jit(function)`, for example
        text, node = self._with_defaults(found, function)
        cells = self._cells(function)
        free = frozenset(function.__code__.co_freevars)
        if isinstance(node, ast.Lambda):
            body = f"({text}\n)" if "\n" in text or cells else text
            arguments = ", ".join(source for _, source, _ in cells)
            parameters = ", ".join(cell for cell, _, _ in cells)
            source = f"{name} = (lambda {parameters}: {body})({arguments})\n" if cells else f"{name} = {body}\n"
        elif cells or free:
            parameters = ", ".join(cell for cell, _, _ in cells)
            arguments = ", ".join(source for _, source, _ in cells)
            indent = " " * found.indent
            source = (
                f"def _make_{name}({parameters}):\n{text}{indent}return {node.name}\n"
                f"{name} = _make_{name}({arguments})\ndel _make_{name}\n"
            )
        else:
            source = sources.dedented(sources.Source(_renamed(text, node, name), node, found.indent))
        entry = self._entry("function", source, node, name, lazy=bool(function.__code__.co_flags & _LAZY), skip=free)
        return replace(entry, needs=entry.needs.union(*(needs for _, _, needs in cells)))

    def _cells(self, function: types.FunctionType) -> list[tuple[str, str, frozenset[str]]]:
        """Give name, source and needs of what a function holds from the function around it."""
        found = []
        for cell, holder in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                held = holder.cell_contents
            except ValueError:
                raise CannotTravel(f"function whose variable {cell} is not set yet") from None
            if held is function:
                continue
            needs: set[str] = set()
            try:
                found.append((cell, literal(held, partial(self._refer, needs=needs)), frozenset(needs)))
            except NotPlain as reason:
                raise CannotTravel(
                    f"function that keeps {cell} ({describe.what_is(held)}) from the function around it: {reason}; "
                    "pass plain values to it, or define it in the cell"
                ) from None
        return found

    def _with_defaults(self, found: sources.Source, function: types.FunctionType) -> tuple[str, Any]:
        """Write the values that defaults had when the function was defined, where evaluating them again may differ."""
        node = found.node
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        pairs = list(zip(node.args.defaults, function.__defaults__ or (), strict=False))
        for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            held = function.__kwdefaults__ or {}
            if default is not None and argument.arg in held:
                pairs.append((default, held[argument.arg]))
        text = found.text
        for default, value in sorted(pairs, key=lambda pair: (pair[0].lineno, pair[0].col_offset), reverse=True):
            if _is_constant(default) or self._looked_up(default) is value:
                continue
            try:
                text = _replaced(text, default, literal(value), shift=isinstance(node, ast.Lambda))
            except NotPlain:
                continue  # evaluated again in the job, from names that travel
        if text == found.text:
            return text, node
        if isinstance(node, ast.Lambda):
            return text, ast.parse(f"({text}\n)", mode="eval").body
        inner = ast.parse(sources.dedented(sources.Source(text, node, found.indent))).body[0]
        return text, inner.body[0] if isinstance(inner, ast.If) else inner

    def _looked_up(self, node: ast.expr) -> object:
        """Give what a plain name or chain of attributes means in the notebook now."""
        if isinstance(node, ast.Name):
            return self.variables.get(node.id, getattr(builtins, node.id, node))
        if isinstance(node, ast.Attribute):
            owner = self._looked_up(node.value)
            return vars(owner).get(node.attr, node) if isinstance(owner, (types.ModuleType, type)) else node
        return node

    # Classes.

    def _class(self, name: str, owner: type) -> Entry:
        own = owner.__name__
        if own != name and self.variables.get(own) is owner:
            return Entry("class", f"{name} = {own}\n", needs=frozenset({own}))
        if "<locals>" in owner.__qualname__:
            raise CannotTravel("class defined inside a function; define it at the top level of a cell")
        try:
            found = sources.class_source(owner, self.history)
        except sources.NoSource as reason:
            if "put into it" not in str(reason):
                again = self._made(name, owner)
                if again is not None:
                    return again
            raise CannotTravel(f"class: {reason}; define it in the cell or in a file that you --include") from None
        node = found.node
        assert isinstance(node, ast.ClassDef)
        source = sources.dedented(sources.Source(_renamed(found.text, node, name), node, found.indent))
        methods = (sources.unwrapped(getattr(value, "__func__", value)) for value in vars(owner).values())
        lazy = any(method is not None and method.__code__.co_flags & _LAZY for method in methods)
        return self._entry("class", source, node, name, lazy=lazy)

    def _made(self, name: str, owner: Any) -> Entry | None:
        """Define a class that a call has made: a named tuple, an enumeration."""
        own = owner.__name__
        if owner.__bases__ == (tuple,) and hasattr(owner, "_fields"):
            defaults = owner._field_defaults
            given = f", defaults={literal(tuple(defaults.values()))}" if defaults else ""
            fields = f"{own!r}, {list(owner._fields)!r}{given}, module=__name__"
            return Entry("class", f"{name} = __import__('collections').namedtuple({fields})\n")
        if isinstance(owner, enum.EnumMeta) and owner.__bases__[0].__module__ == "enum":
            members: dict[str, Any] = {key: owner[key].value for key in owner.__members__}
            made = f"{owner.__bases__[0].__name__}({own!r}, {literal(members)}, module=__name__)"
            return Entry("class", f"{name} = __import__('enum').{made}\n")
        found = sources.last_binding(name, self.history)
        if found is not None and isinstance(found.node, ast.Assign):
            return self._entry("class", found.text, found.node, name)
        return None

    # By the notebook's history.

    def _decorated(self, name: str) -> Entry | None:
        """Define what a decorator has made of a definition, when that is what the notebook last bound to the name."""
        found = sources.last_binding(name, self.history)
        if found is None or isinstance(found.node, (ast.Assign, ast.AnnAssign, ast.Lambda)):
            return None
        if not found.node.decorator_list:
            return None
        return self._entry("function", found.text, found.node, name)

    def _repeated(self, name: str, value: Any) -> Entry:
        """Repeat the statement that made an object without state."""
        found = sources.last_binding(name, self.history)
        if found is None or not isinstance(found.node, (ast.Assign, ast.AnnAssign)):
            raise CannotTravel(f"{describe.type_text(value)}: how it was made is not known; make it in the cell")
        return self._entry("function" if callable(value) else "value", found.text, found.node, name)

    def _entry(
        self,
        kind: Kind,
        source: str,
        node: ast.AST,
        name: str,
        *,
        lazy: bool = False,
        skip: frozenset[str] = frozenset(),
    ) -> Entry:
        found, _ = references(node, lazy_annotations=lazy)
        found = [reference for reference in found if reference.name not in skip and reference.name != name]
        needs = frozenset(item.name for item in found if not item.deferred and not item.lazy)
        later = frozenset(item.name for item in found if item.deferred and not item.lazy) - needs
        imports = {alias.name for inner in ast.walk(node) if isinstance(inner, ast.Import) for alias in inner.names}
        imports |= {
            inner.module
            for inner in ast.walk(node)
            if isinstance(inner, ast.ImportFrom) and inner.module and not inner.level
        }
        return Entry(
            kind,
            source,
            needs=needs,
            later=later,
            optional=frozenset(item.name for item in found if item.lazy) - needs - later,
            imports=frozenset(imports),
            chains=frozenset((item.name, *item.attributes) for item in found if item.attributes),
            lazy=lazy,
        )


def _of_notebook(function: types.FunctionType) -> bool:
    return function.__globals__.get("__name__") == "__main__"


def _defined_here(value: Any) -> bool:
    inner = sources.unwrapped(value)
    return getattr(value, "__module__", None) == "__main__" or (inner is not None and _of_notebook(inner))


def _is_constant(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _renamed(text: str, node: Any, name: str) -> str:
    if node.name == name:
        return text
    lines = text.splitlines(keepends=True)
    place = node.lineno - 1
    lines[place] = re.sub(rf"\b(def|class)(\s+){re.escape(node.name)}\b", rf"\1\2{name}", lines[place], count=1)
    return "".join(lines)


def _replaced(text: str, node: ast.expr, new: str, *, shift: bool) -> str:
    """Put other source in the place of an expression; columns count bytes of UTF-8."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    # A lambda was parsed within a parenthesis.
    start = node.col_offset - (shift and node.lineno == 1)
    end = node.end_col_offset - (shift and node.end_lineno == 1)
    first, last = lines[node.lineno - 1], lines[node.end_lineno - 1]
    joined = first[:start] + f"({new})".encode() + last[end:]
    lines[node.lineno - 1 : node.end_lineno] = [joined]
    return b"".join(lines).decode()


def _refusal(name: str, value: Any, reason: str) -> str:
    what = describe.what_is(value)
    plain = re.fullmatch(rf"an? {re.escape(type(value).__name__)}", reason)
    return f"{what}" + ("" if plain else f" ({reason})") + f"; {describe.what_to_do(name, value)}"


def _is_alias(value: object) -> bool:
    return isinstance(value, types.GenericAlias)  # which counts as a class before Python 3.11: tuple[T]
