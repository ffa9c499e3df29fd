"""What pods' processes use, read from /proc (Linux), as the kubelet's cAdvisor metrics."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a group of processes uses.

    Args:
        cpu_seconds: CPU time of its processes and of those they have waited for.
        memory_bytes: their resident memory.
    """

    cpu_seconds: float = 0.0
    memory_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, self.memory_bytes + other.memory_bytes)


def parse_stat(text: str) -> tuple[int, Usage] | None:
    """Read a line of ``/proc/<pid>/stat`` (proc(5)).

    Args:
        text: the line.

    Returns:
        The process's session and what it uses; None when the line is torn.
    """
    _, _, rest = text.rpartition(")")  # the name before may hold anything
    fields = rest.split()
    try:
        session = int(fields[3])
        ticks = sum(int(fields[position]) for position in (11, 12, 13, 14))  # utime, stime, cutime, cstime
        pages = int(fields[21])
    except (IndexError, ValueError):
        return None
    return session, Usage(ticks / _TICKS, pages * _PAGE)


def by_session(sessions: Iterable[int], proc: Path = Path("/proc")) -> dict[int, Usage]:
    """Sum what the processes of some sessions use; empty where there is no /proc.

    Args:
        sessions: session ids, those of the groups' leaders.
        proc: where the process file system is.
    """
    wanted = set(sessions)
    result: dict[int, Usage] = dict.fromkeys(wanted, Usage())
    try:
        entries = [path.name for path in proc.iterdir() if path.name.isdigit()]
    except OSError:
        return {}
    for name in entries:
        try:
            found = parse_stat((proc / name / "stat").read_text(errors="replace"))
        except OSError:
            continue
        if found is not None and found[0] in wanted:
            result[found[0]] += found[1]
    return result


def escape(value: str) -> str:
    """Escape a label value of the Prometheus text format."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render(rows: Iterable[tuple[Mapping[str, str], Usage]]) -> str:
    """Write usage in the Prometheus text format, under cAdvisor's names.

    Args:
        rows: labels and usage of each container.
    """
    listed = [
        ("{" + ",".join(f'{key}="{escape(value)}"' for key, value in labels.items()) + "}", usage)
        for labels, usage in rows
    ]
    lines = [
        "# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds.",
        "# TYPE container_cpu_usage_seconds_total counter",
        *(f"container_cpu_usage_seconds_total{labels} {usage.cpu_seconds:.2f}" for labels, usage in listed),
        "# HELP container_memory_working_set_bytes Current working set in bytes.",
        "# TYPE container_memory_working_set_bytes gauge",
        *(f"container_memory_working_set_bytes{labels} {usage.memory_bytes}" for labels, usage in listed),
    ]
    return "\n".join(lines) + "\n"
