"""The store's files: an append-only log and snapshots, made so that a killed process loses nothing it has acknowledged.

A directory holds generations. Generation N is `snapshot-N` (every object when N began; absent for the first) and
`log-N` (every change since). A new log is begun before its snapshot is written, so the last complete snapshot and the
logs from there on always hold everything. A snapshot gets its name only when it is complete.

Changes reach the kernel by `write` before a request is answered: they survive the death of the process, not of the
machine.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_log = logging.getLogger(__name__)

_FRAME = struct.Struct("<II")  # length and CRC-32 of what follows
_HEAD = struct.Struct("<BQdHHH")  # operation, revision, time, lengths of collection, namespace and name
_NAME = re.compile(r"(snapshot|log)-(\d{8})")
_SNAPSHOT_CHUNK = 2**20
_COMPACT_AT_LEAST = 16 * 2**20

PUT, DELETE, MARK = 0, 1, 2


class Record(NamedTuple):
    """One change, or one object of a snapshot.

    Args:
        operation: `PUT`, `DELETE`, or `MARK`: at `revision` the collection was last changed (no object).
        revision: the store's revision after the change.
        time: when, in seconds since the epoch.
        collection: the kind's name with its group, for example ``jobs.batch``.
        namespace: empty for kinds without.
        name: the object's name.
        body: the object as JSON; empty for `DELETE` and `MARK`.
    """

    operation: int
    revision: int
    time: float
    collection: str
    namespace: str = ""
    name: str = ""
    body: bytes = b""


def encode(record: Record) -> bytes:
    """Write a record as a frame that shows when it is damaged.

    Args:
        record: the change.

    Example:
        >>> list(decode(encode(Record(PUT, 7, 0.0, "pods", "default", "x", b"{}"))))[0].name
        'x'
    """
    collection, namespace, name = record.collection.encode(), record.namespace.encode(), record.name.encode()
    head = _HEAD.pack(record.operation, record.revision, record.time, len(collection), len(namespace), len(name))
    payload = b"".join((head, collection, namespace, name, record.body))
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def decode(data: bytes | memoryview) -> Iterator[Record]:
    """Read frames until the end or the first damaged one.

    Args:
        data: the content of a file.
    """
    for record, _ in _decode(memoryview(data)):
        yield record


def _decode(view: memoryview) -> Iterator[tuple[Record, int]]:
    position, size = 0, len(view)
    known: dict[bytes, str] = {}  # collections and namespaces: few, and each kept once
    while position + _FRAME.size <= size:
        length, checksum = _FRAME.unpack_from(view, position)
        start, end = position + _FRAME.size, position + _FRAME.size + length
        if length < _HEAD.size or end > size or zlib.crc32(view[start:end]) != checksum:
            return
        operation, revision, time, *lengths = _HEAD.unpack_from(view, start)
        first = start + _HEAD.size
        second = first + lengths[0]
        third = second + lengths[1]
        body = third + lengths[2]
        collection, namespace = _text(view[first:second], known), _text(view[second:third], known)
        name = str(view[third:body], "utf-8")
        yield Record(operation, revision, time, collection, namespace, name, bytes(view[body:end])), end
        position = end


def _text(view: memoryview, known: dict[bytes, str]) -> str:
    raw = bytes(view)
    found = known.get(raw)
    if found is None:
        found = known[raw] = raw.decode()
    return found


class Journal:
    """The open files of one data directory.

    Args:
        directory: where they are; made when missing, readable by its owner only.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self._generation = 0
        self._file = -1
        self._size = 0
        self._snapshot_size = 0
        self._writer: threading.Thread | None = None

    def load(self) -> Iterator[Record]:
        """Give everything that was stored, oldest first, then open the log for more.

        A torn last record (the process died while writing it) was never acknowledged and is cut off.
        """
        for unfinished in self.directory.glob("*.tmp"):
            unfinished.unlink()
        snapshots, logs = self._generations()
        first = max(snapshots, default=0)
        if first:
            data = self._path("snapshot", first).read_bytes()
            self._snapshot_size = len(data)
            yield from decode(data)
        for generation in (number for number in logs if number >= first):
            yield from self._replay(self._path("log", generation))
        self._generation = max([first, *logs, 1])
        self._remove_before(first)
        self._open()

    def _replay(self, path: Path) -> Iterator[Record]:
        data = path.read_bytes()
        good = 0
        for record, end in _decode(memoryview(data)):
            yield record
            good = end
        if good < len(data):
            _log.warning("%s: cutting off %d bytes of an unfinished record", path.name, len(data) - good)
            if len(data) - good > _FRAME.size and good + _FRAME.size + _FRAME.unpack_from(data, good)[0] < len(data):
                # More follows the bad record: not a torn write but damage, so the rest is kept for a person to see.
                path.with_suffix(".damaged").write_bytes(data[good:])
            os.truncate(path, good)

    def append(self, record: Record) -> None:
        """Write a change; when this returns, it survives the process.

        Args:
            record: the change.

        Raises:
            OSError: it could not be written; the log is as it was before.
        """
        data = encode(record)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:] if written else data)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    @property
    def wants_snapshot(self) -> bool:
        """Whether the log has outgrown the objects so far that a snapshot pays."""
        busy = self._writer is not None and self._writer.is_alive()
        return not busy and self._size > max(_COMPACT_AT_LEAST, 2 * self._snapshot_size)

    def snapshot(self, records: Iterable[Record], *, wait: bool = False) -> None:
        """Begin a new log, and write all objects to a snapshot in a thread.

        Args:
            records: every object and mark as of now; consumed in the thread, so they must not change.
            wait: whether to return only when the snapshot is complete.
        """
        self.join()
        os.close(self._file)
        self._generation += 1
        self._open()
        self._writer = threading.Thread(
            target=self._write_snapshot, args=(self._generation, records), name="snapshot", daemon=True
        )
        self._writer.start()
        if wait:
            self.join()

    def join(self) -> None:
        """Wait until a snapshot in progress is complete."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def close(self) -> None:
        """Finish a snapshot in progress and close the log."""
        self.join()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write_snapshot(self, generation: int, records: Iterable[Record]) -> None:
        path = self._path("snapshot", generation)
        temporary = path.with_suffix(".tmp")
        size = 0
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb", buffering=_SNAPSHOT_CHUNK) as file:
                for record in records:
                    size += file.write(encode(record))
            temporary.replace(path)
        except OSError as error:
            # The logs still hold everything; the next snapshot may fare better.
            _log.error("no snapshot was written: %s", error)
            return
        self._snapshot_size = size
        self._remove_before(generation)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path("log", self._generation), flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def _path(self, what: str, generation: int) -> Path:
        return self.directory / f"{what}-{generation:08d}"

    def _generations(self) -> tuple[list[int], list[int]]:
        found: dict[str, list[int]] = {"snapshot": [], "log": []}
        for path in self.directory.iterdir():
            match = _NAME.fullmatch(path.name)
            if match:
                found[match[1]].append(int(match[2]))
        return sorted(found["snapshot"]), sorted(found["log"])

    def _remove_before(self, generation: int) -> None:
        snapshots, logs = self._generations()
        for what, numbers in (("snapshot", snapshots), ("log", logs)):
            for number in numbers:
                if number < generation:
                    self._path(what, number).unlink(missing_ok=True)
