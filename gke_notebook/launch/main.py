"""The launcher: from the pod's environment to running ranks, and from their end to the outcome."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from . import archive, contract, requirements
from .records import NotReturned, Outcome, Payload, encode_outcome, make_payload
from .results import marked_lines
from .supervise import Rank, supervise, write
from .wiring import Settings, peers, rank_environment, read_settings

# Pods of one job may start minutes apart (a node pool scales up, an image is pulled), longer than some frameworks wait.
_PEERS_WAIT = 600.0
_PEERS_EVERY = 2.0


class _Stopped(BaseException):
    """The pod was told to end before its ranks ran, or after."""


def run() -> None:
    """Run the launcher and end the process.

    Raises:
        SystemExit: always, with the exit code of the pod.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        outcome = Outcome(exit_code=contract.EXIT_NOT_STARTED, stage="start", error=str(error), failed_at=_now())
        _finish(os.environ.get(contract.ENV_TERMINATION_LOG) or contract.TERMINATION_LOG, outcome)
    base = Outcome(
        exit_code=0,
        job=settings.job,
        run=settings.run,
        node=settings.node,
        retry=settings.retry,
        python=platform.python_version(),
    )
    try:
        outcome = _launch(settings, base)
    except _Stopped:
        outcome = _stopped(base)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing is left to stop, and the outcome must be written whole
    _finish(settings.termination_log, outcome)


def _finish(path: str, outcome: Outcome) -> None:
    if outcome.exit_code and outcome.stage in {"requirements", "files", "start"}:
        print(f"gke-notebook: {outcome.error}", file=sys.stderr, flush=True)
    try:
        Path(path).write_text(encode_outcome(outcome), encoding="utf-8")
    except OSError as error:
        print(f"gke-notebook: cannot write the outcome to {path}: {error}", file=sys.stderr, flush=True)
    sys.exit(outcome.exit_code)


def _launch(settings: Settings, base: Outcome) -> Outcome:
    failed = replace(base, exit_code=contract.EXIT_NOT_STARTED)
    try:
        _prepare_files(settings)
    except (NotReturned, OSError, binascii.Error) as error:
        return replace(failed, stage="files", error=f"the working directory cannot be made: {error}", failed_at=_now())
    try:
        python = _prepare_python(settings)
    except (requirements.RequirementsFailed, OSError, subprocess.CalledProcessError) as error:
        return replace(failed, stage="requirements", error=_line(error), failed_at=_now())
    _wait_for_peers(settings)
    first = settings.node * settings.procs_per_node
    environments = [
        {**os.environ, **rank_environment(settings, local, os.environ)} for local in range(settings.procs_per_node)
    ]
    command = [python, str(Path(settings.program) / contract.BOOTSTRAP_FILE), "rank"]
    numbers = [first + local for local in range(settings.procs_per_node)]
    try:
        ranks, stopped_at = supervise(command, environments, numbers, settings.work, prefixed=len(numbers) > 1)
    except OSError as error:
        return replace(failed, stage="start", error=f"a rank cannot be started: {_line(error)}", failed_at=_now())
    return _conclude(settings, base, ranks, stopped_at)


def _conclude(settings: Settings, base: Outcome, ranks: list[Rank], stopped_at: datetime | None) -> Outcome:
    failures = sorted((rank for rank in ranks if rank.failed_at), key=lambda rank: (str(rank.failed_at), rank.rank))
    first = failures[0] if failures else None
    # A rank that failed before the pod was told to stop may be the very reason why it was.
    stopped = stopped_at is not None and not (first and first.failed_at and first.failed_at < stopped_at)
    if stopped and not (first and first.told):
        return _stopped(base)
    if first:
        return replace(
            base,
            exit_code=contract.EXIT_STOPPED if stopped else first.exit_code,
            rank=first.rank,
            signal=first.signal,
            stage="stopped" if stopped else "cell",
            error=str(first.told.get("error") or _end_of(first)),
            traceback=str(first.told.get("traceback") or ""),
            failed_at=first.failed_at,
        )
    if settings.node != 0:
        return base
    return replace(base, result=_send_result(ranks[0]), output=_send_output(settings.output))


def _end_of(rank: Rank) -> str:
    number = rank.signal
    if not number:
        return f"exit code {rank.exit_code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(number).name
        why = ", often because the memory of the node was used up" if number == signal.SIGKILL else ""
        return f"killed by signal {number} ({name}){why}"
    return f"killed by signal {number}"


def _send_result(rank: Rank) -> Payload | None:
    told = rank.told.get("result")
    if not isinstance(told, dict):
        return None
    if told.get("refused"):
        return Payload(kind="", refused=str(told["refused"])[:600])
    data = base64.b64decode(told["data"])
    return _send("result", make_payload(str(told["kind"]), data), data)


def _send_output(directory: str) -> Payload | None:
    try:
        data, files = archive.pack_directory(directory)
    except (NotReturned, OSError) as error:
        text = str(error) if isinstance(error, NotReturned) else f"the output files cannot be read: {error}"
        print(f"gke-notebook: {text}", file=sys.stderr, flush=True)
        return Payload(kind="tar.gz", refused=text[:1000])
    if not files:
        return None
    return _send("output", make_payload("tar.gz", data, files=files), data)


def _send(part: str, payload: Payload, data: bytes) -> Payload:
    if payload.lines:
        # What the cell wrote last may lack its line end; readers find a marker within a line, too (`results.visible`).
        write("".join(line + "\n" for line in marked_lines(part, data)).encode("ascii"))
    return payload


def _prepare_files(settings: Settings) -> None:
    Path(settings.work).mkdir(parents=True, exist_ok=True)
    Path(settings.output).mkdir(parents=True, exist_ok=True)
    path = Path(settings.program) / contract.INCLUDE_FILE
    if path.exists():
        archive.unpack(path.read_bytes(), settings.work)


def _prepare_python(settings: Settings) -> str:
    path = Path(settings.program) / contract.REQUIREMENTS_FILE
    if not path.exists():
        return sys.executable
    wanted = requirements.read_requirements(path.read_text(encoding="utf-8"))
    return requirements.prepare(wanted, str(Path(settings.work) / ".venv"))


def _wait_for_peers(settings: Settings) -> None:
    """Wait until every pod that the rendezvous needs has an address, because it is only then that it has a name."""
    started = told = time.monotonic()
    for host in peers(settings):
        while True:
            with contextlib.suppress(OSError):
                socket.getaddrinfo(host, None)
                break
            now = time.monotonic()
            if now - started > _PEERS_WAIT:
                print(f"gke-notebook: {host} is still missing; starting without it", file=sys.stderr, flush=True)
                return
            if now - told > 30:
                print(f"gke-notebook: waiting for {host} to start", file=sys.stderr, flush=True)
                told = now
            time.sleep(_PEERS_EVERY)


def _stopped(base: Outcome) -> Outcome:
    return replace(
        base,
        exit_code=contract.EXIT_STOPPED,
        signal=int(signal.SIGTERM),
        stage="stopped",
        error="the pod was told to stop (SIGTERM)",
        failed_at=_now(),
    )


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__
