"""Container logs as the kubelet serves them: tail, since, limits, timestamps, follow."""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gke_notebook.sandbox.node import logs
from gke_notebook.sandbox.node.logs import LogWriter

_BLOCK = 256 * 2**10
_PART = re.compile(rb"^[^ \n]+ std(?:out|err) P ", re.MULTILINE)
_WINDOW = 4096


@dataclass(frozen=True)
class LogOptions:
    """What of a log is asked for, as in `PodLogOptions`.

    Args:
        follow: whether to go on until the container has ended.
        tail: only so many last lines; None for all.
        since: only lines at or after this time, as `logs.timestamp` formats it; empty for all.
        timestamps: whether each line starts with its time.
        limit: end after so many bytes; None for all.
    """

    follow: bool = False
    tail: int | None = None
    since: bytes = b""
    timestamps: bool = False
    limit: int | None = None


def parse_options(query: Mapping[str, str], now: float | None = None) -> LogOptions:
    """Read the query of a log request.

    Args:
        query: the parameters, all text.
        now: seconds since the epoch.

    Raises:
        ValueError: a value is out of its range, with a text for the client.
    """
    now = time.time() if now is None else now
    since = b""
    if "sinceSeconds" in query and "sinceTime" in query:
        raise ValueError("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if "sinceSeconds" in query:
        since = logs.timestamp(int(max(0.0, now - _positive(query, "sinceSeconds")) * 1e9))
    elif "sinceTime" in query:
        try:
            since = _since(query["sinceTime"])
        except (ValueError, OverflowError) as error:
            raise ValueError(f"sinceTime {query['sinceTime']!r} is no RFC 3339 time") from error
    tail = None
    if "tailLines" in query:
        tail = _number(query, "tailLines")
        if tail < 0:
            raise ValueError("tailLines must be greater than or equal to 0")
    return LogOptions(
        follow=_flag(query, "follow"),
        tail=tail,
        since=since,
        timestamps=_flag(query, "timestamps"),
        limit=_positive(query, "limitBytes") if "limitBytes" in query else None,
    )


def _since(text: str) -> bytes:
    matched = re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", text.strip())
    if matched is None:
        raise ValueError(text)
    zone = "+00:00" if matched[3] in "Zz" else matched[3]
    moment = datetime.datetime.fromisoformat(matched[1].upper() + zone)
    return logs.timestamp(max(0, int(moment.timestamp())) * 1_000_000_000 + int((matched[2] or "0").ljust(9, "0")))


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "t", "true")


def _number(query: Mapping[str, str], name: str) -> int:
    text = query[name]
    try:
        value = int(text)
    except ValueError as error:
        raise ValueError(f"{name} {text[:40]!r} is no number") from error
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} {text[:40]!r} is out of range")
    return value


def _positive(query: Mapping[str, str], name: str) -> int:
    value = _number(query, name)
    if value < 1:
        raise ValueError(f"{name} must be greater than 0")
    return value


class Decoder:
    """Turns lines of the runtime's format into what a reader sees; keeps what a part of a line needs.

    Args:
        timestamps: whether each line starts with its time.
    """

    def __init__(self, *, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._inside = False  # the last line was a part, so that the next one continues it

    def decode(self, data: bytes) -> bytes:
        """Decode whole lines.

        Args:
            data: newline-terminated lines.
        """
        out: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            tag = data.find(b" ", data.find(b" ", at, size) + 1, size) + 1
            if self._inside or data[tag : tag + 1] != b"F":
                end = data.index(b"\n", at) + 1
                self._one(data[at:end], tag - at, out)
            else:
                # Lines that were written at once have the same head, so that a whole run of them is decoded at once.
                head = data[at : tag + 2]
                end = _run_end(data, at, head)
                kept = head[: head.index(b" ") + 1] if self._timestamps else b""
                out.append(kept + data[at + len(head) : end - 1].replace(b"\n" + head, b"\n" + kept) + b"\n")
            at = end
        return b"".join(out)

    def _one(self, line: bytes, tag: int, out: list[bytes]) -> None:
        if self._timestamps and not self._inside:
            out.append(line[: line.index(b" ") + 1])
        self._inside = line[tag : tag + 1] == b"P"
        out.append(line[tag + 2 : -1] if self._inside else line[tag + 2 :])


def _run_end(data: bytes, at: int, head: bytes) -> int:
    """Find the end of the lines from `at` on that begin with `head`; such lines follow one another."""
    start = b"\n" + head
    window = _WINDOW
    while True:
        last = data.rfind(start, at, at + window)
        end = data.index(b"\n", (at if last < 0 else last) + 1) + 1
        if not data.startswith(head, end):
            break
        window *= 4
    # Parts of a long line may lie between lines of one head: then only the first is taken.
    if data.count(b"\n", at, end) != data.count(start, at, end) + 1:
        return data.index(b"\n", at) + 1
    return end


async def read(path: Path, options: LogOptions, writer: LogWriter | None = None) -> AsyncIterator[bytes]:
    """Read a log.

    Args:
        path: its newest file.
        options: what of it.
        writer: the log's writer while the container runs; without one nothing is waited for.
    """
    decoder = Decoder(timestamps=options.timestamps)
    left = options.limit
    async for block in _blocks(path, options, writer):
        data = decoder.decode(block)
        if left is not None:
            data = data[:left]
            left -= len(data)
        if data:
            yield data
        if left == 0:
            return


async def _blocks(path: Path, options: LogOptions, writer: LogWriter | None) -> AsyncIterator[bytes]:
    follow = writer if options.follow and writer is not None else None
    files = [os.open(file, os.O_RDONLY) for file in logs.kept_files(path) if file.exists()]
    number = writer.rotated + 1 if writer is not None else 0  # what the newest file will be called once rotated
    try:
        index, offset = _start(files, options)
        for position in range(index, len(files)):
            last = position == len(files) - 1
            start = offset if position == index else 0
            if last and follow is not None:
                break
            size = os.fstat(files[position]).st_size
            while start < size:
                block = _whole_lines(files[position], start, min(_BLOCK, size - start))
                if not block:
                    break
                start += len(block)
                yield block
        if follow is None or not files:
            return
        position = offset if index == len(files) - 1 else 0
        current = files[-1]
        while True:
            block = _whole_lines(current, position, _BLOCK)
            if block:
                position += len(block)
                yield block
                continue
            if follow.rotated >= number:
                # This file is complete and read to its end: go on with the next that is kept.
                number = max(number + 1, follow.first)
                following = logs.rotated_path(path, number) if follow.rotated >= number else path
                os.close(current)
                files[-1] = current = os.open(following, os.O_RDONLY)
                position = 0
                continue
            if follow.closed:
                return
            await follow.changed()
    finally:
        for file in files:
            os.close(file)


def _whole_lines(file: int, start: int, size: int) -> bytes:
    while True:
        block = os.pread(file, size, start)
        end = block.rfind(b"\n") + 1
        if end or len(block) < size:
            return block[:end]
        size *= 2  # a line longer than the block


def _start(files: list[int], options: LogOptions) -> tuple[int, int]:
    """Find where to start: the file's position in the list and the offset in it."""
    start = (0, 0)
    if options.since:
        start = (max(0, len(files) - 1), os.fstat(files[-1]).st_size if files else 0)
        for position, file in enumerate(files):
            offset = _first_since(file, options.since)
            if offset < os.fstat(file).st_size:
                start = (position, offset)
                break
    if options.tail is not None:
        start = max(start, _tail(files, options.tail))
    return start


def _first_since(file: int, since: bytes) -> int:
    """Find the first line at or after a time by bisection: lines are in the order of their times."""
    low, high = 0, os.fstat(file).st_size
    while low < high:
        middle = (low + high) // 2
        start = _line_start(file, middle)
        if os.pread(file, len(since), start) < since:
            low = _line_end(file, middle)
        else:
            high = start
    return low


def _line_start(file: int, offset: int) -> int:
    while offset > 0:
        begin = max(0, offset - 4096)
        found = os.pread(file, offset - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        offset = begin
    return 0


def _line_end(file: int, offset: int) -> int:
    while True:
        block = os.pread(file, 4096, offset)
        found = block.find(b"\n")
        if found >= 0:
            return offset + found + 1
        if not block:
            return offset
        offset += len(block)


def _tail(files: list[int], lines: int) -> tuple[int, int]:
    """Find where the last so many lines begin; a line in parts counts once."""
    if not files:
        return 0, 0
    if lines == 0:
        return len(files) - 1, os.fstat(files[-1]).st_size
    missing = lines
    for position in range(len(files) - 1, -1, -1):
        file = files[position]
        end = os.fstat(file).st_size
        block_end = end
        rest = b""
        while block_end > 0:
            begin = max(0, block_end - _BLOCK)
            data = os.pread(file, block_end - begin, begin) + rest
            first = 0 if begin == 0 else data.find(b"\n") + 1
            complete = data[first:]
            count = _count(complete)
            if count > missing:
                return position, begin + first + _offset_of_last(complete, missing)
            missing -= count
            rest = data[:first]
            block_end = begin
        if missing == 0 and position > 0 and _ends_whole(files[position - 1]):
            return position, 0
    return 0, 0


def _count(data: bytes) -> int:
    lines = data.count(b"\n")
    if b" P " not in data:  # a search of text is a hundred times as fast as one by pattern
        return lines
    return lines - len(_PART.findall(data))


def _offset_of_last(data: bytes, lines: int) -> int:
    """Give the offset after which so many whole lines follow."""
    at = len(data)
    seen = 0
    while at > 0:
        start = data.rfind(b"\n", 0, at - 1) + 1
        if _PART.match(data, start) is None:
            if seen == lines:
                return at
            seen += 1
        at = start
    return 0


def _ends_whole(file: int) -> bool:
    size = os.fstat(file).st_size
    if size == 0:
        return True
    start = _line_start(file, size - 1)
    return _PART.match(os.pread(file, 128, start)) is None
