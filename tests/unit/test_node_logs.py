from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.node import log_reader, logs
from gke_notebook.sandbox.node.log_reader import Decoder, LogOptions
from gke_notebook.sandbox.node.logs import LogWriter

CHUNKS = st.lists(st.binary(max_size=60) | st.integers(16000, 40000).map(lambda n: b"x" * n + b"\n"), max_size=8)


async def text(path: Path, writer: LogWriter | None = None, **options: object) -> bytes:
    chosen = LogOptions(**options)  # type: ignore[arg-type] # as given by the test
    return b"".join([block async for block in log_reader.read(path, chosen, writer)])


@given(CHUNKS)
def test_what_is_encoded_is_decoded(chunks: list[bytes]) -> None:
    rest, encoded = b"", b""
    for chunk in chunks:
        lines, rest = logs.encode(rest + chunk, b"stdout", b"2026-01-01T00:00:00.000000000Z")
        encoded += lines
        assert len(rest) < logs.MAX_LINE
        assert b"\n" not in rest
    assert Decoder(timestamps=False).decode(encoded) + rest == b"".join(chunks)
    for line in encoded.split(b"\n")[:-1]:
        assert re.match(rb"2026-01-01T00:00:00.000000000Z stdout [FP] ", line)


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=12), st.integers(0, 14))
def test_tail_gives_the_last_lines(lines: list[bytes], count: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        writer = LogWriter(Path(directory) / "0.log")
        writer.write(b"stdout", b"".join(line + b"\n" for line in lines))
        writer.close()
        wanted = b"".join(line + b"\n" for line in (lines[-count:] if count else []))
        assert asyncio.run(text(writer.path, tail=count)) == wanted


async def test_timestamps_and_limits(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "0.log")
    writer.write(b"stdout", b"one\ntw")
    writer.write(b"stdout", b"o\n")
    writer.write(b"stderr", b"no newline")
    writer.close()
    stamped = await text(writer.path, timestamps=True)
    pattern = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (one|two|no newline)"
    assert [re.fullmatch(pattern, line)[1] for line in stamped.splitlines()] == [b"one", b"two", b"no newline"]  # type: ignore[index]
    assert await text(writer.path, limit=6) == b"one\ntw"


async def test_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(tmp_path / "0.log")
    for second in range(2000):
        monkeypatch.setattr(logs.time, "time_ns", lambda second=second: second * 10**9)
        writer.write(b"stdout", b"line %d\n" % second)
    writer.close()
    for first in (0, 1, 777, 1999):
        found = await text(writer.path, since=logs.timestamp(first * 10**9))
        assert found.splitlines() == [b"line %d" % n for n in range(first, 2000)]
    assert await text(writer.path, since=logs.timestamp(2000 * 10**9)) == b""
    both = await text(writer.path, since=logs.timestamp(1990 * 10**9), tail=3)
    assert both.splitlines() == [b"line 1997", b"line 1998", b"line 1999"]


async def test_follow_sees_every_byte_and_ends_with_the_log(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "0.log")
    writer.write(b"stdout", b"before\n")
    reader = asyncio.create_task(text(writer.path, writer, follow=True))
    late = asyncio.create_task(text(writer.path, writer, follow=True, tail=0))
    for number in range(50):
        await asyncio.sleep(0)
        writer.write(b"stdout", b"line %d\n" % number)
    writer.write(b"stdout", b"the end")
    writer.close()
    expected = b"".join(b"line %d\n" % number for number in range(50)) + b"the end\n"
    assert await reader == b"before\n" + expected
    assert expected.endswith(await late)


async def test_rotation_keeps_five_files_and_followers_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_SIZE", 2000)
    writer = LogWriter(tmp_path / "0.log")
    reader = asyncio.create_task(text(writer.path, writer, follow=True))
    everything = b""
    for number in range(400):
        line = b"line %d\n" % number
        everything += line
        writer.write(b"stdout", line)
        await asyncio.sleep(0)
    writer.close()
    assert await reader == everything
    assert len(logs.kept_files(writer.path)) == logs.MAX_FILES
    assert sum(file.stat().st_size for file in logs.kept_files(writer.path)) <= logs.MAX_FILES * 2100
    kept = await text(writer.path)
    assert everything.endswith(kept)
    assert len(kept) > 1000
    assert await text(writer.path, tail=120) == b"".join(b"line %d\n" % n for n in range(280, 400))


async def test_a_long_line_counts_once(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "0.log")
    long = b"y" * (3 * logs.MAX_LINE + 5)
    writer.write(b"stdout", b"first\n" + long[:20000])
    writer.write(b"stdout", long[20000:] + b"\nlast\n")
    writer.close()
    assert await text(writer.path) == b"first\n" + long + b"\nlast\n"
    assert await text(writer.path, tail=2) == long + b"\nlast\n"
    assert (await text(writer.path, tail=2, timestamps=True)).count(b"Z ") == 2


def test_options() -> None:
    parsed = log_reader.parse_options({"follow": "true", "tailLines": "5", "timestamps": "1", "limitBytes": "9"})
    assert parsed == LogOptions(follow=True, tail=5, timestamps=True, limit=9)
    assert log_reader.parse_options({"sinceSeconds": "10"}, now=20.0).since == b"1970-01-01T00:00:10.000000000Z"
    for given_, wanted in (
        ("2026-01-02T03:04:05Z", b"2026-01-02T03:04:05.000000000Z"),
        ("2026-01-02T03:04:05.6Z", b"2026-01-02T03:04:05.600000000Z"),
        ("2026-01-02T03:04:05.123456789+02:00", b"2026-01-02T01:04:05.123456789Z"),
    ):
        assert log_reader.parse_options({"sinceTime": given_}).since == wanted


@pytest.mark.parametrize(
    "query",
    [{"tailLines": "-1"}, {"tailLines": "x"}, {"sinceSeconds": "0"}, {"limitBytes": "0"}, {"sinceTime": "yesterday"},
     {"sinceTime": "2026-01-02T03:04:05Z", "sinceSeconds": "1"}],
)  # fmt: skip
def test_bad_options(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        log_reader.parse_options(query)
