"""A ladder of ways to have machines, as it stands in a Job's annotation: what is tried in order, and where it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class Rung:
    """One way to have the job's machines.

    Args:
        words: as the user wrote it, for example ``spot:l4``.
        wait: seconds to wait for machines before the next is tried; the last one waits as long as the job may.
        model: ``on-demand``, ``spot``, ``flex-start`` or ``reservation``.
        accelerator: the short name of the GPU.
        zone: the zone, empty for any.
        reservation: its name, empty for none.
        selector: the node selector of the pods.
        tolerations: their tolerations.
        affinity: their node affinity, empty for none.
        usd_hour: the list price of the whole job, None when it is not known.
    """

    words: str
    wait: int = 300
    model: str = "on-demand"
    accelerator: str = ""
    zone: str = ""
    reservation: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)
    usd_hour: float | None = None


@dataclass(frozen=True)
class Ladder:
    """Where a job stands on its ladder.

    Args:
        rungs: the ways, in order.
        at: the number of the one that is tried now.
        since: when it was begun, None before the job exists.
        tried: those that failed, each with the reason.
        settled: whether machines were had, or the ladder was given up, so that nothing more is tried.
        moving: whether the job is suspended by the ladder, and not by anybody else, to go on where it stands now.
        note: what went wrong with the ladder itself, empty as a rule.
        trouble: why the present rung will not do, as observed; it stands in no annotation.
    """

    rungs: tuple[Rung, ...]
    at: int = 0
    since: datetime | None = None
    tried: tuple[tuple[str, str], ...] = ()
    settled: bool = False
    moving: bool = False
    note: str = ""
    trouble: str = ""

    @property
    def rung(self) -> Rung:
        """The one that is tried now."""
        return self.rungs[self.at]

    @property
    def next(self) -> Rung | None:
        """The one that comes next, None after the last."""
        return self.rungs[self.at + 1] if self.at + 1 < len(self.rungs) else None


def encode(ladder: Ladder) -> str:
    """Write a ladder as an annotation.

    Args:
        ladder: the ladder.
    """
    found = {key: value for key, value in asdict(ladder).items() if key != "trouble"}
    found["since"] = ladder.since.isoformat() if ladder.since else ""
    return json.dumps(found, separators=(",", ":"), sort_keys=True)


def decode(text: str) -> Ladder | None:
    """Read a ladder from an annotation; None when it cannot be read, whoever wrote it.

    Args:
        text: the annotation, empty for none.
    """
    if not text:
        return None
    try:
        found = json.loads(text)
        rungs = tuple(
            Rung(**{**one, "tolerations": tuple(one.get("tolerations") or ()), "wait": int(one["wait"])})
            for one in found["rungs"]
        )
        since = datetime.fromisoformat(found["since"]) if found.get("since") else None
        ladder = Ladder(
            rungs,
            int(found["at"]),
            since if since is None or since.tzinfo else since.replace(tzinfo=timezone.utc),
            tuple((str(words), str(why)) for words, why in found.get("tried") or ()),
            bool(found.get("settled")),
            bool(found.get("moving")),
            str(found.get("note") or ""),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return ladder if 0 <= ladder.at < len(rungs) else None


def moved(ladder: Ladder, why: str, now: datetime) -> Ladder:
    """Go on to the next rung.

    Args:
        ladder: the ladder; it has a next rung.
        why: why the present one will not do.
        now: the time, aware.
    """
    return replace(
        ladder,
        at=ladder.at + 1,
        since=now,
        tried=(*ladder.tried, (ladder.rung.words, why)),
        moving=True,
        trouble="",
        note="",
    )
