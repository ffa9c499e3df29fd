"""Which names of the notebook travel with a cell, in which order; or one line that says which cannot."""

from __future__ import annotations

import ast
import builtins
import difflib
import io
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_notebook.errors import InvalidInput
from gke_notebook.program import modules
from gke_notebook.program.define import CannotTravel, Definer, Entry
from gke_notebook.program.describe import size_text
from gke_notebook.program.flow import Analysis
from gke_notebook.program.scopes import IMPLICIT
from gke_notebook.program.values import VALUES_LIMIT
from gke_notebook.specs import ShippedFile, ShippedName

LAZY_ANNOTATIONS = ShippedName("__future__", "import", "from __future__ import annotations\n")
# `display` of a notebook is `print` in a job, which has no other output than its log.
_DISPLAY = "def display(*objects, **_):\n    for item in objects:\n        print(item, flush=True)\n"
_OF_IPYTHON = {"exit", "quit", "open", "display", "get_ipython"}
_HISTORY = re.compile(r"In|Out|_{1,3}|_i{1,3}|_i?\d+|_[iod]h")


@dataclass(frozen=True)
class _Request:
    """Why a name is wanted.

    Args:
        where: for example ``line 3``.
        required: whether the job cannot run without it.
        before: the names that the cell has defined by then.
    """

    where: str
    required: bool
    before: frozenset[str]


class Resolver:
    """Finds the names that travel with one cell.

    Args:
        analysis: of the cell.
        variables: the notebook's names.
        files: the included files, which hold local modules.
        base: the notebook's directory.
    """

    def __init__(
        self, analysis: Analysis, variables: Mapping[str, Any], files: tuple[ShippedFile, ...], base: Path
    ) -> None:
        self.analysis = analysis
        self.variables = variables
        self.paths = {file.path for file in files}
        self.base = base
        self.definer = Definer(variables, self.check_module, analysis.attributes)
        self.entries: dict[str, Entry] = {}
        self.requests: dict[str, _Request] = {}
        self.refused: dict[str, str] = {}

    def resolve(self, *, lazy_annotations: bool = False) -> tuple[ShippedName, ...]:
        """Give what travels, in the order of definition.

        Args:
            lazy_annotations: whether the notebook has said ``from __future__ import annotations``.

        Raises:
            InvalidInput: something cannot travel.
        """
        for module, line in self.analysis.imports:
            self._import(module, f"line {line}")
        uses = self.analysis.uses
        for use in [use for use in uses if use.certain] + [use for use in uses if not use.certain]:
            self.take(use.name, _Request(f"line {use.line}", use.certain, use.before))
        if self.refused:
            raise InvalidInput("; ".join(self.refused.values()))
        order = self._order()
        shipped = [ShippedName(name, self.entries[name].kind, self._source(name)) for name in order]
        _check_total(shipped)
        if lazy_annotations or any(entry.lazy for entry in self.entries.values()):
            shipped.insert(0, LAZY_ANNOTATIONS)
        return tuple(shipped)

    def take(self, name: str, request: _Request) -> None:
        """Have a name travel, with all that it needs.

        Args:
            name: the name.
            request: why.
        """
        if name in self.entries or name in self.refused or name in IMPLICIT:
            return
        if request.required:
            self._take(name, request)
            return
        kept = dict(self.entries), dict(self.requests), dict(self.definer.taken)
        refused, self.refused = self.refused, {}
        self._take(name, request)
        if self.refused:
            # The cell may well do without it, so neither it nor what it needs travels.
            self.entries, self.requests, self.definer.taken = kept
        self.refused = refused

    def _take(self, name: str, request: _Request) -> None:
        if name in self.entries or name in self.refused or name in IMPLICIT:
            return
        known = name in self.variables
        value = self.variables.get(name)
        # IPython has `display` among the builtins while a cell runs.
        if (known or name in {"display", "get_ipython"}) and _is_ipythons(name, value if known else None):
            self._take_ipythons(name, request)
            return
        if not known or value is getattr(builtins, name, self):
            if not known and not hasattr(builtins, name) and not self.analysis.dynamic:
                self.refused[name] = self._undefined(name, request)
            return
        try:
            entry = self.definer.define(name, value)
        except CannotTravel as reason:
            self.refused[name] = f"{name} ({request.where}) cannot travel with the cell: {reason}"
            return
        self.entries[name] = entry
        self.requests[name] = request
        through = f"{request.where}, through {name}" if "through" not in request.where else request.where
        for module in entry.imports:
            self._import(module, through)
        self.definer.chains |= entry.chains
        for needed in sorted(entry.needs):
            self._take(needed, _Request(through, True, frozenset()))
        for needed in sorted(entry.later | entry.optional):
            if needed in request.before:
                continue
            required = needed in entry.later and needed not in self.analysis.bound
            self.take(needed, _Request(through, required, request.before))

    def _take_ipythons(self, name: str, request: _Request) -> None:
        if name == "display":
            self.entries[name] = Entry("function", _DISPLAY)
        elif name == "get_ipython":
            self.refused[name] = f"get_ipython ({request.where}) does not exist in the job: there is no notebook there"
        elif name not in _OF_IPYTHON:
            self.refused[name] = (
                f"{name} ({request.where}) is the notebook's own history and does not travel; "
                "give the value a name of its own first"
            )

    def _undefined(self, name: str, request: _Request) -> str:
        known = [
            other for other in (*self.variables, *self.analysis.bound, *dir(builtins)) if not other.startswith("_")
        ]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        hint = f"; did you mean {close[0]!r}?" if close else "; define it first"
        return f"name {name!r} ({request.where}) is defined neither in the cell nor in the notebook{hint}"

    # Modules that the job must find.

    def check_module(self, name: str) -> None:
        """Refuse a module that lies beside the notebook and is not included.

        Args:
            name: its full name.

        Raises:
            CannotTravel: it is such a module.
        """
        top = name.split(".", maxsplit=1)[0]
        if top in sys.stdlib_module_names or top == "__main__" or self._included(top):
            return
        file = modules.local_file(name)
        if file is None and top not in sys.modules:
            file = _beside(self.base, top)
        if file is not None:
            shown = _shown(file, self.base)
            elsewhere = next((path for path in self.paths if Path(path).name in {f"{top}.py", top}), None)
            if elsewhere is not None:
                raise CannotTravel(
                    f"module {top} is included as {elsewhere}, but found only at the top of the working directory; "
                    f"start the notebook in the folder of {top}"
                )
            raise CannotTravel(
                f"module {top} is the local {_kind(file)} {shown}, not an installed package; --include {shown}"
            )

    def _included(self, top: str) -> bool:
        return f"{top}.py" in self.paths or any(path.startswith(f"{top}/") for path in self.paths)

    def _import(self, module: str, where: str) -> None:
        try:
            self.check_module(module)
        except CannotTravel as reason:
            self.refused.setdefault(
                f"import {module.split('.', maxsplit=1)[0]}", f"import {module} ({where}): {reason}"
            )

    def check_files(self, files: Iterable[ShippedFile]) -> None:
        """Refuse included modules that import local modules which are not included.

        Args:
            files: the included files.
        """
        for file in files:
            if not file.path.endswith(".py") or "/" in file.path:
                continue
            try:
                tree = ast.parse(file.content)
            except (SyntaxError, ValueError, RecursionError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        self._import(alias.name, f"in {file.path}")
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    self._import(node.module, f"in {file.path}")

    # The order.

    def _source(self, name: str) -> str:
        value = self.variables.get(name)
        entry = self.entries[name]
        if entry.kind == "import" and isinstance(value, type(sys)):
            # Again, because functions taken later may use more of its submodules.
            return self.definer.define(name, value).source
        return entry.source

    def _order(self) -> list[str]:
        """Give the names so that each comes after what it needs; what is needed only when called comes where it can."""
        rank: dict[str, int] = {}

        def visit(name: str) -> None:
            if name in rank or name in visiting or name not in self.entries:
                return
            visiting.add(name)
            entry = self.entries[name]
            for needed in (*sorted(entry.needs), *sorted(entry.later), *sorted(entry.optional)):
                visit(needed)
            rank[name] = len(rank)

        visiting: set[str] = set()
        for kind in ("import", "value", "class", "function"):
            for name in sorted(name for name, entry in self.entries.items() if entry.kind == kind):
                visit(name)
        waiting = sorted(rank, key=lambda name: rank[name])
        order: list[str] = []
        done: set[str] = set()
        while waiting:
            ready = next((name for name in waiting if self.entries[name].needs & set(waiting) <= {name} | done), None)
            if ready is None:
                raise InvalidInput(f"these names need each other to be defined: {', '.join(sorted(waiting))}")
            waiting.remove(ready)
            done.add(ready)
            order.append(ready)
        return order


def _is_ipythons(name: str, value: Any) -> bool:
    if name in _OF_IPYTHON:
        # IPython's `open` wraps the real one and says that it is that.
        if value is None or getattr(value, "__wrapped__", None) is io.open:
            return True
        kind = getattr(value, "__module__", None) or type(value).__module__
        return isinstance(kind, str) and kind.split(".")[0] in {"IPython", "ipykernel"}
    return _HISTORY.fullmatch(name) is not None


def _beside(base: Path, top: str) -> Path | None:
    file, folder = base / f"{top}.py", base / top
    if file.is_file():
        return file
    return folder if folder.is_dir() and any(folder.glob("*.py")) else None


def _shown(file: Path, base: Path) -> str:
    try:
        return file.resolve().relative_to(base.resolve()).as_posix()
    except ValueError:
        return str(file)


def _kind(file: Path) -> str:
    return "folder" if file.is_dir() else "file"


def _check_total(shipped: list[ShippedName]) -> None:
    values = sorted((name for name in shipped if name.kind == "value"), key=lambda name: -name.size)
    total = sum(name.size for name in values)
    if total <= VALUES_LIMIT:
        return
    largest = ", ".join(f"{name.name} {size_text(name.size)}" for name in values[:5])
    raise InvalidInput(
        f"the values that the cell takes from the notebook are {size_text(total)} as source, more than "
        f"{VALUES_LIMIT // 1024} KiB; largest: {largest}; write them to a file and --include it"
    )
