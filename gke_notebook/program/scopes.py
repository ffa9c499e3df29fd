"""Which names a piece of code looks up in its module, by Python's own scoping rules; pure.

Source: Python language reference, "Naming and binding" and "Annotation scopes" (3.10 to 3.14).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Set by the compiler or the import system in every module, class or method.
IMPLICIT = frozenset(
    {
        "__name__", "__file__", "__doc__", "__builtins__", "__spec__", "__loader__", "__package__", "__cached__",
        "__annotations__", "__class__", "__module__", "__qualname__", "__debug__", "__classdict__",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """One look-up of a module-level name.

    Args:
        name: the name.
        line: where, from 1.
        column: where in the line, from 0.
        deferred: whether it happens only when a function is called.
        lazy: whether the code may well run without it: an annotation that is not evaluated, a look-up in a `try` that
            catches NameError.
        attributes: the attributes that follow it directly, for example ``("nn", "relu")`` of ``jax.nn.relu``.
    """

    name: str
    line: int
    column: int
    deferred: bool = False
    lazy: bool = False
    attributes: tuple[str, ...] = ()


@dataclass
class Bindings:
    """What a block of statements binds in its own scope.

    Args:
        bound: names that it assigns, imports, defines or deletes.
        global_names: names declared `global`.
        nonlocal_names: names declared `nonlocal`.
        star: whether it imports everything of some module.
    """

    bound: set[str] = field(default_factory=set)
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)
    star: bool = False


def bindings(nodes: Iterable[ast.AST]) -> Bindings:
    """Say which names a block binds, without entering the scopes inside it.

    Args:
        nodes: statements or expressions of one scope.
    """
    binder = _Binder()
    for node in nodes:
        binder.visit(node)
    return binder.found


def references(node: ast.AST, *, lazy_annotations: bool = False) -> tuple[list[Reference], set[str]]:
    """List the look-ups of module-level names in a node that stands at the top level of a module.

    Args:
        node: a statement or an expression.
        lazy_annotations: whether ``from __future__ import annotations`` holds.

    Returns:
        The look-ups in the order of evaluation where that is plain, and the names that functions assign as `global`.
    """
    collector = _Collector(lazy_annotations)
    collector.visit(node)
    return collector.found, collector.global_stores


def catches_name_error(node: ast.AST) -> bool:
    """Say whether a `try` statement catches NameError by its name.

    Args:
        node: the statement.
    """
    for handler in getattr(node, "handlers", ()):
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(isinstance(kind, ast.Name) and kind.id in {"NameError", "UnboundLocalError"} for kind in kinds):
            return True
    return False


class _Binder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found = Bindings()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.found.bound.add(node.id)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.found.bound.add(node.name)
        outside: list[ast.expr] = list(node.decorator_list)
        if isinstance(node, ast.ClassDef):
            outside += [*node.bases, *(keyword.value for keyword in node.keywords)]
        else:
            outside += _defaults(node.args)
        for inner in outside:
            self.visit(inner)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for inner in _defaults(node.args):
            self.visit(inner)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)
        self._walrus(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def _walrus(self, node: ast.AST) -> None:
        # An assignment expression in a comprehension binds in the scope around it.
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.NamedExpr):
                self.found.bound.add(inner.target.id)
            if not isinstance(inner, ast.Lambda):
                self._walrus(inner)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.bound.update(alias.asname or alias.name.split(".")[0] for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.found.star = True
            else:
                self.found.bound.add(alias.asname or alias.name)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.found.bound.add(node.name)
        self.generic_visit(node)

    def _capture(self, node: ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self.found.bound.add(node.name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = _capture  # noqa: N815

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.found.bound.add(node.rest)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.found.global_names.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.found.nonlocal_names.update(node.names)


@dataclass
class _Scope:
    kind: str  # function, class or comprehension
    bound: set[str]
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)
    parent: _Scope | None = None


class _Collector(ast.NodeVisitor):
    def __init__(self, lazy_annotations: bool) -> None:
        self.lazy_annotations = lazy_annotations
        self.found: list[Reference] = []
        self.global_stores: set[str] = set()
        self.scope: _Scope | None = None
        self.deferred = False
        self.lazy = False

    def _is_global(self, name: str) -> bool:
        scope, own = self.scope, True
        while scope is not None:
            if name in scope.global_names:
                return True
            if name in scope.bound and name not in scope.nonlocal_names and (own or scope.kind != "class"):
                return False
            scope, own = scope.parent, False
        return True

    def _use(self, node: ast.Name, attributes: tuple[str, ...] = ()) -> None:
        if node.id not in IMPLICIT and self._is_global(node.id):
            self.found.append(
                Reference(node.id, node.lineno, node.col_offset, self.deferred, self.lazy, attributes),
            )

    @contextmanager
    def _inside(self, scope: _Scope, *, deferred: bool | None = None) -> Iterator[None]:
        before = self.scope, self.deferred
        scope.parent = self.scope
        self.scope = scope
        self.deferred = self.deferred if deferred is None else deferred
        yield
        self.scope, self.deferred = before

    @contextmanager
    def _lazily(self, lazy: bool = True) -> Iterator[None]:
        before = self.lazy
        self.lazy = before or lazy
        yield
        self.lazy = before

    def _block(self, kind: str, nodes: list[ast.stmt], names: Iterable[str] = ()) -> _Scope:
        inner = bindings(nodes)
        self.global_stores |= inner.bound & inner.global_names
        bound = (inner.bound | set(names)) - inner.global_names
        return _Scope(kind, bound, inner.global_names, inner.nonlocal_names)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self._use(inner, tuple(attributes))
        else:
            self.visit(inner)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._use(target)
            else:
                self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._use(node.target)
        else:
            self.visit(node.target)
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.target)
        if self.scope is None or self.scope.kind == "class":  # those of local variables are never evaluated
            self._annotation(node.annotation)

    def _try(self, node: ast.Try) -> None:
        with self._lazily(catches_name_error(node)):
            for statement in node.body:
                self.visit(statement)
        for inner in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(inner)

    visit_Try = visit_TryStar = _try  # noqa: N815

    def _annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        with self._lazily(self.lazy_annotations):
            self.visit(node)
        with self._lazily():
            for text in _texts(node):
                try:
                    parsed = ast.parse(text.strip(), mode="eval")
                except (SyntaxError, ValueError):
                    continue
                for inner in ast.walk(parsed):
                    ast.copy_location(inner, node)
                self.visit(parsed.body)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for inner in (*node.decorator_list, *_defaults(node.args)):
            self.visit(inner)
        with self._type_parameters(node):
            arguments = _arguments(node.args)
            for argument in arguments:
                self._annotation(argument.annotation)
            self._annotation(node.returns)
            scope = self._block("function", node.body, (argument.arg for argument in arguments))
            with self._inside(scope, deferred=True):
                for statement in node.body:
                    self.visit(statement)

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for inner in _defaults(node.args):
            self.visit(inner)
        bound = {argument.arg for argument in _arguments(node.args)} | bindings([node.body]).bound
        with self._inside(_Scope("function", bound), deferred=True):
            self.visit(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for inner in node.decorator_list:
            self.visit(inner)
        with self._type_parameters(node):
            for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
                self.visit(base)
            scope = self._block("class", node.body)
            scope.bound = set()  # a class body looks up what it has not bound yet in the module: `lr = lr`
            with self._inside(scope):
                self._class_body(scope, node.body)

    def _class_body(self, scope: _Scope, body: list[ast.stmt]) -> None:
        for statement in body:
            names = bindings([statement]).bound - scope.global_names
            if isinstance(statement, ast.If):
                self.visit(statement.test)
                self._class_body(scope, statement.body)
                self._class_body(scope, statement.orelse)
            elif isinstance(statement, (*_FUNCTIONS, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.ClassDef)):
                self.visit(statement)
                scope.bound |= names
            else:
                scope.bound |= names
                self.visit(statement)

    @contextmanager
    def _type_parameters(self, node: ast.AST) -> Iterator[None]:
        parameters = getattr(node, "type_params", ())  # Python 3.12
        if not parameters:
            yield
            return
        with self._inside(_Scope("function", {parameter.name for parameter in parameters})):
            for parameter in parameters:
                with self._lazily():
                    self.generic_visit(parameter)
            yield

    def visit_TypeAlias(self, node: ast.AST) -> None:
        with self._type_parameters(node), self._lazily():
            self.visit(node.value)  # type: ignore[attr-defined]  # the class does not exist in Python 3.10

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        first, *others = node.generators
        self.visit(first.iter)
        bound = bindings(generator.target for generator in node.generators).bound
        with self._inside(_Scope("comprehension", bound)):
            self.visit(first.target)
            for condition in first.ifs:
                self.visit(condition)
            for generator in others:
                self.visit(generator)
            for inner in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
                self.visit(inner)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    alone = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *alone]


def _texts(node: ast.expr) -> Iterator[str]:
    """Give the strings in an annotation that stand for types."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
        return
    if isinstance(node, ast.Subscript):
        generic = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        if generic == "Literal":
            return
        if generic == "Annotated" and isinstance(node.slice, ast.Tuple):
            yield from _texts(node.slice.elts[0])
            return
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.expr):
            yield from _texts(inner)
