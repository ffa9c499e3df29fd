"""The outcome of a pod as JSON in its termination message: encoded in the pod, decoded in the notebook; pure.

The format is described in `contract`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from . import contract

_CUT = "  ... {count} characters left out ..."
_ERROR_LIMIT = 400  # characters of the error line


class NotReturned(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """A result or the output files cannot be had; the text is one line that says why and what to do."""


@dataclass(frozen=True)
class Payload:
    """A result or an output archive, or where it is, or why there is none.

    Args:
        kind: ``json``, ``pickle`` or ``tar.gz``.
        size: bytes once decoded.
        sha256: hexadecimal digest of those bytes.
        data: the bytes when they are in the termination message, else None.
        lines: how many marked lines carry it, 0 when none does.
        refused: why it does not come back, empty when it does.
        files: how many files an output archive holds.
    """

    kind: str
    size: int = 0
    sha256: str = ""
    data: bytes | None = None
    lines: int = 0
    refused: str = ""
    files: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a pod has ended, as its launcher tells it; see `contract` for the fields.

    Args:
        exit_code: of the container.
        job: the job's name.
        run: the id of the run.
        node: the completion index.
        retry: how often this index had failed before.
        rank: the first failing rank in time, None when no rank failed.
        signal: the signal that ended it, 0 for none.
        stage: ``cell``, ``requirements``, ``files``, ``start`` or ``stopped``; empty after success.
        error: the exception's last line.
        traceback: the traceback, with the cell's line numbers.
        failed_at: when the first failing rank failed.
        python: the interpreter's version.
        result: the variable `result` of rank 0.
        output: the files of the output directory of node 0.
    """

    exit_code: int
    job: str = ""
    run: str = ""
    node: int = 0
    retry: int = 0
    rank: int | None = None
    signal: int = 0
    stage: str = ""
    error: str = ""
    traceback: str = ""
    failed_at: datetime | None = None
    python: str = ""
    result: Payload | None = None
    output: Payload | None = None


def make_payload(kind: str, data: bytes, *, files: int = 0) -> Payload:
    """Describe bytes that come back: within the termination message when they fit there, else as marked lines.

    Args:
        kind: ``json``, ``pickle`` or ``tar.gz``.
        data: the bytes.
        files: how many files they hold.
    """
    digest = hashlib.sha256(data).hexdigest()
    described = Payload(kind=kind, size=len(data), sha256=digest, files=files)
    inline = replace(described, data=data)
    if len(data) <= contract.INLINE_LIMIT and len(_dump(_payload_fields(inline))) <= contract.INLINE_LIMIT:
        return inline
    return replace(described, lines=chunk_count(len(data)))


def chunk_count(size: int) -> int:
    """Give the number of marked lines that carry so many bytes.

    Args:
        size: bytes before base64.
    """
    return max(1, -(-(-(-size // 3) * 4) // contract.CHUNK))


def encode_outcome(outcome: Outcome, limit: int = contract.TERMINATION_MESSAGE_LIMIT) -> str:
    """Write an outcome as JSON that fits the termination message.

    What is too long is shortened in this order: the middle of the traceback, the error line, a payload that is inline.

    Args:
        outcome: what happened.
        limit: bytes of UTF-8 that the text may take.

    Example:
        >>> encode_outcome(Outcome(exit_code=0, job="digits"))
        '{"gke_notebook":1,"job":"digits","node":0,"retry":0,"exit_code":0}'
    """
    text = _dump(_fields(outcome))
    if _size(text) <= limit:
        return text
    if len(outcome.error) > _ERROR_LIMIT:
        outcome = replace(outcome, error=outcome.error[: _ERROR_LIMIT - 3] + "...")
    whole = outcome.traceback
    keep, shortest = len(whole), 200
    while _size(text := _dump(_fields(outcome))) > limit and keep > shortest:
        # JSON escapes make the size of a character uneven, so this shrinks by what is too much until it fits.
        keep = max(shortest, keep - max(32, (_size(text) - limit) // 4))
        outcome = replace(outcome, traceback=cut_middle(whole, keep))
    if _size(text) <= limit:
        return text
    for bare in (
        replace(outcome, traceback=""),
        replace(outcome, traceback="", error=outcome.error[:100]),
        replace(outcome, traceback="", error=outcome.error[:100], result=None, output=None),
    ):
        text = _dump(_fields(bare))
        if _size(text) <= limit:
            return text
    return _dump({"gke_notebook": contract.FORMAT, "exit_code": outcome.exit_code})


def cut_middle(text: str, keep: int) -> str:
    """Leave out the middle of a traceback at line ends: the end says what happened, the start where it began.

    Args:
        text: the traceback.
        keep: about how many characters to keep.
    """
    if len(text) <= keep:
        return text
    head = text[: keep // 3]
    head = head[: head.rfind("\n") + 1] or head + "\n"
    tail = text[len(text) - (keep - len(head)) :] if keep > len(head) else ""
    first = tail.find("\n") + 1
    if 0 < first < len(tail):
        tail = tail[first:]
    return head + _CUT.format(count=len(text) - len(head) - len(tail)) + "\n" + tail


def decode_outcome(text: str) -> Outcome | None:
    """Read a termination message; None when it is not an outcome (a log tail, another program's text, nothing).

    Args:
        text: the container's termination message.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("gke_notebook"), int):
        return None
    exit_code = _number(fields.get("exit_code"))
    if exit_code is None:
        return None
    return Outcome(
        exit_code=exit_code,
        job=_text(fields.get("job")),
        run=_text(fields.get("run")),
        node=_number(fields.get("node")) or 0,
        retry=_number(fields.get("retry")) or 0,
        rank=_number(fields.get("rank")),
        signal=_number(fields.get("signal")) or 0,
        stage=_text(fields.get("stage")),
        error=_text(fields.get("error")),
        traceback=_text(fields.get("traceback")),
        failed_at=_time(fields.get("failed_at")),
        python=_text(fields.get("python")),
        result=_payload(fields.get("result")),
        output=_payload(fields.get("output")),
    )


def _fields(outcome: Outcome) -> dict[str, Any]:
    fields: dict[str, Any] = {"gke_notebook": contract.FORMAT, "job": outcome.job}
    if outcome.run:
        fields["run"] = outcome.run
    fields.update(node=outcome.node, retry=outcome.retry, exit_code=outcome.exit_code)
    if outcome.rank is not None:
        fields["rank"] = outcome.rank
    for name in ("signal", "stage", "error", "traceback"):
        if getattr(outcome, name):
            fields[name] = getattr(outcome, name)
    if outcome.failed_at is not None:
        fields["failed_at"] = outcome.failed_at.isoformat(timespec="microseconds")
    if outcome.python:
        fields["python"] = outcome.python
    if outcome.result is not None:
        fields["result"] = _payload_fields(outcome.result)
    if outcome.output is not None:
        fields["output"] = _payload_fields(outcome.output)
    return fields


def _payload_fields(payload: Payload) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": payload.kind, "size": payload.size}
    if payload.sha256:
        fields["sha256"] = payload.sha256
    if payload.files:
        fields["files"] = payload.files
    if payload.refused:
        fields["refused"] = payload.refused
    elif payload.data is None:
        fields["lines"] = payload.lines
    elif payload.kind == "json":
        fields["data"] = payload.data.decode("ascii")
    else:
        fields["data"] = base64.b64encode(payload.data).decode("ascii")
    return fields


def _payload(fields: object) -> Payload | None:
    if not isinstance(fields, dict):
        return None
    kind, data = _text(fields.get("kind")), fields.get("data")
    decoded: bytes | None = None
    if isinstance(data, str):
        try:
            decoded = data.encode("ascii") if kind == "json" else base64.b64decode(data, validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
    return Payload(
        kind=kind,
        size=_number(fields.get("size")) or 0,
        sha256=_text(fields.get("sha256")),
        data=decoded,
        lines=_number(fields.get("lines")) or 0,
        refused=_text(fields.get("refused")),
        files=_number(fields.get("files")) or 0,
    )


def _dump(fields: dict[str, Any]) -> str:
    # A lone surrogate (from undecodable bytes) cannot be written as UTF-8: it becomes a question mark.
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def _size(text: str) -> int:
    return len(text.encode("utf-8"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
