"""Where modules and what they hold come from, and the import statements that bring them back."""

from __future__ import annotations

import ast
import site
import sys
import sysconfig
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from gke_notebook.program.values import CONSTANTS


def module_import(name: str, module: types.ModuleType, submodules: frozenset[str] = frozenset()) -> str:
    """Write the import of a module.

    Args:
        name: the name it is to have.
        module: the module.
        submodules: full names of modules below it that are used through it.

    Example:
        >>> import json.decoder
        >>> module_import("j", json, frozenset({"json.decoder"}))
        "import json as j\\n__import__('json.decoder')\\n"
    """
    full = module.__name__
    if name == full.split(".", maxsplit=1)[0]:
        lines = [f"import {inner}" for inner in sorted({full, *submodules})]
    else:
        # Imported for its effect on the parent only, so that no further name is bound.
        lines = [f"import {full} as {name}", *(f"__import__({inner!r})" for inner in sorted(submodules))]
    return "".join(f"{line}\n" for line in lines)


def expression(module: str) -> str:
    """Write an expression that gives a module and binds no name.

    Args:
        module: its full name.

    Example:
        >>> expression("math"), expression("os.path")
        ("__import__('math')", "__import__('importlib').import_module('os.path')")
    """
    return f"__import__('importlib').import_module({module!r})" if "." in module else f"__import__({module!r})"


def submodules_of(module: types.ModuleType, chains: frozenset[tuple[str, ...]]) -> frozenset[str]:
    """Say which modules below a module are used through it, so that they must be imported, too.

    Args:
        module: the module.
        chains: the attributes that follow its name, for example ``("nn", "functional", "relu")``.
    """
    found = set()
    for chain in chains:
        owner = module
        for attribute in chain:
            inner = getattr(owner, "__dict__", {}).get(attribute)
            full = f"{owner.__name__}.{attribute}"
            if not isinstance(inner, types.ModuleType) or sys.modules.get(full) is not inner:
                break
            if attribute not in _brought(getattr(owner, "__file__", None)):
                found.add(full)
            owner = inner
    return frozenset(found)


@cache
def _brought(file: str | None) -> frozenset[str]:
    """Say which of its own modules a package imports at its top level, so that nobody else need."""
    if file is None or not file.endswith("__init__.py"):
        return frozenset()
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return frozenset()
    package = Path(file).parent.name
    found: set[str] = set()
    for node in _at_import(tree):
        if isinstance(node, ast.ImportFrom):
            inside = [part for part in (node.module or "").split(".") if part]
            if not node.level and (not inside or package not in inside):
                continue
            below = inside if node.level else inside[inside.index(package) + 1 :]
            found.update(below[:1] or [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if package in parts[:-1]:
                    found.add(parts[parts.index(package) + 1])
    return frozenset(found)


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield inner
            yield from _at_import(inner)


def locate(value: Any, name: str) -> tuple[str, str] | None:
    """Find from where an object can be imported.

    Of the module that the object names and the packages around it, the outermost that holds it: what is private or
    moved between versions is seldom there.

    Args:
        value: a function, a class or another object of a module.
        name: the name it has in the notebook.

    Returns:
        The module and the path of attributes in it, or None.

    Example:
        >>> from collections import OrderedDict
        >>> locate(OrderedDict, "D")
        ('collections', 'OrderedDict')
    """
    home = getattr(value, "__module__", None) or getattr(getattr(value, "__self__", None), "__name__", None)
    path = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if type(value).__name__ in CONSTANTS:
        path = str(getattr(value, "name", value)).rsplit(".", maxsplit=1)[-1]
    candidates = [text for text in (path, name) if isinstance(text, str) and "<" not in text]
    if isinstance(home, str) and home != "__main__":
        parents = [home.rsplit(".", depth)[0] for depth in range(home.count("."), 0, -1)]
        if home in {"posixpath", "ntpath"}:
            home = "os.path"  # the notebook may run on another system than the job
        for text in candidates:
            for module in [*parents, home]:
                if _attribute(sys.modules.get(module), text) is value:
                    return module, text
    return _search(value, candidates, home)


def _search(value: Any, names: list[str], home: object) -> tuple[str, str] | None:
    if isinstance(value, types.FunctionType) and home == "__main__":
        return None
    top = type(value).__module__.split(".", maxsplit=1)[0]
    found = [
        (module, name)
        for module, holder in list(sys.modules.items())
        if module != "__main__" and isinstance(holder, types.ModuleType)
        for name in names
        if vars(holder).get(name) is value and getattr(holder, "__name__", None) == module
    ]
    # Its type's own package first, public before private, short before long.
    found.sort(key=lambda place: (place[0].split(".")[0] != top, "._" in f".{place[0]}", place[0].count("."), place))
    return found[0] if found else None


def _attribute(owner: object, path: str) -> object:
    for part in path.split("."):
        owner = (
            getattr(owner, "__dict__", {}).get(part)
            if isinstance(owner, types.ModuleType)
            else getattr(owner, part, None)
        )
    return owner


def local_file(name: str) -> Path | None:
    """Give the file of a module that is loaded and not installed, None for the standard library and installed packages.

    Args:
        name: the module's full name.
    """
    top = name.split(".", maxsplit=1)[0]
    module = sys.modules.get(top)
    if module is None or top in sys.stdlib_module_names or top in sys.builtin_module_names or top == "__main__":
        return None
    file = getattr(module, "__file__", None)
    if file is None:
        places = list(getattr(module, "__path__", ()))
        file = places[0] if places else None
    if not isinstance(file, str) or is_installed(Path(file)):
        return None
    path = Path(file)
    return path.parent if path.name == "__init__.py" else path


def is_installed(path: Path) -> bool:
    """Say whether a file belongs to the standard library or to an installed package.

    Args:
        path: the file.
    """
    if {"site-packages", "dist-packages"} & set(path.parts) or "<frozen" in str(path):
        return True
    return any(place in path.parents for place in _places())


@cache
def _places() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [sysconfig.get_path(name) for name in names] + site.getsitepackages() + [site.getusersitepackages()]
    return tuple(Path(place) for place in places if place)
