"""Where prices come from: the table in the package, and one that `gke-notebook prices refresh` has written.

The refreshed table lies in the directory of the user's state (`GKE_NOTEBOOK_HOME`, else the platform's). It wins row by
row where it is newer; what it lacks still comes from the package.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

from gke_notebook.catalog.tables import rows
from gke_notebook.errors import InvalidInput

ATTACHED = "n1-attached-gpu-only"
COLUMNS = (
    "machine_type", "accelerator", "accelerator_count", "region", "usd_hour", "spot_usd_hour", "flex_usd_hour",
    "usd_hour_1y", "usd_hour_3y", "source_date",
)  # fmt: skip
SOURCE = "Cloud Billing Catalog API"
_WITHOUT_SSD = date(2026, 7, 16)  # the rows of this source leave bundled local SSDs out
_SSD_FAMILIES = ("a3-", "a4-", "a4x-")
_SOURCES = {  # of the package's table, by the date of its rows
    date(2026, 7, 16): "skypilot-catalog v9",
    date(2026, 7, 30): "google-cloud-pricing-cost-calculator",
}


@dataclass(frozen=True)
class Row:
    """What one machine type, or one number of GPUs attached to an N1 machine, costs in a region.

    Args:
        on_demand: USD per hour on demand, None where no source has a credible figure; so too the others.
        spot: as spot.
        flex: as flex-start.
        commit_1y: with a commitment of one year.
        commit_3y: of three years.
        source_date: from when the figures are.
        source: who published them.
        without_ssd: whether local SSDs that come with the machine are left out.
    """

    on_demand: float | None
    spot: float | None
    source_date: date
    source: str
    flex: float | None = None
    commit_1y: float | None = None
    commit_3y: float | None = None
    without_ssd: bool = False


Key = tuple[str, str, int, str]  # machine type, label and count of GPUs attached to it, region


def path() -> Path:
    """Give the file that a refresh writes."""
    return Path(_file(os.environ.get("GKE_NOTEBOOK_HOME", ""), os.environ.get("XDG_STATE_HOME", "")))


@cache  # a table of offers asks thousands of times
def _file(named: str, state: str) -> str:  # noqa: ARG001 - what the platform's directory depends on
    if named:
        return str(Path(named).expanduser().absolute() / "prices.csv")
    import platformdirs

    return str(Path(platformdirs.user_state_dir("gke-notebook")) / "prices.csv")


def table() -> Mapping[Key, Row]:
    """Give every known price; a refresh is seen at once, also when another process has made it."""
    file = _file(os.environ.get("GKE_NOTEBOOK_HOME", ""), os.environ.get("XDG_STATE_HOME", ""))
    try:
        found = os.stat(file)  # noqa: PTH116 - see above
    except OSError:
        return packaged()
    return _merged(file, found.st_mtime_ns, found.st_size)


def write(lines: Iterable[Mapping[str, object]]) -> Path:
    """Write a refreshed table in one piece.

    Args:
        lines: for each row, values by the names in `COLUMNS`.

    Returns:
        The file.

    Raises:
        InvalidInput: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if line.get(name) is None else line[name] for name in COLUMNS} for line in lines)
    file = path()
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(text.getvalue(), encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise InvalidInput(f"the prices cannot be kept in {file}: {error.strerror}") from error
    return file


def written() -> list[dict[str, str]]:
    """Give the lines of the refreshed table, as `write` took them; none when there is no such table."""
    if not path().is_file():
        return []
    return list(csv.DictReader(_lines(path())))


def remove() -> bool:
    """Remove the refreshed table, so that the package's holds again.

    Returns:
        Whether there was one.
    """
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    return True


def credible(on_demand: float | None, discounted: float | None) -> bool:
    """Say whether a discounted price can be believed beside the on-demand price: it is not above it, and not zero.

    Args:
        on_demand: USD per hour.
        discounted: USD per hour as spot, flex-start or with a commitment.
    """
    return discounted is not None and discounted > 0 and (on_demand is None or discounted <= on_demand)


@cache
def packaged() -> Mapping[Key, Row]:
    """Give the prices of the package's own table."""
    # Prices are the same in every zone of a region. Where two sources have a shape, the later whole-machine price wins.
    known: dict[Key, Row] = {}
    for line in rows("prices"):
        attached = line["machine_type"] == ATTACHED
        label = line["accelerator"] if attached else ""
        count = int(line["accelerator_count"]) if attached else 0
        when = date.fromisoformat(line["source_date"])
        key = (line["machine_type"], label, count, line["region"])
        if key in known and when <= known[key].source_date:
            continue
        on_demand, spot = _amount(line["price_usd_hour"]), _amount(line["spot_price_usd_hour"])
        known[key] = Row(
            on_demand=on_demand or None,
            spot=spot if credible(on_demand, spot) else None,
            source_date=when,
            source=_SOURCES[when],
            without_ssd=when == _WITHOUT_SSD and line["machine_type"].startswith(_SSD_FAMILIES),
        )
    return known


@lru_cache(maxsize=2)
def _merged(file: str, modified: int, size: int) -> dict[Key, Row]:  # noqa: ARG001 - they are the file's version
    known = dict(packaged())
    for number, line in enumerate(csv.DictReader(_lines(Path(file))), start=2):
        try:
            key, row = _refreshed(line)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"line {number} of {file} cannot be read ({error}); `gke-notebook prices reset` removes the file"
            ) from error
        if key not in known or row.source_date >= known[key].source_date:
            known[key] = row
    return known


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read ({error}); `gke-notebook prices reset` removes it") from error


def _refreshed(line: dict[str, str]) -> tuple[Key, Row]:
    on_demand = _amount(line["usd_hour"])
    others = [_amount(line[name]) for name in ("spot_usd_hour", "flex_usd_hour", "usd_hour_1y", "usd_hour_3y")]
    spot, flex, one, three = (amount if credible(on_demand, amount) else None for amount in others)
    key = (line["machine_type"], line["accelerator"], int(line["accelerator_count"] or 0), line["region"])
    when = date.fromisoformat(line["source_date"])
    return key, Row(on_demand, spot, when, SOURCE, flex=flex, commit_1y=one, commit_3y=three)


def _amount(text: str) -> float | None:
    return float(text) if text else None
