"""What a cell takes from the notebook: a table, the compiler as the judge, and programs made at random."""

# ruff: noqa: E501 - a table reads better with a case on a line

from __future__ import annotations

import ast
import builtins
import dis
import importlib.util
import itertools
import sys
import types
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gke_notebook.program.flow import analyse
from gke_notebook.program.scopes import IMPLICIT, references

BUILTINS = set(dir(builtins))

# The cell, the names that must come from the notebook, the names that may.
CELLS: list[tuple[str, str, str]] = [
    ("print(x)", "x", ""),
    ("x = 1\nprint(x)", "", ""),
    ("x = x + 1", "x", ""),
    ("x += 1", "x", ""),
    ("x: int = y", "y", ""),
    ("x: int\nprint(x)", "x", ""),
    ("x: Kind = 1", "Kind", ""),
    ("x: 'Kind' = 1", "", "Kind"),
    ("from __future__ import annotations\nx: Kind = 1", "", "Kind"),
    ("def f(a: Kind) -> Other: ...", "Kind Other", ""),
    ("def f(a: 'Kind') -> 'Other': ...", "", "Kind Other"),
    ("from typing import Literal\ndef f(a: Literal['fast', 'slow']): ...", "", ""),
    ("from typing import Annotated\ndef f(a: Annotated['Kind', 'doc']): ...", "", "Kind"),
    ("def f():\n    a: Kind = 1\n    return a", "", ""),
    ("del x", "x", ""),
    ("x = 1\ndel x\nprint(x)", "x", ""),
    ("x[0] = y", "x y", ""),
    ("x.a = 1", "x", ""),
    ("x[i] += 1", "i x", ""),
    ("(a, *b), c = x\nprint(a, b, c)", "x", ""),
    ("print(f'{x!r:>{width}}')", "width x", ""),
    ("print(f'{(y := x)}', y)", "x", ""),
    ("if (n := len(x)) > 1: print(n)", "x", ""),
    ("y = (y := y) + 1", "y", ""),
    ("[(a, b) for a in x for b in a if b > t]", "t x", ""),
    ("{k: v for k, v in x}\nk", "k x", ""),
    ("any((hit := v) > 1 for v in x)\nprint(hit)", "x", ""),
    ("[last for v in x if (last := v)]", "x", ""),
    ("i = 1\n[i for i in i_s]", "i_s", ""),
    ("lambda a, b=x: a + b + y", "x y", ""),
    ("f = lambda: y\ny = 1\nf()", "", "y"),
    ("def f(): return y\ny = 1\nf()", "", ""),
    ("def f(): return y\nf()\ny = 1", "", "y"),
    ("def g(): return f()\ndef f(): return y\ng()\ny = 1", "", "y"),
    ("def f(): return y", "y", ""),
    ("def f(a, b=x, *c, d=z, **e): return a, b, c, d, e", "x z", ""),
    ("def f(): return f()", "", ""),
    ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x += 1\n        return x\n    return g", "", ""),
    ("def f():\n    global x\n    x = 1\nf()\nprint(x)", "", "x"),
    ("def f():\n    global x\n    return x", "x", ""),
    ("def f():\n    try: return x\n    except NameError: return 1", "", "x"),
    ("@deco(arg)\ndef f(): ...", "arg deco", ""),
    ("@deco\nclass A(Base, metaclass=Meta):\n    a = b\n    def m(self): return a, A", "Base Meta a b deco", ""),
    ("class A:\n    x = x", "x", ""),
    ("class A:\n    x = 1\n    y = x", "", ""),
    ("class A:\n    x = 1\n    def m(self): return x", "x", ""),
    ("class A:\n    n = 2\n    z = [n for _ in range(n)]", "n", ""),
    ("class A:\n    if flag:\n        f = f", "f flag", ""),
    ("class A:\n    def m(self): return __class__, super().m()", "", ""),
    ("class A:\n    def m(self): return B()\nclass B: ...\nA().m()", "", ""),
    ("if c: y = 1\nelse: y = 2\nprint(y)", "c", ""),
    ("if c: y = 1\nprint(y)", "c", "y"),
    ("if c: y = 1\nelse: raise ValueError\nprint(y)", "c", ""),
    ("import sys\nif c: y = 1\nelse: sys.exit(1)\nprint(y)", "c", ""),
    ("y = 1 if c else d", "c d", ""),
    ("for i in x: y = i\nprint(i, y)", "x", ""),
    ("for i in x:\n    if c: continue\n    y = i\nprint(y)", "c x", ""),
    ("for i in x:\n    p = step(p)", "p step x", ""),
    ("for i in x:\n    if i: print(p)\n    p = i", "x", "p"),
    ("while True:\n    y = 1\n    break\nprint(y)", "", ""),
    ("while (line := read()): print(line)", "read", ""),
    ("for i in range(2): pass\nelse: print(z)", "z", ""),
    ("try: import fast\nexcept ImportError: fast = None\nprint(fast)", "", ""),
    ("try: y = f()\nexcept ValueError as e: print(e)\nprint(y)", "f", "y"),
    ("try: y = f()\nexcept ValueError as e: y = e\nprint(y, e)", "f e", ""),
    ("try: y\nexcept NameError: y = 1", "", "y"),
    ("try: y\nexcept (NameError, KeyError): y = 1\nprint(y)", "", "y"),
    ("try: pass\nexcept Oops: pass", "Oops", ""),
    ("try: a = 1\nfinally: print(a)", "", "a"),
    ("try: a = 1\nfinally: pass\nprint(a)", "", ""),
    ("with open(p) as h, lock: print(h)", "lock p", ""),
    ("with a as b.c: pass", "a b", ""),
    ("match x:\n    case {'a': a, **rest}: print(a, rest)\n    case [b, *c]: print(b, c)\n    case Point(x=0) | None: pass", "Point x", ""),
    ("match x:\n    case 1: y = 1\n    case _: y = 2\nprint(y)", "x", ""),
    ("match x:\n    case 1: y = 1\nprint(y)", "x", "y"),
    ("match x:\n    case str() as s if s > t: print(s)\n    case Color.RED: pass", "Color t x", ""),
    ("import a.b as c, d.e\nprint(c, d)", "", ""),
    ("from a import *\nprint(x)", "", "x"),
    ("print(x)\nfrom a import *", "x", ""),
    ("print(__name__, __file__, __doc__)", "", ""),
    ("async def f():\n    async with a: return [b async for b in c]", "a c", ""),
    ("await x", "x", ""),
    ("assert x, y", "x y", ""),
    ("raise x from y", "x y", ""),
    ("x: list[Kind] = []", "Kind", ""),
    ("def f(x):\n    del x\n    return x", "", ""),
    ("def outer():\n    class In:\n        v = w\n        def m(self): return u\n    return In", "u w", ""),
    ("y = [x for x in range(3)]\nx", "x", ""),
    ("exec('q = 1')\nprint(q)", "q", ""),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "certain", "maybe"), CELLS, ids=[cell[:40] for cell, _, _ in CELLS])
def test_uses(cell: str, certain: str, maybe: str) -> None:
    uses = [use for use in analyse(ast.parse(cell)).uses if use.name not in BUILTINS]
    assert {use.name for use in uses if use.certain} == set(certain.split())
    assert {use.name for use in uses if not use.certain} == set(maybe.split())


def test_a_use_names_the_first_certain_line() -> None:
    (use,) = analyse(ast.parse("def f(): ...\n\nx.y\nx.z")).uses
    assert (use.name, use.line) == ("x", 3)


def test_names_defined_by_then() -> None:
    uses = {use.name: use for use in analyse(ast.parse("a = 1\nf()\nb = 2\ng()")).uses}
    assert uses["f"].before == {"a"}
    assert uses["g"].before == {"a", "b"}


def test_dynamic_names() -> None:
    assert analyse(ast.parse("globals()['x'] = 1")).dynamic
    assert analyse(ast.parse("from m import *")).dynamic
    assert not analyse(ast.parse("print(1)")).dynamic


def test_attributes_and_imports() -> None:
    found = analyse(ast.parse("import a.b\nfrom c.d import e\nfrom . import f\nj.nn.relu(j.nn.x)"))
    assert {("j", "nn", "relu"), ("j", "nn", "x")} <= found.attributes
    assert found.imports == (("a.b", 1), ("c.d", 2))


def test_lazy_annotations_from_outside() -> None:
    tree = ast.parse("def f(a: Kind): ...")
    assert [use.certain for use in analyse(tree, lazy_annotations=True).uses] == [False]


def test_many_functions_that_call_each_other_take_no_time() -> None:
    names = [f"f{number}" for number in range(40)]
    body = "\n".join(f"def {name}(): return {', '.join(f'{other}()' for other in names)}" for name in names)
    assert analyse(ast.parse(f"{body}\nf0()")).uses == ()


# The compiler is the judge of scoping: what a module looks up as global is what the analysis finds.

LOOK_UPS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME", "DELETE_GLOBAL"}


def compiled_names(code: types.CodeType, *, top: bool = True) -> set[str]:
    in_class = not top and not code.co_flags & 1  # CO_OPTIMIZED is unset for class bodies
    own: set[str] = set()
    found: set[str] = set()
    for step in dis.get_instructions(code):
        if in_class and step.opname == "STORE_NAME":
            own.add(step.argval)
        if step.opname in LOOK_UPS and not (in_class and (step.argval in own or step.opname == "DELETE_NAME")):
            found.add(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found |= compiled_names(inner, top=False)
    return found


def plain(names: set[str]) -> set[str]:
    """Leave out what the compiler mangles or makes up."""
    return {name for name in names - IMPLICIT if not (name.startswith("_") and "__" in name[1:])}


MODULES = [
    "argparse", "ast", "asyncio.base_events", "collections", "concurrent.futures.process", "dataclasses", "datetime",
    "doctest", "email.message", "enum", "functools", "http.client", "inspect", "logging", "multiprocessing.reduction",
    "pathlib", "pickle", "subprocess", "tarfile", "threading", "traceback", "typing", "unittest.mock", "urllib.request",
    "hypothesis.core", "aiohttp.client", "IPython.core.interactiveshell", "numpy.ma.core", "msgspec._utils",
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_scoping_is_the_compilers(module: str) -> None:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        pytest.skip("not there as source")
    source = Path(spec.origin).read_bytes()
    tree = ast.parse(source)
    lazy = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    found, _ = references(tree, lazy_annotations=lazy)
    compiled = plain(compiled_names(compile(source, module, "exec", dont_inherit=True)))
    assert compiled <= {reference.name for reference in found}
    if sys.version_info < (3, 14):  # from then on annotations are code of their own
        assert plain({reference.name for reference in found if not reference.lazy}) <= compiled


# Programs made at random: whatever the run looks up before it is there, the analysis has named.

NAMES = st.sampled_from("abcd")


def statements(depth: int) -> st.SearchStrategy[list[str]]:
    expression = st.one_of(NAMES, st.just("1"), st.builds("({} or {})".format, NAMES, NAMES))
    simple = st.one_of(
        st.builds("{} = {}".format, NAMES, expression),
        st.builds("{} += {}".format, NAMES, expression),
        st.builds("show({})".format, expression),
        st.builds("del {}".format, NAMES),
        st.builds("show(({} := {}))".format, NAMES, expression),
        st.builds("show([{0} for {0} in (1,) if {1}])".format, NAMES, NAMES),
        st.builds("show([({} := {}) for _ in (1,)])".format, NAMES, NAMES),
    ).map(lambda line: [line])
    if depth == 0:
        return st.lists(simple, min_size=1, max_size=3).map(lambda parts: list(itertools.chain(*parts)))
    inner = statements(depth - 1).map(lambda lines: [f"    {line}" for line in lines])
    compound = st.one_of(
        simple,
        st.builds(lambda test, one, two: [f"if {test}:", *one, "else:", *two], expression, inner, inner),
        st.builds(lambda test, one: [f"if {test}:", *one], expression, inner),
        st.builds(lambda name, one: [f"for {name} in (0, 1):", *one], NAMES, inner),
        st.builds(lambda one, two: ["try:", *one, "except ZeroDivisionError:", *two], inner, inner),
        st.builds(lambda one, two: ["try:", *one, "finally:", *two], inner, inner),
        st.builds(lambda name, one, two: [f"match {name}:", "    case 1:", *(f"    {line}" for line in one), "    case _:", *(f"    {line}" for line in two)], NAMES, inner, inner),
    )  # fmt: skip
    return st.lists(compound, min_size=1, max_size=4).map(lambda parts: list(itertools.chain(*parts)))


class Watching(dict[str, object]):
    def __init__(self) -> None:
        super().__init__(show=lambda value: value, __builtins__={}, range=range)
        self.missed: list[str] = []
        self.aborted = False

    def __missing__(self, name: str) -> object:
        self.missed.append(name)
        return 1

    def __delitem__(self, name: str) -> None:
        if name not in self:
            self.missed.append(name)
        self.pop(name, None)


def run(source: str) -> Watching:
    watching = Watching()
    try:
        exec(compile(source, "cell", "exec"), watching)
    except NameError as error:
        watching.missed.append(error.name)  # where the interpreter asks the dictionary itself
        watching.aborted = True
    except (TypeError, ValueError):
        pass
    return watching


@settings(max_examples=100, deadline=None)
@given(statements(2))
def test_nothing_is_missed(lines: list[str]) -> None:
    source = "\n".join(lines)
    watching = run(source)
    found = analyse(ast.parse(source)).uses
    # A name that the cell deletes is gone in the notebook too.
    deleted = {name for name in "abcd" if f"del {name}" in source and ("for " in source or f"{name} = " in source)}
    assert set(watching.missed) - BUILTINS - deleted <= {use.name for use in found}, source


@settings(max_examples=100, deadline=None)
@given(statements(0))
def test_a_certain_use_of_straight_code_is_real(lines: list[str]) -> None:
    source = "\n".join(lines)
    watching = run(source)
    assume(not watching.aborted)
    certain = {use.name for use in analyse(ast.parse(source)).uses if use.certain} - {"show"}
    lazily = {name for name in "abcd" if f"or {name})" in source}  # not looked up where the left side is true
    assert certain - lazily <= set(watching.missed), source
