"""From a cell to the names that it takes from the notebook: what it uses before it has defined it; pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from gke_notebook.program.scopes import Reference, bindings, catches_name_error, references

_DYNAMIC = {"exec", "eval", "globals", "locals", "vars", "setattr"}


@dataclass(frozen=True)
class Use:
    """A name that the cell looks up where it has not certainly defined it.

    Args:
        name: the name.
        line: the first such line, as numbered in the source that was given.
        certain: whether the notebook must supply it; else the cell may have defined it by then, or may do without.
        before: the names that the cell has certainly defined by then.
    """

    name: str
    line: int
    certain: bool
    before: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Analysis:
    """What a cell uses and defines.

    Args:
        uses: the names it takes from elsewhere, in the order of first use; builtins among them.
        bound: every name that it may define at its top level.
        dynamic: whether names may come from where no analysis sees them: a star import, `exec`, `globals()`.
        imports: the modules that it imports, with the line.
        attributes: chains of attributes on names, for example ``("jax", "nn", "relu")``.
    """

    uses: tuple[Use, ...]
    bound: frozenset[str]
    dynamic: bool
    imports: tuple[tuple[str, int], ...]
    attributes: frozenset[tuple[str, ...]]


@dataclass
class _State:
    defined: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    dead: bool = False  # nothing after this point runs

    def copy(self) -> _State:
        return _State(set(self.defined), set(self.maybe), self.dead)


def analyse(tree: ast.Module, *, lazy_annotations: bool = False) -> Analysis:
    """Analyse the top level of a cell in the order of its execution.

    A loop is taken to run at least once, because a name that a loop leaves behind is not expected from the notebook.

    Args:
        tree: the parsed cell.
        lazy_annotations: whether ``from __future__ import annotations`` holds from outside.
    """
    lazy = lazy_annotations or any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )
    flow = _Flow(tree, lazy)
    flow.block(tree.body)
    return flow.result()


class _Flow:
    def __init__(self, tree: ast.Module, lazy: bool) -> None:
        self.lazy_annotations = lazy
        whole = bindings(tree.body)
        found, stores = references(tree, lazy_annotations=lazy)
        self.bound = whole.bound | stores
        self.any_star = whole.star
        self.star = False
        self.dynamic = whole.star or any(reference.name in _DYNAMIC for reference in found)
        self.attributes = {(reference.name, *reference.attributes) for reference in found if reference.attributes}
        self.imports = tuple(_imports(tree))
        # What a function assigns as `global` may be there from its first call on.
        self.state = _State(maybe=set(stores))
        self.uses: dict[str, Use] = {}
        self.bodies: dict[str, list[Reference]] = {}  # what the functions of the cell look up when they are called
        self.guarded = False
        self.loop_bound: set[str] = set()
        self.conditional = False  # within the innermost loop

    def result(self) -> Analysis:
        uses = tuple(sorted(self.uses.values(), key=lambda use: use.line))
        return Analysis(uses, frozenset(self.bound), self.dynamic, self.imports, frozenset(self.attributes))

    # Look-ups and bindings.

    def load(self, reference: Reference, seen: set[str] | None = None) -> None:
        name, state = reference.name, self.state
        if state.dead:
            return
        seen = set() if seen is None else seen
        if name in self.bodies and name not in seen:
            # The function may be called from here on: what it looks up should be there.
            seen.add(name)
            for inner in self.bodies[name]:
                self.load(replace(inner, line=reference.line), seen)
        if name in state.defined:
            return
        unsure = (
            reference.lazy
            or self.guarded
            or self.star
            or (reference.deferred and self.any_star)
            or name in state.maybe
            or (reference.deferred and name in self.bound)
            or (self.conditional and name in self.loop_bound)
        )
        known = self.uses.get(name)
        if known is None:
            self.uses[name] = Use(name, reference.line, not unsure, frozenset(state.defined))
        elif not known.certain and not unsure:
            self.uses[name] = Use(name, reference.line, True, known.before)

    def store(self, name: str) -> None:
        self.state.defined.add(name)
        self.bodies.pop(name, None)

    def expression(self, node: ast.AST | None) -> None:
        if node is None:
            return
        found, _ = references(node, lazy_annotations=self.lazy_annotations)
        assigned = [inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        own = {
            (name.lineno, name.col_offset)
            for inner in assigned
            for name in ast.walk(inner.value)
            if isinstance(name, ast.Name) and name.id == inner.target.id
        }
        names = {inner.target.id for inner in assigned}
        for reference in found:
            if reference.name not in names or (reference.line, reference.column) in own:
                self.load(reference)
        for name in bindings([node]).bound:
            self.store(name)

    def target(self, node: ast.AST) -> None:
        self.expression(node)  # `x[i] = 1` looks up x and i; names that are stored to are bound

    # Statements.

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        kind = type(node).__name__
        handler = getattr(self, f"_{kind.lower()}", None)
        if handler is not None:
            handler(node)
        else:
            self.expression(node)

    def _assign(self, node: ast.Assign) -> None:
        self.expression(node.value)
        for target in node.targets:
            self.target(target)

    def _augassign(self, node: ast.AugAssign) -> None:
        self.expression(node)

    def _annassign(self, node: ast.AnnAssign) -> None:
        found, _ = references(node, lazy_annotations=self.lazy_annotations)
        for reference in found:
            self.load(reference)
        if node.value is not None:
            for name in bindings([node]).bound:
                self.store(name)

    def _delete(self, node: ast.Delete) -> None:
        found, _ = references(node)
        for reference in found:
            self.load(reference)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.state.defined.discard(target.id)
                self.state.maybe.discard(target.id)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        found, _ = references(node, lazy_annotations=self.lazy_annotations)
        later = [reference for reference in found if reference.deferred and reference.name in self.bound]
        for reference in found:
            # What the cell never binds is the notebook's, whenever the function runs.
            if not reference.deferred or reference.name not in self.bound:
                self.load(reference)
        self.store(node.name)
        self.bodies[node.name] = later

    _functiondef = _asyncfunctiondef = _classdef = _definition

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        bound = bindings([node])
        self.star = self.star or bound.star
        for name in bound.bound:
            self.store(name)

    _importfrom = _import

    def _raise(self, node: ast.Raise) -> None:
        self.expression(node)
        self.state.dead = True

    def _break(self, _: ast.stmt) -> None:
        self.state.dead = True

    _continue = _return = _break

    def _expr(self, node: ast.Expr) -> None:
        self.expression(node.value)
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in {"sys.exit", "exit", "quit"}:
            self.state.dead = True

    def _if(self, node: ast.If) -> None:
        self.expression(node.test)
        self._branches([node.body, node.orelse])

    def _match(self, node: ast.Match) -> None:
        self.expression(node.subject)
        ends = []
        whole = False
        start = self.state
        with self._conditional():
            for case in node.cases:
                self.state = start.copy()
                self.expression(case.pattern)
                self.expression(case.guard)
                self.block(case.body)
                ends.append(self.state)
                whole = whole or (case.guard is None and _always_matches(case.pattern))
        self.state = _merge(ends if whole else [*ends, start])

    def _branches(self, blocks: Sequence[Sequence[ast.stmt]]) -> None:
        start, ends = self.state, []
        with self._conditional():
            for block in blocks:
                self.state = start.copy()
                self.block(block)
                ends.append(self.state)
        self.state = _merge(ends)

    @contextmanager
    def _conditional(self) -> Iterator[None]:
        before = self.conditional
        self.conditional = True
        yield
        self.conditional = before

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        if isinstance(node, ast.While):
            self.expression(node.test)
        else:
            self.expression(node.iter)
            self.target(node.target)
        before = self.loop_bound, self.conditional
        self.loop_bound, self.conditional = self.loop_bound | bindings(node.body).bound, False
        entered = self.state.copy()
        self.block(node.body)
        self.loop_bound, self.conditional = before
        if self.state.dead:  # left by `break` or `continue`, perhaps after it has bound its names
            self.state.dead = False
        self.state.maybe |= entered.maybe
        self.block(node.orelse)

    _for = _asyncfor = _while = _loop

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.expression(item.context_expr)
            if item.optional_vars is not None:
                self.target(item.optional_vars)
        self.block(node.body)

    _asyncwith = _with

    def _try(self, node: ast.Try) -> None:
        start, guarded = self.state.copy(), self.guarded
        self.guarded = guarded or catches_name_error(node)
        self.block(node.body)
        self.guarded = guarded
        tried = self.state
        self.block(node.orelse)
        ends = [self.state]
        for handler in node.handlers:
            # It may be entered after any statement of the body.
            self.state = _State(set(start.defined), start.maybe | tried.maybe | tried.defined)
            self.expression(handler.type)
            if handler.name:
                self.store(handler.name)
            self.block(handler.body)
            if handler.name:
                self.state.defined.discard(handler.name)
            ends.append(self.state)
        after = _merge(ends)
        # The last block runs also when the body was left early; what follows it runs only when it was not.
        self.state = _State(set(start.defined), start.maybe | after.maybe | after.defined)
        self.block(node.finalbody)
        removed = start.defined - self.state.defined
        self.state.defined = (self.state.defined | after.defined) - removed
        self.state.dead = self.state.dead or after.dead

    _trystar = _try


def _merge(states: Sequence[_State]) -> _State:
    alive = [state for state in states if not state.dead]
    maybe = set().union(*(state.maybe | state.defined for state in states))
    if not alive:
        return _State(set().union(*(state.defined for state in states)), maybe, dead=True)
    defined = set.intersection(*(state.defined for state in alive))
    return _State(defined, maybe)


def _always_matches(pattern: ast.pattern) -> bool:
    if isinstance(pattern, ast.MatchAs):
        return pattern.pattern is None or _always_matches(pattern.pattern)
    return isinstance(pattern, ast.MatchOr) and any(_always_matches(inner) for inner in pattern.patterns)


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
