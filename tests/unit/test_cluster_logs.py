"""Lines, timestamps, resuming, ranks and attempts, without a server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook import names, objects
from gke_notebook.cluster.job_logs import Source, container_to_read, merge, route, sources
from gke_notebook.cluster.logs import Resume, parse
from gke_notebook.launch import contract

UTC = timezone.utc
BEGIN = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)


def stamp(nanoseconds: int, zone: str = "Z") -> str:
    """Write a time as the kubelet does: nanoseconds, without the zeros at the end."""
    seconds, rest = divmod(nanoseconds, 10**9)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone


def test_parse_parts_time_and_text():
    lines = [b"2026-11-24T10:00:00.123456789Z hello  world", b"2026-11-24T10:00:01Z ", b"2026-11-24T11:00:02.5+01:00 x"]
    assert parse(lines) == [
        (BEGIN + timedelta(microseconds=123457), "hello  world"),
        (BEGIN + timedelta(seconds=1), ""),
        (BEGIN + timedelta(seconds=2.5), "x"),
    ]


@pytest.mark.parametrize(
    "line",
    ["failed to try resolving symlinks in path", "", '2026-11-24T10:00:00Z","x y', "2026-99-99T10:00:00Z x", "\ufffd"],
)
def test_a_line_without_a_timestamp_keeps_its_text(line):
    good = b"2026-11-24T10:00:00Z ok"
    assert parse([good, line.encode()]) == [(BEGIN, "ok"), (None, line)]
    assert parse([line.encode()]) == [(None, line)]


def test_bytes_that_are_no_text_are_replaced():
    assert parse([b"2026-11-24T10:00:00Z \xff\xfe"]) == [(BEGIN, "\ufffd\ufffd")]


def test_without_timestamps_all_is_text():
    assert parse([b"2026-11-24T10:00:00Z x"], timestamps=False) == [(None, "2026-11-24T10:00:00Z x")]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n")), max_size=20))
def test_every_text_survives(texts):
    lines = [f"{stamp(number)} {text}".encode() for number, text in enumerate(texts)]
    assert [text for _, text in parse(lines)] == texts


def test_since_is_the_second_of_the_last_line_in_its_own_zone():
    resume = Resume()
    assert resume.since is None
    resume.take([b"2026-11-24T10:00:00.9Z a", b"2026-11-24T10:00:01.1Z b"])
    assert resume.since == "2026-11-24T10:00:01Z"
    resume.take([b"no timestamp"])
    resume.take([b"2026-11-24T12:00:02.25+01:00 c"])
    assert resume.since == "2026-11-24T12:00:02+01:00"


def read_with_cuts(log: list[bytes], cuts: list[int], batch: int) -> list[bytes]:
    """Read a log as `stream` does from a kubelet that filters by whole seconds and cuts after so many lines."""
    resume, got = Resume(), []
    for cut in [*cuts, len(log)]:
        since = resume.since
        resume.reopened()
        rest = [line for line in log if since is None or line[:19] >= since.encode()[:19]][:cut]
        if cut == len(log):
            rest = [line for line in log if since is None or line[:19] >= since.encode()[:19]]
        for start in range(0, len(rest), batch):
            got += resume.take(rest[start : start + batch])
    return got


@given(
    steps=st.lists(st.sampled_from([0, 1, 10**6, 4 * 10**8, 10**9, 3 * 10**9]), max_size=40),
    texts=st.lists(st.sampled_from(["a", "b", ""]), min_size=40, max_size=40),
    cuts=st.lists(st.integers(0, 30), max_size=5),
    batch=st.integers(1, 7),
)
def test_a_cut_stream_loses_nothing_and_doubles_nothing(steps, texts, cuts, batch):
    now, log = 0, []
    for step, text in zip(steps, texts, strict=False):
        now += step
        log.append(f"{stamp(now)} {text}".encode())
    assert read_with_cuts(log, cuts, batch) == log


def test_equal_lines_of_one_second_are_counted():
    line = b"2026-11-24T10:00:00.5Z tick"
    resume = Resume()
    assert resume.take([line, line]) == [line, line]
    resume.reopened()
    assert resume.take([line, line, line]) == [line]
    resume.reopened()
    assert resume.take([line, line, line, b"2026-11-24T10:00:01Z x"]) == [b"2026-11-24T10:00:01Z x"]


def pod(
    name: str, index: int, created: int, failures: int = 0, state: objects.ContainerState | None = None
) -> objects.Pod:
    return objects.Pod(
        metadata=objects.Metadata(
            name=name,
            labels={names.COMPLETION_INDEX: str(index)},
            annotations={names.INDEX_FAILURE_COUNT: str(failures)} if failures else {},
            creation_timestamp=BEGIN + timedelta(seconds=created),
        ),
        status=objects.PodStatus(
            container_statuses=(objects.ContainerStatus(name="train", state=state),) if state else (),
        ),
    )


def test_attempts_count_by_creation():
    found = sources([pod("b", 1, 5), pod("a-late", 0, 9), pod("a", 0, 1)])
    assert found == {"a": Source("a", 0, 0), "a-late": Source("a-late", 0, 1), "b": Source("b", 1, 0)}


def test_an_attempt_is_at_least_its_failure_count():
    found = sources([pod("third", 0, 1, failures=2), pod("fourth", 0, 2, failures=2)])
    assert (found["third"].attempt, found["fourth"].attempt) == (2, 3)


def test_what_can_be_read():
    running = objects.ContainerState(running=objects.ContainerStateRunning(started_at=BEGIN))
    ended = objects.ContainerState(terminated=objects.ContainerStateTerminated(exit_code=1, started_at=BEGIN))
    never = objects.ContainerState(terminated=objects.ContainerStateTerminated(exit_code=128))
    waiting = objects.ContainerState(waiting=objects.ContainerStateWaiting(reason="ImagePullBackOff"))
    states = [running, ended, never, waiting, None]
    assert [container_to_read(pod("a", 0, 0, state=state)) for state in states] == ["train", "train", None, None, None]


def test_with_one_process_every_line_is_the_ranks_own():
    lines = [(BEGIN, "x"), (BEGIN, "[rank 7] y"), (None, f"{contract.MARKER}result 1/1 d x")]
    shown, marked = route(lines, Source("p", 3, 1), 1)
    assert [(line.rank, line.index, line.attempt, line.pod, line.text) for line in shown] == [
        (3, 3, 1, "p", "x"),
        (3, 3, 1, "p", "[rank 7] y"),
    ]
    assert marked == [f"{contract.MARKER}result 1/1 d x"]


def test_with_several_processes_the_prefix_names_the_rank():
    marker = f"{contract.MARKER}result 1/1 d x"
    texts = ["[rank 6] a", "launcher", "[rank 7] [rank 1] b", f"[rank 6] {marker}", marker, "[rank x] c", "[rank 7] "]
    shown, marked = route([(None, text) for text in texts], Source("p", 3, 0), 2)
    assert [(line.rank, line.text) for line in shown] == [
        (6, "a"), (None, "launcher"), (7, "[rank 1] b"), (None, "[rank x] c"), (7, ""),
    ]  # fmt: skip
    assert marked == [marker, marker]


@given(st.integers(0, 10**5), st.text())
def test_the_prefix_of_the_contract_is_understood(rank, text):
    shown, marked = route([(None, contract.RANK_PREFIX.format(rank=rank) + text)], Source("p", 0, 0), 2)
    if not marked:
        assert (shown[0].rank, shown[0].text) == (rank, text.removesuffix("\r"))


def test_merge_orders_by_time_and_keeps_the_order_of_a_pod():
    def line(seconds, text):
        return objects.LogLine(None if seconds is None else BEGIN + timedelta(seconds=seconds), 0, 0, "p", 0, text)

    merged = merge([[line(1, "a"), line(3, "c"), line(3, "d")], [line(2, "b"), line(4, "e")], [line(None, "0")]])
    assert "".join(entry.text for entry in merged) == "0abcde"
