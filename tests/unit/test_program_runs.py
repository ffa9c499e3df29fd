"""What travels works: cells run in a real IPython, and again from the shipped source alone; both give the same."""

# ruff: noqa: E501 - a table reads better with a case on a line

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gke_notebook import program
from gke_notebook.errors import InvalidInput
from gke_notebook.launch import contract
from gke_notebook.specs import Program


@pytest.fixture(scope="module")
def ipython() -> Iterator[InteractiveShell]:
    main = sys.modules["__main__"]
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell(config=config)
    yield shell
    sys.modules["__main__"] = main


@pytest.fixture
def shell(ipython: InteractiveShell) -> InteractiveShell:
    ipython.reset(new_session=True)
    ipython.compile.reset_compiler_flags()
    return ipython


def run_cells(shell: InteractiveShell, *cells: str) -> None:
    for cell in cells:
        done = shell.run_cell(cell, store_history=True)
        done.raise_error()


def run_shipped(shipped: Program) -> dict[str, Any]:
    """Run a program as the launcher does: names, then the cell, in a `__main__` of its own."""
    before = sys.modules["__main__"]
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        names = "\n".join(name.source for name in shipped.names)
        exec(compile(names, contract.NAMES_FILE, "exec", dont_inherit=True), module.__dict__)
        exec(compile(shipped.cell, contract.CELL_FILE, "exec", dont_inherit=True), module.__dict__)
    finally:
        sys.modules["__main__"] = before
    return module.__dict__


def names_of(shipped: Program) -> dict[str, str]:
    return {name.name: name.kind for name in shipped.names}


# The notebook's cells, and the cell that is shipped; `result` must be the same.
CORPUS: dict[str, tuple[list[str], str]] = {
    "value": (["rate = 0.1"], "result = rate * 2"),
    "nested value": (["cfg = {'sizes': [1, (2, {3})], 'name': 'ä\\n', 'none': None, 'inf': float('inf')}"], "result = cfg"),
    "function": (["def f(x):\n    return x + 1"], "result = f(2)"),
    "functions that need functions": (["def g(x): return x * k", "k = 3", "def f(x): return g(x) + 1"], "result = f(2)"),
    "functions that need each other": (
        ["def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)"],
        "result = even(10), odd(7)",
    ),
    "function defined again": (["def f(): return 1", "def f(): return 2"], "result = f()"),
    "function defined twice in a cell": (["def f(): return 1\ndef f(): return 2"], "result = f()"),
    "function in an if": (["if True:\n    def f():\n        '''a\nb'''\n        return f.__doc__"], "result = f()"),
    "function in a loop, with its default": (["for n in range(3):\n    def f(x, n=n): return x + n\nn = 10"], "result = f(1)"),
    "defaults": (["lo = 1\ndef f(a, b=lo, *, c=lo + 1, d=len): return a, b, c, d('xy')\nlo = 5"], "result = f(0)"),
    "default that is a module's function": (["import math\ndef f(x, g=math.sqrt): return g(x)"], "result = f(4)"),
    "alias": (["def f(): return 1\ng = f"], "result = g()"),
    "alias of what is gone": (["def f(): return 1\ng = f\ndel f"], "result = g()"),
    "lambda": (["k = 3\nf = lambda x, y=2: x * y + k"], "result = f(2)"),
    "lambda with a late default": (["n = 2\nf = lambda x, n=n: x * n\nn = 50"], "result = f(2)"),
    "lambda over lines": (["f = (\n    lambda x: x\n    + 1\n)"], "result = f(2)"),
    "two lambdas on a line": (["f, g = (lambda x: x + 1), (lambda x: x * 10)"], "result = f(2), g(2)"),
    "lambdas in a dict": (["f = lambda x: x + 1\ndef h(x): return -x\ntable = {'f': f, 'h': h}"], "result = [v(2) for v in table.values()]"),
    "closure": (["def make(n, m):\n    def add(x):\n        return x + n + m[0]\n    return add\nadd2 = make(2, [5])"], "result = add2(1)"),
    "closure over a function": (["def base(x): return x + 1\ndef twice(f):\n    def inner(x): return f(f(x))\n    return inner\ng = twice(base)"], "result = g(1)"),
    "closure that calls itself": (["def make(k):\n    def fact(n): return k if n < 2 else n * fact(n - 1)\n    return fact\nfact = make(1)"], "result = fact(5)"),
    "closure as lambda": (["def make(n):\n    return lambda x: x + n\nadd = make(3)"], "result = add(1)"),
    "wraps": (
        ["import functools\ndef deco(f):\n    @functools.wraps(f)\n    def inner(*a): return f(*a) + 100\n    return inner\n@deco\ndef f(x): return x"],
        "result = f(1), f.__name__",
    ),
    "decorator without wraps": (["def deco(f):\n    def inner(*a): return f(*a) + 100\n    return inner\n@deco\ndef f(x): return x"], "result = f(1)"),
    "decorator with arguments": (["def add(n):\n    def deco(f):\n        def inner(x): return f(x) + n\n        return inner\n    return deco\n@add(7)\ndef f(x): return x"], "result = f(1)"),
    "lru_cache": (["from functools import lru_cache\n@lru_cache(maxsize=None)\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)"], "result = fib(20)"),
    "contextmanager": (["import contextlib\n@contextlib.contextmanager\ndef ctx(x): yield x + 1"], "with ctx(1) as result: pass"),
    "generator function": (["def gen(n):\n    for i in range(n): yield i"], "result = list(gen(3))"),
    "async function": (["async def f(): return 3"], "import asyncio\nresult = asyncio.run(f())"),
    "partial": (["from functools import partial\ndef f(a, b): return a - b\ng = partial(f, b=1)"], "result = g(5)"),
    "class": (["class A:\n    n = 2\n    def __init__(self, x): self.x = x\n    def m(self): return self.x * self.n"], "result = A(3).m()"),
    "class without methods": (["class A:\n    n = 2"], "result = A.n"),
    "class defined again": (["class A:\n    n = 1", "class A:\n    n = 2"], "result = A.n"),
    "class with a base of the notebook": (["class A:\n    def m(self): return 1", "class B(A):\n    def m(self): return super().m() + 1"], "result = B().m()"),
    "class whose method makes its subclass": (["class A:\n    def m(self): return B().k\nclass B(A):\n    k = 4"], "result = A().m()"),
    "class with properties": (
        ["class A:\n    @property\n    def p(self): return 1\n    @staticmethod\n    def s(): return 2\n    @classmethod\n    def c(cls): return cls.__name__"],
        "result = A().p, A.s(), A.c()",
    ),
    "class with private methods": (["class A:\n    def __m(self): return 1\n    def n(self): return self.__m()"], "result = A().n()"),
    "class decorated": (["def mark(c):\n    c.marked = True\n    return c\n@mark\nclass A: pass"], "result = A.marked"),
    "class alias": (["class A:\n    def m(self): return 1\nB = A"], "result = B().m(), B is A"),
    "class attribute of the notebook": (["n = 4\nclass A:\n    n = n\n    sizes = [n]"], "result = A.n, A.sizes"),
    "metaclass": (["class M(type):\n    def __new__(m, n, b, d): return super().__new__(m, n, b, {**d, 'k': 9})\nclass A(metaclass=M): pass"], "result = A.k"),
    "abstract base": (["import abc\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def m(self): ...\nclass B(A):\n    def m(self): return 1"], "result = B().m()"),
    "dataclass": (["from dataclasses import dataclass, field\n@dataclass\nclass C:\n    a: int = 1\n    b: list = field(default_factory=list)"], "result = C(2).a, C().b"),
    "dataclass instance": (["from dataclasses import dataclass\n@dataclass(frozen=True)\nclass C:\n    a: int\n    b: tuple = ()\nc = C(2, (1, 2))"], "result = c.a, c.b, c == C(2, (1, 2))"),
    "dataclass with slots": (["from dataclasses import dataclass\n@dataclass(slots=True)\nclass C:\n    a: int\n    def m(self): return self.a\nc = C(2)"], "result = c.m()"),
    "namedtuple": (["from collections import namedtuple\nP = namedtuple('P', 'x y', defaults=[5])\np = P(1)"], "result = p.x + p.y, P(2, 3).y"),
    "NamedTuple": (["from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 2\n    def s(self): return self.x + self.y\np = P(1)"], "result = p.s()"),
    "enum": (["from enum import Enum, Flag, auto\nclass Color(Enum):\n    RED = 1\n    BLUE = 'b'\nclass F(Flag):\n    A = auto()\n    B = auto()\nx = Color.BLUE\ny = F.A | F.B"], "result = x is Color.BLUE, x.value, y == F.A | F.B"),
    "enum made by a call": (["from enum import Enum\nColor = Enum('Color', 'RED GREEN')\nx = [Color.GREEN]"], "result = x[0] is Color.GREEN"),
    "type variables": (["from typing import TypeVar, Generic, Optional\nT = TypeVar('T')\nPair = tuple[T, T]\nMaybe = Optional[int]\nclass Box(Generic[T]):\n    def get(self) -> Optional[T]: return None\ndef f(x: Pair, y: Maybe = None) -> T: return x"], "result = f((1, 2)), Box[int]().get()"),
    "modules": (["import json, os.path, collections.abc as cabc, xml.dom.minidom"], "result = json.dumps({}), os.path.join('a', 'b'), cabc.Mapping.__name__, xml.dom.minidom.parseString('<a/>').documentElement.tagName"),
    "submodule through an alias": (["import xml as x\nimport xml.etree.ElementTree"], "result = x.etree.ElementTree.fromstring('<a/>').tag"),
    "submodule used in a function": (["import xml.dom.minidom\nimport xml\ndef f(): return xml.dom.minidom.Node.TEXT_NODE"], "result = f()"),
    "imported names": (["from math import sqrt as root, pi\nfrom collections import OrderedDict as OD, Counter\nfrom os.path import join"], "result = root(4), pi, OD(a=1), Counter('aab')['a'], join('a', 'b')"),
    "imported class": (["from decimal import Decimal as D\nx = D('1.50')"], "result = x + D(1)"),
    "builtin under another name": (["size = len\nnumber = int"], "result = size('ab'), number('3')"),
    "builtin that is replaced": (["def sum(x): return 42"], "result = sum([1])"),
    "numpy": (["import numpy as np\na = np.arange(6, dtype='float32').reshape(2, 3)\ns = np.float64(0.1)\nt = np.dtype('int8')\nz = np.zeros((0, 3))\nbig = np.arange(200)"], "result = (a * s).tolist(), a.dtype.str, t.name, z.shape, big.sum().item(), np.random.default_rng(0).integers(5).item()"),
    "numpy function": (["from numpy import sqrt, asarray"], "result = sqrt(asarray([4.0])).tolist()"),
    "paths and dates": (["from pathlib import Path\nfrom datetime import datetime, timedelta, timezone\np = Path('a/b')\nd = datetime(2026, 1, 2, tzinfo=timezone.utc)\nt = timedelta(days=1)"], "result = (p / 'c').as_posix(), (d + t).isoformat()"),
    "containers of collections": (["from collections import defaultdict, deque, Counter\nd = defaultdict(list, {'a': [1]})\nq = deque([1, 2], 2)\nc = Counter('abca')"], "d['b'].append(2)\nq.append(3)\nresult = dict(d), list(q), c.most_common(1)"),
    "shared": (["a = [1]\nb = a"], "a.append(2)\nresult = b"),
    "value used and then replaced": (["step = 5"], "step += 1\nresult = step"),
    "used inside a comprehension": (["k = 2"], "result = [k * i for i in range(3)]"),
    "used in a nested function": (["k = 2"], "def f():\n    def g(): return k\n    return g()\nresult = f()"),
    "the cell's own before the notebook's": (["k = 2\ndef f(): return k"], "k = 7\nresult = f()"),
    "annotations of the notebook": (["class A: pass\ndef f(x: A) -> 'A': return x"], "result = sorted(f.__annotations__)"),
    "future annotations": (["from __future__ import annotations", "def f(x: Missing) -> Missing: return 1"], "def g(y: Gone): return 2\nresult = f(0) + g(0), f.__annotations__['x'], g.__annotations__['y']"),
    "display": ([], "display(1, 'a')\nresult = 1"),
    "%%time": (["%%time\ndef f(): return 3\nclass A:\n    def m(self): return 4"], "result = f(), A().m()"),
    "conditional": (["y = 1"], "if False:\n    y = 2\nresult = y"),
    "decorator that makes an object": (
        ["class Task:\n    def __init__(self, f): self.f = f\n    def __call__(self, x): return self.f(x) + 1\n@Task\ndef f(x): return x"],
        "result = f(1)",
    ),
    "dtypes": (["import numpy as np\nkind = np.float16\ncfg = {'kind': np.dtype('f4'), 'type': kind}"], "result = np.ones(1, cfg['type']).dtype.name, cfg['kind'].name, kind.__name__"),
    "SimpleNamespace": (["from types import SimpleNamespace\ncfg = SimpleNamespace(a=1, b=SimpleNamespace(c=[2]))"], "result = cfg.b.c"),
    "regular expression": (["import re\nword = re.compile(r'\\w+', re.I)"], "result = word.findall('a b')"),
}  # fmt: skip


@pytest.mark.parametrize("case", CORPUS)
def test_same_result(case: str, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    cells, cell = CORPUS[case]
    run_cells(shell, *cells)
    shipped = program.build(cell, shell.user_ns)
    there = run_shipped(shipped)["result"]
    run_cells(shell, cell)
    assert repr(there) == repr(shell.user_ns["result"])
    capsys.readouterr()


def test_the_same_cell_gives_the_same_program(shell: InteractiveShell) -> None:
    run_cells(shell, "def b(): return c\nc = {'y', 'x'}\ndef a(): return b()")
    assert program.build("a()", shell.user_ns) == program.build("a()", shell.user_ns)


def test_line_numbers_are_the_cells(shell: InteractiveShell) -> None:
    shipped = program.build("x = 1\nraise ValueError", shell.user_ns)
    assert shipped.cell.split("\n")[2] == "raise ValueError"


def test_only_what_is_needed_travels(shell: InteractiveShell) -> None:
    run_cells(shell, "import json\nimport os\nx = 1\ny = [object()]\ndef f(): return json.dumps(x)\ndef g(): return y")
    assert names_of(program.build("f()", shell.user_ns)) == {"json": "import", "x": "value", "f": "function"}


def test_what_is_left_over_from_a_local_run_is_not_wanted(shell: InteractiveShell) -> None:
    run_cells(shell, "def step(p): return p + 1\nloss = object()\nparams = object()\nwriter = object()")
    cell = (
        "import os\n"
        "params = 0\n"
        "if os.environ.get('RANK') == '0':\n    writer = open('log')\n"
        "for i in range(3):\n    params = step(params)\n    loss = params\n"
        "print(loss)\n"
        "if os.environ.get('RANK') == '0':\n    writer.close()\n"
    )
    assert names_of(program.build(cell, shell.user_ns)) == {"step": "function"}


def test_globals_that_the_cell_supplies_are_not_wanted(shell: InteractiveShell) -> None:
    run_cells(shell, "model = object()\ndef evaluate(): return model")
    assert names_of(program.build("model = 3\nresult = evaluate()", shell.user_ns)) == {"evaluate": "function"}
    with pytest.raises(InvalidInput, match="model"):
        program.build("result = evaluate()", shell.user_ns)


def test_jax(shell: InteractiveShell) -> None:
    pytest.importorskip("jax")
    run_cells(
        shell,
        "import jax\nimport jax.numpy as jnp\nfrom functools import partial",
        "@jax.jit\ndef square(x): return x * x\ndef loss(x): return jnp.sum(square(x))",
        "grad = jax.grad(loss)\nfast = jax.jit(grad)\n@partial(jax.jit, static_argnums=1)\ndef power(x, n): return x ** n",
    )
    cell = "result = fast(jnp.ones(2) * 3).tolist(), power(2.0, 3).item(), jax.nn.relu(jnp.ones(1)).tolist()"
    shipped = program.build(cell, shell.user_ns)
    assert run_shipped(shipped)["result"] == ([6.0, 6.0], 8.0, [1.0])
    assert names_of(shipped)["fast"] == "function"


def test_without_ipython() -> None:
    shipped = program.build("print(a + b)", {"a": 1, "b": [2]})
    assert [name.source for name in shipped.names] == ["a = 1\n", "b = [2]\n"]


def test_included_modules_need_no_installing(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helper_of_mine.py").write_text("def twice(x): return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    run_cells(shell, "import helper_of_mine\nfrom helper_of_mine import twice")
    shipped = program.build("result = twice(2)", shell.user_ns, include=["helper_of_mine.py"], base=tmp_path)
    assert [name.source for name in shipped.names] == ["from helper_of_mine import twice\n"]
    assert [file.path for file in shipped.files] == ["helper_of_mine.py"]
    for cell in ("result = twice(2)", "result = helper_of_mine.twice(2)", "import helper_of_mine"):
        with pytest.raises(InvalidInput, match=r"--include helper_of_mine\.py"):
            program.build(cell, shell.user_ns, base=tmp_path)
    sys.modules.pop("helper_of_mine")


def test_what_travels_and_of_which_kind(shell: InteractiveShell) -> None:
    run_cells(shell, "import json\ncfg = {'a': 1}\ndef f(): return json, cfg\nclass A: ...")
    shipped = program.build("f()\n\nA()\n", shell.user_ns, requirements=["numpy"])
    assert {name.name: name.kind for name in shipped.names} == {
        "f": "function",
        "A": "class",
        "cfg": "value",
        "json": "import",
    }
    assert shipped.requirements == ("numpy",)
