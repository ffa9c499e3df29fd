"""What cannot travel stops with one line that names it, where it is used and what to do."""

# ruff: noqa: E501, PT017 - a table reads better with a case on a line

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gke_notebook import program
from gke_notebook.errors import InvalidInput
from gke_notebook.program.cell import parse_cell, program_text


@pytest.fixture(scope="module")
def ipython() -> Iterator[InteractiveShell]:
    main = sys.modules["__main__"]
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    yield shell
    sys.modules["__main__"] = main


@pytest.fixture
def shell(ipython: InteractiveShell) -> InteractiveShell:
    ipython.reset(new_session=True)
    return ipython


def refusal(cell: str, variables: dict[str, Any] | None = None, **options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        program.build(cell, variables or {}, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


# Values.


def endless() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


VALUES: dict[str, tuple[Any, list[str]]] = {
    "a data frame": (pd.DataFrame({"a": range(1000)}), ["pandas DataFrame, 8.1 kB", 'x.to_parquet("x.parquet")', "--include"]),
    "a series": (pd.Series([1.0]), ["pandas Series", 'x.to_frame().to_parquet("x.parquet")']),
    "a big array": (np.zeros((1000, 1000)), ["numpy ndarray, 8.0 MB", "1000 x 1000", 'numpy.save("x.npy", x)']),
    "an array of objects": (np.array([object()]), ["numpy ndarray", "array of objects"]),
    "a generator": ((i for i in range(3)), ["generator", "x = list(x)"]),
    "a lock": (threading.Lock(), ["lock"]),
    "an object": (object(), ["object", "compute it in the cell"]),
    "an object in a list": ([1, {"a": object()}], ["list", "(a object)"]),
    "a value that contains itself": (endless(), ["list", "contains itself"]),
    "a long text": ("x" * 300_000, ["str, 300.0 kB", "too large"]),
    "a module of its own": (sys.modules["__main__"], ["x"]),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_values(case: str) -> None:
    value, expected = VALUES[case]
    text = refusal("\nprint(x)", {"x": value})
    assert "x (line 3)" in text
    for part in expected:
        assert part in text


def test_an_open_file(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("w") as x:
        assert f"--include {tmp_path / 'a.txt'} and open it in the cell" in refusal("x.write('a')", {"x": x})


def test_all_names_in_one_line() -> None:
    text = refusal("print(a, b)\nprint(c)", {"a": object(), "b": object(), "c": 1, "d": object()})
    assert "a (line 2)" in text
    assert "b (line 2)" in text
    assert "c (" not in text
    assert "d (" not in text


def test_what_may_be_left_out_hides_no_refusal() -> None:
    cell = "print(a)\nif a: b = 1\nprint(b, c)"
    text = refusal(cell, {"a": object(), "b": object(), "c": object()})
    assert "a (line 2)" in text
    assert "c (line 4)" in text
    assert "b (" not in text


def test_values_together() -> None:
    many = {f"v{number}": "x" * 50_000 for number in range(6)}
    text = refusal(f"print({', '.join(many)})", many)
    assert "300.0 kB" in text or "300.1 kB" in text
    assert "256 KiB" in text


def test_shared_containers_that_explode() -> None:
    value: list[object] = []
    for _ in range(40):
        value = [value, value]
    assert "too large" in refusal("print(x)", {"x": value})


# Names.


def test_undefined() -> None:
    assert refusal("print(lerning_rate)", {"learning_rate": 1}) == (
        "name 'lerning_rate' (line 2) is defined neither in the cell nor in the notebook; did you mean 'learning_rate'?"
    )
    assert "line 3" in refusal("def f():\n    return nowhere")


def test_undefined_is_no_error_where_names_come_from_elsewhere() -> None:
    for cell in ("from math import *\nprint(sqrt(2))", "exec('y = 1')\nprint(y)", "try: y\nexcept NameError: y = 1"):
        program.build(cell, {})


@pytest.mark.parametrize("name", ["In", "Out", "_", "__", "_1", "_i", "_i3", "_ih", "_oh"])
def test_history(name: str) -> None:
    assert "history" in refusal(f"print({name})", {name: 1})


def test_underscore_of_the_cells_own() -> None:
    assert program.build("for _ in range(2): pass\nprint(_)", {"_": object()}).names == ()


def test_ipythons_own(shell: InteractiveShell) -> None:
    assert "get_ipython (line 2)" in refusal("get_ipython().run_line_magic('x', '')", shell.user_ns)
    built = program.build("display(1)\nexit()\nopen('x')\nquit()", shell.user_ns)
    assert [name.name for name in built.names] == ["display"]


FUNCTIONS: dict[str, tuple[str, list[str]]] = {
    "keeps an object": ("def make(h):\n    def f(): return h\n    return f\nf = make(object())", ["f (line 2)", "keeps h (object)"]),
    "needs an object": ("h = object()\ndef f(): return h", ["h (line 2, through f)", "object"]),
    "needs what is gone": ("def f(): return gone", ["name 'gone' (line 2, through f)"]),
    "is a bound method": ("class A:\n    def m(self): return 1\nf = A().m", ["f (line 2)"]),
    "is an instance": ("class A:\n    def __call__(self): return 1\nf = A()", ["f (line 2)", "A"]),
    "is made by exec": ("exec('def f(): return 1')", ["f (line 2)", "source"]),
    "class in a function": ("def make():\n    class f: pass\n    return f\nf = make()", ["f (line 2)", "inside a function"]),
    "method put in later": ("class f:\n    def a(self): return 1\ndef b(self): return 2\nf.a = b", ["method b was put into it later"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions(case: str, shell: InteractiveShell) -> None:
    cell, expected = FUNCTIONS[case]
    shell.run_cell(cell, store_history=True).raise_error()
    text = refusal("f()", shell.user_ns)
    for part in expected:
        assert part in text


# The cell itself.

SPECIAL: dict[str, tuple[int, str]] = {
    "x = 1\n%time x": (3, "magics"),
    "!ls": (2, "shell commands"),
    "files = !ls *.py": (2, "shell commands"),
    "t = %time 1": (2, "magics"),
    "%%bash\nls": (2, "cell magic"),
    "x = 1\nprint?": (3, "help"),
    "\n%%bash --bg\nexport A='{\n'": (3, "cell magic"),
    "?print": (2, "help"),
    "%pip install numpy scikit-learn -q": (2, "--requirements numpy,scikit-learn"),
    "!pip install -U torch": (2, "--requirements torch"),
    "!python -m pip install jax": (2, "--requirements jax"),
    "%matplotlib inline": (2, "savefig"),
    "if True:\n    %time f()\n    !ls": (3, "magics"),
    "for i in range(3):\n    x = %timeit -o i": (3, "magics"),
    's = """\n!not this\n"""\n!this': (5, "shell commands"),
}


@pytest.mark.parametrize("cell", SPECIAL)
def test_special_lines(cell: str) -> None:
    line, words = SPECIAL[cell]
    text = refusal(cell)
    assert text.startswith(f"cell line {line}: ")
    assert words in text


PLAIN = [
    "x = 7\ny = 3\nprint(x\n      % y)",
    "x = 7 \\\n  % 3",
    "s = '''\n%time x\n!ls\nwhat?\n?print\n'''",
    "s = f'''\n{1}!ls\n%matplotlib\n'''",
    "# !ls\n# %time\nx = 1  # why?",
    "x = (1 !=\n 2)",
    "print('50%', '!')",
    "x = 5\nx %= 3",
    "d = {'a':\n  1\n  % 2}",
    "print(f'{1!r}')",
    "x = [\n  1\n  %2]",
]


@pytest.mark.parametrize("cell", PLAIN)
def test_lines_that_only_look_special(cell: str) -> None:
    program.build(cell, {})


ERRORS: dict[str, str] = {
    "x = 1\ny = = 2": "cell line 3: invalid syntax: y = = 2",
    "return 1": "cell line 2: 'return' outside function: return 1",
    "def f():\n    x = 1\n    global x": "cell line 4: name 'x' is assigned to before global declaration: global x",
    "print('a": "cell line 2: unterminated string literal",
    "foo(\n": "cell line 2: '(' was never closed: foo(",
    "": "the cell is empty",
    "\n  \n# only this": "the cell is empty",
    "x = 1\0": "cell",
    "(" * 500 + ")" * 500: "cell",
}


@pytest.mark.parametrize("cell", ERRORS, ids=range(len(ERRORS)))
def test_syntax_errors(cell: str) -> None:
    assert ERRORS[cell] in refusal(cell)


def test_a_syntax_error_before_a_magic_is_the_one_named() -> None:
    assert refusal("x = = 1\n!ls").startswith("cell line ")


def test_warnings_of_the_compiler_are_no_errors() -> None:
    program.build("print('\\d', 1 is 1)", {})


def test_top_level_await_is_allowed() -> None:
    program.build("import asyncio\nawait asyncio.sleep(0)", {})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab =%!?()'\"#\n:,[]{}1\\"), max_size=30))
def test_a_cell_is_accepted_exactly_when_python_does(cell: str) -> None:
    try:
        tree = parse_cell(program_text(cell))
    except InvalidInput as error:
        assert "\n" not in str(error).replace(repr(cell), "")
        return
    assert tree.body


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["%time x", "!ls", "x = 1", "y = !ls", "'''", "(", ")", "x?", "  z = 2", "if x:", "# a"]),
        max_size=6,
    )
)
def test_what_ipython_leaves_alone_is_never_called_a_magic(lines: list[str]) -> None:
    cell = "\n".join(lines)
    same = TransformerManager().transform_cell(cell).rstrip("\n") == cell.rstrip("\n")
    try:
        parse_cell(program_text(cell))
    except InvalidInput as error:
        if same:
            assert not re.search(r"magics do not|shell commands do not|help does not", str(error)), (cell, str(error))


# Notes.


def test_secrets_are_noted() -> None:
    for name, value in {"hf_token": "abc-12345", "API_KEY": "abc-12345", "login": {"password": "abc-12345"}}.items():
        (note,) = program.notes(program.build(f"print({name})", {name: value}))
        assert name in note
        assert "abc" not in note
    harmless = {
        "n_tokens": 5,
        "rate": 0.1,
        "pad_token": "[PAD]",
        "tokenizer_name": "bert-base-cased",
        "secret": "a long text",
    }
    assert program.notes(program.build(f"print({', '.join(harmless)})", harmless)) == ()
