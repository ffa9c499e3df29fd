"""One rank: runs the names and the cell as the real `__main__`, then tells the launcher how it went."""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import faulthandler
import importlib.machinery
import inspect
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import contract, jax_hook
from .records import NotReturned
from .results import encode_result
from .tracebacks import format_exception, last_line


def run() -> None:
    """Run the cell of this rank and end the process.

    Raises:
        SystemExit: always, with the exit code of the cell.
    """
    record = int(os.environ.pop(contract.ENV_RECORD))
    os.set_inheritable(record, False)
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        faulthandler.enable()  # a crash in native code then names the line; stderr may be closed, and that is no matter
    rank = int(os.environ[contract.ENV_RANK])
    if os.environ.get(contract.ENV_FRAMEWORK) == "jax":
        jax_hook.install()
    sys.path.insert(0, str(Path.cwd()))
    main = sys.modules["__main__"].__dict__
    kept = {name: main[name] for name in ("__name__", "__builtins__")}
    main.clear()
    main.update(kept)
    code, told = 0, {}
    try:
        define(main)
    except SystemExit as end:
        code, text = _exit_code(end)
        if code:
            told = {"error": f"SystemExit: {text}"}
    except KeyboardInterrupt:
        code, told = 130, {"error": "KeyboardInterrupt", "traceback": _report()}
    except BaseException as error:  # whatever the cell raises is the cell's outcome
        code, told = 1, {"error": last_line(type(error), error), "traceback": _report()}
    if code:
        _tell(record, {"exit_code": code, "failed_at": datetime.now(timezone.utc).isoformat(), **told})
    elif rank == 0:
        _tell(record, _result(main))
    sys.exit(code)


def define(namespace: dict[str, Any]) -> None:
    """Run the names and the cell in a namespace.

    Args:
        namespace: the `__dict__` of the main module.
    """
    names, cell = _program()
    sys.argv[:] = [cell]
    # The file is the cell's, so that `inspect` finds its classes; the spec makes a spawned process run `spawned`.
    namespace.update(__file__=cell, __doc__=None, __loader__=None, __package__="", __cached__=None)
    namespace["__spec__"] = importlib.machinery.ModuleSpec(f"{contract.LAUNCH_PACKAGE}.spawned", None)
    for path in (names, cell):
        if path == names and not Path(path).exists():
            continue
        source = Path(path).read_bytes()
        # A notebook's cell may await at its top level; anything else compiles the same with this flag.
        code = compile(source, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, namespace))  # noqa: S307 - running the cell is what this is for
        else:
            exec(code, namespace)  # noqa: S102


def _program() -> tuple[str, str]:
    """Give the paths of the names and of the cell."""
    program = Path(os.environ.get(contract.ENV_PROGRAM) or contract.PROGRAM_DIRECTORY)
    return str(program / contract.NAMES_FILE), str(program / contract.CELL_FILE)


def _exit_code(end: SystemExit) -> tuple[int, str]:
    if end.code is None:
        return 0, ""
    if isinstance(end.code, int):
        return end.code & 0xFF, str(end.code)
    print(end.code, file=sys.stderr, flush=True)
    return 1, str(end.code)


def _report() -> str:
    """Print the exception in flight as the cell's author should see it, and return the text."""
    kind, value, trace = sys.exc_info()
    assert kind is not None
    assert value is not None
    names, cell = _program()
    text = format_exception(kind, value, trace, {cell: "Cell", names: contract.NAMES_FILE})
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stdout or stderr may have been closed by the cell
        sys.stdout.flush()
    try:
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(kind, value, trace)
        else:
            sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:  # a broken hook or stream must not hide the failure from the record
        os.write(2, text.encode(errors="backslashreplace"))
    return text


def _result(namespace: dict[str, Any]) -> dict[str, Any]:
    if contract.RESULT_NAME not in namespace:
        return {}
    try:
        kind, data = encode_result(namespace[contract.RESULT_NAME])
    except NotReturned as refusal:
        print(f"gke-notebook: {refusal}", file=sys.stderr, flush=True)
        return {"result": {"refused": str(refusal)}}
    return {"result": {"kind": kind, "data": base64.b64encode(data).decode("ascii")}}


def _tell(record: int, told: dict[str, Any]) -> None:
    """Send one line to the launcher."""
    data = json.dumps(told).encode() + b"\n"
    with contextlib.suppress(OSError):  # the launcher is gone: nobody is left to be told
        while data:
            data = data[os.write(record, data) :]
