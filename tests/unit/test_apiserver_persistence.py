"""What was acknowledged is there again, wherever the process was killed."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver import persistence
from gke_notebook.sandbox.apiserver.kinds import find
from gke_notebook.sandbox.apiserver.persistence import DELETE, PUT, Journal, Record, decode, encode
from gke_notebook.sandbox.apiserver.store import Expired, Store

PODS = find("", "v1", "pods")
JOBS = find("batch", "v1", "jobs")
assert PODS is not None
assert JOBS is not None

RECORDS = st.builds(
    Record,
    operation=st.sampled_from([PUT, DELETE]),
    revision=st.integers(0, 2**63),
    time=st.floats(0, 1e12),
    collection=st.text(max_size=20),
    namespace=st.text(max_size=20),
    name=st.text(max_size=20),
    body=st.binary(max_size=200),
)


def state(store: Store) -> dict:
    return {
        (kind.plural, *entry.key): (entry.body, entry.revision, entry.written)
        for kind in (PODS, JOBS)
        for entry in store.of(kind).all()
    }


def pod(name: str, **spec: object) -> dict:
    return {"metadata": {"namespace": "default", "name": name}, "spec": spec}


@given(st.lists(RECORDS, max_size=8))
@settings(deadline=None)
def test_records_come_back_as_they_were(records: list[Record]):
    assert list(decode(b"".join(map(encode, records)))) == records


@given(st.lists(RECORDS, min_size=1, max_size=5), st.data())
@settings(deadline=None)
def test_a_log_cut_anywhere_gives_its_whole_records(records: list[Record], data: st.DataObject):
    frames = [encode(record) for record in records]
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole)))
    complete, position = 0, 0
    for frame in frames:
        position += len(frame)
        complete += position <= cut
    assert list(decode(whole[:cut])) == records[:complete]


@given(st.lists(RECORDS, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_a_flipped_bit_is_noticed(records: list[Record], data: st.DataObject):
    whole = bytearray(b"".join(map(encode, records)))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = list(decode(bytes(whole)))
    assert found == records[: len(found)]
    assert len(found) < len(records)


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_noise_is_no_record(noise: bytes):
    assert list(decode(noise)) == []


def test_everything_is_there_after_a_restart(tmp_path: Path):
    store = Store.open(tmp_path)
    for number in range(20):
        store.put(PODS, pod(f"p{number}"))
    store.put(JOBS, {"metadata": {"namespace": "default", "name": "j"}})
    store.delete(PODS, store.get(PODS, "default", "p3"))
    before, revision = state(store), store.revision
    store.close()
    again = Store.open(tmp_path)
    assert (state(again), again.revision) == (before, revision)
    assert again.put(PODS, pod("new")).revision == revision + 1
    again.close()


def test_a_watch_goes_on_across_a_restart_when_nothing_was_missed(tmp_path: Path):
    store = Store.open(tmp_path)
    store.put(PODS, pod("a"))
    store.put(JOBS, {"metadata": {"namespace": "default", "name": "j"}})
    store.close()
    again = Store.open(tmp_path)
    assert again.of(PODS).since(again.of(PODS).position(1)) == []
    with pytest.raises(Expired):
        again.of(JOBS).position(1)
    again.close()


def test_files_are_for_their_owner_only(tmp_path: Path):
    directory = tmp_path / "data"
    store = Store.open(directory)
    store.put(PODS, pod("a"))
    store.compact()
    store.close()
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


def test_kills_at_random_bytes_lose_nothing_acknowledged(tmp_path: Path):
    """The log as it is after each acknowledged write, plus any part of the next record, is a possible crash."""
    choose = random.Random(7)
    directory = tmp_path / "data"
    store = Store.open(directory)
    sizes, states = [], []
    log = directory / "log-00000001"
    for number in range(60):
        name = f"p{choose.randrange(10)}"
        entry = store.get(PODS, "default", name)
        if entry is not None and choose.random() < 0.3:
            store.delete(PODS, entry)
        else:
            store.put(PODS, pod(name, number=number, filler="x" * choose.randrange(200)))
        sizes.append(log.stat().st_size)
        states.append((state(store), store.revision))
    store.close()
    data = log.read_bytes()
    for cut in sorted(choose.sample(range(len(data) + 1), 150)) + sizes:
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        (crashed / log.name).write_bytes(data[:cut])
        acknowledged = sum(size <= cut for size in sizes)
        wanted = states[acknowledged - 1] if acknowledged else ({}, 0)
        again = Store.open(crashed)
        assert (state(again), again.revision) == wanted, cut
        again.put(PODS, pod("after"))  # the torn rest must not swallow what is written next
        after = state(again)
        again.close()
        once_more = Store.open(crashed)
        assert state(once_more) == after
        once_more.close()
        shutil.rmtree(crashed)


def test_a_snapshot_replaces_the_log(tmp_path: Path):
    store = Store.open(tmp_path)
    for number in range(200):
        store.put(PODS, pod("same", number=number))
    store.put(JOBS, {"metadata": {"namespace": "default", "name": "gone"}})
    store.delete(JOBS, store.get(JOBS, "default", "gone"))
    store.compact()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log-00000002", "snapshot-00000002"]
    store.put(PODS, pod("later"))
    before, revision = state(store), store.revision
    store.close()
    again = Store.open(tmp_path)
    assert (state(again), again.revision) == (before, revision)
    with pytest.raises(Expired):
        again.of(JOBS).position(200)  # the deletion of the job came after that
    again.of(JOBS).position(202)
    again.close()


def wait_for_snapshot(folder: Path) -> None:
    """Wait until the snapshot that is being written, if there is one, is in its place and the older log gone."""
    deadline = time.monotonic() + 20
    while len(list(folder.glob("log-*"))) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_log_is_compacted_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(persistence, "_COMPACT_AT_LEAST", 20_000)
    store = Store.open(tmp_path)
    for number in range(1000):
        store.put(PODS, pod(f"p{number % 10}", number=number))
        # A snapshot is written beside the writes; on a busy machine a thousand of them may overtake it.
        if number % 100 == 99:
            wait_for_snapshot(tmp_path)
    before = state(store)
    store.close()
    assert list(tmp_path.glob("snapshot-*"))
    written = 1000 * len(encode(Record(PUT, 1, 0.0, "pods", "default", "p1", before["pods", "default", "p1"][0])))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < written / 2
    again = Store.open(tmp_path)
    assert state(again) == before
    again.close()


@pytest.mark.parametrize("leave", ["log-1-2", "snapshot-tmp"])
def test_a_crash_while_a_snapshot_is_written(tmp_path: Path, leave: str):
    """The new log is there before its snapshot is: then the older log is still needed, and still there."""
    store = Store.open(tmp_path)
    store.put(PODS, pod("a"))
    store.put(PODS, pod("b"))
    first = (tmp_path / "log-00000001").read_bytes()
    store.compact()
    store.put(PODS, pod("c"))
    before = state(store)
    store.close()
    snapshot = tmp_path / "snapshot-00000002"
    if leave == "snapshot-tmp":
        snapshot.with_suffix(".tmp").write_bytes(snapshot.read_bytes()[:-10])
    snapshot.unlink()
    (tmp_path / "log-00000001").write_bytes(first)
    again = Store.open(tmp_path)
    assert state(again) == before
    assert not list(tmp_path.glob("*.tmp"))
    again.close()


def test_damage_in_the_middle_is_kept_for_a_person(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = Store.open(tmp_path)
    for number in range(3):
        store.put(PODS, pod(f"p{number}"))
    store.close()
    log = tmp_path / "log-00000001"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(bytes(data))
    again = Store.open(tmp_path)
    assert [entry.name for entry in again.of(PODS).all()] == ["p0"]
    assert "log-00000001" in caplog.text
    kept = log.with_suffix(".damaged").read_bytes()
    assert log.read_bytes() + kept == bytes(data)
    again.close()


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store.open(tmp_path)
    store.put(PODS, pod("a"))
    before, size = state(store), (tmp_path / "log-00000001").stat().st_size
    write = os.write

    def refuse(descriptor: int, data: bytes, calls: list[int] = []) -> int:  # noqa: B006
        calls.append(1)
        if len(calls) == 1:
            return write(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(persistence.os, "write", refuse)
    with pytest.raises(OSError, match="No space"):
        store.put(PODS, pod("b"))
    monkeypatch.undo()
    assert (state(store), (tmp_path / "log-00000001").stat().st_size) == (before, size)
    assert store.put(PODS, pod("c")).revision == 2
    after = state(store)
    store.close()
    again = Store.open(tmp_path)
    assert state(again) == after
    again.close()


_WRITER = """
import sys
import time
from pathlib import Path
from gke_notebook.sandbox.apiserver import persistence
from gke_notebook.sandbox.apiserver.kinds import find
from gke_notebook.sandbox.apiserver.store import Store
persistence._COMPACT_AT_LEAST = 30_000
pods = find("", "v1", "pods")
store = Store.open(Path(sys.argv[1]))
number = store.revision
while True:
    number += 1
    metadata = {"namespace": "default", "name": f"p{number % 50}"}
    entry = store.put(pods, {"metadata": metadata, "spec": {"number": number}})
    print(entry.revision, flush=True)
"""


def test_a_process_killed_again_and_again_keeps_what_it_said(tmp_path: Path):
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = 0
        for line in process.stdout:
            said = int(line)
            if said % 400 == 0:
                break
        process.send_signal(signal.SIGKILL)
        said = max(
            [said, *(int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
        )
        process.stdout.close()
        process.wait()
        store = Store.open(tmp_path)
        assert store.revision >= said
        for number in range(max(1, said - 49), said + 1):
            entry = store.get(PODS, "default", f"p{number % 50}")
            assert entry is not None
            assert entry.object()["spec"]["number"] >= number
        store.close()


def test_a_journal_without_its_directory_makes_it(tmp_path: Path):
    journal = Journal(tmp_path / "a" / "b")
    assert list(journal.load()) == []
    journal.append(Record(PUT, 1, 0.0, "pods", "", "x", b"{}"))
    journal.close()
    assert (tmp_path / "a" / "b" / "log-00000001").stat().st_size > 0
