"""The outcome, the result and the archive on their way from pod to notebook."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import sys
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.launch import archive, contract
from gke_notebook.launch.records import NotReturned, Outcome, Payload, decode_outcome, encode_outcome, make_payload
from gke_notebook.launch.results import Collector, decode_result, encode_result, marked_lines, visible
from gke_notebook.launch.tracebacks import format_exception, last_line

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
payloads = st.builds(
    make_payload,
    st.sampled_from(["pickle", "tar.gz"]),
    st.binary(max_size=3000),
)
outcomes = st.builds(
    Outcome,
    exit_code=st.integers(0, 255),
    job=st.just("digits"),
    run=st.just("r1"),
    node=st.integers(0, 10_000),
    retry=st.integers(0, 100),
    rank=st.none() | st.integers(0, 80_000),
    signal=st.integers(0, 64),
    stage=st.sampled_from(["", "cell", "requirements", "files", "start", "stopped"]),
    error=texts,
    traceback=texts,
    failed_at=st.none() | st.datetimes(timezones=st.just(timezone.utc)),
    python=st.just("3.12.1"),
    result=st.none() | payloads | st.just(Payload(kind="", refused="result (dict) takes 9 MiB")),
    output=st.none() | payloads,
)


@given(outcomes)
def test_an_outcome_that_fits_comes_back_equal(outcome: Outcome) -> None:
    text = encode_outcome(outcome, limit=100_000)
    assert decode_outcome(text) == outcome


@given(outcomes, st.text(max_size=200), st.integers(0, 400))
@settings(max_examples=60)
def test_an_outcome_always_fits_and_keeps_what_matters(outcome: Outcome, line: str, lines: int) -> None:
    traceback = "Traceback\n" + (line.replace("\n", " ") + "\n") * lines + "ValueError: last"
    text = encode_outcome(Outcome(**{**vars(outcome), "traceback": traceback, "error": line * 20}))
    assert len(text.encode()) <= contract.TERMINATION_MESSAGE_LIMIT
    back = decode_outcome(text)
    assert back is not None
    assert (back.exit_code, back.rank, back.failed_at) == (outcome.exit_code, outcome.rank, outcome.failed_at)
    if back.traceback:
        assert back.traceback.endswith("ValueError: last")


def test_a_long_traceback_loses_its_middle() -> None:
    middle = "".join(f'  Cell, line {n}, in f\n    f("é{n}")\n' for n in range(2000))
    traceback = "Traceback (most recent call last):\n" + middle + "RecursionError: too deep\n"
    back = decode_outcome(encode_outcome(Outcome(exit_code=1, traceback=traceback)))
    assert back is not None
    kept = back.traceback.splitlines()
    assert kept[0] == "Traceback (most recent call last):"
    assert kept[-1] == "RecursionError: too deep"
    assert sum("characters left out" in line for line in kept) == 1
    assert all(line in traceback.splitlines() or "characters left out" in line for line in kept)
    assert len(back.traceback) > 2500


@pytest.mark.parametrize(
    "text",
    ["", "Killed", "Traceback (most recent call last):", "[1]", "null", '{"exit_code": 1}', '{"gke_notebook": "x"}',
     '{"gke_notebook": 1}', '{"gke_notebook": 1, "exit_code": "1"}', "[" * 100_000, '{"gke_notebook": 1, "exit'],
)  # fmt: skip
def test_what_is_no_outcome_is_none(text: str) -> None:
    assert decode_outcome(text) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
other_values = st.recursive(
    json_values | st.binary() | st.complex_numbers(allow_nan=False) | st.datetimes() | st.just(float("inf")),
    lambda inner: (
        st.tuples(inner, inner) | st.dictionaries(st.integers(), inner, max_size=3) | st.lists(inner, max_size=3)
    ),
    max_leaves=10,
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return (
            len(left) == len(right)
            and all(same(*keys) for keys in zip(left, right, strict=True))
            and all(same(left[key], right[key]) for key in left)
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(*items) for items in zip(left, right, strict=True))
    return bool(left == right)


@given(json_values)
def test_plain_values_travel_as_json(value: Any) -> None:
    kind, data = encode_result(value)
    assert kind == "json" or (isinstance(value, int) and abs(value) > 10**4000)
    assert same(decode_result(kind, data), value)


@given(other_values)
def test_every_value_keeps_its_types(value: Any) -> None:
    assert same(decode_result(*encode_result(value)), value)


ODD_VALUES: tuple[Any, ...] = (
    (1, 2), {1: "a"}, {"a": (1,)}, np.float64(0.5), np.float32(0.1), {"loss": np.float64(1)}, float("nan"), {1, 2},
    True, 10**5000, "\ud800", np.arange(3),
)  # fmt: skip


@pytest.mark.parametrize("value", ODD_VALUES, ids=[str(number) for number in range(len(ODD_VALUES))])
def test_types_are_honest(value: Any) -> None:
    kind, data = encode_result(value)
    assert kind == ("json" if isinstance(value, bool | str) else "pickle")
    back = decode_result(kind, data)
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)


def test_a_value_that_refers_to_itself_comes_back() -> None:
    value: list[Any] = [1]
    value.append(value)
    back = decode_result(*encode_result(value))
    assert back[1] is back


def test_a_type_that_the_notebook_lacks_is_named() -> None:
    data = b"cno_such_module_here\nThing\n."
    with pytest.raises(NotReturned, match=r"No module named 'no_such_module_here'.*float\(x\)"):
        decode_result("pickle", data)


def test_too_large_is_counted_without_being_kept() -> None:
    with pytest.raises(NotReturned, match=r"takes 20\.0 MiB, more than the limit of 1\.0 MiB"):
        encode_result([bytes(10 * 2**20), bytearray(10 * 2**20)])


@given(st.binary(min_size=2000, max_size=60_000), st.randoms())
@settings(max_examples=30)
def test_lines_in_any_order_among_others_give_the_bytes(data: bytes, shuffle: random.Random) -> None:
    kind, encoded = encode_result(data)
    payload = make_payload(kind, encoded)
    stale = list(marked_lines("result", b"another attempt" * 1000))
    lines = [
        *marked_lines("result", encoded),
        *marked_lines("result", encoded),
        *stale,
        "step 1",
        "",
        "\x1egke-notebook:x",
    ]
    shuffle.shuffle(lines)
    collector = Collector(Outcome(exit_code=0, result=payload))
    assert collector.needs_log
    marked = [collector.add(line) for line in lines]
    assert marked.count(False) == 3
    assert not collector.needs_log
    assert collector.result() == data
    assert [visible(line) for line, is_marked in zip(lines, marked, strict=True) if is_marked] == [None] * (
        len(lines) - 3
    )


def test_missing_and_damaged_lines_are_told() -> None:
    data = os.urandom(50_000)
    payload = make_payload("tar.gz", data)
    lines = list(marked_lines("output", data))
    collector = Collector(Outcome(exit_code=0, output=payload))
    for line in lines[:-2]:
        collector.add(line)
    with pytest.raises(NotReturned, match=f"2 of {len(lines)} lines are missing"):
        collector.output()
    for line in lines[-2:]:
        collector.add(line[:-8] + "AAAA" + line[-4:])
    with pytest.raises(NotReturned, match="damaged"):
        collector.output()
    for line in lines:
        collector.add("glued to it " + line + "\r")
    assert collector.output() == data
    assert visible("glued to it " + lines[0]) == "glued to it "


def test_no_result_is_none() -> None:
    collector = Collector(Outcome(exit_code=0))
    assert (collector.has_result, collector.needs_log, collector.result(), collector.output()) == (
        False,
        False,
        None,
        None,
    )


def test_archives_are_the_same_for_the_same_files(tmp_path: Path) -> None:
    files = [("a.txt", b"1", 0o644), ("sub/b.sh", b"2" * 1000, 0o755)]
    data = archive.pack(files)
    assert data == archive.pack(files)
    assert archive.unpack(data, str(tmp_path)) == ("a.txt", "sub/b.sh")
    assert (tmp_path / "sub" / "b.sh").read_bytes() == b"2" * 1000
    assert os.access(tmp_path / "sub" / "b.sh", os.X_OK)


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, size, link
        tar.addfile(info, io.BytesIO(bytes(size)))
    return packed.getvalue()


@pytest.mark.parametrize(
    "data",
    [member("../evil"), member("/etc/evil"), member("a/../../evil"), member("..\\evil"), member("C:/evil"), member("."),
     member("evil", tarfile.SYMTYPE, link="/etc/passwd"), member("evil", tarfile.LNKTYPE, link="/etc/passwd"),
     member("evil", tarfile.CHRTYPE), member("evil", tarfile.FIFOTYPE), member("evil", size=2000), b"no archive",
     member("evil", size=100)[:-30]],
    ids=["up", "root", "up inside", "backslash", "drive", "dot", "symlink", "hard link", "device", "pipe", "large",
         "no archive", "cut off"],
)  # fmt: skip
def test_an_archive_is_not_trusted(tmp_path: Path, data: bytes) -> None:
    target = tmp_path / "target"
    with pytest.raises(NotReturned):
        archive.unpack(data, str(target), limit=1000)
    assert {path.name for path in tmp_path.rglob("*")} <= {"target", "evil"}
    assert not (tmp_path / "evil").exists()
    assert not (target / "evil").is_symlink()


def test_links_in_the_target_are_not_followed(tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (outside / "kept").write_text("kept")
    (target / "folder").symlink_to(outside)
    (target / "file").symlink_to(outside / "kept")
    with pytest.raises(NotReturned, match="through a link"):
        archive.unpack(member("folder/new"), str(target))
    assert archive.unpack(member("file"), str(target)) == ("file",)
    assert (outside / "kept").read_text() == "kept"
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_output_that_expands_too_far_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(contract.OUTPUT_EXPANDED_LIMIT + 1)
    with pytest.raises(NotReturned, match=r"zeros \(64\.0 MiB\)"):
        archive.pack_directory(str(tmp_path))
    assert archive.pack_directory(str(tmp_path / "nothing")) == (b"", 0)


def test_causes_groups_and_odd_messages_are_formatted() -> None:
    def fail() -> None:
        try:
            {}["k"]
        except KeyError:
            raise ValueError("two\nlines") from None

    with pytest.raises(ValueError, match="two") as caught:
        fail()
    text = format_exception(caught.type, caught.value, caught.tb, {__file__: "Cell"})
    assert "KeyError" not in text
    assert text.count("Cell, line ") == 2
    errors = [caught.value, KeyboardInterrupt(), json.JSONDecodeError("no", "x", 0), pickle.PicklingError("é")]
    assert [last_line(type(error), error) for error in errors] == [
        "ValueError: two",
        "KeyboardInterrupt",
        "json.decoder.JSONDecodeError: no: line 1 column 1 (char 0)",
        "_pickle.PicklingError: é",
    ]
    if sys.version_info >= (3, 11):
        group = ExceptionGroup("two", [ValueError("a"), TypeError("b")])  # noqa: F821 - new in 3.11
        assert "ValueError: a" in format_exception(type(group), group, None, {})


def test_times_compare_across_pods() -> None:
    early = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=timezone.utc)
    texts = [encode_outcome(Outcome(exit_code=1, failed_at=early + timedelta(microseconds=n))) for n in (1, 0)]
    times = [outcome.failed_at for text in texts if (outcome := decode_outcome(text))]
    assert min(time for time in times if time) == early
    assert decode_outcome('{"gke_notebook":1,"exit_code":1,"failed_at":"2026-01-01T12:00:00.000005Z"}') == Outcome(
        exit_code=1, failed_at=early
    )
