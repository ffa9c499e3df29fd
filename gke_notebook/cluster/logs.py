"""The log of one container as a stream of lines that survives cut connections: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import ApiError, ClusterUnreachable, NotConnected

Line = tuple[datetime | None, str]
"""The kubelet's timestamp and the text."""

# RFC 3339 with up to nine digits of a second, as the kubelet writes before each line (CRI log format).
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d) ")
_SECOND = 19  # the length of a timestamp up to its seconds
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 10.0
_TIMES: msgspec.json.Decoder[list[datetime]] = msgspec.json.Decoder(list[datetime])


class Resume:
    """Remembers where a stream of timestamped lines stands, so that it can begin again without loss or doubles.

    `sinceTime` is cut to whole seconds on its way to the kubelet, so the lines of the last second come twice: they are
    kept here and taken out of what comes after `reopened`.
    """

    def __init__(self) -> None:
        self._newest = b""
        self._second: list[bytes] = []
        self._expected: Counter[bytes] = Counter()

    @property
    def since(self) -> str | None:
        """The value of `sinceTime` with which to open again, None when there was no line yet."""
        if not self._second:
            return None
        match = _STAMP.match(self._second[-1])
        assert match is not None
        return (match[1] + match[2]).decode()

    def reopened(self) -> None:
        """Say that the stream begins again at `since`."""
        self._expected = Counter(self._second)

    def take(self, lines: list[bytes]) -> list[bytes]:
        """Take lines as they come, without newlines, and give those that are new.

        Args:
            lines: in the order of the stream.
        """
        if self._expected:
            fresh = []
            for line in lines:
                if self._expected[line] > 0:
                    self._expected[line] -= 1
                elif _STAMP.match(line) and line[:_SECOND] < self._newest:
                    continue  # from before `since`: the server did not filter
                else:
                    fresh.append(line)
            lines = fresh
        newest = max((line[:_SECOND] for line in lines if _STAMP.match(line)), default=b"")
        if not newest or newest < self._newest:
            return lines
        tail = [line for line in lines if line.startswith(newest)]
        if newest == self._newest:
            self._second += tail
        else:
            # Past the second at which the stream was opened again, nothing can come twice.
            self._newest, self._second, self._expected = newest, tail, Counter()
        return lines


def parse(lines: list[bytes], *, timestamps: bool = True) -> list[Line]:
    """Part timestamps from texts; a line without a timestamp (the kubelet's own words) keeps its whole text.

    Args:
        lines: without newlines.
        timestamps: whether they begin with timestamps.
    """
    if not timestamps:
        return [(None, line.decode("utf-8", "replace")) for line in lines]
    ends = [line.find(b" ") for line in lines]
    try:
        # One call for all timestamps of a batch: a fifth of the cost of one call each.
        times = _TIMES.decode(b'["' + b'","'.join([line[:end] for line, end in zip(lines, ends, strict=True)]) + b'"]')
        if len(times) == len(lines):
            return [
                (time, line[end + 1 :].decode("utf-8", "replace"))
                for time, line, end in zip(times, lines, ends, strict=True)
            ]
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # some line has no timestamp: look at each
    return [_parse_one(line) for line in lines]


def _parse_one(line: bytes) -> Line:
    match = _STAMP.match(line)
    if match is None:
        return None, line.decode("utf-8", "replace")
    try:
        (time,) = _TIMES.decode(b'["' + line[: match.end() - 1] + b'"]')
    except msgspec.DecodeError:
        return None, line.decode("utf-8", "replace")
    return time, line[match.end() :].decode("utf-8", "replace")


async def stream(
    client: Client,
    namespace: str,
    pod: str,
    container: str,
    *,
    follow: bool = True,
    tail: int | None = None,
    since: datetime | None = None,
    timestamps: bool = True,
) -> AsyncGenerator[list[Line], None]:
    """Read the log of a container in batches, as it comes.

    A followed stream that is cut goes on where it was; it ends when the container has ended and all its log was read.

    Args:
        client: of the cluster.
        namespace: the pod's.
        pod: its name.
        container: its name.
        follow: whether to wait for more lines while the container runs.
        tail: how many of the last lines to begin with; None begins at the start.
        since: the time to begin with.
        timestamps: whether to ask for timestamps; without them a cut stream cannot go on and raises.

    Raises:
        ApiError: there is no such pod, or its log cannot be read.
        ClusterUnreachable: the cluster does not answer; a followed stream goes on trying.
    """
    resume = Resume()
    delay = _FIRST_DELAY
    ended = False
    while True:
        params = _params(container, resume, follow=follow, tail=tail, since=since, timestamps=timestamps)
        resume.reopened()
        try:
            async with aclosing(_batches(client, PODS.path(namespace, pod, "log"), params)) as batches:
                async for batch in batches:
                    delay = _FIRST_DELAY
                    fresh = resume.take(batch) if timestamps else batch
                    if fresh:
                        yield parse(fresh, timestamps=timestamps)
            if not follow or ended or not timestamps:
                return
        except (ClusterUnreachable, NotConnected):
            if not follow or not timestamps:
                raise
        except ApiError as error:
            if not follow or ended or not _passing(error):
                raise
        try:
            # Has the container ended, or only the connection? After its end the rest is read once more.
            ended = _has_ended(await client.get(PODS, pod, namespace), container)
        except (ClusterUnreachable, NotConnected):
            ended = False
        except ApiError as error:
            if error.status == 404:
                return
            if not _passing(error):
                raise
        if not ended:
            await asyncio.sleep(delay)
            delay = min(_LONGEST_DELAY, delay * 2)


def _params(
    container: str, resume: Resume, *, follow: bool, tail: int | None, since: datetime | None, timestamps: bool
) -> dict[str, str]:
    params = {"container": container}
    if follow:
        params["follow"] = "true"
    if timestamps:
        params["timestamps"] = "true"
    if resume.since is not None:
        params["sinceTime"] = resume.since
        return params
    if tail is not None:
        params["tailLines"] = str(tail)
    if since is not None:
        params["sinceTime"] = since.isoformat().replace("+00:00", "Z")
    return params


async def _batches(client: Client, path: str, params: dict[str, str]) -> AsyncGenerator[list[bytes], None]:
    """Cut what comes into lines; a last line without a newline counts only when the stream ends in order."""
    rest: list[bytes] = []
    async with aclosing(client.stream(path, params, accept="text/plain, application/json, */*")) as chunks:
        async for chunk in chunks:
            if b"\n" not in chunk:
                rest.append(chunk)
                continue
            rest.append(chunk)
            lines = b"".join(rest).split(b"\n")
            rest = [lines.pop()]
            yield lines
    if any(rest):
        yield [b"".join(rest)]


def _passing(error: ApiError) -> bool:
    # 400 is how the API server says that the container waits to start.
    return error.status == 429 or error.status >= 500 or (error.status == 400 and "waiting to start" in error.message)


def _has_ended(pod: dict[str, Any], container: str) -> bool:
    status = pod.get("status") or {}
    for entry in status.get("containerStatuses") or ():
        if entry.get("name") == container:
            return "terminated" in (entry.get("state") or {})
    return status.get("phase") in {"Succeeded", "Failed"}
