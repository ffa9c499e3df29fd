"""From a cell's text to its syntax tree, or one line that says why it cannot run as a program; pure."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings

from gke_notebook.errors import InvalidInput

FIRST_LINE = "# %%gke_train"  # stands for the magic line, so that line numbers are the cell's
_LAZY_FIRST_LINE = "from __future__ import annotations  # %%gke_train"

# What IPython takes for its own at the start of a line (IPython documentation, "Built-in magic commands" and "IPython
# reference", 9.x): %magic, %%magic, !command, ?help, ;quote, and help? at its end; x = %magic and x = !command.
_SPECIAL = re.compile(
    r"^\s*(?:%{1,2}\s*[A-Za-z_]|!|\?{1,2}\s*[A-Za-z_%]|[\w.,\s*()\[\]\"']+=\s*(?:%\s*[A-Za-z_]|!))"
    r"|^\s*[%\w.*]+\?{1,2}\s*(?:#.*)?$"
)
_INSTALL = re.compile(
    r"[%!]{1,2}\s*(?:(?:uv|python3?\s+-m|\{?sys\.executable\}?\s+-m)\s+)?(?:pip3?|conda|mamba)\s+install\s+(.*)"
)


def program_text(body: str, *, lazy_annotations: bool = False, magic_line: bool = True) -> str:
    """Give the cell as it is shipped: a line that stands for the magic line, then the body.

    Args:
        body: the cell below the magic line.
        lazy_annotations: whether the notebook has said ``from __future__ import annotations``, which holds in every
            later cell.
        magic_line: whether there is such a line; a file has none, and its line numbers are its own.
    """
    if not magic_line and not lazy_annotations:
        return body
    return f"{_LAZY_FIRST_LINE if lazy_annotations else FIRST_LINE}\n{body}"


def parse_cell(text: str) -> ast.Module:
    """Parse a cell, its first line being the magic line's.

    Args:
        text: what `program_text` gives.

    Raises:
        InvalidInput: it holds magics or shell commands, has a syntax error, or does nothing. Line numbers are the
            notebook cell's own.

    Example:
        >>> len(parse_cell(program_text("x = 1")).body)
        1
    """
    try:
        tree = _parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _explained(text, error) from None
    if not any(not _is_idle(node) for node in tree.body):
        raise InvalidInput("the cell is empty: write below the magic line what every rank shall run")
    return tree


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning about the cell's style is shown where the cell runs
        tree = ast.parse(text)
        # Also what only the compiler sees: `return` outside a function, a name both local and global.
        # `await` at the top level is allowed: the launcher runs it as a notebook does.
        compile(text, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return tree


def _is_idle(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _explained(text: str, error: Exception) -> InvalidInput:
    lines = text.split("\n")
    special = [number for number, line in enumerate(lines) if number and _SPECIAL.match(line)]
    real = [number for number in special if _breaks(lines, special, number)]
    first = next((number for number, line in enumerate(lines) if number and line.strip()), 0)
    if lines[first].startswith("%%"):
        real = [first]  # all below it is another language's
    if real:
        number = real[0]
        more = f" (and {len(real) - 1} more such lines)" if len(real) > 1 else ""
        return InvalidInput(f"cell line {number + 1}: {_about_special(lines[number].strip())}{more}")
    if isinstance(error, SyntaxError):
        line = min(error.lineno or 1, len(lines))
        shown = lines[line - 1].strip() or (error.text or "").strip()
        # Texts like `'(' was never closed (cell, line 3)` carry the place only in str().
        return InvalidInput(
            f"cell line {line}: {error.msg}: {_short(shown)}" if shown else f"cell line {line}: {error.msg}"
        )
    if isinstance(error, ValueError):
        return InvalidInput(f"the cell cannot be read: {error}")
    return InvalidInput("the cell is nested too deeply for Python to parse it")


def _breaks(lines: list[str], special: list[int], number: int) -> bool:
    """Say whether a line is IPython's: without it, and all others of its look, the cell can be parsed further."""
    if _is_open([_idle(line) if place in special else line for place, line in enumerate(lines[:number])]):
        return False
    without = [_idle(line) if place in special else line for place, line in enumerate(lines)]
    alone = list(without)
    alone[number] = lines[number]
    return _first_error(alone) == number + 1 or (_first_error(without) == 0 and _first_error(alone) > 0)


def _is_open(lines: list[str]) -> bool:
    """Say whether lines end inside a bracket, a string of several lines or a continued line."""
    try:
        for _ in tokenize.generate_tokens(io.StringIO("".join(f"{line}\n" for line in lines)).readline):
            pass
    except tokenize.TokenError as error:
        return "multi-line" in str(error) or "triple-quoted" in str(error)
    except SyntaxError:
        return False
    return False


def _idle(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + "pass"


def _first_error(lines: list[str]) -> int:
    """Give the line of the first syntax error, 0 for none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse("\n".join(lines))
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return -1
    return 0


def _about_special(line: str) -> str:
    shown = _short(line)
    if found := _INSTALL.search(line):
        wanted = ",".join(word for word in found[1].split() if not word.startswith("-"))
        return f"{shown}: packages are not installed from within the cell; use --requirements {wanted or 'NAMES'}"
    if line.startswith("%%"):
        return f"{shown}: a cell magic cannot be inside the cell of another; remove the line"
    if re.match(r"%\s*matplotlib\b", line):
        return f"{shown}: there is no notebook in the job; remove the line and save figures with savefig"
    if re.match(r"[^#]*!", line) and "?" not in line.split("!", maxsplit=1)[0]:
        return f"{shown}: shell commands do not run in the job; use subprocess.run([...], check=True)"
    if line.startswith("?") or line.endswith("?"):
        return f"{shown}: help does not exist in the job; remove the line"
    return f"{shown}: magics do not exist in the job; put the line into a cell of its own, or write it in Python"


def _short(line: str, limit: int = 80) -> str:
    return line if len(line) <= limit else line[: limit - 3] + "..."
