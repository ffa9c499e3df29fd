"""The value of `result` and the output files on their way back: encoded in the pod, collected in the notebook; pure.

A result travels as JSON when that is exact: it is made of dicts with text keys, lists, text, integers, finite floats,
booleans and None, and of exactly those types. Everything else is pickled (protocol 4), so that a tuple stays a tuple
and a NumPy scalar a NumPy scalar; the notebook then needs the library that defines the type, and one that it lacks is
named. `float(x)` or `x.item()` in the cell makes a plain number of a scalar.

A pickle runs code when it is read, so it is as trustworthy as whoever may write to the job's namespace.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import pickle
import re
from collections.abc import Iterator
from typing import Any

from . import contract
from .records import NotReturned, Outcome, Payload, chunk_count

_MARKED = re.compile(
    re.escape(contract.MARKER)
    + r"(?P<part>result|output) (?P<number>\d{1,7})/\d{1,7} (?P<sha256>[0-9a-f]{64}) (?P<data>[A-Za-z0-9+/=]*)\s*\Z"
)


def encode_result(value: object, limit: int = contract.RESULT_LIMIT) -> tuple[str, bytes]:
    """Encode a value as ``("json", bytes)`` where JSON is exact, else as ``("pickle", bytes)``.

    Args:
        value: the value of the variable `result`.
        limit: the most bytes it may take.

    Raises:
        NotReturned: it cannot be pickled, or is too large; the text names its type, its size and the limit.

    Example:
        >>> encode_result({"accuracy": 0.5})
        ('json', b'{"accuracy": 0.5}')
        >>> encode_result((1, 2))[0]
        'pickle'
    """
    kind = "json"
    data = _exact_json(value)
    size = 0 if data is None else len(data)
    if data is None:
        kind = "pickle"
        sink = _Sink(limit)
        try:
            pickle.Pickler(sink, protocol=4).dump(value)
        except Exception as error:  # what a type raises when it is pickled is the type's own affair
            raise NotReturned(
                f"result ({_type_name(value)}) cannot be pickled: {_line(error)}; "
                "set result to plain data (numbers, text, lists, dicts), or write it to a file in the output directory"
            ) from error
        data, size = sink.data(), sink.size
    if size > limit:
        raise NotReturned(
            f"result ({_type_name(value)}) takes {show_bytes(size)}, more than the limit of {show_bytes(limit)}; "
            "set result to a summary, and write the rest to a bucket or a volume from the cell"
        )
    return kind, data


def decode_result(kind: str, data: bytes) -> Any:
    """Read back what `encode_result` wrote; a pickle runs code of whoever wrote it.

    Args:
        kind: ``json`` or ``pickle``.
        data: the bytes.

    Raises:
        NotReturned: the bytes cannot be read here, for example because a module is missing.
    """
    try:
        if kind == "json":
            return json.loads(data)
        if kind == "pickle":
            return pickle.loads(data)  # noqa: S301 - the result of the user's own job; see the module's docstring
    except ImportError as error:
        raise NotReturned(
            f"the result needs a module that this notebook does not have ({_line(error)}); "
            "install it here, or set result to plain data in the cell, for example float(x)"
        ) from error
    except Exception as error:  # unpickling raises whatever the types in it raise
        raise NotReturned(
            f"the result cannot be read here: {_line(error)}; set result to plain data in the cell"
        ) from error
    raise NotReturned(f"the result is of the unknown kind {kind!r}; upgrade gke-notebook in this notebook")


def marked_lines(part: str, data: bytes) -> Iterator[str]:
    """Give the marked lines that carry some bytes, without line ends.

    Args:
        part: ``result`` or ``output``.
        data: the bytes.
    """
    digest = hashlib.sha256(data).hexdigest()
    total = chunk_count(len(data))
    step = contract.CHUNK // 4 * 3
    for number in range(total):
        chunk = base64.b64encode(data[number * step : (number + 1) * step]).decode("ascii")
        yield f"{contract.MARKER}{part} {number + 1}/{total} {digest} {chunk}"


def visible(text: str) -> str | None:
    """Give what a reader of the log should see of a line: all of it, the part before a marker, or None for nothing.

    Args:
        text: one line of a log, without its line end.

    Example:
        >>> visible("step 1 loss 0.5")
        'step 1 loss 0.5'
        >>> visible(next(marked_lines("result", b"1"))) is None
        True
    """
    start = text.find(contract.MARKER)
    if start < 0 or _MARKED.match(text, start) is None:
        return text
    return text[:start] or None


class Collector:
    """Puts together what came back from a job: from the outcome of node 0, and from its log where that is needed.

    Lines may come in any order, more than once, and between lines of other pods.

    Args:
        outcome: the outcome of node 0 of a job that has succeeded.

    Example:
        >>> from .records import Outcome, make_payload
        >>> Collector(Outcome(exit_code=0, result=make_payload("json", b"[1]"))).result()
        [1]
    """

    def __init__(self, outcome: Outcome) -> None:
        self._payloads = {"result": outcome.result, "output": outcome.output}
        self._chunks: dict[str, dict[int, str]] = {"result": {}, "output": {}}

    @property
    def has_result(self) -> bool:
        """Whether the cell set `result`; it may still have been refused."""
        return self._payloads["result"] is not None

    @property
    def has_output(self) -> bool:
        """Whether there are output files; they may still have been refused."""
        return self._payloads["output"] is not None

    @property
    def needs_log(self) -> bool:
        """Whether lines of the log of node 0 are still missing."""
        return any(
            payload is not None and len(self._chunks[part]) < payload.lines for part, payload in self._payloads.items()
        )

    def add(self, text: str) -> bool:
        """Take one line of a log and say whether it is a marked one (which no reader should be shown).

        Args:
            text: the line, without its line end.
        """
        start = text.find(contract.MARKER)
        found = _MARKED.match(text, start) if start >= 0 else None
        if found is None:
            return False
        payload = self._payloads[found["part"]]
        number = int(found["number"])
        if payload is not None and found["sha256"] == payload.sha256 and 1 <= number <= payload.lines:
            self._chunks[found["part"]][number] = found["data"]
        return True

    def result(self) -> Any:
        """Give the value of `result`, None when the cell did not set it.

        Raises:
            NotReturned: it was refused in the job, lines of it are missing or damaged, or it cannot be read here.
        """
        payload = self._payloads["result"]
        return None if payload is None else decode_result(payload.kind, self._data("result", payload))

    def output(self) -> bytes | None:
        """Give the archive of the output files (``tar.gz``; read it with `archive.unpack`), None when there are none.

        Raises:
            NotReturned: it was refused in the job, or lines of it are missing or damaged.
        """
        payload = self._payloads["output"]
        return None if payload is None else self._data("output", payload)

    def _data(self, part: str, payload: Payload) -> bytes:
        what = "the result" if part == "result" else "the output files"
        if payload.refused:
            raise NotReturned(payload.refused)
        if payload.data is not None:
            data = payload.data
        else:
            chunks = self._chunks[part]
            missing = payload.lines - len(chunks)
            if missing:
                raise NotReturned(
                    f"{what} cannot be put together: {missing} of {payload.lines} lines are missing from "
                    "the log of rank 0; the node may have rotated the log, or the pod is gone"
                )
            try:
                data = b"".join(base64.b64decode(chunks[number], validate=True) for number in sorted(chunks))
            except binascii.Error:
                data = b""
        if hashlib.sha256(data).hexdigest() != payload.sha256:
            raise NotReturned(f"{what} came back damaged: the digest is not the one that rank 0 has recorded")
        return data


def _exact_json(value: object) -> bytes | None:
    try:
        if not _is_plain(value):
            return None
        text = json.dumps(value, ensure_ascii=True, allow_nan=False)
        json.loads(text)  # an integer with thousands of digits is written but not read back
    except (ValueError, RecursionError):
        return None
    return text.encode("ascii")


def _is_plain(value: object) -> bool:
    kind = type(value)
    if kind is dict:
        assert isinstance(value, dict)
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if kind is list:
        assert isinstance(value, list)
        return all(_is_plain(item) for item in value)
    return value is None or kind in {str, int, float, bool}


class _Sink:
    """A file for the pickler that counts all and keeps no more than the limit: a result may be larger than memory."""

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        written = memoryview(data).nbytes
        self.size += written
        if self.size <= self._limit:
            self._parts.append(bytes(data))
        else:
            self._parts.clear()
        return written

    def data(self) -> bytes:
        return b"".join(self._parts)


def _type_name(value: object) -> str:
    kind = type(value)
    plain = kind.__module__ in {"builtins", "__main__"}
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__


def show_bytes(size: int) -> str:
    """Write a size for a reader.

    Args:
        size: in bytes.

    Example:
        >>> show_bytes(1048576), show_bytes(999)
        ('1.0 MiB', '999 bytes')
    """
    scaled, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if scaled < 1024:
            break
        scaled, unit = scaled / 1024, larger
    return f"{size} bytes" if unit == "bytes" else f"{scaled:.1f} {unit}"
