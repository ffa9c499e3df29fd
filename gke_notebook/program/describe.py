"""Words for objects that cannot travel, and for a program as a whole; pure."""

from __future__ import annotations

import ast
import io
import re
import sys
import types
from typing import Any

from gke_notebook.specs import Program, ShippedName

_SECRET = re.compile(
    r"(?:^|_)(?:token|secret|passwd|password|passphrase|credential)s?(?:$|_)|(?:api|access|private|secret)_?key",
    re.IGNORECASE,
)
_SECRET_LENGTH = 8  # shorter ones are rather the padding tokens of a tokenizer


def size_text(size: int) -> str:
    """Write a number of bytes for people.

    Args:
        size: bytes.

    Example:
        >>> size_text(1234), size_text(12_400_000)
        ('1.2 kB', '12.4 MB')
    """
    if size < 1000:
        return f"{size} B"
    for unit in ("kB", "MB", "GB"):
        scaled = size / 1000 ** ("kB", "MB", "GB").index(unit) / 1000
        if scaled < 999.95 or unit == "GB":
            return f"{scaled:.1f} {unit}"
    return ""  # not reached


def type_text(value: object) -> str:
    """Name an object's type as its users know it, with its package.

    Args:
        value: the object.
    """
    kind = type(value)
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__name__
    return f"{kind.__module__.split('.')[0].lstrip('_')} {kind.__name__}"


def size_of(value: Any) -> int | None:
    """Estimate the bytes of an object's data, None where it does not say.

    Args:
        value: the object.
    """
    try:
        if isinstance(value, (list, tuple, dict, set, frozenset, str, bytes, bytearray)):
            return sys.getsizeof(value)
        if callable(getattr(value, "memory_usage", None)):
            usage = value.memory_usage()
            return int(usage.sum() if hasattr(usage, "sum") else usage)
        if callable(getattr(value, "estimated_size", None)):
            return int(value.estimated_size())
        if callable(getattr(value, "element_size", None)):
            return int(value.element_size() * value.nelement())
        if isinstance(getattr(value, "nbytes", None), int):
            return int(value.nbytes)
        if callable(getattr(value, "parameters", None)) and callable(getattr(value, "state_dict", None)):
            return sum(int(part.numel() * part.element_size()) for part in value.parameters())
    except Exception:  # foreign objects: not knowing their size must not hide what is said about them
        return None
    return None


def what_is(value: object) -> str:
    """Say what an object is: its type and, where known, its size.

    Args:
        value: the object.
    """
    size = size_of(value)
    return type_text(value) + ("" if size is None else f", {size_text(size)}")


def what_to_do(name: str, value: Any) -> str:
    """Say how an object that cannot travel can be had in the job.

    Args:
        name: its name in the notebook.
        value: the object.
    """
    kind, package = type(value).__name__, type(value).__module__.split(".")[0]
    if package in {"pandas", "polars"} and kind in {"DataFrame", "Series", "LazyFrame"}:
        write = f'{name}.to_frame().to_parquet("{name}.parquet")' if kind == "Series" and package == "pandas" else ""
        write = write or (f'{name}.write_parquet("{name}.parquet")' if package == "polars" else "")
        write = write or f'{name}.to_parquet("{name}.parquet")'
        return f"write it to a file with {write}, --include {name}.parquet and read it in the cell"
    if kind == "PRNGKeyArray":
        return "make the key in the cell with jax.random.key"
    if package in {"numpy", "jax", "jaxlib"} and hasattr(value, "shape"):
        return f'numpy.save("{name}.npy", {name}), --include {name}.npy and numpy.load it in the cell'
    if package == "torch" or callable(getattr(value, "state_dict", None)):
        saved = f"{name}.state_dict()" if callable(getattr(value, "state_dict", None)) else name
        return f'torch.save({saved}, "{name}.pt"), --include {name}.pt and torch.load it in the cell'
    if isinstance(value, io.IOBase):
        shown = getattr(value, "name", None)
        include = f"--include {shown} and " if isinstance(shown, str) else ""
        return f"{include}open it in the cell"
    if isinstance(value, types.GeneratorType) or hasattr(value, "__next__"):
        return f"create it in the cell, or make it a list: {name} = list({name})"
    if package == "gke_notebook":
        return f"pass a plain value of it, for example {name}.result" if kind == "Job" else "it stays in the notebook"
    return "compute it in the cell, write it to a file and --include that, or pass a plain value"


def notes(program: Program) -> tuple[str, ...]:
    """Give what is worth knowing about a program before it is created.

    Args:
        program: the program.
    """
    secret = [name.name for name in program.names if name.kind == "value" and _holds_secret(name)]
    if not secret:
        return ()
    listed = ", ".join(secret)
    note = (
        f"{listed} may be a secret: it travels as plain text, readable to whoever may read the namespace's ConfigMaps; "
        "keep secrets in a Kubernetes Secret or in Secret Manager and read them in the cell"
    )
    return (note,)


def looks_secret(name: str, value: object) -> bool:
    """Say whether a text looks like a password, a token or a key, by what it is called.

    Args:
        name: the name of a variable.
        value: its value.

    Example:
        >>> looks_secret("HF_TOKEN", "hf_0123456789"), looks_secret("pad_token", "[PAD]"), looks_secret("n_tokens", 5)
        (True, False, False)
    """
    plain = isinstance(value, str) and len(value) >= _SECRET_LENGTH and not any(map(str.isspace, value))
    return plain and _SECRET.search(name) is not None


def _holds_secret(shipped: ShippedName) -> bool:
    try:
        value = ast.literal_eval(shipped.source.partition("=")[2].strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    inside = value.items() if isinstance(value, dict) else ()
    return looks_secret(shipped.name, value) or any(looks_secret(str(key), held) for key, held in inside)
